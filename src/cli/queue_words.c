/* queue_words.c: which deliveries of the queue are meant. See queue.h. */
#include <stdio.h>
#include <string.h>

#include "cli/queue.h"
#include "mail/domain.h"
#include "post/directory.h"

enum { SHOWN_DEFAULT = 50 };

/* WHAT: an ID, --all, --held, or a domain, in U-labels too. False: it is none of them. */
static bool parse_what(struct cli *c, struct queue_words *w, const char *word)
{
    if (strcmp(word, "--all") == 0)
        return true;
    if (strcmp(word, "--held") == 0) {
        w->f.by_state = true;
        w->f.state = QUEUE_HELD;
        return true;
    }
    if (word[0] == '-')
        return false;
    if (strlen(word) == QUEUE_ID_TEXT - 1 && strchr(word, '.') == NULL)
        return w->messages = w->f.by_id = queue_id_parse(str_c(word), &w->f.id);
    return domain_to_ascii(str_c(word), &c->arena, &w->f.domain);
}

static bool parse_by(struct queue_words *w, str_t v)
{
    static const char *const names[] = {"destination", "reason", "class", "source", "sender"};
    for (int i = 0; i < 5; i++)
        if (str_eq(v, str_c(names[i]))) {
            w->by = (enum queue_group_by)i;
            return true;
        }
    return false;
}

static bool parse_state(struct queue_filter *f, str_t v)
{
    f->by_state = true;
    for (int i = 0; i < QUEUE_STATES; i++)
        if (str_eq(v, str_c(queue_state_name((enum queue_state)i)))) {
            f->state = (enum queue_state)i;
            return true;
        }
    return false;
}

/* A kind of reason, or words that are in it. */
static bool parse_reason(struct queue_filter *f, str_t v)
{
    for (int i = 0; i < BOUNCE_CLASSES; i++)
        if (str_eq(v, str_c(bounce_class_name((enum bounce_class)i)))) {
            f->by_class = true;
            f->class = (enum bounce_class)i;
            return true;
        }
    f->reason = v;
    return v.len > 0;
}

static bool parse_older(struct cli *c, struct queue_filter *f, str_t v)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    uint64_t n;
    for (size_t i = 0; i < sizeof units / sizeof *units && v.len > 1; i++)
        if (v.ptr[v.len - 1] == units[i].unit && str_u64(str_first(v, v.len - 1), 1000000, &n)) {
            f->before_ms = c->env.wall_ms(&c->env) - (int64_t)n * units[i].ms;
            return true;
        }
    return false;
}

static str_t unbracketed(str_t v)
{
    if (v.len > 2 && str_starts(v, STR("<")) && str_ends(v, STR(">")))
        return str_of(v.ptr + 1, v.len - 2);
    return v;
}

/* --name VALUE. `filter` gets whether it says which deliveries. False: no such option, or no such
 * value. */
static bool parse_option(struct cli *c, struct queue_words *w, str_t name, str_t v, bool *filter)
{
    *filter = true;
    if (str_eq(name, STR("id")))
        return w->messages = w->f.by_id = queue_id_parse(v, &w->f.id);
    if (str_eq(name, STR("domain")))
        return domain_to_ascii(v, &c->arena, &w->f.domain);
    if (str_eq(name, STR("sender"))) {
        w->f.sender = str_eq(v, STR("<>")) ? v : unbracketed(v);
        return v.len > 0;
    }
    if (str_eq(name, STR("recipient"))) {
        w->f.recipient = unbracketed(v);
        return v.len > 0;
    }
    if (str_eq(name, STR("account"))) {
        w->account = v;
        return v.len > 0;
    }
    if (str_eq(name, STR("source"))) {
        w->f.source = v;
        return v.len > 0;
    }
    if (str_eq(name, STR("reason")))
        return parse_reason(&w->f, v);
    if (str_eq(name, STR("state")))
        return parse_state(&w->f, v);
    if (str_eq(name, STR("older")))
        return parse_older(c, &w->f, v);
    *filter = false;
    if (str_eq(name, STR("by")))
        return parse_by(w, v);
    return str_eq(name, STR("limit")) && str_u64(v, UINT32_MAX, &w->limit);
}

static bool takes_value(const char *word)
{
    static const char *const names[] = {"id",      "domain", "sender", "recipient",
                                        "account", "source", "reason", "state",
                                        "older",   "by",     "limit"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(word + 2, names[i], n) == 0 && (word[2 + n] == '\0' || word[2 + n] == '='))
            return true;
    }
    return false;
}

int queue_words_parse(struct cli *c, int argc, char **argv, int from, int words,
                      struct queue_words *out)
{
    *out = (struct queue_words){.limit = SHOWN_DEFAULT};
    bool what = false;
    for (int i = from; i < argc; i++) {
        const char *word = argv[i];
        if (strncmp(word, "--", 2) == 0 && takes_value(word)) {
            str_t v = str_c(word + 2), name;
            bool filter;
            if (!str_cut(&v, '=', &name)) {
                name = v;
                v = i + 1 < argc ? str_c(argv[++i]) : STR_NONE;
            }
            if (!parse_option(c, out, name, v, &filter))
                return cli_fail(c, CLI_USAGE, "\"" STR_FMT "\" is nothing that %s takes",
                                STR_ARG(cli_safe(c, v)), word);
            out->what = out->what || filter;
        } else if (strcmp(word, "--messages") == 0) {
            out->messages = true;
        } else if (strcmp(word, "--bounce") == 0) {
            out->bounce = true;
        } else if (!what && (words == 0 || !out->what) && parse_what(c, out, word)) {
            what = out->what = true;
        } else if (words > 0 && word[0] != '-') {
            out->rest = word;
            words--;
        } else {
            return cli_fail(c, CLI_USAGE,
                            "\"%s\" is no queue ID, domain, --held or --all, and no filter", word);
        }
    }
    return CLI_OK;
}

int queue_words_settle(struct cli *c, struct queue_words *w)
{
    if (w->account.len == 0)
        return CLI_OK;
    w->f.by_account = true;
    size_t at;
    if (!str_find(w->account, '@', &at)) {
        if (str_u64(w->account, INT64_MAX, &w->f.account))
            return CLI_OK;
        return cli_fail(c, CLI_USAGE, "an account is named by its address or its number");
    }
    enum store_rc rc = directory_account_find(c->store, w->account, &w->f.account);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (w->f.account == 0)
        return cli_fail(c, CLI_NOT_FOUND, "there is no account " STR_FMT,
                        STR_ARG(cli_safe(c, w->account)));
    return CLI_OK;
}
