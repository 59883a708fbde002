/* schedule_impl.h: what the files of the schedule share.
 *
 * Entries are 48 bytes in slabs, named by a 32-bit index (0 is none), found by a chained hash table
 * of indexes. Each is in its destination's pairing heap: child, sibling and prev (the parent of a
 * first child, else the left sibling).
 *
 *     waiting   in the heap of its destination
 *     taken     with a worker: in no heap. `touched`: a put came meanwhile, due_ms is what it said
 *               (SCHEDULE_GONE: removed)
 */
#ifndef POST_SCHEDULE_IMPL_H
#define POST_SCHEDULE_IMPL_H

#include "base/heap.h"
#include "post/schedule.h"

#define SCHEDULE_SLAB    4096 /* entries */
#define SCHEDULE_BUCKETS 256  /* of both hash tables, at first */
#define SCHEDULE_NEVER   INT64_MAX

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

static inline struct entry *schedule_at(const struct schedule *s, uint32_t i)
{
    return &s->slabs[i / SCHEDULE_SLAB][i % SCHEDULE_SLAB];
}

/* schedule_table.c: by id, by name. */
uint32_t schedule_entry_find(const struct schedule *s, queue_id_t id, uint16_t n); /* 0: none */
uint32_t schedule_entry_new(struct schedule *s, queue_id_t id, uint16_t n); /* 0: no memory */
void schedule_entry_free(struct schedule *s, uint32_t i);
/* where it is, or would be */
struct schedule_dest **schedule_dest_link(const struct schedule *s, str_t domain);
/* made if need be; NULL: no memory */
struct schedule_dest *schedule_dest_get(struct schedule *s, str_t domain);

/* schedule_heap.c: the entries of a destination by due time. */
void schedule_dest_push(struct schedule *s, struct schedule_dest *d, uint32_t i);
void schedule_dest_pull(struct schedule *s, struct schedule_dest *d, uint32_t i);

#endif
