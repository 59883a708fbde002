/* story_act.c: steps that do something: mail, time, the operator. See story.h. */
#include "story_steps.h"

#include <stdio.h>

#include "post/queue_admin.h"
#include "post/queue_suppress.h"

#define CONTENT_DEFAULT STR("Subject: hello\r\n\r\nHello.\r\n")

/* ---- mail ---- */

/* "| text", or "|*N text" for N lines of it. */
static bool content_line(struct story *s, str_t line, struct buf *out)
{
    static const str_t mask = STR("<MASK>");
    str_t text = after_mark(line), number;
    uint64_t n = 1;
    if (str_ends(text, mask))
        text = arena_fmt(&s->w->arena, STR_FMT "<" STR_FMT ">",
                         STR_ARG(str_first(text, text.len - mask.len)), STR_ARG(s->mask));
    if (str_starts(line, STR("|*"))) {
        text = str_from(line, 2);
        if (!str_cut(&text, ' ', &number) || !str_u64(number, 1000000, &n))
            return wrong(s->w, "many lines are written as |*N text");
    } else if (!str_starts(line, STR("|"))) {
        return wrong(s->w, "content is written after |");
    }
    for (; n > 0 && !out->failed; n--) {
        buf_add(out, text);
        buf_add(out, STR("\r\n"));
    }
    return !out->failed || wrong(s->w, "the content is too long");
}

static bool mail_content(struct story *s, str_t *out)
{
    struct buf b;
    str_t line;
    bool ok = true;
    buf_init(&b, 1 << 24);
    while (ok && block_line(s, &line))
        ok = content_line(s, line, &b);
    *out = b.len > 0 ? arena_dup(&s->w->arena, buf_str(&b)) : CONTENT_DEFAULT;
    buf_free(&b);
    return ok;
}

static str_t param_add(struct story *s, str_t params, str_t one)
{
    return arena_fmt(&s->w->arena, STR_FMT "%s" STR_FMT, STR_ARG(params), params.len > 0 ? " " : "",
                     STR_ARG(one));
}

static bool mail_grammar(struct story *s)
{
    return grammar(s, "mail from <A> to <B>… [by ADDRESS] [as ACCOUNT] [8bitmime] [smtputf8] [with "
                      "PARAM] [each PARAM]");
}

/* An address in <>, or one of those that have a name. */
static bool mail_address(struct story *s, str_t word, str_t *out)
{
    if (!bracketed(s, word, out))
        return false;
    if (str_eq(*out, STR("SENDER")))
        *out = s->sender;
    else if (str_eq(*out, STR("MASK")))
        *out = s->mask;
    return true;
}

static bool mail_words(struct story *s, struct letter *m, str_t *to)
{
    size_t i = 4;
    if (s->nwords < 5 || !is(s, 1, "from") || !is(s, 3, "to") ||
        !mail_address(s, s->word[2], &m->from))
        return mail_grammar(s);
    while (i < s->nwords && str_starts(s->word[i], STR("<")))
        if (!mail_address(s, s->word[i++], &to[m->nto++]))
            return false;
    for (; i < s->nwords; i++) {
        if (is(s, i, "8bitmime"))
            m->body_8bit = true;
        else if (is(s, i, "smtputf8"))
            m->smtputf8 = true;
        else if (is(s, i, "with") && i + 1 < s->nwords)
            m->with = param_add(s, m->with, s->word[++i]);
        else if (is(s, i, "each") && i + 1 < s->nwords)
            m->each = param_add(s, m->each, s->word[++i]);
        else if (is(s, i, "as") && i + 1 < s->nwords)
            m->account = s->word[++i];
        else if (!is(s, i, "by") || ++i == s->nwords || !address(s, s->word[i], &m->client))
            return mail_grammar(s);
    }
    return true;
}

bool step_mail(struct story *s)
{
    str_t to[WORDS_MAX];
    char reply[1000];
    struct letter m = {.to = to, .client = {.family = NETADDR_V4, .bytes = {127, 0, 0, 1}}};
    if (!mail_words(s, &m, to) || !mail_content(s, &m.content))
        return false;
    m.client.port = 4711;
    if (!mta_submit(s->mta, &m, reply, sizeof reply))
        return wrong(s->w, "the server did not answer");
    str_t want = next_is(s, "answered ") ? s->rest : STR("250 *");
    return wild(want, str_c(reply)) || wrong(s->w, "the mail was answered %s", reply);
}

