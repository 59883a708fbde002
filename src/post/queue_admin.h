/* queue_admin.h: the queue as its operator sees and changes it. For the command line.
 *
 * Reading is page by page, whatever the size of the queue. Changes are safe beside deliveries under
 * way: each requires the row as it was read and is tried again with the new row a few times; what a
 * delivery has already handed over stays handed over. */
#ifndef POST_QUEUE_ADMIN_H
#define POST_QUEUE_ADMIN_H

#include "post/bounce_class.h"
#include "post/queue.h"
#include "post/queue_event.h"

/* Which deliveries. Empty members match all. */
struct queue_filter {
    bool by_id;
    queue_id_t id;
    str_t domain;    /* of the destination or of a recipient; in A-labels, any case */
    str_t sender;    /* the reverse-path, any case; "<>" for bounces; "@domain": of that domain */
    str_t recipient; /* any case; also as first given */
    bool by_account; /* who submitted it after AUTH */
    uint64_t account;
    str_t source; /* struct queue_message.source */
    str_t reason; /* in the reason, any case … */
    bool by_class;
    enum bounce_class class; /* … or what kind of reason it is */
    bool by_state;
    enum queue_state state;
    int64_t before_ms; /* arrived before then (wall clock); 0: whenever */
};

struct queue_item {
    const struct queue_message *m; /* NULL: its row is missing or damaged */
    /* NULL: damaged; then only id, n, local are known. With a filter other than by_id such rows are
     * left out */
    const struct queue_delivery *d;
    queue_id_t id;
    uint16_t n;
    bool local;
};
/* Return false to stop. What it is given lives during the call. */
typedef bool queue_item_fn(void *user, const struct queue_item *item);
/* Every delivery that matches, oldest message first. */
enum store_rc queue_list(struct store *s, const struct queue_filter *f, queue_item_fn *fn,
                         void *user);

enum queue_change {
    QUEUE_RETRY, /* due now; held ones stay held */
    QUEUE_HOLD,
    QUEUE_RELEASE, /* and due now */
    QUEUE_REMOVE,  /* without a word to the sender */
    /* and the sender is told: 5.7.0, removed by the postmaster. Damaged deliveries cannot be
     * bounced; QUEUE_REMOVE removes them */
    QUEUE_BOUNCE,
    /* to another host, by a route's words (post/route.h), or by the domain again; and due now. Not for
     * local deliveries */
    QUEUE_ROUTE,
};
/* Changes all that match; *changed counts deliveries that really changed. Stops at the first
 * failure of the store. `hostname` is for bounces. */
enum store_rc queue_change(struct env *env, str_t hostname, const struct queue_filter *f,
                           enum queue_change what, size_t *changed);
/* QUEUE_ROUTE; `words` empty: by the domain. They are not checked here. */
enum store_rc queue_reroute(struct env *env, const struct queue_filter *f, str_t words,
                            size_t *changed);

/* The whole story of one message. */
struct queue_story {
    bool found; /* there is a message row, a delivery or an event */
    bool m_damaged;
    bool has_m;
    struct queue_message m;
    size_t ndeliveries; /* what is still to be delivered */
    struct queue_delivery *deliveries;
    size_t ndamaged; /* deliveries and events whose rows cannot be read */
    size_t nevents;  /* in the order of time */
    struct queue_event *events;
    bool truncated; /* more events than fit QUEUE_STORY_EVENTS */
};
/* the first so many: a 1,000-recipient message over five days of retries has fewer for each
 * delivery than 40 */
#define QUEUE_STORY_EVENTS 2000
enum store_rc queue_story_read(struct store *s, queue_id_t id, struct arena *a,
                               struct queue_story *out);

/* Messages from or to an address (any case), newest first. Looks at no more than `look_max`
 * messages; *cut: there were more. */
typedef bool queue_found_fn(void *user, const struct queue_message *m);
#define QUEUE_FIND_LOOK 20000
enum store_rc queue_find(struct store *s, str_t address, size_t look_max, queue_found_fn *fn,
                         void *user, bool *cut);

#endif
