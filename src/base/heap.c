/* heap.c: see heap.h. A binary heap in one array; entry->place is its index + 1. */
#include "base/heap.h"

#include <stdlib.h>

enum { HEAP_FIRST = 64 };

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    free(h->v);
    heap_init(h);
}

static void put(struct heap *h, size_t i, struct heap_entry *e)
{
    h->v[i] = e;
    e->place = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_entry *e)
{
    while (i > 0 && h->v[(i - 1) / 2]->due_ms > e->due_ms) {
        put(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, e);
}

static void sift_down(struct heap *h, size_t i, struct heap_entry *e)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->v[child + 1]->due_ms < h->v[child]->due_ms)
            child++;
        if (h->v[child]->due_ms >= e->due_ms)
            break;
        put(h, i, h->v[child]);
    }
    put(h, i, e);
}

/* Finds the place of e, starting from the hole at i. */
static void settle(struct heap *h, size_t i, struct heap_entry *e)
{
    if (i > 0 && h->v[(i - 1) / 2]->due_ms > e->due_ms)
        sift_up(h, i, e);
    else
        sift_down(h, i, e);
}

static bool grow(struct heap *h)
{
    size_t cap = h->cap ? h->cap * 2 : HEAP_FIRST;
    struct heap_entry **v = reallocarray(h->v, cap, sizeof *v);
    if (v == NULL)
        return false;
    h->v = v;
    h->cap = cap;
    return true;
}

bool heap_set(struct heap *h, struct heap_entry *e, int64_t due_ms)
{
    if (e->place == 0) {
        if (h->n == h->cap && !grow(h))
            return false;
        put(h, h->n++, e);
    }
    e->due_ms = due_ms;
    settle(h, e->place - 1, e);
    return true;
}

void heap_remove(struct heap *h, struct heap_entry *e)
{
    if (e->place == 0)
        return;
    size_t hole = e->place - 1;
    struct heap_entry *last = h->v[--h->n];
    e->place = 0;
    if (last != e)
        settle(h, hole, last);
}

struct heap_entry *heap_first(const struct heap *h)
{
    return h->n > 0 ? h->v[0] : NULL;
}
