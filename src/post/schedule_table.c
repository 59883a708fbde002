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
    h = (h ^ h >> 32 ^ n) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 32) & (s->nbuckets - 1);
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

enum {
    NAME_MAX_BYTES = 1024
}; /* of a domain and a route; what is longer is told apart by its
                                 * beginning and a hash of the whole */

struct name {
    char bytes[NAME_MAX_BYTES];
    uint16_t domain_len, len;
};

static void name_make(const struct schedule *s, str_t domain, str_t via, struct name *out)
{
    uint64_t hash = 0;
    domain = str_first(domain, NAME_MAX_BYTES / 2);
    size_t room = NAME_MAX_BYTES - domain.len - 1 - sizeof hash, len = domain.len;
    if (domain.len > 0)
        memcpy(out->bytes, domain.ptr, domain.len);
    if (via.len > 0) {
        str_t kept = str_first(via, room);
        out->bytes[len++] = 0;
        memcpy(out->bytes + len, kept.ptr, kept.len);
        len += kept.len;
        if (kept.len < via.len) {
            hash = siphash24(s->hash_key, via);
            memcpy(out->bytes + len, &hash, sizeof hash);
            len += sizeof hash;
        }
    }
    out->domain_len = (uint16_t)domain.len;
    out->len = (uint16_t)len;
}

static struct schedule_dest **dest_link(const struct schedule *s, str_t name)
{
    uint64_t h = siphash24(s->hash_key, name);
    struct schedule_dest **link = &s->dest_buckets[(size_t)h & (s->ndest_buckets - 1)];
    while (*link != NULL && !str_eq(str_of((*link)->name, (*link)->name_len), name))
        link = &(*link)->chain;
    return link;
}

struct schedule_dest *schedule_dest_find(struct schedule *s, str_t domain, str_t via)
{
    struct name n;
    name_make(s, domain, via, &n);
    return *dest_link(s, str_of(n.bytes, n.len));
}

struct schedule_dest *schedule_dest_of(struct schedule *s, queue_id_t id, uint16_t n)
{
    uint32_t i = schedule_entry_find(s, id, n);
    return i != 0 ? schedule_at(s, i)->dest : NULL;
}

str_t schedule_dest_domain(const struct schedule_dest *d)
{
    return str_of(d->name, d->domain_len);
}
str_t schedule_dest_via(const struct schedule_dest *d)
{
    return d->name_len == d->domain_len
               ? STR_NONE
               : str_from(str_of(d->name, d->name_len), d->domain_len + 1u);
}
unsigned schedule_dest_limit(const struct schedule *s, struct schedule_dest *d)
{
    return schedule_gate_limit(s, schedule_gate(d));
}
unsigned schedule_dest_running(const struct schedule_dest *d)
{
    return d->site != NULL ? d->site->gate.running : d->gate.running;
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
            *dest_link(s, str_of(d->name, d->name_len)) = d;
        }
    }
    free(old);
    return true;
}

static struct schedule_dest *dest_new(struct schedule *s, const struct name *n)
{
    if ((s->ndest >= s->ndest_buckets && !dest_buckets_grow(s)) ||
        !schedule_line_reserve(&s->line, s->ndest + 1 + 2 * s->nsites))
        return NULL;
    struct schedule_dest *d = calloc(1, sizeof *d + n->len);
    if (d == NULL)
        return NULL;
    d->gate.limit = (uint16_t)s->policy.concurrency_start;
    d->gate.not_before_ms = INT64_MIN;
    d->name_len = n->len;
    d->domain_len = n->domain_len;
    if (n->len > 0)
        memcpy(d->name, n->bytes, n->len);
    if (!schedule_rule_apply(s, &d->gate, schedule_dest_domain(d))) {
        free(d);
        return NULL;
    }
    *dest_link(s, str_of(d->name, d->name_len)) = d;
    s->ndest++;
    s->dest_bytes += sizeof *d + n->len;
    schedule_site_remembered(s, d);
    return d;
}

struct schedule_dest *schedule_dest_get(struct schedule *s, str_t domain, str_t via)
{
    struct name n;
    name_make(s, domain, via, &n);
    struct schedule_dest *d = *dest_link(s, str_of(n.bytes, n.len));
    return d != NULL ? d : dest_new(s, &n);
}

void schedule_dest_free(struct schedule *s, struct schedule_dest *d)
{
    *dest_link(s, str_of(d->name, d->name_len)) = d->chain;
    schedule_site_leave(s, d);
    s->ndest--;
    s->dest_bytes -= sizeof *d + d->name_len;
    free(d->gate.rule);
    free(d);
}
