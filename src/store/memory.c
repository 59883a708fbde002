/* memory.c: the engine for tests: persistent trees under one mutex (see memory_tree.h).
 *
 * `root` is what batches see, `durable` what the imagined disk has and reads see, `lazy` the states
 * after each lazy batch since, of which a crash keeps a prefix. Reads do not see lazy batches, so
 * that nobody comes to rely on what only happens to be so. Hints and done run under the mutex. */
#include <stdlib.h>
#include <time.h>

#include "store/apply.h"
#include "store/engines.h"
#include "store/memory_tree.h"
#include "store/page.h"
#include "store/snapshot.h"
#include "store/watch.h"

struct memory {
    struct store store; /* first */
    pthread_mutex_t lock;
    struct tree *root, *durable;
    struct tree **lazy;
    size_t lazy_n, lazy_cap;
    struct snapshots snapshots; /* of struct tree */
    struct watches watches;
    struct hints hints;
    struct store_board board;
    uint64_t batches;  /* applied */
    uint64_t crash_at; /* the batch number that crashes; 0: none */
    bool crash_torn, crashed;
    enum store_rc fail;
};

static struct memory *memory_of(struct store *s)
{
    return (struct memory *)(void *)s;
}

/* ---- a batch ---- */

struct memory_tx {
    struct apply_tx tx; /* first */
    struct memory *m;
    struct tree *root; /* the state so far, held */
};

static struct memory_tx *tx_of(struct apply_tx *tx)
{
    return (struct memory_tx *)(void *)tx;
}

static void tx_move(struct memory_tx *t, struct tree *to)
{
    tree_drop(t->root);
    t->root = to;
}

static enum store_rc tx_get(struct apply_tx *tx, str_t raw, bool *present, str_t *value)
{
    struct tree_row row;
    *present = tree_get(tx_of(tx)->root, raw, &row);
    if (!*present || !value)
        return STORE_OK;
    *value = row.value;
    return row.sum == record_sum(row.key, row.value) ? STORE_OK : STORE_DAMAGED;
}

static enum store_rc tx_put(struct apply_tx *tx, str_t raw, str_t value)
{
    tx_move(tx_of(tx), tree_put(tx_of(tx)->root, raw, value, record_sum(raw, value)));
    return STORE_OK;
}

static enum store_rc tx_del(struct apply_tx *tx, str_t raw)
{
    tx_move(tx_of(tx), tree_del(tx_of(tx)->root, raw));
    return STORE_OK;
}

static enum store_rc tx_del_range(struct apply_tx *tx, part_t part, str_t from, str_t end)
{
    struct memory_tx *t = tx_of(tx);
    struct tree_row row;
    while (tree_from(t->root, from, false, &row) && str_cmp(row.key, end) < 0) {
        str_t key = STR_NONE;
        must(record_split(row.key, &part, &key));
        hints_add(&t->m->hints, &t->m->watches, part, key);
        tx_move(t, tree_del(t->root, row.key));
    }
    return STORE_OK;
}

static void keep_durable(struct memory *m)
{
    for (size_t i = 0; i < m->lazy_n; i++)
        tree_drop(m->lazy[i]);
    m->lazy_n = 0;
    tree_drop(m->durable);
    m->durable = tree_hold(m->root);
}

static void keep_lazy(struct memory *m)
{
    if (m->lazy_n == m->lazy_cap) {
        m->lazy_cap = m->lazy_cap ? m->lazy_cap * 2 : 16;
        m->lazy = reallocarray(m->lazy, m->lazy_cap, sizeof *m->lazy);
        must(m->lazy != NULL);
    }
    m->lazy[m->lazy_n++] = tree_hold(m->root);
}

static void take(struct memory *m, struct store_batch *b, struct tree *root)
{
    tree_drop(m->root);
    m->root = tree_hold(root);
    m->batches++;
    if (b->lazy)
        keep_lazy(m);
    else
        keep_durable(m);
}

static enum store_rc run(struct memory *m, struct store_commit *c)
{
    struct memory_tx t = {
        .tx = {tx_get, tx_put, tx_del, tx_del_range}, .m = m, .root = tree_hold(m->root)};
    bool dirty; /* taken back by dropping the new root */
    enum store_rc rc = apply_batch(&t.tx, c->batch, &c->failed_op, &dirty);
    bool crash = rc == STORE_OK && m->crash_at && m->batches + 1 == m->crash_at;
    if (rc == STORE_OK && (!crash || m->crash_torn))
        take(m, c->batch, t.root);
    tree_drop(t.root);
    if (crash) {
        m->crashed = true;
        rc = STORE_UNKNOWN;
    }
    return rc;
}

