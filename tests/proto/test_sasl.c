/* test_sasl.c: SASL, server's side: names, PLAIN, LOGIN, EXTERNAL, and that secrets are wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sasl_server_harness.h"

/* ---- names ---- */

static void names(void **state)
{
    (void)state;
    enum sasl_mech m;
    for (unsigned i = 0; i < SASL_MECHS; i++) {
        assert_true(sasl_mech_find(str_c(sasl_mech_name((enum sasl_mech)i)), &m));
        assert_int_equal(m, i);
    }
    assert_true(sasl_mech_find(STR("scram-Sha-256-plus"), &m));
    assert_int_equal(m, SASL_SCRAM_SHA_256_PLUS);
    assert_false(sasl_mech_find(STR("CRAM-MD5"), &m));
    assert_false(sasl_mech_find(STR("PLAI"), &m));
    assert_false(sasl_mech_find(STR(""), &m));
    assert_str(sasl_mech_list((1U << SASL_MECHS) - 1, &arena),
               STR("SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL "
                   "OAUTHBEARER XOAUTH2 PLAIN LOGIN"));
    unsigned seen = 0; /* each is in the list, and once */
    str_t list = sasl_mech_list((1U << SASL_MECHS) - 1, &arena), word;
    for (bool more = true; more;) {
        more = str_cut(&list, ' ', &word);
        assert_true(sasl_mech_find(more ? word : list, &m));
        assert_int_equal(seen & 1U << m, 0);
        seen |= 1U << m;
    }
    assert_int_equal(seen, (1U << SASL_MECHS) - 1);
    assert_str(sasl_mech_list(1U << SASL_PLAIN | 1U << SASL_LOGIN, &arena), STR("PLAIN LOGIN"));
    assert_str(sasl_mech_list(0, &arena), STR(""));
}

static void names_and_passwords(void **state)
{
    (void)state;
    assert_false(sasl_name_ok(STR("")));
    assert_true(sasl_name_ok(repeat('a', SASL_NAME_MAX - 1)));
    assert_true(sasl_name_ok(repeat('a', SASL_NAME_MAX)));
    assert_false(sasl_name_ok(repeat('a', SASL_NAME_MAX + 1)));
    assert_true(sasl_password_ok(repeat('a', SASL_PASSWORD_MAX - 1)));
    assert_true(sasl_password_ok(repeat('a', SASL_PASSWORD_MAX)));
    assert_false(sasl_password_ok(repeat('a', SASL_PASSWORD_MAX + 1)));
    assert_true(sasl_name_ok(STR("J\xc3\xb6rg <=>,")));
    assert_false(sasl_name_ok(STR("J\xf6rg")));
    for (int c = 1; c < 256; c++) {
        char z[] = {'a', (char)c, 'b'};
        assert_int_equal(sasl_password_ok(str_of(z, 3)), c >= 0x20 && c < 0x7f);
    }
    assert_false(sasl_password_ok(STR("a\0b")));
}

/* ---- PLAIN and LOGIN ---- */

static void plain(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_PLAIN);
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHALLENGE); /* no initial response */
    assert_str(sasl_challenge(s), STR(""));
    assert_int_equal(say(s, STR("\0" USER "\0" PASS)), SASL_CHECK);
    const struct sasl_question *q = sasl_question(s);
    assert_int_equal(q->proof, SASL_PROOF_PASSWORD);
    assert_str(q->authcid, STR(USER));
    assert_str(q->authzid, STR(""));
    assert_str(q->password, STR(PASS));
    assert_int_equal(sasl_checked(s, true, STR("")), SASL_DONE);
    assert_str(q->authcid, STR(USER)); /* for the log */
    assert_int_equal(say(s, STR("\0" USER "\0" PASS)), SASL_MALFORMED);

    assert_int_equal(only_message(SASL_PLAIN, STR(USER "\0" USER "\0" PASS)), SASL_DONE);
    assert_int_equal(only_message(SASL_PLAIN, STR("\0" USER "\0wrong")), SASL_FAILED);
    assert_int_equal(only_message(SASL_PLAIN, STR("\0other\0" PASS)), SASL_FAILED);

    s = begin(SASL_PLAIN); /* RFC 4616 4 */
    assert_int_equal(say(s, STR("Ursel\0Kurt\0xipj3plmq")), SASL_CHECK);
    assert_str(sasl_question(s)->authzid, STR("Ursel"));
    assert_str(sasl_question(s)->authcid, STR("Kurt"));
}

static void no_message_is_asked_for_once(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_PLAIN);
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHALLENGE);
    assert_int_equal(sasl_step(s, STR_NONE), SASL_MALFORMED); /* an empty line */
}

