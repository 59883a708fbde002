/* queue_in.c: the way into the queue. See queue.h.
 *
 * Most messages fit one chunk: then there is one batch, with everything. A longer one fills its
 * chunk, hands it to the store as a lazy batch and fills a second buffer meanwhile; at most one
 * such batch is under way, so they arrive in order. Every batch after the first requires the last
 * row of the one before: the chain holds only if nothing in between was lost. */
#include <pthread.h>
#include <stdlib.h>

#include "base/blocking.h"
#include "post/queue.h"

/* A final batch has room for all of this many delivery rows beside the last chunk; more go ahead.
 * The spare is for keys and the m row. */
enum {
    FINAL_OPS = STORE_BATCH_OPS - 8,
    FINAL_BYTES = STORE_BATCH_MAX - STORE_CHUNK - 16384,
    /* rows of 1,000 recipients are under 1 MiB; every encoded row is there twice */
    COMMIT_ARENA_MAX = 8 << 20,
    TAKE_BACK_ARENA = 4096, /* two keys and two operations */
};

struct ahead { /* a lazy batch on its way */
    bool under_way;
    struct store_commit commit;
    struct store_batch batch;
    struct arena arena;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished;
};

struct queue_in {
    struct env *env;
    queue_id_t id;
    struct buf fill;   /* the chunk being filled */
    struct buf flight; /* the one before it, while its batch is under way */
    uint32_t chunks;   /* handed to the store */
    uint64_t size;
    enum store_rc rc;    /* sticks */
    struct ahead *ahead; /* made when first needed */
};

struct queue_in *queue_in_begin(struct env *env)
{
    struct queue_in *in = calloc(1, sizeof *in);
    if (in == NULL)
        return NULL;
    in->env = env;
    in->id = queue_id_new(env);
    buf_init(&in->fill, STORE_CHUNK);
    buf_init(&in->flight, STORE_CHUNK);
    return in;
}

queue_id_t queue_in_id(const struct queue_in *in)
{
    return in->id;
}
uint64_t queue_in_size(const struct queue_in *in)
{
    return in->size;
}

/* ---- lazy batches ---- */

static void ahead_done(struct store_commit *c)
{
    struct ahead *w = c->user;
    pthread_mutex_lock(&w->lock);
    w->finished = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

static struct ahead *ahead_new(void)
{
    struct ahead *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->done, NULL);
    arena_init(&w->arena, COMMIT_ARENA_MAX);
    return w;
}

static void ahead_free(struct ahead *w)
{
    if (w == NULL)
        return;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->done);
    arena_free(&w->arena);
    free(w);
}

/* Waits for the batch under way, if there is one; its failure sticks. */
static enum store_rc ahead_wait(struct queue_in *in)
{
    struct ahead *w = in->ahead;
    if (w == NULL || !w->under_way)
        return in->rc;
    pthread_mutex_lock(&w->lock);
    bool finished = w->finished;
    pthread_mutex_unlock(&w->lock);
    if (!finished) {
        blocking_begin(); /* not under the lock: it may start a thread */
        pthread_mutex_lock(&w->lock);
        while (!w->finished)
            pthread_cond_wait(&w->done, &w->lock);
        pthread_mutex_unlock(&w->lock);
        blocking_end();
    }
    w->under_way = false;
    if (in->rc == STORE_OK)
        in->rc = w->commit.rc;
    return in->rc;
}

