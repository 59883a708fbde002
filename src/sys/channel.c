/* channel.c: the client side of channel.h.
 *
 * Two locks. `write` is held while a frame is written, so that frames do not mix; who holds it sees a steady socket. `lock`
 * guards the tables and is held for moments only. Order: write, then lock.
 *
 * A call is in exactly one place: in the table of calls in flight (its slot and the slot's turn make its request id), in the
 * list of those waiting for a socket (with a copy of its frame), or completed. Whoever takes it out of its place, under `lock`,
 * completes it; so done runs once, and nobody touches a call after that. A call enters the table under `write`, and the reader ends
 * it early only with `write` held: its payload is never read after done.
 *
 * The reader thread lives as long as the channel: it takes a new socket over, reads replies, and ends what is overdue. */
#include "sys/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "sys/clock.h"
#include "sys/frame.h"
#include "sys/futex.h"

#define CALLS_MAX \
    65536 /* in flight on one channel: far above the threads and commits of any role */
#define WAITING_BYTES_MAX \
    (32 << 20)             /* kept for a peer that is being restarted; then calls fail at once */
#define IOV_MAX_CALL 32    /* pieces of one payload */
#define TICK_MS      1000  /* how often deadlines of channel_send are looked at */
#define STALL_MS     10000 /* a peer that takes no byte of a frame begun for so long is gone */

struct call_place {   /* channel_call.internal */
    struct list link; /* in waiting, or in a list of calls to complete */
    char *frame;      /* copy while waiting, else NULL */
    size_t frame_len;
    uint64_t id; /* in flight, else 0 */
};
_Static_assert(sizeof(struct call_place) <= sizeof((struct channel_call *)0)->internal, "too big");

struct slot {
    struct channel_call *call; /* NULL: free */
    uint32_t turn; /* grows with each use: an answer to a call given up does not reach the next */
    uint32_t next_free;
};

struct channel {
    channel_notice_fn *notice;
    channel_attached_fn *attached;
    void *user;
    pthread_mutex_t write, lock;
    pthread_cond_t changed; /* pending, stop, or a first waiting call */
    pthread_t reader;
    int fd;      /* -1: none; changes only with both locks held */
    int pending; /* a socket the reader has yet to take over, or -1 */
    bool stop;
    bool attaching; /* fd is there, but only the reader may use it yet */
    bool broken;    /* a write failed: fd is there until the reader lets it go, but of no use */
    struct slot *slots;
    uint32_t n_slots, used, first_free;
    struct list waiting;
    size_t waiting_bytes;
};

static struct call_place *place(struct channel_call *c)
{
    return (void *)c->internal;
}

static struct channel_call *place_call(struct list *l)
{
    struct call_place *p = list_entry(l, struct call_place, link);
    return list_entry((void *)p, struct channel_call, internal);
}

static void complete(struct channel_call *c, enum rc rc)
{
    free(place(c)->frame);
    c->rc = rc;
    if (rc != RC_OK) {
        c->reply = STR_NONE;
        c->reply_fd = -1;
    }
    c->done(c);
}

static void complete_all(struct list *calls, enum rc rc)
{
    for (struct list *l; (l = list_pop(calls)) != NULL;)
        complete(place_call(l), rc);
}

/* ---- the table of calls in flight; under lock ---- */

#define NO_SLOT UINT32_MAX

static bool grow_slots(struct channel *ch)
{
    uint32_t n = ch->n_slots ? ch->n_slots * 2 : 64;
    if (n > CALLS_MAX)
        return false;
    struct slot *v = realloc(ch->slots, n * sizeof *v);
    if (v == NULL)
        return false;
    for (uint32_t i = ch->n_slots; i < n; i++)
        v[i] = (struct slot){.turn = 1, .next_free = i + 1 < n ? i + 1 : NO_SLOT};
    ch->first_free = ch->n_slots;
    ch->slots = v;
    ch->n_slots = n;
    return true;
}

