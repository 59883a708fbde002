/* map.c: see map.h. Chains in a table of a power of two, doubled when it holds as many entries as
 * chains. Each entry keeps its hash, so that growing hashes nothing again and a lookup compares
 * bytes only when the hash is equal. */
#include "base/map.h"

#include <stdlib.h>

enum { MAP_FIRST = 16 };

struct entry {
    struct entry *next;
    uint64_t hash;
    void *value;
    size_t len;
    char key[];
};

struct map {
    uint8_t key[16];
    size_t n, max, mask; /* mask: number of chains - 1 */
    struct entry **chains;
};

struct map *map_new(const uint8_t key[static 16], size_t max_entries)
{
    struct map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    memcpy(m->key, key, sizeof m->key);
    m->max = max_entries;
    m->mask = MAP_FIRST - 1;
    m->chains = calloc(MAP_FIRST, sizeof(struct entry *));
    if (m->chains == NULL) {
        free(m);
        return NULL;
    }
    return m;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i <= m->mask; i++)
        for (struct entry *e = m->chains[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    free(m->chains);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->n;
}

/* The link that points to the entry, or to the NULL where its chain ends. */
static struct entry **find(const struct map *m, str_t key, uint64_t hash)
{
    struct entry **at = &m->chains[hash & m->mask];
    while (*at != NULL && !((*at)->hash == hash && str_eq(str_of((*at)->key, (*at)->len), key)))
        at = &(*at)->next;
    return at;
}

void *map_get(const struct map *m, str_t key)
{
    struct entry *e = *find(m, key, siphash24(m->key, key));
    return e != NULL ? e->value : NULL;
}

/* Failing to grow only makes chains longer. */
static void grow(struct map *m)
{
    size_t mask = m->mask * 2 + 1;
    struct entry **chains = calloc(mask + 1, sizeof(struct entry *));
    if (chains == NULL)
        return;
    for (size_t i = 0; i <= m->mask; i++)
        for (struct entry *e = m->chains[i], *next; e != NULL; e = next) {
            next = e->next;
            e->next = chains[e->hash & mask];
            chains[e->hash & mask] = e;
        }
    free(m->chains);
    m->chains = chains;
    m->mask = mask;
}

bool map_put(struct map *m, str_t key, void *value)
{
    uint64_t hash = siphash24(m->key, key);
    struct entry *e = *find(m, key, hash);
    if (e != NULL) {
        e->value = value;
        return true;
    }
    size_t size;
    if (m->n >= m->max || __builtin_add_overflow(sizeof *e, key.len, &size))
        return false;
    e = malloc(size);
    if (e == NULL)
        return false;
    if (m->n > m->mask)
        grow(m);
    struct entry **chain = &m->chains[hash & m->mask];
    *e = (struct entry){.next = *chain, .hash = hash, .value = value, .len = key.len};
    if (key.len > 0)
        memcpy(e->key, key.ptr, key.len);
    *chain = e;
    m->n++;
    return true;
}

static void unlink_entry(struct map *m, struct entry **at)
{
    struct entry *e = *at;
    *at = e->next;
    free(e);
    m->n--;
}

void *map_del(struct map *m, str_t key)
{
    struct entry **at = find(m, key, siphash24(m->key, key));
    if (*at == NULL)
        return NULL;
    void *value = (*at)->value;
    unlink_entry(m, at);
    return value;
}

void map_each(struct map *m, bool (*visit)(str_t key, void *value, void *user), void *user)
{
    for (size_t i = 0; i <= m->mask; i++)
        for (struct entry **at = &m->chains[i]; *at != NULL;) {
            struct entry *e = *at;
            if (visit(str_of(e->key, e->len), e->value, user))
                unlink_entry(m, at);
            else
                at = &e->next;
        }
}
