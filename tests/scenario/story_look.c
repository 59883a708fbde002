/* story_look.c: steps that say what must have come of it. See story.h. */
#include "story_steps.h"

#include <stdio.h>

#include "post/mailbox.h"
#include "post/queue_admin.h"

enum { ALTERNATIVES_MAX = 8 };

/* ---- connections and messages ---- */

static void tried_text(const struct world *w, char *out, size_t cap)
{
    char one[NETADDR_TEXT];
    size_t len = 0;
    snprintf(out, cap, "nothing");
    for (size_t i = 0; i < w->ntried && len + NETADDR_TEXT < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i > 0 ? " " : "",
                                netaddr_text(&w->tried[i], one));
}

bool step_tried(struct story *s)
{
    char text[400];
    unsigned alternative = 0, found = 0;
    size_t i = 0;
    bool fits = true;
    if (s->nwords < 2)
        return grammar(s, "tried ADDRESS… [or ADDRESS…], or: tried nothing");
    for (size_t k = 1; k <= s->nwords && !is(s, 1, "nothing"); k++) {
        struct netaddr addr;
        if (k == s->nwords || is(s, k, "or")) {
            found |= (fits && i == s->w->ntried ? 1u : 0u) << alternative++;
            fits = true;
            i = 0;
            continue;
        }
        if (alternative == ALTERNATIVES_MAX || !address(s, s->word[k], &addr))
            return wrong(s->w, "at most %d alternatives", ALTERNATIVES_MAX);
        fits = fits && i < s->w->ntried && netaddr_eq(&addr, &s->w->tried[i]);
        i++;
    }
    if (is(s, 1, "nothing"))
        found = s->w->ntried == 0;
    tried_text(s->w, text, sizeof text);
    s->w->ntried = 0;
    s->seen[s->at - 1] |= found;
    s->all[s->at - 1] = (1u << (alternative > 0 ? alternative : 1)) - 1;
    return found != 0 || wrong(s->w, "what was tried: %s", text);
}

bool step_sources(struct story *s)
{
    char text[NETADDR_TEXT];
    struct world *w = s->w;
    size_t n = w->nsources, wanted = is(s, 1, "nothing") ? 0 : s->nwords - 1;
    w->nsources = 0;
    if (s->nwords < 2)
        return grammar(s, "sources ADDRESS…, any for the system's choice; sources nothing");
    for (size_t i = 0; i < n; i++) {
        bool ours = w->source[i].family != NETADDR_NONE;
        str_t was = ours ? str_c(netaddr_text(&w->source[i], text)) : STR("any");
        if (i >= wanted || !str_eq(s->word[i + 1], was))
            return wrong(w, "connection %zu was made from " STR_FMT, i + 1, STR_ARG(was));
    }
    return n == wanted || wrong(w, "there were %zu connections", n);
}

static bool lines_fit(struct story *s, str_t text)
{
    str_t want, missed;
    unsigned fitting;
    struct world *w = s->w;
    size_t begin = s->at;
    if (!block_wanted(s, &want))
        return false;
    if (look_lines(text, want, &w->arena, &fitting, &missed))
        return true;
    w->line = (unsigned)begin + fitting + 1;
    return wrong(w, "not so: " STR_FMT "\n" STR_FMT, STR_ARG(missed), STR_ARG(text));
}

bool step_taken(struct story *s)
{
    struct netaddr by;
    str_t to = s->rest, ignored;
    struct world *w = s->w;
    if (s->nwords < 6 || !is(s, 2, "from") || !is(s, 4, "to") || !address(s, s->word[1], &by))
        return grammar(s, "taken ADDRESS from <A> to <B>…");
    for (int i = 0; i < 4; i++)
        (void)str_cut(&to, ' ', &ignored);
    for (size_t i = 0; i < w->ntaken; i++) {
        struct taken *t = &w->taken[i];
        if (t->told || !netaddr_eq(&t->by, &by))
            continue;
        if (!wild(s->word[3], t->from) || !str_eq(t->to, to))
            return wrong(w, "what it took is from " STR_FMT " to " STR_FMT, STR_ARG(t->from),
                         STR_ARG(t->to));
        t->told = true;
        s->sender = t->from.len > 2 ? str_of(t->from.ptr + 1, t->from.len - 2) : STR_NONE;
        return lines_fit(s, t->text);
    }
    return wrong(w, "it took nothing");
}

static str_t mailbox_text(struct story *s, struct mta *on, uint64_t account,
                          const struct mailbox_message *m)
{
    struct buf all;
    struct arena *a = &s->w->arena;
    buf_init(&all, 1 << 24);
    for (uint32_t k = 0; k < m->chunks; k++) {
        str_t bytes;
        must(mailbox_chunk(on->fe.env.store, account, m, k, a, &bytes) == STORE_OK);
        buf_add(&all, bytes);
    }
    str_t text = arena_dup(a, buf_str(&all));
    buf_free(&all);
    return text;
}

static size_t mailbox_count(struct mta *on, const struct account *x, struct arena *a,
                            struct mailbox_message **m)
{
    size_t n;
    must(mailbox_list(on->fe.env.store, x->id, MAILBOX_INBOX, a, m, &n) == STORE_OK);
    return n;
}

static struct account *account_named(struct story *s, str_t name, struct mta **on)
{
    for (size_t i = 0; i < s->w->nmtas; i++) {
        *on = s->w->mta[i];
        for (size_t k = 0; k < (*on)->naccounts; k++)
            if (str_eq((*on)->account[k].address, name))
                return &(*on)->account[k];
    }
    return NULL;
}