static bool slot_put(struct channel *ch, struct channel_call *c)
{
    if (ch->first_free == NO_SLOT && !grow_slots(ch))
        return false;
    uint32_t i = ch->first_free;
    struct slot *s = &ch->slots[i];
    ch->first_free = s->next_free;
    s->call = c;
    ch->used++;
    place(c)->id = (uint64_t)s->turn << 32 | i;
    return true;
}

/* The call with this id, out of the table; NULL if it was given up. */
static struct channel_call *slot_take(struct channel *ch, uint64_t id)
{
    uint32_t i = (uint32_t)id;
    if (i >= ch->n_slots || ch->slots[i].call == NULL || ch->slots[i].turn != id >> 32)
        return NULL;
    struct slot *s = &ch->slots[i];
    struct channel_call *c = s->call;
    s->call = NULL;
    s->turn = s->turn == UINT32_MAX ? 1 : s->turn + 1;
    s->next_free = ch->first_free;
    ch->first_free = i;
    ch->used--;
    place(c)->id = 0;
    return c;
}

/* Moves calls in flight to `out`: all, or those whose deadline has passed. */
static void slots_take(struct channel *ch, int64_t deadline_before_ms, struct list *out)
{
    for (uint32_t i = 0; i < ch->n_slots && ch->used > 0; i++) {
        struct channel_call *c = ch->slots[i].call;
        if (c != NULL && c->deadline_ms <= deadline_before_ms) {
            slot_take(ch, place(c)->id);
            list_push(out, &place(c)->link);
        }
    }
}

/* ---- sending ---- */

enum sent {
    SENT,
    SENT_NOT,
    SENT_CLOSED,
    SENT_BROKEN
}; /* NOT, CLOSED: no byte went out; BROKEN: part of the frame */

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

/* Writes everything; waits for room until the deadline while nothing went out, and STALL_MS for each step after that. */
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

/* With `write` held, and c in the table: writes its frame. Afterwards c may be gone, unless it could not be sent at all. */
static enum sent write_call(struct channel *ch, uint64_t id, struct iovec *v, int nv,
                            int64_t deadline_ms)
{
    enum sent sent = write_frame(ch->fd, v, nv, deadline_ms);
    if (sent == SENT)
        return SENT;
    pthread_mutex_lock(&ch->lock);
    if (sent == SENT_BROKEN || sent == SENT_CLOSED) {
        ch->broken = true;
        shutdown(
            ch->fd,
            SHUT_RDWR); /* the reader ends the calls in flight, this one too if it is still there */
    }
    if (sent != SENT_BROKEN && slot_take(ch, id) == NULL)
        sent = SENT; /* its caller gave it up meanwhile */
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

/* Tries to send now. SENT: done with. SENT_NOT: the deadline passed or the table is full. SENT_CLOSED: no socket. */
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

/* Puts the call, with a copy of its frame, among the waiting. False: a socket came meanwhile, try again. */
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
        complete(c, RC_TEMP);
    return !retry;
}

void channel_send(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                  struct channel_call *c)
{
    *place(c) = (struct call_place){0};
    must(niov >= 0 && niov <= IOV_MAX_CALL);
    if (frame_payload_len(payload, niov) > CHANNEL_FRAME_MAX - FRAME_HEADER) {
        complete(c, RC_PERM);
        return;
    }
    for (;;) {
        enum sent sent = send_now(ch, type, payload, niov, c);
        if (sent == SENT_NOT)
            complete(c, RC_TEMP);
        if (sent != SENT_CLOSED || send_later(ch, type, payload, niov, c))
            return;
    } /* there is a new socket */
}

/* ---- sending and waiting ---- */

struct waiter {
    struct channel_call call;
    struct wake wake;
    struct arena *arena;
};

