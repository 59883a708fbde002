/* schedule.c: what the owner calls. See schedule.h, schedule_impl.h.
 *
 * A destination is in the heap of destinations from birth to death (so that moving it never needs
 * memory): at SCHEDULE_NEVER while it has no waiting entry or no free slot. */
#include <stdlib.h>

#include "base/list.h"
#include "post/schedule_impl.h"

/* ---- retry times ---- */

int64_t schedule_retry_ms(const struct schedule_policy *p, struct env *env, uint32_t attempts)
{
    static const uint32_t factor[] = {1, 3, 6, 12, 24, 48}; /* 5, 15, 30 min, 1, 2, 4 h */
    enum { STEPS = sizeof factor / sizeof *factor };
    int64_t wait = p->retry_max_s;
    if (attempts <= STEPS)
        wait = (int64_t)p->retry_first_s * factor[attempts > 0 ? attempts - 1 : 0];
    if (wait > p->retry_max_s)
        wait = p->retry_max_s;
    wait *= 1000;
    uint32_t r;
    env->random(env, &r, sizeof r);
    int64_t spread = wait / 5; /* ±20 %: what failed together does not come back together */
    return wait - spread + (int64_t)((uint64_t)r * (uint64_t)(2 * spread + 1) >> 32);
}

int64_t schedule_delay_ms(const struct schedule_policy *p, int64_t next_ms, int64_t wall_now_ms)
{
    int64_t delay;
    if (__builtin_sub_overflow(next_ms, wall_now_ms, &delay))
        return 0;
    int64_t most = (int64_t)p->retry_max_s * 1200 + 1000;
    /* 68 years: keeps order, and sums far from overflow */
    int64_t least = -((int64_t)INT32_MAX * 1000);
    return delay > most ? 0 : delay < least ? least : delay;
}

/* ---- the whole ---- */

struct schedule *schedule_new(struct env *env, const struct schedule_policy *p)
{
    struct schedule *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->env = env;
    s->policy = *p;
    s->used = 1; /* index 0 is none */
    heap_init(&s->wake);
    env->random(env, s->hash_key, sizeof s->hash_key);
    s->nbuckets = s->ndest_buckets = SCHEDULE_BUCKETS;
    s->buckets = calloc(s->nbuckets, sizeof *s->buckets);
    s->dest_buckets = calloc(s->ndest_buckets, sizeof(struct schedule_dest *));
    if (s->buckets == NULL || s->dest_buckets == NULL) {
        schedule_free(s);
        return NULL;
    }
    return s;
}

void schedule_free(struct schedule *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->nslabs; i++)
        free(s->slabs[i]);
    free(s->slabs);
    for (size_t i = 0; s->dest_buckets != NULL && i < s->ndest_buckets; i++) {
        while (s->dest_buckets[i] != NULL) {
            struct schedule_dest *d = s->dest_buckets[i];
            s->dest_buckets[i] = d->chain;
            free(d);
        }
    }
    free(s->dest_buckets);
    free(s->buckets);
    heap_free(&s->wake);
    free(s);
}

size_t schedule_count(const struct schedule *s)
{
    return s->count;
}

size_t schedule_bytes(const struct schedule *s)
{
    return sizeof *s + s->nslabs * sizeof(struct entry) * SCHEDULE_SLAB +
           s->slab_cap * sizeof(struct entry *) + s->nbuckets * sizeof *s->buckets +
           s->ndest_buckets * sizeof(struct schedule_dest *) + s->dest_bytes +
           s->wake.cap * sizeof *s->wake.v;
}

/* ---- changes ---- */

/* Puts it where it belongs in the heap of destinations after any change; frees it when nobody needs
 * it. */
static void dest_settle(struct schedule *s, struct schedule_dest *d)
{
    if (d->entries == 0 && d->running == 0) {
        *schedule_dest_link(s, schedule_dest_domain(d)) = d->chain;
        heap_remove(&s->wake, &d->wake);
        s->ndest--;
        s->dest_bytes -= sizeof *d + d->name_len;
        free(d);
        return;
    }
    int64_t wake = SCHEDULE_NEVER;
    if (d->root != 0 && d->running < d->limit) {
        wake = schedule_at(s, d->root)->due_ms;
        wake = wake > d->not_before_ms ? wake : d->not_before_ms;
        wake = wake > d->turn_ms ? wake : d->turn_ms;
    }
    must(heap_set(&s->wake, &d->wake, wake)); /* it has a place: only moved */
}

