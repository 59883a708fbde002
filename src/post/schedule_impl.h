/* schedule_impl.h: what the files of the schedule share.
 *
 *     schedule.c         what the owner calls: put, take, done
 *     schedule_rules.c   the operator's limits and suspensions, back-off, retry times
 *     schedule_line.c    destinations and sites in the order of their turns
 *     schedule_lane.c    a destination's due entries, by source and class
 *     schedule_site.c    sites, and which domain is at which
 *     schedule_by.c      entries with a time at which they come up whatever holds them
 *     schedule_table.c   entries by id, destinations by name
 *     schedule_heap.c    the pairing heap entries are kept in
 *
 * Entries are 48 bytes in slabs, named by a 32-bit index (0 is none), found by a chained hash table
 * of indexes. An entry is
 *
 *     waiting   in the heap of its destination (root), by due time
 *     laned     due, and moved to the lane of its source and class: only when its destination comes
 *               up and has more than one due
 *     late      its by_ms has passed: in the heap of those, not in its destination's
 *     taken     with a worker: in no heap. `touched`: a put came meanwhile, due_ms is what it said
 *               (SCHEDULE_GONE: removed)
 *
 * Destinations, and the sites of those that have one, stand in a line: `wait` by the time when they
 * may next have something to do, `ready` by number once that time has come. A site has a line of its
 * own for its destinations, and stands in the schedule's for all of them. A node is in one of the two
 * heaps; both have room for every member, so that moving never needs memory. */
#ifndef POST_SCHEDULE_IMPL_H
#define POST_SCHEDULE_IMPL_H

#include "base/heap.h"
#include "base/list.h"
#include "post/schedule.h"

#define SCHEDULE_SLAB    4096 /* entries */
#define SCHEDULE_BUCKETS 256  /* of the hash tables, at first */
#define SCHEDULE_NEVER   INT64_MAX

enum schedule_class { CLASS_HIGH, CLASS_NORMAL, CLASS_LOW, CLASSES };

struct entry {
    int64_t due_ms;
    struct schedule_dest *dest;
    queue_id_t id;
    uint16_t n;
    uint32_t chain; /* next in its hash bucket, or in the free list */
    uint32_t child, sibling, prev;
    uint16_t source;
    unsigned class : 2, taken : 1, touched : 1, laned : 1, asked : 1;
    unsigned urgent : 1; /* a put of one that is taken asked for it */
    unsigned by : 1;     /* has a place in by.heap */
    unsigned late : 1, taken_late : 1;
};
_Static_assert(sizeof(struct entry) == 48, "a million of them");

struct by { /* when an entry comes up whatever holds it */
    struct heap_entry at;
    struct by *chain; /* next in its hash bucket */
    uint32_t entry;
};
struct bys {
    struct heap heap;
    struct by **buckets;
    size_t nbuckets;
};

struct node { /* a place in a line */
    struct heap_entry at;
    bool site, ready;
    uint8_t class;   /* ready: what it is numbered for … */
    uint16_t source; /* … of a site: of its first destination */
};

struct line {
    struct heap wait, ready;
    size_t members; /* that both have room for */
};

struct rule { /* the operator's, for one destination or site */
    bool suspended;
    uint32_t connections, per_minute; /* 0: no limit */
    uint32_t in_minute;               /* begun since minute_ms */
    int64_t minute_ms;
};

/* How much may be under way. limit, good, failures: of a destination without a site. */
struct gate {
    int64_t not_before_ms; /* back-off */
    struct rule *rule;     /* or NULL */
    uint16_t running, limit, good;
    uint16_t failures;
};

struct site {
    struct node node;  /* in the schedule's ready, by its first destination's number */
    struct node clock; /* in the schedule's wait: when to look again */
    struct gate gate;
    struct line line;
    struct site *chain;
    char *reason; /* why it waits, or NULL */
    size_t refs;  /* destinations and remembered domains */
    uint16_t name_len;
    char name[];
};

struct schedule_dest {
    struct node node;
    struct gate gate;
    struct schedule_dest *chain;
    struct site *site;
    uint32_t root;           /* of the heap of waiting entries */
    uint32_t entries;        /* waiting, laned and taken */
    uint32_t lanes[CLASSES]; /* each a ring; the lane whose turn is next, or 0 */
    uint16_t domain_len, name_len;
    char name[]; /* domain, or domain NUL via */
};

struct lane {
    int64_t number;      /* given when it came up */
    uint32_t root;       /* of a heap of entries, all due; its first says whose lane it is */
    uint32_t next, prev; /* in the ring */
    uint32_t chain;      /* next in its hash bucket, or in the free list */
};

struct source {
    int64_t last[CLASSES]; /* the first number that it has not yet used */
    uint32_t taken;        /* entries in workers' hands */
};

struct known { /* where a domain without entries was served */
    uint64_t tag;
    struct site *site;
    int64_t at_ms;
};

struct rules {
    struct schedule_rule *v; /* sorted by key; the keys lie behind */
    size_t n;
};

