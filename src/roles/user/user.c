/* user.c: the user role: from its start to its stop. See user.h and submission.h. Mail read and mail
 * handed in are two servers: neither can use up the other's workers. */
#include "roles/user/user.h"

#include <stdlib.h>

#include "roles/log.h"
#include "roles/role.h"
#include "roles/user/submission.h"
#include "store/remote.h"

enum {
    OUTPUT_STALL_MS = 300000, /* a reader that takes nothing for so long is gone */
};

static enum rc login(struct user *u, str_t name, str_t password, const struct netaddr *from,
                     uint64_t *account, struct store **session, uint32_t *hold_ms, struct err *err)
{
    return store_remote_login_password(u->env->store, name, password, from, account, session,
                                       hold_ms, err);
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

static bool in_one_of(const struct netaddr_net *nets, size_t n, const struct netaddr *peer)
{
    for (size_t i = 0; i < n; i++)
        if (netaddr_in(&nets[i], peer))
            return true;
    return false;
}

/* As the setting says: a webmail of the owner's has all people's connections. */
static bool exempt(void *user, const struct netaddr *peer)
{
    const struct settings *set = ((struct user *)user)->settings;
    return in_one_of(set->relay_networks, set->n_relay_networks, peer);
}

static bool proxied(void *user, const struct netaddr *peer)
{
    const struct settings *set = ((struct user *)user)->settings;
    return in_one_of(set->proxy_networks, set->n_proxy_networks, peer);
}

static struct server *serve_pop3(struct role *r, struct user *u, bool *ok)
{
    const struct server_limits limits = {
        .workers_max = USER_WORKERS_MAX,
        .connections_max = (int)r->settings->connections_max,
        .per_address_max = (int)r->settings->connections_per_address,
        .exempt = exempt,
        .refuse_text = "-ERR [SYS/TEMP] too many connections\r\n",
        .output_stall_ms = OUTPUT_STALL_MS,
        .per_network_max = (int)r->settings->connections_per_network,
        .per_minute_max = (int)r->settings->connections_per_minute,
        .proxied = proxied,
    };
    struct server *server = server_new(&user_session_ops, u, &limits);
    *ok = server != NULL && listen_all(server, r);
    return server;
}

static int serve(struct role *r, struct user *u, struct submission *m)
{
    bool ok;
    struct server *pop3 = serve_pop3(r, u, &ok);
    ok = ok && submission_start(m, r);
    if (ok)
        role_wait_stop(r);
    else
        log_event("user", STR(""), "cannot-listen", log_end);
    submission_stop(m);
    if (pop3 != NULL) {
        server_stop(pop3);
        server_free(pop3);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int role_user(struct role *r)
{
    struct user u;
    struct submission m;
    bool ok = user_init(&u, &r->env, r->settings);
    ok = submission_init(&m, &r->env, r->settings, r->tls) && ok;
    int status = ok ? serve(r, &u, &m) : EXIT_FAILURE;
    submission_free(&m);
    user_free(&u);
    return status;
}
