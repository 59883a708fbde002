/* schedule.c: see schedule.h.
 *
 * Entries are 48 bytes in slabs, named by a 32-bit index (0 is none), found by a chained hash table of indexes. Each is in its
 * destination's pairing heap: child, sibling and prev (the parent of a first child, else the left sibling).
 *
 *     waiting   in the heap of its destination
 *     taken     with a worker: in no heap. `touched`: a put came meanwhile, due_ms is what it said (SCHEDULE_GONE: removed)
 *
 * A destination is in the heap of destinations from birth to death (so that moving it never needs memory): at NEVER while it has no
 * waiting entry or no free slot. */
#include "post/schedule.h"

#include <stdlib.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

enum { SLAB = 4096, BUCKETS_FIRST = 256 };
#define NEVER INT64_MAX

struct entry {
    int64_t due_ms;
    struct schedule_dest *dest;
    queue_id_t id;
    uint16_t n;
    uint32_t chain; /* next in its hash bucket, or in the free list */
    uint32_t child, sibling, prev;
    bool taken, touched;
};

struct schedule_dest {
    struct heap_entry wake;
    struct schedule_dest *chain;
    int64_t not_before_ms; /* back-off */
    int64_t turn_ms;       /* when a worker last left it: those who waited longer go first */
    uint32_t root;         /* of the pairing heap */
    uint32_t entries;      /* waiting and taken */
    uint16_t running, limit, good;
    uint16_t failures;
    uint16_t name_len;
    char name[];
};

struct schedule {
    struct env *env;
    struct schedule_policy policy;
    uint8_t hash_key[16];
    struct entry **slabs;
    uint32_t nslabs, slab_cap;
    uint32_t used, free; /* the next index never used; the free list */
    size_t count;
    uint32_t *buckets;
    size_t nbuckets;
    struct schedule_dest **dest_buckets;
    size_t ndest_buckets, ndest;
    size_t dest_bytes;
    struct heap wake;
};

static struct entry *at(const struct schedule *s, uint32_t i)
{
    return &s->slabs[i / SLAB][i % SLAB];
}

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
    int64_t least =
        -((int64_t)INT32_MAX * 1000); /* 68 years: keeps order, and sums far from overflow */
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
    s->nbuckets = s->ndest_buckets = BUCKETS_FIRST;
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
    return sizeof *s + s->nslabs * sizeof(struct entry) * SLAB +
           s->slab_cap * sizeof(struct entry *) + s->nbuckets * sizeof *s->buckets +
           s->ndest_buckets * sizeof(struct schedule_dest *) + s->dest_bytes +
           s->wake.cap * sizeof *s->wake.v;
}

/* ---- entries by id ---- */

/* The last four bytes of an id are ours and random: nobody outside chooses where it falls. */
static size_t entry_bucket(const struct schedule *s, queue_id_t id, uint16_t n)
{
    uint64_t h;
    memcpy(&h, id.b + 2, sizeof h);
    h = (h ^ n) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20) & (s->nbuckets - 1);
}

static uint32_t entry_find(const struct schedule *s, queue_id_t id, uint16_t n)
{
    uint32_t i = s->buckets[entry_bucket(s, id, n)];
    while (i != 0 && (at(s, i)->n != n || !queue_id_eq(at(s, i)->id, id)))
        i = at(s, i)->chain;
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
            struct entry *e = at(s, i);
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
        s->free = at(s, i)->chain;
        return i;
    }
    if (s->used / SLAB >= s->nslabs) {
        if (s->nslabs == s->slab_cap) {
            uint32_t cap = s->slab_cap == 0 ? 16 : s->slab_cap * 2;
            struct entry **v = realloc(s->slabs, cap * sizeof(struct entry *));
            if (v == NULL)
                return 0;
            s->slabs = v;
            s->slab_cap = cap;
        }
        s->slabs[s->nslabs] = malloc(sizeof(struct entry) * SLAB);
        if (s->slabs[s->nslabs] == NULL)
            return 0;
        s->nslabs++;
    }
    return s->used++;
}

