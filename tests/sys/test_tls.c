/* test_tls.c: both sides of tls.h against each other, and each against peers of another making:
 * handshakes that succeed, and what comes after them. Resumption, names and failures have files of
 * their own (test_tls_*.c); the fixture is tls_rig.h. */
#include "sys/tls_rig.h"

static void test_both_sides_agree(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, b_example);
    struct tls_service *s = service(v, "smtp", "smtp", true, false);
    struct tls_client *c = tls_client_new(v);
    struct echo e = {0};
    struct tls_info info;
    struct err err = {0};
    struct tls_client_config config = asks("MX.a.example", TLS_VERIFY_NAME);
    config.alpn = "smtp";
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    assert_true(e.shaken);
    assert_int_equal(e.end, TLS_IO_CLOSED); /* close_notify came */
    assert_int_equal(e.echoed, 50000);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(e.info.cipher, info.cipher);
    assert_true(info.bits >= 128);
    assert_string_equal(e.info.server_name, "mx.a.example");
    assert_string_equal(info.server_name, "mx.a.example");
    assert_string_equal(e.info.alpn, "smtp");
    assert_string_equal(info.alpn, "smtp");
    assert_true(info.has_exporter && e.info.has_exporter);
    assert_memory_equal(info.exporter, e.info.exporter, 32);
    assert_int_equal(info.end_point_len, 32);
    assert_int_equal(e.info.end_point_len, 32);
    assert_memory_equal(info.end_point, e.info.end_point, 32);
    assert_false(e.info.has_client_cert);
    assert_false(info.resumed);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_client_certificate(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "submission", NULL, true, true);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo none = {0};
    assert_int_equal(meet(c, s, &config, &info, &none, &err), RC_OK);
    assert_false(none.info.has_client_cert);
    config.cert_pem = str_c(other_ca->cert_pem); /* any will do: nobody's but its hash counts */
    config.key_pem = str_c(other_ca->key_pem);
    uint8_t hash[64];
    unsigned n = 0;
    X509_digest(other_ca->cert, EVP_sha256(), hash, &n);
    for (int i = 0; i < 2; i++) { /* the second is resumed, and knows it still */
        struct echo e = {0};
        assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
        assert_int_equal(e.info.resumed, i);
        assert_true(e.info.has_client_cert);
        assert_memory_equal(e.info.client_cert, hash, 32);
    }
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_alpn(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *with = service(v, "pop3", "pop3", true, false);
    struct tls_service *without = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo e[4] = {0};
    assert_int_equal(meet(c, with, &config, &info, &e[0], &err), RC_OK); /* names none */
    assert_string_equal(info.alpn, "");
    config.alpn = "http/1.1";
    assert_int_equal(meet(c, with, &config, &info, &e[1], &err), RC_TEMP);
    assert_string_equal(err.status, "4.7.0");
    assert_string_equal(err.text, "TLS: the other side refused: no application protocol");
    assert_string_equal(e[1].why, "no shared application protocol");
    assert_int_equal(meet(c, without, &config, &info, &e[2], &err), RC_TEMP);
    config.alpn = "pop3";
    assert_int_equal(meet(c, with, &config, &info, &e[3], &err), RC_OK);
    assert_string_equal(e[3].info.alpn, "pop3");
    tls_client_free(c);
    tls_service_free(with);
    tls_service_free(without);
    tls_vault_free(v);
}