static void waiter_done(struct channel_call *c)
{
    struct waiter *w = list_entry((void *)c, struct waiter, call);
    if (c->rc == RC_OK && c->reply.len > 0 && w->arena != NULL) {
        c->reply = arena_dup(w->arena, c->reply);
        if (c->reply.ptr == NULL) { /* it happened, but the answer is lost */
            if (c->reply_fd >= 0)
                close(c->reply_fd);
            c->reply_fd = -1;
            c->rc = RC_CLOSED;
        }
    }
    wake_set(&w->wake);
}

/* The deadline has passed: takes the call out of its place. False: somebody else is completing it this moment. */
static bool withdraw(struct channel *ch, struct channel_call *c)
{
    struct call_place *p = place(c);
    pthread_mutex_lock(&ch->lock);
    bool waiting = p->frame != NULL, flying = p->id != 0;
    if (waiting) {
        list_remove(&p->link);
        ch->waiting_bytes -= p->frame_len;
        free(p->frame);
        p->frame = NULL;
    } else if (flying) {
        slot_take(ch, p->id);
    }
    pthread_mutex_unlock(&ch->lock);
    c->rc = waiting ? RC_TEMP : RC_CLOSED;
    return waiting || flying;
}

enum rc channel_call(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                     int64_t deadline_ms, struct arena *a, uint8_t *reply_type, str_t *reply,
                     int *reply_fd)
{
    struct waiter w = {.call = {.done = waiter_done, .deadline_ms = deadline_ms, .reply_fd = -1},
                       .arena = a};
    wake_init(&w.wake);
    channel_send(ch, type, payload, niov, &w.call);
    if (!wake_wait(&w.wake, deadline_ms) && !withdraw(ch, &w.call))
        wake_wait(&w.wake, INT64_MAX);
    bool ok = w.call.rc == RC_OK;
    if (reply_type != NULL)
        *reply_type = ok ? w.call.reply_type : 0;
    if (reply != NULL)
        *reply = ok && a != NULL ? w.call.reply : STR_NONE;
    if (reply_fd != NULL)
        *reply_fd = ok ? w.call.reply_fd : -1;
    else if (ok && w.call.reply_fd >= 0)
        close(w.call.reply_fd);
    return w.call.rc;
}

/* ---- the reader thread ---- */

static void expire_waiting(struct channel *ch)
{
    struct list late, *l, *next;
    int64_t now = sys_mono_ms();
    list_init(&late);
    pthread_mutex_lock(&ch->lock);
    for (l = ch->waiting.next; l != &ch->waiting; l = next) {
        struct channel_call *c = place_call(l);
        next = l->next;
        if (c->deadline_ms > now && !ch->stop)
            continue;
        list_remove(l);
        ch->waiting_bytes -= place(c)->frame_len;
        free(place(c)->frame);
        place(c)->frame = NULL;
        list_push(&late, l);
    }
    pthread_mutex_unlock(&ch->lock);
    complete_all(&late, RC_TEMP);
}

static void expire_flying(struct channel *ch)
{
    struct list late;
    list_init(&late);
    if (pthread_mutex_trylock(&ch->write) != 0)
        return; /* somebody is writing one of them: next time */
    pthread_mutex_lock(&ch->lock);
    slots_take(ch, sys_mono_ms(), &late);
    pthread_mutex_unlock(&ch->lock);
    pthread_mutex_unlock(&ch->write);
    complete_all(&late, RC_CLOSED);
}

/* Waits for a socket to take over; -1: stop. */
static int next_socket(struct channel *ch)
{
    int fd = -1;
    pthread_mutex_lock(&ch->lock);
    while (!ch->stop && ch->pending < 0) {
        struct timespec tick = sys_timespec(sys_mono_ms() + TICK_MS);
        if (list_empty(&ch->waiting))
            pthread_cond_wait(&ch->changed, &ch->lock);
        else
            pthread_cond_clockwait(&ch->changed, &ch->lock, CLOCK_MONOTONIC, &tick);
        pthread_mutex_unlock(&ch->lock);
        expire_waiting(ch);
        pthread_mutex_lock(&ch->lock);
    }
    if (!ch->stop) {
        fd = ch->pending;
        ch->pending = -1;
    }
    pthread_mutex_unlock(&ch->lock);
    return fd;
}

