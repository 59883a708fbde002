/* test_server_tls.c: the server under TLS, with clients made of plain OpenSSL. */
#include "sys/server_rig.h"

#include <openssl/ssl.h>
#include <signal.h>

#include "sys/server_internal.h"
#include "sys/tls_make.h"

static struct tls_vault *vault, *empty_vault;
static struct tls_service *service, *empty_service;
static SSL_CTX *client_ctx;

static int make_all(void **state)
{
    (void)state;
    struct buf chain, key;
    struct err err;
    const struct tls_service_config config = {.name = "test", .tickets = true};
    buf_init(&chain, 1 << 16);
    buf_init(&key, 1 << 16);
    assert_int_equal(tls_make_pair(STR("mx.test"), &chain, &key, &err), RC_OK);
    const struct tls_pair pair = {.chain_pem = buf_str(&chain), .key_pem = buf_str(&key)};
    vault = tls_vault_new();
    empty_vault = tls_vault_new();
    assert_int_equal(tls_vault_set_pairs(vault, &pair, 1, &err), RC_OK);
    service = tls_service_new(vault, &config);
    empty_service = tls_service_new(empty_vault, &config);
    client_ctx = SSL_CTX_new(TLS_client_method());
    assert_true(service != NULL && empty_service != NULL && client_ctx != NULL);
    buf_free(&chain);
    buf_free(&key);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    SSL_CTX_free(client_ctx);
    tls_service_free(service);
    tls_service_free(empty_service);
    tls_vault_free(vault);
    tls_vault_free(empty_vault);
    return 0;
}

/* ---- clients ---- */

static SSL *shake(int fd)
{
    SSL *t = SSL_new(client_ctx);
    assert_true(t != NULL && SSL_set_fd(t, fd) == 1);
    assert_int_equal(SSL_connect(t), 1);
    return t;
}

static void tls_say(SSL *t, const char *text)
{
    assert_int_equal(SSL_write(t, text, (int)strlen(text)), (int)strlen(text));
}

static void tls_hear(SSL *t, const char *want)
{
    char got[256];
    int n = (int)strlen(want), at = 0;
    while (at < n) {
        int r = SSL_read(t, got + at, n - at);
        assert_true(r > 0);
        at += r;
    }
    assert_memory_equal(got, want, (size_t)n);
}

/* The end, in order (close_notify). */
static void tls_hear_end(SSL *t)
{
    char c;
    assert_int_equal(SSL_get_error(t, SSL_read(t, &c, 1)), SSL_ERROR_ZERO_RETURN);
    close(SSL_get_fd(t));
    SSL_free(t);
}

static void tls_leave(SSL *t)
{
    close(SSL_get_fd(t));
    SSL_free(t);
}

/* Whatever the server still sends (an alert) until it closes: none of it in the clear. */
static void hear_no_answer(int fd)
{
    char got[256];
    ssize_t n;
    while ((n = recv(fd, got, sizeof got, 0)) > 0)
        assert_int_equal(got[0], 0x15); /* RFC 8446 5.1: alert */
    close(fd);
}

static void wait_closed(struct rig *r)
{
    while (server_connections(r->server) > 0)
        usleep(500);
}

static void why_is(struct rig *r, const char *want)
{
    pthread_mutex_lock(&r->w.lock);
    assert_string_equal(r->w.why, want);
    pthread_mutex_unlock(&r->w.lock);
}

/* ---- tests ---- */

static void test_at_once(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, true);
    SSL *t[20];
    for (int i = 0; i < 20; i++) {
        t[i] = shake(dial(&r));
        tls_hear(t[i], GREETING "TLSv1.3\n");
    }
    for (int i = 0; i < 20; i++) {
        tls_say(t[i], "one\ntwo\n");
        tls_hear(t[i], "one!\ntwo!\n");
        tls_say(t[i], "quit\n");
        tls_hear(t[i], "quit!\n");
        tls_hear_end(t[i]);
    }
    finish(&r);
    assert_int_equal(r.w.tls_failures, 0);
}

