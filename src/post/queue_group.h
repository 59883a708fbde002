/* queue_group.h: the queue in sums: how much waits where, why, since when and until when. For the
 * command line.
 *
 * One walk over the deliveries, page by page; what is kept is a table of at most QUEUE_GROUPS groups.
 * Deliveries come oldest first, so with more groups than that the oldest are told apart and the rest
 * is summed up as one. */
#ifndef POST_QUEUE_GROUP_H
#define POST_QUEUE_GROUP_H

#include "post/queue_admin.h"

#define QUEUE_GROUPS 20000 /* with their texts well under 16 MiB */

enum queue_group_by {
    QUEUE_BY_DESTINATION, /* and within it by reason */
    QUEUE_BY_REASON,
    QUEUE_BY_CLASS,
    QUEUE_BY_SOURCE,
    QUEUE_BY_SENDER,
};

struct queue_group {
    /* The destination ("" is local; with a route of its own "domain via words"), the reason as far as
     * it is the same for many (without host and numbers), the class, source or sender; empty for what
     * has none. */
    str_t name;
    str_t reason;  /* QUEUE_BY_DESTINATION: the reason within it */
    str_t domain;  /* QUEUE_BY_DESTINATION: as rows have it */
    str_t example; /* the reason of the oldest, as it is */
    bool others;   /* all that are not told apart */
    /* QUEUE_BY_DESTINATION: it is the first of its destination, which has so many in all */
    bool first;
    uint64_t dest_deliveries;
    int64_t dest_oldest_ms;
    uint64_t deliveries, recipients, held, damaged;
    uint64_t tried;    /* of the deliveries: those that were tried */
    int64_t oldest_ms; /* arrival of the oldest */
    int64_t next_ms;   /* when the first of them is due, if any is not held: else INT64_MAX */
};

/* Calls `fn` for each group: by destination those of one stand together, destinations by their oldest,
 * then reasons by theirs; else by number. Slices live during the call. */
typedef bool queue_group_fn(void *user, const struct queue_group *g);
enum store_rc queue_groups(struct store *s, const struct queue_filter *f, enum queue_group_by by,
                           queue_group_fn *fn, void *user);

/* "mx.far.test: 450 4.2.0 try in 300 s, id 4711" gives "450 4.2.0 try in # s, id #". */
str_t queue_reason_common(str_t reason, struct arena *a);

#endif
