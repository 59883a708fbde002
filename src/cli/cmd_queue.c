/* cmd_queue.c: `postrider queue`: mail on its way, as its operator sees and changes it. */
#include <stdio.h>
#include <string.h>

#include "cli/queue.h"
#include "cli/story.h"
#include "post/route.h"

enum verb {
    LIST,
    SHOW,
    RETRY,
    HOLD,
    RELEASE,
    REMOVE,
    BOUNCE,
    ROUTE,
    SUSPEND,
    RESUME,
    LIMIT,
    SUPPRESSED,
    VERBS
};

static const char *const verbs[VERBS] = {
    [LIST] = "list",       [SHOW] = "show",     [RETRY] = "retry",   [HOLD] = "hold",
    [RELEASE] = "release", [REMOVE] = "remove", [BOUNCE] = "bounce", [ROUTE] = "route",
    [SUSPEND] = "suspend", [RESUME] = "resume", [LIMIT] = "limit",   [SUPPRESSED] = "suppressed"};

/* ---- changes ---- */

static int changed(struct cli *c, enum store_rc rc, size_t n, const char *done)
{
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (n == 0)
        return cli_fail(c, CLI_NOT_FOUND, "nothing in the queue matches, or it was %s already",
                        done);
    if (c->json)
        return cli_print_json(json_pack("{s:I}", "changed", (json_int_t)n));
    printf("%zu deliver%s %s\n", n, n == 1 ? "y" : "ies", done);
    return CLI_OK;
}

static int change(struct cli *c, const struct queue_words *w, enum verb verb)
{
    static const char *const done[VERBS] = {[RETRY] = "due now",
                                            [HOLD] = "held",
                                            [RELEASE] = "released",
                                            [REMOVE] = "removed",
                                            [BOUNCE] = "removed"};
    bool bounce = verb == BOUNCE || (verb == REMOVE && w->bounce);
    enum queue_change what = verb == RETRY     ? QUEUE_RETRY
                             : verb == HOLD    ? QUEUE_HOLD
                             : verb == RELEASE ? QUEUE_RELEASE
                             : bounce          ? QUEUE_BOUNCE
                                               : QUEUE_REMOVE;
    size_t n = 0;
    enum store_rc rc = queue_change(&c->env, c->settings.hostname, &w->f, what, &n);
    return changed(c, rc, n, done[verb]);
}

/* The last word is the route: "smtp relay.example:25" is one word for the shell. */
static int reroute(struct cli *c, const struct queue_words *w)
{
    struct route route;
    struct err err;
    size_t n = 0;
    str_t words = w->rest != NULL ? str_c(w->rest) : STR_NONE;
    bool none = str_eq(words, STR("none"));
    if (words.len == 0)
        return cli_usage(c);
    if (!none && !route_parse(words, &c->arena, &route, &err))
        return cli_err(c, &err);
    enum store_rc rc = queue_reroute(&c->env, &w->f, none ? STR_NONE : words, &n);
    return changed(c, rc, n, "on the new route");
}

static int of_deliveries(struct cli *c, int argc, char **argv, enum verb verb)
{
    struct queue_words w;
    int code = queue_words_parse(c, argc, argv, 2, verb == ROUTE ? 1 : 0, &w);
    if (code != CLI_OK)
        return code;
    if (verb != LIST && !w.what)
        return cli_usage(c);
    if (verb == SHOW && !w.f.by_id)
        return cli_fail(c, CLI_USAGE,
                        "`queue show` wants a queue ID; `postrider queue list --messages` shows "
                        "them");
    if (cli_store(c, verb != RETRY) == NULL)
        return cli_no_store(c);
    code = queue_words_settle(c, &w);
    if (code != CLI_OK)
        return code;
    if (verb == LIST)
        return w.messages ? queue_list_messages(c, &w) : queue_list_groups(c, &w);
    if (verb == SHOW)
        return cli_show_story(c, w.f.id);
    return verb == ROUTE ? reroute(c, &w) : change(c, &w, verb);
}

int cmd_queue(struct cli *c, int argc, char **argv)
{
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, VERBS);
    switch (verb) {
    case -1: return CLI_USAGE;
    case SUSPEND: return queue_suspend(c, argc, argv);
    case RESUME: return queue_resume(c, argc, argv);
    case LIMIT: return queue_limit(c, argc, argv);
    case SUPPRESSED: return queue_suppressed(c, argc, argv);
    default: return of_deliveries(c, argc, argv, (enum verb)verb);
    }
}
