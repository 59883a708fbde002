/* arena.h: memory that is freed all at once. One per session, one per transaction.
 *
 * arena_alloc gives zeroed, 16-byte aligned memory, or NULL once the arena's maximum is reached or
 * memory is out (`failed` is then set and sticks until reset). Nothing is freed by hand. Not
 * thread-safe: one owner. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used, max;           /* bytes handed out, and their limit */
    bool failed;
};

void arena_init(struct arena *a, size_t max); /* allocates nothing yet */
/* releases everything; usable again as after arena_init */
void arena_free(struct arena *a);
void arena_reset(struct arena *a); /* as arena_free, but may keep one block for reuse */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size); /* n * size, checked for overflow */
str_t arena_dup(struct arena *a, str_t s);  /* STR_NONE if it fails (check a->failed) */
char *arena_cstr(struct arena *a, str_t s); /* NUL-terminated copy; NULL if it fails */
str_t arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
