/* carrier.c: see carrier.h. */
#include "roles/delivery/carrier.h"

#include <sysexits.h>

#include "roles/role.h"

enum { START_PAUSE_MS = 100, RELEASE_ARENA_MAX = 65536 };

bool carrier_init(struct carrier *c, struct env *env, const struct settings *set, bool local,
                  agenda_work_fn *work)
{
    *c = (struct carrier){
        .env = env, .set = set, .role = local ? "local" : "courier", .local = local};
    if (!local && set->suppress_s > 0 && (c->suppress = suppress_new(env, set->suppress_s)) == NULL)
        return false;
    if (agenda_init(&c->agenda, env, set, local, work, NULL, c))
        return true;
    suppress_free(c->suppress);
    return false;
}

enum store_rc carrier_attach(struct carrier *c)
{
    enum store_rc rc = agenda_watch(&c->agenda);
    if (rc == STORE_OK && c->suppress != NULL)
        rc = suppress_attach(c->suppress);
    if (rc != STORE_OK)
        return rc;
    return store_lease_take(c->env->store, QUEUE_PART,
                            c->local ? STR("lease/local") : STR("lease/courier"), &c->lease);
}

void carrier_free(struct carrier *c)
{
    agenda_free(&c->agenda);
    suppress_free(c->suppress);
}

size_t carrier_step(struct carrier *c)
{
    return agenda_step(&c->agenda);
}

/* ---- threads ---- */

struct service {
    struct carrier *carrier;
    unsigned threads_max;
};

/* Core may not be there yet: then it is asked again until it is. */
static void *serve(void *user)
{
    struct service *s = user;
    struct carrier *c = s->carrier;
    while (carrier_attach(c) != STORE_OK)
        if (!agenda_pause(&c->agenda, START_PAUSE_MS))
            return NULL;
    pthread_t beside;
    bool has_beside = c->beside != NULL && pthread_create(&beside, NULL, c->beside, c) == 0;
    agenda_run(&c->agenda, s->threads_max);
    if (has_beside)
        pthread_join(beside, NULL);
    return NULL;
}

int carrier_run(struct carrier *c, struct role *r, unsigned threads_max)
{
    struct service s = {c, threads_max};
    pthread_t thread;
    agenda_threaded(&c->agenda);
    if (pthread_create(&thread, NULL, serve, &s) != 0)
        return EX_OSERR;
    role_wait_stop(r);
    agenda_stop(&c->agenda);
    pthread_join(thread, NULL);
    return c->lost ? EX_TEMPFAIL : EX_OK;
}

/* ---- content ---- */

static bool none_left(struct carrier *c, queue_id_t id, bool local, struct arena *a)
{
    struct store_scan q = {.part = QUEUE_PART, .keys_only = true, .rows_max = 1};
    q.from = queue_key_prefix(local ? "dl" : "dr", id, a);
    q.end = store_prefix_end(a, q.from);
    struct store_page page;
    return store_scan(c->env->store, &q, a, &page) == STORE_OK && page.n == 0;
}

void carrier_release(struct carrier *c, queue_id_t id)
{
    struct arena a;
    arena_init(&a, RELEASE_ARENA_MAX);
    /* dl first: a delivery can turn from dl into dr, never back. */
    if (none_left(c, id, true, &a) && none_left(c, id, false, &a)) {
        struct store_batch b;
        str_t prefix = queue_key_prefix("c", id, &a);
        store_batch_init(&b, QUEUE_PART, &a);
        store_require_lease(&b, &c->lease);
        store_delete_range(&b, prefix, store_prefix_end(&a, prefix));
        enum store_rc rc = store_commit(c->env->store, &b);
        (void)rc;
    }
    arena_free(&a);
}
