/* sasl_server_harness.h: one exchange at a time with SASL's server side, in one arena. Included by
 * the tests of it, after cmocka. */
#ifndef TESTS_SASL_SERVER_HARNESS_H
#define TESTS_SASL_SERVER_HARNESS_H

#include "sasl_harness.h"

#define A     "\x01"
#define USER  "tim@example.org"
#define PASS  "tanstaaftanstaaf"
#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

static struct arena arena;

static inline int setup(void **state)
{
    (void)state;
    arena_init(&arena, SASL_ARENA_MAX);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static inline struct sasl *begin_with(enum sasl_mech m, bool plus_offered)
{
    arena_reset(&arena);
    struct sasl *s = sasl_begin(&arena, m, &the_binding, server_nonce, plus_offered);
    assert_non_null(s);
    return s;
}

static inline struct sasl *begin(enum sasl_mech m)
{
    return begin_with(m, true);
}

/* One message, which comes in memory of exactly its size that is gone afterwards. */
static inline enum sasl_event say(struct sasl *s, str_t message)
{
    char *exact = malloc(message.len + (message.len == 0));
    assert_non_null(exact);
    if (message.len > 0)
        memcpy(exact, message.ptr, message.len);
    enum sasl_event ev = sasl_step(s, str_of(exact, message.len));
    if (message.len > 0)
        memset(exact, 'X', message.len);
    free(exact);
    return ev;
}

static inline enum sasl_event only_message(enum sasl_mech m, str_t message)
{
    struct sasl *s = begin(m);
    return settle(s, say(s, message), &the_account);
}

static inline void assert_str(str_t got, str_t want)
{
    assert_int_equal(got.len, want.len);
    if (want.len > 0)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

static inline str_t repeat(char c, size_t n)
{
    static char many[SASL_MESSAGE_MAX + 2];
    memset(many, c, sizeof many);
    assert_true(n <= sizeof many);
    return str_of(many, n);
}

static inline void assert_wiped(struct sasl *s, str_t secret)
{
    assert_true(anywhere(&arena, secret)); /* the test sees what it looks for */
    sasl_end(s);
    assert_false(anywhere(&arena, secret));
}

/* The examples of RFC 5802 5 and RFC 7677 3: name "user", password "pencil". */
struct example {
    enum sasl_mech mech;
    const char *server_nonce, *salt;
    str_t c1, s1, c2, s2;
};
__attribute__((unused)) static const struct example rfc5802 = {
    .mech = SASL_SCRAM_SHA_1,
    .server_nonce = "3rfcNHYJY1ZVvWVs7j",
    .salt = "QSXCR+Q6sek8bf92",
    .c1 = {"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", 36},
    .s1 = {"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096", 70},
    .c2 = {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
           82},
    .s2 = {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", 30},
};
__attribute__((unused)) static const struct example rfc7677 = {
    .mech = SASL_SCRAM_SHA_256,
    .server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    .salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
    .c1 = {"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", 32},
    .s1 = {"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
           "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
           86},
    .c2 = {"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
           "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
           106},
    .s2 = {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", 46},
};

#endif
