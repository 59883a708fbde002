/* lmdb_commit.c: the commit thread of a file: group commit.
 *
 *     submit ──▶ inbox ──▶ take: apply each batch in the ──▶ commit: write, sync ──▶ answers
 *                          one open transaction; lazy ones   (a group serves all
 *                          are answered here (we keep a copy) that waited)
 *
 * The inbox is lmdb_inbox.c, what is in the open transaction (the group) lmdb_group.c.
 *
 * While one commit syncs, the next group gathers in the inbox. A transaction ends as soon as a
 * durable batch is in it and the inbox is empty, when it got big, or LAZY_MS after the first lazy
 * batch.
 *
 * A STORE_CONFLICT was judged against batches that are not durable yet, so it waits for the commit
 * like the others: who is told "it is already there" may rely on it being there.
 *
 * Failures. A batch that fails after it changed something (STORE_FULL, a counter that would wrap)
 * spoils LMDB's transaction: abort, run all the others again in a new one. A commit that failed
 * writing pages left nothing behind: STORE_FULL for all, the lazy ones stay with us for the next
 * transaction. A commit that failed in or after its sync: STORE_UNKNOWN for all, and the engine
 * stops (lmdb_stop). A sync is never tried twice. */
#include <stdlib.h>

#include "store/lmdb.h"

/* What one transaction holds at most. Bytes bound our lazy copies, LMDB's dirty pages and the time
 * of a sync. */
#define GROUP_BYTES (64u << 20)
#define GROUP_MAX   8192
#define LAZY_MS     100 /* a lazy batch is on the disk at the latest then */
/* looks into the inbox before a commit: those who come later wait for the next */
#define DRAIN_ROUNDS 4

/* ---- one batch ---- */

/* A lazy batch is answered now; its hints wait for the commit, as those of all others: who hears of
 * a row must find it. */
static void applied(struct lmdb_file *f, struct store_commit *c)
{
    struct lmdb_group *g = &f->group;
    struct lmdb_lazy *lazy = c->batch->lazy ? lmdb_lazy_copy(c->batch) : NULL;
    g->bytes += c->batch->bytes;
    c->rc = STORE_OK;
    if (!lmdb_group_add(g, lazy ? NULL : c, lazy)) {
        free(lazy);
        lmdb_answer(f, c, STORE_FULL);
        lmdb_group_again(f); /* takes it back */
    } else if (lazy) {
        lmdb_answer(f, c, STORE_OK);
    }
}

static void refused(struct lmdb_file *f, struct store_commit *c, enum store_rc rc, bool dirty)
{
    struct lmdb_group *g = &f->group;
    if (rc == STORE_STOPPED) {
        mdb_txn_abort(g->txn);
        lmdb_group_stop(f, "change a row", f->last_error, STORE_STOPPED);
        lmdb_answer(f, c, STORE_STOPPED);
        return;
    }
    c->rc = rc;
    if (dirty || c->batch->lazy || g->n == 0 || !lmdb_group_add(g, c, NULL))
        lmdb_answer(f, c, rc);
    if (rc == STORE_FULL)
        lmdb_refresh_free(f->db);
    if (dirty)
        lmdb_group_again(f);
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
        lmdb_answer(f, c, STORE_STOPPED);
        return;
    }
    if (c->deadline_ms && lmdb_now_ms() > c->deadline_ms) {
        lmdb_answer(f, c, STORE_DOWN);
        return;
    }
    if (!g->txn && !lmdb_group_again(f)) { /* begins; there may be lazy ones from a failed commit */
        lmdb_answer(f, c, STORE_STOPPED);
        return;
    }
    if (!room_for(f, c->batch)) {
        lmdb_answer(f, c, STORE_FULL);
        lmdb_refresh_free(f->db);
        return;
    }
    bool dirty = false;
    enum store_rc rc = lmdb_group_apply(f, c->batch, &c->failed_op, &dirty);
    if (rc == STORE_OK)
        applied(f, c);
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
        kinds |= 1u << (g->v[i].waits ? g->v[i].waits->batch->part.kind
                                      : lmdb_lazy_batch(g->v[i].lazy)->part.kind);
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
        if (e->lazy)
            watches_batch(w, lmdb_lazy_batch(e->lazy));
        else if (e->waits->rc == STORE_OK)
            watches_batch(w, e->waits->batch);
    }
    hints_end(&g->hints, 0, w);
    f->answered = true; /* hints are gathered like answers; those of a lazy batch come alone */
    for (size_t i = 0; i < g->n; i++) {
        if (g->v[i].waits)
            lmdb_answer(f, g->v[i].waits, g->v[i].waits->rc);
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
    lmdb_flush(f); /* nobody waits for a sync that is not for him */
    lmdb_sync_begin();
    int rc = mdb_txn_commit(g->txn);
    struct lmdb_syncs syncs = lmdb_sync_end();
    if (rc == 0) {
        f->sync_seen = f->sync_seen || syncs.calls > 0;
        group_done(f);
        return;
    }
    bool before_sync = f->sync_seen && syncs.calls == 0;
    if (before_sync &&
        (lmdb_rc(rc) == STORE_FULL || lmdb_disk_full(f))) { /* LMDB calls a short write EIO */
        lmdb_group_fail(f, STORE_FULL, true);
        lmdb_refresh_free(f->db);
        return;
    }
    raise_generations(f);
    lmdb_group_stop(f,
                    before_sync    ? "write"
                    : syncs.failed ? "sync"
                                   : "sync or write the meta page",
                    rc, STORE_UNKNOWN);
}

/* ---- the thread ---- */

static bool group_is_full(const struct lmdb_group *g)
{
    return g->bytes >= GROUP_BYTES || g->n >= GROUP_MAX;
}

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
    /* lazy ones from a failed commit: try again */
    if (!g->txn && g->n && (lazy_due || atomic_load(&f->closing)))
        (void)lmdb_group_again(f);
    if (g->txn && g->n == 0) { /* all were refused */
        mdb_txn_abort(g->txn);
        g->txn = NULL;
        g->pages = 0;
    }
    if (g->txn && (g->waiting || group_is_full(g) || lazy_due || atomic_load(&f->closing)))
        group_commit(f);
}

static void drain(struct lmdb_file *f)
{
    for (int round = 0; round < DRAIN_ROUNDS; round++)
        for (struct store_commit *c = lmdb_inbox_take(f); c;) {
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
        lmdb_flush(f);
        if (closing && !atomic_load(&f->inbox))
            break;
        if (!atomic_load(&f->inbox))
            lmdb_inbox_sleep(f, lazy_left_ms(&f->group));
    }
    if (f->group.txn)
        mdb_txn_abort(f->group.txn);
    lmdb_group_fail(f, STORE_STOPPED, false);
    lmdb_flush(f);
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
    lmdb_inbox_wake(f);
    pthread_join(f->thread, NULL);
    f->started = false;
}