static enum store_rc chunk_ahead(struct queue_in *in)
{
    if (ahead_wait(in) != STORE_OK)
        return in->rc;
    if (in->ahead == NULL && (in->ahead = ahead_new()) == NULL)
        return in->rc = STORE_LIMIT;
    struct ahead *w = in->ahead;
    struct buf swap = in->flight;
    in->flight = in->fill;
    in->fill = swap;
    buf_clear(&in->fill);
    arena_reset(&w->arena);
    store_batch_init(&w->batch, QUEUE_PART, &w->arena);
    w->batch.lazy = true;
    if (in->chunks > 0)
        store_require_present(&w->batch, queue_key_chunk(in->id, in->chunks - 1, &w->arena));
    store_put_new(&w->batch, queue_key_chunk(in->id, in->chunks, &w->arena), buf_str(&in->flight));
    in->chunks++;
    w->finished = false;
    w->under_way = true;
    w->commit = (struct store_commit){.batch = &w->batch, .done = ahead_done, .user = w};
    store_submit(in->env->store, &w->commit);
    return STORE_OK;
}

enum store_rc queue_in_write(struct queue_in *in, str_t bytes)
{
    while (bytes.len > 0 && in->rc == STORE_OK) {
        if (in->fill.len == STORE_CHUNK && chunk_ahead(in) != STORE_OK)
            break;
        str_t part = str_first(bytes, STORE_CHUNK - in->fill.len);
        if (!buf_add(&in->fill, part)) {
            in->rc = STORE_LIMIT;
            break;
        }
        in->size += part.len;
        bytes = str_from(bytes, part.len);
    }
    return in->rc;
}

void queue_in_give_back(struct queue_in *in)
{
    struct ahead *w = in->ahead;
    if (w != NULL && w->under_way) {
        pthread_mutex_lock(&w->lock);
        bool finished = w->finished;
        pthread_mutex_unlock(&w->lock);
        if (!finished) /* the store reads it */
            return;
        enum store_rc rc = ahead_wait(in); /* does not; what it says sticks */
        (void)rc;
    }
    if (w != NULL)
        arena_free(&w->arena);
    buf_free(&in->flight);
}

static void queue_in_free(struct queue_in *in)
{
    ahead_free(in->ahead);
    buf_free(&in->fill);
    buf_free(&in->flight);
    free(in);
}

/* ---- taking back ---- */

struct taking_back {
    struct store_commit commit;
    struct store_batch batch;
    struct arena arena;
};

static void taken_back(struct store_commit *c)
{
    struct taking_back *t = c->user;
    arena_free(&t->arena);
    free(t);
}

/* What was handed over goes at once, so that whoever begins large messages and hangs up does not
 * fill the disk until the sweeper comes. Nobody waits for it: if it does not happen, the sweeper
 * does it. */
static void take_back(struct queue_in *in)
{
    struct taking_back *t = malloc(sizeof *t);
    if (t == NULL)
        return;
    arena_init(&t->arena, TAKE_BACK_ARENA);
    store_batch_init(&t->batch, QUEUE_PART, &t->arena);
    t->batch.lazy = true;
    store_require_absent(&t->batch, queue_key_message(in->id, &t->arena));
    str_t chunks = queue_key_prefix("c", in->id, &t->arena);
    store_delete_range(&t->batch, chunks, store_prefix_end(&t->arena, chunks));
    t->commit = (struct store_commit){.batch = &t->batch, .done = taken_back, .user = t};
    store_submit(in->env->store, &t->commit);
}

void queue_in_abort(struct queue_in *in)
{
    if (in == NULL)
        return;
    enum store_rc rc = ahead_wait(in); /* its buffers are in use until then */
    (void)rc;
    if (in->chunks > 0)
        take_back(in);
    queue_in_free(in);
}

/* ---- the last batch ---- */

/* What a delivery has in common for all its recipients; of those that local makes: leaf_order in
 * roles/local/forward.c. */
static int group_order(const struct queue_in_rcpt *a, const struct queue_in_rcpt *b)
{
    int by = a->local ? 0 : str_cmp(a->domain, b->domain);
    by = by != 0 ? by : (int)a->hold - (int)b->hold;
    by = by != 0 ? by : str_cmp(a->via, b->via);
    by = by != 0 ? by : (int)a->has_sender - (int)b->has_sender;
    by = by != 0 ? by : str_cmp(a->sender, b->sender);
    return by != 0 || !a->hold ? by : str_cmp(a->reason, b->reason);
}

