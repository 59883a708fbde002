/* local.h: the role that hands mail to the people here: aliases, mailboxes, and what aliases send on.
 *
 * Exactly once: the mailbox batch requires seen/ID absent, and only then the delivery row goes. A crash between the two repeats the first,
 * which says "already there". What an alias sends elsewhere becomes `dr` deliveries of the same message in the very batch that takes the
 * recipient out of the `dl` row. Bounces come this way too (post/queue_bounce.h), whoever they are for. */
#ifndef ROLES_LOCAL_LOCAL_H
#define ROLES_LOCAL_LOCAL_H

#include "roles/courier/carrier.h"
#include "roles/courier/job.h"

#define LOCAL_THREADS 32      /* each waits for a sync most of the time: so many share one */
#define LOCAL_LEAVES_TURN 400 /* when a delivery has become so many, the rest of its recipients have their turn later */
#define LOCAL_REMOTE_ROWS 400 /* new dr rows in one batch; what is more stays a dl row and turns into dr next time */

struct local {
    struct carrier carrier; /* first: workers are given it */
    pthread_mutex_t lock;
    queue_id_t active[LOCAL_THREADS]; /* messages in hand: two deliveries of one message never fill the same mailbox at once */
    bool used[LOCAL_THREADS];
};

bool local_init(struct local *l, struct env *env, const struct settings *set);
void local_free(struct local *l);

/* agenda_work_fn; user is the carrier. */
void local_deliver(void *user, struct schedule_dest *d, struct schedule_entry first);

/* ---- between the files of this folder ---- */
struct expansion;
/* The rows that the remote leaves and the recipients from `rest` on become: into j->more, with the message row. Leaves j->m as it will be. */
bool forward_rows(struct job *j, const struct expansion *x, const struct queue_rcpt *rest, size_t nrest);

#endif
