/* test_sasl_oauth.c: OAUTHBEARER and XOAUTH2, server's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sasl_server_harness.h"

static void oauthbearer(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_OAUTHBEARER); /* RFC 7628 4.1 */
    assert_int_equal(say(s, STR("n,a=" USER "," A "host=server.example.com" A "port=587" A
                                "auth=Bearer " TOKEN A A)),
                     SASL_CHECK);
    const struct sasl_question *q = sasl_question(s);
    assert_int_equal(q->proof, SASL_PROOF_TOKEN);
    assert_str(q->authcid, STR(USER));
    assert_str(q->authzid, STR(""));
    assert_str(q->token, STR(TOKEN));
    assert_str(q->host, STR("server.example.com"));
    assert_int_equal(q->port, 587);
    assert_int_equal(sasl_checked(s, true, STR("")), SASL_DONE);

    s = begin(SASL_OAUTHBEARER);
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHALLENGE);
    assert_int_equal(say(s, STR("n,," A "auth=bEARER  abc" A A)), SASL_CHECK);
    assert_str(sasl_question(s)->authcid, STR(""));
    assert_str(sasl_question(s)->token, STR("abc"));
    assert_str(sasl_question(s)->host, STR(""));
    assert_int_equal(sasl_checked(s, false, STR("")), SASL_CHALLENGE); /* RFC 7628 4.3, 4.4 */
    assert_str(sasl_challenge(s), STR("{\"status\":\"invalid_token\"}"));
    assert_int_equal(say(s, STR(A)), SASL_FAILED);

    s = begin(SASL_OAUTHBEARER); /* RFC 7628 4.3: no token: no check */
    assert_int_equal(
        say(s, STR("n,a=" USER "," A "host=server.example.com" A "port=143" A "auth=" A A)),
        SASL_CHALLENGE);
    assert_int_equal(say(s, STR("whatever")), SASL_FAILED);
}

static void xoauth2(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_XOAUTH2);
    assert_int_equal(say(s, STR("user=" USER A "auth=Bearer " TOKEN A A)), SASL_CHECK);
    assert_str(sasl_question(s)->authcid, STR(USER));
    assert_str(sasl_question(s)->token, STR(TOKEN));
    assert_int_equal(sasl_checked(s, true, STR("")), SASL_DONE);

    s = begin(SASL_XOAUTH2);
    assert_int_equal(say(s, STR("user=J\xc3\xb6rg@example.org" A "auth=Bearer abc" A A)),
                     SASL_CHECK);
    assert_int_equal(sasl_checked(s, false, STR("")), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), STR("{\"status\":\"401\",\"schemes\":\"bearer\"}"));
    assert_int_equal(say(s, STR("")), SASL_FAILED);
}