bool step_inbox(struct story *s)
{
    struct mta *on;
    struct mailbox_message *m;
    struct account *x = s->nwords > 1 ? account_named(s, s->word[1], &on) : NULL;
    if (x == NULL || s->nwords > 3 || (s->nwords == 3 && !is(s, 2, "empty")))
        return grammar(s, "inbox ACCOUNT [empty]");
    size_t n = mailbox_count(on, x, &s->w->arena, &m);
    if (s->nwords == 3)
        return n == x->told || wrong(s->w, "there is a message:\n" STR_FMT,
                                     STR_ARG(mailbox_text(s, on, x->id, &m[x->told])));
    if (n <= x->told)
        return wrong(s->w, "there is no further message");
    return lines_fit(s, mailbox_text(s, on, x->id, &m[x->told++]));
}

/* ---- the queue ---- */

struct waits { /* what is looked for, and what is found */
    str_t address;
    bool any, held;
    int64_t in_ms;
    char reason[QUEUE_REPLY_MAX], other[QUEUE_PATH_MAX];
    int64_t wall;
};

static bool waits_look(void *user, const struct queue_item *item)
{
    struct waits *x = user;
    for (size_t i = 0; item->d != NULL && i < item->d->nrcpt; i++) {
        str_toc(item->d->rcpt[i].address, x->other, sizeof x->other);
        if (!str_eq(item->d->rcpt[i].address, x->address))
            continue;
        x->any = true;
        x->held = item->d->state == QUEUE_HELD;
        x->in_ms = item->d->next_ms - x->wall;
        str_toc(item->d->reason, x->reason, sizeof x->reason);
        return false;
    }
    return true;
}

static void waits_find(struct story *s, struct waits *x)
{
    struct queue_filter all = {0};
    for (size_t i = 0; i < s->w->nmtas && !x->any; i++) {
        x->wall = s->w->mta[i]->fe.wall;
        must(queue_list(s->w->mta[i]->fe.env.store, &all, waits_look, x) == STORE_OK);
    }
}

bool queue_is_empty(struct story *s)
{
    struct waits x = {.address = STR_NONE};
    waits_find(s, &x);
    return x.other[0] == '\0' || wrong(s->w, "in the queue there is still mail for <%s>", x.other);
}

bool step_queue(struct story *s)
{
    struct waits x = {0};
    int64_t ms = 0;
    bool held = is(s, 2, "held");
    if (s->nwords == 2 && is(s, 1, "empty"))
        return queue_is_empty(s);
    if (s->nwords < 3 ||
        !(held ? s->nwords == 3
               : s->nwords == 4 && is(s, 2, "waiting") && time_ms(s, s->word[3], &ms)) ||
        !bracketed(s, s->word[1], &x.address))
        return grammar(s, "queue <ADDRESS> waiting TIME, queue <ADDRESS> held, queue empty");
    waits_find(s, &x);
    if (!x.any)
        return wrong(s->w, "nothing waits for it");
    if (x.held != held || (!held && !about(x.in_ms, ms)))
        return wrong(s->w, "it is %s, due in %ld s", x.held ? "held" : "not held",
                     (long)(x.in_ms / 1000));
    char text[QUEUE_REPLY_MAX + 1];
    snprintf(text, sizeof text, "%s\n", x.reason);
    return lines_fit(s, str_c(text));
}

/* ---- the end ---- */

static size_t rows(struct story *s, const struct mta *on, const char *prefix)
{
    struct store_page p;
    struct store_scan q = {.part = QUEUE_PART, .from = str_c(prefix), .keys_only = true};
    q.end = store_prefix_end(&s->w->arena, q.from);
    must(store_scan(on->fe.env.store, &q, &s->w->arena, &p) == STORE_OK);
    return p.n;
}

static bool all_told(struct story *s)
{
    struct world *w = s->w;
    struct mailbox_message *m;
    for (size_t i = 0; i < w->ntaken; i++)
        if (!w->taken[i].told)
            return wrong(
                w, "nobody told of a message taken from " STR_FMT " to " STR_FMT "\n" STR_FMT,
                STR_ARG(w->taken[i].from), STR_ARG(w->taken[i].to), STR_ARG(w->taken[i].text));
    for (size_t i = 0; i < w->nmtas; i++) {
        for (size_t k = 0; k < w->mta[i]->naccounts; k++) {
            const struct account *x = &w->mta[i]->account[k];
            if (mailbox_count(w->mta[i], x, &w->arena, &m) > x->told)
                return wrong(w, "nobody told of a message for " STR_FMT "\n" STR_FMT,
                             STR_ARG(x->address),
                             STR_ARG(mailbox_text(s, w->mta[i], x->id, &m[x->told])));
        }
    }
    return true;
}

void story_ending(struct story *s)
{
    enum { ABANDONED_MS = 2 * SWEEP_ABANDONED_MS };
    struct world *w = s->w;
    if (w->wrong[0] != '\0' || !queue_is_empty(s) || !all_told(s))
        return;
    if (s->restarted) { /* what the power cut left is swept; else there is nothing to sweep */
        world_pass(w, world_now(w) + ABANDONED_MS);
        sweep(w);
    }
    for (size_t i = 0; i < w->nmtas; i++)
        if (rows(s, w->mta[i], "c/") > 0)
            wrong(w, "content is left in the queue of " STR_FMT, STR_ARG(w->mta[i]->name));
    if (w->connections > 0)
        wrong(w, "%zu connections were never closed", w->connections);
}
