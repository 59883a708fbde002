/* sendmail_queue.c: `mailq` and `sendmail -q`: what waits, in the user's folder and in the server's
 * queue. See sendmail.h. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/load.h"
#include "cli/sendmail.h"
#include "post/queue_admin.h"

enum { FLUSH_ALL = 900 /* kept messages sent by -q: a session takes 1000 */ };

/* The server's queue is the business of its owner. */
static bool owns_server(struct cli *c)
{
    struct stat st;
    cli_find_config(c);
    if (access(c->config_file, R_OK) != 0 && errno != ENOENT)
        return false;
    if (cli_load_settings(c) != CLI_OK)
        return false;
    const char *data = arena_cstr(&c->arena, c->settings.data_dir);
    return geteuid() == 0 || (data != NULL && stat(data, &st) == 0 && st.st_uid == geteuid());
}

static int list_queue(struct cli *c)
{
    char queue[] = "queue", list[] = "list";
    char *argv[] = {queue, list, NULL};
    for (size_t i = 0; i < cli_ncommands; i++)
        if (cli_commands[i].run == cmd_queue)
            c->command = &cli_commands[i];
    int code = cmd_queue(c, 2, argv);
    return code == CLI_OK ? EX_OK : code == CLI_LATER ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

static int flush_kept(struct cli *c, bool verbose)
{
    struct unsent u;
    struct submit s;
    struct err err = {0};
    struct arena a;
    char **names;
    size_t sent = 0, left = 0, aside;
    if (!unsent_open(&u, false, &err))
        return EX_OK; /* nothing was ever kept */
    arena_init(&a, 1 << 20);
    size_t n = unsent_list(&u, &a, 1, &names, &aside);
    arena_free(&a);
    int code = EX_OK;
    if (n > 0 && !submit_open(&s, c, verbose, &err)) {
        sendmail_say("the mail server does not answer (%s); what is kept in %s stays there",
                     err.text, u.path);
        code = EX_TEMPFAIL;
    } else if (n > 0) {
        code = sendmail_flush(&s, &u, FLUSH_ALL, &sent, &left);
        submit_close(&s);
        if (sent > 0 || verbose)
            printf("%zu kept messages sent\n", sent);
        if (left > 0)
            sendmail_say("%s%zu messages still wait in %s", left > 1 ? "at least " : "", left,
                         u.path);
    }
    unsent_close(&u);
    return code;
}

static int retry_all(struct cli *c, bool verbose)
{
    const struct queue_filter all = {0};
    size_t n = 0;
    if (cli_store(c, false) == NULL)
        return c->later ? EX_TEMPFAIL : EX_UNAVAILABLE;
    if (queue_change(&c->env, c->settings.hostname, &all, QUEUE_RETRY, &n) != STORE_OK) {
        sendmail_say("the queue could not be changed; try again");
        return EX_TEMPFAIL;
    }
    if (verbose)
        printf("%zu deliveries due now\n", n);
    return EX_OK;
}

/* -q: what is kept here goes to the server, and what waits there is tried now. */
int sendmail_flush_all(struct cli *c, bool verbose)
{
    int code = flush_kept(c, verbose);
    int queued = owns_server(c) ? retry_all(c, verbose) : EX_OK;
    return code != EX_OK ? code : queued;
}

static void list_kept(void)
{
    struct unsent u;
    struct err err = {0};
    struct arena a;
    char **names;
    size_t aside;
    if (!unsent_open(&u, false, &err))
        return;
    arena_init(&a, 1 << 20);
    size_t n = unsent_list(&u, &a, FLUSH_ALL, &names, &aside);
    if (n > 0)
        printf("%zu%s messages of yours wait in %s for the server: sendmail -q sends them\n", n,
               n == FLUSH_ALL ? " or more" : "", u.path);
    if (aside > 0)
        printf("%zu messages of yours were refused (or damaged): %s\n", aside, u.path);
    arena_free(&a);
    unsent_close(&u);
}

/* mailq */
int sendmail_list(struct cli *c)
{
    list_kept();
    if (owns_server(c))
        return list_queue(c);
    fprintf(stderr, "mailq: the queue is shown to the owner of the server and to root only\n");
    return EX_NOPERM;
}
