/* suppress.c: see suppress.h. An open hash table of 64-bit hashes; 0 is an empty place. Rows that go
 * are not taken out one by one: the table is read anew before it is asked next. */
#include "roles/delivery/suppress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"
#include "post/queue_walk.h"

enum {
    FIRST = 1024,
    PAGE_ROWS = 500,
    SWEEP_MS = 6 * 3600000, /* rows that are too old are looked for so often */
    DELETE_ARENA_MAX = 1 << 20,
};

struct table {
    uint64_t *v;
    size_t n, cap; /* cap is a power of two */
    bool overflow; /* there are more than SUPPRESS_MAX */
};

struct suppress {
    struct env *env;
    int64_t keep_ms;
    uint8_t key[16];
    pthread_mutex_t lock; /* for `now` and `next`; innermost, no store call under it */
    struct table now;
    struct table *next;      /* while the rows are read anew: what comes meanwhile goes in both */
    pthread_mutex_t reading; /* one at a time */
    _Atomic bool stale;
    _Atomic int64_t read_ms; /* mono */
    bool watching;
};

/* ---- the table ---- */

static bool table_has(const struct table *t, uint64_t tag)
{
    if (t->overflow)
        return true;
    for (size_t i = t->cap > 0 ? tag & (t->cap - 1) : 0; t->cap > 0 && t->v[i] != 0;
         i = (i + 1) & (t->cap - 1))
        if (t->v[i] == tag)
            return true;
    return false;
}

static void table_set(struct table *t, uint64_t tag)
{
    size_t i = tag & (t->cap - 1);
    while (t->v[i] != 0 && t->v[i] != tag)
        i = (i + 1) & (t->cap - 1);
    t->n += t->v[i] == 0;
    t->v[i] = tag;
}

static void table_add(struct table *t, uint64_t tag)
{
    if (t->overflow || table_has(t, tag))
        return;
    if (t->n * 2 >= t->cap) {
        size_t cap = t->cap == 0 ? FIRST : t->cap * 2;
        struct table wider = {.v = t->n < SUPPRESS_MAX ? calloc(cap, sizeof *t->v) : NULL,
                              .cap = cap};
        if (wider.v == NULL) {
            t->overflow = true;
            return;
        }
        for (size_t k = 0; k < t->cap; k++)
            if (t->v[k] != 0)
                table_set(&wider, t->v[k]);
        free(t->v);
        *t = wider;
    }
    table_set(t, tag);
}

static uint64_t tag_of(const struct suppress *s, str_t key)
{
    uint64_t tag = siphash24(s->key, key);
    return tag != 0 ? tag : 1;
}

/* ---- its life ---- */

struct suppress *suppress_new(struct env *env, uint32_t keep_s)
{
    struct suppress *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->env = env;
    s->keep_ms = (int64_t)keep_s * 1000;
    env->random(env, s->key, sizeof s->key);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->reading, NULL);
    atomic_store(&s->stale, true);
    return s;
}

void suppress_free(struct suppress *s)
{
    if (s == NULL)
        return;
    free(s->now.v);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->reading);
    free(s);
}

static void hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    struct suppress *s = user;
    (void)part;
    (void)value;
    if (key.len == 0 || deleted) {
        atomic_store(&s->stale, true);
        return;
    }
    pthread_mutex_lock(&s->lock);
    table_add(&s->now, tag_of(s, key));
    if (s->next != NULL)
        table_add(s->next, tag_of(s, key));
    pthread_mutex_unlock(&s->lock);
}

/* ---- reading all rows ---- */

static bool too_old(const struct suppress *s, const struct queue_suppressed *row)
{
    return s->env->wall_ms(s->env) - row->last_ms >= s->keep_ms;
}

