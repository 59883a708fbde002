/* server_bytes.c: bytes to and from a connection, encrypted or not: see server_internal.h.
 *
 * Readiness is the socket's. What OpenSSL has read and decrypted but not handed out is asked for
 * (tls_pending) whenever a connection is about to wait for input. */
#include <errno.h>
#include <sys/socket.h>

#include "base/err.h"
#include "sys/clock.h"
#include "sys/server_internal.h"

#define TLS_RECORD 16384 /* RFC 8446 5.1: the longest; behind a full one there mostly is another */

/* ---- output ---- */

/* STEP_ON: *n bytes are gone. */
static enum step send_some(struct served *c, str_t out, size_t *n)
{
    if (c->tls != NULL) {
        switch (tls_write(c->tls, out, n)) {
        case TLS_IO_OK: return STEP_ON;
        case TLS_IO_WANT_WRITE: return STEP_OUT;
        case TLS_IO_WANT_READ: return STEP_OUT_IN;
        case TLS_IO_CLOSED:
        case TLS_IO_FAILED: break;
        }
        return STEP_CLOSE;
    }
    for (;;) {
        ssize_t sent = send(c->fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            *n = (size_t)sent;
            return STEP_ON;
        }
        if (errno != EINTR)
            return errno == EAGAIN ? STEP_OUT : STEP_CLOSE;
    }
}

int64_t bytes_stalled_since(const struct server *s, int64_t since_ms, size_t sent, int64_t now_ms)
{
    uint32_t configured = s->limits.output_floor_bps;
    int64_t floor_bps = configured > 0 ? configured : SERVER_OUTPUT_FLOOR;
    int64_t bought = since_ms + (int64_t)sent * 1000 / floor_bps;
    return bought < now_ms ? bought : now_ms;
}

enum step bytes_flush(struct server *s, struct served *c, size_t *sent)
{
    const struct server_session_ops *ops = s->ops;
    for (;;) {
        size_t n = 0;
        str_t out = ops->output(c->session);
        if (out.len == 0) {
            if (ops->finished(c->session))
                return STEP_CLOSE;
            if (ops->more != NULL && ops->more(c->session, sys_mono_ms()))
                continue;
            c->stalled_ms = 0;
            return STEP_ON;
        }
        if (ops->hold_until_ms != NULL && ops->hold_until_ms(c->session) > sys_mono_ms())
            return STEP_HELD;
        if (*sent >= SERVER_TURN_SENT)
            return STEP_OUT;
        enum step step = send_some(c, out, &n);
        if (step != STEP_ON)
            return step;
        ops->sent(c->session, n);
        *sent += n;
        if (c->stalled_ms != 0)
            c->stalled_ms = bytes_stalled_since(s, c->stalled_ms, n, sys_mono_ms());
    }
}

/* ---- input ---- */

static enum step receive_tls(struct served *c, char *buffer, size_t *n, bool *empty)
{
    switch (tls_read(c->tls, buffer, SERVER_READ_SIZE, n)) {
    case TLS_IO_OK: *empty = *n < TLS_RECORD && !tls_pending(c->tls); return STEP_ON;
    case TLS_IO_WANT_READ: return STEP_IN;
    case TLS_IO_WANT_WRITE: return STEP_ROOM;
    case TLS_IO_CLOSED: *n = 0; return STEP_ON;
    case TLS_IO_FAILED: break;
    }
    return STEP_CLOSE;
}

static enum step receive_plain(struct served *c, char *buffer, size_t *n, bool *empty)
{
    for (;;) {
        ssize_t got = recv(c->fd, buffer, SERVER_READ_SIZE, MSG_DONTWAIT);
        if (got >= 0) {
            *n = (size_t)got;
            *empty = *n < SERVER_READ_SIZE;
            return STEP_ON;
        }
        if (errno != EINTR)
            return errno == EAGAIN ? STEP_IN : STEP_CLOSE;
    }
}

enum step bytes_receive(struct server *s, struct served *c, char *buffer, str_t *rest, bool *empty)
{
    size_t n = 0;
    enum step step =
        c->tls != NULL ? receive_tls(c, buffer, &n, empty) : receive_plain(c, buffer, &n, empty);
    if (step != STEP_ON)
        return step;
    *rest = str_of(buffer, n);
    if (n == 0) {
        c->eof = true;
        s->ops->eof(c->session, sys_mono_ms());
    }
    return STEP_ON;
}