/* ---- time ---- */

bool step_retry(struct story *s)
{
    int64_t want, now = world_now(s->w), next = world_next(s->w);
    if (s->nwords != 3 || !is(s, 1, "after") || !time_ms(s, s->word[2], &want))
        return grammar(s, "retry after TIME");
    if (next == INT64_MAX)
        return wrong(s->w, "nothing waits");
    if (!about(next - now, want))
        return wrong(s->w, "the next thing is due after %ld s", (long)((next - now) / 1000));
    world_pass(s->w, next);
    return true;
}

void sweep(struct world *w)
{
    for (size_t i = 0; i < w->nmtas; i++) {
        struct courier *c = w->mta[i]->courier;
        while (world_now(w) >= c->sweep.next_ms && sweep_step(c)) {
        }
    }
}

bool step_pass(struct story *s)
{
    int64_t ms;
    struct world *w = s->w;
    if (s->nwords != 2 || !time_ms(s, s->word[1], &ms))
        return grammar(s, "pass TIME");
    int64_t end = world_now(w) + ms;
    while (world_next(w) <= end && !w->dark && w->wrong[0] == '\0') {
        world_pass(w, world_next(w));
        world_settle(w);
    }
    world_pass(w, end);
    sweep(w);
    return true;
}

bool step_restart(struct story *s)
{
    for (size_t i = 0; i < s->w->nmtas; i++)
        mta_restart(s->w->mta[i]);
    s->w->dark = false;
    s->restarted = true;
    return s->nwords == 1 || grammar(s, "restart");
}

static bool reroute(struct story *s)
{
    struct queue_filter f = {.domain = s->word[2]};
    size_t n = 0;
    str_t words = s->rest, ignored;
    for (int i = 0; i < 2; i++)
        (void)str_cut(&words, ' ', &ignored);
    if (queue_reroute(&s->mta->fe.env, &f, words, &n) != STORE_OK)
        return wrong(s->w, "the store did not take that");
    return n > 0 || wrong(s->w, "there was nothing to change");
}

static bool unsuppress(struct story *s)
{
    bool removed;
    if (queue_suppressed_remove(s->mta->fe.env.store, s->word[2], &removed) != STORE_OK)
        return wrong(s->w, "the store did not take that");
    return removed || wrong(s->w, "it is not suppressed");
}

bool step_operator(struct story *s)
{
    /* as enum queue_change */
    static const char *const changes[] = {"retry", "hold", "release", "remove", "bounce"};
    size_t n = 0;
    if (is(s, 1, "route") && s->nwords > 3)
        return reroute(s);
    if (is(s, 1, "unsuppress") && s->nwords == 3)
        return unsuppress(s);
    for (size_t i = 0; i < sizeof changes / sizeof *changes && s->nwords == 3; i++) {
        struct queue_filter f = {.domain = s->word[2]};
        if (!is(s, 1, changes[i]))
            continue;
        if (queue_change(&s->mta->fe.env, s->mta->settings.hostname, &f, (enum queue_change)i,
                         &n) != STORE_OK)
            return wrong(s->w, "the store did not take that");
        return n > 0 || wrong(s->w, "there was nothing to change");
    }
    return grammar(s, "operator hold|release|retry|remove|bounce DOMAIN, "
                      "operator route DOMAIN ROUTE…, operator unsuppress ADDRESS");
}

/* As mx does for ETRN (post/queue.h). */
bool step_etrn(struct story *s)
{
    struct store_batch b;
    struct arena *a = &s->w->arena;
    if (s->nwords != 2)
        return grammar(s, "etrn DOMAIN");
    store_batch_init(&b, QUEUE_PART, a);
    store_put(&b, arena_fmt(a, "etrn/" STR_FMT, STR_ARG(s->word[1])), STR("1"));
    return store_commit(s->mta->fe.env.store, &b) == STORE_OK ||
           wrong(s->w, "the store did not take that");
}
