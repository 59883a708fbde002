/* test_tls.c: Both sides of tls.h against each other over a socket pair, and each against peers of
 * another making: wrong versions, wrong names, floods, noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/clock.h"
#include "sys/env.h"
#include "sys/net.h"
#include "sys/tls.h"
#include "sys/tls_internal.h"
#include "sys/tls_make.h"
#include "tls_pki.h"

#define LONG_MS 20000

/* ---- the authority and the certificates, made once ---- */

static struct pki *ca, *other_ca, *a_example, *b_example, *old, *early, *plain_ip;
static struct env env;

static int make_all(void **state)
{
    (void)state;
    sys_env_init(&env);
    ca = pki_make(NULL, &(struct pki_want){0});
    other_ca = pki_make(NULL, &(struct pki_want){.called = "another authority"});
    a_example = pki_make(ca, &(struct pki_want){.names = "DNS:mx.a.example,DNS:*.wild.example"});
    b_example = pki_make(ca, &(struct pki_want){.names = "DNS:B.example", .rsa_bits = 2048});
    old =
        pki_make(ca, &(struct pki_want){.names = "DNS:mx.a.example", .from_days = -9, .days = -2});
    early =
        pki_make(ca, &(struct pki_want){.names = "DNS:mx.a.example", .from_days = 2, .days = 9});
    plain_ip = pki_make(ca, &(struct pki_want){.names = "IP:192.0.2.7"});
    return 0;
}

static int free_all(void **state)
{
    struct pki *all[] = {ca, other_ca, a_example, b_example, old, early, plain_ip};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pki_free(all[i]);
    return 0;
}

static struct tls_vault *vault_with(const struct pki *first, const struct pki *second)
{
    struct err err = {0};
    struct tls_vault *v = tls_vault_new();
    struct tls_pair pairs[2];
    size_t n = 0;
    if (first != NULL)
        pairs[n++] = pki_pair("", first);
    if (second != NULL)
        pairs[n++] = pki_pair("alias.example", second);
    assert_int_equal(tls_vault_set_pairs(v, pairs, n, &err), RC_OK);
    assert_int_equal(tls_vault_set_authorities(v, str_c(ca->cert_pem), &err), RC_OK);
    return v;
}

/* ---- the server's side, in a thread: echoes ---- */

struct echo {
    struct tls_service *service;
    int fd;
    pthread_t thread;
    bool shaken;
    struct tls_info info;
    char why[128];
    enum tls_io end;
    size_t echoed;
    bool refuses;                     /* closes at once */
    void (*accepted)(struct echo *e); /* called before the handshake */
    void *arg;
};

static bool wait_fd(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, LONG_MS) > 0;
}

static enum tls_io wait_io(int fd, enum tls_io io)
{
    if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE)
        assert_true(wait_fd(fd, io == TLS_IO_WANT_READ ? POLLIN : POLLOUT));
    return io;
}

static bool goes_on(enum tls_io io)
{
    return io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE;
}

static void echo_bytes(struct echo *e, struct tls *t)
{
    char bytes[3000]; /* less than a record: some stay pending */
    size_t n;
    for (;;) {
        e->end = tls_read(t, bytes, sizeof bytes, &n);
        if (e->end == TLS_IO_OK) {
            str_t rest = str_of(bytes, n);
            while (rest.len > 0) {
                size_t sent = 0;
                enum tls_io io = tls_write(t, rest, &sent);
                if (!goes_on(wait_io(e->fd, io)) && io != TLS_IO_OK) {
                    e->end = io;
                    return;
                }
                rest = str_from(rest, sent);
            }
            e->echoed += n;
        } else if (!goes_on(e->end)) {
            return;
        } else {
            assert_false(tls_pending(t)); /* or readiness would never tell */
            (void)wait_io(e->fd, e->end);
        }
    }
}

static void *echo_main(void *arg)
{
    struct echo *e = arg;
    struct tls *t = tls_accept(e->service, e->fd);
    assert_non_null(t);
    enum tls_io io;
    if (e->accepted != NULL)
        e->accepted(e);
    while (goes_on(io = e->refuses ? TLS_IO_CLOSED : tls_handshake(t)))
        (void)wait_io(e->fd, io);
    e->shaken = io == TLS_IO_OK;
    e->end = io;
    if (e->shaken) {
        e->info = *tls_info(t);
        echo_bytes(e, t);
    }
    snprintf(e->why, sizeof e->why, "%s", tls_why(t));
    tls_close(t);
    close(e->fd);
    return NULL;
}

