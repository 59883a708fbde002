/* role_resolver.c: the resolver role: one struct resolver for the life of the role. See role.h.
 *
 * Clients may come before the role is ready or while it ends; they wait here. */
#include <pthread.h>
#include <unistd.h>

#include "roles/log.h"
#include "roles/resolver/resolver.h"
#include "roles/role.h"

enum { WAITING_MAX = 16 }; /* each other role once, and again */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct resolver *running;
static int waiting[WAITING_MAX];
static size_t n_waiting;

void resolver_serve(struct role *resolver, int fd, enum role_id peer)
{
    (void)resolver;
    pthread_mutex_lock(&lock);
    if (peer != ROLE_COURIER) /* nobody else has a use for names */
        close(fd);
    else if (running != NULL)
        resolver_attach(running, fd);
    else if (n_waiting < WAITING_MAX)
        waiting[n_waiting++] = fd;
    else
        close(fd);
    pthread_mutex_unlock(&lock);
}

static void set_running(struct resolver *r)
{
    pthread_mutex_lock(&lock);
    running = r;
    for (size_t i = 0; i < n_waiting; i++) {
        if (r != NULL)
            resolver_attach(r, waiting[i]);
        else
            close(waiting[i]);
    }
    n_waiting = 0;
    pthread_mutex_unlock(&lock);
}

int role_resolver(struct role *role)
{
    struct err err = {0};
    struct resolver *r = resolver_new(role->settings, &err);
    if (r == NULL) {
        log_event("resolver", STR("-"), "start-failed", log_cstr("reason", err.text), log_end);
        return 1;
    }
    set_running(r);
    role_wait_stop(role);
    set_running(NULL);
    resolver_free(r);
    return 0;
}
