/* courier.h: the role that carries mail to other servers: schedule (agenda.h), attempts
 * (attempt.h), outcomes, the sweeper.
 *
 *     agenda ── due ──▶ courier_deliver (a thread per active connection)
 *                         job_read      m, d and the first chunk in one get; held, not yet due,
 *                                       gone: put back
 *                         attempt_send  before the final dot: the outcome of the message before
 *                                       must be durable
 *                         job_submit    the outcome in one batch, committed while the next message
 *                                       goes out
 *                         job_finish    waits for it; conflicts are reconciled
 *
 * So one connection has at most one message that the peer may have and our rows do not say so. */
#ifndef ROLES_COURIER_COURIER_H
#define ROLES_COURIER_COURIER_H

#include "roles/courier/attempt.h"
#include "roles/delivery/carrier.h"

#define COURIER_PER_CONNECTION 100 /* messages; then others have their turn */
#define COURIER_LINGER_MS      500 /* an open connection waits so long for another message */

struct sweep {
    char at[16]; /* where the walk over c/ or m/ goes on: the id after which */
    bool started, messages;
    int64_t next_ms; /* mono: the next round */
};

struct courier {
    struct carrier carrier; /* first: workers are given it */
    struct sweep sweep;
    struct attempt_setup setup; /* .tls: NULL until there is a vault (role_courier) */
};

/* False: no memory. Then carrier_attach; then, without threads, carrier_step. */
bool courier_init(struct courier *c, struct env *env, const struct settings *set);
/* All that it owns, setup.tls too. Not before the store is closed, where hints come from threads. */
void courier_free(struct courier *c);

/* One destination's due deliveries over one connection (agenda_work_fn; user is the carrier). */
void courier_deliver(void *user, struct schedule_dest *d, struct schedule_entry first);

/* A piece of the sweeper's walk: removes chunks that nothing needs and stories that are old enough.
 * False: the round is done (it begins again when sweep.next_ms has come), or the store cannot be
 * reached. */
bool sweep_step(struct courier *c);
#define SWEEP_ABANDONED_MS 3600000 /* content without a message for so long never becomes one */
#define SWEEP_ROUND_MS     600000

#endif
