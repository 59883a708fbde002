/* queue_list.h: a page of deliveries with their rows as read. Between queue_list.c and
 * queue_change.c. */
#ifndef POST_QUEUE_LIST_H
#define POST_QUEUE_LIST_H

#include "post/queue_admin.h"

struct queue_listed {
    struct queue_item item;
    str_t key, value;
    bool readable, has_m;
    struct queue_delivery d;
    struct queue_message m;
};
/* False: stop. *rc is what to stop with. */
typedef bool queue_listed_fn(void *user, struct queue_listed *v, size_t n, enum store_rc *rc);
/* Local ones first, each kind oldest message first. */
enum store_rc queue_list_pages(struct store *s, const struct queue_filter *f, queue_listed_fn *fn,
                               void *user);
bool queue_filter_delivery(const struct queue_filter *f, const struct queue_delivery *d,
                           struct arena *a);
/* m NULL: not known. */
bool queue_filter_message(const struct queue_filter *f, const struct queue_message *m);
bool queue_filter_needs_message(const struct queue_filter *f);

#endif
