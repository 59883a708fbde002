/* lmdb_group.c: the batches in the open write transaction, in their order, so that it can be made
 * again without one of them. */
#include <stdlib.h>

#include "store/lmdb.h"

struct lmdb_lazy { /* an owned copy: struct, ops, bytes in one allocation */
    struct store_batch batch;
    uint64_t *numbers; /* what was answered */
};

/* ---- lazy copies ---- */

static str_t copy(char **to, str_t s)
{
    str_t out = str_of(*to, s.len);
    if (s.len)
        memcpy(*to, s.ptr, s.len);
    *to += s.len;
    return out;
}

const struct store_batch *lmdb_lazy_batch(const struct lmdb_lazy *l)
{
    return &l->batch;
}

struct lmdb_lazy *lmdb_lazy_copy(const struct store_batch *b)
{
    size_t bytes = 0; /* counted here: b->bytes is what its maker says */
    for (size_t i = 0; i < b->n; i++)
        bytes += b->ops[i].key.len + b->ops[i].value.len + b->ops[i].prefix.len;
    struct lmdb_lazy *l =
        malloc(sizeof *l + b->n * (sizeof(struct store_op) + sizeof(uint64_t)) + bytes);
    if (!l)
        return NULL;
    struct store_op *ops = (struct store_op *)(void *)(l + 1);
    l->batch = *b;
    l->batch.bytes = bytes;
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

void lmdb_answer(struct lmdb_file *f, struct store_commit *c, enum store_rc rc)
{
    f->answered = true;
    c->rc = rc;
    c->done(c);
}

void lmdb_flush(struct lmdb_file *f)
{
    if (f->answered && f->db->flush)
        f->db->flush(f->db->flush_user, f == &f->db->files[LMDB_QUEUE]);
    f->answered = false;
}

bool lmdb_group_add(struct lmdb_group *g, struct store_commit *waits, struct lmdb_lazy *lazy)
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

/* Everybody who still waits gets `rc`; lazy copies are kept if `keep_lazy`. The transaction is
 * over. */
void lmdb_group_fail(struct lmdb_file *f, enum store_rc rc, bool keep_lazy)
{
    struct lmdb_group *g = &f->group;
    size_t kept = 0;
    g->txn = NULL;
    g->waiting = g->pages = g->bytes = 0;
    hints_drop(&g->hints, 0);
    for (size_t i = 0; i < g->n; i++) {
        struct lmdb_entry e = g->v[i];
        if (e.waits) {
            lmdb_answer(f, e.waits, rc);
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

void lmdb_group_stop(struct lmdb_file *f, const char *what, int rc, enum store_rc answer_waiting)
{
    lmdb_stop(f->db, f, what, mdb_strerror(rc));
    lmdb_group_fail(f, answer_waiting, false);
}

enum store_rc lmdb_group_apply(struct lmdb_file *f, struct store_batch *b, size_t *failed,
                               bool *dirty)
{
    struct lmdb_tx tx = lmdb_tx_of(f, f->group.txn);
    return apply_batch(&tx.tx, b, failed, dirty);
}

static bool begin(struct lmdb_file *f)
{
    struct lmdb_group *g = &f->group;
    if (atomic_load(&f->db->stopped)) {
        lmdb_group_fail(f, STORE_STOPPED, false);
        return false;
    }
    int rc = mdb_txn_begin(f->env, NULL, 0, &g->txn);
    if (rc == 0)
        return true;
    /* nothing of the group reached the disk */
    lmdb_group_stop(f, "begin a transaction", rc, STORE_STOPPED);
    return false;
}

/* Applies one entry again. False: the transaction is spoiled. */
static bool apply_again(struct lmdb_file *f, struct lmdb_entry *e)
{
    bool dirty = false;
    size_t failed = 0;
    if (e->waits) {
        e->waits->rc = lmdb_group_apply(f, e->waits->batch, &e->waits->failed_op, &dirty);
    } else {
        enum store_rc rc = lmdb_group_apply(f, &e->lazy->batch, &failed, &dirty);
        if (rc != STORE_OK || !same_numbers(e->lazy))
            return false;
    }
    e->hints_end = f->group.hints.keys.len;
    return !dirty;
}

/* A new transaction with all entries in it, in place of a spoiled one. False: the engine
 * stopped. */
bool lmdb_group_again(struct lmdb_file *f)
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
            lmdb_group_stop(f, "apply a batch again", MDB_BAD_TXN, STORE_STOPPED);
            return false;
        }
        memmove(&g->v[i], &g->v[i + 1], (g->n - i - 1) * sizeof *g->v);
        g->n--;
        g->waiting--;
        lmdb_answer(f, e.waits, e.waits->rc);
    }
}
