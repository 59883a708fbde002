/* cmd_queue.c: `postrider queue`: mail on its way, as its operator sees and changes it. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/story.h"
#include "mail/domain.h"
#include "post/queue_admin.h"

enum verb { LIST, SHOW, RETRY, HOLD, RELEASE, REMOVE };

enum { REASON_SHOWN = 200, RECIPIENTS_SHOWN = 5 }; /* on a line for a person; --json has all */

/* WHAT: an ID, --all, --held, or a domain, in U-labels too. False: it is none of them. */
static bool parse_what(struct cli *c, struct queue_filter *f, const char *word)
{
    if (strcmp(word, "--all") == 0)
        return true;
    if (strcmp(word, "--held") == 0) {
        f->by_state = true;
        f->state = QUEUE_HELD;
        return true;
    }
    if (word[0] == '-')
        return false;
    if (strlen(word) == QUEUE_ID_TEXT - 1 && strchr(word, '.') == NULL)
        return f->by_id = queue_id_parse(str_c(word), &f->id);
    return domain_to_ascii(str_c(word), &c->arena, &f->domain);
}

/* ---- list ---- */

struct listing {
    struct cli *c;
    json_t *list; /* NULL: text */
    size_t n;
    int64_t now_ms;
};

static json_t *item_json(const struct listing *l, const struct queue_item *it)
{
    char id[QUEUE_ID_TEXT];
    const struct queue_delivery *d = it->d;
    json_t *o = json_object(), *to = json_array();
    json_object_set_new(o, "id", json_string(queue_id_text(it->id, id)));
    json_object_set_new(o, "delivery", json_integer(it->n));
    json_object_set_new(o, "local", json_boolean(it->local));
    json_object_set_new(o, "from", it->m != NULL ? cli_json_str(it->m->reverse_path) : json_null());
    json_object_set_new(o, "size",
                        it->m != NULL ? json_integer((json_int_t)it->m->size) : json_null());
    json_object_set_new(o, "damaged", json_boolean(d == NULL || it->m == NULL));
    if (d != NULL) {
        for (size_t i = 0; i < d->nrcpt; i++)
            json_array_append_new(to, cli_json_str(d->rcpt[i].address));
        json_object_set_new(o, "state", json_string(queue_state_name(d->state)));
        json_object_set_new(o, "domain", cli_json_str(d->domain));
        json_object_set_new(o, "attempts", json_integer(d->attempts));
        json_object_set_new(o, "arrived_ms", json_integer(d->arrived_ms));
        json_object_set_new(o, "next_ms", json_integer(d->next_ms));
        json_object_set_new(
            o, "next_in_s",
            json_integer(d->next_ms > l->now_ms ? (d->next_ms - l->now_ms) / 1000 : 0));
        json_object_set_new(o, "reason", cli_json_str(d->reason));
    }
    json_object_set_new(o, "to", to);
    return o;
}

static void item_text(const struct listing *l, const struct queue_item *it)
{
    char id[QUEUE_ID_TEXT], age[16], next[16];
    const struct queue_delivery *d = it->d;
    struct cli *c = l->c;
    queue_id_text(it->id, id);
    if (d == NULL) {
        printf("%s  this delivery's record is damaged; `postrider queue remove %s` removes it\n",
               id, id);
        return;
    }
    cli_span(l->now_ms - d->arrived_ms, age);
    cli_span(d->next_ms - l->now_ms, next);
    printf("%s  %6s old, %s%s  " STR_FMT "  <" STR_FMT "> ->", id, age,
           d->state == QUEUE_HELD    ? "held"
           : d->next_ms <= l->now_ms ? "now"
                                     : "again in ",
           d->state == QUEUE_HELD || d->next_ms <= l->now_ms ? "" : next,
           STR_ARG(d->local ? STR("local") : cli_safe(c, d->domain)),
           STR_ARG(it->m != NULL ? cli_safe(c, it->m->reverse_path) : STR("?")));
    for (size_t i = 0; i < d->nrcpt && i < RECIPIENTS_SHOWN; i++)
        printf("%s <" STR_FMT ">", i ? "," : "", STR_ARG(cli_safe(c, d->rcpt[i].address)));
    if (d->nrcpt > RECIPIENTS_SHOWN)
        printf(" and %zu more", d->nrcpt - RECIPIENTS_SHOWN);
    putchar('\n');
    if (d->reason.len > 0)
        printf("    %u attempt%s: " STR_FMT "%s\n", d->attempts, d->attempts == 1 ? "" : "s",
               STR_ARG(cli_safe(c, str_first(d->reason, REASON_SHOWN))),
               d->reason.len > REASON_SHOWN ? "…" : "");
}

static bool on_item(void *user, const struct queue_item *it)
{
    struct listing *l = user;
    l->n++;
    if (l->list != NULL)
        json_array_append_new(l->list, item_json(l, it));
    else
        item_text(l, it);
    arena_reset(&l->c->scratch);
    return true;
}

static int list(struct cli *c, const struct queue_filter *f)
{
    struct listing l = {
        .c = c, .list = c->json ? json_array() : NULL, .now_ms = c->env.wall_ms(&c->env)};
    enum store_rc rc = queue_list(c->store, f, on_item, &l);
    if (rc != STORE_OK) {
        json_decref(l.list);
        return cli_store_error(c, rc);
    }
    if (c->json)
        return cli_print_json(l.list);
    if (l.n == 0)
        puts("nothing waits");
    return CLI_OK;
}

/* ---- changes ---- */

static int change(struct cli *c, const struct queue_filter *f, enum verb verb, bool bounce)
{
    static const char *const done[] = {
        [RETRY] = "due now", [HOLD] = "held", [RELEASE] = "released", [REMOVE] = "removed"};
    enum queue_change what = verb == RETRY     ? QUEUE_RETRY
                             : verb == HOLD    ? QUEUE_HOLD
                             : verb == RELEASE ? QUEUE_RELEASE
                             : bounce          ? QUEUE_BOUNCE
                                               : QUEUE_REMOVE;
    size_t n = 0;
    enum store_rc rc = queue_change(&c->env, c->settings.hostname, f, what, &n);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (n == 0)
        return cli_fail(c, CLI_NOT_FOUND, "nothing in the queue matches, or it was %s already",
                        done[verb]);
    if (c->json)
        return cli_print_json(json_pack("{s:I}", "changed", (json_int_t)n));
    printf("%zu deliver%s %s\n", n, n == 1 ? "y" : "ies", done[verb]);
    return CLI_OK;
}

int cmd_queue(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"list", "show", "retry", "hold", "release", "remove"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 6);
    if (verb < 0)
        return CLI_USAGE;
    struct queue_filter f = {0};
    bool bounce = false, what = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--bounce") == 0 && verb == REMOVE)
            bounce = true;
        else if (what || !parse_what(c, &f, argv[i]))
            return cli_fail(c, CLI_USAGE, "\"%s\" is no queue ID, domain, --held or --all",
                            argv[i]);
        else
            what = true;
    }
    if (verb != LIST && !what)
        return cli_usage(c);
    if (verb == SHOW && !f.by_id)
        return cli_fail(c, CLI_USAGE,
                        "`queue show` wants a queue ID; `postrider queue list` shows them");
    if (cli_store(c, verb != RETRY) == NULL)
        return cli_no_store(c);
    if (verb == LIST)
        return list(c, &f);
    return verb == SHOW ? cli_show_story(c, f.id) : change(c, &f, (enum verb)verb, bounce);
}