static void test_starttls(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, false);
    int fd = dial(&r);
    hear(fd, GREETING);
    say(fd, "one\nstarttls\n");
    hear(fd, "one!\nstarttls!\n");
    SSL *t = shake(fd);
    tls_hear(t, "TLSv1.3\n");
    tls_say(t, "ping\n");
    tls_hear(t, "ping!\n");
    tls_say(t, "starttls\nping\n"); /* it is encrypted already: not asked again */
    tls_hear(t, "starttls!\nping!\n");
    tls_leave(t);
    finish(&r);
    assert_int_equal(r.w.tls_failures, 0);
}

/* What came behind STARTTLS in the clear is never obeyed. */
static void test_injection(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, false);
    int fd = dial(&r);
    hear(fd, GREETING);
    say(fd, "starttls\nping\n");
    hear(fd, "starttls!\n");
    hear_end(fd);
    wait_closed(&r);
    why_is(&r, "bytes before the handshake");
    fd = dial(&r); /* later, in a segment of its own */
    hear(fd, GREETING);
    say(fd, "starttls\n");
    hear(fd, "starttls!\n");
    say(fd, "ping\nping\n");
    hear_no_answer(fd);
    wait_closed(&r);
    assert_int_equal(r.w.tls_failures, 2);
    finish(&r);
}

static void test_plain_on_tls_port(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(4, 100, 100);
    l.plain_text = "this is TLS\n";
    start_with(&r, l, LONG_MS, service, true);
    int fd = dial(&r);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, "this is TLS\n"); /* once */
    hear_no_answer(fd);
    fd = dial(&r);
    shutdown(fd, SHUT_WR);
    hear_no_answer(fd);
    wait_closed(&r);
    assert_int_equal(r.w.tls_failures, 2);
    finish(&r);
}

static void test_no_certificate(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, empty_service, true);
    int fd = dial(&r);
    say(fd, "\x16\x03\x01\x01\x01"); /* a record of 257 bytes: found out when all of it is there */
    for (int i = 0; i < 32; i++)
        say(fd, "12345678");
    say(fd, ".");
    hear_no_answer(fd);
    wait_closed(&r);
    why_is(&r, "no certificate");
    finish(&r);
}

/* Nothing is sent before the handshake, and it has its own deadline. */
static void test_handshake_deadline(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(4, 100, 100);
    l.handshake_ms = 60;
    start_with(&r, l, LONG_MS, service, true);
    int silent = dial(&r), part = dial(&r);
    say(part, "\x16\x03\x01\x02"); /* the beginning of a client hello: moves no deadline */
    hear_end(silent);
    hear_end(part);
    wait_closed(&r);
    why_is(&r, "timeout");
    assert_int_equal(r.w.tls_failures, 2);
    SSL *t = shake(dial(&r));
    tls_hear(t, GREETING);
    usleep(100000); /* the deadline was the handshake's */
    tls_say(t, "ping\n");
    tls_hear(t, "TLSv1.3\nping!\n");
    tls_leave(t);
    finish(&r);
}

/* Sends what the client's side has to say, byte by byte, and gives it what comes. */
static void pump(SSL *t, int fd)
{
    char bytes[4096];
    int n = BIO_read(SSL_get_wbio(t), bytes, sizeof bytes);
    for (int i = 0; i < n; i++)
        assert_int_equal(send(fd, bytes + i, 1, MSG_NOSIGNAL), 1);
    if (n > 0)
        return;
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    assert_true(got > 0);
    BIO_write(SSL_get_rbio(t), bytes, (int)got);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, true);
    int fd = dial(&r), n, at = 0;
    char got[64];
    const char *want = GREETING "TLSv1.3\nping!\n";
    SSL *t = SSL_new(client_ctx);
    SSL_set_bio(t, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    while (SSL_connect(t) != 1)
        pump(t, fd);
    assert_int_equal(SSL_write(t, "ping\n", 5), 5);
    while (at < (int)strlen(want)) {
        if ((n = SSL_read(t, got + at, (int)strlen(want) - at)) > 0)
            at += n;
        else
            pump(t, fd);
    }
    assert_memory_equal(got, want, strlen(want));
    SSL_free(t);
    close(fd);
    finish(&r);
}

/* The header of a proxy and the client's hello in one segment; limits are the client's, and who is
 * refused is told nothing it could not read. */
