/* channel_internal.h: what the files of the client side of channel.h share.
 *
 *     channel.c         life, the call that waits
 *     channel_calls.c   where a call is: the table of those in flight, completion
 *     channel_send.c    writing frames, or keeping them until there is a socket
 *     channel_reader.c  the thread that takes sockets over, reads replies, ends what is overdue
 *
 * Two locks. `write` is held while a frame is written, so that frames do not mix; who holds it sees
 * a steady socket. `lock` guards the tables and is held for moments only. Order: write, then lock.
 *
 * A call is in exactly one place: in the table of calls in flight (its slot and the slot's turn
 * make its request id), in the list of those waiting for a socket (with a copy of its frame), or
 * completed. Whoever takes it out of its place, under `lock`, completes it; so done runs once, and
 * nobody touches a call after that. A call enters the table under `write`, and the reader ends it
 * early only with `write` held: its payload is never read after done. */
#ifndef SYS_CHANNEL_INTERNAL_H
#define SYS_CHANNEL_INTERNAL_H

#include <pthread.h>

#include "base/list.h"
#include "sys/channel.h"

#define CHANNEL_NO_SLOT UINT32_MAX

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

static inline struct call_place *place(struct channel_call *c)
{
    return (void *)c->internal;
}

static inline struct channel_call *place_call(struct list *l)
{
    struct call_place *p = list_entry(l, struct call_place, link);
    return list_entry((void *)p, struct channel_call, internal);
}

/* channel_calls.c. Slots: under lock. Completion: without. */
void call_complete(struct channel_call *c, enum rc rc);
void call_complete_all(struct list *calls, enum rc rc);
bool slot_put(struct channel *ch, struct channel_call *c); /* false: full */
/* The call with this id, out of the table; NULL if it was given up. */
struct channel_call *slot_take(struct channel *ch, uint64_t id);
/* Moves calls in flight to `out`: all that are due by then. */
void slots_take(struct channel *ch, int64_t due_ms, struct list *out);

/* channel_send.c */
enum sent {
    SENT,
    SENT_NOT,
    SENT_CLOSED,
    SENT_BROKEN
}; /* NOT, CLOSED: no byte went out; BROKEN: part of the frame */
/* With `write` held, and the call in the table: writes its frame. After SENT it may be gone;
 * otherwise it is out of the table, and the caller's. Never SENT_BROKEN. */
enum sent write_call(struct channel *ch, uint64_t id, struct iovec *v, int nv, int64_t deadline_ms);

/* channel_reader.c */
void *channel_reader_main(void *channel);

#endif