/* Starts it; the client's end of the pair. */
static int echo_start(struct echo *e, struct tls_service *s)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    e->service = s;
    e->fd = fds[0];
    assert_int_equal(pthread_create(&e->thread, NULL, echo_main, e), 0);
    return fds[1];
}

static void echo_end(struct echo *e)
{
    pthread_join(e->thread, NULL);
}

static struct tls_service *service(struct tls_vault *v, const char *name, const char *alpn,
                                   bool tickets, bool ask)
{
    struct tls_service_config c = {
        .name = name, .alpn = alpn, .tickets = tickets, .ask_client_cert = ask};
    struct tls_service *s = tls_service_new(v, &c);
    assert_non_null(s);
    return s;
}

/* ---- the client's side ---- */

static struct conn *conn_over(int fd)
{
    struct netaddr peer = {0}, local = {0};
    assert_true(netaddr_parse_port(STR("192.0.2.7:25"), &peer));
    return net_conn_new(fd, &peer, &local);
}

static struct tls_client_config asks(const char *name, enum tls_verify verify)
{
    return (struct tls_client_config){.name = str_c(name), .verify = verify};
}

static void exchange(struct conn *c, size_t size)
{
    char *out = malloc(size), *in = malloc(size);
    size_t at = 0, got;
    memset(out, 'x', size);
    /* in pieces that the buffers of a socket pair hold, for the other side echoes meanwhile */
    while (at < size) {
        size_t piece = size - at < 20000 ? size - at : 20000, back = 0;
        assert_int_equal(c->ops->write(c, str_of(out + at, piece), sys_mono_ms() + LONG_MS), RC_OK);
        while (back < piece) {
            assert_int_equal(
                c->ops->read(c, in + at + back, piece - back, &got, sys_mono_ms() + LONG_MS),
                RC_OK);
            assert_true(got > 0);
            back += got;
        }
        at += piece;
    }
    assert_memory_equal(in, out, size);
    free(in);
    free(out);
}

/* One connection from beginning to end; RC of the handshake. */
static enum rc meet(struct tls_client *c, struct tls_service *s,
                    const struct tls_client_config *config, struct tls_info *info, struct echo *e,
                    struct err *err)
{
    struct conn *conn = conn_over(echo_start(e, s));
    enum rc rc = tls_client_start(c, &env, &conn, config, sys_mono_ms() + LONG_MS, info, err);
    assert_int_equal(conn != NULL, rc == RC_OK);
    if (rc == RC_OK) {
        exchange(conn, 50000);
        conn->ops->close(conn);
    }
    echo_end(e);
    return rc;
}

/* ---- tests: handshakes that succeed ---- */

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

/* Which certificate a name gets: told by the end point's hash. */
static void expect_cert(struct tls_client *c, struct tls_service *s, const char *name,
                        const struct pki *expected)
{
    struct echo e = {0};
    struct tls_info info;
    struct err err = {0};
    uint8_t hash[64];
    unsigned n = 0;
    struct tls_client_config config = asks(name, TLS_VERIFY_NONE);
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    X509_digest(expected->cert, EVP_sha256(), hash, &n);
    assert_int_equal(info.end_point_len, n);
    assert_memory_equal(info.end_point, hash, n);
    assert_memory_equal(e.info.end_point, hash, n);
}

static void test_names(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, b_example);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    expect_cert(c, s, "mx.a.example", a_example);
    expect_cert(c, s, "b.example", b_example);
    expect_cert(c, s, "alias.example", b_example); /* the name it was given */
    expect_cert(c, s, "x.wild.example", a_example);
    expect_cert(c, s, "unknown.example", a_example); /* the first */
    expect_cert(c, s, "192.0.2.7", a_example);       /* no name is sent */
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
    /* one label only: with the wildcard's certificate second, two labels get the first */
    v = vault_with(b_example, a_example);
    s = service(v, "smtp", NULL, true, false);
    c = tls_client_new(v);
    expect_cert(c, s, "x.wild.example", a_example);
    expect_cert(c, s, "x.y.wild.example", b_example);
    expect_cert(c, s, "wild.example", b_example);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

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