static void test_proxied(void **state)
{
    (void)state;
    struct rig r;
    char bytes[4096], got[256];
    const str_t header = STR("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n");
    const char *want = GREETING "TLSv1.3\n192.0.2.1:56324 198.51.100.7:25\n";
    struct server_limits l = limits(4, 100, 1);
    l.proxied = exempt_9;
    start_with(&r, l, LONG_MS, service, true);
    int fd = dial_from(&r, "127.0.0.9"), n, at = 0;
    SSL *t = SSL_new(client_ctx);
    SSL_set_bio(t, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_connect(t);
    memcpy(bytes, header.ptr, header.len);
    n = (int)header.len + BIO_read(SSL_get_wbio(t), bytes + header.len, 2048);
    assert_int_equal(send(fd, bytes, (size_t)n, MSG_NOSIGNAL), n);
    while (SSL_connect(t) != 1)
        pump(t, fd);
    assert_int_equal(SSL_write(t, "who\n", 4), 4);
    while (at < (int)strlen(want))
        if ((n = SSL_read(t, got + at, (int)sizeof got - at)) > 0)
            at += n;
        else
            pump(t, fd);
    assert_memory_equal(got, want, strlen(want));
    int second = dial_from(&r, "127.0.0.9");
    assert_int_equal(send(second, header.ptr, header.len, MSG_NOSIGNAL), (ssize_t)header.len);
    hear_end(second);
    SSL_free(t);
    close(fd);
    finish(&r);
}

/* Many records in one segment: what OpenSSL has read is not forgotten when the turn is over, and
 * the only worker serves others meanwhile. */
static void test_small_records(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(1, 100, 100), LONG_MS, service, true);
    SSL *t = shake(dial(&r)), *other = shake(dial(&r));
    tls_hear(t, GREETING "TLSv1.3\n");
    tls_hear(other, GREETING "TLSv1.3\n");
    int fd = SSL_get_fd(t), total = 0;
    char wire[65536];
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(t, out);
    for (int i = 0; i < 500; i++)
        tls_say(t, i % 2 ? "x\n" : "yy\n");
    total = BIO_read(out, wire, sizeof wire);
    assert_int_equal(send(fd, wire, (size_t)total, MSG_NOSIGNAL), total);
    tls_say(other, "ping\n");
    tls_hear(other, "ping!\n");
    for (int i = 0; i < 500; i++)
        tls_hear(t, i % 2 ? "x!\n" : "yy!\n");
    close(fd);
    SSL_free(t);
    tls_leave(other);
    finish(&r);
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(1, 100, 100), LONG_MS, service, true);
    SSL *slow = shake(dial(&r)), *quick = shake(dial(&r));
    tls_hear(slow, GREETING "TLSv1.3\n");
    tls_hear(quick, GREETING "TLSv1.3\n");
    tls_say(slow, "big\nafter\nquit\n");
    tls_say(quick, "ping\n");
    tls_hear(quick, "ping!\n");
    char *piece = malloc(PIECE);
    for (int n = 0; n < BIG;) {
        int got = SSL_read(slow, piece, BIG - n < PIECE ? BIG - n : PIECE);
        assert_true(got > 0);
        for (int i = 0; i < got; i++)
            assert_int_equal(piece[i], 'b');
        n += got;
    }
    free(piece);
    tls_hear(slow, "after!\nquit!\n");
    tls_hear_end(slow);
    tls_leave(quick);
    finish(&r);
}

static void test_stall(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(4, 100, 100);
    l.output_stall_ms = 60;
    start_with(&r, l, LONG_MS, service, true);
    SSL *t = shake(dial(&r));
    tls_hear(t, GREETING "TLSv1.3\n");
    tls_say(t, "big\n");
    wait_closed(&r); /* cut off without our reading a byte */
    tls_leave(t);
    finish(&r);
}

static void test_half_close(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, true);
    SSL *t = shake(dial(&r));
    tls_say(t, "a\nb\n");
    assert_int_equal(SSL_shutdown(t), 0); /* our side: RFC 8446 6.1 lets the other go on */
    tls_hear(t, GREETING "TLSv1.3\na!\nb!\neof\n");
    tls_hear_end(t);
    finish(&r);
}

