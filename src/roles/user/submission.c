/* submission.c: see submission.h. */
#include "roles/user/submission.h"

#include "roles/role.h"

enum {
    WORKERS_MAX = 64,         /* some wait for core to check a password, others at the final dot */
    OUTPUT_STALL_MS = 300000, /* RFC 5321 4.5.3.2.7 */
};

bool submission_init(struct submission *m, struct env *env, const struct settings *settings,
                     struct tls_vault *vault)
{
    *m = (struct submission){0};
    bool ok = smtp_common_init(&m->common, "user", env, settings);
    smtp_service_init(&m->starttls, SMTP_IN_SUBMISSION, &m->common, vault);
    smtp_service_init(&m->implicit, SMTP_IN_SUBMISSIONS, &m->common, vault);
    return ok;
}

void submission_free(struct submission *m)
{
    smtp_service_free(&m->starttls);
    smtp_service_free(&m->implicit);
    smtp_common_free(&m->common);
}

static bool listen_on(struct submission *m, const struct role_listener *l)
{
    bool at_once = l->kind == LISTEN_SUBMISSIONS;
    const struct server_listener on = {
        .fd = l->fd,
        .tag = at_once ? &m->implicit : &m->starttls,
        .tls = at_once ? m->implicit.tls : NULL,
    };
    return server_listen_on(m->server, &on);
}

/* 465 never speaks in the clear: while there is no certificate its handshakes fail, which is closing.
 * Only if the TLS library has no memory for it, it is not served. */
static bool serves(const struct submission *m, enum listener_kind kind)
{
    return kind == LISTEN_SUBMISSION || (kind == LISTEN_SUBMISSIONS && m->implicit.tls != NULL);
}

bool submission_start(struct submission *m, struct role *r)
{
    const struct server_limits limits = {
        .workers_max = WORKERS_MAX,
        .connections_max = (int)r->settings->connections_max,
        .per_address_max = (int)r->settings->connections_per_address,
        .exempt = smtp_in_trusted,
        .refuse_text = "421 4.3.2 too many connections\r\n",
        .plain_text = "500 5.7.0 this is a mail server, and here it speaks TLS only\r\n",
        .output_stall_ms = OUTPUT_STALL_MS,
        .per_network_max = (int)r->settings->connections_per_network,
        .per_minute_max = (int)r->settings->connections_per_minute,
        .proxied = smtp_in_proxied,
        .handlers_tell = true, /* all they wait for is core: logins, store calls, queue_in */
    };
    bool ok = true;
    m->server = server_new(&smtp_in_ops, &m->starttls, &limits);
    if (m->server == NULL)
        return false;
    server_stress_memory(m->server, smtp_in_memory(&m->common));
    m->common.server = m->server;
    for (size_t i = 0; ok && i < r->n_listeners; i++)
        if (serves(m, r->listeners[i].kind))
            ok = listen_on(m, &r->listeners[i]);
    return ok;
}

void submission_stop(struct submission *m)
{
    atomic_store(&m->common.stopping, true);
    if (m->server == NULL)
        return;
    server_stop(m->server);
    server_free(m->server);
    m->server = m->common.server = NULL;
}
