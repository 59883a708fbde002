/* channel.c: the client side of channel.h: life, and the call that waits. How it works:
 * channel_internal.h. */
#include "sys/channel.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/channel_internal.h"
#include "sys/futex.h"

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
    ch->first_free = CHANNEL_NO_SLOT;
    list_init(&ch->waiting);
    /* frames are written in microseconds: spin a little before sleeping */
    pthread_mutexattr_t spin;
    pthread_mutexattr_init(&spin);
    pthread_mutexattr_settype(&spin, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&ch->write, &spin);
    pthread_mutex_init(&ch->lock, &spin);
    pthread_mutexattr_destroy(&spin);
    pthread_cond_init(&ch->changed, NULL);
    if (pthread_create(&ch->reader, NULL, channel_reader_main, ch) != 0) {
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

/* The deadline has passed: takes the call out of its place. False: somebody else is completing it
 * this moment. */
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
