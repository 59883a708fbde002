/* route_ports.c: ports that routes name and the server may not connect to. Its sandbox is made from the
 * settings when it starts (roles/role_table.h), the tables are free to change. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "post/route.h"
#include "roles/role_table.h"

/* The port, or 0: it may. */
static uint16_t closed_port(const struct cli *c, str_t words, struct arena *a)
{
    struct route r;
    struct err err;
    bool calls = route_parse(words, a, &r, &err) && (r.kind == ROUTE_SMTP || r.kind == ROUTE_LMTP);
    return calls && r.port != 0 && !role_may_connect(ROLE_COURIER, &c->settings, r.port) ? r.port
                                                                                         : 0;
}

/* The line that the settings lack. */
static const char *lacking(struct cli *c, uint16_t port)
{
    struct buf b;
    buf_init(&b, 256);
    buf_add(&b, STR("relay_ports = {"));
    for (size_t i = 0; i < c->settings.n_relay_ports; i++)
        buf_addf(&b, "%u, ", c->settings.relay_ports[i]);
    buf_addf(&b, "%u}", port);
    const char *line = arena_cstr(&c->arena, buf_str(&b));
    buf_free(&b);
    return line;
}

int cli_route_check(struct cli *c, str_t words)
{
    uint16_t port = closed_port(c, words, &c->arena);
    if (port == 0)
        return CLI_OK;
    return cli_fail(c, CLI_FAILED,
                    "the server may not connect to port %u; to allow it put %s into %s, restart "
                    "the server, and try again",
                    port, lacking(c, port), c->config_file);
}

struct looking {
    struct cli *c;
    enum table table;
    size_t n;
    json_t *found; /* or NULL: printed */
};

static bool look(void *user, str_t key, str_t value)
{
    struct looking *l = user;
    struct cli *c = l->c;
    uint16_t port = closed_port(c, value, &c->scratch);
    if (port != 0 && l->found != NULL)
        json_array_append_new(l->found, json_pack("{s:s, s:o, s:i}", "table", table_name(l->table),
                                                  "key", cli_json_str(key), "port", (int)port));
    else if (port != 0)
        printf("table %s " STR_FMT ": the server may not connect to port %u: put %s into %s and "
               "restart it\n",
               table_name(l->table), STR_ARG(cli_safe(c, key)), port, lacking(c, port),
               c->config_file);
    l->n += port != 0;
    arena_reset(&c->scratch);
    return true;
}

/* Is there a store to be looked at, by whoever asks? */
static bool has_store(struct cli *c)
{
    str_t file = arena_fmt(&c->arena, STR_FMT "/mail.mdb", STR_ARG(c->settings.data_dir));
    const char *path = arena_cstr(&c->arena, file);
    return path != NULL && access(path, R_OK | W_OK) == 0;
}

size_t cli_routes_look(struct cli *c, json_t *found)
{
    static const enum table tables[] = {TABLE_TRANSPORT, TABLE_RELAY};
    struct looking l = {.c = c, .found = found};
    if (!has_store(c) || cli_store(c, true) == NULL)
        return 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        l.table = tables[i];
        enum store_rc rc = table_list(c->store, tables[i], look, &l);
        if (rc != STORE_OK) {
            cli_store_error(c, rc);
            break;
        }
    }
    return l.n;
}
