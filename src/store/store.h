/* store.h: one ordered map of byte keys to byte values, in partitions, with one kind of write.
 *
 * The write is a one-shot conditional batch within one partition: it happens whole or not at all,
 * is strictly serializable, and is on stable storage when it reports STORE_OK, unless it was lazy
 * (then: visible at once to later batches, to reads perhaps later, and durable no later than the
 * next durable batch of the same file that reports STORE_OK; files are: PART_QUEUE, all others).
 * STORE_CONFLICT of a durable batch is as durable as STORE_OK is. STORE_UNKNOWN is a real result
 * (the server died, or the sync failed midway): write batches so that repeating them is harmless.
 * Reads see one snapshot each.
 *
 * Behind this interface are the LMDB engine, the memory engine for tests, and the client of the
 * core role. They pass the same conformance suite. Every function may be called from any thread.
 *
 * Values are kept with a checksum that covers partition, key and value, verified on every read. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"

/* Limits, the same for every engine (a batch beyond them is STORE_LIMIT and changes nothing). */
/* bytes; LMDB's own limit is 511 and the partition takes up to 9 */
#define STORE_KEY_MAX   480
#define STORE_VALUE_MAX 65536     /* bytes */
#define STORE_BATCH_MAX (1 << 20) /* bytes of keys and values in one batch */
#define STORE_BATCH_OPS 512
/* content per chunk: with checksum and page header exactly 16 pages of LMDB */
#define STORE_CHUNK 65472
/* bytes of keys and values in one page of a scan, or one multi-get */
#define STORE_PAGE_MAX (1 << 20)
/* what each row counts in a page besides its bytes: many tiny rows are bounded, too */
#define STORE_ROW_COST 16
/* a snapshot lives no longer: an old one keeps freed pages from reuse */
#define STORE_SNAPSHOT_MS 5000

enum part_kind { PART_NODE, PART_DIRECTORY, PART_SECRET, PART_USER, PART_QUEUE, PART_KINDS };
typedef struct part {
    enum part_kind kind;
    uint64_t id; /* account id for PART_USER, shard for PART_QUEUE, else 0 */
} part_t;

enum [[nodiscard]] store_rc{
    STORE_OK, STORE_CONFLICT, /* a precondition did not hold; nothing changed */
    STORE_DENIED,             /* this channel may not; nothing changed */
    STORE_LIMIT,              /* over a limit above, or malformed; nothing changed */
    STORE_FULL,               /* no space; nothing changed */
    /* the engine stopped taking writes after a failed sync or write; nothing changed; reads go
     * on */
    STORE_STOPPED,
    STORE_DAMAGED, /* a value's checksum does not match: that value is lost, the rest is not */
    STORE_EXPIRED, /* the snapshot is older than STORE_SNAPSHOT_MS or unknown */
    STORE_DOWN,    /* not reachable before the deadline; nothing was sent */
    STORE_UNKNOWN, /* sent, and no answer: it may have happened or not */
};
const char *store_rc_name(enum store_rc rc);

/* ---- writing --------------------------------------------------------------------------------- */

enum store_op_kind {
    /* Preconditions, all evaluated against the state before the batch. */
    STORE_ABSENT,  /* key has no value */
    STORE_PRESENT, /* key has a value */
    STORE_EQUAL,   /* key's value is `value` */
    /* Changes, in order. */
    STORE_PUT,     /* key = value */
    STORE_PUT_NEW, /* as STORE_ABSENT and STORE_PUT: the only put a create-only channel may use */
    STORE_DELETE,  /* key, if present */
    /* all keys k with key <= k < value (value holds the end key; empty: the end of the
     * partition) */
    STORE_DELETE_RANGE,
    /* the counter at key (u64, big-endian; absent: 0) += delta; its new value is the op's number. A
     * counter that would wrap, or a value that is none, is STORE_LIMIT */
    STORE_ADD,
    /* the counter at key += 1; then puts value at  value-key-prefix || u64 number, see
     * store_put_next */
    STORE_PUT_NEXT
};

struct store_op {
    enum store_op_kind kind;
    str_t key, value;
    str_t prefix;    /* STORE_PUT_NEXT: where the value goes: prefix || big-endian u64 number */
    int64_t delta;   /* STORE_ADD */
    uint64_t number; /* result of STORE_ADD and STORE_PUT_NEXT */
};

/* A batch under construction. Slices given to it are borrowed until the commit has returned (or,
 * with store_submit, until done was called); the ops live in the arena. Errors stick (`failed`) and
 * become STORE_LIMIT. */
struct store_batch {
    part_t part;
    bool lazy;
    bool failed;
    size_t n, cap, bytes;
    struct store_op *ops;
    struct arena *arena;
};
void store_batch_init(struct store_batch *b, part_t part, struct arena *a);
void store_require_absent(struct store_batch *b, str_t key);
void store_require_present(struct store_batch *b, str_t key);
void store_require_equal(struct store_batch *b, str_t key, str_t value);
/* Whether every op is within the limits above: what store_submit refuses otherwise. For those who
 * read batches off a wire. */
