/* queue_words.c: which deliveries of the queue are meant. See queue.h. */
#include <stdio.h>
#include <string.h>

#include "cli/queue.h"
#include "mail/domain.h"
#include "post/directory.h"

enum { SHOWN_DEFAULT = 50 };

/* A command line as it is read. */
struct words {
    struct cli *c;
    enum queue_verb verb;
    int argc, i; /* argv[i] is read next */
    char **argv;
    bool what;     /* WHAT was there */
    unsigned seen; /* options */
    struct queue_words *out;
};

/* An empty one (a variable of the shell that is not set) would mean all of the queue. */
static bool read_domain(struct cli *c, struct queue_words *w, str_t v)
{
    return v.len > 0 && domain_to_ascii(v, &c->arena, &w->f.domain);
}

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
    return read_domain(c, w, str_c(word));
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

static bool read_id(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    return w->messages = w->f.by_id = queue_id_parse(v, &w->f.id);
}

static bool read_sender(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->f.sender = str_eq(v, STR("<>")) ? v : unbracketed(v);
    return v.len > 0;
}

static bool read_recipient(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->f.recipient = unbracketed(v);
    return v.len > 0;
}

static bool read_account(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->account = v;
    return v.len > 0;
}

static bool read_source(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->f.source = v;
    return v.len > 0;
}

static bool read_reason(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    return parse_reason(&w->f, v);
}

static bool read_state(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    return parse_state(&w->f, v);
}

static bool read_older(struct cli *c, struct queue_words *w, str_t v)
{
    return parse_older(c, &w->f, v);
}

static bool read_by(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->sums = true;
    return parse_by(w, v);
}

static bool read_limit(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c;
    w->sums = true;
    return str_u64(v, UINT32_MAX, &w->limit);
}

static bool read_messages(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c, (void)v;
    return w->messages = true;
}

static bool read_bounce(struct cli *c, struct queue_words *w, str_t v)
{
    (void)c, (void)v;
    return w->bounce = true;
}

#define BIT(verb) (1u << (verb))
enum {
    FOR_CHANGES = BIT(VERB_RETRY) | BIT(VERB_HOLD) | BIT(VERB_RELEASE) | BIT(VERB_REMOVE) |
                  BIT(VERB_BOUNCE) | BIT(VERB_ROUTE),
    FOR_MANY = FOR_CHANGES | BIT(VERB_LIST),
};

/* Who does not take an option says so: an option that were ignored would make a change of more than
 * was meant. */
static const struct option {
    str_t name;
    unsigned verbs;                                              /* that take it */
    bool (*read)(struct cli *c, struct queue_words *w, str_t v); /* false: no such value */
    enum { FILTER, SHAPE, BARE } kind; /* which deliveries; how they are shown; without a value */
} options[] = {
    {STR("id"), FOR_MANY | BIT(VERB_SHOW), read_id, FILTER},
    {STR("domain"), FOR_MANY, read_domain, FILTER},
    {STR("sender"), FOR_MANY, read_sender, FILTER},
    {STR("recipient"), FOR_MANY, read_recipient, FILTER},
    {STR("account"), FOR_MANY, read_account, FILTER},
    {STR("source"), FOR_MANY, read_source, FILTER},
    {STR("reason"), FOR_MANY, read_reason, FILTER},
    {STR("state"), FOR_MANY, read_state, FILTER},
    {STR("older"), FOR_MANY, read_older, FILTER},
    {STR("by"), BIT(VERB_LIST), read_by, SHAPE},
    {STR("limit"), BIT(VERB_LIST), read_limit, SHAPE},
    {STR("messages"), BIT(VERB_LIST), read_messages, BARE},
    {STR("bounce"), BIT(VERB_REMOVE), read_bounce, BARE},
};
enum { OPTIONS = sizeof options / sizeof *options };

static const struct option *option_find(const char *word, str_t *value)
{
    str_t name, rest = str_c(word);
    *value = STR_NONE;
    if (!str_starts(rest, STR("--")))
        return NULL;
    rest = str_from(rest, 2);
    if (str_cut(&rest, '=', &name))
        *value = rest;
    else
        name = rest;
    for (size_t i = 0; i < OPTIONS; i++)
        if (str_eq(name, options[i].name))
            return &options[i];
    return NULL;
}

/* Takes the option `o`, at argv[i], and its value, which may be the next word. */
static int take_option(struct words *at, const struct option *o, str_t value)
{
    const char *word = at->argv[at->i];
    unsigned bit = 1u << (o - options);
    if ((o->verbs & BIT(at->verb)) == 0)
        return cli_fail(at->c, CLI_USAGE, "`queue %s` does not take --" STR_FMT, at->argv[1],
                        STR_ARG(o->name));
    if (at->seen & bit)
        return cli_fail(at->c, CLI_USAGE, "--" STR_FMT " is there twice", STR_ARG(o->name));
    at->seen |= bit;
    if (o->kind == BARE && value.ptr != NULL)
        return cli_fail(at->c, CLI_USAGE, "--" STR_FMT " takes no value", STR_ARG(o->name));
    if (o->kind != BARE && value.ptr == NULL && at->i + 1 < at->argc)
        value = str_c(at->argv[++at->i]);
    if (!o->read(at->c, at->out, value))
        return cli_fail(at->c, CLI_USAGE, "\"" STR_FMT "\" is nothing that %s takes",
                        STR_ARG(cli_safe(at->c, value)), word);
    at->out->what = at->out->what || o->kind == FILTER;
    return CLI_OK;
}

/* WHAT comes once; where a word may follow it, or only an ID is meant, not behind a filter. */
static int take_word(struct words *at)
{
    const char *word = at->argv[at->i];
    bool one = at->verb == VERB_ROUTE || at->verb == VERB_SHOW;
    if (!at->what && !(one && at->out->what) && parse_what(at->c, at->out, word)) {
        at->what = at->out->what = true;
        return CLI_OK;
    }
    if (at->verb == VERB_ROUTE && at->out->rest == NULL && word[0] != '-' && word[0] != '\0') {
        at->out->rest = word;
        return CLI_OK;
    }
    return cli_fail(at->c, CLI_USAGE,
                    "\"%s\" is no queue ID, domain, --held or --all, and no filter", word);
}

int queue_words_parse(struct cli *c, int argc, char **argv, enum queue_verb verb,
                      struct queue_words *out)
{
    struct words at = {.c = c, .verb = verb, .argc = argc, .argv = argv, .out = out};
    *out = (struct queue_words){.limit = SHOWN_DEFAULT};
    for (at.i = 2; at.i < argc; at.i++) {
        str_t value;
        const struct option *o = option_find(argv[at.i], &value);
        int code = o != NULL ? take_option(&at, o, value) : take_word(&at);
        if (code != CLI_OK)
            return code;
    }
    if (out->messages && out->sums)
        return cli_fail(c, CLI_USAGE,
                        "--by and --limit are for sums: not with --messages, nor with an ID");
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
