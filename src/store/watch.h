/* watch.h: who wants to hear of which rows, for engines. A table that only grows: firing takes no
 * lock.
 *
 * Hints of a range delete cannot be read off its batch, so the engine collects the keys it deletes
 * in a struct hints and fires them with the rest, once the batch counts. */
#ifndef STORE_WATCH_H
#define STORE_WATCH_H

#include <pthread.h>

#include "base/buf.h"
#include "store/store.h"

#define WATCH_MAX       16        /* of one store: one or two a role */
#define WATCH_VALUE_MAX 4096      /* a longer value is not sent along */
#define HINTS_MAX       (1 << 20) /* bytes of collected keys; beyond, "hints were lost" */

struct watch {
    part_t part;
    size_t prefix_len;
    char prefix[STORE_KEY_MAX];
    store_hint_fn *fn;
    void *user;
};

struct watches {
    pthread_mutex_t lock; /* of adding */
    _Atomic size_t n;     /* entries below n do not change any more */
    struct watch v[WATCH_MAX];
};

void watches_init(struct watches *w);
void watches_free(struct watches *w);
enum store_rc watches_add(struct watches *w, part_t part, str_t prefix, store_hint_fn *fn,
                          void *user);
/* Tells of every put and delete of a batch that was applied (its numbers are set), but for its
 * range deletes. */
void watches_batch(struct watches *w, const struct store_batch *b);

/* Keys that range deletes removed. */
struct hints {
    struct buf keys;
    bool lost; /* one did not fit: everybody is told to scan again */
};

void hints_init(struct hints *h);
void hints_free(struct hints *h);
/* kept only if somebody watches it */
void hints_add(struct hints *h, struct watches *w, part_t part, str_t key);
/* Tells of the keys collected between two lengths of h->keys. */
void hints_fire(const struct hints *h, size_t from, size_t to, struct watches *w);
/* Tells everybody to scan again if a key was lost since, then forgets what was collected from
 * `from` on. */
void hints_end(struct hints *h, size_t from, struct watches *w);
/* forgets keys silently; that one was lost is still told some time */
void hints_drop(struct hints *h, size_t from);

#endif
