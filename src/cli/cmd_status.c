/* cmd_status.c: `postrider status`: is it running, what waits, how is the disk. */
#include <stdio.h>

#include "cli/cli.h"
#include "post/queue.h"

struct counts {
    uint64_t local, remote, held;
};

/* Counts the deliveries under one prefix, a page at a time. */
static enum store_rc count(struct cli *c, str_t prefix, uint64_t *n, uint64_t *held)
{
    struct arena a;
    arena_init(&a, 8 * (size_t)STORE_PAGE_MAX);
    char last[STORE_KEY_MAX + 1];
    struct store_scan q = {
        .part = QUEUE_PART, .from = prefix, .end = store_prefix_end(&c->arena, prefix)};
    struct store_page page = {.more = true};
    enum store_rc rc = STORE_OK;
    while (rc == STORE_OK && page.more) {
        arena_reset(&a);
        rc = store_scan(c->store, &q, &a, &page);
        for (size_t i = 0; rc == STORE_OK && i < page.n; i++) {
            struct queue_due due;
            if (queue_due_decode(page.rows[i].key, page.rows[i].value, &due) &&
                due.state == QUEUE_HELD)
                ++*held;
            ++*n;
        }
        if (rc == STORE_OK && page.n > 0) { /* on from just after the last key */
            str_t key = page.rows[page.n - 1].key;
            memcpy(last, key.ptr, key.len);
            last[key.len] = '\0';
            q.from = str_of(last, key.len + 1);
        }
    }
    arena_free(&a);
    return rc;
}

static int show(struct cli *c, const struct counts *n)
{
    const struct store_board *board = store_board(c->store);
    uint64_t free_bytes = atomic_load(&board->free_bytes);
    bool stopped = atomic_load(&board->writes_stopped) != 0;
    const char *store = stopped                                  ? "stopped"
                        : free_bytes < c->settings.reserve_bytes ? "full"
                                                                 : "good";
    if (c->json) {
        json_t *o = json_pack("{s:b, s:s, s:s, s:I, s:{s:I, s:I, s:I}}", "running", 1, "version",
                              POSTRIDER_VERSION, "store", store, "free_bytes",
                              (json_int_t)free_bytes, "queue", "local", (json_int_t)n->local,
                              "remote", (json_int_t)n->remote, "held", (json_int_t)n->held);
        return cli_print_json(o);
    }
    printf("postrider %s is running as " STR_FMT "\n", POSTRIDER_VERSION,
           STR_ARG(c->settings.hostname));
    printf("queue:  %llu for mailboxes here, %llu for other servers, %llu of them held\n",
           (unsigned long long)n->local, (unsigned long long)n->remote,
           (unsigned long long)n->held);
    if (stopped)
        printf("store:  STOPPED: the disk failed to store something. No mail is taken. See the "
               "log, check the disk, "
               "then restart the server\n");
    else
        printf("store:  %s, %llu MiB free\n", store, (unsigned long long)(free_bytes >> 20));
    return CLI_OK;
}

int cmd_status(struct cli *c, int argc, char **argv)
{
    (void)argv;
    struct counts n = {0};
    if (argc > 1)
        return cli_usage(c);
    if (cli_store(c, false) == NULL)
        return cli_no_store(c);
    enum store_rc rc = count(c, STR("dl/"), &n.local, &n.held);
    if (rc == STORE_OK)
        rc = count(c, STR("dr/"), &n.remote, &n.held);
    return rc == STORE_OK ? show(c, &n) : cli_store_error(c, rc);
}
