/* queue_suppress.h: addresses that do not exist, on the word of their own servers: mail for them is
 * not sent again for a while. In PART_QUEUE, `s/ADDRESS` (lower case, domain in A-labels).
 *
 * A row is put by the very batch that bounces the mail (bounce_class.h says which refusals count:
 * one 5.1.1 is enough, as it is a plain statement), and goes when its time is over (`suppress` in
 * the settings), when mail to the address gets through after all, or by the operator's hand. */
#ifndef POST_QUEUE_SUPPRESS_H
#define POST_QUEUE_SUPPRESS_H

#include "post/queue.h"

struct queue_suppressed {
    str_t address;
    int64_t since_ms, last_ms; /* wall clock: the first refusal and the latest */
    uint32_t count;            /* refusals */
    str_t reason; /* the latest: "mx.example.org: 550 5.1.1 …"; at most QUEUE_TEXT_MAX */
};

/* The row's key for an address as anybody writes it. Empty: it is no address that can be kept. */
str_t queue_key_suppressed(str_t address, struct arena *a);
bool queue_suppressed_encode(const struct queue_suppressed *s, struct buf *out);
/* Slices point into key and value. */
bool queue_suppressed_decode(str_t key, str_t value, struct queue_suppressed *out);

/* For the command line, page by page. Return false to stop. */
typedef bool queue_suppressed_fn(void *user, const struct queue_suppressed *s);
enum store_rc queue_suppressed_list(struct store *s, queue_suppressed_fn *fn, void *user);
/* *removed false: it was not there. */
enum store_rc queue_suppressed_remove(struct store *s, str_t address, bool *removed);
enum store_rc queue_suppressed_clear(struct store *s);

#endif
