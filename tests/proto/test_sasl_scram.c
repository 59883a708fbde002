/* test_sasl_scram.c: SCRAM, server's side: the RFCs' examples, bindings, the grammar
 * case by case, limits, damaged messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sasl_server_harness.h"

static void run_example(const struct example *x)
{
    struct sasl *s = begin_with(x->mech, false);
    str_toc(str_c(x->server_nonce), s->nonce, sizeof s->nonce);
    struct account user = {.name = STR("user"), .password = STR("pencil"), .iterations = 4096};
    struct buf salt;
    buf_init(&salt, 64);
    assert_true(base64_decode(&salt, str_c(x->salt)));
    user.salt = buf_str(&salt);

    assert_int_equal(settle(s, say(s, x->c1), &user), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), x->s1);
    assert_int_equal(settle(s, say(s, x->c2), &user), SASL_CHALLENGE);
    assert_str(sasl_challenge(s), x->s2);
    const struct sasl_question *q = sasl_question(s); /* AuthMessage as RFC 5802 3 has it */
    str_t m = arena_fmt(&arena, STR_FMT "," STR_FMT "," STR_FMT, STR_ARG(str_from(x->c1, 3)),
                        STR_ARG(x->s1),
                        STR_ARG(str_first(x->c2, x->c2.len - q->client_proof.len / 3 * 4 - 7)));
    assert_str(q->auth_message, m);
    assert_int_equal(say(s, STR("")), SASL_DONE);
    buf_free(&salt);
}

static void rfc_examples(void **state)
{
    (void)state;
    run_example(&rfc5802);
    run_example(&rfc7677);
}

/* The client's last message, as an honest client that was told to say `cbind` and so on would make
 * it. */
struct final {
    const char *gs2; /* of the first message */
    str_t cbind;     /* header and data, in c= */
    const char *extension;
    size_t cut_nonce; /* characters left out at the nonce's end */
};
static str_t final_message(struct sasl *s, enum digest d, const struct final *f, str_t first_bare)
{
    struct sasl_vault v = {.arena = &arena};
    str_t s1 = sasl_challenge(s), rest = s1, nonce;
    must(str_cut(&rest, ',', &nonce));
    nonce.len -= f->cut_nonce;
    str_t without =
        VAULT_JOIN(&v, STR("c="), vault_base64(&v, f->cbind), STR(","), nonce, str_c(f->extension));
    str_t message = VAULT_JOIN(&v, first_bare, STR(","), s1, STR(","), without);
    struct scram_keys k;
    uint8_t proof[DIGEST_MAX];
    must(scram_derive(d, the_account.password, the_account.salt, the_account.iterations, &k));
    must(scram_proof(d, &k, message, proof));
    str_t p = vault_base64(&v, str_of(proof, digest_size(d)));
    return VAULT_JOIN(&v, without, STR(",p="), p);
}

static enum sasl_event exchange(enum sasl_mech m, bool plus_offered, const struct final *f)
{
    struct sasl *s = begin_with(m, plus_offered);
    str_t bare = STR("n=" USER ",r=clientnonce");
    enum sasl_event ev =
        settle(s, say(s, arena_fmt(&arena, "%s%s", f->gs2, bare.ptr)), &the_account);
    if (ev == SASL_CHALLENGE)
        ev = settle(s, say(s, final_message(s, sasl_digest(m), f, bare)), &the_account);
    return ev == SASL_CHALLENGE ? say(s, STR("")) : ev;
}

#define EXPORTER "exporterexporterexporterexporter"
#define ENDPOINT "certificatehashcertificatehash.."