static void memory_submit(struct store *s, struct store_commit *c)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    c->rc = m->crashed ? STORE_UNKNOWN : m->fail != STORE_OK ? m->fail : run(m, c);
    if (c->rc == STORE_OK) {
        atomic_fetch_add(&m->board.generation[c->batch->part.kind], 1);
        hints_fire(&m->hints, 0, m->hints.keys.len, &m->watches);
        watches_batch(&m->watches, c->batch);
        hints_end(&m->hints, 0, &m->watches);
    }
    hints_drop(&m->hints, 0);
    c->done(c);
    pthread_mutex_unlock(&m->lock);
}

/* ---- reads ---- */

static enum store_rc get_one(struct tree *t, part_t part, str_t key, struct arena *a, size_t *bytes,
                             struct store_value *out)
{
    char room[RECORD_KEY_MAX];
    struct tree_row row;
    *out = (struct store_value){.rc = STORE_OK};
    out->present = tree_get(t, record_key(part, key, room), &row);
    if (!out->present)
        return STORE_OK;
    if (row.sum != record_sum(row.key, row.value)) {
        out->rc = STORE_DAMAGED;
        return STORE_OK;
    }
    *bytes += row.value.len;
    if (*bytes > STORE_PAGE_MAX)
        return STORE_LIMIT;
    out->value = arena_dup(a, row.value);
    return a->failed ? STORE_LIMIT : STORE_OK;
}

