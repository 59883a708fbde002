/* tls.c: a server's connection over a non-blocking socket. See tls.h.
 *
 * OpenSSL reads and writes through a BIO of ours: so that no signal comes of a peer that is gone,
 * and to count what a peer sends before it has shaken hands. */
#include "sys/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sys/tls_internal.h"

/* ---- the socket ---- */

static bool too_much(const struct tls *t)
{
    return t->raw > TLS_HANDSHAKE_BYTES_MAX || t->late > TLS_LATE_MESSAGES_MAX;
}

static int wire_read(BIO *b, char *to, int cap)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (too_much(t))
        return -1;
    ssize_t n;
    do
        n = recv(t->fd, to, (size_t)cap, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(b);
    t->eof = n == 0;
    if (n > 0 && !t->done)
        t->raw += (uint32_t)n;
    return (int)n;
}

static int wire_write(BIO *b, const char *from, int len)
{
    const struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t n;
    do
        n = send(t->fd, from, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(b);
    return (int)n;
}

static long wire_ctrl(BIO *b, int what, long arg, void *ptr)
{
    const struct tls *t = BIO_get_data(b);
    (void)arg, (void)ptr;
    return what == BIO_CTRL_FLUSH ? 1 : what == BIO_CTRL_EOF ? t->eof : 0;
}

static BIO_METHOD *wire_method;
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

static void make_wire_method(void)
{
    wire_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    must(wire_method != NULL && BIO_meth_set_read(wire_method, wire_read) == 1 &&
         BIO_meth_set_write(wire_method, wire_write) == 1 &&
         BIO_meth_set_ctrl(wire_method, wire_ctrl) == 1);
}

/* ---- the connection ---- */

struct tls *tls_accept(struct tls_service *s, int fd)
{
    (void)pthread_once(&wire_once, make_wire_method);
    struct tls_certs *certs = tls_certs_get(s->vault);
    struct tls *t = certs == NULL ? NULL : calloc(1, sizeof *t);
    SSL *ssl = t == NULL ? NULL : SSL_new(s->ctx);
    BIO *b = ssl == NULL ? NULL : BIO_new(wire_method);
    if (b == NULL) {
        SSL_free(ssl);
        free(t);
        tls_certs_put(certs);
        ERR_clear_error();
        return NULL;
    }
    *t = (struct tls){.ssl = ssl, .fd = fd, .service = s, .certs = certs};
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b);
    SSL_set_app_data(ssl, t);
    SSL_set_accept_state(ssl);
    return t;
}

static enum tls_io fail(struct tls *t, const char *otherwise)
{
    t->failed = true;
    if (t->late > TLS_LATE_MESSAGES_MAX)
        otherwise = "the other side changes keys too often";
    else if (t->raw > TLS_HANDSHAKE_BYTES_MAX)
        otherwise = "a handshake that does not end";
    if (too_much(t))
        ERR_clear_error();
    tls_error_text(t->why, otherwise);
    return TLS_IO_FAILED;
}

/* What came of a call that did not do its work. */
static enum tls_io outcome(struct tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ: return TLS_IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return TLS_IO_CLOSED;
    default: return fail(t, "the connection was cut");
    }
}

static void handshake_done(struct tls *t)
{
    t->done = true;
    tls_info_fill(t->ssl, &t->info);
    memcpy(t->info.end_point, t->cert->end_point, sizeof t->info.end_point);
    t->info.end_point_len = t->cert->end_point_len;
    X509 *client = SSL_get0_peer_certificate(t->ssl);
    t->info.has_client_cert = client != NULL;
    if (client != NULL)
        tls_hash(client, t->info.client_cert);
    t->cert = NULL;
    tls_certs_put(t->certs);
    t->certs = NULL;
}

enum tls_io tls_handshake(struct tls *t)
{
    if (t->failed)
        return TLS_IO_FAILED;
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    if (result != 1)
        return outcome(t, result);
    if (!t->done)
        handshake_done(t);
    return TLS_IO_OK;
}

enum tls_io tls_read(struct tls *t, void *to, size_t cap, size_t *n)
{
    *n = 0;
    if (t->failed)
        return TLS_IO_FAILED;
    ERR_clear_error();
    int result = SSL_read_ex(t->ssl, to, cap, n);
    t->dry = result != 1;
    if (t->late > TLS_LATE_MESSAGES_MAX)
        return fail(t, "");
    return result == 1 ? TLS_IO_OK : outcome(t, result);
}

enum tls_io tls_write(struct tls *t, str_t bytes, size_t *n)
{
    *n = 0;
    if (t->failed)
        return TLS_IO_FAILED;
    if (bytes.len == 0)
        return TLS_IO_OK;
    ERR_clear_error();
    int result = SSL_write_ex(t->ssl, bytes.ptr, bytes.len, n);
    return result == 1 ? TLS_IO_OK : outcome(t, result);
}

bool tls_pending(const struct tls *t)
{
    /* With read-ahead there may be records in the buffer that are not decrypted yet; when the last
     * read found nothing whole among them, the rest of it must come from the socket. */
    return SSL_pending(t->ssl) > 0 || (!t->dry && SSL_has_pending(t->ssl) == 1);
}

void tls_close(struct tls *t)
{
    if (t == NULL)
        return;
    if (t->done && !t->failed)
        (void)SSL_shutdown(t->ssl);
    SSL_free(t->ssl);
    tls_certs_put(t->certs);
    ERR_clear_error();
    free(t);
}

const struct tls_info *tls_info(const struct tls *t)
{
    return &t->info;
}

const char *tls_why(const struct tls *t)
{
    return t->why[0] != '\0' ? t->why : "the other side ended it";
}