static void scram_bindings(void **state)
{
    (void)state;
    const struct row {
        enum sasl_mech mech;
        bool plus_offered;
        struct final f;
        enum sasl_event want;
    } rows[] = {
#define BARE SASL_SCRAM_SHA_256
#define PLUS SASL_SCRAM_SHA_256_PLUS
        {BARE, false, {"n,,", STR("n,,"), "", 0}, SASL_DONE},
        {BARE, true, {"n,,", STR("n,,"), "", 0}, SASL_DONE},
        {BARE, false, {"y,,", STR("y,,"), "", 0}, SASL_DONE},
        {BARE, true, {"y,,", STR("y,,"), "", 0}, SASL_MALFORMED}, /* downgrade */
        {BARE, true, {"n,,", STR("y,,"), "", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,x"), "", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,"), "", 0}, SASL_MALFORMED},
        {BARE, true, {"n,a=" USER ",", STR("n,a=" USER ","), "", 0}, SASL_DONE},
        {BARE, true, {"n,a=" USER ",", STR("n,,"), "", 0}, SASL_MALFORMED},
        {BARE, true, {"n,a=root,", STR("n,a=root,"), "", 0}, SASL_FAILED},
        {BARE, true, {"p=tls-exporter,,", STR("p=tls-exporter,," EXPORTER), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"n,,", STR("n,,"), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"y,,", STR("y,,"), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p=tls-exporter,,", STR("p=tls-exporter,," EXPORTER), "", 0}, SASL_DONE},
        {PLUS, true, {"p=tls-exporter,,", STR("p=tls-exporter,," ENDPOINT), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p=tls-exporter,,", STR("p=tls-exporter,,"), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p=tls-exporter,,", STR("n,,"), "", 0}, SASL_MALFORMED},
        {PLUS,
         true,
         {"p=tls-server-end-point,,", STR("p=tls-server-end-point,," ENDPOINT), "", 0},
         SASL_DONE},
        {PLUS,
         true,
         {"p=tls-server-end-point,,", STR("p=tls-server-end-point,," EXPORTER), "", 0},
         SASL_MALFORMED},
        {PLUS, true, {"p=tls-unique,,", STR("p=tls-unique,," EXPORTER), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p=TLS-EXPORTER,,", STR("p=TLS-EXPORTER,," EXPORTER), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p=,,", STR("p=,,"), "", 0}, SASL_MALFORMED},
        {PLUS, true, {"p,,", STR("p,,"), "", 0}, SASL_MALFORMED},
        /* extensions are ignored, but not what means something elsewhere */
        {BARE, true, {"n,,", STR("n,,"), ",x=1,y=a=b", 0}, SASL_DONE},
        {BARE, true, {"n,,", STR("n,,"), ",m=1", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), ",r=1", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), ",x", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), ",x=", 0}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), ",", 0}, SASL_MALFORMED},
        /* the nonce */
        {BARE, true, {"n,,", STR("n,,"), "", 1}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), "", SASL_NONCE_CHARS}, SASL_MALFORMED},
        {BARE, true, {"n,,", STR("n,,"), "x", 0}, SASL_MALFORMED},
        {SASL_SCRAM_SHA_1, true, {"n,,", STR("n,,"), "", 0}, SASL_DONE},
        {SASL_SCRAM_SHA_1_PLUS,
         true,
         {"p=tls-exporter,,", STR("p=tls-exporter,," EXPORTER), "", 0},
         SASL_DONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum sasl_event got = exchange(rows[i].mech, rows[i].plus_offered, &rows[i].f);
        if (got != rows[i].want)
            fail_msg("row %zu: %d", i, (int)got);
    }
}

static void no_binding_no_plus(void **state)
{
    (void)state;
    struct sasl *s = sasl_begin(&arena, PLUS, NULL, server_nonce, true);
    assert_int_equal(say(s, STR("p=tls-exporter,,n=" USER ",r=abc")), SASL_MALFORMED);
}

static void scram_first(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *name; /* NULL: malformed */
        const char *authzid;
    } rows[] = {
        {"n,,n=user,r=abc", "user", ""},
        {"n,,n=a=2Cb=3Dc,r=abc", "a,b=c", ""},
        {"n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc", "a,b=c", ""},
        {"n,a=o=2C,n=a,r=abc", "a", "o,"},
        {"n,,n=user,r=abc,x=y,Z=,=", NULL, NULL},
        {"n,,n=user,r=abc,x=y,Z==", "user", ""},
        {"n,,n=J\xc3\xb6rg,r=!~", "J\xc3\xb6rg", ""},
        {"n,,n=user,r==", "user", ""},
        {"n,,n=us=er,r=abc", NULL, NULL},
        {"n,,n=us=2cer,r=abc", NULL, NULL}, /* lower case is not in the grammar */
        {"n,,n=user=2,r=abc", NULL, NULL},
        {"n,,n=user=,r=abc", NULL, NULL},
        {"n,,n=,r=abc", NULL, NULL},
        {"n,,n=user,r=", NULL, NULL},
        {"n,,n=user,r=a b", NULL, NULL},
        {"n,,n=user,r=a\x7f", NULL, NULL},
        {"n,,n=user,r=a\xc3\xb6", NULL, NULL},
        {"n,,n=user,r=abc,", NULL, NULL},
        {"n,,n=user,,r=abc", NULL, NULL},
        {"n,,n=user", NULL, NULL},
        {"n,,n=user,", NULL, NULL},
        {"n,,r=abc,n=user", NULL, NULL},
        {"n,,r=abc", NULL, NULL},
        {"n,,m=x,n=user,r=abc", NULL, NULL}, /* RFC 5802 5.1 */
        {"n,,n=user,r=abc,m=x", NULL, NULL},
        {"n,,n=user,m=x,r=abc", NULL, NULL},
        {"n,n=user,r=abc", NULL, NULL},
        {"n,a=,n=user,r=abc", NULL, NULL},
        {"n,b=x,n=user,r=abc", NULL, NULL},
        {"n,x,n=user,r=abc", NULL, NULL},
        {"n,a=x\x01,n=user,r=abc", NULL, NULL},
        {"n,a==2,n=user,r=abc", NULL, NULL},
        {",,n=user,r=abc", NULL, NULL},
        {"nn,,n=user,r=abc", NULL, NULL},
        {"N,,n=user,r=abc", NULL, NULL},
        {"x,,n=user,r=abc", NULL, NULL},
        {"n,,N=user,r=abc", NULL, NULL},
        {"n,,n=us\ner,r=abc", NULL, NULL},
        {"n,,n=\xff,r=abc", NULL, NULL},
        {"n,,n=user,r=abc,x=\xff", NULL, NULL},
        {"n,,", NULL, NULL},
        {"n,", NULL, NULL},
        {"n", NULL, NULL},
        {"", NULL, NULL},
        {"F,n,,n=user,r=abc", NULL, NULL}, /* RFC 5801's flag of a mechanism that is none */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sasl *s = begin(SASL_SCRAM_SHA_256);
        enum sasl_event ev = say(s, str_c(rows[i].in));
        if (ev != (rows[i].name != NULL ? SASL_NEED_SALT : SASL_MALFORMED))
            fail_msg("%s: %d", rows[i].in, (int)ev);
        if (rows[i].name != NULL) {
            assert_str(sasl_question(s)->authcid, str_c(rows[i].name));
            assert_str(sasl_question(s)->authzid, str_c(rows[i].authzid));
            assert_int_equal(sasl_question(s)->hash_bits, 256);
        }
    }
    assert_int_equal(only_message(SASL_SCRAM_SHA_1, STR("n,,n=us\0er,r=abc")), SASL_MALFORMED);
    assert_int_equal(only_message(SASL_SCRAM_SHA_1, STR("n,,n=user,r=abc,x=\0")), SASL_MALFORMED);
}

