/* lmdb_commit.c: the commit thread of a file: group commit.
 *
 *     submit ──▶ inbox ──▶ take: apply each batch in the one open transaction ──▶ commit: write, sync ──▶ answers
 *                             lazy ones are answered here (we keep a copy)         a group serves all that waited
 *
 * While one commit syncs, the next group gathers in the inbox. A transaction ends as soon as a durable batch is in it and
 * the inbox is empty, when it got big, or LAZY_MS after the first lazy batch.
 *
 * A STORE_CONFLICT was judged against batches that are not durable yet, so it waits for the commit like the others: who is
 * told "it is already there" may rely on it being there.
 *
 * Failures. A batch that fails after it changed something (STORE_FULL, a counter that would wrap) spoils LMDB's transaction:
 * abort, run all the others again in a new one. A commit that failed writing pages left nothing behind: STORE_FULL for all,
 * the lazy ones stay with us for the next transaction. A commit that failed in or after its sync: STORE_UNKNOWN for all, and
 * the engine stops (lmdb_stop). A sync is never tried twice. */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/lmdb.h"

#define LAZY_MS     100         /* a lazy batch is on the disk at the latest then */
#define GROUP_BYTES (64u << 20) /* of one transaction: bounds lazy copies, dirty pages, and the time of a sync */
#define GROUP_MAX   8192        /* batches in one transaction */
#define DRAIN_ROUNDS 4          /* looks into the inbox before a commit: those who come later wait for the next */

struct lmdb_lazy { /* an owned copy: struct, ops, bytes in one allocation */
    struct store_batch batch;
    uint64_t *numbers; /* what was answered */
};

/* ---- inbox: many submitters, one taker, no lock ---- */

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void wake(struct lmdb_file *f)
{
    atomic_fetch_add(&f->wake, 1);
    futex(&f->wake, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void lmdb_submit(struct lmdb_file *f, struct store_commit *c)
{
    struct store_commit *old = atomic_load(&f->inbox);
    do
        c->engine[0] = old;
    while (!atomic_compare_exchange_weak(&f->inbox, &old, c));
    if (atomic_load(&f->asleep))
        wake(f);
}

static void sleep_until_work(struct lmdb_file *f, int64_t timeout_ms) /* negative: for ever */
{
    uint32_t seen = atomic_load(&f->wake);
    atomic_store(&f->asleep, 1);
    if (!atomic_load(&f->inbox) && !atomic_load(&f->closing)) {
        struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
        futex(&f->wake, FUTEX_WAIT_PRIVATE, seen, timeout_ms < 0 ? NULL : &t);
    }
    atomic_store(&f->asleep, 0);
}

static struct store_commit *inbox_take(struct lmdb_file *f) /* oldest first */
{
    struct store_commit *c = atomic_exchange(&f->inbox, NULL), *first = NULL;
    while (c) {
        struct store_commit *next = c->engine[0];
        c->engine[0] = first;
        first = c;
        c = next;
    }
    return first;
}

/* ---- lazy copies ---- */

static str_t copy(char **to, str_t s)
{
    str_t out = str_of(*to, s.len);
    if (s.len)
        memcpy(*to, s.ptr, s.len);
    *to += s.len;
    return out;
}

static struct lmdb_lazy *lazy_copy(const struct store_batch *b)
{
    struct lmdb_lazy *l = malloc(sizeof *l + b->n * (sizeof(struct store_op) + sizeof(uint64_t)) + b->bytes);
    if (!l)
        return NULL;
    struct store_op *ops = (struct store_op *)(void *)(l + 1);
    l->batch = *b;
    l->batch.ops = ops;
    l->numbers = (uint64_t *)(void *)(ops + b->n);
    char *to = (char *)(l->numbers + b->n);
    for (size_t i = 0; i < b->n; i++) {
        ops[i] = b->ops[i];
        ops[i].key = copy(&to, b->ops[i].key);
        ops[i].value = copy(&to, b->ops[i].value);
        ops[i].prefix = copy(&to, b->ops[i].prefix);
        l->numbers[i] = b->ops[i].number;
    }
    return l;
}

static bool same_numbers(const struct lmdb_lazy *l)
{
    for (size_t i = 0; i < l->batch.n; i++)
        if (l->batch.ops[i].number != l->numbers[i])
            return false;
    return true;
}

/* ---- the group ---- */

static void answer(struct store_commit *c, enum store_rc rc)
{
    c->rc = rc;
    c->done(c);
}

static bool group_add(struct lmdb_group *g, struct store_commit *waits, struct lmdb_lazy *lazy)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 64;
        struct lmdb_entry *v = reallocarray(g->v, cap, sizeof *v);
        if (!v)
            return false;
        g->v = v;
        g->cap = cap;
    }
    g->v[g->n++] = (struct lmdb_entry){waits, lazy, g->hints.keys.len};
    g->waiting += waits != NULL;
    if (lazy && g->oldest_lazy_ms == 0)
        g->oldest_lazy_ms = lmdb_now_ms();
    return true;
}

