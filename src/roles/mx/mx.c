/* mx.c: the mx role: from its start to its stop. */
#include "roles/mx/mx.h"

#include <stdlib.h>

#include "roles/log.h"
#include "roles/role.h"

enum {
    WORKERS_MAX = 128,   /* each may wait for core at the final dot: what group commit gathers */
    MESSAGES_MAX = 1000, /* in one session */
    JUNK_MAX = 50,       /* commands without work in a row */
    OUTPUT_STALL_MS = 300000,  /* RFC 5321 4.5.3.2.7 */
    DIRECTORY_ENTRIES = 65536, /* addresses the cache holds */
};

bool mx_init(struct mx *mx, struct env *env, const struct settings *settings)
{
    *mx = (struct mx){.env = env, .settings = settings};
    uint8_t key[16];
    env->random(env, &mx->next_session, sizeof mx->next_session);
    env->random(env, key, sizeof key);
    log_gate_init(&mx->gate, key);
    mx->directory = directory_cache_new(env, settings->subaddress_separator, DIRECTORY_ENTRIES);
    mx->smtp = (struct smtps_config){
        .hostname = settings->hostname,
        .size_max = settings->message_size_max,
        .recipients_max = settings->recipients_max,
        .messages_max = MESSAGES_MAX,
        .errors_soft = settings->errors_soft,
        .errors_hard = settings->errors_hard,
        .junk_max = JUNK_MAX,
        .idle_s = settings->idle_s,
        .data_floor_bps = settings->data_floor_bps,
    };
    mx->lmtp = mx->smtp;
    mx->lmtp.lmtp = true;
    return mx->directory != NULL;
}

void mx_free(struct mx *mx)
{
    directory_cache_free(mx->directory);
    log_gate_free(&mx->gate);
}

static bool listen_all(struct server *server, struct role *r, struct mx_listener *smtp,
                       struct mx_listener *lmtp)
{
    for (size_t i = 0; i < r->n_listeners; i++) {
        enum listener_kind kind = r->listeners[i].kind;
        if (kind != LISTEN_SMTP && kind != LISTEN_LMTP)
            continue;
        if (!server_listen(server, r->listeners[i].fd, kind == LISTEN_LMTP ? lmtp : smtp))
            return false;
    }
    return true;
}

static int serve(struct role *r, struct mx *mx)
{
    struct mx_listener smtp = {mx, false}, lmtp = {mx, true};
    const struct server_limits limits = {
        .workers_max = WORKERS_MAX,
        .connections_max = (int)r->settings->connections_max,
        .per_address_max = (int)r->settings->connections_per_address,
        .exempt = mx_trusted,
        .refuse_text = "421 4.3.2 too many connections\r\n",
        .output_stall_ms = OUTPUT_STALL_MS,
    };
    struct server *server = server_new(&mx_session_ops, &smtp, &limits);
    if (server == NULL)
        return EXIT_FAILURE;
    bool ok = listen_all(server, r, &smtp, &lmtp);
    if (ok) {
        role_wait_stop(r);
        atomic_store(&mx->stopping, true);
    } else {
        log_event("mx", STR(""), "cannot-listen", log_end);
    }
    server_stop(server);
    server_free(server);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int role_mx(struct role *r)
{
    struct mx mx;
    int status = mx_init(&mx, &r->env, r->settings) ? serve(r, &mx) : EXIT_FAILURE;
    mx_free(&mx);
    return status;
}