static void forget(struct suppress *s, const struct store_page *p)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, DELETE_ARENA_MAX);
    store_batch_init(&b, QUEUE_PART, &a);
    for (size_t i = 0; i < p->n; i++) {
        struct queue_suppressed row;
        if (!queue_suppressed_decode(p->rows[i].key, p->rows[i].value, &row) || !too_old(s, &row))
            continue;
        store_require_equal(&b, p->rows[i].key,
                            p->rows[i].value); /* not one that was just renewed */
        store_delete(&b, p->rows[i].key);
        if (b.n + 2 > STORE_BATCH_OPS)
            break; /* the rest next time */
    }
    enum store_rc rc = b.n > 0 ? store_commit(s->env->store, &b) : STORE_OK;
    (void)rc; /* nobody acts on what is too old */
    arena_free(&a);
}

static void page_add(struct suppress *s, const struct store_page *p)
{
    bool old = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < p->n; i++) {
        struct queue_suppressed row;
        if (p->rows[i].damaged || !queue_suppressed_decode(p->rows[i].key, p->rows[i].value, &row))
            continue;
        if (too_old(s, &row))
            old = true;
        else
            table_add(s->next, tag_of(s, p->rows[i].key));
    }
    pthread_mutex_unlock(&s->lock);
    if (old)
        forget(s, p);
}

static enum store_rc read_all(struct suppress *s)
{
    struct queue_walk w;
    struct table fresh = {0}, former;
    enum store_rc rc;
    atomic_store(&s->stale, false);
    pthread_mutex_lock(&s->lock);
    s->next = &fresh;
    pthread_mutex_unlock(&s->lock);
    queue_walk_begin(&w, s->env->store, STR("s/"), PAGE_ROWS);
    while (queue_walk_next(&w, &rc))
        page_add(s, &w.page);
    queue_walk_end(&w);
    pthread_mutex_lock(&s->lock);
    s->next = NULL;
    former = rc == STORE_OK ? s->now : fresh;
    if (rc == STORE_OK)
        s->now = fresh;
    pthread_mutex_unlock(&s->lock);
    free(former.v);
    if (rc == STORE_OK)
        atomic_store(&s->read_ms, s->env->mono_ms(s->env));
    else
        atomic_store(&s->stale, true);
    return rc;
}

enum store_rc suppress_attach(struct suppress *s)
{
    enum store_rc rc = STORE_OK;
    if (!s->watching)
        rc = store_watch(s->env->store, QUEUE_PART, STR("s/"), hint, s);
    s->watching = rc == STORE_OK;
    if (rc != STORE_OK)
        return rc;
    pthread_mutex_lock(&s->reading);
    rc = read_all(s);
    pthread_mutex_unlock(&s->reading);
    return rc;
}

/* ---- asking ---- */

static void refresh(struct suppress *s)
{
    bool due = s->env->mono_ms(s->env) - atomic_load(&s->read_ms) >= SWEEP_MS;
    if (!due && !atomic_load(&s->stale))
        return;
    if (pthread_mutex_trylock(&s->reading) != 0)
        return; /* somebody is at it: the former table will do until then */
    enum store_rc rc = read_all(s);
    (void)rc; /* then the next one tries */
    pthread_mutex_unlock(&s->reading);
}

bool suppress_find(struct suppress *s, str_t address, struct arena *a, struct queue_suppressed *out)
{
    bool present, maybe;
    str_t value;
    refresh(s);
    pthread_mutex_lock(&s->lock);
    bool any = s->now.n > 0 || s->now.overflow;
    pthread_mutex_unlock(&s->lock);
    str_t key = any ? queue_key_suppressed(address, a) : STR_NONE;
    if (key.len == 0)
        return false;
    pthread_mutex_lock(&s->lock);
    maybe = table_has(&s->now, tag_of(s, key));
    pthread_mutex_unlock(&s->lock);
    return maybe && store_get1(s->env->store, QUEUE_PART, key, a, &present, &value) == STORE_OK &&
           present && queue_suppressed_decode(key, value, out) && !too_old(s, out);
}
