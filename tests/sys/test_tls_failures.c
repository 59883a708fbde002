/* test_tls_failures.c: peers that speak no TLS, stall, or break off. */
#include "sys/tls_rig.h"

static void test_noise_for_the_server(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    static const struct {
        str_t bytes;
        const char *why;
    } cases[] = {
        {STR("EHLO client.example\r\nMAIL FROM:<>\r\n"), "what the other side sends is not TLS"},
        {STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "what the other side sends is not TLS"},
        {STR("\x16\x03\x01\x02\x00\x01\x00"), "the connection was cut"},
        {STR(""), "the connection was cut"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct echo e = {0};
        int fd = echo_start(&e, s);
        send_all(fd, cases[i].bytes);
        shutdown(fd, SHUT_WR);
        echo_end(&e);
        close(fd);
        assert_false(e.shaken);
        assert_int_equal(e.end, TLS_IO_FAILED);
        assert_string_equal(e.why, cases[i].why);
    }
    tls_service_free(s);
    tls_vault_free(v);
}

/* Empty records, each alone in order, without end. */
static void test_endless_handshake(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct echo e = {0};
    int fd = echo_start(&e, s);
    /* a client hello of 128 KiB (OpenSSL takes less), one byte in a record */
    char one[6] = {0x16, 3, 1, 0, 1, 0};
    const uint8_t head[] = {1, 1, 0xff, 0xff};
    struct buf b;
    buf_init(&b, 2 << 20);
    for (size_t i = 0; i < 200000; i++) {
        one[5] = i < sizeof head ? (char)head[i] : 0;
        buf_add(&b, str_of(one, sizeof one));
    }
    send_all(fd, buf_str(&b));
    echo_end(&e);
    close(fd);
    buf_free(&b);
    assert_false(e.shaken);
    assert_int_equal(e.end, TLS_IO_FAILED);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_cut_during_the_handshake(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {.refuses = true};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_TEMP);
    assert_string_equal(err.status, "4.4.2");
    assert_non_null(strstr(err.text, "during the handshake"));
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

/* Servers that say this and end. */
static void test_noise_for_the_client(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    static const struct {
        str_t bytes;
        const char *status, *text;
    } cases[] = {
        {STR("250 injected\r\n"), "4.7.0", "TLS: what the other side sends is not TLS"},
        {STR("\x15\x03\x03\x00\x02\x02\x28"), "4.7.0",
         "TLS: the other side refused: handshake failure"},
        {STR("\x16\x03\x03\x00\x40\x02\x00"), "4.4.2",
         "TLS: the connection was cut during the handshake"},
        {STR(""), "4.4.2", "TLS: the connection was cut during the handshake"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fds[2];
        struct err err = {0};
        struct tls_info info;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        send_all(fds[0], cases[i].bytes);
        shutdown(fds[0], SHUT_WR);
        struct conn *conn = conn_over(fds[1]);
        assert_int_equal(
            tls_client_start(c, &env, &conn, &config, sys_mono_ms() + LONG_MS, &info, &err),
            RC_TEMP);
        assert_null(conn);
        assert_string_equal(err.status, cases[i].status);
        assert_string_equal(err.text, cases[i].text);
        close(fds[0]);
    }
    tls_client_free(c);
    tls_vault_free(v);
}

static void test_silent_server(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NONE);
    struct err err = {0};
    struct tls_info info;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct conn *conn = conn_over(fds[1]);
    assert_int_equal(tls_client_start(c, &env, &conn, &config, sys_mono_ms() + 50, &info, &err),
                     RC_TEMP);
    assert_string_equal(err.status, "4.4.2");
    assert_string_equal(err.text, "TLS: no answer in time during the handshake");
    close(fds[0]);
    tls_client_free(c);
    tls_vault_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_for_the_server),
        cmocka_unit_test(test_endless_handshake),
        cmocka_unit_test(test_cut_during_the_handshake),
        cmocka_unit_test(test_noise_for_the_client),
        cmocka_unit_test(test_silent_server),
    };
    signal(SIGPIPE, SIG_IGN); /* the raw clients write as OpenSSL does */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
