/* local.h: the role that hands mail to the people here: aliases, mailboxes, and what aliases send
 * on.
 *
 * Exactly once: the mailbox batch requires seen/ID absent, and only then the delivery row goes. A
 * crash between the two repeats the first, which says "already there". What an alias sends
 * elsewhere becomes `dr` deliveries of the same message in the very batch that takes the recipient
 * out of the `dl` row. A list has a delivery of its own and a turn for each page of its members
 * (list_turn.c). Bounces come this way too (post/queue_bounce.h), whoever they are for. */
#ifndef ROLES_LOCAL_LOCAL_H
#define ROLES_LOCAL_LOCAL_H

#include "post/mailbox_sweep.h"
#include "post/return_path.h"
#include "post/table.h"
#include "roles/delivery/carrier.h"
#include "roles/delivery/job.h"

/* each has up to JOB_TOGETHER deliveries in hand, whose syncs are shared */
#define LOCAL_THREADS 8
#define LOCAL_IN_HAND (LOCAL_THREADS * JOB_TOGETHER)
/* mailbox batches of one thread under way at once: each holds at most a chunk */
#define LOCAL_FLYING    32
#define LOCAL_ADDRESSES 65536 /* kept from the directory: 2 MiB */
/* when a delivery has become so many, the rest of its recipients have their turn later */
#define LOCAL_LEAVES_TURN 400
/* new dr rows in one batch; what is more stays a dl row and turns into dr next time */
#define LOCAL_REMOTE_ROWS 400
/* likewise lists; with the rows above, their own and those of the others, a batch's operations */
#define LOCAL_LIST_ROWS 40

#define LOCAL_SWEEP_ROUND_MS 86400000

struct local_sweep {          /* sweep.c; the sweeper's thread alone */
    struct mailbox_sweep box; /* the mailbox it is at, or was last */
    bool open;                /* not done with it */
    int64_t next_ms;          /* mono: the next round */
};

struct local {
    struct carrier carrier; /* first: workers are given it */
    pthread_mutex_t lock;
    struct directory_cache *directory;
    struct tables *tables;
    struct return_path paths;
    /* two deliveries of one message never fill the same mailbox at once */
    queue_id_t active[LOCAL_IN_HAND];
    bool used[LOCAL_IN_HAND];
    struct local_sweep sweep;
};

bool local_init(struct local *l, struct env *env, const struct settings *set);
void local_free(struct local *l);

/* agenda_work_fn; user is the carrier. */
void local_deliver(void *user, struct schedule_dest *d, struct schedule_entry first);

/* A piece of the sweep. False: the round is done (it begins again when sweep.next_ms has come), or
 * the store cannot be reached. */
bool local_sweep_step(struct local *l);

/* ---- between the files of this folder ---- */
void *local_sweeper(void *carrier); /* carrier.beside */
struct expansion;
struct leaf;
struct queue_rcpt leaf_rcpt(const struct leaf *l);
/* The rows that the remote leaves and the recipients from `rest` on become: into j->more, with the
 * message row. Leaves j->m as it will be. */
bool forward_rows(struct job *j, const struct expansion *x, const struct queue_rcpt *rest,
                  size_t nrest);

#endif
