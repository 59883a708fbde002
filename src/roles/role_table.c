/* role_table.c: see role_table.h. */
#include "roles/role_table.h"

#include "base/url.h"

#define LISTENS(kind) (1u << (kind))

const struct role_row role_table[ROLE_COUNT] = {
    /* The supervisor has no sandbox of this kind: it must start processes. It drops capabilities
     * instead. */
    [ROLE_SUPERVISOR] = {.name = "supervisor"},
    /* Accepts on its own control socket in the data folder, and on nothing else: it is given no
     * other. */
    [ROLE_CORE] = {.name = "core",
                   .may = SANDBOX_FILES | SANDBOX_ACCEPT,
                   .listeners = LISTENS(LISTEN_ADMIN),
                   .data_dir = true,
                   .courier = true,
                   .stop_stage = 2},
    [ROLE_RESOLVER] = {.name = "resolver", .may = SANDBOX_UDP | SANDBOX_CONNECT, .stop_stage = 2},
    [ROLE_MX] = {.name = "mx",
                 .may = SANDBOX_ACCEPT,
                 .listeners = LISTENS(LISTEN_SMTP) | LISTENS(LISTEN_LMTP) | LISTENS(LISTEN_LOCAL),
                 .core = true,
                 .tls = ROLE_TLS_PAIRS,
                 .stop_stage = 0},
    [ROLE_USER] = {.name = "user",
                   .may = SANDBOX_ACCEPT,
                   .listeners = LISTENS(LISTEN_POP3) | LISTENS(LISTEN_SUBMISSION) |
                                LISTENS(LISTEN_SUBMISSIONS),
                   .core = true,
                   .tls = ROLE_TLS_PAIRS,
                   .stop_stage = 0},
    [ROLE_COURIER] = {.name = "courier",
                      .may = SANDBOX_CONNECT,
                      .core = true,
                      .resolver = true,
                      .tls = ROLE_TLS_AUTHORITIES,
                      .stop_stage = 1},
    [ROLE_LOCAL] = {.name = "local", .may = 0, .core = true, .stop_stage = 1},
};

bool role_by_name(const char *name, enum role_id *id)
{
    for (int i = ROLE_SUPERVISOR + 1; i < ROLE_COUNT; i++)
        if (strcmp(role_table[i].name, name) == 0) {
            *id = (enum role_id)i;
            return true;
        }
    return false;
}

static void add_port(struct sandbox *s, uint16_t port)
{
    for (size_t i = 0; i < s->n_ports; i++)
        if (s->ports[i] == port)
            return;
    must(s->n_ports < SANDBOX_PORTS_MAX);
    s->ports[s->n_ports++] = port;
}

/* SMTP, submission by two ways, LMTP: what is set in tables while we run can name them. Others are to
 * be in the settings. */
static const uint16_t usual_ports[] = {25, 465, 587, 24};

_Static_assert(
    SANDBOX_PORTS_MAX >=
        SETTINGS_LIST_MAX + SETTINGS_PORTS_MAX + sizeof usual_ports / sizeof *usual_ports + 2,
    "a port for each route, relay_ports, the usual ones, smtp_client_port, an OAuth endpoint's");

struct sandbox role_sandbox(enum role_id id, const struct settings *set, int data_dir_fd)
{
    struct sandbox s = {.may = role_table[id].may,
                        .dir_fd = role_table[id].data_dir ? data_dir_fd : -1};
    if (id == ROLE_RESOLVER) {
        add_port(&s, 53);
        for (size_t i = 0; i < set->n_dns_servers; i++)
            if (set->dns_servers[i].port != 0)
                add_port(&s, set->dns_servers[i].port);
    }
    if (id == ROLE_COURIER) {
        for (size_t i = 0; i < sizeof usual_ports / sizeof *usual_ports; i++)
            add_port(&s, usual_ports[i]);
        add_port(&s, set->smtp_client_port != 0 ? set->smtp_client_port : 25);
        for (size_t i = 0; i < set->n_routes; i++)
            add_port(&s, set->routes[i].port != 0 ? set->routes[i].port : 25);
        for (size_t i = 0; i < set->n_relay_ports; i++)
            add_port(&s, set->relay_ports[i]);
        struct url oauth;
        if (url_parse(settings_oauth_url(set), &oauth))
            add_port(&s, oauth.port);
    }
    return s;
}

bool role_may_connect(enum role_id id, const struct settings *set, uint16_t port)
{
    struct sandbox s = role_sandbox(id, set, -1);
    for (size_t i = 0; i < s.n_ports; i++)
        if (s.ports[i] == port)
            return true;
    return (s.may & SANDBOX_CONNECT) != 0 && s.n_ports == 0;
}