/* Under both locks: moves the first of the waiting into the table. NULL: none, and the channel is open to all; or the socket is
 * broken, and they wait for the next. */
static struct channel_call *next_waiting(struct channel *ch, bool *full)
{
    if (ch->broken)
        return NULL;
    struct list *l = list_pop(&ch->waiting);
    ch->attaching = l != NULL;
    if (l == NULL)
        return NULL;
    struct channel_call *c = place_call(l);
    ch->waiting_bytes -= place(c)->frame_len;
    *full = !slot_put(ch, c);
    return c;
}

/* With `write` held: c could not be sent, and is out of the table. */
static void wait_again(struct channel *ch, struct channel_call *c, char *frame, size_t len)
{
    pthread_mutex_lock(&ch->lock);
    place(c)->frame = frame;
    ch->waiting_bytes += len;
    list_push_front(&ch->waiting, &place(c)->link);
    pthread_mutex_unlock(&ch->lock);
}

/* Sends the first of the waiting; false: there is no more to do. */
static bool send_waiting(struct channel *ch)
{
    bool full = false;
    pthread_mutex_lock(&ch->write);
    pthread_mutex_lock(&ch->lock);
    struct channel_call *c = next_waiting(ch, &full);
    if (c == NULL) {
        pthread_mutex_unlock(&ch->lock);
        pthread_mutex_unlock(&ch->write);
        return false;
    }
    char *frame = place(c)->frame; /* ours: the call may end while it is written */
    size_t len = place(c)->frame_len;
    uint64_t id = place(c)->id;
    int64_t deadline_ms = c->deadline_ms;
    place(c)->frame = NULL;
    pthread_mutex_unlock(&ch->lock);
    struct iovec v = {.iov_base = frame, .iov_len = len};
    for (int i = 0; i < 8; i++)
        frame[8 + i] = (char)(id >> (56 - 8 * i));
    enum sent sent = full ? SENT_NOT : write_call(ch, id, &v, 1, deadline_ms);
    if (sent == SENT_CLOSED)
        wait_again(ch, c, frame, len);
    else
        free(frame);
    pthread_mutex_unlock(&ch->write);
    if (sent == SENT_NOT)
        complete(c, RC_TEMP);
    return true;
}

