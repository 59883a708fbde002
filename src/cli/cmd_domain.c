/* cmd_domain.c: `postrider domain`: the domains whose mail is delivered here. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/rows.h"

int cmd_domain(struct cli *c, int argc, char **argv)
{
    enum { LIST, ADD, REMOVE, CATCHALL };
    static const char *const verbs[] = {"list", "add", "remove", "catchall"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 4);
    if (verb < 0 || argc > (verb == CATCHALL ? 4 : 3) || (verb != LIST && argc < 3))
        return verb < 0 ? CLI_USAGE : cli_usage(c);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    struct err err = {0};
    str_t domain = argc > 2 ? str_c(argv[2]) : STR_NONE;
    enum rc rc = RC_OK;
    if (verb == LIST)
        return cli_list_rows(c, DIRECTORY_ROW_DOMAIN);
    if (verb == ADD)
        rc = directory_domain_add(s, domain, &err);
    else if (verb == REMOVE)
        rc = directory_domain_remove(s, domain, &err);
    else
        rc = directory_domain_catchall(s, domain, argc > 3 ? str_c(argv[3]) : STR_NONE, &err);
    return rc == RC_OK ? CLI_OK : cli_err(c, &err);
}