/* ---- certificates are exchanged ---- */

static void swap_certs(struct echo *e)
{
    struct err err = {0};
    struct tls_pair fresh = pki_pair("", b_example);
    assert_int_equal(tls_vault_set_pairs(e->arg, &fresh, 1, &err), RC_OK);
}

static void test_reload(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    /* one that shakes hands meanwhile keeps the certificate it began with: b would not verify */
    struct echo e = {.accepted = swap_certs, .arg = v};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    expect_cert(c, s, "mx.a.example", b_example);
    /* what is broken changes nothing */
    struct tls_pair bad[] = {pki_pair("good", a_example), pki_pair("bad", a_example)};
    bad[1].key_pem = str_c(b_example->key_pem);
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_string_equal(err.text, "certificate bad: the key is not that of the certificate");
    bad[1].key_pem = STR("nonsense");
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_non_null(strstr(err.text, "no private key"));
    bad[1] = (struct tls_pair){STR("bad"), STR("nonsense"), str_c(b_example->key_pem)};
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_non_null(strstr(err.text, "no certificate"));
    expect_cert(c, s, "mx.a.example", b_example);
    assert_true(tls_vault_ready(v));
    assert_int_equal(tls_vault_set_pairs(v, NULL, 0, &err), RC_OK);
    assert_false(tls_vault_ready(v));
    assert_null(tls_accept(s, -1));
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_pem_oddities(void **state)
{
    (void)state;
    struct err err = {0};
    struct tls_vault *v = tls_vault_new();
    /* a key under a passphrase: said, not asked for */
    char locked[4096];
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(b, a_example->key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    pki_pem(locked, sizeof locked, b);
    struct tls_pair p = pki_pair("x", a_example);
    p.key_pem = str_c(locked);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_non_null(strstr(err.text, "passphrase"));
    /* a chain cut in the middle of its second certificate */
    char chain[8192];
    snprintf(chain, sizeof chain, "%s%s", a_example->cert_pem, ca->cert_pem);
    p = pki_pair("x", a_example);
    p.chain_pem = str_c(chain);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_OK);
    p.chain_pem.len -= 100;
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_non_null(strstr(err.text, "broken"));
    /* too weak */
    struct pki *weak = pki_make(ca, &(struct pki_want){.names = "DNS:weak", .rsa_bits = 1024});
    p = pki_pair("x", weak);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_string_equal(err.text, "certificate x: it cannot be used: the key is too small");
    pki_free(weak);
    /* authorities: none is fine, half of one is not */
    assert_int_equal(tls_vault_set_authorities(v, STR_NONE, &err), RC_OK);
    assert_int_equal(tls_vault_set_authorities(v, str_first(str_c(ca->cert_pem), 200), &err),
                     RC_PERM);
    tls_vault_free(v);
}

/* ---- who is not who was called ---- */

static void expect_refused(const struct pki *cert, const char *name, const char *text)
{
    struct tls_vault *v = vault_with(cert, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks(name, TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0}, e2 = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_TEMP);
    assert_string_equal(err.status, "4.7.5");
    assert_string_equal(err.text, text);
    assert_non_null(strstr(e.why, "the other side refused"));
    /* opportunistic: taken all the same */
    config.verify = TLS_VERIFY_NONE;
    assert_int_equal(meet(c, s, &config, &info, &e2, &err), RC_OK);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static char *day(int days)
{
    static char text[32];
    time_t t = time(NULL) + (time_t)days * 86400;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%d", &tm);
    return text;
}

static void test_verification(void **state)
{
    (void)state;
    char text[256];
    snprintf(text, sizeof text, "TLS: certificate expired on %s", day(-2));
    expect_refused(old, "mx.a.example", text);
    snprintf(text, sizeof text, "TLS: certificate is not valid before %s", day(2));
    expect_refused(early, "mx.a.example", text);
    expect_refused(a_example, "c.example",
                   "TLS: certificate is for mx.a.example,*.wild.example, not c.example");
    expect_refused(a_example, "wild.example",
                   "TLS: certificate is for mx.a.example,*.wild.example, not wild.example");
    expect_refused(a_example, "192.0.2.7",
                   "TLS: certificate is for mx.a.example,*.wild.example, not 192.0.2.7");
    expect_refused(plain_ip, "mx.a.example", "TLS: certificate is for no name, not mx.a.example");
    expect_refused(other_ca, "mx.a.example", "TLS: certificate is self-signed");
    struct pki *foreign = pki_make(other_ca, &(struct pki_want){.names = "DNS:mx.a.example"});
    expect_refused(foreign, "mx.a.example", "TLS: certificate is from an unknown authority");
    pki_free(foreign);
    /* names an attacker chose do not reach a log as they are */
    struct pki *odd = pki_make(ca, &(struct pki_want){.names = "DNS:a b\x01"});
    expect_refused(odd, "mx.a.example", "TLS: certificate is for a?b?, not mx.a.example");
    pki_free(odd);
}

static void test_address_verified(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(plain_ip, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("192.0.2.7", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    assert_string_equal(e.info.server_name, "");
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

/* ---- ALPN ---- */

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

/* ---- peers of another making ---- */

/* A client that is OpenSSL alone, set up as the test wants. */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void raw_open(struct raw *r, int fd, int version)
{
    r->fd = fd;
    r->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(r->ctx, 0);
    if (version != 0) {
        SSL_CTX_set_min_proto_version(r->ctx, version);
        SSL_CTX_set_max_proto_version(r->ctx, version);
    }
    r->ssl = SSL_new(r->ctx);
    SSL_set_fd(r->ssl, fd);
}

static void raw_close(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
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

static void send_all(int fd, str_t bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* it has had enough */
        bytes = str_from(bytes, (size_t)n);
    }
}

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

/* ---- a certificate of our own making ---- */

static void test_make(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_tls.XXXXXX", path[128];
    struct err err = {0};
    struct stat st;
    bool made;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tls", folder);
    assert_int_equal(tls_make_store(path, STR("mx.a.example"), &made, &err), RC_OK);
    assert_true(made);
    assert_int_equal(tls_make_store(path, STR("mx.a.example"), &made, &err), RC_OK);
    assert_false(made);
    assert_int_equal(tls_make_store(path, STR("../x"), &made, &err), RC_PERM);
    snprintf(path, sizeof path, "%s/tls/mx.a.example/key.pem", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    snprintf(path, sizeof path, "%s/tls/mx.a.example/cert.pem", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/tls/mx.a.example", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/tls", folder);
    assert_int_equal(rmdir(path), 0); /* nothing else was left */
    rmdir(folder);

    struct buf chain, key;
    buf_init(&chain, 8192);
    buf_init(&key, 8192);
    assert_int_equal(tls_make_pair(STR("a,DNS:b"), &chain, &key, &err), RC_PERM);
    assert_int_equal(tls_make_pair(STR("mx.a.example"), &chain, &key, &err), RC_OK);
    struct tls_vault *v = vault_with(NULL, NULL);
    struct tls_pair p = {STR(""), buf_str(&chain), buf_str(&key)};
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_OK);
    /* who trusts it knows its name */
    assert_int_equal(tls_vault_set_authorities(v, buf_str(&chain), &err), RC_OK);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct tls_info info;
    struct echo e = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
    buf_free(&chain);
    buf_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_agree),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_tickets_are_bound),
        cmocka_unit_test(test_ticket_keys_rotate),
        cmocka_unit_test(test_ticket_ends_with_its_certificate),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_pem_oddities),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_address_verified),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_old_versions_and_suites),
        cmocka_unit_test(test_exporter_of_12),
        cmocka_unit_test(test_no_renegotiation),
        cmocka_unit_test(test_tickets_off_for_12),
        cmocka_unit_test(test_key_updates),
        cmocka_unit_test(test_noise_for_the_server),
        cmocka_unit_test(test_endless_handshake),
        cmocka_unit_test(test_cut_during_the_handshake),
        cmocka_unit_test(test_noise_for_the_client),
        cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_client_reads),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_make),
    };
    signal(SIGPIPE, SIG_IGN); /* the raw clients write as OpenSSL does */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