static void test_stop(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), LONG_MS, service, true);
    SSL *t = shake(dial(&r));
    tls_hear(t, GREETING "TLSv1.3\n");
    int shaking = dial(&r);
    while (server_connections(r.server) < 2)
        usleep(500);
    server_stop(r.server);
    tls_hear(t, "421 going\n");
    tls_hear_end(t);
    hear_end(shaking); /* nothing in the clear */
    assert_int_equal(r.w.goodbyes, 1);
    finish(&r);
}

static void test_expires(void **state)
{
    (void)state;
    struct rig r;
    start_with(&r, limits(4, 100, 100), 300, service, true);
    SSL *t = shake(dial(&r));
    tls_hear(t, GREETING "TLSv1.3\nlate\n");
    tls_hear_end(t);
    finish(&r);
}

/* ---- those who never end it ---- */

/* All places are taken by clients that have said hello and no more: they lose them, and who waited
 * for one gets it. */
static void test_crowd(void **state)
{
    (void)state;
    static int fd[SERVER_HANDSHAKES];
    struct rig r;
    struct rlimit files;
    char hello[4096];
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    if (files.rlim_max < 3 * SERVER_HANDSHAKES || setrlimit(RLIMIT_NOFILE, &files) != 0)
        skip();
    start_with(&r, limits(4, 3 * SERVER_HANDSHAKES, 10000), LONG_MS, service, true);
    SSL *t = SSL_new(client_ctx);
    SSL_set_bio(t, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_connect(t);
    int n = BIO_read(SSL_get_wbio(t), hello, sizeof hello);
    SSL_free(t);
    int part = dial(&r); /* takes none */
    assert_int_equal(send(part, hello, (size_t)n / 2, MSG_NOSIGNAL), n / 2);
    usleep(20000);
    assert_int_equal(r.server->handshakes, 0);
    for (int i = 0; i < SERVER_HANDSHAKES; i++) {
        char c;
        fd[i] = dial(&r);
        assert_int_equal(send(fd[i], hello, (size_t)n, MSG_NOSIGNAL), n);
        assert_int_equal(recv(fd[i], &c, 1, 0), 1); /* the server's hello: it has a place */
    }
    t = shake(dial(&r));
    tls_hear(t, GREETING "TLSv1.3\n");
    while (atomic_load(&r.w.tls_failures) == 0)
        usleep(500); /* on a slow machine: places were free until now */
    why_is(&r, "timeout");
    assert_int_equal(poll(&(struct pollfd){.fd = part, .events = POLLIN}, 1, 0), 0);
    tls_leave(t);
    close(part);
    for (int i = 0; i < SERVER_HANDSHAKES; i++)
        close(fd[i]);
    while (server_connections(r.server) > 0)
        usleep(500);
    assert_int_equal(r.server->handshakes, 0);
    finish(&r);
}

/* ---- many at once, for the sanitizers ---- */

static void *storm_main(void *arg)
{
    struct rig *r = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    char got[256];
    for (int i = 0; i < 25; i++) {
        int fd = dial(r), what = rand_r(&seed) % 4;
        SSL *t = SSL_new(client_ctx);
        SSL_set_fd(t, fd);
        if (what > 0 && SSL_connect(t) == 1) {
            if (what & 1)
                (void)SSL_write(t, "a\nb\nquit\n", 9);
            while ((what & 2) && SSL_read(t, got, sizeof got) > 0)
                ; /* until it quits, or its deadline comes, near other events */
        }
        tls_leave(t);
    }
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(8, 1000, 1000);
    l.handshake_ms = 5;
    start_with(&r, l, 5, service, true);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, storm_main, &r);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once),        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_injection),      cmocka_unit_test(test_plain_on_tls_port),
        cmocka_unit_test(test_no_certificate), cmocka_unit_test(test_handshake_deadline),
        cmocka_unit_test(test_byte_by_byte),   cmocka_unit_test(test_small_records),
        cmocka_unit_test(test_slow_reader),    cmocka_unit_test(test_stall),
        cmocka_unit_test(test_half_close),     cmocka_unit_test(test_stop),
        cmocka_unit_test(test_expires),        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_proxied),        cmocka_unit_test(test_crowd),
    };
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's own socket writes */
    int failed = cmocka_run_group_tests_name("workers as needed", tests, make_all, free_all);
    tell = true;
    return failed + cmocka_run_group_tests_name("handlers tell", tests, make_all, free_all);
}
