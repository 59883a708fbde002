/* cmd_table.c: `postrider table`: the operator's tables (post/table.h): routes, policies, holds,
 * limits, other addresses. */
#include <stdio.h>

#include "cli/cli.h"
#include "post/table.h"

static int no_such_table(struct cli *c, const char *word)
{
    const char *names[TABLES];
    for (int i = 0; i < TABLES; i++)
        names[i] = table_name((enum table)i);
    const char *near = cli_nearest(word, names, TABLES);
    fprintf(stderr, "postrider: there is no table \"%s\"", word);
    if (near != NULL)
        fprintf(stderr, "; did you mean \"%s\"?", near);
    fputs("\nThe tables:", stderr);
    for (int i = 0; i < TABLES; i++)
        fprintf(stderr, " %s", names[i]);
    fputc('\n', stderr);
    (void)c;
    return CLI_USAGE;
}

struct listing {
    struct cli *c;
    const char *table;
    json_t *rows; /* or NULL: printed as they come */
};

static bool list_row(void *user, str_t key, str_t value)
{
    struct listing *l = user;
    if (l->rows != NULL) {
        json_t *row = json_object();
        json_object_set_new(row, "table", json_string(l->table));
        json_object_set_new(row, "key", cli_json_str(key));
        json_object_set_new(row, "value", cli_json_str(value));
        json_array_append_new(l->rows, row);
        return true;
    }
    str_t k = cli_safe(l->c, key), v = cli_safe(l->c, value);
    printf("%-20s %-32.*s " STR_FMT "\n", l->table, STR_ARG(k), STR_ARG(v));
    arena_reset(&l->c->scratch);
    return true;
}

/* One table, or all of them. */
static int list(struct cli *c, struct store *s, int argc, char **argv)
{
    struct listing l = {.c = c, .rows = c->json ? json_array() : NULL};
    enum table only = TABLES;
    if (argc > 2 && !table_by_name(str_c(argv[2]), &only))
        return no_such_table(c, argv[2]);
    for (int i = 0; i < TABLES; i++) {
        if (only != TABLES && (int)only != i)
            continue;
        l.table = table_name((enum table)i);
        enum store_rc rc = table_list(s, (enum table)i, list_row, &l);
        if (rc != STORE_OK) {
            json_decref(l.rows);
            return cli_store_error(c, rc);
        }
    }
    return l.rows != NULL ? cli_print_json(l.rows) : CLI_OK;
}

/* The words of a value, joined as they were given. */
static str_t joined(struct cli *c, int argc, char **argv)
{
    struct buf b;
    buf_init(&b, 2 * TABLE_VALUE_MAX);
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            buf_addc(&b, ' ');
        buf_add(&b, str_c(argv[i]));
    }
    str_t value = b.failed ? STR_NONE : arena_dup(&c->arena, buf_str(&b));
    buf_free(&b);
    return value;
}

int cmd_table(struct cli *c, int argc, char **argv)
{
    enum { LIST, SET, REMOVE };
    static const char *const verbs[] = {"list", "set", "remove"};
    enum table which;
    struct err err = {0};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 3);
    if (verb < 0)
        return CLI_USAGE;
    if (verb == LIST ? argc > 3 : verb == SET ? argc < 4 : argc != 4)
        return cli_usage(c);
    if (verb != LIST && !table_by_name(str_c(argv[2]), &which))
        return no_such_table(c, argv[2]);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    if (verb == LIST)
        return list(c, s, argc, argv);
    str_t value = verb == SET ? joined(c, argc - 4, argv + 4) : STR_NONE;
    bool route = verb == SET && (which == TABLE_TRANSPORT || which == TABLE_RELAY);
    if (route && cli_route_check(c, value) != CLI_OK)
        return CLI_FAILED;
    enum rc rc = verb == SET ? table_set(s, which, str_c(argv[3]), value, &err)
                             : table_remove(s, which, str_c(argv[3]), &err);
    return rc == RC_OK ? CLI_OK : cli_err(c, &err);
}
