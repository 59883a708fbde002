/* schedule_lane.c: a destination's due entries by source and class, in rings; whose turn it is.
 *
 * Most destinations have one entry that is due: they never come here. A lane is found by
 * destination, class and source in a chained hash table; its first entry says which those are. */
#include <stdlib.h>

#include "base/map.h"
#include "post/schedule_impl.h"

/* Of each class so many lanes from the one whose turn it is are looked at; the rest come up as the
 * ring turns. */
enum { LOOK_LANES = 8 };

static size_t lane_bucket(const struct schedule *s, const struct schedule_dest *d, unsigned class,
                          unsigned source)
{
    uint64_t h = (uint64_t)(uintptr_t)d >> 4;
    h = (h ^ (uint64_t)source << 40 ^ (uint64_t) class << 60) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20) & (s->nlane_buckets - 1);
}

static const struct entry *lane_entry(const struct schedule *s, uint32_t l)
{
    return schedule_at(s, s->lanes[l].root);
}

static size_t bucket_of(const struct schedule *s, uint32_t l)
{
    const struct entry *e = lane_entry(s, l);
    return lane_bucket(s, e->dest, e->class, e->source);
}

static uint32_t lane_find(const struct schedule *s, const struct schedule_dest *d, unsigned class,
                          unsigned source)
{
    if (s->nlanes == 0)
        return 0;
    uint32_t l = s->lane_buckets[lane_bucket(s, d, class, source)];
    for (; l != 0; l = s->lanes[l].chain) {
        const struct entry *e = lane_entry(s, l);
        if (e->dest == d && e->class == class && e->source == source)
            break;
    }
    return l;
}

static bool buckets_grow(struct schedule *s)
{
    size_t former = s->nlane_buckets, n = former == 0 ? SCHEDULE_BUCKETS : former * 2;
    uint32_t *old = s->lane_buckets;
    uint32_t *v = calloc(n, sizeof *v);
    if (v == NULL)
        return false;
    s->lane_buckets = v;
    s->nlane_buckets = n;
    for (size_t b = 0; b < former; b++) {
        for (uint32_t l = old[b], next; l != 0; l = next) {
            next = s->lanes[l].chain;
            size_t to = bucket_of(s, l);
            s->lanes[l].chain = v[to];
            v[to] = l;
        }
    }
    free(old);
    return true;
}

static uint32_t slot_take(struct schedule *s)
{
    uint32_t l = s->lane_free;
    if (l != 0) {
        s->lane_free = s->lanes[l].chain;
        return l;
    }
    if (s->lane_used == s->lane_cap) {
        uint32_t cap = s->lane_cap == 0 ? 64 : s->lane_cap * 2;
        struct lane *v = reallocarray(s->lanes, cap, sizeof *v);
        if (v == NULL)
            return 0;
        s->lanes = v;
        s->lane_cap = cap;
        s->lane_used += s->lane_used == 0; /* 0 is none */
    }
    return s->lane_used++;
}

/* What its destination is in turn for has its number already. */
static int64_t lane_number(struct schedule *s, const struct schedule_dest *d, const struct entry *e)
{
    const struct node *n = &d->node;
    if (n->ready && n->source == e->source && n->class == e->class)
        return n->at.due_ms - schedule_key(0, n->class);
    return schedule_number_give(s, e->source, e->class);
}

/* A lane with one entry, at the end of its ring: before the one whose turn it is. */
static bool lane_new(struct schedule *s, struct schedule_dest *d, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    if (s->nlanes >= s->nlane_buckets && !buckets_grow(s))
        return false;
    uint32_t l = slot_take(s);
    if (l == 0)
        return false;
    uint32_t *head = &d->lanes[e->class];
    struct lane *n = &s->lanes[l];
    *n = (struct lane){.root = i, .next = l, .prev = l, .number = lane_number(s, d, e)};
    if (*head != 0) {
        n->next = *head;
        n->prev = s->lanes[*head].prev;
        s->lanes[n->prev].next = l;
        s->lanes[*head].prev = l;
    } else {
        *head = l;
    }
    size_t b = bucket_of(s, l);
    n->chain = s->lane_buckets[b];
    s->lane_buckets[b] = l;
    s->nlanes++;
    return true;
}

/* Its last entry is `e`, which is being taken out. */
static void lane_free(struct schedule *s, struct schedule_dest *d, uint32_t l,
                      const struct entry *e)
{
    uint32_t *link = &s->lane_buckets[lane_bucket(s, d, e->class, e->source)];
    while (*link != l)
        link = &s->lanes[*link].chain;
    *link = s->lanes[l].chain;
    uint32_t *head = &d->lanes[e->class];
    if (*head == l)
        *head = s->lanes[l].next != l ? s->lanes[l].next : 0;
    s->lanes[s->lanes[l].prev].next = s->lanes[l].next;
    s->lanes[s->lanes[l].next].prev = s->lanes[l].prev;
    s->lanes[l].chain = s->lane_free;
    s->lane_free = l;
    s->nlanes--;
}

