/* server_handshake.c: how a connection comes to be encrypted: see server_internal.h.
 *
 * OpenSSL holds some 90 KiB for a client that never ends its hello. So it is asked for nothing before
 * the first record of it is in the socket's buffer: the kernel wakes us for no less (SO_RCVLOWAT,
 * socket(7)). Those who end the hello and not the handshake are bounded by places. */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "sys/clock.h"
#include "sys/server_internal.h"

#define RECORD_HEAD 5     /* type, version, length (RFC 8446 5.1) */
#define RECORD_MAX  16384 /* as long as a record of plain text may be */
#define HANDSHAKE   22    /* its type */

void handshake_begin(struct served *c, struct tls_service *service)
{
    c->phase = PHASE_TLS;
    c->service = service;
    c->since_ms = sys_mono_ms();
    c->hello = 0;
    c->wants_room = c->wants_place = false;
}

void handshake_failed(struct server *s, struct served *c, const char *why)
{
    if (s->ops->tls_started != NULL)
        s->ops->tls_started(c->session, NULL, why, sys_mono_ms());
}

/* Asks not to be woken before so many bytes are there; what is not a hello wakes at once. */
static bool wait_for_bytes(struct served *c, int n)
{
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof n) != 0)
        return false;
    c->hello = (uint16_t)n;
    return true;
}

/* The first record is there, or something that is none: for OpenSSL to say so. */
static bool hello_is_there(struct served *c)
{
    uint8_t head[RECORD_HEAD];
    if (c->hello > RECORD_HEAD)
        return true; /* all of it, or the end of the connection, or a kernel that cannot wait so */
    ssize_t n = recv(c->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0 && head[0] != HANDSHAKE)
        return true;
    if (n < RECORD_HEAD) /* woken for less than was asked for: there will be no more */
        return n == 0 || c->hello > 0 || !wait_for_bytes(c, RECORD_HEAD);
    int have, size = head[3] << 8 | head[4];
    if (size == 0 || size > RECORD_MAX || ioctl(c->fd, FIONREAD, &have) != 0)
        return true;
    return have >= RECORD_HEAD + size || !wait_for_bytes(c, RECORD_HEAD + size);
}

/* False: all places are taken. */
static bool take_place(struct server *s, struct served *c)
{
    c->wants_place = atomic_fetch_add(&s->handshakes, 1) >= SERVER_HANDSHAKES;
    if (c->wants_place)
        atomic_fetch_sub(&s->handshakes, 1);
    return !c->wants_place;
}

static void leave_place(struct server *s)
{
    atomic_fetch_sub(&s->handshakes, 1);
}

/* Where TLS is spoken from the first byte, that byte is another. */
static bool speaks_plain(const struct served *c)
{
    uint8_t first;
    return c->listener->tls != NULL &&
           recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first != HANDSHAKE;
}

/* Answered once, in its own language. */
static enum step refuse_plain(struct server *s, struct served *c)
{
    char unread[1024]; /* left where it is, it would reset the connection, and the answer be lost */
    str_t text = s->limits.plain_text != NULL ? str_c(s->limits.plain_text) : STR_NONE;
    (void)!recv(c->fd, unread, sizeof unread, MSG_DONTWAIT);
    if (text.len > 0)
        (void)!send(c->fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    handshake_failed(s, c, "the client does not speak TLS");
    return STEP_CLOSE;
}

/* STEP_ON: OpenSSL can begin. */
static enum step start(struct server *s, struct served *c)
{
    const int one = 1;
    if (!c->wants_place && !hello_is_there(c))
        return STEP_IN;
    if (speaks_plain(c))
        return refuse_plain(s, c);
    if (!take_place(s, c))
        return STEP_HELD;
    if (c->hello > 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    c->tls = tls_accept(c->service, c->fd);
    if (c->tls != NULL)
        return STEP_ON;
    leave_place(s);
    handshake_failed(s, c, "no certificate");
    return STEP_CLOSE;
}

static enum step go_on(struct server *s, struct served *c)
{
    switch (tls_handshake(c->tls)) {
    case TLS_IO_OK:
        leave_place(s);
        c->phase = PHASE_SESSION;
        if (s->ops->tls_started != NULL)
            s->ops->tls_started(c->session, tls_info(c->tls), NULL, sys_mono_ms());
        return STEP_ON;
    case TLS_IO_WANT_READ: c->wants_room = false; return STEP_IN;
    case TLS_IO_WANT_WRITE: c->wants_room = true; return STEP_ROOM;
    case TLS_IO_CLOSED:
    case TLS_IO_FAILED: handshake_failed(s, c, tls_why(c->tls)); break;
    }
    return STEP_CLOSE;
}

enum step handshake_turn(struct server *s, struct served *c, bool may_read)
{
    /* For a place it is the timer that wakes us. */
    if (!may_read && !c->wants_place)
        return c->wants_room ? STEP_ROOM : STEP_IN;
    if (c->tls == NULL) {
        enum step step = start(s, c);
        if (step != STEP_ON)
            return step;
    }
    return go_on(s, c);
}

int64_t handshake_due(struct server *s, struct served *c, int64_t now_ms, bool *over)
{
    int64_t patience = s->limits.handshake_ms > 0 ? s->limits.handshake_ms : SERVER_HANDSHAKE_MS;
    bool crowded = atomic_load(&s->handshakes) > SERVER_HANDSHAKES / 2;
    patience = stress_patience(s, patience);
    if (crowded && c->tls != NULL && patience > SERVER_CROWDED_MS)
        patience = SERVER_CROWDED_MS;
    int64_t due = c->since_ms + patience;
    /* it may become crowded meanwhile */
    int64_t look = now_ms + (c->wants_place ? SERVER_HELLO_MS : SERVER_CROWDED_MS);
    *over = due <= now_ms;
    if (*over)
        handshake_failed(s, c, "timeout");
    return (c->wants_place || c->tls != NULL) && look < due ? look : due;
}

void handshake_drop(struct server *s, struct served *c)
{
    if (c->phase == PHASE_TLS && c->tls != NULL)
        leave_place(s);
}
