/* queue.h: the queue as the map holds it, and the one way a message gets in.
 *
 * Partition PART_QUEUE, shard 0. A message has an id of 10 bytes (48 bit of wall-clock ms, 32 bit
 * random), shown as 16 characters. Its content is cut in chunks. Its recipients are grouped in
 * deliveries: all recipients that one attempt can carry (the same remote domain, or local), at most
 * QUEUE_GROUP of them. A delivery is what is scheduled, tried, held and retried.
 *
 *     m/ID            the message: envelope, where it came from (struct queue_message). Stays for
 *                     trace_days after the end.
 *     c/ID/n          content chunk n (u32), at most STORE_CHUNK bytes: header and body with CRLF,
 *                     no dot-stuffing
 *     dr/ID/n         a delivery to a remote domain (u16 n)   } struct queue_delivery: as long as
 *     dl/ID/n         a delivery to local addresses           } somebody still has to get it
 *     t/ID/time,n,…   what happened (queue_event.h): each attempt, bounce, expansion, hold …
 *     etrn/DOMAIN     somebody who may has asked that mail for this domain (lower case, A-labels)
 *                     be tried now (RFC 1985); no value. mx puts it; courier watches, makes the
 *                     destination due and deletes it
 *     b/DOMAIN        why a destination waits (queue_wait.h)
 *     s/ADDRESS       it does not exist: not tried again for a while (queue_suppress.h)
 *     lease/courier, lease/local   epochs of the two that work on deliveries
 *
 * Content over one chunk is written ahead in lazy batches; the last batch (rest of the content, m,
 * d rows) is durable and makes it all reachable. Each batch requires the last row of the one before
 * it (STORE_PRESENT), so that neither a lazy batch lost in a crash nor the sweeper can take a piece
 * out of a message that is then acknowledged. Delivery rows that do not fit the last batch go ahead
 * lazily too: without its m row a delivery is nothing, and nobody acts on it.
 *
 * Whoever ends the last delivery deletes the chunks; chunks without deliveries are swept an hour
 * later. Every change of a delivery requires the row as it was read (STORE_EQUAL) and the lease, so
 * that hold, remove and retry by hand are never overwritten. The command line's changes
 * (queue_admin.h) require the row as read too; it holds no lease. */
#ifndef POST_QUEUE_H
#define POST_QUEUE_H

#include "base/buf.h"
#include "base/env.h"
#include "store/store.h"

#define QUEUE_PART ((part_t){PART_QUEUE, 0})
/* recipients in one delivery: what every server must take (RFC 5321 4.5.3.1.8) */
#define QUEUE_GROUP 100
/* … and bytes of them (queue_rcpt_bytes): a row fits a value, with all else at its longest */
#define QUEUE_GROUP_BYTES 49152
#define QUEUE_ID_TEXT     17   /* 16 characters and NUL */
#define QUEUE_REPLY_MAX   4096 /* bytes kept of what a peer said last */
/* an address: 64 @ 255 (RFC 5321 4.5.3.1); with UTF-8 counted in octets all the same */
#define QUEUE_PATH_MAX 320
#define QUEUE_TEXT_MAX 512 /* client, helo, protocol, envelope id: each is cut here */

