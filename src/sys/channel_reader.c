/* channel_reader.c: the thread of a channel, as long-lived as the channel: see
 * channel_internal.h. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/channel_internal.h"
#include "sys/clock.h"
#include "sys/frame.h"

#define TICK_MS 1000 /* how often deadlines of channel_send are looked at */

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
    call_complete_all(&late, RC_TEMP);
}

static void expire_flying(struct channel *ch)
{
    struct list late;
    list_init(&late);
    /* somebody is writing one of them: next time */
    if (pthread_mutex_trylock(&ch->write) != 0)
        return;
    pthread_mutex_lock(&ch->lock);
    slots_take(ch, sys_mono_ms(), &late);
    pthread_mutex_unlock(&ch->lock);
    pthread_mutex_unlock(&ch->write);
    call_complete_all(&late, RC_CLOSED);
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

/* Under both locks: moves the first of the waiting into the table. NULL: none, and the channel is
 * open to all; or the socket is broken, and they wait for the next. */
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
        call_complete(c, RC_TEMP);
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
    call_complete_all(&lost, RC_CLOSED);
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
    call_complete(c, RC_OK);
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

void *channel_reader_main(void *arg)
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
