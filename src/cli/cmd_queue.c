/* cmd_queue.c: `postrider queue`: mail on its way, as its operator sees and changes it. */
#include <stdio.h>
#include <string.h>

#include "cli/queue.h"
#include "cli/story.h"
#include "post/route.h"

static const char *const verbs[] = {
    [VERB_LIST] = "list",     [VERB_SHOW] = "show",       [VERB_RETRY] = "retry",
    [VERB_HOLD] = "hold",     [VERB_RELEASE] = "release", [VERB_REMOVE] = "remove",
    [VERB_BOUNCE] = "bounce", [VERB_ROUTE] = "route",     [VERB_SUSPEND] = "suspend",
    [VERB_RESUME] = "resume", [VERB_LIMIT] = "limit",     [VERB_SUPPRESSED] = "suppressed",
};
_Static_assert(sizeof verbs / sizeof *verbs == VERBS, "a name for each");

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

static const struct change {
    enum queue_change what;
    const char *done; /* NULL: the verb changes nothing so simple */
} changes[VERBS] = {
    [VERB_RETRY] = {QUEUE_RETRY, "due now"},      [VERB_HOLD] = {QUEUE_HOLD, "held"},
    [VERB_RELEASE] = {QUEUE_RELEASE, "released"}, [VERB_REMOVE] = {QUEUE_REMOVE, "removed"},
    [VERB_BOUNCE] = {QUEUE_BOUNCE, "removed"},
};

static int change(struct cli *c, const struct queue_words *w, enum queue_verb verb)
{
    const struct change *do_it = &changes[w->bounce ? VERB_BOUNCE : verb];
    size_t n = 0;
    must(do_it->done != NULL);
    enum store_rc rc = queue_change(&c->env, c->settings.hostname, &w->f, do_it->what, &n);
    return changed(c, rc, n, do_it->done);
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
    if (!none && cli_route_check(c, words) != CLI_OK)
        return CLI_FAILED;
    enum store_rc rc = queue_reroute(&c->env, &w->f, none ? STR_NONE : words, &n);
    return changed(c, rc, n, "on the new route");
}

static int of_deliveries(struct cli *c, int argc, char **argv, enum queue_verb verb)
{
    struct queue_words w;
    int code = queue_words_parse(c, argc, argv, verb, &w);
    if (code != CLI_OK)
        return code;
    if (verb != VERB_LIST && !w.what)
        return cli_usage(c);
    if (verb == VERB_SHOW && (!w.f.by_id || w.f.by_state))
        return cli_fail(c, CLI_USAGE,
                        "`queue show` wants a queue ID; `postrider queue list --messages` shows "
                        "them");
    if (cli_store(c, verb != VERB_RETRY) == NULL)
        return cli_no_store(c);
    code = queue_words_settle(c, &w);
    if (code != CLI_OK)
        return code;
    if (verb == VERB_LIST)
        return w.messages ? queue_list_messages(c, &w) : queue_list_groups(c, &w);
    if (verb == VERB_SHOW)
        return cli_show_story(c, w.f.id);
    return verb == VERB_ROUTE ? reroute(c, &w) : change(c, &w, verb);
}

int cmd_queue(struct cli *c, int argc, char **argv)
{
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, VERBS);
    if (verb < 0)
        return CLI_USAGE;
    switch ((enum queue_verb)verb) {
    case VERB_LIST:
    case VERB_SHOW:
    case VERB_RETRY:
    case VERB_HOLD:
    case VERB_RELEASE:
    case VERB_REMOVE:
    case VERB_BOUNCE:
    case VERB_ROUTE: return of_deliveries(c, argc, argv, (enum queue_verb)verb);
    case VERB_SUSPEND: return queue_suspend(c, argc, argv);
    case VERB_RESUME: return queue_resume(c, argc, argv);
    case VERB_LIMIT: return queue_limit(c, argc, argv);
    case VERB_SUPPRESSED: return queue_suppressed(c, argc, argv);
    case VERBS: break;
    }
    must_failed("a verb", __FILE__, __LINE__);
}