static void entry_move(struct schedule *s, uint32_t i, int64_t due_ms)
{
    struct entry *e = schedule_at(s, i);
    if (e->taken) {
        e->touched = true;
        e->due_ms = due_ms;
        return;
    }
    if (e->due_ms == due_ms)
        return;
    if (due_ms < e->due_ms && due_ms <= s->env->mono_ms(s->env))
        e->dest->not_before_ms = INT64_MIN;
    schedule_dest_pull(s, e->dest, i);
    e->due_ms = due_ms;
    schedule_dest_push(s, e->dest, i);
}

bool schedule_put(struct schedule *s, queue_id_t id, uint16_t n, str_t domain, int64_t due_ms)
{
    uint32_t i = schedule_entry_find(s, id, n);
    if (i != 0) {
        entry_move(s, i, due_ms);
        dest_settle(s, schedule_at(s, i)->dest);
        return true;
    }
    struct schedule_dest *d = schedule_dest_get(s, domain);
    if (d == NULL)
        return false;
    i = schedule_entry_new(s, id, n);
    if (i != 0) {
        schedule_at(s, i)->dest = d;
        schedule_at(s, i)->due_ms = due_ms;
        d->entries++;
        schedule_dest_push(s, d, i);
    }
    dest_settle(s, d);
    return i != 0;
}

static void entry_drop(struct schedule *s, uint32_t i)
{
    struct schedule_dest *d = schedule_at(s, i)->dest;
    schedule_entry_free(s, i);
    d->entries--;
}

void schedule_remove(struct schedule *s, queue_id_t id, uint16_t n)
{
    uint32_t i = schedule_entry_find(s, id, n);
    if (i == 0)
        return;
    if (schedule_at(s, i)->taken) {
        schedule_at(s, i)->touched = true;
        schedule_at(s, i)->due_ms = SCHEDULE_GONE;
        return;
    }
    struct schedule_dest *d = schedule_at(s, i)->dest;
    schedule_dest_pull(s, d, i);
    entry_drop(s, i);
    dest_settle(s, d);
}

bool schedule_take_more(struct schedule *s, struct schedule_dest *d, int64_t now_ms,
                        struct schedule_entry *e)
{
    uint32_t i = d->root;
    if (i == 0 || schedule_at(s, i)->due_ms > now_ms)
        return false;
    schedule_dest_pull(s, d, i);
    schedule_at(s, i)->taken = true;
    schedule_at(s, i)->touched = false;
    *e = (struct schedule_entry){schedule_at(s, i)->id, schedule_at(s, i)->n};
    dest_settle(s, d);
    return true;
}

struct schedule_dest *schedule_take(struct schedule *s, int64_t now_ms,
                                    struct schedule_entry *first)
{
    struct heap_entry *h = heap_first(&s->wake);
    if (h == NULL || h->due_ms > now_ms)
        return NULL;
    struct schedule_dest *d = list_entry(h, struct schedule_dest, wake);
    d->running++;
    must(schedule_take_more(s, d, now_ms, first));
    return d;
}

void schedule_done(struct schedule *s, struct schedule_entry e, int64_t due_ms)
{
    uint32_t i = schedule_entry_find(s, e.id, e.n);
    if (i == 0 || !schedule_at(s, i)->taken)
        return;
    struct entry *x = schedule_at(s, i);
    struct schedule_dest *d = x->dest;
    /* Told meanwhile that the row changed: that is at least as new as what the caller knew, unless
     * the caller ended it. */
    if (x->touched && due_ms != SCHEDULE_GONE)
        due_ms = x->due_ms;
    x->taken = x->touched = false;
    if (due_ms == SCHEDULE_GONE) {
        entry_drop(s, i);
    } else {
        x->due_ms = due_ms;
        schedule_dest_push(s, d, i);
    }
    dest_settle(s, d);
}

void schedule_good(struct schedule *s, struct schedule_dest *d)
{
    d->failures = 0;
    d->not_before_ms = INT64_MIN;
    if (d->limit < s->policy.concurrency_max && ++d->good >= d->limit) {
        d->limit++;
        d->good = 0;
    }
}

void schedule_bad(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
    d->good = 0;
    d->limit = d->limit / 2 > 1 ? d->limit / 2 : 1;
    /* another connection of the same moment already said so */
    if (d->not_before_ms > now_ms)
        return;
    if (d->failures < UINT16_MAX)
        d->failures++;
    /* A message keeps its own times, up to four hours; but a new one finds out within half an hour
     * that the host is back. */
    enum { STEPS_MAX = 3 };
    d->not_before_ms =
        now_ms +
        schedule_retry_ms(&s->policy, s->env, d->failures < STEPS_MAX ? d->failures : STEPS_MAX);
}

void schedule_leave(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
    d->running--;
    d->turn_ms = now_ms;
    dest_settle(s, d);
}

int64_t schedule_next_ms(const struct schedule *s)
{
    struct heap_entry *h = heap_first(&s->wake);
    return h == NULL ? INT64_MAX : h->due_ms;
}
