/* user.c: the user role: from its start to its stop. See user.h. */
#include "roles/user/user.h"

#include <stdlib.h>

#include "roles/log.h"
#include "roles/role.h"
#include "store/remote.h"

enum {
    OUTPUT_STALL_MS = 300000, /* a reader that takes nothing for so long is gone */
};

static enum rc login(struct user *u, str_t name, str_t password, const struct netaddr *from,
                     uint64_t *account, struct store **session, uint32_t *hold_ms, struct err *err)
{
    return store_remote_login(u->env->store, name, password, from, account, session, hold_ms, err);
}

static void logout(struct user *u, struct store *session)
{
    (void)u;
    store_close(session);
}

bool user_init(struct user *u, struct env *env, const struct settings *settings)
{
    *u = (struct user){.env = env, .settings = settings, .login = login, .logout = logout};
    u->plain = (struct pop3s_config){.implementation = STR("postrider-" POSTRIDER_VERSION),
                                     .plaintext = true};
    u->closed = u->plain;
    u->closed.plaintext = false;
    uint8_t key[16];
    env->random(env, key, sizeof key);
    log_gate_init(&u->gate, key);
    uint32_t first; /* so that ids of two runs differ in the log */
    env->random(env, &first, sizeof first);
    atomic_init(&u->next_session, first);
    return user_locks_init(&u->locks, env, settings->connections_max);
}

void user_free(struct user *u)
{
    user_locks_free(&u->locks);
    log_gate_free(&u->gate);
}

static bool listen_all(struct server *server, struct role *r)
{
    for (size_t i = 0; i < r->n_listeners; i++)
        if (r->listeners[i].kind == LISTEN_POP3 && !server_listen(server, r->listeners[i].fd, NULL))
            return false;
    return true;
}

/* As the setting says: a proxy of the owner's has all people's connections. */
static bool exempt(void *user, const struct netaddr *peer)
{
    const struct settings *set = ((struct user *)user)->settings;
    for (size_t i = 0; i < set->n_relay_networks; i++)
        if (netaddr_in(&set->relay_networks[i], peer))
            return true;
    return false;
}

static int serve(struct role *r, struct user *u)
{
    const struct server_limits limits = {
        .workers_max = USER_WORKERS_MAX,
        .connections_max = (int)r->settings->connections_max,
        .per_address_max = (int)r->settings->connections_per_address,
        .exempt = exempt,
        .refuse_text = "-ERR [SYS/TEMP] too many connections\r\n",
        .output_stall_ms = OUTPUT_STALL_MS,
    };
    struct server *server = server_new(&user_session_ops, u, &limits);
    if (server == NULL)
        return EXIT_FAILURE;
    bool ok = listen_all(server, r);
    if (ok)
        role_wait_stop(r);
    else
        log_event("user", STR(""), "cannot-listen", log_end);
    server_stop(server);
    server_free(server);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int role_user(struct role *r)
{
    struct user u;
    int status = user_init(&u, &r->env, r->settings) ? serve(r, &u) : EXIT_FAILURE;
    user_free(&u);
    return status;
}
