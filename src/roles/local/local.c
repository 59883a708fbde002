/* local.c: the role. See local.h. */
#include "roles/local/local.h"

#include <stdlib.h>
#include <sysexits.h>

#include "post/directory.h"
#include "roles/role.h"

bool local_init(struct local *l, struct env *env, const struct settings *set)
{
    *l = (struct local){0};
    pthread_mutex_init(&l->lock, NULL);
    l->directory = directory_cache_new(env, set->subaddress_separator, LOCAL_ADDRESSES);
    l->tables = tables_new(env);
    return_path_init(&l->paths, l->directory, set->srs, set->batv, set->srs_domain);
    if (l->directory != NULL && l->tables != NULL &&
        carrier_init(&l->carrier, env, set, true, local_deliver))
        return true;
    return_path_free(&l->paths);
    tables_free(l->tables);
    directory_cache_free(l->directory);
    pthread_mutex_destroy(&l->lock);
    return false;
}

void local_free(struct local *l)
{
    carrier_free(&l->carrier);
    return_path_free(&l->paths);
    tables_free(l->tables);
    directory_cache_free(l->directory);
    pthread_mutex_destroy(&l->lock);
}

static void free_late(void *kept)
{
    local_free(kept);
    free(kept);
}

int role_local(struct role *r)
{
    struct local *l = malloc(sizeof *l);
    if (l == NULL || !local_init(l, &r->env, r->settings)) {
        free(l);
        return EX_OSERR;
    }
    r->kept = l; /* hints come until the store is closed, which is after us */
    r->free_late = free_late;
    l->carrier.beside = local_sweeper;
    return carrier_run(&l->carrier, r, LOCAL_THREADS);
}