static void take_over(struct channel *ch, int fd)
{
    struct timeval tick = {.tv_sec = TICK_MS / 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    pthread_mutex_lock(&ch->write);
    pthread_mutex_lock(&ch->lock);
    ch->fd = fd;
    ch->attaching = true;
    ch->broken = false;
    if (ch->stop || ch->pending >= 0)
        shutdown(fd, SHUT_RDWR); /* already replaced */
    pthread_mutex_unlock(&ch->lock);
    pthread_mutex_unlock(&ch->write);
    if (ch->attached != NULL)
        ch->attached(ch->user);
    while (send_waiting(ch))
        ;
}

static void let_go(struct channel *ch)
{
    struct list lost;
    list_init(&lost);
    shutdown(ch->fd, SHUT_RDWR); /* whoever waits for room in it gives up */
    pthread_mutex_lock(&ch->write);
    pthread_mutex_lock(&ch->lock);
    close(ch->fd);
    ch->fd = -1;
    slots_take(ch, INT64_MAX, &lost);
    pthread_mutex_unlock(&ch->lock);
    pthread_mutex_unlock(&ch->write);
    complete_all(&lost, RC_CLOSED);
}

static void answer(struct channel *ch, const struct frame *f)
{
    if (f->id == 0) {
        if (ch->notice != NULL)
            ch->notice(ch->user, f->type, f->payload, f->fd);
        else if (f->fd >= 0)
            close(f->fd);
        return;
    }
    pthread_mutex_lock(&ch->lock);
    struct channel_call *c = slot_take(ch, f->id);
    pthread_mutex_unlock(&ch->lock);
    if (c == NULL) { /* given up before */
        if (f->fd >= 0)
            close(f->fd);
        return;
    }
    c->reply_type = f->type;
    c->reply = f->payload;
    c->reply_fd = f->fd;
    complete(c, RC_OK);
}

/* Reads one socket until it ends. */
static void read_replies(struct channel *ch, struct frame_reader *r)
{
    int64_t tick_ms = sys_mono_ms() + TICK_MS;
    for (enum frame_rc rc = FRAME_MORE; rc == FRAME_MORE;) {
        enum frame_rc fill = frame_fill(r, ch->fd);
        if (fill == FRAME_END || fill == FRAME_BAD)
            return;
        struct frame f;
        while ((rc = frame_next(r, &f)) == FRAME_OK)
            answer(ch, &f);
        int64_t now = sys_mono_ms();
        if (now >= tick_ms) {
            expire_flying(ch);
            tick_ms = now + TICK_MS;
        }
    }
}

static void *reader_main(void *arg)
{
    struct channel *ch = arg;
    struct frame_reader r;
    must(frame_reader_init(&r));
    for (int fd; (fd = next_socket(ch)) >= 0;) {
        take_over(ch, fd);
        read_replies(ch, &r);
        let_go(ch);
        frame_reader_reset(&r);
    }
    expire_waiting(ch);
    frame_reader_free(&r);
    return NULL;
}

/* ---- life ---- */

struct channel *channel_new(channel_notice_fn *notice, channel_attached_fn *attached, void *user)
{
    struct channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return NULL;
    ch->notice = notice;
    ch->attached = attached;
    ch->user = user;
    ch->fd = ch->pending = -1;
    ch->first_free = NO_SLOT;
    list_init(&ch->waiting);
    pthread_mutexattr_t
        spin; /* frames are written in microseconds: spin a little before sleeping */
    pthread_mutexattr_init(&spin);
    pthread_mutexattr_settype(&spin, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&ch->write, &spin);
    pthread_mutex_init(&ch->lock, &spin);
    pthread_mutexattr_destroy(&spin);
    pthread_cond_init(&ch->changed, NULL);
    if (pthread_create(&ch->reader, NULL, reader_main, ch) != 0) {
        free(ch);
        return NULL;
    }
    return ch;
}

void channel_attach(struct channel *ch, int fd)
{
    pthread_mutex_lock(&ch->lock);
    if (ch->pending >= 0)
        close(ch->pending);
    ch->pending = fd;
    if (ch->fd >= 0)
        shutdown(ch->fd, SHUT_RDWR);
    pthread_cond_signal(&ch->changed);
    pthread_mutex_unlock(&ch->lock);
}

bool channel_connected(struct channel *ch)
{
    pthread_mutex_lock(&ch->lock);
    bool yes = ch->fd >= 0 || ch->pending >= 0;
    pthread_mutex_unlock(&ch->lock);
    return yes;
}

void channel_free(struct channel *ch)
{
    if (ch == NULL)
        return;
    pthread_mutex_lock(&ch->lock);
    ch->stop = true;
    if (ch->fd >= 0)
        shutdown(ch->fd, SHUT_RDWR);
    pthread_cond_signal(&ch->changed);
    pthread_mutex_unlock(&ch->lock);
    pthread_join(ch->reader, NULL);
    if (ch->pending >= 0)
        close(ch->pending);
    pthread_mutex_destroy(&ch->write);
    pthread_mutex_destroy(&ch->lock);
    pthread_cond_destroy(&ch->changed);
    free(ch->slots);
    free(ch);
}