static void plain_malformed(void **state)
{
    (void)state;
    static const str_t bad[] = {
        {"", 0},
        {"\0", 1},
        {"\0\0", 2},
        {"\0tim", 4},
        {"\0tim\0", 5},         /* empty password */
        {"\0\0pass", 6},        /* empty name */
        {"tim\0pass", 8},       /* one NUL */
        {"\0tim\0pa\0ss", 11},  /* three */
        {"\0tim\0pass\0", 10},  /* one at the end */
        {"\0t\nm\0pass", 9},    /* control */
        {"\0tim\0pa\tss", 11},  /* in the password: RFC 4013 2.3 */
        {"\0t\xffm\0pass", 9},  /* not UTF-8 */
        {"\0tim\0p\xe9ss", 10}, /* Latin-1 */
        {"z\x7fz\0tim\0pass", 12},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(only_message(SASL_PLAIN, bad[i]), SASL_MALFORMED);
}

/* Which sizes of authzid, authcid and password are taken? */
static enum sasl_event plain_of(size_t zid, size_t cid, size_t pass)
{
    char m[4096] = {0};
    assert_true(zid + cid + pass + 2 <= sizeof m);
    memset(m, 'z', zid);
    memset(m + zid + 1, 'c', cid);
    memset(m + zid + 1 + cid + 1, 'p', pass);
    return say(begin(SASL_PLAIN), str_of(m, zid + cid + pass + 2));
}

static void plain_limits(void **state)
{
    (void)state;
    for (int d = -1; d <= 1; d++) {
        enum sasl_event want = d > 0 ? SASL_MALFORMED : SASL_CHECK;
        assert_int_equal(plain_of((size_t)(SASL_NAME_MAX + d), 1, 1), want);
        assert_int_equal(plain_of(0, (size_t)(SASL_NAME_MAX + d), 1), want);
        assert_int_equal(plain_of(0, 1, (size_t)(SASL_PASSWORD_MAX + d)), want);
    }
}

static void login(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_LOGIN);
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), STR("Username:"));
    assert_int_equal(say(s, STR(USER)), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), STR("Password:"));
    assert_int_equal(settle(s, say(s, STR(PASS)), &the_account), SASL_DONE);

    s = begin(SASL_LOGIN); /* the name as initial response */
    assert_int_equal(say(s, STR(USER)), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), STR("Password:"));
    assert_int_equal(settle(s, say(s, STR("wrong")), &the_account), SASL_FAILED);

    assert_int_equal(only_message(SASL_LOGIN, STR("")), SASL_MALFORMED);
    assert_int_equal(only_message(SASL_LOGIN, STR("a\0b")), SASL_MALFORMED);
    for (int d = -1; d <= 1; d++) {
        size_t name = (size_t)(SASL_NAME_MAX + d), pass = (size_t)(SASL_PASSWORD_MAX + d);
        assert_int_equal(only_message(SASL_LOGIN, repeat('a', name)),
                         d > 0 ? SASL_MALFORMED : SASL_CHALLENGE);
        s = begin(SASL_LOGIN);
        assert_int_equal(say(s, STR(USER)), SASL_CHALLENGE);
        assert_int_equal(say(s, repeat('a', pass)), d > 0 ? SASL_MALFORMED : SASL_CHECK);
    }
    s = begin(SASL_LOGIN);
    assert_int_equal(say(s, STR(USER)), SASL_CHALLENGE);
    assert_int_equal(say(s, STR("")), SASL_MALFORMED);
}

/* ---- EXTERNAL ---- */

static void external(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_EXTERNAL); /* RFC 4422 A */
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), STR(""));
    assert_int_equal(sasl_step(s, STR_NONE), SASL_CHECK); /* an empty line */
    assert_int_equal(sasl_question(s)->proof, SASL_PROOF_CERTIFICATE);
    assert_str(sasl_question(s)->authcid, STR(""));
    assert_int_equal(sasl_checked(s, true, STR("")), SASL_DONE);

    s = begin(SASL_EXTERNAL);
    assert_int_equal(say(s, STR(USER)), SASL_CHECK);
    assert_str(sasl_question(s)->authcid, STR(USER));
    assert_int_equal(sasl_checked(s, false, STR("")), SASL_FAILED);
    assert_int_equal(only_message(SASL_EXTERNAL, STR("a\0b")), SASL_MALFORMED);
    assert_int_equal(only_message(SASL_EXTERNAL, STR("\xff")), SASL_MALFORMED);
    for (int d = -1; d <= 1; d++)
        assert_int_equal(say(begin(SASL_EXTERNAL), repeat('a', (size_t)(SASL_NAME_MAX + d))),
                         d > 0 ? SASL_MALFORMED : SASL_CHECK);
}

/* ---- memory ---- */

static void wiped(void **state)
{
    (void)state;
    struct sasl *s = begin(SASL_PLAIN);
    assert_int_equal(say(s, STR("\0" USER "\0" PASS)), SASL_CHECK);
    assert_wiped(s, STR(PASS));
    s = begin(SASL_PLAIN); /* also what was refused */
    assert_int_equal(say(s, STR("\0" PASS "\0")), SASL_MALFORMED);
    assert_wiped(s, STR(PASS));
    s = begin(SASL_LOGIN);
    assert_int_equal(say(s, STR(USER)), SASL_CHALLENGE);
    assert_int_equal(say(s, STR(PASS)), SASL_CHECK);
    assert_wiped(s, STR(PASS));
    s = begin(SASL_XOAUTH2);
    assert_int_equal(say(s, STR("user=" USER A "auth=Bearer " TOKEN A A)), SASL_CHECK);
    assert_wiped(s, STR(TOKEN));

    s = begin_with(rfc7677.mech, false);
    str_toc(str_c(rfc7677.server_nonce), s->nonce, sizeof s->nonce);
    assert_int_equal(settle(s, say(s, rfc7677.c1), &the_account), SASL_CHALLENGE);
    assert_int_equal(settle(s, say(s, rfc7677.c2), &the_account), SASL_FAILED);
    str_t proof = arena_dup(&arena, sasl_question(s)->client_proof);
    char copy[32];
    memcpy(copy, proof.ptr, 32);
    memset((char *)(uintptr_t)proof.ptr, 0, 32);
    assert_wiped(s, str_of(copy, 32));
    sasl_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),           cmocka_unit_test(names_and_passwords),
        cmocka_unit_test(plain),           cmocka_unit_test(no_message_is_asked_for_once),
        cmocka_unit_test(plain_malformed), cmocka_unit_test(plain_limits),
        cmocka_unit_test(login),           cmocka_unit_test(external),
        cmocka_unit_test(wiped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
