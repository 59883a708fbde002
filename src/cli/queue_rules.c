/* queue_rules.c: what is asked of destinations: suspend, resume, limit; and addresses that are left
 * alone. */
#include <stdio.h>
#include <string.h>

#include "cli/queue.h"
#include "mail/domain.h"
#include "post/queue_suppress.h"
#include "post/table.h"

/* ---- tables by destination ---- */

struct rows {
    struct cli *c;
    struct json_stream json;
    const char *value; /* its name in JSON */
    size_t n;
};

static bool show_row(void *user, str_t key, str_t value)
{
    struct rows *r = user;
    r->n++;
    if (r->c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "destination", cli_json_str(key));
        json_object_set_new(o, r->value, cli_json_str(value));
        json_stream_add(&r->json, o);
    } else {
        printf(STR_FMT "  " STR_FMT "\n", STR_ARG(cli_safe(r->c, key)),
               STR_ARG(cli_safe(r->c, value)));
    }
    arena_reset(&r->c->scratch);
    return true;
}

static int show_rows(struct cli *c, enum table t, const char *value, const char *none)
{
    struct rows r = {.c = c, .value = value};
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    enum store_rc rc = table_list(c->store, t, show_row, &r);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (c->json)
        return json_stream_end(&r.json);
    if (r.n == 0)
        puts(none);
    return CLI_OK;
}

/* The other words, with blanks between. */
static str_t joined(struct cli *c, int argc, char **argv, int from)
{
    struct buf b;
    buf_init(&b, TABLE_VALUE_MAX);
    for (int i = from; i < argc; i++) {
        if (i > from)
            buf_addc(&b, ' ');
        buf_add(&b, str_c(argv[i]));
    }
    str_t s = arena_dup(&c->arena, buf_str(&b));
    buf_free(&b);
    return s;
}

/* NAME, .PARENT or *, as a table's key. */
static bool destination(struct cli *c, const char *word, str_t *key)
{
    bool below = word[0] == '.' && word[1] != '\0';
    str_t name;
    if (strcmp(word, "*") == 0) {
        *key = STR("*");
        return true;
    }
    if (word[0] == '-' || !domain_to_ascii(str_c(below ? word + 1 : word), &c->arena, &name))
        return false;
    *key = below ? arena_fmt(&c->arena, "." STR_FMT, STR_ARG(name)) : name;
    return name.len > 0;
}

static int said(struct cli *c, enum rc rc, const struct err *err, const char *what, str_t key)
{
    if (rc != RC_OK)
        return cli_err(c, err);
    if (c->json)
        return cli_print_json(
            json_pack("{s:s, s:o}", "done", what, "destination", cli_json_str(key)));
    printf(STR_FMT " %s\n", STR_ARG(cli_safe(c, key)), what);
    return CLI_OK;
}

int queue_suspend(struct cli *c, int argc, char **argv)
{
    str_t key, why = STR("by the operator");
    struct err err;
    if (argc == 2)
        return show_rows(c, TABLE_SUSPEND, "reason", "no destination is suspended");
    if (!destination(c, argv[2], &key))
        return cli_fail(c, CLI_USAGE, "\"%s\" is no domain and no host", argv[2]);
    if (argc > 3)
        why = joined(c, argc, argv, 3);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    return said(c, table_set(c->store, TABLE_SUSPEND, key, why, &err), &err, "suspended", key);
}

int queue_resume(struct cli *c, int argc, char **argv)
{
    str_t key;
    struct err err;
    if (argc != 3)
        return cli_usage(c);
    if (!destination(c, argv[2], &key))
        return cli_fail(c, CLI_USAGE, "\"%s\" is no domain and no host", argv[2]);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    return said(c, table_remove(c->store, TABLE_SUSPEND, key, &err), &err, "resumed", key);
}

int queue_limit(struct cli *c, int argc, char **argv)
{
    str_t key;
    struct err err;
    struct table_limit limit;
    if (argc == 2)
        return show_rows(c, TABLE_LIMIT, "limits", "no destination has a limit of its own");
    if (!destination(c, argv[2], &key))
        return cli_fail(c, CLI_USAGE, "\"%s\" is no domain and no host", argv[2]);
    bool none = argc == 4 && strcmp(argv[3], "none") == 0;
    if (argc < 4 || argc > 5)
        return cli_usage(c);
    str_t words = joined(c, argc, argv, 3);
    if (!none && !table_limit_parse(words, &limit, &err))
        return cli_fail(c, CLI_USAGE, "%s; none takes it away", err.text);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    if (none)
        return said(c, table_remove(c->store, TABLE_LIMIT, key, &err), &err, "has no limit now",
                    key);
    return said(c, table_set(c->store, TABLE_LIMIT, key, words, &err), &err, "limited", key);
}

/* ---- addresses that do not exist ---- */

struct suppressed {
    struct cli *c;
    struct json_stream json;
    int64_t now_ms;
    size_t n;
};

static bool show_suppressed(void *user, const struct queue_suppressed *s)
{
    struct suppressed *l = user;
    char since[32];
    struct cli *c = l->c;
    if (l->now_ms - s->last_ms >= (int64_t)c->settings.suppress_s * 1000)
        return true; /* it means nothing any more */
    l->n++;
    if (c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "address", cli_json_str(s->address));
        json_object_set_new(o, "since_ms", json_integer(s->since_ms));
        json_object_set_new(o, "last_ms", json_integer(s->last_ms));
        json_object_set_new(o, "until_ms",
                            json_integer(s->last_ms + (int64_t)c->settings.suppress_s * 1000));
        json_object_set_new(o, "count", json_integer(s->count));
        json_object_set_new(o, "reason", cli_json_str(s->reason));
        json_stream_add(&l->json, o);
    } else {
        printf(STR_FMT "  since %s, %u time%s: " STR_FMT "\n", STR_ARG(cli_safe(c, s->address)),
               cli_time(s->since_ms, since), s->count, s->count == 1 ? "" : "s",
               STR_ARG(cli_safe(c, s->reason)));
    }
    arena_reset(&c->scratch);
    return true;
}

static int suppressed_list(struct cli *c)
{
    struct suppressed l = {.c = c, .now_ms = c->env.wall_ms(&c->env)};
    enum store_rc rc = queue_suppressed_list(c->store, show_suppressed, &l);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (c->json)
        return json_stream_end(&l.json);
    if (l.n == 0)
        puts("no address is suppressed");
    return CLI_OK;
}

static int suppressed_remove(struct cli *c, const char *address)
{
    bool removed;
    enum store_rc rc = queue_suppressed_remove(c->store, str_c(address), &removed);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (!removed)
        return cli_fail(c, CLI_NOT_FOUND, "%s is not suppressed", address);
    if (c->json)
        return cli_print_json(json_pack("{s:o}", "removed", cli_json_str(str_c(address))));
    printf("mail for " STR_FMT " is sent again\n", STR_ARG(cli_safe(c, str_c(address))));
    return CLI_OK;
}

int queue_suppressed(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"list", "remove", "clear"};
    int verb = argc == 2 ? 0 : cli_verb(c, argv[2], verbs, 3);
    if (verb < 0)
        return CLI_USAGE;
    if (argc != (verb == 1 ? 4 : 3) && argc != 2)
        return cli_usage(c);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    if (verb == 0)
        return suppressed_list(c);
    if (verb == 1)
        return suppressed_remove(c, argv[3]);
    enum store_rc rc = queue_suppressed_clear(c->store);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (c->json)
        return cli_print_json(json_pack("{s:b}", "cleared", 1));
    puts("no address is suppressed any more");
    return CLI_OK;
}
