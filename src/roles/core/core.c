/* core.c: the core role: opens the store and serves it until it is asked to stop. See roles/role.h
 * and server.h.
 *
 * Channels may arrive from the runtime before the store is open; they wait here, unread, until it
 * is. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "post/return_path.h"
#include "roles/core/admin.h"
#include "roles/core/server.h"
#include "roles/core/token_ask.h"
#include "roles/log.h"
#include "store/engines.h"

enum { EARLY_MAX = 64, ADMIN_LISTENERS = 4 };

/* The one core of this process. */
static struct {
    pthread_mutex_t lock;
    struct core_server *server; /* NULL: not yet, or no more */
    bool over;
    size_t n_early;
    struct {
        int fd;
        enum role_id peer;
    } early[EARLY_MAX];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void serve(struct core_server *cs, int fd, enum role_id peer)
{
    const struct permissions *table = permissions_of(peer);
    if (table == NULL || !core_server_serve(cs, fd, table))
        log_event("core", STR_NONE, "not-served", log_u64("role", peer), log_end);
    if (table == NULL)
        close(fd);
}

void core_serve(struct role *core, int fd, enum role_id peer)
{
    (void)core;
    pthread_mutex_lock(&state.lock);
    if (state.server != NULL) {
        serve(state.server, fd, peer);
    } else if (!state.over && state.n_early < EARLY_MAX) {
        state.early[state.n_early].fd = fd;
        state.early[state.n_early++].peer = peer;
    } else {
        close(fd);
    }
    pthread_mutex_unlock(&state.lock);
}

static void open_doors(struct core_server *cs)
{
    pthread_mutex_lock(&state.lock);
    state.server = cs;
    state.over = false;
    for (size_t i = 0; i < state.n_early; i++)
        serve(cs, state.early[i].fd, state.early[i].peer);
    state.n_early = 0;
    pthread_mutex_unlock(&state.lock);
}

static void close_doors(void)
{
    pthread_mutex_lock(&state.lock);
    state.server = NULL;
    state.over = true;
    for (size_t i = 0; i < state.n_early; i++)
        close(state.early[i].fd);
    state.n_early = 0;
    pthread_mutex_unlock(&state.lock);
}

static void on_store_event(void *user, const char *line)
{
    (void)user;
    log_event("core", STR_NONE, "store", log_cstr("problem", line), log_end);
}

static void on_flush(void *user, bool queue)
{
    (void)user, (void)queue;
    core_server_flush();
}

static int run(struct role *r, struct store *engine)
{
    struct err err = {0};
    struct admin *admins[ADMIN_LISTENERS] = {0};
    size_t n_admins = 0;
    struct core_server *cs = core_server_new(engine, &r->env, &err);
    if (cs == NULL) {
        log_event("core", STR_NONE, "failed", log_cstr("reason", err.text), log_end);
        return EXIT_FAILURE;
    }
    core_server_settings(cs, r->settings);
    struct token_ask *tokens =
        r->courier != NULL ? token_ask_new(&r->env, r->settings, r->courier) : NULL;
    if (tokens != NULL)
        core_server_token_check(cs, token_ask_check, tokens);
    if (return_path_key_make(engine, &r->env) != STORE_OK)
        log_event("core", STR_NONE, "no-hmac-key",
                  log_cstr("advice", "mail that is sent on keeps its sender until the next start"),
                  log_end);
    core_server_gather(cs);
    store_lmdb_set_flush(engine, on_flush, NULL);
    open_doors(cs);
    for (size_t i = 0; i < r->n_listeners; i++)
        if (r->listeners[i].kind == LISTEN_ADMIN && n_admins < ADMIN_LISTENERS)
            admins[n_admins++] = admin_start(r, r->listeners[i].fd);
    role_wait_stop(r);
    for (size_t i = 0; i < n_admins; i++)
        admin_stop(admins[i]);
    close_doors();
    core_server_free(cs);
    token_ask_free(tokens);
    return EXIT_SUCCESS;
}

int role_core(struct role *r)
{
    struct err err = {0};
    struct store *engine = store_lmdb_open(r->data_dir_fd, on_store_event, NULL, &err);
    if (engine == NULL) {
        log_event("core", STR_NONE, "failed", log_cstr("reason", err.text), log_end);
        close_doors();
        return EXIT_FAILURE;
    }
    int status = run(r, engine);
    close_doors();
    store_close(engine);
    return status;
}