static void scram_limits(void **state)
{
    (void)state;
    for (int d = -1; d <= 1; d++) {
        enum sasl_event want = d > 0 ? SASL_MALFORMED : SASL_NEED_SALT;
        struct sasl *s = begin(SASL_SCRAM_SHA_1); /* the nonce */
        assert_int_equal(say(s, arena_fmt(&arena, "n,,n=user,r=" STR_FMT,
                                          STR_ARG(repeat('r', (size_t)(512 + d))))),
                         want);
        s = begin(SASL_SCRAM_SHA_1); /* the message */
        assert_int_equal(say(s, arena_fmt(&arena, "n,,n=user,r=abc,x=" STR_FMT,
                                          STR_ARG(repeat('x', (size_t)(4096 - 18 + d))))),
                         want);
        s = begin(SASL_SCRAM_SHA_1); /* the name */
        assert_int_equal(say(s, arena_fmt(&arena, "n,,n=" STR_FMT ",r=abc",
                                          STR_ARG(repeat('n', (size_t)(SASL_NAME_MAX + d))))),
                         want);
        s = begin(SASL_SCRAM_SHA_1); /* the authzid */
        assert_int_equal(say(s, arena_fmt(&arena, "n,a=" STR_FMT ",n=user,r=abc",
                                          STR_ARG(repeat('a', (size_t)(SASL_NAME_MAX + d))))),
                         want);
    }
}

/* The second message as long as it may be, after a first one likewise: fits the arena. */
static void scram_longest(void **state)
{
    (void)state;
    for (int d = -1; d <= 1; d++) {
        struct sasl *s = begin(SASL_SCRAM_SHA_256);
        str_t bare =
            arena_fmt(&arena, "n=" USER ",r=abc,x=" STR_FMT, STR_ARG(repeat('x', 4096 - 3 - 26)));
        arena.used = 0; /* what the test itself took does not count; blocks are not reused */
        char first[5000], extension[5000];
        snprintf(first, sizeof first, "n,," STR_FMT, STR_ARG(bare));
        assert_int_equal(settle(s, say(s, str_c(first)), &the_account), SASL_CHALLENGE);
        size_t others = 2 + 4 + 3 + 3 + SASL_NONCE_CHARS + 3 + 3 + 44;
        snprintf(extension, sizeof extension, ",x=" STR_FMT,
                 STR_ARG(repeat('x', (size_t)(4096 - (int)others + d))));
        struct final f = {"n,,", STR("n,,"), extension, 0};
        size_t used = arena.used;
        arena.max = 4 * SASL_ARENA_MAX;
        str_t message = final_message(s, DIGEST_SHA256, &f, bare);
        assert_int_equal(message.len, 4096 + d);
        arena.used = used;
        arena.max = SASL_ARENA_MAX;
        assert_int_equal(settle(s, say(s, message), &the_account),
                         d > 0 ? SASL_MALFORMED : SASL_CHALLENGE);
    }
}

