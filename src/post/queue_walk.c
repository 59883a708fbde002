/* queue_walk.c: see queue_walk.h. */
#include "post/queue_walk.h"

void queue_walk_begin(struct queue_walk *w, struct store *s, str_t prefix, uint32_t rows_max)
{
    *w = (struct queue_walk){.store = s};
    arena_init(&w->arena, QUEUE_WALK_ARENA);
    memcpy(w->from, prefix.ptr, prefix.len);
    str_t end = store_prefix_end(&w->arena, prefix);
    memcpy(w->end, end.ptr, end.len);
    w->scan = (struct store_scan){.part = QUEUE_PART,
                                  .from = str_of(w->from, prefix.len),
                                  .end = str_of(w->end, end.len),
                                  .rows_max = rows_max};
}

bool queue_walk_next(struct queue_walk *w, enum store_rc *rc)
{
    *rc = STORE_OK;
    if (w->done)
        return false;
    if (w->page.n > 0 && w->scan.backwards) {
        str_t last = w->page.rows[w->page.n - 1].key;
        memcpy(w->end, last.ptr, last.len);
        w->scan.end.len = last.len;
    } else if (w->page.n > 0) { /* just after it */
        str_t last = w->page.rows[w->page.n - 1].key;
        memcpy(w->from, last.ptr, last.len);
        w->from[last.len] = 0;
        w->scan.from.len = last.len + 1;
    }
    arena_reset(&w->arena);
    w->scan.snapshot = w->moment;
    *rc = store_scan(w->store, &w->scan, &w->arena, &w->page);
    if (*rc == STORE_EXPIRED && w->moment != 0) {
        w->scan.snapshot = w->moment = 0;
        *rc = store_scan(w->store, &w->scan, &w->arena, &w->page);
    }
    w->done = *rc != STORE_OK || !w->page.more;
    return *rc == STORE_OK && w->page.n > 0;
}

void queue_walk_end(struct queue_walk *w)
{
    arena_free(&w->arena);
}

uint64_t queue_moment_open(struct store *s)
{
    uint64_t moment = 0;
    return store_snapshot_open(s, QUEUE_PART, &moment) == STORE_OK ? moment : 0;
}

void queue_moment_close(struct store *s, uint64_t moment)
{
    if (moment != 0)
        store_snapshot_close(s, moment);
}
