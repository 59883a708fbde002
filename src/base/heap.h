/* heap.h: a timer heap: which of many things is due first. Intrusive: an entry is a member of the
 * caller's struct and carries its own place, so moving and removing need no search. Not
 * thread-safe. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_entry {
    int64_t due_ms;
    size_t place; /* 0: not in a heap; else index + 1 */
};

struct heap {
    struct heap_entry **v;
    size_t n, cap;
};

void heap_init(struct heap *h);
/* entries are untouched */
void heap_free(struct heap *h);
/* adds or moves; false: out of memory */
bool heap_set(struct heap *h, struct heap_entry *e, int64_t due_ms);
void heap_remove(struct heap *h, struct heap_entry *e); /* nothing if not in it */
struct heap_entry *heap_first(const struct heap *h);    /* NULL: empty */

#endif
