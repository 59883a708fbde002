/* courier.c: the role. See courier.h. */
#include "roles/courier/courier.h"

#include <stdlib.h>
#include <sysexits.h>

#include "roles/courier/token_check.h"
#include "roles/role.h"

enum { SWEEP_PAUSE_MS = 5000 };

bool courier_init(struct courier *c, struct env *env, const struct settings *set)
{
    *c = (struct courier){.setup = {.env = env, .set = set, .tables = tables_new(env)}};
    if (c->setup.tables != NULL && carrier_init(&c->carrier, env, set, false, courier_deliver))
        return true;
    tables_free(c->setup.tables);
    return false;
}

void courier_free(struct courier *c)
{
    carrier_free(&c->carrier);
    tables_free(c->setup.tables);
    tls_client_free(c->setup.tls);
}

static void *sweeper(void *user)
{
    struct courier *c = user;
    struct carrier *k = &c->carrier;
    do {
        while (k->env->mono_ms(k->env) >= c->sweep.next_ms && !agenda_stopping(&k->agenda) &&
               sweep_step(c)) {
        }
    } while (agenda_pause(&k->agenda, SWEEP_PAUSE_MS));
    return NULL;
}

static void free_late(void *kept)
{
    courier_free(kept);
    free(kept);
}

int role_courier(struct role *r)
{
    struct courier *c = malloc(sizeof *c);
    if (c == NULL || !courier_init(c, &r->env, r->settings)) {
        free(c);
        return EX_OSERR;
    }
    r->kept = c; /* hints come until the store is closed, which is after us */
    r->free_late = free_late;
    if (r->tls != NULL && (c->setup.tls = tls_client_new(r->tls)) == NULL)
        return EX_OSERR;
    if (!token_check_start(&r->env, r->settings, r->tls))
        return EX_OSERR;
    c->carrier.beside = sweeper;
    int status = carrier_run(&c->carrier, r, r->settings->courier_threads);
    token_check_stop();
    return status;
}