static int rcpt_order(const void *x, const void *y)
{
    const struct queue_in_rcpt *a = x, *b = y;
    if (a->local != b->local)
        return a->local ? -1 : 1;
    int by = group_order(a, b);
    return by != 0 ? by : str_cmp(a->address, b->address);
}

/* A copy in the order of deliveries, domains lower-cased, each address once. */
static size_t rcpt_sorted(struct arena *a, const struct queue_in_rcpt *rcpt, size_t n,
                          struct queue_in_rcpt **out)
{
    struct queue_in_rcpt *v = arena_array(a, n, sizeof *v);
    if (v == NULL)
        return 0;
    for (size_t i = 0; i < n; i++) {
        v[i] = rcpt[i];
        v[i].domain = arena_dup(a, rcpt[i].domain);
        if (a->failed)
            return 0;
        str_lower((char *)(uintptr_t)v[i].domain.ptr, v[i].domain.len);
    }
    if (n > 1)
        qsort(v, n, sizeof *v, rcpt_order);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || rcpt_order(&v[kept - 1], &v[i]) != 0)
            v[kept++] = v[i];
    *out = v;
    return kept;
}

struct row {
    str_t key, value;
};

static bool row_make(struct arena *a, const struct queue_message *m, uint16_t n,
                     const struct queue_in_rcpt *group, size_t ngroup, struct row *out)
{
    struct queue_rcpt rcpt[QUEUE_GROUP];
    for (size_t i = 0; i < ngroup; i++)
        rcpt[i] = (struct queue_rcpt){.address = group[i].address,
                                      .utf8 = group[i].utf8,
                                      .original = group[i].original,
                                      .orcpt = group[i].orcpt,
                                      .notify = group[i].notify};
    struct queue_delivery d = {
        .id = m->id,
        .n = n,
        .local = group->local,
        .arrived_ms = m->arrived_ms,
        .next_ms = m->release_ms > m->arrived_ms ? m->release_ms : m->arrived_ms,
        .deliver_by_ms = m->by != QUEUE_BY_NONE ? m->deliver_by_ms : 0,
        .state = group->hold ? QUEUE_HELD : QUEUE_READY,
        .reason = group->hold ? group->reason : STR_NONE,
        .domain = group->local ? STR_NONE : group->domain,
        .via = group->via,
        .sender = group->sender,
        .has_sender = group->has_sender,
        .priority = m->priority,
        .source = m->source,
        .nrcpt = ngroup,
        .rcpt = rcpt,
    };
    struct buf b;
    buf_init(&b, STORE_VALUE_MAX);
    bool ok = queue_delivery_encode(&d, &b);
    out->value = arena_dup(a, buf_str(&b));
    out->key = queue_key_delivery(m->id, n, d.local, a);
    buf_free(&b);
    return ok && !a->failed;
}

/* How many from the first on one delivery takes. */
static size_t group_end(const struct queue_in_rcpt *v, size_t n)
{
    size_t end = 0, bytes = 0;
    while (end < n && end < QUEUE_GROUP && v[end].local == v->local &&
           group_order(&v[end], v) == 0) {
        struct queue_rcpt r = {
            .address = v[end].address, .original = v[end].original, .orcpt = v[end].orcpt};
        bytes += queue_rcpt_bytes(&r);
        if (end > 0 && bytes > QUEUE_GROUP_BYTES)
            break;
        end++;
    }
    return end;
}

/* All delivery rows. They are numbered from 0 in the order made. 0: no memory, or more than can be
 * numbered. */
