/* queue_wait.h: why and until when a whole destination waits: what courier found out and keeps for
 * whoever looks at the queue. In PART_QUEUE, `b/DOMAIN`.
 *
 * Nothing is decided by these rows: the schedule is in courier's memory. They are written lazily
 * when a destination begins to wait, go when it is reached again, and mean nothing once `until_ms`
 * has passed (then courier removes them, now and then). */
#ifndef POST_QUEUE_WAIT_H
#define POST_QUEUE_WAIT_H

#include "post/queue.h"

struct queue_wait {
    str_t domain;
    int64_t until_ms; /* wall clock */
    str_t site;       /* the host that serves it, or empty */
    str_t reason;     /* at most QUEUE_TEXT_MAX bytes are kept */
};

str_t queue_key_wait(str_t domain, struct arena *a);
bool queue_wait_encode(const struct queue_wait *w, struct buf *out);
/* Slices point into key and value. */
bool queue_wait_decode(str_t key, str_t value, struct queue_wait *out);
/* That of a domain; *found false: none, or it is over. */
enum store_rc queue_wait_read(struct env *env, str_t domain, struct arena *a, bool *found,
                              struct queue_wait *out);

#endif
