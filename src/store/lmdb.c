/* lmdb.c: the LMDB engine as a whole; lmdb.h says what is where. */
#include "store/lmdb.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 500 /* snapshots end at most this late */

static struct lmdb *lmdb_of(struct store *s)
{
    return (struct lmdb *)(void *)s;
}

static void op_submit(struct store *s, struct store_commit *c)
{
    lmdb_submit(lmdb_file_of(lmdb_of(s), c->batch->part), c);
}

static enum store_rc op_get(struct store *s, part_t part, const str_t *keys, size_t n,
                            struct arena *a, struct store_value *out)
{
    return lmdb_get(lmdb_file_of(lmdb_of(s), part), part, keys, n, a, out);
}

static enum store_rc op_scan(struct store *s, const struct store_scan *q, struct arena *a,
                             struct store_page *out)
{
    return lmdb_scan(lmdb_file_of(lmdb_of(s), q->part), q, a, out);
}

static enum store_rc op_snapshot_open(struct store *s, part_t part, uint64_t *id)
{
    return lmdb_snapshot_open(lmdb_file_of(lmdb_of(s), part), part, id);
}

static void op_snapshot_close(struct store *s, uint64_t id)
{
    snapshots_remove(&lmdb_of(s)->snapshots, id);
}

static enum store_rc op_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                              void *user)
{
    return watches_add(&lmdb_of(s)->watches, part, prefix, fn, user);
}

static const struct store_board *op_board(struct store *s)
{
    return atomic_load(&lmdb_of(s)->board);
}

static void ticker_end(struct lmdb *db)
{
    if (!db->ticker_started)
        return;
    pthread_mutex_lock(&db->ticker_lock);
    db->closing = true;
    pthread_cond_signal(&db->ticker_wake);
    pthread_mutex_unlock(&db->ticker_lock);
    pthread_join(db->ticker, NULL);
}

static void op_close(struct store *s)
{
    struct lmdb *db = lmdb_of(s);
    for (int i = 0; i < LMDB_FILES; i++)
        lmdb_commit_end(&db->files[i]);
    ticker_end(db);
    snapshots_free(&db->snapshots);
    for (int i = 0; i < LMDB_FILES; i++)
        lmdb_file_close(&db->files[i]);
    watches_free(&db->watches);
    pthread_cond_destroy(&db->ticker_wake);
    pthread_mutex_destroy(&db->ticker_lock);
    close(db->dir_fd);
    free(db);
}

static const struct store_ops lmdb_ops = {
    .submit = op_submit,
    .get = op_get,
    .scan = op_scan,
    .snapshot_open = op_snapshot_open,
    .snapshot_close = op_snapshot_close,
    .watch = op_watch,
    .board = op_board,
    .close = op_close,
};

/* ---- board, log, ticker ---- */

