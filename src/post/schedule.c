/* schedule.c: what the owner calls. See schedule.h, schedule_impl.h.
 *
 * Whatever changes ends with settling the destination: then it, and its site, stand in their lines
 * as the change has made it. */
#include "post/schedule.h"

#include <stdlib.h>

#include "base/map.h"
#include "post/schedule_impl.h"

/* ---- the whole ---- */

struct schedule *schedule_new(struct env *env, const struct schedule_policy *p)
{
    struct schedule *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->env = env;
    s->policy = *p;
    s->used = 1; /* index 0 is none */
    s->now_ms = INT64_MIN;
    env->random(env, s->hash_key, sizeof s->hash_key);
    s->nbuckets = s->ndest_buckets = SCHEDULE_BUCKETS;
    s->buckets = calloc(s->nbuckets, sizeof *s->buckets);
    s->dest_buckets = calloc(s->ndest_buckets, sizeof(struct schedule_dest *));
    s->sources = calloc(SCHEDULE_SOURCES, sizeof *s->sources);
    if (s->buckets == NULL || s->dest_buckets == NULL || s->sources == NULL) {
        schedule_free(s);
        return NULL;
    }
    return s;
}

void schedule_free(struct schedule *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; s->dest_buckets != NULL && i < s->ndest_buckets; i++) {
        while (s->dest_buckets[i] != NULL) {
            struct schedule_dest *d = s->dest_buckets[i];
            s->dest_buckets[i] = d->chain;
            free(d->gate.rule);
            free(d);
        }
    }
    for (uint32_t i = 0; i < s->nslabs; i++)
        free(s->slabs[i]);
    free(s->slabs);
    schedule_sites_free(s);
    schedule_lanes_free(s);
    schedule_by_free(s);
    free(s->suspends.v);
    free(s->limits.v);
    free(s->sources);
    free(s->dest_buckets);
    free(s->buckets);
    heap_free(&s->line.wait);
    heap_free(&s->line.ready);
    free(s);
}

void schedule_workers(struct schedule *s, uint32_t workers)
{
    s->policy.workers = workers;
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
           (s->line.wait.cap + s->line.ready.cap) * sizeof(struct heap_entry *) +
           s->lane_cap * sizeof *s->lanes + s->nlane_buckets * sizeof *s->lane_buckets +
           SCHEDULE_SOURCES * sizeof *s->sources + s->by.heap.n * sizeof(struct by) +
           s->by.heap.cap * sizeof(struct heap_entry *) + s->by.nbuckets * sizeof(struct by *) +
           (s->known != NULL ? SCHEDULE_KNOWN * sizeof *s->known : 0);
}

static void time_is(struct schedule *s, int64_t now_ms)
{
    s->now_ms = now_ms > s->now_ms ? now_ms : s->now_ms;
}

/* ---- changes ---- */

static unsigned source_of(const struct schedule *s, str_t source)
{
    return (unsigned)(siphash24(s->hash_key, source) & (SCHEDULE_SOURCES - 1));
}

static unsigned class_of(int8_t priority)
{
    return priority > 0 ? CLASS_HIGH : priority < 0 ? CLASS_LOW : CLASS_NORMAL;
}

static void entry_out(struct schedule *s, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    if (e->taken)
        return;
    if (e->laned)
        schedule_lane_pull(s, e->dest, i, false);
    else if (e->late)
        schedule_heap_pull(s, &s->late, i);
    else
        schedule_heap_pull(s, &e->dest->root, i);
}

/* Its back-off is over. */
static void wait_ends(struct schedule *s, struct schedule_dest *d)
{
    d->gate.not_before_ms = INT64_MIN;
    if (d->site != NULL) {
        d->site->gate.not_before_ms = INT64_MIN;
        schedule_settle_site(s, d->site);
    }
}

/* Into the heap of its destination, or of what is late. */
static void entry_in(struct schedule *s, uint32_t i, int64_t due_ms)
{
    struct entry *e = schedule_at(s, i);
    struct schedule_dest *d = e->dest;
    e->due_ms = due_ms;
    schedule_heap_push(s, e->late ? &s->late : &d->root, i);
    schedule_settle(s, d);
    if (due_ms <= s->now_ms && !e->late)
        schedule_overtake(s, d, e->source, e->class);
}

/* It goes elsewhere from now on: its route was changed. */
static void entry_redirect(struct schedule *s, struct entry *e, struct schedule_dest *to)
{
    struct schedule_dest *from = e->dest;
    from->entries--;
    to->entries++;
    e->dest = to;
    schedule_settle(s, from);
}

/* Whether it changes anything for one that waits. */
static bool moves(const struct entry *e, const struct schedule_dest *to,
                  const struct schedule_item *x)
{
    return e->dest != to || e->due_ms != x->due_ms || x->asked || (e->late && !x->by);
}