typedef struct queue_id {
    uint8_t b[10];
} queue_id_t;
queue_id_t queue_id_new(struct env *env);
char *queue_id_text(queue_id_t id, char out[static QUEUE_ID_TEXT]);
bool queue_id_parse(str_t text, queue_id_t *out);
int64_t queue_id_ms(queue_id_t id); /* when it was made, by the wall clock of then */
static inline bool queue_id_eq(queue_id_t a, queue_id_t b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

/* RFC 3461 4.1, as bits; 0: NOTIFY was not given, which means FAILURE and DELAY (4.1). */
enum queue_notify {
    QUEUE_NOTIFY_NEVER = 1, /* alone */
    QUEUE_NOTIFY_SUCCESS = 2,
    QUEUE_NOTIFY_FAILURE = 4,
    QUEUE_NOTIFY_DELAY = 8,
};
enum queue_ret { QUEUE_RET_ANY, QUEUE_RET_FULL, QUEUE_RET_HDRS }; /* RFC 3461 4.3 */
/* RFC 2852: what happens when deliver_by_ms has passed. NOTIFY: a delay report, delivery goes on;
 * RETURN: it fails with 5.4.7. */
enum queue_by { QUEUE_BY_NONE, QUEUE_BY_NOTIFY, QUEUE_BY_RETURN };
/* RFC 6710: -9 … 9, 0 is normal */
#define QUEUE_PRIORITY_MAX 9

struct queue_message {
    queue_id_t id;
    int64_t arrived_ms; /* wall clock */
    uint64_t size;      /* bytes of content */
    uint32_t chunks;
    bool body_8bit, smtputf8;
    bool bounce; /* made by us (DSN): reverse_path is null */
    /* it never had more than one delivery: who ends that one may delete the content at once */
    bool single;
    /* a bounce that could not be delivered, now for the postmaster: if that fails too it ends in
     * the log */
    bool last_resort;
    uint16_t next_n;      /* number for the next delivery of this message (aliases make new ones) */
    str_t reverse_path;   /* local@domain as smtp_path_text writes it; "" is <> */
    str_t client;         /* where from: "192.0.2.1:4711", "local" for our own */
    str_t helo, protocol; /* "ESMTP", "LMTP" … (RFC 3848) */
    str_t envelope_id;    /* RFC 3461 ENVID, decoded from xtext; or empty */
    bool body_binary;     /* BODY=BINARYMIME: lines of any form, NUL; RFC 3030 */
    bool requiretls;      /* RFC 8689: each hop over TLS with a name that was verified */
    bool auto_submitted;  /* has Auto-Submitted other than "no": no delay is told (RFC 3834) */
    bool by_trace;        /* RFC 2852 4.1.4: DELIVERBY's T */
    enum queue_ret ret;
    enum queue_by by;
    int8_t priority;       /* MT-PRIORITY */
    int64_t deliver_by_ms; /* wall clock; with `by` */
    int64_t release_ms;    /* RFC 4865: not delivered before (wall clock); 0: at once */
    uint64_t account;      /* who submitted it after AUTH; 0: nobody */
    /* Whom a fair share is counted for: "a/ACCOUNT", "n/192.0.2.0/24", "u/UID"; empty: our own
     * mail. Deliveries carry it too. */
    str_t source;
};

struct queue_rcpt {
    str_t address;  /* local@domain as smtp_path_text writes it */
    str_t original; /* as first given, if an alias made this one of it; else empty */
    str_t orcpt;    /* RFC 3461 ORCPT: "rfc822;user@example.org", xtext decoded; or empty */
    uint8_t notify; /* enum queue_notify; 0: not given */
    bool utf8;
    /* Of an account that forwards: its own mailbox alone. What it forwards to has gone there. */
    bool box;
};

/* What it takes in a delivery row. */
static inline size_t queue_rcpt_bytes(const struct queue_rcpt *r)
{
    enum { FIXED = 8 }; /* flags, three lengths, notify */
    return FIXED + r->address.len + r->original.len + r->orcpt.len;
}

enum queue_state { QUEUE_READY, QUEUE_HELD, QUEUE_STATES };
const char *queue_state_name(enum queue_state state); /* "ready", "held" */

struct queue_delivery {
    queue_id_t id;
    uint16_t n;
    bool local;
    enum queue_state state;
    bool warned;  /* the sender was told of the delay */
    bool by_told; /* … and that the time of DELIVERBY has passed */
    bool asked;   /* by hand, since the last attempt: its destination need not be waited for */
    uint32_t attempts;
    int64_t arrived_ms; /* of the message: when to warn and give up */
    int64_t next_ms;    /* wall clock: not before */
    /* The message's, as long as something is to happen then, whatever the delivery waits for
     * (RFC 2852); else 0. */
    int64_t deliver_by_ms;
    str_t domain; /* remote: lower case, what the route is looked up by */
    str_t reason; /* why it waits: the last reply or error, printable */
    /* Where to instead of by the domain: a route in the words of post/route.h, from a table or the
     * operator; empty: by the domain. Of a local delivery: how far a list was sent, or through
     * which lists it came (roles/local/list_turn.c). */
    str_t via;
    /* The reverse-path of this delivery where it is another than the message's (SRS of a forward,
     * VERP); has_sender tells it from <>. */
    str_t sender;
    bool has_sender;
    /* From a list to its members: a message of its own to whoever asked for reports (RFC 3461
     * 5.2.7.1): neither ENVID nor RET goes with it. */
    bool list;
    int8_t priority; /* the message's */
    str_t source;    /* the message's */
    size_t nrcpt;
    struct queue_rcpt *rcpt;
};

/* What a schedule needs of a delivery row, taken out without an arena. `domain` points into the
 * value; so do `via` and `source`. */
struct queue_due {
    queue_id_t id;
    uint16_t n;
    bool local;
    enum queue_state state;
    bool asked;
    int64_t next_ms, deliver_by_ms;
    str_t domain, via, source;
    int8_t priority;
};

/* ---- records (version byte first; decoders take anything and never overrun) ---- */
bool queue_message_encode(const struct queue_message *m, struct buf *out);
bool queue_message_decode(str_t value, queue_id_t id, struct arena *a, struct queue_message *out);
bool queue_delivery_encode(const struct queue_delivery *d, struct buf *out);
bool queue_delivery_decode(str_t key, str_t value, struct arena *a, struct queue_delivery *out);
/* The same row's key and first fields only. A key that is no delivery's, or a value that cannot be
 * one: false. */
bool queue_due_decode(str_t key, str_t value, struct queue_due *out);
bool queue_key_delivery_parse(str_t key, queue_id_t *id, uint16_t *n, bool *local);
/* The id in any key of the queue (m, c, d, t), whatever follows it. */
bool queue_key_id(str_t key, queue_id_t *id);
str_t queue_key_message(queue_id_t id, struct arena *a);
str_t queue_key_chunk(queue_id_t id, uint32_t n, struct arena *a);
str_t queue_key_delivery(queue_id_t id, uint16_t n, bool local, struct arena *a);
/* "c", "dr", "dl", "t": all of that message's */
str_t queue_key_prefix(const char *kind, queue_id_t id, struct arena *a);

/* ---- the way in: used by mx, by bounces, by whoever makes mail ---- */

/* A message on its way in. Memory: one chunk, and while a message is longer than that a second one
 * on its way to core. Not thread-safe: one owner. */
struct queue_in;
struct queue_in *queue_in_begin(struct env *env); /* a new id; NULL: no memory */
queue_id_t queue_in_id(const struct queue_in *in);
uint64_t queue_in_size(const struct queue_in *in);
/* Appends content. A failure sticks: later calls return the same. */
enum store_rc queue_in_write(struct queue_in *in, str_t bytes);
/* Frees what is not in use just now: half of the memory of content that stands still. Never waits;
 * it is taken again when it is needed. */
void queue_in_give_back(struct queue_in *in);
/* Durable when STORE_OK: the promise. Groups recipients by domain (any case), the same address
 * twice is once; `local` says which are ours. n > 0. m->id, arrived_ms (if 0), size, chunks,
 * single, next_n are filled in. The queue_in is freed whatever the result. STORE_CONFLICT: a piece
 * written ahead is gone (core lost it, or the sweeper took it for abandoned): 451 and begin
 * again. */
struct queue_in_rcpt {
    str_t address;
    str_t domain; /* in A-labels, any case: what a remote delivery is grouped and routed by */
    bool local, utf8;
    uint8_t notify;
    bool hold;             /* begins as QUEUE_HELD, with `reason` */
    str_t original, orcpt; /* as in struct queue_rcpt */
    str_t via, reason;     /* as in struct queue_delivery */
    str_t sender;          /* as in struct queue_delivery */
    bool has_sender;
};
enum store_rc queue_in_commit(struct queue_in *in, struct queue_message *m,
                              const struct queue_in_rcpt *rcpt, size_t n);
/* frees it; written chunks are taken back, or swept later */
void queue_in_abort(struct queue_in *in);

#endif