/* Everybody who still waits gets `rc`; lazy copies are kept if `keep_lazy`. The transaction is over. */
static void group_fail(struct lmdb_file *f, enum store_rc rc, bool keep_lazy)
{
    struct lmdb_group *g = &f->group;
    size_t kept = 0;
    g->txn = NULL;
    g->waiting = g->pages = g->bytes = 0;
    hints_drop(&g->hints, 0);
    for (size_t i = 0; i < g->n; i++) {
        struct lmdb_entry e = g->v[i];
        if (e.waits) {
            answer(e.waits, rc);
        } else if (keep_lazy) {
            g->bytes += e.lazy->batch.bytes;
            g->v[kept++] = e;
        } else {
            free(e.lazy);
        }
    }
    g->n = kept;
    g->stranded = kept > 0;
    g->oldest_lazy_ms = kept ? lmdb_now_ms() : 0;
}

static void stop(struct lmdb_file *f, const char *what, int rc, enum store_rc answer_waiting)
{
    lmdb_stop(f->db, f, what, mdb_strerror(rc));
    group_fail(f, answer_waiting, false);
}

static enum store_rc apply(struct lmdb_file *f, struct store_batch *b, size_t *failed, bool *dirty)
{
    struct lmdb_tx tx = lmdb_tx_of(f, f->group.txn);
    return apply_batch(&tx.tx, b, failed, dirty);
}

static bool begin(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    if (atomic_load(&f->db->stopped)) {
        group_fail(f, STORE_STOPPED, false);
        return false;
    }
    int rc = mdb_txn_begin(f->env, NULL, 0, &g->txn);
    if (rc == 0)
        return true;
    stop(f, "begin a transaction", rc, STORE_STOPPED); /* nothing of the group reached the disk */
    return false;
}

/* Applies one entry again. False: the transaction is spoiled. */
static bool apply_again(struct lmdb_file *f, struct lmdb_entry *e)
{
    struct lmdb_group *g = &f->group;
    bool dirty = false;
    size_t failed = 0;
    if (e->waits) {
        e->waits->rc = apply(f, e->waits->batch, &e->waits->failed_op, &dirty);
    } else {
        size_t mark = g->hints.keys.len;
        enum store_rc rc = apply(f, &e->lazy->batch, &failed, &dirty);
        hints_drop(&g->hints, mark); /* told already */
        if (rc != STORE_OK || !same_numbers(e->lazy))
            return false;
    }
    e->hints_end = g->hints.keys.len;
    return !dirty;
}

/* A new transaction with all entries in it, in place of a spoiled one. False: the engine stopped. */
static bool apply_all_again(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    for (;;) {
        if (g->txn)
            mdb_txn_abort(g->txn);
        hints_drop(&g->hints, 0);
        if (!begin(f))
            return false;
        size_t i = 0;
        while (i < g->n && apply_again(f, &g->v[i]))
            i++;
        if (i == g->n)
            return true;
        struct lmdb_entry e = g->v[i];
        if (!e.waits) { /* we said it was done, and now it is not */
            mdb_txn_abort(g->txn);
            stop(f, "apply a batch again", MDB_BAD_TXN, STORE_STOPPED);
            return false;
        }
        memmove(&g->v[i], &g->v[i + 1], (g->n - i - 1) * sizeof *g->v);
        g->n--;
        g->waiting--;
        answer(e.waits, e.waits->rc);
    }
}

