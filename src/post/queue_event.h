/* queue_event.h: what happened to a message: the rows behind `postrider trace`.
 *
 *     t/ID/time,n,kind,serial     u64 wall-clock ms, u16 delivery, u8 kind, u32 serial (the
 *                                 attempt's number, so that two events of one ms differ)
 *
 * That the message was accepted needs no event: the m row says when and from whom. An attempt's
 * event is in the batch that changes the delivery row: there is never the one without the other.
 * What peers said is data: bounded, and escaped by whoever shows it. */
#ifndef POST_QUEUE_EVENT_H
#define POST_QUEUE_EVENT_H

#include "post/queue.h"

#define QUEUE_EVENT_TEXT_MAX 512 /* bytes kept of one reply (THREATS T07) … */
/* … and of all replies of one event, so that 100 recipients still fit a value */
#define QUEUE_EVENT_TEXTS_MAX 32768

enum queue_event_kind {
    /* courier tried: host, addr, results, next_ms if somebody has to wait */
    QUEUE_EVENT_ATTEMPT = 1,
    QUEUE_EVENT_LOCAL, /* local tried: results */
    QUEUE_EVENT_HELD,  /* by the operator, or by us when a record is damaged (text says so) */
    QUEUE_EVENT_RELEASED,
    QUEUE_EVENT_RETRY,   /* asked for by hand */
    QUEUE_EVENT_REMOVED, /* by hand; `bounce` if the sender was told */
    QUEUE_EVENT_ROUTED,  /* by hand, to another host: text is the route */
    QUEUE_EVENT_KINDS
};
const char *queue_event_name(enum queue_event_kind k); /* "attempt" … */

enum queue_outcome {
    QUEUE_DELIVERED, /* the peer took it, or it is in the mailbox */
    QUEUE_DEFERRED,  /* tried again at next_ms */
    QUEUE_FAILED,    /* for good: `bounce` tells the sender */
    QUEUE_FORWARDED, /* an alias: text names what became of it */
    QUEUE_DROPPED,   /* a last-resort bounce that failed: logged, and gone */
    QUEUE_OUTCOMES
};
const char *queue_outcome_name(enum queue_outcome o);

struct queue_result { /* for one recipient */
    str_t address;
    enum queue_outcome outcome;
    int code;     /* the peer's, or 0 */
    str_t status; /* "5.1.1" or empty */
    str_t text;
};

struct queue_event {
    queue_id_t id;
    int64_t time_ms;
    uint16_t n; /* the delivery */
    enum queue_event_kind kind;
    uint32_t serial;
    str_t host, addr;     /* who was asked: "mx.example.org", "192.0.2.1:25" */
    int64_t next_ms;      /* 0: nothing waits any more */
    bool bounced, warned; /* a DSN was made; it is the message: */
    queue_id_t bounce, warning;
    str_t text; /* of the event itself, may be empty */
    size_t nresults;
    struct queue_result *results;
};

str_t queue_event_key(const struct queue_event *e, struct arena *a);
/* texts are cut to the limits above */
bool queue_event_encode(const struct queue_event *e, struct buf *out);
bool queue_event_decode(str_t key, str_t value, struct arena *a, struct queue_event *out);
/* Only the time, from the key. */
bool queue_event_key_time(str_t key, int64_t *time_ms);
/* Encodes e into the batch. False: no memory. */
bool queue_event_add(const struct queue_event *e, struct store_batch *b, struct arena *a);

#endif
