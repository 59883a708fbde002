/* directory_cache.c: see directory.h.
 *
 * A set-associative table of fixed size, allocated once. An entry is 32 bytes: no text, but a
 * second keyed hash of the address. Both hashes are SipHash-2-4 with random keys, so that nobody
 * outside can make two addresses meet, in a set or altogether. Each entry holds the generation it
 * was looked up under: a change of the directory makes all of them worthless without touching one.
 * A set that is full gives up the worthless first, then addresses that do not exist; those never
 * push out addresses that do, so a dictionary attack costs the good entries nothing. */
#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "post/directory_row.h"

enum {
    WAYS = 8,
    ENTRIES_MAX = 1 << 24, /* 512 MiB: more is a mistake */
    KEY_MAX = 1 + DIRECTORY_LOCAL_MAX + DIRECTORY_DOMAIN_MAX,
    LOOKUP_ARENA = 256 * 1024, /* an alias with all its targets */
};

struct cache_entry {
    uint64_t tag;
    uint64_t generation; /* + 1, so that 0 is an empty entry */
    uint64_t account;    /* DIRECTORY_ACCOUNT */
    uint8_t kind;
};

struct directory_cache {
    struct env *env;
    char separator;
    uint8_t key_set[16], key_tag[16];
    size_t sets;          /* a power of two */
    pthread_mutex_t lock; /* entries, next_way */
    unsigned next_way;
    struct cache_entry *entries;
};

struct directory_cache *directory_cache_new(struct env *env, char separator, size_t max_entries)
{
    struct directory_cache *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->env = env;
    c->separator = separator;
    c->sets = 1;
    if (max_entries > ENTRIES_MAX)
        max_entries = ENTRIES_MAX;
    while (c->sets * 2 * WAYS <= max_entries)
        c->sets *= 2;
    c->entries = calloc(c->sets * WAYS, sizeof *c->entries);
    if (c->entries == NULL) {
        free(c);
        return NULL;
    }
    env->random(env, c->key_set, sizeof c->key_set);
    env->random(env, c->key_tag, sizeof c->key_tag);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void directory_cache_free(struct directory_cache *c)
{
    if (c == NULL)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->entries);
    free(c);
}

static bool find(struct directory_cache *c, struct cache_entry *set, struct cache_entry *e)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < WAYS && !found; i++) {
        found = set[i].tag == e->tag && set[i].generation == e->generation;
        if (found)
            *e = set[i];
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static bool exists(uint8_t kind)
{
    return kind == DIRECTORY_ACCOUNT || kind == DIRECTORY_ALIAS;
}

/* Which entry of a set a new one replaces; NULL: it is not worth any of them. */
static struct cache_entry *victim(struct directory_cache *c, struct cache_entry *set,
                                  const struct cache_entry *e)
{
    struct cache_entry *absent = NULL;
    for (unsigned i = 0; i < WAYS; i++) {
        struct cache_entry *w = &set[(c->next_way + i) % WAYS];
        if (w->generation != e->generation || w->tag == e->tag)
            return w;
        if (absent == NULL && !exists(w->kind))
            absent = w;
    }
    if (absent != NULL || !exists(e->kind))
        return absent;
    return &set[c->next_way % WAYS];
}

static void keep(struct directory_cache *c, struct cache_entry *set, const struct cache_entry *e)
{
    pthread_mutex_lock(&c->lock);
    struct cache_entry *w = victim(c, set, e);
    c->next_way++;
    if (w != NULL)
        *w = *e;
    pthread_mutex_unlock(&c->lock);
}

/* Where an address belongs in the cache: its set, and an entry with its tag and the generation of
 * now. False: it is not one to keep. */
static bool place(struct directory_cache *c, str_t local, str_t domain, struct cache_entry **set,
                  struct cache_entry *e)
{
    const struct store_board *board = store_board(c->env->store);
    if (board == NULL || local.len > DIRECTORY_LOCAL_MAX || domain.len > DIRECTORY_DOMAIN_MAX)
        return false;
    char key[KEY_MAX];
    size_t n = 0;
    key[n++] = (char)local.len; /* no two addresses make the same key */
    for (size_t i = 0; i < local.len; i++)
        key[n++] = ascii_lower(local.ptr[i]);
    for (size_t i = 0; i < domain.len; i++)
        key[n++] = ascii_lower(domain.ptr[i]);
    /* Read before the lookup: what a change in between makes wrong is then kept under the old
     * number. */
    *e = (struct cache_entry){
        .tag = siphash24(c->key_tag, str_of(key, n)),
        .generation =
            atomic_load_explicit(&board->generation[PART_DIRECTORY], memory_order_acquire) + 1,
    };
    *set = &c->entries[(siphash24(c->key_set, str_of(key, n)) & (c->sets - 1)) * WAYS];
    return true;
}

enum store_rc directory_cache_lookup(struct directory_cache *c, str_t local, str_t domain,
                                     struct arena *a, struct directory_entry *out)
{
    struct cache_entry *set, e;
    bool keeps = place(c, local, domain, &set, &e);
    if (keeps && find(c, set, &e) && e.kind != DIRECTORY_ALIAS) {
        *out = (struct directory_entry){.kind = (enum directory_kind)e.kind, .account = e.account};
        return STORE_OK;
    }
    enum store_rc rc = directory_lookup(c->env->store, local, domain, c->separator, a, out);
    if (rc == STORE_OK && keeps) {
        e.kind = (uint8_t)out->kind;
        e.account = out->account;
        keep(c, set, &e);
    }
    out->detail = STR_NONE; /* the same answer from the cache and from the store */
    return rc;
}

enum store_rc directory_cache_kind(struct directory_cache *c, str_t local, str_t domain,
                                   enum directory_kind *out)
{
    struct cache_entry *set, e;
    if (place(c, local, domain, &set, &e) && find(c, set, &e)) {
        *out = (enum directory_kind)e.kind;
        return STORE_OK;
    }
    struct arena a;
    struct directory_entry entry = {0};
    arena_init(&a, LOOKUP_ARENA);
    enum store_rc rc = directory_cache_lookup(c, local, domain, &a, &entry);
    *out = entry.kind;
    arena_free(&a);
    return rc;
}