struct schedule {
    struct env *env;
    struct schedule_policy policy;
    uint8_t hash_key[16];
    int64_t now_ms; /* the latest time anybody told us */
    struct entry **slabs;
    uint32_t nslabs, slab_cap;
    uint32_t used, free; /* the next index never used; the free list */
    size_t count;
    uint32_t *buckets;
    size_t nbuckets;
    struct schedule_dest **dest_buckets;
    size_t ndest_buckets, ndest;
    size_t dest_bytes;
    struct lane *lanes;
    uint32_t lane_cap, lane_used, lane_free;
    uint32_t *lane_buckets;
    size_t nlane_buckets, nlanes;
    struct site **site_buckets;
    size_t nsite_buckets, nsites;
    struct line line;
    struct bys by;
    uint32_t late;          /* of the heap of late entries */
    struct source *sources; /* SCHEDULE_SOURCES */
    int64_t number;         /* the highest served */
    uint32_t taken, running;
    struct known *known; /* SCHEDULE_KNOWN, made when first needed */
    struct rules suspends, limits;
};

static inline struct entry *schedule_at(const struct schedule *s, uint32_t i)
{
    return &s->slabs[i / SCHEDULE_SLAB][i % SCHEDULE_SLAB];
}

/* schedule_table.c: by id, by name. */
uint32_t schedule_entry_find(const struct schedule *s, queue_id_t id, uint16_t n); /* 0: none */
uint32_t schedule_entry_new(struct schedule *s, queue_id_t id, uint16_t n); /* 0: no memory */
void schedule_entry_free(struct schedule *s, uint32_t i);
/* made if need be; NULL: no memory */
struct schedule_dest *schedule_dest_get(struct schedule *s, str_t domain, str_t via);
void schedule_dest_free(struct schedule *s, struct schedule_dest *d);

/* schedule_heap.c: entries by due time, from a root. */
void schedule_heap_push(struct schedule *s, uint32_t *root, uint32_t i);
void schedule_heap_pull(struct schedule *s, uint32_t *root, uint32_t i);
/* Takes all that are due out, in a list by `sibling`; returns the first. */
uint32_t schedule_heap_due(struct schedule *s, uint32_t *root, int64_t now_ms);

/* schedule_lane.c */
/* `served`: it had its turn, and what stays in its lane is numbered anew. */
void schedule_lane_pull(struct schedule *s, struct schedule_dest *d, uint32_t i, bool served);
static inline bool schedule_has_lanes(const struct schedule_dest *d)
{
    return (d->lanes[CLASS_HIGH] | d->lanes[CLASS_NORMAL] | d->lanes[CLASS_LOW]) != 0;
}
struct pick {
    uint32_t entry; /* the due one whose turn is next, of sources that may have one more; 0: none */
    int64_t key;
    bool numbered; /* the key is by a number it already has; else by what it would get */
    bool held;     /* there was one, of a source that may not have it */
};
/* Nothing is taken out. */
struct pick schedule_pick(struct schedule *s, struct schedule_dest *d);
void schedule_lanes_free(struct schedule *s);
/* The number that something of this source would get now; and giving it. */
int64_t schedule_number(const struct schedule *s, unsigned source, unsigned class);
int64_t schedule_number_give(struct schedule *s, unsigned source, unsigned class);
static inline int64_t schedule_key(int64_t number, unsigned class)
{
    return number + (int64_t) class * SCHEDULE_CLASS_LEAD;
}
bool schedule_may_take(const struct schedule *s, unsigned source);

/* schedule_line.c */
bool schedule_line_reserve(struct line *l, size_t members);
/* A destination newly in its line. It has room. */
void schedule_line_add(struct schedule *s, struct schedule_dest *d);
void schedule_line_drop(struct line *l, struct node *n);
/* Puts it where it belongs after any change; frees it when nobody needs it. */
void schedule_settle(struct schedule *s, struct schedule_dest *d);
void schedule_settle_site(struct schedule *s, struct site *t);
/* Something of this source became due there, which may be ready already for another. */
void schedule_overtake(struct schedule *s, struct schedule_dest *d, unsigned source,
                       unsigned class);
/* The first destination in turn; NULL: none. */
struct schedule_dest *schedule_first(struct schedule *s);
static inline struct line *schedule_line_of(struct schedule *s, struct schedule_dest *d)
{
    return d->site != NULL ? &d->site->line : &s->line;
}

/* schedule_site.c */
void schedule_site_remembered(struct schedule *s, struct schedule_dest *d); /* of a new one */
void schedule_site_leave(struct schedule *s, struct schedule_dest *d);      /* it is freed */
void schedule_sites_free(struct schedule *s);

/* schedule_by.c */
bool schedule_by_set(struct schedule *s, uint32_t i, int64_t by_ms); /* false: no memory */
void schedule_by_drop(struct schedule *s, uint32_t i);
/* One whose time has come, which has its place no more; 0: none. */
uint32_t schedule_by_due(struct schedule *s);
void schedule_by_free(struct schedule *s);

/* schedule_rules.c */
bool schedule_gate_open(const struct schedule *s, const struct gate *g, bool adaptive);
int64_t schedule_rule_from(const struct gate *g, int64_t now_ms); /* not before, by its rate */
int64_t schedule_gate_from(const struct gate *g, int64_t now_ms); /* and by its back-off */
void schedule_gate_count(struct gate *g, int64_t now_ms);         /* one more begun */
unsigned schedule_gate_limit(const struct schedule *s, const struct gate *g);
/* Gives it the rule of its name, or none. */
bool schedule_rule_apply(struct schedule *s, struct gate *g, str_t name);
static inline struct gate *schedule_gate(struct schedule_dest *d)
{
    return d->site != NULL ? &d->site->gate : &d->gate;
}

#endif
