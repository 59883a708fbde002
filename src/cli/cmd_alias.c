/* cmd_alias.c: `postrider alias`: addresses that stand for others. */
#include "cli/cli.h"
#include "cli/rows.h"

int cmd_alias(struct cli *c, int argc, char **argv)
{
    enum { LIST, SET, REMOVE };
    static const char *const verbs[] = {"list", "set", "remove"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 3);
    if (verb < 0)
        return CLI_USAGE;
    if (argc < (verb == LIST ? 2 : verb == SET ? 4 : 3) || (verb == REMOVE && argc > 3))
        return cli_usage(c);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    if (verb == LIST)
        return cli_list_rows(c, DIRECTORY_ROW_ALIAS);
    struct err err = {0};
    enum rc rc;
    if (verb == REMOVE) {
        rc = directory_alias_remove(s, str_c(argv[2]), &err);
    } else {
        size_t n = (size_t)argc - 3;
        str_t *targets = arena_array(&c->arena, n, sizeof *targets);
        for (size_t i = 0; targets != NULL && i < n; i++)
            targets[i] = str_c(argv[3 + i]);
        rc = directory_alias_set(s, str_c(argv[2]), targets, n, &err);
    }
    return rc == RC_OK ? CLI_OK : cli_err(c, &err);
}