static uint32_t entry_new(struct schedule *s, queue_id_t id, uint16_t n)
{
    if (s->count >= s->nbuckets && !buckets_grow(s))
        return 0;
    uint32_t i = slot_take(s);
    if (i == 0)
        return 0;
    size_t b = entry_bucket(s, id, n);
    *at(s, i) = (struct entry){.id = id, .n = n, .chain = s->buckets[b]};
    s->buckets[b] = i;
    s->count++;
    return i;
}

static void entry_free(struct schedule *s, uint32_t i)
{
    struct entry *e = at(s, i);
    uint32_t *link = &s->buckets[entry_bucket(s, e->id, e->n)];
    while (*link != i)
        link = &at(s, *link)->chain;
    *link = e->chain;
    e->chain = s->free;
    s->free = i;
    s->count--;
}

/* ---- the pairing heap of a destination ---- */

static uint32_t meld(struct schedule *s, uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a != 0 ? a : b;
    if (at(s, b)->due_ms < at(s, a)->due_ms) {
        uint32_t swap = a;
        a = b;
        b = swap;
    }
    struct entry *up = at(s, a), *down = at(s, b);
    down->sibling = up->child;
    if (up->child != 0)
        at(s, up->child)->prev = b;
    down->prev = a;
    up->child = b;
    return a;
}

/* Melds a list of siblings into one heap: in pairs from the left, then those from the right. */
static uint32_t meld_siblings(struct schedule *s, uint32_t first)
{
    uint32_t pairs = 0;
    while (first != 0) {
        uint32_t a = first, b = at(s, a)->sibling;
        first = b != 0 ? at(s, b)->sibling : 0;
        at(s, a)->sibling = 0;
        if (b != 0)
            at(s, b)->sibling = 0;
        uint32_t m = meld(s, a, b);
        at(s, m)->sibling = pairs;
        pairs = m;
    }
    uint32_t root = 0;
    while (pairs != 0) {
        uint32_t m = pairs;
        pairs = at(s, m)->sibling;
        at(s, m)->sibling = 0;
        root = meld(s, root, m);
    }
    if (root != 0)
        at(s, root)->prev = 0;
    return root;
}

static void dest_push(struct schedule *s, struct schedule_dest *d, uint32_t i)
{
    struct entry *e = at(s, i);
    e->child = e->sibling = e->prev = 0;
    d->root = meld(s, d->root, i);
    at(s, d->root)->prev = 0;
}

static void dest_pull(struct schedule *s, struct schedule_dest *d, uint32_t i)
{
    struct entry *e = at(s, i);
    uint32_t below = meld_siblings(s, e->child);
    if (d->root == i) {
        d->root = below;
    } else {
        struct entry *before = at(s, e->prev);
        *(before->child == i ? &before->child : &before->sibling) = e->sibling;
        if (e->sibling != 0)
            at(s, e->sibling)->prev = e->prev;
        d->root = meld(s, d->root, below);
        at(s, d->root)->prev = 0;
    }
    e->child = e->sibling = e->prev = 0;
}

/* ---- destinations ---- */

static struct schedule_dest **dest_link(const struct schedule *s, str_t domain)
{
    uint64_t h = siphash24(s->hash_key, domain);
    struct schedule_dest **link = &s->dest_buckets[(size_t)h & (s->ndest_buckets - 1)];
    while (*link != NULL && !str_eq(schedule_dest_domain(*link), domain))
        link = &(*link)->chain;
    return link;
}

struct schedule_dest *schedule_dest_find(struct schedule *s, str_t domain)
{
    return *dest_link(s, domain);
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
            *dest_link(s, schedule_dest_domain(d)) = d;
        }
    }
    free(old);
    return true;
}

static struct schedule_dest *dest_get(struct schedule *s, str_t domain)
{
    struct schedule_dest *d = *dest_link(s, domain);
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
    if (!heap_set(&s->wake, &d->wake, NEVER)) {
        free(d);
        return NULL;
    }
    *dest_link(s, domain) = d;
    s->ndest++;
    s->dest_bytes += sizeof *d + domain.len;
    return d;
}

