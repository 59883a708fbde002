/* test_tls_resumption.c: sessions that go on where another ended: tickets, their keys, and what must
 * not be resumed. */
#include "sys/tls_rig.h"

static void test_resumption(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, b_example);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    for (int i = 0; i < 3; i++) {
        struct echo e = {0};
        assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
        assert_int_equal(info.resumed, i > 0);
        assert_int_equal(e.info.resumed, i > 0);
        assert_memory_equal(info.exporter, e.info.exporter, 32);
        assert_int_equal(info.end_point_len, 32);
        assert_memory_equal(info.end_point, e.info.end_point, 32);
    }
    /* What was not verified is not resumed where it must be. */
    struct echo e = {0};
    config.verify = TLS_VERIFY_NAME;
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    assert_false(info.resumed);
    /* Nor towards another name. */
    struct echo e2 = {0};
    config = asks("b.example", TLS_VERIFY_NONE);
    assert_int_equal(meet(c, s, &config, &info, &e2, &err), RC_OK);
    assert_false(info.resumed);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

/* The client offers what it got from one service (it knows but host and port) to another. */
static void expect_no_resumption(struct tls_service *first, struct tls_service *second,
                                 struct tls_vault *v)
{
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0}, e2 = {0};
    assert_int_equal(meet(c, first, &config, &info, &e, &err), RC_OK);
    assert_int_equal(meet(c, second, &config, &info, &e2, &err), RC_OK);
    assert_false(info.resumed);
    assert_false(e2.info.resumed);
    tls_client_free(c);
}

static void test_tickets_are_bound(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *smtp = service(v, "smtp", NULL, true, false);
    struct tls_service *submission = service(v, "submission", NULL, true, false);
    struct tls_service *none = service(v, "none", NULL, false, false);
    expect_no_resumption(smtp, submission, v);
    expect_no_resumption(none, none, v);
    tls_service_free(smtp);
    tls_service_free(submission);
    tls_service_free(none);
    tls_vault_free(v);
}

static void test_ticket_ends_with_its_certificate(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0}, e2 = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    struct tls_pair fresh = pki_pair("", b_example);
    assert_int_equal(tls_vault_set_pairs(v, &fresh, 1, &err), RC_OK);
    assert_int_equal(meet(c, s, &config, &info, &e2, &err), RC_OK);
    assert_false(info.resumed);
    assert_memory_equal(info.end_point, e2.info.end_point, 32);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

/* A key encrypts for 12 hours, and decrypts for 12 more. */
static void test_ticket_keys_rotate(void **state)
{
    (void)state;
    const int64_t period = TLS_TICKET_KEY_S * (int64_t)1000;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_tickets *t = &s->tickets;
    struct tls_ticket_key first, second, got;
    bool late;
    assert_true(tls_tickets_key(t, NULL, 0, &first, &late));
    assert_true(tls_tickets_key(t, NULL, period - 1, &second, &late));
    assert_memory_equal(first.name, second.name, 16);
    assert_true(tls_tickets_key(t, NULL, period, &second, &late));
    assert_memory_not_equal(first.name, second.name, 16);
    assert_memory_not_equal(first.cipher, second.cipher, 32);
    assert_memory_not_equal(first.mac, second.mac, 32);
    assert_true(tls_tickets_key(t, first.name, 2 * period - 1, &got, &late));
    assert_true(late);
    assert_memory_equal(got.cipher, first.cipher, 32);
    assert_true(tls_tickets_key(t, second.name, 2 * period - 1, &got, &late));
    /* not used for long: nothing of the past opens */
    assert_false(tls_tickets_key(t, second.name, 3 * period, &got, &late));
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_tickets_off_for_12(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    for (int on = 0; on < 2; on++) {
        struct tls_service *s = service(v, "smtp", NULL, on, false);
        struct echo e = {0};
        struct raw r;
        raw_open(&r, echo_start(&e, s), TLS1_2_VERSION);
        assert_int_equal(SSL_connect(r.ssl), 1);
        assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(r.ssl)), on);
        SSL_shutdown(r.ssl);
        raw_close(&r);
        echo_end(&e);
        tls_service_free(s);
    }
    tls_vault_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_tickets_are_bound),
        cmocka_unit_test(test_ticket_ends_with_its_certificate),
        cmocka_unit_test(test_ticket_keys_rotate),
        cmocka_unit_test(test_tickets_off_for_12),
    };
    signal(SIGPIPE, SIG_IGN); /* the raw clients write as OpenSSL does */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
