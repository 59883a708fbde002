/* lmdb.h: inside the LMDB engine.
 *
 *     lmdb.c         open, close, board, ticker: the store as a whole
 *     lmdb_env.c     one file: opening it, and room on the disk before it is needed
 *     lmdb_commit.c  its commit thread: gathers what waits into one transaction, syncs, answers
 *     lmdb_inbox.c   how batches get there
 *     lmdb_group.c   what is in the open transaction
 *     lmdb_tx.c      the calls apply.h wants, on a write transaction
 *     lmdb_read.c    read transactions, gets, scans, snapshots
 *     lmdb_sync.c    which system call of a commit failed
 *
 * Threads: a commit thread for each file, the only one that writes it; one ticker; reads run on the
 * callers' threads. */
#ifndef STORE_LMDB_H
#define STORE_LMDB_H

#include <lmdb.h>
#include <pthread.h>

#include "store/apply.h"
#include "store/engines.h"
#include "store/snapshot.h"
#include "store/watch.h"

struct lmdb;

/* ---- lmdb_read.c: read transactions, pooled ---- */

struct lmdb_reader {
    struct lmdb_reader *next;
    struct lmdb_readers *pool;
    MDB_txn *txn;
    MDB_cursor *cursor; /* NULL until the first scan */
};

struct lmdb_readers {
    MDB_env *env;
    MDB_dbi dbi;
    pthread_mutex_t lock;
    struct lmdb_reader *idle;
    size_t idle_n;
};

/* ---- one file ---- */

struct lmdb_entry { /* a batch in the open transaction, in order */
    /* gets its answer when the transaction ended; NULL: lazy, already answered */
    struct store_commit *waits;
    struct lmdb_lazy *lazy; /* our own copy of it */
    size_t hints_end;       /* its range deletes' hints end here */
};

struct lmdb_group {
    MDB_txn *txn;
    struct lmdb_entry *v;
    size_t n, cap, waiting; /* waiting: entries with `waits` */
    size_t bytes, pages;    /* pages: the most it may take */
    int64_t oldest_lazy_ms; /* 0: none */
    /* lazy ones of a commit that failed for want of space are in v: nothing new until they are
     * safe */
    bool stranded;
    struct hints hints;
};

struct lmdb_file {
    struct lmdb *db;
    const char *name;
    MDB_env *env;
    MDB_dbi dbi;
    int fd; /* LMDB's */
    uint64_t page_size;
    uint64_t allocated;  /* bytes of the file that have room on the disk */
    bool no_fallocate;   /* the file system has none: free space is asked for instead */
    uint64_t free_pages; /* inside the file, as counted last */
    int64_t free_counted_ms;
    int last_error; /* of LMDB, in lmdb_tx.c */
    bool sync_seen; /* lmdb_sync.c stands where it should */

    pthread_t thread;
    bool started;
    _Atomic(struct store_commit *) inbox; /* newest first, linked by engine[0] */
    _Atomic uint32_t asleep, wake, closing;
    struct lmdb_group group;
    bool answered; /* since the last flush */

    _Atomic(struct lmdb_readers *) readers; /* &live, after a stop &after */
    struct lmdb_readers live, after;
};

enum { LMDB_QUEUE, LMDB_MAIL, LMDB_FILES };
extern const char *const lmdb_file_names[LMDB_FILES];

struct lmdb {
    struct store store; /* first */
    int dir_fd;
    void (*log)(void *user, const char *line);
    void *log_user;
    void (*flush)(void *user, bool queue);
    void *flush_user;
    struct lmdb_file files[LMDB_FILES];
    struct watches watches;
    struct snapshots snapshots; /* of struct lmdb_reader */
    _Atomic(struct store_board *) board;
    struct store_board own_board;
    _Atomic bool stopped;
    _Atomic uint32_t damage_logged; /* in this second */
    pthread_t ticker;
    bool ticker_started, closing;
    pthread_mutex_t ticker_lock;
    pthread_cond_t ticker_wake;
};

static inline struct lmdb_file *lmdb_file_of(struct lmdb *db, part_t part)
{
    return &db->files[part.kind == PART_QUEUE ? LMDB_QUEUE : LMDB_MAIL];
}

