/* cmd_trace.c: `postrider trace ID|ADDRESS`: what became of a message. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/story.h"
#include "post/queue_admin.h"

enum { STORIES_MAX = 20 }; /* of one address: the newest */

struct found {
    size_t n;
    queue_id_t id[STORIES_MAX];
};

static bool on_found(void *user, const struct queue_message *m)
{
    struct found *f = user;
    f->id[f->n++] = m->id;
    return f->n < STORIES_MAX;
}

/* The newest messages from or to an address, oldest first, so that the last lines are the latest
 * news. */
static int by_address(struct cli *c, str_t address)
{
    struct found f = {0};
    bool cut = false;
    enum store_rc rc = queue_find(c->store, address, QUEUE_FIND_LOOK, on_found, &f, &cut);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (f.n == 0)
        return cli_fail(c, CLI_NOT_FOUND, "no message from or to " STR_FMT " is known%s",
                        STR_ARG(cli_safe(c, address)), cut ? " among the newest 20,000" : "");
    int code = CLI_OK;
    if (c->json)
        printf("[");
    for (size_t i = f.n; i > 0 && code == CLI_OK; i--) {
        if (i < f.n)
            printf(c->json ? "," : "\n");
        code = cli_show_story(c, f.id[i - 1]);
    }
    if (c->json)
        printf("]\n");
    return code;
}

int cmd_trace(struct cli *c, int argc, char **argv)
{
    if (argc != 2)
        return cli_usage(c);
    bool address = strchr(argv[1], '@') != NULL;
    queue_id_t id = {0};
    if (!address && !queue_id_parse(str_c(argv[1]), &id))
        return cli_fail(c, CLI_USAGE,
                        "\"%s\" is neither a queue ID (16 letters and digits) nor an address",
                        argv[1]);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    return address ? by_address(c, str_c(argv[1])) : cli_show_story(c, id);
}
