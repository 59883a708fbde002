/* carrier.h: what courier and local have in common: a class of deliveries, the lease that lets them
 * change those rows, and their life as a role.
 *
 * Steps without threads, for tests: init, carrier_attach, then carrier_step as often as time moves;
 * carrier_free. */
#ifndef ROLES_DELIVERY_CARRIER_H
#define ROLES_DELIVERY_CARRIER_H

#include "post/queue_bounce.h"
#include "post/queue_event.h"
#include "roles/delivery/agenda.h"
#include "roles/delivery/suppress.h"

struct carrier {
    struct env *env;
    const struct settings *set;
    const char *role; /* for the log: "courier", "local" */
    bool local;
    struct agenda agenda;
    struct store_lease lease;
    struct suppress *suppress; /* courier's, unless it is switched off: else NULL */
    _Atomic bool lost;         /* another one holds the lease: this one must end */
    /* a thread that runs beside the workers until agenda_stopping, or NULL */
    void *(*beside)(void *carrier);
};

/* False: no memory. Asks nothing of the store yet. */
bool carrier_init(struct carrier *c, struct env *env, const struct settings *set, bool local,
                  agenda_work_fn *work);
/* Asks for hints and takes the lease, before anything else. STORE_DOWN …: try again. */
enum store_rc carrier_attach(struct carrier *c);
void carrier_free(struct carrier *c);
/* Does what is due now. The number of deliveries begun. */
size_t carrier_step(struct carrier *c);

struct role;
/* The whole life with threads: until the role is asked to stop. The exit status. The carrier stays
 * allocated: hints may still come. */
int carrier_run(struct carrier *c, struct role *r, unsigned threads_max);

/* The last of several deliveries ended: if none is left, the content goes. What is missed here is
 * found by the sweeper. */
void carrier_release(struct carrier *c, queue_id_t id);

#endif