/* lmdb.c */
int64_t lmdb_now_ms(void);
void lmdb_log(struct lmdb *db, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lmdb_refresh_free(struct lmdb *db);
/* No more writes from now on: sets the board, turns reads to a fresh view of the files. Once; later
 * calls do nothing. */
void lmdb_stop(struct lmdb *db, const struct lmdb_file *f, const char *what, const char *why);

/* lmdb_env.c */
enum rc lmdb_file_open(struct lmdb_file *f, struct lmdb *db, const char *name, struct err *err);
void lmdb_file_close(struct lmdb_file *f);
/* Opens for reading beside the first, without locks. NULL: the reason is in *rc. */
MDB_env *lmdb_env_readonly(int dir_fd, const char *name, unsigned flags, MDB_dbi *dbi, int *rc);
/* The most pages a batch may take, in this file as it is. */
size_t lmdb_pages_for(const struct lmdb_file *f, const struct store_batch *b, MDB_txn *txn);
/* Whether the disk has room for a transaction of that many pages; makes it. Deletes may use the
 * reserve. */
bool lmdb_room(struct lmdb_file *f, size_t pages, bool deletes);
/* hardly anything is left, whatever errno a write gave */
bool lmdb_disk_full(const struct lmdb_file *f);

/* lmdb_commit.c */
bool lmdb_commit_start(struct lmdb_file *f);
void lmdb_commit_end(struct lmdb_file *f); /* waits for all that was submitted */

/* lmdb_inbox.c */
void lmdb_submit(struct lmdb_file *f, struct store_commit *c);
/* all, oldest first, linked by engine[0] */
struct store_commit *lmdb_inbox_take(struct lmdb_file *f);
/* until there is work or closing; negative: no timeout */
void lmdb_inbox_sleep(struct lmdb_file *f, int64_t timeout_ms);
void lmdb_inbox_wake(struct lmdb_file *f);

/* lmdb_group.c: on the commit thread only */
void lmdb_answer(struct lmdb_file *f, struct store_commit *c, enum store_rc rc);
void lmdb_flush(struct lmdb_file *f); /* lets the answers so far leave */
/* NULL: no memory; free() releases it */
struct lmdb_lazy *lmdb_lazy_copy(const struct store_batch *b);
const struct store_batch *lmdb_lazy_batch(const struct lmdb_lazy *l);
enum store_rc lmdb_group_apply(struct lmdb_file *f, struct store_batch *b, size_t *failed,
                               bool *dirty);
/* false: no memory */
bool lmdb_group_add(struct lmdb_group *g, struct store_commit *waits, struct lmdb_lazy *lazy);
/* A new transaction with all entries in it, in place of a spoiled one or none. False: the engine
 * stopped, all are answered. */
bool lmdb_group_again(struct lmdb_file *f);
/* Everybody who still waits gets `rc`; lazy copies stay for the next transaction if `keep_lazy`.
 * The transaction is over. */
void lmdb_group_fail(struct lmdb_file *f, enum store_rc rc, bool keep_lazy);
/* and the engine stops */
void lmdb_group_stop(struct lmdb_file *f, const char *what, int rc, enum store_rc answer_waiting);

/* lmdb_tx.c */
struct lmdb_tx {
    struct apply_tx tx; /* first */
    struct lmdb_file *f;
    MDB_txn *txn;
};
struct lmdb_tx lmdb_tx_of(struct lmdb_file *f, MDB_txn *txn);
/* LMDB's error in ours: STORE_FULL where space or memory is out, else STORE_STOPPED (damage, a lost
 * disk). */
enum store_rc lmdb_rc(int rc);

/* lmdb_read.c */
void lmdb_readers_init(struct lmdb_readers *p, MDB_env *env, MDB_dbi dbi);
void lmdb_readers_free(struct lmdb_readers *p);
enum store_rc lmdb_get(struct lmdb_file *f, part_t part, const str_t *keys, size_t n,
                       struct arena *a, struct store_value *out);
enum store_rc lmdb_scan(struct lmdb_file *f, const struct store_scan *q, struct arena *a,
                        struct store_page *out);
enum store_rc lmdb_snapshot_open(struct lmdb_file *f, part_t part, uint64_t *id);
void lmdb_snapshot_drop(void *reader, void *user);

/* lmdb_sync.c */
struct lmdb_syncs {
    unsigned calls; /* of fdatasync by this thread since lmdb_sync_begin */
    bool failed;    /* one of them */
};
void lmdb_sync_begin(void);
struct lmdb_syncs lmdb_sync_end(void);

#endif
