/* tls_rig.h: both sides of tls.h over a socket pair, for tests: the certificates, a server in a
 * thread that echoes, our client, and a client that is OpenSSL alone. */
#ifndef TESTS_SYS_TLS_RIG_H
#define TESTS_SYS_TLS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/clock.h"
#include "sys/env.h"
#include "sys/net.h"
#include "sys/tls.h"
#include "sys/tls_internal.h"
#include "tls_pki.h"

#define LONG_MS 20000

/* ---- the authority and the certificates, made once ---- */

static struct pki *ca, *other_ca, *a_example, *b_example, *old, *early, *plain_ip;
static struct env env;

static inline int make_all(void **state)
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

static inline int free_all(void **state)
{
    struct pki *all[] = {ca, other_ca, a_example, b_example, old, early, plain_ip};
    (void)state;
    pki_free_all(all, sizeof all / sizeof *all);
    return 0;
}

static inline struct tls_vault *vault_with(const struct pki *first, const struct pki *second)
{
    return pki_vault(ca, first, second);
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

static inline bool wait_fd(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, LONG_MS) > 0;
}

static inline enum tls_io wait_io(int fd, enum tls_io io)
{
    if (io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE)
        assert_true(wait_fd(fd, io == TLS_IO_WANT_READ ? POLLIN : POLLOUT));
    return io;
}

static inline bool goes_on(enum tls_io io)
{
    return io == TLS_IO_WANT_READ || io == TLS_IO_WANT_WRITE;
}

static inline void echo_bytes(struct echo *e, struct tls *t)
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

static inline void *echo_main(void *arg)
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
static inline int echo_start(struct echo *e, struct tls_service *s)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    e->service = s;
    e->fd = fds[0];
    assert_int_equal(pthread_create(&e->thread, NULL, echo_main, e), 0);
    return fds[1];
}

static inline void echo_end(struct echo *e)
{
    pthread_join(e->thread, NULL);
}

static inline struct tls_service *service(struct tls_vault *v, const char *name, const char *alpn,
                                          bool tickets, bool ask)
{
    struct tls_service_config c = {
        .name = name, .alpn = alpn, .tickets = tickets, .ask_client_cert = ask};
    struct tls_service *s = tls_service_new(v, &c);
    assert_non_null(s);
    return s;
}

/* ---- the client's side ---- */

static inline struct conn *conn_over(int fd)
{
    struct netaddr peer = {0}, local = {0};
    assert_true(netaddr_parse_port(STR("192.0.2.7:25"), &peer));
    return net_conn_new(fd, &peer, &local);
}

static inline struct tls_client_config asks(const char *name, enum tls_verify verify)
{
    return (struct tls_client_config){.name = str_c(name), .verify = verify};
}

static inline void exchange(struct conn *c, size_t size)
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
static inline enum rc meet(struct tls_client *c, struct tls_service *s,
                           const struct tls_client_config *config, struct tls_info *info,
                           struct echo *e, struct err *err)
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

/* Which certificate a name gets: told by the end point's hash. */
static inline void expect_cert(struct tls_client *c, struct tls_service *s, const char *name,
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

/* ---- peers of another making ---- */

/* A client that is OpenSSL alone, set up as the test wants. */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static inline void raw_open(struct raw *r, int fd, int version)
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

static inline void raw_close(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
}

static inline void send_all(int fd, str_t bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* it has had enough */
        bytes = str_from(bytes, (size_t)n);
    }
}

#endif