static enum store_rc memory_get(struct store *s, part_t part, const str_t *keys, size_t n,
                                struct arena *a, struct store_value *out)
{
    struct memory *m = memory_of(s);
    size_t bytes = 0;
    pthread_mutex_lock(&m->lock);
    enum store_rc rc = m->crashed ? STORE_DOWN : STORE_OK;
    for (size_t i = 0; i < n && rc == STORE_OK; i++)
        rc = get_one(m->durable, part, keys[i], a, &bytes, &out[i]);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static bool scan_next(const struct tree *t, bool backwards, str_t from, str_t end,
                      struct tree_row *row, bool first)
{
    str_t last = row->key;
    if (backwards)
        return tree_below(t, first ? end : last, row) && str_cmp(row->key, from) >= 0;
    return tree_from(t, first ? from : last, !first, row) && str_cmp(row->key, end) < 0;
}

static void scan_tree(const struct tree *t, const struct store_scan *q, struct arena *a,
                      struct store_page *out)
{
    char from_room[RECORD_KEY_MAX], end_room[RECORD_KEY_MAX];
    str_t from = record_key(q->part, q->from, from_room),
          end = record_end(q->part, q->end, end_room);
    struct page_fill fill = page_begin(q, a, out);
    struct tree_row row = {0};
    for (bool first = true; scan_next(t, q->backwards, from, end, &row, first); first = false) {
        bool damaged = !q->keys_only && row.sum != record_sum(row.key, row.value);
        part_t part;
        str_t key = STR_NONE;
        must(record_split(row.key, &part, &key));
        if (!page_add(&fill, key, q->keys_only || damaged ? STR_NONE : row.value, damaged))
            return;
    }
}

static enum store_rc memory_scan(struct store *s, const struct store_scan *q, struct arena *a,
                                 struct store_page *out)
{
    struct memory *m = memory_of(s);
    enum store_rc rc = STORE_OK;
    pthread_mutex_lock(&m->lock);
    struct tree *t = m->durable;
    if (m->crashed)
        rc = STORE_DOWN;
    else if (q->snapshot && !snapshots_take(&m->snapshots, q->snapshot, q->part, (void **)&t))
        rc = STORE_EXPIRED;
    if (rc == STORE_OK) {
        scan_tree(t, q, a, out);
        if (q->snapshot)
            snapshots_give(&m->snapshots, q->snapshot);
        rc = a->failed ? STORE_LIMIT : STORE_OK;
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static void drop_snapshot(void *tree, void *user)
{
    (void)user;
    tree_drop(tree);
}

static enum store_rc memory_snapshot_open(struct store *s, part_t part, uint64_t *id)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    enum store_rc rc = m->crashed ? STORE_DOWN : STORE_OK;
    if (rc == STORE_OK) {
        snapshots_expire(&m->snapshots);
        struct tree *t = tree_hold(m->durable);
        if (!snapshots_add(&m->snapshots, part, t, id)) {
            tree_drop(t);
            rc = STORE_LIMIT;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static void memory_snapshot_close(struct store *s, uint64_t id)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    snapshots_remove(&m->snapshots, id);
    pthread_mutex_unlock(&m->lock);
}

static enum store_rc memory_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                                  void *user)
{
    return watches_add(&memory_of(s)->watches, part, prefix, fn, user);
}

static const struct store_board *memory_board(struct store *s)
{
    return &memory_of(s)->board;
}

static void memory_close(struct store *s)
{
    struct memory *m = memory_of(s);
    tree_drop(m->root);
    m->root = NULL;
    keep_durable(m); /* lets go of all states */
    free(m->lazy);
    snapshots_free(&m->snapshots);
    watches_free(&m->watches);
    hints_free(&m->hints);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct store_ops memory_ops = {
    .submit = memory_submit,
    .get = memory_get,
    .scan = memory_scan,
    .snapshot_open = memory_snapshot_open,
    .snapshot_close = memory_snapshot_close,
    .watch = memory_watch,
    .board = memory_board,
    .close = memory_close,
};

#define MEMORY_FREE (1ull << 40) /* what the board says is free: enough */

struct store *store_memory_new(void)
{
    struct memory *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->store.ops = &memory_ops;
    must(pthread_mutex_init(&m->lock, NULL) == 0);
    snapshots_init(&m->snapshots, drop_snapshot, NULL);
    watches_init(&m->watches);
    hints_init(&m->hints);
    atomic_store(&m->board.free_bytes, MEMORY_FREE);
    atomic_store(&m->board.free_queue_bytes, MEMORY_FREE);
    return &m->store;
}

/* ---- what tests do to it ---- */

void store_memory_crash_after(struct store *s, uint64_t n, bool torn)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    m->crash_at = n ? m->batches + n : 0;
    m->crash_torn = torn;
    pthread_mutex_unlock(&m->lock);
}

uint64_t store_memory_batches(struct store *s)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    uint64_t n = m->batches;
    pthread_mutex_unlock(&m->lock);
    return n;
}

static uint64_t scramble(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

void store_memory_reopen(struct store *s, uint64_t seed)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    size_t kept = (size_t)(scramble(seed) % (m->lazy_n + 1));
    struct tree *root = tree_hold(kept ? m->lazy[kept - 1] : m->durable);
    tree_drop(m->root);
    m->root = root;
    keep_durable(m);
    snapshots_clear(&m->snapshots);
    atomic_store(&m->watches.n, 0);
    m->crash_at = 0;
    m->crashed = false;
    m->fail = STORE_OK;
    pthread_mutex_unlock(&m->lock);
}

static void damage(struct tree **t, str_t raw)
{
    struct tree_row row;
    if (!tree_get(*t, raw, &row))
        return;
    char *value = malloc(row.value.len + 1);
    must(value != NULL);
    if (row.value.len)
        memcpy(value, row.value.ptr, row.value.len);
    value[0] = (char)(value[0] ^ 1);
    struct tree *changed =
        tree_put(*t, raw, str_of(value, row.value.len), row.sum ^ (row.value.len ? 0 : 1));
    tree_drop(*t);
    *t = changed;
    free(value);
}

void store_memory_damage(struct store *s, part_t part, str_t key)
{
    struct memory *m = memory_of(s);
    char room[RECORD_KEY_MAX];
    pthread_mutex_lock(&m->lock);
    damage(&m->root, record_key(part, key, room));
    damage(&m->durable, record_key(part, key, room));
    pthread_mutex_unlock(&m->lock);
}

void store_memory_fail(struct store *s, enum store_rc rc)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    m->fail = rc;
    pthread_mutex_unlock(&m->lock);
}

void store_memory_age_snapshots(struct store *s, int64_t ms)
{
    struct memory *m = memory_of(s);
    pthread_mutex_lock(&m->lock);
    snapshots_age(&m->snapshots, ms);
    pthread_mutex_unlock(&m->lock);
}
