/* snapshot.c: see snapshot.h. */
#include "store/snapshot.h"

#include <time.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void snapshots_init(struct snapshots *s, snapshot_drop_fn *drop, void *user)
{
    *s = (struct snapshots){.next_id = 1, .drop = drop, .user = user};
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    must(pthread_cond_init(&s->idle, NULL) == 0);
}

static void let_go(struct snapshots *s, struct snapshot *x)
{
    s->drop(x->what, s->user);
    *x = (struct snapshot){0};
}

static void close_one(struct snapshots *s, struct snapshot *x)
{
    if (x->busy)
        x->closing = true; /* snapshots_give lets go of it */
    else
        let_go(s, x);
}

static bool too_old(const struct snapshot *x)
{
    return now_ms() - x->opened_ms > STORE_SNAPSHOT_MS;
}

void snapshots_free(struct snapshots *s)
{
    snapshots_clear(s);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
}

bool snapshots_add(struct snapshots *s, part_t part, void *what, uint64_t *id)
{
    bool added = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SNAPSHOTS_MAX && !added; i++)
        if (s->v[i].id == 0) {
            *id = s->next_id++;
            s->v[i] =
                (struct snapshot){.id = *id, .part = part, .what = what, .opened_ms = now_ms()};
            added = true;
        }
    pthread_mutex_unlock(&s->lock);
    return added;
}

static struct snapshot *find(struct snapshots *s, uint64_t id)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
        if (id && s->v[i].id == id && !s->v[i].closing)
            return &s->v[i];
    return NULL;
}

bool snapshots_take(struct snapshots *s, uint64_t id, part_t part, void **what)
{
    pthread_mutex_lock(&s->lock);
    struct snapshot *x = find(s, id);
    while (x && x->busy) {
        pthread_cond_wait(&s->idle, &s->lock);
        x = find(s, id);
    }
    if (x && too_old(x)) {
        let_go(s, x);
        x = NULL;
    }
    bool ok = x && x->part.kind == part.kind && x->part.id == part.id;
    if (ok) {
        x->busy = true;
        *what = x->what;
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void snapshots_give(struct snapshots *s, uint64_t id)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
        if (s->v[i].id == id) {
            s->v[i].busy = false;
            if (s->v[i].closing)
                let_go(s, &s->v[i]);
        }
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

void snapshots_remove(struct snapshots *s, uint64_t id)
{
    pthread_mutex_lock(&s->lock);
    struct snapshot *x = find(s, id);
    if (x)
        close_one(s, x);
    pthread_mutex_unlock(&s->lock);
}

void snapshots_expire(struct snapshots *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
        if (s->v[i].id && !s->v[i].closing && too_old(&s->v[i]))
            close_one(s, &s->v[i]);
    pthread_mutex_unlock(&s->lock);
}

void snapshots_clear(struct snapshots *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
        if (s->v[i].id && !s->v[i].closing)
            close_one(s, &s->v[i]);
    pthread_mutex_unlock(&s->lock);
}

void snapshots_age(struct snapshots *s, int64_t by_ms)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
        s->v[i].opened_ms -= by_ms;
    pthread_mutex_unlock(&s->lock);
}
