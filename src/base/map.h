/* map.h: a hash map from bytes to pointers, keyed by SipHash-2-4 so that a peer cannot make it
 * slow.
 *
 * Keys are copied; values are the caller's. Not thread-safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

/* siphash.c: SipHash-2-4. */
uint64_t siphash24(const uint8_t key[static 16], str_t in);

struct map;                                                            /* opaque */
struct map *map_new(const uint8_t key[static 16], size_t max_entries); /* NULL: out of memory */
void map_free(struct map *m);
size_t map_count(const struct map *m);
void *map_get(const struct map *m, str_t key); /* NULL: absent */
/* replaces; false: full or out of memory */
bool map_put(struct map *m, str_t key, void *value);
void *map_del(struct map *m, str_t key); /* the value removed, or NULL */
/* Visits every entry; `visit` returning true removes that entry. The map must not change otherwise
 * meanwhile. */
void map_each(struct map *m, bool (*visit)(str_t key, void *value, void *user), void *user);

#endif
