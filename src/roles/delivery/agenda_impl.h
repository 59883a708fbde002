/* agenda_impl.h: what agenda.c and agenda_run.c share. All are called with the agenda's lock held,
 * but the first. */
#ifndef ROLES_DELIVERY_AGENDA_IMPL_H
#define ROLES_DELIVERY_AGENDA_IMPL_H

#include "roles/delivery/agenda.h"

struct
    agenda_linger { /* a worker with an open connection that waits for more to send; on its stack */
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

#endif