static void token_grammar(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool xoauth2, good;
    } rows[] = {
        {"n,," A "auth=Bearer abc" A A, false, true},
        {"y,," A "auth=Bearer abc" A A, false, true},
        {"n,a=a=2Cb," A "x=" A "auth=Bearer a-._~+/==" A "Y=\t \r\n!" A A, false, true},
        {"n,," A "port=65535" A "auth=Bearer abc" A A, false, true},
        {"n,," A "user=tim" A "auth=Bearer abc" A A, false, true}, /* an unknown key */
        {"n,a=x" A "auth=Bearer abc" A A, false, false},
        {"n,user=x," A "auth=Bearer abc" A A, false, false},
        {"p=tls-exporter,," A "auth=Bearer abc" A A, false, false},
        {"n,a=," A "auth=Bearer abc" A A, false, false},
        {"n,a==," A "auth=Bearer abc" A A, false, false},
        {"n,a=\n," A "auth=Bearer abc" A A, false, false},
        {"n,,auth=Bearer abc" A A, false, false},
        {"n,," A "auth=Bearer abc" A, false, false},
        {"n,," A "auth=Bearer abc", false, false},
        {"n,," A "auth=Bearer abc" A A A, false, false},
        {"n,," A "auth=Bearer abc" A A "x", false, false},
        {"n,," A A, false, false},
        {"n,," A, false, false},
        {"n,,", false, false},
        {A, false, false},
        {"", false, false},
        {"n,," A "auth=Bearer " A A, false, false},
        {"n,," A "auth=Bearer" A A, false, false},
        {"n,," A "auth=Bearer a b" A A, false, false},
        {"n,," A "auth=Bearer a=b" A A, false, false},
        {"n,," A "auth=Bearer =" A A, false, false},
        {"n,," A "auth=Bearer a,b" A A, false, false},
        {"n,," A "auth=Basic abc" A A, false, false},
        {"n,," A "auth=Bearer abc" A "auth=Bearer abc" A A, false, false},
        {"n,," A "host=a" A "host=b" A "auth=Bearer abc" A A, false, false},
        {"n,," A "port=0" A "auth=Bearer abc" A A, false, false},
        {"n,," A "port=025" A "auth=Bearer abc" A A, false, false},
        {"n,," A "port=65536" A "auth=Bearer abc" A A, false, false},
        {"n,," A "port=" A "auth=Bearer abc" A A, false, false},
        {"n,," A "port=-1" A "auth=Bearer abc" A A, false, false},
        {"n,," A "=x" A "auth=Bearer abc" A A, false, false},
        {"n,," A "x" A "auth=Bearer abc" A A, false, false},
        {"n,," A "x1=y" A "auth=Bearer abc" A A, false, false},
        {"n,," A "x=\x02" A "auth=Bearer abc" A A, false, false},
        {"n,," A "x=\xc3\xb6" A "auth=Bearer abc" A A, false, false},
        {"user=tim" A "auth=Bearer abc" A A, true, true},
        {"auth=Bearer abc" A "user=tim" A A, true, true},
        {"user=tim" A A, true, false},
        {"auth=Bearer abc" A A, true, false},
        {"user=" A "auth=Bearer abc" A A, true, false},
        {"user=a" A "user=a" A "auth=Bearer abc" A A, true, false},
        {"user=t\tm" A "auth=Bearer abc" A A, true, false},
        {"user=\xff" A "auth=Bearer abc" A A, true, false},
        {"user=tim" A "auth=Bearer abc" A, true, false},
        {"n,," A "user=tim" A "auth=Bearer abc" A A, true, false},
        {"", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = begin(rows[i].xoauth2 ? SASL_XOAUTH2 : SASL_OAUTHBEARER);
        enum sasl_event ev = say(s, str_c(rows[i].in));
        if (ev != (rows[i].good ? SASL_CHECK : SASL_MALFORMED))
            fail_msg("row %zu: %s: %d", i, rows[i].in, (int)ev);
    }
    assert_int_equal(only_message(SASL_XOAUTH2, STR("user=a\0b" A "auth=Bearer abc" A A)),
                     SASL_MALFORMED);
}

static void token_limits(void **state)
{
    (void)state;
    str_t head = STR("n,," A "auth=Bearer ");
    for (int d = -1; d <= 1; d++) { /* the message */
        char m[SASL_MESSAGE_MAX + 1];
        size_t n = (size_t)(SASL_MESSAGE_MAX + d);
        memset(m, 't', n);
        memcpy(m, head.ptr, head.len);
        memcpy(m + n - 2, A A, 2);
        struct sasl *s = begin(SASL_OAUTHBEARER);
        assert_int_equal(say(s, str_of(m, n)), d > 0 ? SASL_MALFORMED : SASL_CHECK);
        s = begin(SASL_OAUTHBEARER); /* the host */
        assert_int_equal(say(s, arena_fmt(&arena, "n,," A "host=" STR_FMT A "auth=Bearer a" A A,
                                          STR_ARG(repeat('h', (size_t)(255 + d))))),
                         d > 0 ? SASL_MALFORMED : SASL_CHECK);
        s = begin(SASL_XOAUTH2); /* the name */
        assert_int_equal(say(s, arena_fmt(&arena, "user=" STR_FMT A "auth=Bearer a" A A,
                                          STR_ARG(repeat('u', (size_t)(SASL_NAME_MAX + d))))),
                         d > 0 ? SASL_MALFORMED : SASL_CHECK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oauthbearer),
        cmocka_unit_test(xoauth2),
        cmocka_unit_test(token_grammar),
        cmocka_unit_test(token_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
