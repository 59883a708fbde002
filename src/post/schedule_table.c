/* schedule_table.c: entries by id, destinations by name: two chained hash tables that double when
 * they are full. */
#include <stdlib.h>

#include "base/map.h"
#include "post/schedule_impl.h"

/* ---- entries by id ---- */

/* The last four bytes of an id are ours and random: nobody outside chooses where it falls. */
static size_t entry_bucket(const struct schedule *s, queue_id_t id, uint16_t n)
{
    uint64_t h;
    memcpy(&h, id.b + 2, sizeof h);
    h = (h ^ n) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20) & (s->nbuckets - 1);
}

uint32_t schedule_entry_find(const struct schedule *s, queue_id_t id, uint16_t n)
{
    uint32_t i = s->buckets[entry_bucket(s, id, n)];
    while (i != 0 && (schedule_at(s, i)->n != n || !queue_id_eq(schedule_at(s, i)->id, id)))
        i = schedule_at(s, i)->chain;
    return i;
}

static bool buckets_grow(struct schedule *s)
{
    size_t former = s->nbuckets;
    uint32_t *old = s->buckets;
    uint32_t *v = calloc(former * 2, sizeof *v);
    if (v == NULL)
        return false;
    s->buckets = v;
    s->nbuckets = former * 2;
    for (size_t b = 0; b < former; b++) {
        for (uint32_t i = old[b], next; i != 0; i = next) {
            struct entry *e = schedule_at(s, i);
            next = e->chain;
            size_t to = entry_bucket(s, e->id, e->n);
            e->chain = s->buckets[to];
            s->buckets[to] = i;
        }
    }
    free(old);
    return true;
}

static uint32_t slot_take(struct schedule *s)
{
    if (s->free != 0) {
        uint32_t i = s->free;
        s->free = schedule_at(s, i)->chain;
        return i;
    }
    if (s->used / SCHEDULE_SLAB >= s->nslabs) {
        if (s->nslabs == s->slab_cap) {
            uint32_t cap = s->slab_cap == 0 ? 16 : s->slab_cap * 2;
            struct entry **v = realloc(s->slabs, cap * sizeof(struct entry *));
            if (v == NULL)
                return 0;
            s->slabs = v;
            s->slab_cap = cap;
        }
        s->slabs[s->nslabs] = malloc(sizeof(struct entry) * SCHEDULE_SLAB);
        if (s->slabs[s->nslabs] == NULL)
            return 0;
        s->nslabs++;
    }
    return s->used++;
}

uint32_t schedule_entry_new(struct schedule *s, queue_id_t id, uint16_t n)
{
    if (s->count >= s->nbuckets && !buckets_grow(s))
        return 0;
    uint32_t i = slot_take(s);
    if (i == 0)
        return 0;
    size_t b = entry_bucket(s, id, n);
    *schedule_at(s, i) = (struct entry){.id = id, .n = n, .chain = s->buckets[b]};
    s->buckets[b] = i;
    s->count++;
    return i;
}

void schedule_entry_free(struct schedule *s, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    uint32_t *link = &s->buckets[entry_bucket(s, e->id, e->n)];
    while (*link != i)
        link = &schedule_at(s, *link)->chain;
    *link = e->chain;
    e->chain = s->free;
    s->free = i;
    s->count--;
}

/* ---- destinations ---- */

struct schedule_dest **schedule_dest_link(const struct schedule *s, str_t domain)
{
    uint64_t h = siphash24(s->hash_key, domain);
    struct schedule_dest **link = &s->dest_buckets[(size_t)h & (s->ndest_buckets - 1)];
    while (*link != NULL && !str_eq(schedule_dest_domain(*link), domain))
        link = &(*link)->chain;
    return link;
}

struct schedule_dest *schedule_dest_find(struct schedule *s, str_t domain)
{
    return *schedule_dest_link(s, domain);
}
str_t schedule_dest_domain(const struct schedule_dest *d)
{
    return str_of(d->name, d->name_len);
}
unsigned schedule_dest_limit(const struct schedule_dest *d)
{
    return d->limit;
}
unsigned schedule_dest_running(const struct schedule_dest *d)
{
    return d->running;
}

static bool dest_buckets_grow(struct schedule *s)
{
    size_t former = s->ndest_buckets;
    struct schedule_dest **old = s->dest_buckets;
    struct schedule_dest **v = calloc(former * 2, sizeof(struct schedule_dest *));
    if (v == NULL)
        return false;
    s->dest_buckets = v;
    s->ndest_buckets = former * 2;
    for (size_t b = 0; b < former; b++) {
        for (struct schedule_dest *d = old[b], *next; d != NULL; d = next) {
            next = d->chain;
            d->chain = NULL;
            *schedule_dest_link(s, schedule_dest_domain(d)) = d;
        }
    }
    free(old);
    return true;
}

struct schedule_dest *schedule_dest_get(struct schedule *s, str_t domain)
{
    struct schedule_dest *d = *schedule_dest_link(s, domain);
    if (d != NULL)
        return d;
    if (domain.len > UINT16_MAX || (s->ndest >= s->ndest_buckets && !dest_buckets_grow(s)))
        return NULL;
    d = calloc(1, sizeof *d + domain.len);
    if (d == NULL)
        return NULL;
    d->limit = (uint16_t)s->policy.concurrency_start;
    d->not_before_ms = d->turn_ms = INT64_MIN;
    d->name_len = (uint16_t)domain.len;
    if (domain.len > 0)
        memcpy(d->name, domain.ptr, domain.len);
    if (!heap_set(&s->wake, &d->wake, SCHEDULE_NEVER)) {
        free(d);
        return NULL;
    }
    *schedule_dest_link(s, domain) = d;
    s->ndest++;
    s->dest_bytes += sizeof *d + domain.len;
    return d;
}