bool store_batch_valid(const struct store_batch *b);
void store_put(struct store_batch *b, str_t key, str_t value);
void store_put_new(struct store_batch *b, str_t key, str_t value);
void store_delete(struct store_batch *b, str_t key);
void store_delete_range(struct store_batch *b, str_t from, str_t end);
/* The op's index in b->ops, where its number is found after STORE_OK. */
size_t store_add(struct store_batch *b, str_t key, int64_t delta);
size_t store_put_next(struct store_batch *b, str_t counter, str_t prefix, str_t value);

/* An asynchronous commit. The caller owns it and keeps it, and the batch, until done was called,
 * exactly once, from any thread (possibly before store_submit returns). done must not block or call
 * the store; it may signal. */
struct store_commit {
    struct store_batch *batch;
    int64_t deadline_ms; /* env's mono clock; 0: the store's own, 30 s */
    void (*done)(struct store_commit *c);
    void *user;
    enum store_rc rc; /* set before done */
    size_t failed_op; /* STORE_CONFLICT: index of the op that did not hold */
    void *engine[4];  /* the implementation's own */
};

/* ---- reading --------------------------------------------------------------------------------- */

struct store_value {
    enum store_rc rc; /* STORE_OK or STORE_DAMAGED */
    bool present;
    str_t value; /* in the caller's arena */
};

struct store_row {
    str_t key, value; /* in the caller's arena */
    bool damaged;     /* the value failed its checksum and is empty; the key is still there */
};

struct store_scan {
    part_t part;
    str_t from, end;   /* from <= key < end; an empty `end` is the end of the partition */
    bool backwards;    /* from the last key below `end` down to `from` */
    bool keys_only;    /* values are not read and not returned */
    uint32_t rows_max; /* 0: as many as fit STORE_PAGE_MAX */
    uint64_t snapshot; /* 0: a snapshot of its own */
};
struct store_page {
    size_t n;
    struct store_row *rows;
    bool more; /* go on: forwards from just after the last key, backwards with end = the last key */
};

/* ---- the store ------------------------------------------------------------------------------- */

/* State that every role may look at without asking: written by core, mapped read-only by the
 * others. */
struct store_board {
    /* grows before a durable batch of that kind reports STORE_OK: what was read from the directory
     * before is valid while this is unchanged */
    _Atomic uint64_t generation[PART_KINDS];
    /* What can still be written: of the file system, and inside the files, which never shrink.
     * Refreshed every second, after STORE_FULL, and whenever a file grows. */
    _Atomic uint64_t free_bytes;       /* in mailboxes and all else */
    _Atomic uint64_t free_queue_bytes; /* in the queue */
    _Atomic uint32_t writes_stopped;   /* the engine takes no writes any more */
};

/* A hint that a row was put (value: as written if at most 4 KiB, else empty) or deleted (deleted =
 * true), or that hints were lost (key empty): scan again. Called on any thread; must not block or
 * call the store; may signal. */
typedef void store_hint_fn(void *user, part_t part, str_t key, str_t value, bool deleted);

struct store {
    const struct store_ops *ops;
};
struct store_ops {
    void (*submit)(struct store *s, struct store_commit *c);
    enum store_rc (*get)(struct store *s, part_t part, const str_t *keys, size_t n, struct arena *a,
                         struct store_value *out);
    enum store_rc (*scan)(struct store *s, const struct store_scan *q, struct arena *a,
                          struct store_page *out);
    enum store_rc (*snapshot_open)(struct store *s, part_t part, uint64_t *id);
    void (*snapshot_close)(struct store *s, uint64_t id);
    enum store_rc (*watch)(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                           void *user);
    const struct store_board *(*board)(struct store *s);
    void (*close)(struct store *s); /* waits for commits under way */
};

void store_submit(struct store *s, struct store_commit *c);
enum store_rc store_commit(struct store *s, struct store_batch *b); /* submits and waits */
/* All keys on one snapshot, out[i] for keys[i]; values together at most STORE_PAGE_MAX (else
 * STORE_LIMIT). */
enum store_rc store_get(struct store *s, part_t part, const str_t *keys, size_t n, struct arena *a,
                        struct store_value *out);
/* One key. *present false: there is none. */
enum store_rc store_get1(struct store *s, part_t part, str_t key, struct arena *a, bool *present,
                         str_t *value);
enum store_rc store_scan(struct store *s, const struct store_scan *q, struct arena *a,
                         struct store_page *out);
enum store_rc store_snapshot_open(struct store *s, part_t part, uint64_t *id);
void store_snapshot_close(struct store *s, uint64_t id);
/* For the life of the store; at most 16 watches a store. */
enum store_rc store_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                          void *user);
const struct store_board *store_board(struct store *s);
void store_close(struct store *s);

/* The smallest key above every key that starts with `prefix` (empty if there is none): the end of a
 * scan. */
str_t store_prefix_end(struct arena *a, str_t prefix);

/* A lease: a row with an epoch that every write of its holder requires. Taking it raises the epoch,
 * which makes every batch of the former holder fail with STORE_CONFLICT. The row's value is the
 * epoch as u64. */
struct store_lease {
    part_t part;
    str_t key; /* borrowed: a literal */
    char epoch[8];
};
enum store_rc store_lease_take(struct store *s, part_t part, str_t key, struct store_lease *out);
void store_require_lease(struct store_batch *b, const struct store_lease *l);

#endif