/* Puts it where it belongs in the heap of destinations after any change; frees it when nobody needs it. */
static void dest_settle(struct schedule *s, struct schedule_dest *d)
{
    if (d->entries == 0 && d->running == 0) {
        *dest_link(s, schedule_dest_domain(d)) = d->chain;
        heap_remove(&s->wake, &d->wake);
        s->ndest--;
        s->dest_bytes -= sizeof *d + d->name_len;
        free(d);
        return;
    }
    int64_t wake = NEVER;
    if (d->root != 0 && d->running < d->limit) {
        wake = at(s, d->root)->due_ms;
        wake = wake > d->not_before_ms ? wake : d->not_before_ms;
        wake = wake > d->turn_ms ? wake : d->turn_ms;
    }
    must(heap_set(&s->wake, &d->wake, wake)); /* it has a place: only moved */
}

/* ---- what the owner calls ---- */

static void entry_move(struct schedule *s, uint32_t i, int64_t due_ms)
{
    struct entry *e = at(s, i);
    if (e->taken) {
        e->touched = true;
        e->due_ms = due_ms;
        return;
    }
    if (e->due_ms == due_ms)
        return;
    if (due_ms < e->due_ms && due_ms <= s->env->mono_ms(s->env))
        e->dest->not_before_ms = INT64_MIN;
    dest_pull(s, e->dest, i);
    e->due_ms = due_ms;
    dest_push(s, e->dest, i);
}

bool schedule_put(struct schedule *s, queue_id_t id, uint16_t n, str_t domain, int64_t due_ms)
{
    uint32_t i = entry_find(s, id, n);
    if (i != 0) {
        entry_move(s, i, due_ms);
        dest_settle(s, at(s, i)->dest);
        return true;
    }
    struct schedule_dest *d = dest_get(s, domain);
    if (d == NULL)
        return false;
    i = entry_new(s, id, n);
    if (i != 0) {
        at(s, i)->dest = d;
        at(s, i)->due_ms = due_ms;
        d->entries++;
        dest_push(s, d, i);
    }
    dest_settle(s, d);
    return i != 0;
}

static void entry_drop(struct schedule *s, uint32_t i)
{
    struct schedule_dest *d = at(s, i)->dest;
    entry_free(s, i);
    d->entries--;
}

void schedule_remove(struct schedule *s, queue_id_t id, uint16_t n)
{
    uint32_t i = entry_find(s, id, n);
    if (i == 0)
        return;
    if (at(s, i)->taken) {
        at(s, i)->touched = true;
        at(s, i)->due_ms = SCHEDULE_GONE;
        return;
    }
    struct schedule_dest *d = at(s, i)->dest;
    dest_pull(s, d, i);
    entry_drop(s, i);
    dest_settle(s, d);
}

bool schedule_take_more(struct schedule *s, struct schedule_dest *d, int64_t now_ms,
                        struct schedule_entry *e)
{
    uint32_t i = d->root;
    if (i == 0 || at(s, i)->due_ms > now_ms)
        return false;
    dest_pull(s, d, i);
    at(s, i)->taken = true;
    at(s, i)->touched = false;
    *e = (struct schedule_entry){at(s, i)->id, at(s, i)->n};
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
    uint32_t i = entry_find(s, e.id, e.n);
    if (i == 0 || !at(s, i)->taken)
        return;
    struct entry *x = at(s, i);
    struct schedule_dest *d = x->dest;
    /* Told meanwhile that the row changed: that is at least as new as what the caller knew, unless the caller ended it. */
    if (x->touched && due_ms != SCHEDULE_GONE)
        due_ms = x->due_ms;
    x->taken = x->touched = false;
    if (due_ms == SCHEDULE_GONE) {
        entry_drop(s, i);
    } else {
        x->due_ms = due_ms;
        dest_push(s, d, i);
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
    if (d->not_before_ms > now_ms)
        return; /* another connection of the same moment already said so */
    if (d->failures < UINT16_MAX)
        d->failures++;
    d->not_before_ms = now_ms + schedule_retry_ms(&s->policy, s->env, d->failures);
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
