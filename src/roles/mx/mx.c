/* mx.c: the mx role: from its start to its stop. */
#include "roles/mx/mx.h"

#include <stdlib.h>

#include "roles/log.h"
#include "roles/role.h"

enum {
    WORKERS_MAX = 128, /* each may wait for core at the final dot: what group commit gathers */
    OUTPUT_STALL_MS = 300000, /* RFC 5321 4.5.3.2.7 */
};

bool mx_init(struct mx *mx, struct env *env, const struct settings *settings,
             struct tls_vault *vault)
{
    bool ok = smtp_common_init(&mx->common, "mx", env, settings);
    smtp_service_init(&mx->smtp, SMTP_IN_MX, &mx->common, vault);
    smtp_service_init(&mx->lmtp, SMTP_IN_LMTP, &mx->common, vault);
    smtp_service_init(&mx->local, SMTP_IN_LOCAL, &mx->common, NULL);
    return ok;
}

void mx_free(struct mx *mx)
{
    smtp_service_free(&mx->smtp);
    smtp_service_free(&mx->lmtp);
    smtp_common_free(&mx->common);
}

static struct smtp_service *service_of(struct mx *mx, enum listener_kind kind)
{
    switch (kind) {
    case LISTEN_SMTP: return &mx->smtp;
    case LISTEN_LMTP: return &mx->lmtp;
    case LISTEN_LOCAL: return &mx->local;
    case LISTEN_POP3:
    case LISTEN_ADMIN:
    case LISTEN_SUBMISSION:
    case LISTEN_SUBMISSIONS: break;
    }
    return NULL;
}

static bool listen_all(struct server *server, struct role *r, struct mx *mx)
{
    for (size_t i = 0; i < r->n_listeners; i++) {
        struct smtp_service *v = service_of(mx, r->listeners[i].kind);
        const struct server_listener l = {.fd = r->listeners[i].fd, .tag = v};
        if (v != NULL && !server_listen_on(server, &l))
            return false;
    }
    return true;
}

static int serve(struct role *r, struct mx *mx)
{
    const struct server_limits limits = {
        .workers_max = WORKERS_MAX,
        .connections_max = (int)r->settings->connections_max,
        .per_address_max = (int)r->settings->connections_per_address,
        .exempt = smtp_in_trusted,
        .refuse_text = "421 4.3.2 too many connections\r\n",
        .output_stall_ms = OUTPUT_STALL_MS,
        .per_network_max = (int)r->settings->connections_per_network,
        .per_minute_max = (int)r->settings->connections_per_minute,
        .proxied = smtp_in_proxied,
        .handlers_tell = true, /* all they wait for is core: store calls, queue_in */
    };
    struct server *server = server_new(&smtp_in_ops, &mx->smtp, &limits);
    if (server == NULL)
        return EXIT_FAILURE;
    server_stress_memory(server, smtp_in_memory(&mx->common));
    mx->common.server = server;
    bool ok = listen_all(server, r, mx);
    if (ok) {
        role_wait_stop(r);
        atomic_store(&mx->common.stopping, true);
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
    int status = mx_init(&mx, &r->env, r->settings, r->tls) ? serve(r, &mx) : EXIT_FAILURE;
    mx_free(&mx);
    return status;
}
