/* cmd_serve.c: `postrider serve [--single]`: the server, in the foreground. */
#include <string.h>

#include "cli/cli.h"
#include "roles/supervisor/supervisor.h"

int cmd_serve(struct cli *c, int argc, char **argv)
{
    bool single = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--single") != 0)
            return cli_usage(c);
        single = true;
    }
    struct err err = {0};
    int code = supervisor_run(&c->settings, c->settings_text, single, &err);
    if (code != 0 && err.text[0] != '\0')
        return cli_fail(c, CLI_FAILED, "%s", err.text);
    return code;
}