static bool lane_add(struct schedule *s, struct schedule_dest *d, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    uint32_t l = lane_find(s, d, e->class, e->source);
    if (l != 0)
        schedule_heap_push(s, &s->lanes[l].root, i);
    else if (!lane_new(s, d, i))
        return false;
    e->laned = true;
    return true;
}

/* Moves what is due into lanes, if more than one entry is (without memory they stay where they
 * are). */
static void schedule_lanes_fill(struct schedule *s, struct schedule_dest *d)
{
    if (d->root == 0 || (schedule_at(s, d->root)->child == 0 && !schedule_has_lanes(d)))
        return;
    uint32_t due = schedule_heap_due(s, &d->root, s->now_ms);
    while (due != 0) {
        uint32_t i = due;
        due = schedule_at(s, i)->sibling;
        schedule_at(s, i)->sibling = 0;
        if (!lane_add(s, d, i))
            schedule_heap_push(s, &d->root, i);
    }
}

void schedule_lane_pull(struct schedule *s, struct schedule_dest *d, uint32_t i, bool served)
{
    struct entry *e = schedule_at(s, i);
    uint32_t l = lane_find(s, d, e->class, e->source);
    must(l != 0);
    uint32_t root = s->lanes[l].root;
    schedule_heap_pull(s, &root, i);
    e->laned = false;
    if (root == 0) {
        lane_free(s, d, l, e);
        return;
    }
    s->lanes[l].root = root;
    if (!served)
        return;
    s->lanes[l].number = schedule_number_give(s, e->source, e->class);
    if (d->lanes[e->class] == l)
        d->lanes[e->class] = s->lanes[l].next;
}

void schedule_lanes_free(struct schedule *s)
{
    free(s->lanes);
    free(s->lane_buckets);
}

/* ---- turns ---- */

int64_t schedule_number(const struct schedule *s, unsigned source, unsigned class)
{
    int64_t last = s->sources[source].last[class];
    return last > s->number ? last : s->number;
}

int64_t schedule_number_give(struct schedule *s, unsigned source, unsigned class)
{
    int64_t number = schedule_number(s, source, class);
    s->sources[source].last[class] = number + 1;
    return number;
}

bool schedule_may_take(const struct schedule *s, unsigned source)
{
    enum { ALONE_OF = 8, WITH_OTHERS_OF = 2 }; /* all but an eighth; a half */
    uint32_t workers = s->policy.workers, mine = s->sources[source].taken;
    if (workers == 0 || mine == 0)
        return true;
    if (s->taken > mine)
        return mine < workers / WITH_OTHERS_OF;
    return mine < workers - (workers + ALONE_OF - 1) / ALONE_OF;
}

static void pick_look(const struct schedule *s, uint32_t i, const int64_t *number, struct pick *p)
{
    const struct entry *e = schedule_at(s, i);
    if (!schedule_may_take(s, e->source)) {
        p->held = true;
        return;
    }
    int64_t key =
        schedule_key(number != NULL ? *number : schedule_number(s, e->source, e->class), e->class);
    if (p->entry != 0 && key >= p->key)
        return;
    p->entry = i;
    p->key = key;
    p->numbered = number != NULL;
}

static void pick_lane(const struct schedule *s, uint32_t l, struct pick *p)
{
    pick_look(s, s->lanes[l].root, &s->lanes[l].number, p);
}

/* An entry that is in no lane is alone (or there was no memory). */
static void pick_alone(const struct schedule *s, const struct schedule_dest *d, struct pick *p)
{
    const struct node *n = &d->node;
    const struct entry *e = schedule_at(s, d->root);
    int64_t number = n->at.due_ms - schedule_key(0, n->class);
    bool has = n->ready && n->source == e->source && n->class == e->class;
    pick_look(s, d->root, has ? &number : NULL, p);
}

struct pick schedule_pick(struct schedule *s, struct schedule_dest *d)
{
    struct pick p = {0};
    schedule_lanes_fill(s, d);
    if (d->root != 0 && schedule_at(s, d->root)->due_ms <= s->now_ms)
        pick_alone(s, d, &p);
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint32_t first = d->lanes[class], l = first;
        for (int k = 0; l != 0 && k < LOOK_LANES; k++) {
            pick_lane(s, l, &p);
            l = s->lanes[l].next;
            if (l == first)
                break;
        }
        if (l != first) /* a ring longer than that: the newest too */
            pick_lane(s, s->lanes[first].prev, &p);
    }
    return p;
}
