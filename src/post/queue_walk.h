/* queue_walk.h: all rows with a prefix, page by page. For the files of queue_admin.h. */
#ifndef POST_QUEUE_WALK_H
#define POST_QUEUE_WALK_H

#include "post/queue.h"

#define QUEUE_WALK_ARENA (16 << 20) /* a page, its rows decoded, and what is looked up for them */

struct queue_walk {
    struct store *store;
    struct store_scan scan;
    struct arena arena; /* of the page in hand */
    struct store_page page;
    bool done;
    /* a snapshot that it reads, as long as that lasts; 0: each page is of a moment of its own */
    uint64_t moment;
    char from[STORE_KEY_MAX + 1], end[STORE_KEY_MAX];
};
/* From `from` (a key of the prefix, or the prefix) to the end of the prefix. */
void queue_walk_begin(struct queue_walk *w, struct store *s, str_t prefix, uint32_t rows_max);
/* A snapshot of the queue, for w.moment of several walks; 0: it cannot be had now. It lasts for
 * STORE_SNAPSHOT_MS, which is enough for a few hundred thousand rows; what is read after that is as
 * it is then. */
uint64_t queue_moment_open(struct store *s);
void queue_moment_close(struct store *s, uint64_t moment);
/* The next page in w->page; false with STORE_OK: no more. The page before is forgotten. */
bool queue_walk_next(struct queue_walk *w, enum store_rc *rc);
void queue_walk_end(struct queue_walk *w);

#endif