static bool entry_move(struct schedule *s, uint32_t i, struct schedule_dest *to,
                       const struct schedule_item *x)
{
    struct entry *e = schedule_at(s, i);
    bool taken = e->taken, in = !taken && moves(e, to, x), ok = true;
    if (in)
        entry_out(s, i);
    e->late = e->late && x->by;
    if (!x->by)
        schedule_by_drop(s, i);
    else if (!e->late)
        ok = schedule_by_set(s, i, x->by_ms);
    if (e->dest != to)
        entry_redirect(s, e, to);
    if (taken) {
        e->touched = true;
        e->urgent = x->asked;
        e->due_ms = x->due_ms;
    } else if (in) {
        if (x->asked)
            wait_ends(s, to);
        entry_in(s, i, e->late ? s->now_ms : x->due_ms);
    }
    return ok;
}

bool schedule_put(struct schedule *s, const struct schedule_item *x)
{
    time_is(s, s->env->mono_ms(s->env));
    uint32_t i = schedule_entry_find(s, x->id, x->n);
    struct schedule_dest *d = schedule_dest_get(s, x->domain, x->via);
    if (d == NULL)
        return false;
    if (i != 0)
        return entry_move(s, i, d, x);
    i = schedule_entry_new(s, x->id, x->n);
    if (i == 0) {
        schedule_settle(s, d);
        return false;
    }
    struct entry *e = schedule_at(s, i);
    e->dest = d;
    e->source = (uint16_t)source_of(s, x->source);
    e->class = class_of(x->priority) & 3u;
    d->entries++;
    if (x->asked)
        wait_ends(s, d);
    entry_in(s, i, x->due_ms);
    return !x->by || schedule_by_set(s, i, x->by_ms);
}

static void entry_drop(struct schedule *s, uint32_t i)
{
    struct schedule_dest *d = schedule_at(s, i)->dest;
    schedule_by_drop(s, i);
    schedule_entry_free(s, i);
    d->entries--;
    schedule_settle(s, d);
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
    entry_out(s, i);
    entry_drop(s, i);
}

bool schedule_now(struct schedule *s, str_t domain, int64_t now_ms)
{
    struct schedule_dest *d = schedule_dest_find(s, domain, STR_NONE);
    time_is(s, now_ms);
    if (d == NULL)
        return false;
    wait_ends(s, d);
    uint32_t all = schedule_heap_due(s, &d->root, INT64_MAX);
    while (all != 0) {
        uint32_t i = all;
        struct entry *e = schedule_at(s, i);
        all = e->sibling;
        e->asked = true;
        e->due_ms = e->due_ms < s->now_ms ? e->due_ms : s->now_ms;
        schedule_heap_push(s, &d->root, i);
    }
    schedule_settle(s, d);
    return true;
}

/* ---- taking ---- */

/* It is with a worker now; counted for its source. */
static void hand_out(struct schedule *s, struct entry *e, struct schedule_entry *out)
{
    *out = (struct schedule_entry){e->id, e->n, e->asked, e->late};
    e->taken = true;
    e->taken_late = e->late;
    e->touched = e->urgent = e->asked = false;
    s->sources[e->source].taken++;
    s->taken++;
}

/* Takes it out for a worker. */
static void serve(struct schedule *s, struct pick p, struct schedule_entry *out)
{
    struct entry *e = schedule_at(s, p.entry);
    struct schedule_dest *d = e->dest;
    if (!p.numbered)
        p.key = schedule_key(schedule_number_give(s, e->source, e->class), e->class);
    int64_t number = p.key - schedule_key(0, e->class);
    s->number = number > s->number ? number : s->number;
    if (e->laned)
        schedule_lane_pull(s, d, p.entry, true);
    else
        schedule_heap_pull(s, &d->root, p.entry);
    hand_out(s, e, out);
    schedule_gate_count(&d->gate, s->now_ms);
    if (d->site != NULL)
        schedule_gate_count(&d->site->gate, s->now_ms);
}

/* Its source has its share of the workers: those of others go before it, however they are
 * numbered. */
static void defer(struct schedule *s, struct schedule_dest *d, int by)
{
    int64_t key =
        schedule_key(schedule_number(s, d->node.source, d->node.class) + by, d->node.class);
    must(heap_set(&schedule_line_of(s, d)->ready, &d->node.at, key));
    if (d->site != NULL)
        schedule_settle_site(s, d->site);
}

/* A worker more is at d. */
static struct schedule_dest *enter(struct schedule *s, struct schedule_dest *d)
{
    d->gate.running++;
    if (d->site != NULL)
        d->site->gate.running++;
    s->running++;
    schedule_settle(s, d);
    return d;
}

