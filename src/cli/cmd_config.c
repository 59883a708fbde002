/* cmd_config.c: `postrider config show|manual`: every setting, from the one table of settings. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"

enum { OUTPUT_MAX = 1 << 20 };

int cmd_config(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"show", "manual"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 2);
    if (verb < 0 || argc > 2)
        return verb < 0 ? CLI_USAGE : cli_usage(c);
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    bool ok = verb == 0 ? settings_show(&c->settings, c->json, &out) : settings_manual(&out);
    if (ok)
        fwrite(out.ptr, 1, out.len, stdout);
    buf_free(&out);
    return ok ? CLI_OK : cli_fail(c, CLI_FAILED, "out of memory");
}
