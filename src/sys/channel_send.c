/* channel_send.c: see channel_internal.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sys/channel_internal.h"
#include "sys/clock.h"
#include "sys/frame.h"

/* kept for a peer that is being restarted; then calls fail at once */
#define WAITING_BYTES_MAX (32 << 20)
#define IOV_MAX_CALL      32    /* pieces of one payload */
#define STALL_MS          10000 /* a peer that takes no byte of a frame begun for so long is gone */

/* Advances v past n bytes. */
static void iov_skip(struct iovec **v, int *nv, size_t n)
{
    while (*nv > 0 && n >= (*v)->iov_len) {
        n -= (*v)->iov_len;
        (*v)++;
        (*nv)--;
    }
    if (*nv > 0) {
        (*v)->iov_base = (char *)(*v)->iov_base + n;
        (*v)->iov_len -= n;
    }
}

/* Writes everything; waits for room until the deadline while nothing went out, and STALL_MS for
 * each step after that. */
static enum sent write_frame(int fd, struct iovec *v, int nv, int64_t deadline_ms)
{
    bool begun = false;
    int64_t until_ms = deadline_ms;
    for (;;) {
        struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)nv};
        ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return begun ? SENT_BROKEN : SENT_CLOSED;
        if (n > 0) {
            iov_skip(&v, &nv, (size_t)n);
            if (nv == 0)
                return SENT;
            begun = true;
            until_ms = sys_mono_ms() + STALL_MS;
        }
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, sys_poll_ms(until_ms)) == 0 && sys_mono_ms() >= until_ms)
            return begun ? SENT_BROKEN : SENT_NOT;
    }
}

/* With `write` held, and c in the table: writes its frame. Afterwards c may be gone, unless it
 * could not be sent at all. */
enum sent write_call(struct channel *ch, uint64_t id, struct iovec *v, int nv, int64_t deadline_ms)
{
    enum sent sent = write_frame(ch->fd, v, nv, deadline_ms);
    if (sent == SENT)
        return SENT;
    pthread_mutex_lock(&ch->lock);
    if (sent == SENT_BROKEN || sent == SENT_CLOSED) {
        ch->broken = true;
        /* the reader ends the calls in flight, this one too if it is still there */
        shutdown(ch->fd, SHUT_RDWR);
    }
    /* its caller gave it up meanwhile */
    if (sent != SENT_BROKEN && slot_take(ch, id) == NULL)
        sent = SENT;
    pthread_mutex_unlock(&ch->lock);
    return sent == SENT_BROKEN ? SENT : sent;
}

/* In attached(), which speaks to this socket or none. */
static bool greeting(struct channel *ch)
{
    return ch->attaching && pthread_equal(ch->reader, pthread_self());
}

static bool usable(struct channel *ch)
{
    return ch->fd >= 0 && !ch->broken && (!ch->attaching || greeting(ch));
}

/* Tries to send now. SENT: done with. SENT_NOT: the deadline passed or the table is full.
 * SENT_CLOSED: no socket. */
static enum sent send_now(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                          struct channel_call *c)
{
    int64_t deadline_ms = c->deadline_ms;
    struct timespec until = sys_timespec(deadline_ms);
    if (pthread_mutex_trylock(&ch->write) != 0 &&
        pthread_mutex_clocklock(&ch->write, CLOCK_MONOTONIC, &until) != 0)
        return SENT_NOT;
    pthread_mutex_lock(&ch->lock);
    enum sent sent = !usable(ch) ? SENT_CLOSED : slot_put(ch, c) ? SENT : SENT_NOT;
    uint64_t id = place(c)->id;
    pthread_mutex_unlock(&ch->lock);
    if (sent == SENT) {
        char header[FRAME_HEADER];
        struct iovec v[IOV_MAX_CALL + 1] = {{.iov_base = header, .iov_len = sizeof header}};
        if (niov > 0)
            memcpy(v + 1, payload, (size_t)niov * sizeof *v);
        frame_header(header, type, id, frame_payload_len(payload, niov), false);
        sent = write_call(ch, id, v, niov + 1, deadline_ms);
    }
    pthread_mutex_unlock(&ch->write);
    return sent;
}

/* Puts the call, with a copy of its frame, among the waiting. False: a socket came meanwhile, try
 * again. */
static bool send_later(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                       struct channel_call *c)
{
    struct call_place *p = place(c);
    size_t len = FRAME_HEADER + frame_payload_len(payload, niov), at = FRAME_HEADER;
    char *frame = malloc(len);
    if (frame != NULL)
        frame_header(frame, type, 0, len - FRAME_HEADER, false);
    for (int i = 0; frame != NULL && i < niov; at += payload[i++].iov_len)
        if (payload[i].iov_len > 0)
            memcpy(frame + at, payload[i].iov_base, payload[i].iov_len);

    pthread_mutex_lock(&ch->lock);
    bool retry = usable(ch);
    bool keep = !retry && frame != NULL && !ch->stop && !greeting(ch) &&
                c->deadline_ms > sys_mono_ms() && ch->waiting_bytes + len <= WAITING_BYTES_MAX;
    if (keep) {
        p->frame = frame;
        p->frame_len = len;
        ch->waiting_bytes += len;
        list_push(&ch->waiting, &p->link);
        pthread_cond_signal(&ch->changed);
    }
    pthread_mutex_unlock(&ch->lock);
    if (!keep)
        free(frame);
    if (!keep && !retry)
        call_complete(c, RC_TEMP);
    return !retry;
}

void channel_send(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                  struct channel_call *c)
{
    *place(c) = (struct call_place){0};
    must(niov >= 0 && niov <= IOV_MAX_CALL);
    if (frame_payload_len(payload, niov) > CHANNEL_FRAME_MAX - FRAME_HEADER) {
        call_complete(c, RC_PERM);
        return;
    }
    for (;;) {
        enum sent sent = send_now(ch, type, payload, niov, c);
        if (sent == SENT_NOT)
            call_complete(c, RC_TEMP);
        if (sent != SENT_CLOSED || send_later(ch, type, payload, niov, c))
            return;
    } /* there is a new socket */
}