/* Those whose by_ms has come leave the heaps of their destinations. One with a worker is late when it
 * is back, unless that has settled it. */
static void late_promote(struct schedule *s)
{
    uint32_t i;
    while ((i = schedule_by_due(s)) != 0) {
        struct entry *e = schedule_at(s, i);
        if (e->late)
            continue;
        entry_out(s, i);
        e->late = true;
        if (!e->taken)
            entry_in(s, i, s->now_ms);
    }
}

static struct schedule_dest *late_take(struct schedule *s, struct schedule_entry *out)
{
    late_promote(s);
    uint32_t i = s->late;
    if (i == 0 || schedule_at(s, i)->due_ms > s->now_ms)
        return NULL;
    schedule_heap_pull(s, &s->late, i);
    hand_out(s, schedule_at(s, i), out);
    return enter(s, schedule_at(s, i)->dest);
}

struct schedule_dest *schedule_take(struct schedule *s, int64_t now_ms,
                                    struct schedule_entry *first)
{
    /* Behind so many destinations of sources that have their share nobody is looked for: there is
     * one of each source among the first few numbers. */
    enum { DEFERRED_MAX = 64 };
    struct schedule_dest *d;
    int deferred = 0;
    time_is(s, now_ms);
    if ((d = late_take(s, first)) != NULL)
        return d;
    while ((d = schedule_first(s)) != NULL && deferred < DEFERRED_MAX) {
        struct pick p = schedule_pick(s, d);
        if (p.entry == 0 && p.held) {
            defer(s, d, ++deferred);
            continue;
        }
        if (p.entry == 0) { /* what it was in turn for is gone */
            schedule_settle(s, d);
            continue;
        }
        schedule_line_drop(schedule_line_of(s, d), &d->node);
        serve(s, p, first);
        return enter(s, d);
    }
    return NULL;
}

/* The next of d that is due, its source's share aside. */
static uint32_t any_due(const struct schedule *s, const struct schedule_dest *d)
{
    for (unsigned class = 0; class < CLASSES; class ++)
        if (d->lanes[class] != 0)
            return s->lanes[d->lanes[class]].root;
    return d->root != 0 && schedule_at(s, d->root)->due_ms <= s->now_ms ? d->root : 0;
}

bool schedule_take_more(struct schedule *s, struct schedule_dest *d, int64_t now_ms,
                        struct schedule_entry *e)
{
    time_is(s, now_ms);
    if (schedule_suspended(d) || schedule_rule_from(&d->gate, now_ms) > now_ms ||
        (d->site != NULL && schedule_rule_from(&d->site->gate, now_ms) > now_ms))
        return false;
    struct pick p = schedule_pick(s, d);
    if (p.entry == 0 && p.held && (s->running < s->policy.workers || schedule_next_ms(s) > now_ms))
        p.entry = any_due(s, d); /* nobody waits for this worker */
    if (p.entry == 0)
        return false;
    serve(s, p, e);
    schedule_settle(s, d);
    return true;
}

void schedule_done(struct schedule *s, struct schedule_entry e, int64_t due_ms)
{
    uint32_t i = schedule_entry_find(s, e.id, e.n);
    if (i == 0 || !schedule_at(s, i)->taken)
        return;
    struct entry *x = schedule_at(s, i);
    /* Told meanwhile that the row changed: that is at least as new as what the caller knew, unless
     * the caller ended it. */
    if (x->touched && due_ms != SCHEDULE_GONE)
        due_ms = x->due_ms;
    s->sources[x->source].taken--;
    s->taken--;
    time_is(s, s->env->mono_ms(s->env));
    if (due_ms == SCHEDULE_GONE) {
        entry_drop(s, i);
        return;
    }
    if (x->taken_late)
        x->late = x->late && e.late;
    else if (x->late) /* since it was taken */
        due_ms = s->now_ms;
    if (x->touched && x->urgent)
        wait_ends(s, x->dest);
    x->taken = x->touched = x->taken_late = false;
    entry_in(s, i, due_ms);
}

void schedule_leave(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
    time_is(s, now_ms);
    d->gate.running--;
    if (d->site != NULL)
        d->site->gate.running--;
    s->running--;
    schedule_settle(s, d);
}

int64_t schedule_next_ms(const struct schedule *s)
{
    struct heap_entry *h = heap_first(&s->line.wait), *by = heap_first(&s->by.heap);
    int64_t next = s->line.ready.n > 0 ? s->now_ms : h == NULL ? INT64_MAX : h->due_ms;
    if (by != NULL && by->due_ms < next)
        next = by->due_ms;
    if (s->late != 0 && schedule_at(s, s->late)->due_ms < next)
        next = schedule_at(s, s->late)->due_ms;
    return next;
}
