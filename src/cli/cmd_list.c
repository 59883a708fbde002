/* cmd_list.c: `postrider list`: lists of any number of members (post/mailing_list.h). */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/rows.h"
#include "post/mailing_list.h"

enum { PAGE = 1000, LINE_LONGEST = 1000, PAGE_ARENA = 16 << 20 };

/* ---- create ---- */

static int create(struct cli *c, struct store *s, int argc, char **argv)
{
    struct err err = {0};
    str_t owner = STR_NONE, address = STR_NONE;
    bool verp = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--verp") == 0)
            verp = true;
        else if (strcmp(argv[i], "--owner") == 0 && i + 1 < argc)
            owner = str_c(argv[++i]);
        else if (strncmp(argv[i], "--owner=", 8) == 0)
            owner = str_c(argv[i] + 8);
        else if (argv[i][0] == '-' || address.len > 0)
            return cli_usage(c);
        else
            address = str_c(argv[i]);
    }
    if (address.len == 0)
        return cli_usage(c);
    return mailing_list_create(s, address, owner, verp, &err) == RC_OK ? CLI_OK : cli_err(c, &err);
}

/* ---- members ---- */

static int changed(struct cli *c, enum rc rc, bool drop, size_t n, const struct err *err)
{
    if (rc == RC_OK && drop && n == 0)
        return cli_fail(c, CLI_NOT_FOUND, "the list has no such member");
    if (c->json) {
        json_t *o = json_object();
        json_object_set_new(o, drop ? "removed" : "added", json_integer((json_int_t)n));
        int code = cli_print_json(o);
        return rc == RC_OK ? code : cli_err(c, err);
    }
    printf("%zu %s\n", n, drop ? "removed" : "added");
    return rc == RC_OK ? CLI_OK : cli_err(c, err);
}

static int change(struct cli *c, struct store *s, int argc, char **argv, bool drop)
{
    struct err err = {0};
    size_t n = (size_t)argc - 3, done;
    str_t *m = arena_array(&c->arena, n, sizeof *m);
    for (size_t i = 0; m != NULL && i < n; i++)
        m[i] = str_c(argv[3 + i]);
    enum rc rc = drop ? mailing_list_drop(s, str_c(argv[2]), m, n, &done, &err)
                      : mailing_list_add(s, str_c(argv[2]), m, n, &done, &err);
    return changed(c, rc, drop, done, &err);
}

/* The address in a line: what stands in <>, else all of it. Empty: there is none, or a comment. */
static str_t line_address(str_t line)
{
    size_t from, to;
    line = str_trim(line);
    if (str_starts(line, STR("#")))
        return STR_NONE;
    if (str_rfind(line, '<', &from) && str_rfind(line, '>', &to) && from < to)
        return str_first(str_from(line, from + 1), to - from - 1);
    return line;
}

/* One address a line, from standard input; page by page, so that a million of them is no matter. */
static int import(struct cli *c, struct store *s, str_t list)
{
    struct err err = {0};
    struct arena a;
    char line[LINE_LONGEST];
    str_t *m = arena_array(&c->arena, PAGE, sizeof *m);
    size_t all = 0, n = 0, done;
    enum rc rc = m != NULL ? RC_OK : RC_TEMP;
    arena_init(&a, PAGE_ARENA);
    for (bool more = true; more && rc == RC_OK;) {
        more = fgets(line, sizeof line, stdin) != NULL;
        str_t address = more ? line_address(str_c(line)) : STR_NONE;
        if (address.len > 0)
            m[n++] = arena_dup(&a, address);
        if (n < PAGE && (more || n == 0))
            continue;
        rc = mailing_list_add(s, list, m, n, &done, &err);
        all += done;
        n = 0;
        arena_reset(&a);
    }
    arena_free(&a);
    return changed(c, rc, false, all, &err);
}

static int members(struct cli *c, struct store *s, str_t list)
{
    struct mailing_list_member *m;
    struct arena a;
    char last[MAILING_LIST_AFTER_MAX];
    str_t after = STR_NONE;
    uint64_t id;
    size_t n = 0;
    bool more = true;
    enum store_rc rc = mailing_list_find(s, list, &id);
    if (rc == STORE_OK && id == 0)
        return cli_fail(c, CLI_NOT_FOUND, "there is no list " STR_FMT, STR_ARG(list));
    json_t *doc = c->json ? json_array() : NULL;
    arena_init(&a, PAGE_ARENA);
    while (rc == STORE_OK && more) {
        arena_reset(&a);
        rc = mailing_list_page(s, id, after, PAGE, &a, &m, &n, &more);
        for (size_t i = 0; rc == STORE_OK && i < n; i++) {
            if (doc != NULL)
                json_array_append_new(doc, cli_json_str(m[i].address));
            else
                printf(STR_FMT "\n", STR_ARG(cli_safe(c, m[i].address)));
            arena_reset(&c->scratch);
        }
        if (rc == STORE_OK && n > 0) {
            after = str_of(last, m[n - 1].at.len);
            memcpy(last, m[n - 1].at.ptr, m[n - 1].at.len);
        }
    }
    arena_free(&a);
    if (rc != STORE_OK) {
        json_decref(doc);
        return cli_store_error(c, rc);
    }
    return doc != NULL ? cli_print_json(doc) : CLI_OK;
}

/* ---- the command ---- */

int cmd_list(struct cli *c, int argc, char **argv)
{
    enum { LIST, CREATE, DELETE, ADD, REMOVE, MEMBERS, IMPORT, VERBS };
    static const char *const verbs[VERBS] = {"list",   "create",  "delete", "add",
                                             "remove", "members", "import"};
    static const int most[VERBS] = {[LIST] = 2, [DELETE] = 3, [MEMBERS] = 3, [IMPORT] = 3};
    static const int least[VERBS] = {[LIST] = 2,   [CREATE] = 3,  [DELETE] = 3, [ADD] = 4,
                                     [REMOVE] = 4, [MEMBERS] = 3, [IMPORT] = 3};
    struct err err = {0};
    int verb = argc > 1 ? cli_verb(c, argv[1], verbs, VERBS) : LIST;
    if (verb < 0)
        return CLI_USAGE;
    if (argc > 1 && (argc < least[verb] || (most[verb] > 0 && argc > most[verb])))
        return cli_usage(c);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    switch (verb) {
    case LIST: return cli_list_rows(c, DIRECTORY_ROW_LIST);
    case CREATE: return create(c, s, argc, argv);
    case ADD: return change(c, s, argc, argv, false);
    case REMOVE: return change(c, s, argc, argv, true);
    case MEMBERS: return members(c, s, str_c(argv[2]));
    case IMPORT: return import(c, s, str_c(argv[2]));
    default: break;
    }
    return mailing_list_delete(s, str_c(argv[2]), &err) == RC_OK ? CLI_OK : cli_err(c, &err);
}
