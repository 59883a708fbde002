/* agenda_impl.h: what the files of agenda.h share. All are called with the agenda's lock held unless
 * it says otherwise.
 *
 *     agenda.c         hints and rows into the schedule; what workers call
 *     agenda_run.c     threads: workers, the one that looks after time, those that linger
 *     agenda_asked.c   courier's: the operator's rules, ETRN, why destinations wait */
#ifndef ROLES_DELIVERY_AGENDA_IMPL_H
#define ROLES_DELIVERY_AGENDA_IMPL_H

#include "roles/delivery/agenda.h"

/* A worker with an open connection that waits for more to send; on its stack. */
struct agenda_linger {
    struct agenda_linger *next;
    struct schedule_dest *dest;
    struct schedule_entry entry;
    pthread_cond_t cond;
    bool given;
};

void agenda_conds_init(struct agenda *g);
bool agenda_linger(struct agenda *g, struct schedule_dest *d, int64_t ms, struct schedule_entry *e);
void agenda_wake(struct agenda *g); /* if something is due: an idle worker, or a new one */
void agenda_clock(struct agenda *g);

/* ---- agenda_asked.c ---- */
/* A hint that is no delivery's. */
void agenda_asked_hint(struct agenda *g, part_t part, str_t key, bool deleted);
bool agenda_asked_pending(const struct agenda *g);
/* The lock is not held for these. */
enum store_rc agenda_asked_watch(struct agenda *g, store_hint_fn *hint);
enum store_rc agenda_asked_fill(struct agenda *g);           /* before deliveries are read … */
enum store_rc agenda_asked_late(struct agenda *g, bool all); /* … and after; `all` were */
/* Keeps, or takes away, the row that says why a destination waits (post/queue_wait.h). d is in the
 * caller's hands. */
void agenda_wait_keep(struct agenda *g, struct schedule_dest *d, int64_t ms, str_t reason);
void agenda_wait_forget(struct agenda *g, const struct schedule_dest *d);

#endif
