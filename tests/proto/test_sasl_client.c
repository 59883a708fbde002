/* test_sasl_client.c: SASL, client's side: what it chooses, against our own server, and against
 * servers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sasl_harness.h"

#define ALL                                                                               \
    "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS " \
    "OAUTHBEARER XOAUTH2 EXTERNAL GSSAPI"

static struct arena ours, theirs;

static int setup(void **state)
{
    (void)state;
    arena_init(&ours, SASL_ARENA_MAX);
    arena_init(&theirs, SASL_ARENA_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&ours);
    arena_free(&theirs);
    return 0;
}

static void assert_str(str_t got, str_t want)
{
    assert_int_equal(got.len, want.len);
    if (want.len > 0)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

/* Name and password, encrypted, bound. */
static struct sasl_credentials right(void)
{
    return (struct sasl_credentials){.name = the_account.name,
                                     .password = the_account.password,
                                     .allow_plain = true,
                                     .binding = the_binding};
}

static struct saslc *begin(const char *offered, const struct sasl_credentials *c)
{
    struct err err;
    arena_reset(&ours);
    return saslc_begin(&ours, str_c(offered), c, client_nonce, &err);
}

/* ---- choice ---- */

static void chooses(void **state)
{
    (void)state;
    static const struct {
        const char *offered;
        const char *has; /* b: binding, p: password, t: token, e: encrypted, n: no name */
        const char *only, *want;
    } rows[] = {
        {ALL, "bpe", NULL, "SCRAM-SHA-256-PLUS"},
        {ALL, "pe", NULL, "SCRAM-SHA-256"},
        {ALL, "p", NULL, "SCRAM-SHA-256"},
        {"SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256", "bp", NULL, "SCRAM-SHA-1-PLUS"},
        {"SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256", "p", NULL, "SCRAM-SHA-256"},
        {"LOGIN PLAIN SCRAM-SHA-1", "pe", NULL, "SCRAM-SHA-1"},
        {"scram-sha-1", "pe", NULL, "SCRAM-SHA-1"},
        {"LOGIN PLAIN", "pe", NULL, "PLAIN"},
        {"LOGIN  PLAIN ", "pe", NULL, "PLAIN"},
        {"LOGIN", "pe", NULL, "LOGIN"},
        {"LOGIN PLAIN", "p", NULL, NULL},
        {"LOGIN PLAIN", "e", NULL, NULL},
        {"", "bpte", NULL, NULL},
        {"GSSAPI CRAM-MD5", "bpte", NULL, NULL},
        {ALL, "bte", NULL, "OAUTHBEARER"},
        {ALL, "bt", NULL, NULL},
        {"XOAUTH2", "te", NULL, "XOAUTH2"},
        {"XOAUTH2", "t", NULL, NULL},
        {"XOAUTH2", "ten", NULL, NULL},
        {"OAUTHBEARER", "ten", NULL, "OAUTHBEARER"},
        {"EXTERNAL", "bpte", NULL, NULL},
        {ALL, "b", "EXTERNAL", "EXTERNAL"},
        {ALL, "nb", "external", "EXTERNAL"},
        {ALL, "bpe", "PLAIN", "PLAIN"},
        {ALL, "bp", "PLAIN", NULL},
        {"SCRAM-SHA-256", "bpe", "PLAIN", NULL},
        {ALL, "bpe", "CRAM-MD5", NULL},
        {ALL, "pe", "SCRAM-SHA-256-PLUS", NULL},
        {ALL, "bpte", "XOAUTH2", "XOAUTH2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl_credentials c = {.only = rows[i].only};
        struct err err = {.rc = RC_OK};
        c.name = strchr(rows[i].has, 'n') != NULL ? STR("") : the_account.name;
        if (strchr(rows[i].has, 'b') != NULL)
            c.binding = the_binding;
        if (strchr(rows[i].has, 'p') != NULL)
            c.password = the_account.password;
        if (strchr(rows[i].has, 't') != NULL)
            c.token = the_account.token;
        c.allow_plain = strchr(rows[i].has, 'e') != NULL;
        arena_reset(&ours);
        struct saslc *s = saslc_begin(&ours, str_c(rows[i].offered), &c, client_nonce, &err);
        if ((s != NULL) != (rows[i].want != NULL))
            fail_msg("row %zu: %s", i, s != NULL ? saslc_mech(s) : err.text);
        if (s != NULL)
            assert_string_equal(saslc_mech(s), rows[i].want);
        else
            assert_int_equal(err.rc, RC_PERM);
        saslc_end(s);
    }
}

static void says_why_not(void **state)
{
    (void)state;
    struct err err;
    struct sasl_credentials c = {.name = STR("tim"), .password = STR("x"), .only = "LOGIN"};
    assert_null(saslc_begin(&ours, STR("PLAIN LOGIN \r\n\x80"), &c, client_nonce, &err));
    assert_string_equal(err.text,
                        "no way to log in: the server offers \"PLAIN LOGIN ???\", we insist "
                        "on LOGIN, and the line is not encrypted");
    static const struct sasl_credentials bad[] = {
        {.name = {"", 0}, .password = {"x", 1}},      {.name = {"t\0m", 3}, .password = {"x", 1}},
        {.name = {"tim", 3}, .password = {"x\0", 2}}, {.name = {"tim", 3}, .password = {"\xff", 1}},
        {.name = {"tim", 3}, .token = {"a\x01", 2}},  {.name = {"tim\n", 4}, .token = {"a", 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sasl_credentials b = bad[i];
        b.allow_plain = true;
        assert_null(saslc_begin(&ours, STR(ALL), &b, client_nonce, &err));
        assert_int_equal(err.rc, RC_PERM);
        assert_string_equal(err.status, "5.7.8");
    }
}

static void token_of_any_length(void **state)
{
    (void)state;
    char token[SASL_MESSAGE_MAX];
    memset(token, 't', sizeof token);
    size_t max = SASL_MESSAGE_MAX - 3 * SASL_NAME_MAX - 64; /* TOKEN_MAX in client.c */
    for (int d = -1; d <= 1; d++) {
        struct sasl_credentials c = {.name = the_account.name, .allow_plain = true};
        c.token = str_of(token, (size_t)((int)max + d));
        struct saslc *s = begin("OAUTHBEARER", &c);
        assert_int_equal(s != NULL, d <= 0);
        if (s != NULL) {
            str_t r;
            assert_true(saslc_initial(s, &r));
            assert_true(r.len <= SASL_MESSAGE_MAX);
        }
        saslc_end(s);
    }
}

/* ---- against our server ---- */

enum outcome { YES, NO, CLIENT_GAVE_UP, SERVER_MALFORMED, UNPROVEN };

struct world {
    struct sasl_credentials c;
    struct sasl_binding server_binding;
    const char *offered; /* as the client sees it */
    bool plus_offered;   /* as the server knows it */
    bool no_initial;     /* the client leaves its initial response out */
};

static enum outcome talk(struct saslc *c, struct sasl *s, bool no_initial)
{
    str_t r = STR_NONE;
    if (!saslc_initial(c, &r) || no_initial)
        r = STR_NONE;
    enum sasl_event ev = settle(s, sasl_step(s, r), &the_account);
    for (int i = 0; ev == SASL_CHALLENGE; i++) {
        assert_true(i < 5);
        if (!saslc_step(c, sasl_challenge(s), &r))
            return CLIENT_GAVE_UP;
        ev = settle(s, sasl_step(s, r), &the_account);
    }
    if (ev != SASL_DONE)
        return ev == SASL_FAILED ? NO : SERVER_MALFORMED;
    return saslc_succeeded(c) ? YES : UNPROVEN;
}

static enum outcome meet(const struct world *w)
{
    enum sasl_mech m;
    arena_reset(&theirs);
    struct saslc *c = begin(w->offered, &w->c);
    assert_non_null(c);
    assert_true(sasl_mech_find(str_c(saslc_mech(c)), &m));
    struct sasl *s = sasl_begin(&theirs, m, &w->server_binding, server_nonce, w->plus_offered);
    assert_non_null(s);
    enum outcome o = talk(c, s, w->no_initial);
    saslc_end(c);
    sasl_end(s);
    return o;
}

static const char *const mechanisms[] = {
    "PLAIN",         "LOGIN",
    "SCRAM-SHA-1",   "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
    "OAUTHBEARER",   "XOAUTH2",
    "EXTERNAL",
};
enum { MECHANISMS = sizeof mechanisms / sizeof mechanisms[0] };

static struct world honest(const char *mech)
{
    struct world w = {
        .c = right(), .server_binding = the_binding, .offered = ALL, .plus_offered = true};
    w.c.token = the_account.token;
    w.c.only = mech;
    return w;
}

static void all_mechanisms(void **state)
{
    (void)state;
    for (size_t i = 0; i < MECHANISMS; i++) {
        struct world w = honest(mechanisms[i]);
        assert_int_equal(meet(&w), YES);
        w.no_initial = true;
        assert_int_equal(meet(&w), YES);
        w.c.name = STR("somebody,else=");
        assert_int_equal(meet(&w), NO);
        w = honest(mechanisms[i]);
        w.c.password = STR("wrong");
        w.c.token = STR("wrong");
        assert_int_equal(meet(&w), str_c(mechanisms[i]).ptr[0] == 'E' ? YES : NO);
    }
}

static void bindings(void **state)
{
    (void)state;
    for (size_t i = 0; i < MECHANISMS; i++) {
        bool plus = str_ends(str_c(mechanisms[i]), STR("PLUS"));
        struct world w = honest(mechanisms[i]);
        w.server_binding.exporter = STR("another connection's exporter...");
        assert_int_equal(meet(&w), plus ? SERVER_MALFORMED : YES);
        w.c.binding.exporter = STR(""); /* the client binds to the certificate, then */
        assert_int_equal(meet(&w), YES);
        w.server_binding.end_point = STR("");
        assert_int_equal(meet(&w), plus ? SERVER_MALFORMED : YES);
    }
}

/* Somebody between takes the -PLUS names out. */
static void downgrade(void **state)
{
    (void)state;
    struct world w = honest(NULL);
    w.offered = "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN";
    assert_int_equal(meet(&w), SERVER_MALFORMED);
    w.plus_offered = false; /* the server never offered them: all is well */
    assert_int_equal(meet(&w), YES);
    w.c.binding = (struct sasl_binding){0};
    w.plus_offered = true; /* a client that has no binding cannot know */
    assert_int_equal(meet(&w), YES);
}

static void names_with_commas(void **state)
{
    (void)state;
    struct sasl_credentials c = right();
    c.name = STR("a,b=c");
    c.binding = (struct sasl_binding){0};
    str_t r;
    struct saslc *s = begin("SCRAM-SHA-1", &c);
    assert_true(saslc_initial(s, &r));
    assert_true(str_starts(r, STR("n,,n=a=2Cb=3Dc,r=")));
    c.token = STR("abc");
    c.password = STR("");
    s = begin("OAUTHBEARER", &c);
    assert_true(saslc_initial(s, &r));
    assert_str(r, STR("n,a=a=2Cb=3Dc,\x01"
                      "auth=Bearer abc\x01\x01"));
}

/* ---- against servers that lie ---- */

static struct saslc *rfc_client(const char *mech, const char *nonce)
{
    struct sasl_credentials c = {.name = STR("user"), .password = STR("pencil")};
    struct saslc *s = begin(mech, &c);
    assert_non_null(s);
    /* its nonce becomes the RFC's */
    str_toc(str_c(nonce), s->nonce, sizeof s->nonce);
    assert_true(saslc_scram_initial(s));
    return s;
}

static void rfc_examples(void **state)
{
    (void)state;
    str_t r;
    struct saslc *c = rfc_client("SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL"); /* RFC 5802 5 */
    assert_true(saslc_initial(c, &r));
    assert_str(r, STR("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"));
    assert_true(saslc_step(
        c, STR("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"), &r));
    assert_str(r, STR("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
                      "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="));
    assert_false(saslc_succeeded(c));
    assert_true(saslc_step(c, STR("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), &r));
    assert_str(r, STR(""));
    assert_true(saslc_succeeded(c));

    c = rfc_client("SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO"); /* RFC 7677 3 */
    assert_true(saslc_initial(c, &r));
    assert_str(r, STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
    assert_true(saslc_step(c,
                           STR("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                               "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
                           &r));
    assert_str(r, STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
    assert_true(saslc_step(c, STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &r));
    assert_true(saslc_succeeded(c));
}

#define NONCE "fyko+d2lbbFgONRv9qkxdawL"
#define SALT  "QSXCR+Q6sek8bf92"

static void server_first(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        {"r=" NONCE "x,s=" SALT ",i=4096", true},
        {"r=" NONCE "x,s=" SALT ",i=4096,x=y", true}, /* an extension */
        {"r=" NONCE ",s=" SALT ",i=4096", false},     /* adds nothing of its own */
        {"r=xyko+d2lbbFgONRv9qkxdawLx,s=" SALT ",i=4096", false},
        {"r=fyko,s=" SALT ",i=4096", false},
        {"r=" NONCE " ,s=" SALT ",i=4096", false},
        {"r=" NONCE "x,s=,i=4096", false},
        {"r=" NONCE "x,s=QSXCR,i=4096", false},
        {"r=" NONCE "x,s=" SALT ",i=4095", false}, /* too cheap to guess against */
        {"r=" NONCE "x,s=" SALT ",i=4097", true},
        {"r=" NONCE "x,s=" SALT ",i=0", false},
        {"r=" NONCE "x,s=" SALT ",i=04096", false},
        {"r=" NONCE "x,s=" SALT ",i=-1", false},
        {"r=" NONCE "x,s=" SALT ",i=", false},
        {"r=" NONCE "x,s=" SALT ",i=1000001", false}, /* SASLC_ITERATIONS_MAX */
        {"r=" NONCE "x,s=" SALT ",i=99999999999999999999", false},
        {"r=" NONCE "x,s=" SALT, false},
        {"r=" NONCE "x,i=4096,s=" SALT, false},
        {"s=" SALT ",r=" NONCE "x,i=4096", false},
        {"m=x,r=" NONCE "x,s=" SALT ",i=4096", false},
        {"r=" NONCE "x,s=" SALT ",i=4096,m=x", false},
        {"r=" NONCE "x,s=" SALT ",i=4096,", false},
        {"r=" NONCE "x,s=" SALT ",i=4096,x=\xff", false},
        {"e=other-error", false},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", false},
        {"x", false},
    };
    str_t r;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct saslc *c = rfc_client("SCRAM-SHA-1", NONCE);
        if (saslc_step(c, str_c(rows[i].in), &r) != rows[i].good)
            fail_msg("%s", rows[i].in);
        assert_false(saslc_succeeded(c));
        saslc_end(c);
    }
    struct saslc *c = rfc_client("SCRAM-SHA-1", NONCE);
    assert_true(saslc_step(c, STR("r=" NONCE "x,s=" SALT ",i=1000000"), &r));
    c = rfc_client("SCRAM-SHA-1", NONCE); /* it asks for the initial response once */
    assert_true(saslc_step(c, STR(""), &r));
    assert_str(r, STR("n,,n=user,r=" NONCE));
    assert_false(saslc_step(c, STR(""), &r));
}

static void server_final(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", true},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,x=y", true},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKA=", false},
        {"v=rmF9pqV8S7suAoZWja4dJRkF", false},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,", false},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ", false},
        {"v=", false},
        {"", false},
        {"e=invalid-proof", false},
        {"V=rmF9pqV8S7suAoZWja4dJRkFsKQ=", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        str_t r;
        struct saslc *c = rfc_client("SCRAM-SHA-1", NONCE);
        assert_true(saslc_step(c, STR("r=" NONCE "3rfcNHYJY1ZVvWVs7j,s=" SALT ",i=4096"), &r));
        if (saslc_step(c, str_c(rows[i].in), &r) != rows[i].good ||
            saslc_succeeded(c) != rows[i].good)
            fail_msg("%s", rows[i].in);
        assert_false(saslc_step(c, STR("more"), &r));
        assert_false(saslc_succeeded(c));
        saslc_end(c);
    }
}

/* What a server may want beyond what the mechanism says. */
static void too_much_asked(void **state)
{
    (void)state;
    struct sasl_credentials c = right();
    c.token = STR("abc");
    str_t r;
    c.only = "PLAIN";
    struct saslc *s = begin(ALL, &c);
    assert_false(saslc_step(s, STR("again"), &r));
    s = begin(ALL, &c);
    assert_true(saslc_step(s, STR(""), &r));
    assert_false(saslc_step(s, STR(""), &r));
    c.only = "LOGIN";
    s = begin(ALL, &c);
    assert_true(saslc_step(s, STR(""), &r)); /* whatever the prompts say */
    assert_str(r, c.name);
    assert_true(saslc_step(s, STR("Passwort bitte"), &r));
    assert_str(r, c.password);
    assert_false(saslc_step(s, STR("PIN:"), &r));
    assert_str(r, STR(""));
}

/* Also in the worst case, where a long nonce comes back in what we answer, it fits the arena. */
static void too_long(void **state)
{
    (void)state;
    static char many[SASL_MESSAGE_MAX + 1];
    static const char tail[] = ",s=" SALT ",i=4096";
    struct sasl_credentials cred = {.token = STR("abc"), .allow_plain = true};
    for (int d = -1; d <= 1; d++) {
        str_t r;
        size_t n = (size_t)(4096 + d); /* SCRAM_MESSAGE_MAX */
        memset(many, 'x', sizeof many);
        memcpy(many, "r=" NONCE, 2 + 24);
        memcpy(many + n - (sizeof tail - 1), tail, sizeof tail - 1);
        struct saslc *c = rfc_client("SCRAM-SHA-1", NONCE);
        assert_int_equal(saslc_step(c, str_of(many, n), &r), d <= 0);
        c = begin("OAUTHBEARER", &cred);
        assert_int_equal(saslc_step(c, str_of(many, (size_t)(SASL_MESSAGE_MAX + d)), &r), d <= 0);
    }
}

/* ---- memory ---- */

static void wiped(void **state)
{
    (void)state;
    for (size_t i = 0; i < MECHANISMS; i++) {
        struct world w = honest(mechanisms[i]);
        struct saslc *c = begin(w.offered, &w.c);
        assert_true(anywhere(&ours, the_account.password) && anywhere(&ours, the_account.token));
        saslc_end(c);
        assert_false(anywhere(&ours, the_account.password) || anywhere(&ours, the_account.token));
    }
    saslc_end(NULL);
}

static void every_arena(void **state)
{
    (void)state;
    bool done = false;
    for (size_t max = 0; max < 3072; max += 48) {
        struct err err;
        str_t r;
        struct sasl_credentials cred = {.name = STR("user"), .password = STR("pencil")};
        arena_free(&ours);
        arena_init(&ours, max);
        struct saslc *c = saslc_begin(&ours, STR("SCRAM-SHA-1"), &cred, client_nonce, &err);
        if (c == NULL) {
            assert_int_equal(err.rc, RC_TEMP);
            continue;
        }
        char first[128];
        snprintf(first, sizeof first, "r=%sx,s=" SALT ",i=4096", c->nonce);
        done = saslc_step(c, str_c(first), &r);
        saslc_end(c);
    }
    assert_true(done);
    arena_free(&ours);
    arena_init(&ours, SASL_ARENA_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses),
        cmocka_unit_test(says_why_not),
        cmocka_unit_test(token_of_any_length),
        cmocka_unit_test(all_mechanisms),
        cmocka_unit_test(bindings),
        cmocka_unit_test(downgrade),
        cmocka_unit_test(names_with_commas),
        cmocka_unit_test(rfc_examples),
        cmocka_unit_test(server_first),
        cmocka_unit_test(server_final),
        cmocka_unit_test(too_much_asked),
        cmocka_unit_test(too_long),
        cmocka_unit_test(wiped),
        cmocka_unit_test(every_arena),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
