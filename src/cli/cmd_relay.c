/* cmd_relay.c: `postrider relay`: names and passwords for smarthosts, which routes refer to by
 * auth=NAME (post/route.h). They can be set and removed; nobody but courier reads them back. */
#include <string.h>

#include "cli/cli.h"
#include "post/route.h"

int cmd_relay(struct cli *c, int argc, char **argv)
{
    enum { SET, REMOVE };
    static const char *const verbs[] = {"set", "remove"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 2);
    bool from_stdin = argc > 2 && strcmp(argv[argc - 1], "--password-stdin") == 0;
    int words = argc - from_stdin;
    if (verb < 0)
        return CLI_USAGE;
    if (words != (verb == SET ? 4 : 3))
        return cli_usage(c);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    struct err err = {0};
    struct route_credentials cred;
    if (verb == SET) {
        cred.name = str_c(argv[3]);
        if (!cli_password(c, from_stdin, &cred.password))
            return CLI_FAILED;
    }
    enum rc rc = route_credentials_set(s, str_c(argv[2]), verb == SET ? &cred : NULL, &err);
    return rc == RC_OK ? CLI_OK : cli_err(c, &err);
}
