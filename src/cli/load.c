/* load.c: see load.h. */
#include "cli/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/env.h"

static int read_file(struct cli *c, const char *path, str_t *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !c->config_given) {
        *out = STR_NONE;
        return CLI_OK;
    }
    if (fd < 0)
        return cli_fail(c, CLI_FAILED, "cannot read the configuration %s: %s", path,
                        strerror(errno));
    struct buf b;
    buf_init(&b, CLI_CONFIG_MAX);
    ssize_t n = 1;
    while (n > 0) {
        char *to = buf_room(&b, 4096);
        if (to == NULL)
            break;
        n = read(fd, to, 4096);
        b.len += n > 0 ? (size_t)n : 0;
    }
    int code = CLI_OK;
    if (n < 0)
        code =
            cli_fail(c, CLI_FAILED, "cannot read the configuration %s: %s", path, strerror(errno));
    else if (b.failed)
        code = cli_fail(c, CLI_FAILED, "the configuration %s is larger than 1 MiB", path);
    *out = arena_dup(&c->arena, buf_str(&b));
    buf_free(&b);
    close(fd);
    return code;
}

void cli_find_config(struct cli *c)
{
    if (c->config_given)
        return;
    const char *named = getenv("POSTRIDER_CONFIG");
    c->config_given = named != NULL && *named != '\0';
    c->config_file = c->config_given ? named : CLI_CONFIG_DEFAULT;
}

int cli_load_settings(struct cli *c)
{
    cli_find_config(c);
    int code = read_file(c, c->config_file, &c->settings_text);
    if (code != CLI_OK)
        return code;
    if (c->data_given != NULL) /* the last word counts, for the roles too: they read this text */
        c->settings_text = arena_fmt(&c->arena, STR_FMT "\ndata_dir = \"%s\"\n",
                                     STR_ARG(c->settings_text), c->data_given);
    struct err err = {0};
    if (settings_parse(c->settings_text, c->config_file, &c->arena, &c->settings, &err) != RC_OK)
        return cli_fail(c, CLI_FAILED, "%s", err.text);
    sys_env_init(&c->env);
    return CLI_OK;
}