/* ---- one batch ---- */

static void tell_lazy(struct lmdb_file *f, struct store_commit *c, size_t mark)
{
    struct watches *w = &f->db->watches;
    hints_fire(&f->group.hints, mark, f->group.hints.keys.len, w);
    hints_drop(&f->group.hints, mark);
    watches_batch(w, c->batch);
}

static void applied(struct lmdb_file *f, struct store_commit *c, size_t mark)
{
    struct lmdb_group *g = &f->group;
    struct lmdb_lazy *lazy = c->batch->lazy ? lazy_copy(c->batch) : NULL;
    g->bytes += c->batch->bytes;
    c->rc = STORE_OK;
    if (!group_add(g, lazy ? NULL : c, lazy)) {
        free(lazy);
        answer(c, STORE_FULL);
        apply_all_again(f); /* takes it back */
    } else if (lazy) {
        tell_lazy(f, c, mark);
        g->v[g->n - 1].hints_end = g->hints.keys.len;
        answer(c, STORE_OK);
    }
}

static void refused(struct lmdb_file *f, struct store_commit *c, enum store_rc rc, bool dirty)
{
    struct lmdb_group *g = &f->group;
    if (rc == STORE_STOPPED) {
        mdb_txn_abort(g->txn);
        stop(f, "change a row", f->last_error, STORE_STOPPED);
        answer(c, STORE_STOPPED);
        return;
    }
    c->rc = rc;
    if (dirty || c->batch->lazy || g->n == 0 || !group_add(g, c, NULL))
        answer(c, rc);
    if (rc == STORE_FULL)
        lmdb_refresh_free(f->db);
    if (dirty)
        apply_all_again(f);
}

static bool room_for(struct lmdb_file *f, const struct store_batch *b)
{
    struct lmdb_group *g = &f->group;
    bool deletes = apply_only_deletes(b);
    if (g->stranded && !deletes) /* first those that were promised already */
        return false;
    size_t pages = lmdb_pages_for(f, b, g->txn);
    if (!lmdb_room(f, g->pages + pages, deletes))
        return false;
    g->pages += pages;
    return true;
}

static void take(struct lmdb_file *f, struct store_commit *c)
{
    struct lmdb_group *g = &f->group;
    if (atomic_load_explicit(&f->db->stopped, memory_order_relaxed)) {
        answer(c, STORE_STOPPED);
        return;
    }
    if (c->deadline_ms && lmdb_now_ms() > c->deadline_ms) {
        answer(c, STORE_DOWN);
        return;
    }
    if (!g->txn && !apply_all_again(f)) { /* begins; there may be lazy ones from a failed commit */
        answer(c, STORE_STOPPED);
        return;
    }
    if (!room_for(f, c->batch)) {
        answer(c, STORE_FULL);
        lmdb_refresh_free(f->db);
        return;
    }
    size_t mark = g->hints.keys.len;
    bool dirty = false;
    enum store_rc rc = apply(f, c->batch, &c->failed_op, &dirty);
    if (rc == STORE_OK)
        applied(f, c, mark);
    else
        refused(f, c, rc, dirty);
}

/* ---- the end of a transaction ---- */

static void raise_generations(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    struct store_board *board = atomic_load(&f->db->board);
    unsigned kinds = 0;
    for (size_t i = 0; i < g->n; i++)
        kinds |= 1u << (g->v[i].waits ? g->v[i].waits->batch->part.kind : g->v[i].lazy->batch.part.kind);
    for (unsigned k = 0; k < PART_KINDS; k++)
        if (kinds & (1u << k))
            atomic_fetch_add(&board->generation[k], 1);
}