static size_t rows_make(struct arena *a, const struct queue_message *m,
                        const struct queue_in_rcpt *v, size_t n, struct row **out)
{
    struct row *rows = arena_array(a, n, sizeof *rows);
    size_t nrows = 0;
    for (size_t i = 0; rows != NULL && i < n; nrows++) {
        size_t end = i + group_end(v + i, n - i);
        if (nrows > UINT16_MAX / 2 ||
            !row_make(a, m, (uint16_t)nrows, v + i, end - i, &rows[nrows]))
            return 0;
        i = end;
    }
    *out = rows;
    return nrows;
}

static bool row_fits(const struct store_batch *b, const struct row *r)
{
    return b->n + 1 <= FINAL_OPS && b->bytes + r->key.len + r->value.len <= FINAL_BYTES;
}

static bool rows_fit(const struct row *rows, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += rows[i].key.len + rows[i].value.len;
    return n <= FINAL_OPS - 2 && bytes <= FINAL_BYTES / 2;
}

/* Adds rows from *at on to the batch while they fit. */
static void rows_add(struct store_batch *b, const struct row *rows, size_t n, size_t *at)
{
    while (*at < n && row_fits(b, &rows[*at])) {
        store_put_new(b, rows[*at].key, rows[*at].value);
        ++*at;
    }
}

/* Begins a batch that holds only if the last row written ahead is still there. */
static void chain_begin(struct store_batch *b, struct arena *a, str_t last)
{
    store_batch_init(b, QUEUE_PART, a);
    if (last.len > 0)
        store_require_present(b, last);
}

static enum store_rc final_commit(struct queue_in *in, struct queue_message *m,
                                  const struct row *rows, size_t nrows, struct arena *a)
{
    struct store_batch b;
    /* Rows go ahead only behind content: the sweeper finds what was abandoned by its chunks. */
    if (!rows_fit(rows, nrows) && (chunk_ahead(in) != STORE_OK || ahead_wait(in) != STORE_OK))
        return in->rc;
    str_t last = in->chunks > 0 ? queue_key_chunk(in->id, in->chunks - 1, a) : STR_NONE;
    size_t at = 0;
    chain_begin(&b, a, last);
    rows_add(&b, rows, nrows, &at);
    while (at < nrows) { /* what is in b goes ahead; the rest may fit the last one */
        b.lazy = true;
        enum store_rc rc = store_commit(in->env->store, &b);
        if (rc != STORE_OK)
            return rc;
        last = rows[at - 1].key;
        chain_begin(&b, a, last);
        rows_add(&b, rows, nrows, &at);
    }
    if (in->fill.len > 0 || in->chunks == 0)
        store_put_new(&b, queue_key_chunk(in->id, in->chunks++, a), buf_str(&in->fill));
    m->chunks = in->chunks;
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    bool ok = queue_message_encode(m, &value);
    store_put_new(&b, queue_key_message(m->id, a), buf_str(&value));
    enum store_rc rc = ok && !a->failed ? store_commit(in->env->store, &b) : STORE_LIMIT;
    buf_free(&value);
    return rc;
}

enum store_rc queue_in_commit(struct queue_in *in, struct queue_message *m,
                              const struct queue_in_rcpt *rcpt, size_t n)
{
    struct arena a;
    arena_init(&a, COMMIT_ARENA_MAX);
    m->id = in->id;
    m->size = in->size;
    if (m->arrived_ms == 0)
        m->arrived_ms = in->env->wall_ms(in->env);
    enum store_rc rc = ahead_wait(in);
    if (rc == STORE_OK) {
        struct queue_in_rcpt *sorted = NULL;
        struct row *rows = NULL;
        size_t nsorted = n > 0 ? rcpt_sorted(&a, rcpt, n, &sorted) : 0;
        size_t nrows = nsorted > 0 ? rows_make(&a, m, sorted, nsorted, &rows) : 0;
        m->single = nrows == 1;
        m->next_n = (uint16_t)nrows;
        rc = nrows > 0 ? final_commit(in, m, rows, nrows, &a) : STORE_LIMIT;
    }
    arena_free(&a);
    queue_in_free(in);
    return rc;
}