static void test_old_versions_and_suites(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(b_example, NULL); /* RSA: for the old suites */
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    static const struct {
        int version;
        const char *suites;
        bool good;
        const char *why; /* or, if good, the name that the registry has for the suite */
    } cases[] = {
        {TLS1_VERSION, "ALL", false, "the other side knows no TLS 1.2 or later"},
        {TLS1_1_VERSION, "ALL", false, "the other side knows no TLS 1.2 or later"},
        {TLS1_2_VERSION, "AES128-SHA", false, "no shared cipher"},
        {TLS1_2_VERSION, "AES128-GCM-SHA256", false, "no shared cipher"}, /* no forward secrecy */
        {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", false, "no shared cipher"}, /* no AEAD */
        {TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", true,
         "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
        {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", true,
         "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
        {TLS1_3_VERSION, "ALL", true, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct echo e = {0};
        struct raw r;
        raw_open(&r, echo_start(&e, s), cases[i].version);
        SSL_set_cipher_list(r.ssl, cases[i].suites);
        assert_int_equal(SSL_connect(r.ssl) == 1, cases[i].good);
        if (cases[i].good)
            SSL_shutdown(r.ssl);
        raw_close(&r);
        echo_end(&e);
        assert_int_equal(e.shaken, cases[i].good);
        if (!cases[i].good)
            assert_string_equal(e.why, cases[i].why);
        if (cases[i].good)
            assert_true(e.info.has_exporter); /* of 1.2 too: extended master secret */
        if (cases[i].good && cases[i].why != NULL)
            assert_string_equal(e.info.cipher, cases[i].why);
    }
    tls_service_free(s);
    tls_vault_free(v);
}

/* RFC 9266: with TLS 1.2, only where there is an extended master secret. */
static void test_exporter_of_12(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    for (int with = 0; with < 2; with++) {
        struct echo e = {0};
        struct raw r;
        uint8_t ours[32];
        raw_open(&r, echo_start(&e, s), TLS1_2_VERSION);
        if (!with)
            SSL_set_options(r.ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
        assert_int_equal(SSL_connect(r.ssl), 1);
        assert_int_equal(SSL_export_keying_material(r.ssl, ours, 32, "EXPORTER-Channel-Binding", 24,
                                                    (const unsigned char *)"", 0, 1),
                         1);
        SSL_shutdown(r.ssl);
        raw_close(&r);
        echo_end(&e);
        assert_int_equal(e.info.has_exporter, with);
        if (with)
            assert_memory_equal(e.info.exporter, ours, 32);
    }
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_no_renegotiation(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct echo e = {0};
    struct raw r;
    char byte;
    raw_open(&r, echo_start(&e, s), TLS1_2_VERSION);
    assert_int_equal(SSL_connect(r.ssl), 1);
    assert_int_equal(SSL_renegotiate(r.ssl), 1);
    assert_true(SSL_do_handshake(r.ssl) != 1 || SSL_read(r.ssl, &byte, 1) <= 0);
    raw_close(&r);
    echo_end(&e);
    assert_true(e.shaken);
    assert_int_equal(e.echoed, 0);
    tls_service_free(s);
    tls_vault_free(v);
}

/* A few new keys are in order; a flood of them is not. */
static void test_key_updates(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    const int counts[] = {8, 200};
    for (size_t i = 0; i < 2; i++) {
        struct echo e = {0};
        struct raw r;
        char byte = 'x';
        bool good = true;
        raw_open(&r, echo_start(&e, s), TLS1_3_VERSION);
        assert_int_equal(SSL_connect(r.ssl), 1);
        for (int k = 0; good && k < counts[i]; k++)
            good = SSL_key_update(r.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
                   SSL_write(r.ssl, &byte, 1) == 1 && SSL_read(r.ssl, &byte, 1) == 1;
        assert_int_equal(good, i == 0);
        if (good)
            SSL_shutdown(r.ssl);
        raw_close(&r);
        echo_end(&e);
        assert_int_equal(e.end, i == 0 ? TLS_IO_CLOSED : TLS_IO_FAILED);
        if (i == 1)
            assert_string_equal(e.why, "the other side changes keys too often");
    }
    tls_service_free(s);
    tls_vault_free(v);
}

/* A read that had no time left may be tried again; an end without close_notify is none in order. */
static void test_client_reads(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0};
    int fd = echo_start(&e, s);
    struct conn *conn = conn_over(fd);
    char byte;
    size_t got = 9;
    assert_int_equal(
        tls_client_start(c, &env, &conn, &config, sys_mono_ms() + LONG_MS, &info, &err), RC_OK);
    assert_int_equal(conn->ops->read(conn, &byte, 1, &got, sys_mono_ms() + 20), RC_TEMP);
    assert_int_equal(got, 0);
    exchange(conn, 10);
    shutdown(fd, SHUT_RD); /* the end of the stream, as if the other side had been killed */
    assert_int_equal(conn->ops->read(conn, &byte, 1, &got, sys_mono_ms() + LONG_MS), RC_CLOSED);
    conn->ops->close(conn);
    echo_end(&e);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

/* Bytes that were read from the socket but not yet asked for: no readiness tells of them. */
static void test_pending(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct raw r;
    int fds[2];
    char bytes[64], record[512];
    size_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    raw_open(&r, fds[1], 0);
    struct tls *t = tls_accept(s, fds[0]);
    bool ours = false, theirs = false;
    for (int i = 0; i < 20 && !(ours && theirs); i++) {
        theirs = SSL_connect(r.ssl) == 1;
        ours = tls_handshake(t) == TLS_IO_OK;
    }
    assert_true(ours && theirs);
    /* two records at once, the first in two reads */
    assert_int_equal(SSL_write(r.ssl, "abc", 3), 3);
    assert_int_equal(SSL_write(r.ssl, "d", 1), 1);
    const char *want = "abcd";
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tls_read(t, bytes, 2, &n), TLS_IO_OK);
        assert_memory_equal(bytes, want, n);
        want += n;
        assert_int_equal(tls_pending(t), i < 2);
    }
    assert_int_equal(tls_read(t, bytes, 2, &n), TLS_IO_WANT_READ);
    /* half a record: the rest will make the socket readable */
    BIO *b = BIO_new(BIO_s_mem());
    BIO_up_ref(b);
    SSL_set0_wbio(r.ssl, b);
    assert_int_equal(SSL_write(r.ssl, "e", 1), 1);
    int len = BIO_read(b, record, sizeof record);
    assert_true(len > 10);
    send_all(fds[1], str_of(record, 10));
    assert_int_equal(tls_read(t, bytes, 2, &n), TLS_IO_WANT_READ);
    assert_false(tls_pending(t));
    send_all(fds[1], str_of(record + 10, (size_t)len - 10));
    assert_int_equal(tls_read(t, bytes, 2, &n), TLS_IO_OK);
    assert_int_equal(bytes[0], 'e');
    tls_close(t);
    close(fds[0]);
    raw_close(&r);
    BIO_free(b);
    tls_service_free(s);
    tls_vault_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_agree),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_old_versions_and_suites),
        cmocka_unit_test(test_exporter_of_12),
        cmocka_unit_test(test_no_renegotiation),
        cmocka_unit_test(test_key_updates),
        cmocka_unit_test(test_client_reads),
        cmocka_unit_test(test_pending),
    };
    signal(SIGPIPE, SIG_IGN); /* the raw clients write as OpenSSL does */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