static void group_done(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    struct watches *w = &f->db->watches;
    size_t mark = 0;
    raise_generations(f);
    for (size_t i = 0; i < g->n; i++) {
        struct lmdb_entry *e = &g->v[i];
        hints_fire(&g->hints, mark, e->hints_end, w);
        mark = e->hints_end;
        if (e->waits && e->waits->rc == STORE_OK)
            watches_batch(w, e->waits->batch);
    }
    hints_end(&g->hints, 0, w);
    for (size_t i = 0; i < g->n; i++) {
        if (g->v[i].waits)
            g->v[i].waits->done(g->v[i].waits);
        free(g->v[i].lazy);
    }
    g->txn = NULL;
    g->n = g->waiting = g->bytes = g->pages = 0;
    g->oldest_lazy_ms = 0;
    g->stranded = false;
}

static void group_commit(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    lmdb_sync_begin();
    int rc = mdb_txn_commit(g->txn);
    struct lmdb_syncs syncs = lmdb_sync_end();
    if (rc == 0) {
        f->sync_seen = f->sync_seen || syncs.calls > 0;
        group_done(f);
        return;
    }
    bool before_sync = f->sync_seen && syncs.calls == 0;
    if (before_sync && (lmdb_rc(rc) == STORE_FULL || lmdb_disk_full(f))) { /* LMDB calls a short write EIO */
        group_fail(f, STORE_FULL, true);
        lmdb_refresh_free(f->db);
        return;
    }
    raise_generations(f);
    stop(f, before_sync ? "write" : syncs.failed ? "sync" : "sync or write the meta page", rc, STORE_UNKNOWN);
}

/* ---- the thread ---- */

static bool group_is_full(const struct lmdb_group *g) { return g->bytes >= GROUP_BYTES || g->n >= GROUP_MAX; }

static int64_t lazy_left_ms(const struct lmdb_group *g) /* negative: there is none */
{
    if (g->oldest_lazy_ms == 0)
        return -1;
    int64_t left = g->oldest_lazy_ms + LAZY_MS - lmdb_now_ms();
    return left > 0 ? left : 0;
}

static void maybe_commit(struct lmdb_file *f, bool idle)
{
    struct lmdb_group *g = &f->group;
    bool lazy_due = idle && lazy_left_ms(g) == 0;
    if (!g->txn && g->n && (lazy_due || atomic_load(&f->closing)))
        (void)apply_all_again(f); /* lazy ones from a failed commit: try again */
    if (!g->txn)
        return;
    if (g->waiting || group_is_full(g) || lazy_due || (idle && g->n == 0) || atomic_load(&f->closing))
        group_commit(f);
}

static void drain(struct lmdb_file *f)
{
    for (int round = 0; round < DRAIN_ROUNDS; round++)
        for (struct store_commit *c = inbox_take(f); c;) {
            struct store_commit *next = c->engine[0];
            take(f, c);
            if (group_is_full(&f->group))
                maybe_commit(f, false);
            c = next;
        }
}

static void *commit_thread(void *arg)
{
    struct lmdb_file *f = arg;
    for (;;) {
        bool closing = atomic_load(&f->closing);
        drain(f);
        maybe_commit(f, true);
        if (closing && !atomic_load(&f->inbox))
            break;
        if (!atomic_load(&f->inbox))
            sleep_until_work(f, lazy_left_ms(&f->group));
    }
    if (f->group.txn)
        mdb_txn_abort(f->group.txn);
    group_fail(f, STORE_STOPPED, false);
    free(f->group.v);
    f->group.v = NULL;
    f->group.cap = 0;
    return NULL;
}

bool lmdb_commit_start(struct lmdb_file *f)
{
    f->started = pthread_create(&f->thread, NULL, commit_thread, f) == 0;
    return f->started;
}

void lmdb_commit_end(struct lmdb_file *f)
{
    if (!f->started)
        return;
    atomic_store(&f->closing, 1);
    wake(f);
    pthread_join(f->thread, NULL);
    f->started = false;
}