int64_t lmdb_now_ms(void)
{
    struct timespec t;
    /* 4 ms are exact enough for all that is timed here */
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void lmdb_log(struct lmdb *db, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (db->log)
        db->log(db->log_user, line);
}

/* Bytes inside a file that can be written again: its pages less those of its trees. A file never
 * shrinks, so without them one that was full once would stay "full" for ever. */
static uint64_t reusable(const struct lmdb_file *f)
{
    MDB_txn *txn;
    MDB_envinfo info;
    MDB_stat st;
    uint64_t used = 2; /* the meta pages */
    if (f->env == NULL || mdb_env_info(f->env, &info) != 0 ||
        mdb_txn_begin(f->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    const MDB_dbi trees[] = {0 /* of freed pages */, f->dbi};
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        if (mdb_stat(txn, trees[i], &st) == 0)
            used += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    mdb_txn_abort(txn);
    uint64_t all = info.me_last_pgno + 1;
    return all > used ? (all - used) * f->page_size : 0;
}

void lmdb_refresh_free(struct lmdb *db)
{
    struct statvfs v;
    struct store_board *board = atomic_load(&db->board);
    if (fstatvfs(db->dir_fd, &v) == 0) {
        uint64_t disk = (uint64_t)v.f_bavail * v.f_frsize;
        atomic_store(&board->free_bytes, disk + reusable(&db->files[LMDB_MAIL]));
        atomic_store(&board->free_queue_bytes, disk + reusable(&db->files[LMDB_QUEUE]));
    }
    atomic_store(&board->writes_stopped, atomic_load(&db->stopped) ? 1 : 0);
}

void lmdb_stop(struct lmdb *db, const struct lmdb_file *f, const char *what, const char *why)
{
    if (atomic_exchange(&db->stopped, true))
        return;
    atomic_store(&atomic_load(&db->board)->writes_stopped, 1);
    lmdb_log(db,
             "store: STOPPED taking writes: cannot %s in %s: %s. What was not acknowledged may be "
             "lost, reading goes on. "
             "Check the disk (kernel log), then restart; if the disk is in doubt, restore a backup "
             "on another one first",
             what, f->name, why);
    for (int i = 0; i < LMDB_FILES;
         i++) { /* after a failed meta page LMDB refuses its own readers, too */
        struct lmdb_file *each = &db->files[i];
        int rc;
        MDB_dbi dbi;
        MDB_env *env = lmdb_env_readonly(db->dir_fd, each->name, MDB_NOLOCK, &dbi, &rc);
        if (!env) {
            lmdb_log(db, "store: cannot open %s again for reading: %s", each->name,
                     mdb_strerror(rc));
            continue;
        }
        lmdb_readers_init(&each->after, env, dbi);
        atomic_store(&each->readers, &each->after);
    }
}

static void tick(struct lmdb *db)
{
    int dead;
    for (int i = 0; i < LMDB_FILES;
         i++) /* a check that was killed would keep freed pages from reuse until our own end */
        (void)mdb_reader_check(db->files[i].env, &dead);
    snapshots_expire(&db->snapshots);
    atomic_store(&db->damage_logged, 0);
    lmdb_refresh_free(db);
}

static void *ticker_thread(void *arg)
{
    struct lmdb *db = arg;
    pthread_mutex_lock(&db->ticker_lock);
    while (!db->closing) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000l;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        pthread_cond_timedwait(&db->ticker_wake, &db->ticker_lock, &until);
        pthread_mutex_unlock(&db->ticker_lock);
        tick(db);
        pthread_mutex_lock(&db->ticker_lock);
    }
    pthread_mutex_unlock(&db->ticker_lock);
    return NULL;
}

/* ---- open ---- */

static struct lmdb *lmdb_new(int dir_fd, void (*log)(void *user, const char *line), void *user)
{
    struct lmdb *db = calloc(1, sizeof *db);
    if (!db)
        return NULL;
    db->store.ops = &lmdb_ops;
    db->log = log;
    db->log_user = user;
    db->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    atomic_store(&db->board, &db->own_board);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    must(pthread_mutex_init(&db->ticker_lock, NULL) == 0);
    must(pthread_cond_init(&db->ticker_wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    watches_init(&db->watches);
    snapshots_init(&db->snapshots, lmdb_snapshot_drop, NULL);
    return db;
}

struct store *store_lmdb_open(int dir_fd, void (*log)(void *user, const char *line), void *user,
                              struct err *err)
{
    struct lmdb *db = lmdb_new(dir_fd, log, user);
    if (!db) {
        (void)err_set(err, RC_TEMP, "", "store: out of memory");
        return NULL;
    }
    enum rc rc = db->dir_fd >= 0
                     ? RC_OK
                     : err_set(err, RC_TEMP, "", "store: cannot duplicate the directory");
    for (int i = 0; i < LMDB_FILES && rc == RC_OK; i++)
        rc = lmdb_file_open(&db->files[i], db, lmdb_file_names[i], err);
    if (rc == RC_OK) {
        lmdb_refresh_free(db);
        db->ticker_started = pthread_create(&db->ticker, NULL, ticker_thread, db) == 0;
        bool started = db->ticker_started;
        for (int i = 0; i < LMDB_FILES && started; i++)
            started = lmdb_commit_start(&db->files[i]);
        if (!started)
            rc = err_set(err, RC_TEMP, "", "store: cannot start a thread");
    }
    if (rc == RC_OK)
        return &db->store;
    op_close(&db->store);
    return NULL;
}

void store_lmdb_set_board(struct store *s, struct store_board *shared)
{
    struct lmdb *db = lmdb_of(s);
    for (unsigned k = 0; k < PART_KINDS; k++)
        atomic_store(&shared->generation[k], atomic_load(&db->own_board.generation[k]));
    atomic_store(&db->board, shared);
    lmdb_refresh_free(db);
}

void store_lmdb_set_flush(struct store *s, void (*flush)(void *user, bool queue), void *user)
{
    lmdb_of(s)->flush = flush;
    lmdb_of(s)->flush_user = user;
}

void store_lmdb_age_snapshots(struct store *s, int64_t by_ms)
{
    snapshots_age(&lmdb_of(s)->snapshots, by_ms);
}
