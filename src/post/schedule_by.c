/* schedule_by.c: entries with a time of their own at which they come up, however long their destination
 * waits: a heap by that time, and a hash table by the entry's index. Few entries have one. */
#include <stdlib.h>

#include "base/list.h"
#include "post/schedule_impl.h"

static struct by **by_link(const struct bys *b, uint32_t i)
{
    struct by **link = &b->buckets[(size_t)(i * 2654435761u) & (b->nbuckets - 1)];
    while (*link != NULL && (*link)->entry != i)
        link = &(*link)->chain;
    return link;
}

static bool buckets_grow(struct bys *b)
{
    size_t former = b->nbuckets, n = former == 0 ? SCHEDULE_BUCKETS : former * 2;
    struct by **old = b->buckets, **v = calloc(n, sizeof(struct by *));
    if (v == NULL)
        return false;
    b->buckets = v;
    b->nbuckets = n;
    for (size_t k = 0; k < former; k++) {
        for (struct by *x = old[k], *next; x != NULL; x = next) {
            next = x->chain;
            x->chain = NULL;
            *by_link(b, x->entry) = x;
        }
    }
    free(old);
    return true;
}

bool schedule_by_set(struct schedule *s, uint32_t i, int64_t by_ms)
{
    struct entry *e = schedule_at(s, i);
    if (e->by)
        return heap_set(&s->by.heap, &(*by_link(&s->by, i))->at, by_ms);
    if (s->by.heap.n >= s->by.nbuckets && !buckets_grow(&s->by))
        return false;
    struct by *x = calloc(1, sizeof *x);
    if (x == NULL || !heap_set(&s->by.heap, &x->at, by_ms)) {
        free(x);
        return false;
    }
    x->entry = i;
    *by_link(&s->by, i) = x;
    e->by = true;
    return true;
}

void schedule_by_drop(struct schedule *s, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    if (!e->by)
        return;
    struct by **link = by_link(&s->by, i), *x = *link;
    *link = x->chain;
    heap_remove(&s->by.heap, &x->at);
    free(x);
    e->by = false;
}

uint32_t schedule_by_due(struct schedule *s)
{
    struct heap_entry *h = heap_first(&s->by.heap);
    if (h == NULL || h->due_ms > s->now_ms)
        return 0;
    uint32_t i = list_entry(h, struct by, at)->entry;
    schedule_by_drop(s, i);
    return i;
}

void schedule_by_free(struct schedule *s)
{
    for (size_t k = 0; k < s->by.nbuckets; k++) {
        while (s->by.buckets[k] != NULL) {
            struct by *x = s->by.buckets[k];
            s->by.buckets[k] = x->chain;
            free(x);
        }
    }
    free(s->by.buckets);
    heap_free(&s->by.heap);
}
