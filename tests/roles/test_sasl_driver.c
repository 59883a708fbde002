/* test_sasl_driver.c: channel bindings over real TLS: -PLUS is offered where there is something to
 * bind to, and what there is not is not taken. */
#include "sys/tls_rig.h"

#include "base/codec.h"
#include "roles/sasl_driver.h"

enum { NONE, EXPORTER = 1, END_POINT = 2 };

static const struct row {
    const char *name;
    int version;
    bool no_ems;  /* TLS 1.2 without an extended master secret */
    bool ed25519; /* the certificate: signed by itself, without a hash */
    int bindings; /* what there is */
} rows[] = {
    {"TLS 1.3", TLS1_3_VERSION, false, false, EXPORTER | END_POINT},
    {"TLS 1.3, Ed25519", TLS1_3_VERSION, false, true, EXPORTER},
    {"TLS 1.2", TLS1_2_VERSION, false, false, EXPORTER | END_POINT},
    {"TLS 1.2, Ed25519", TLS1_2_VERSION, false, true, EXPORTER},
    {"TLS 1.2 without EMS", TLS1_2_VERSION, true, false, END_POINT},
    {"TLS 1.2 without EMS, Ed25519", TLS1_2_VERSION, true, true, NONE},
};

/* What came of the handshake, on both sides. */
struct met {
    struct tls_info server;
    uint8_t exporter[32],
        end_point[32]; /* as the client has them, whether they are any good or not */
};

static void shake(const struct row *row, struct met *m)
{
    struct pki *ed = pki_make(NULL, &(struct pki_want){.names = "DNS:a", .ed25519 = true});
    const struct pki *cert = row->ed25519 ? ed : a_example;
    struct tls_vault *v = vault_with(cert, NULL);
    struct tls_service *s = service(v, "submission", NULL, true, false);
    struct echo e = {0};
    struct raw r;
    unsigned n = 0;
    raw_open(&r, echo_start(&e, s), row->version);
    if (row->no_ems)
        SSL_set_options(r.ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    assert_int_equal(SSL_connect(r.ssl), 1);
    assert_int_equal(SSL_export_keying_material(r.ssl, m->exporter, 32, "EXPORTER-Channel-Binding",
                                                24, (const unsigned char *)"", 0, 1),
                     1);
    X509_digest(cert->cert, EVP_sha256(), m->end_point, &n);
    SSL_shutdown(r.ssl);
    raw_close(&r);
    echo_end(&e);
    assert_true(e.shaken);
    m->server = e.info;
    tls_service_free(s);
    tls_vault_free(v);
    pki_free(ed);
}

/* ---- a desk where every proof is wrong: to be asked is enough ---- */

static int asked;

static enum rc fake_login(struct login_desk *desk, const struct store_login *q,
                          struct store_login_answer *out, struct err *err)
{
    (void)desk, (void)out;
    assert_int_equal(q->proof, STORE_PROOF_SCRAM);
    asked++;
    return err_set(err, RC_PERM, "5.7.8", "wrong");
}

static enum rc fake_scram(struct login_desk *desk, str_t name, uint8_t salt[static 16],
                          uint32_t *iterations, struct err *err)
{
    (void)desk, (void)name, (void)err;
    memset(salt, 's', 16);
    *iterations = 4096;
    return RC_OK;
}

/* The whole exchange of a client that binds by `header` with `data`. MALFORMED: the binding was not
 * taken; WRONG: it was, and core was asked. */
static enum sasl_turn bind_by(const struct tls_info *tls, enum sasl_mech mech, const char *header,
                              str_t data)
{
    struct login_desk desk;
    struct netaddr from = {0};
    const struct sasl_driver_who who = {.use = STORE_USE_SEND, .from = &from, .tls = tls};
    char first[200], bound[200];
    const char proof[32] = "wrong";
    struct buf b;
    login_desk_init(&desk, &env, 4);
    desk.login = fake_login;
    desk.scram = fake_scram;
    struct sasl_driver *d = sasl_driver_begin(&desk, &who, mech);
    assert_non_null(d);
    snprintf(first, sizeof first, "%sn=anna,r=clientnonce", header);
    enum sasl_turn turn = sasl_driver_step(d, str_c(first));
    if (turn == SASL_TURN_CHALLENGE) {
        str_t said = sasl_driver_challenge(d), nonce;
        size_t n = strlen(header);
        assert_true(str_cut(&said, ',', &nonce));
        memcpy(bound, header, n);
        memcpy(bound + n, data.ptr, data.len);
        buf_init(&b, 600);
        buf_add(&b, STR("c="));
        base64_encode(&b, str_of(bound, n + data.len));
        buf_addf(&b, "," STR_FMT ",p=", STR_ARG(nonce));
        base64_encode(&b, str_of(proof, sizeof proof));
        turn = sasl_driver_step(d, buf_str(&b));
        buf_free(&b);
    }
    sasl_driver_end(d);
    return turn;
}

static bool offers(unsigned set, enum sasl_mech m)
{
    return (set >> m & 1) != 0;
}

static void test_plus(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct met m;
        shake(r, &m);
        print_message("%s\n", r->name);
        unsigned set = sasl_driver_mechs(&m.server, false, false);
        assert_int_equal(offers(set, SASL_SCRAM_SHA_256_PLUS), r->bindings != NONE);
        assert_int_equal(offers(set, SASL_SCRAM_SHA_1_PLUS), r->bindings != NONE);
        assert_true(offers(set, SASL_SCRAM_SHA_256) && offers(set, SASL_PLAIN));
        str_t exporter = str_of(m.exporter, 32), end_point = str_of(m.end_point, 32);
        const enum sasl_mech plus = SASL_SCRAM_SHA_256_PLUS;
        assert_int_equal(bind_by(&m.server, plus, "p=tls-exporter,,", exporter),
                         r->bindings & EXPORTER ? SASL_TURN_WRONG : SASL_TURN_MALFORMED);
        assert_int_equal(bind_by(&m.server, plus, "p=tls-server-end-point,,", end_point),
                         r->bindings & END_POINT ? SASL_TURN_WRONG : SASL_TURN_MALFORMED);
        assert_int_equal(bind_by(&m.server, plus, "p=tls-exporter,,", end_point),
                         SASL_TURN_MALFORMED);
        assert_int_equal(bind_by(&m.server, plus, "p=tls-server-end-point,,", STR("")),
                         SASL_TURN_MALFORMED);
        /* "you offered none" is true where there was nothing to bind to, and a sign of somebody
         * between us where there was (RFC 5802 6) */
        assert_int_equal(bind_by(&m.server, SASL_SCRAM_SHA_256, "y,,", STR("")),
                         r->bindings == NONE ? SASL_TURN_WRONG : SASL_TURN_MALFORMED);
        assert_int_equal(bind_by(&m.server, SASL_SCRAM_SHA_256, "n,,", STR("")), SASL_TURN_WRONG);
    }
    assert_true(asked > 0);
}

static void test_without_tls(void **state)
{
    (void)state;
    assert_int_equal(sasl_driver_mechs(NULL, false, true), 0);
    unsigned here = sasl_driver_mechs(NULL, true, true);
    assert_true(offers(here, SASL_PLAIN) && offers(here, SASL_SCRAM_SHA_256));
    assert_false(offers(here, SASL_SCRAM_SHA_256_PLUS) || offers(here, SASL_OAUTHBEARER) ||
                 offers(here, SASL_EXTERNAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plus),
        cmocka_unit_test(test_without_tls),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_all, free_all);
}