static void scram_final(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ",",
        "c=biws",
        "c=biws,r=%",
        "c=biws,r=%,p=",
        "c=biws,r=%,p=AAAA",                                         /* too short */
        "c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* too long */
        "c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAA*=",
        "c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "r=%,c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=,r=%",
        "c=,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biw,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=eSws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "m=x,c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=y",
        "c=biws,r=%,P=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=%,x=\xff,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    };
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        struct sasl *s = begin(SASL_SCRAM_SHA_1);
        assert_int_equal(settle(s, say(s, STR("n,,n=user,r=abc")), &the_account), SASL_CHALLENGE);
        bool wrong_only =
            i == sizeof bad / sizeof bad[0]; /* the control: grammar as it should be */
        str_t rest = str_c(wrong_only ? "c=biws,r=%,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=" : bad[i]), head;
        str_t message = rest;
        if (str_cut(&rest, '%', &head))
            message =
                arena_fmt(&arena, STR_FMT "abc%s" STR_FMT, STR_ARG(head), s->nonce, STR_ARG(rest));
        enum sasl_event ev = settle(s, say(s, message), &the_account);
        if (ev != (wrong_only ? SASL_FAILED : SASL_MALFORMED))
            fail_msg("row %zu: %d", i, (int)ev);
    }
}

static void scram_acknowledge(void **state)
{
    (void)state;
    struct sasl *s = begin(BARE);
    str_t bare = STR("n=" USER ",r=abc");
    struct final f = {"n,,", STR("n,,"), "", 0};
    assert_int_equal(settle(s, say(s, STR("n,,n=" USER ",r=abc")), &the_account), SASL_CHALLENGE);
    assert_int_equal(settle(s, say(s, final_message(s, DIGEST_SHA256, &f, bare)), &the_account),
                     SASL_CHALLENGE);
    assert_int_equal(say(s, STR("x")), SASL_MALFORMED);
}

/* Whatever the arena's size: an answer. */
static void every_arena(void **state)
{
    (void)state;
    bool done = false, begun = false;
    for (size_t max = 0; max < 4096; max += 8) {
        struct arena small;
        arena_init(&small, max);
        struct sasl *s = sasl_begin(&small, rfc5802.mech, &the_binding, server_nonce, false);
        if (s != NULL) {
            begun = true;
            str_toc(str_c(rfc5802.server_nonce), s->nonce, sizeof s->nonce);
            enum sasl_event ev = settle(s, say(s, rfc5802.c1), &the_account);
            if (ev == SASL_CHALLENGE)
                ev = say(s, rfc5802.c2);
            if (ev == SASL_CHECK)
                ev = sasl_checked(s, true, STR("12345678901234567890"));
            assert_true(ev == SASL_MALFORMED || ev == SASL_CHALLENGE);
            done = ev == SASL_CHALLENGE && say(s, STR("")) == SASL_DONE;
        }
        sasl_end(s);
        arena_free(&small);
    }
    assert_true(begun && done);
}

/* Each message of an exchange cut at every byte, and with each byte changed: never authenticated. */
static void damaged(void **state)
{
    (void)state;
    const struct example *x = &rfc5802;
    struct account user = {.name = STR("user"), .password = STR("pencil"), .iterations = 4096};
    struct buf salt;
    buf_init(&salt, 64);
    assert_true(base64_decode(&salt, str_c(x->salt)));
    user.salt = buf_str(&salt);
    for (size_t i = 0; i < 2 * (x->c1.len + x->c2.len); i++) {
        char m1[128], m2[128];
        memcpy(m1, x->c1.ptr, x->c1.len);
        memcpy(m2, x->c2.ptr, x->c2.len);
        str_t c1 = str_of(m1, x->c1.len), c2 = str_of(m2, x->c2.len);
        size_t at = i / 2;
        bool first = at < c1.len;
        str_t *victim = first ? &c1 : &c2;
        at = first ? at : at - c1.len;
        if (i % 2 == 0)
            victim->len = at;
        else
            (first ? m1 : m2)[at] ^= 1;
        struct sasl *s = begin_with(x->mech, false);
        str_toc(str_c(x->server_nonce), s->nonce, sizeof s->nonce);
        enum sasl_event ev = settle(s, say(s, c1), &user);
        if (ev == SASL_CHALLENGE)
            ev = settle(s, say(s, c2), &user);
        if (ev != SASL_MALFORMED && ev != SASL_FAILED)
            fail_msg("change %zu: %d", i, (int)ev);
    }
    buf_free(&salt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_examples),       cmocka_unit_test(scram_bindings),
        cmocka_unit_test(no_binding_no_plus), cmocka_unit_test(scram_first),
        cmocka_unit_test(scram_limits),       cmocka_unit_test(scram_longest),
        cmocka_unit_test(scram_final),        cmocka_unit_test(scram_acknowledge),
        cmocka_unit_test(every_arena),        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
