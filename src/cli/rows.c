/* rows.c: see rows.h. */
#include "cli/rows.h"

#include <stdio.h>

#include "mail/domain.h"

struct listing {
    struct cli *c;
    json_t *list; /* NULL: text */
};

/* A domain as people write it; empty: as it is stored. */
static str_t in_letters(struct cli *c, const struct directory_row *r)
{
    str_t name;
    if (r->kind != DIRECTORY_ROW_DOMAIN || !domain_to_unicode(r->name, &c->scratch, &name) ||
        str_eq(name, r->name))
        return STR_NONE;
    return name;
}

static json_t *as_json(struct cli *c, const struct directory_row *r)
{
    json_t *o = json_object();
    str_t name = in_letters(c, r);
    if (name.len > 0)
        json_object_set_new(o, "unicode", cli_json_str(name));
    json_object_set_new(o, r->kind == DIRECTORY_ROW_DOMAIN ? "domain" : "address",
                        cli_json_str(r->name));
    if (r->kind == DIRECTORY_ROW_DOMAIN)
        json_object_set_new(o, "catchall",
                            r->catchall.len ? cli_json_str(r->catchall) : json_null());
    if (r->kind == DIRECTORY_ROW_ACCOUNT)
        json_object_set_new(o, "account", json_integer((json_int_t)r->account));
    if (r->kind == DIRECTORY_ROW_ALIAS) {
        json_t *t = json_array();
        if (r->keep)
            json_array_append_new(t, cli_json_str(r->name));
        for (size_t i = 0; i < r->ntargets; i++)
            json_array_append_new(t, cli_json_str(r->targets[i]));
        json_object_set_new(o, "targets", t);
    }
    return o;
}

static void as_text(struct cli *c, const struct directory_row *r)
{
    str_t name = in_letters(c, r);
    printf(STR_FMT, STR_ARG(cli_safe(c, r->name)));
    if (name.len > 0)
        printf("  " STR_FMT, STR_ARG(cli_safe(c, name)));
    if (r->kind == DIRECTORY_ROW_DOMAIN && r->catchall.len > 0)
        printf("  (catch-all: " STR_FMT ")", STR_ARG(cli_safe(c, r->catchall)));
    if (r->keep)
        printf(" -> itself");
    for (size_t i = 0; r->kind == DIRECTORY_ROW_ALIAS && i < r->ntargets; i++)
        printf("%s" STR_FMT, i > 0 || r->keep ? ", " : " -> ", STR_ARG(cli_safe(c, r->targets[i])));
    putchar('\n');
}

static bool show(void *user, const struct directory_row *r)
{
    struct listing *l = user;
    if (l->list != NULL)
        json_array_append_new(l->list, as_json(l->c, r));
    else
        as_text(l->c, r);
    arena_reset(&l->c->scratch);
    return true;
}

int cli_list_rows(struct cli *c, int what)
{
    struct listing l = {.c = c, .list = c->json ? json_array() : NULL};
    enum store_rc rc = directory_list(c->store, what, show, &l);
    if (rc != STORE_OK) {
        json_decref(l.list);
        return cli_store_error(c, rc);
    }
    return c->json ? cli_print_json(l.list) : CLI_OK;
}
