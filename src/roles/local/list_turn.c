/* list_turn.c: a list's members, page by page. See post/mailing_list.h for what a list is.
 *
 * A list among the recipients of a delivery becomes a delivery of its own, `dl` like it, whose `via`
 * says which members have had their turn:
 *
 *     list IDS after MEMBER       IDS: of this list and of those it came through, in hexadecimal,
 *                                 by commas, the innermost first; MEMBER: as the directory's key has
 *                                 it, or for an alias how many of its targets; empty at first
 *     in IDS                      to members here: a delivery like others, but it knows where it came
 *                                 from, so that lists in lists never go in a circle
 *
 * A turn takes the next LOCAL_LIST_PAGE members, makes deliveries to them, and replaces its own row
 * by one that stands behind them: all in one batch. So each member gets one delivery, whatever crashes.
 * Who joins or leaves meanwhile gets it or not by where the turn stands. */
#include "roles/local/list_turn.h"

#include "base/utf8.h"
#include "post/directory_row.h"
#include "post/route.h"
#include "roles/local/forward.h"

struct turn {
    struct local *l;
    struct job *j;
    str_t ids, after;
    uint64_t list; /* 0: an alias */
    str_t address; /* of the list */
    struct mailing_list_rules rules;
    struct mailing_list_member *member;
    size_t n;
    bool more;
    str_t next_after;
    bool gone; /* it is no list any more */
    struct rows rows;
};

/* ---- the words in `via` ---- */

bool list_turn_is(const struct queue_delivery *d)
{
    return d->local && str_starts(d->via, STR("list "));
}

str_t list_turn_through(const struct queue_delivery *d)
{
    return str_starts(d->via, STR("in ")) ? str_from(d->via, 3) : STR_NONE;
}

static bool via_parse(struct turn *t, str_t via)
{
    str_t rest = str_from(via, STR("list ").len);
    if (!str_cut(&rest, ' ', &t->ids) || !str_starts(rest, STR("after")))
        return false;
    t->after = str_from(rest, STR("after ").len);
    return t->ids.len > 0;
}

static str_t via_text(str_t ids, str_t after, struct arena *a)
{
    return arena_fmt(a, "list " STR_FMT " after " STR_FMT, STR_ARG(ids), STR_ARG(after));
}

void list_row(struct rows *r, const struct leaf *l)
{
    struct arena *a = &r->j->arena;
    char name[EXPAND_LIST_NAME];
    str_t through = list_turn_through(&r->j->d);
    expand_list_name(l->account, l->address, name);
    str_t ids = through.len > 0 ? arena_fmt(a, "%s," STR_FMT, name, STR_ARG(through))
                                : arena_dup(a, str_c(name));
    struct queue_rcpt rcpt = {.address = l->address, .utf8 = l->utf8};
    rows_add(r, &(struct queue_delivery){.local = true,
                                         .via = via_text(ids, STR_NONE, a),
                                         .sender = l->sender,
                                         .has_sender = true,
                                         .list = true,
                                         .nrcpt = 1,
                                         .rcpt = &rcpt});
}

/* ---- members ---- */

static enum store_rc page_of_list(struct turn *t)
{
    struct arena *a = &t->j->arena;
    enum store_rc rc = mailing_list_page(t->j->c->env->store, t->list, t->after, LOCAL_LIST_PAGE, a,
                                         &t->member, &t->n, &t->more);
    if (rc == STORE_OK && t->n > 0)
        t->next_after = t->member[t->n - 1].at;
    return rc;
}

/* Its targets have numbers. */
static enum store_rc page_of_alias(struct turn *t, const struct directory_entry *e)
{
    struct arena *a = &t->j->arena;
    uint64_t from = 0;
    if (t->after.len > 0 && !str_u64(t->after, DIRECTORY_TARGETS_MAX, &from))
        from = DIRECTORY_TARGETS_MAX;
    t->member = arena_array(a, LOCAL_LIST_PAGE, sizeof *t->member);
    if (t->member == NULL)
        return STORE_LIMIT;
    while (from < e->ntargets && t->n < LOCAL_LIST_PAGE) {
        struct mailing_list_member *m = &t->member[t->n++];
        str_t local;
        m->address = e->targets[from++];
        expand_split(m->address, &local, &m->domain);
    }
    t->more = from < e->ntargets;
    t->next_after = arena_fmt(a, "%u", (unsigned)from);
    return a->failed ? STORE_LIMIT : STORE_OK;
}

static enum store_rc page(struct turn *t)
{
    struct directory_entry e = {0};
    struct arena *a = &t->j->arena;
    char name[EXPAND_LIST_NAME];
    str_t local, domain, own = t->ids, rest = t->ids;
    t->address = t->j->d.rcpt[0].address;
    if (str_cut(&rest, ',', &own))
        rest = STR_NONE;
    expand_split(t->address, &local, &domain);
    local = directory_unquoted(local, a);
    enum store_rc rc = directory_cache_lookup(t->l->directory, local, domain, a, &e);
    bool list = e.kind == DIRECTORY_LIST;
    if (rc == STORE_OK)
        rc = mailing_list_rules(t->l->tables, local, domain, list, a, &t->rules);
    if (rc != STORE_OK)
        return rc;
    t->list = list ? e.account : 0;
    /* deleted, or another one under the same address */
    expand_list_name(t->list, t->address, name);
    t->gone = !t->rules.is || !str_eq(own, str_c(name)) ||
              (!list && (e.kind != DIRECTORY_ALIAS || e.account != 0));
    if (t->gone)
        return STORE_OK;
    return list ? page_of_list(t) : page_of_alias(t, &e);
}

/* ---- their deliveries ---- */

struct way { /* what the members of one delivery have in common */
    str_t domain, via, sender;
    bool local;
};

static bool same_way(const struct way *x, const struct way *y)
{
    return x->local == y->local && (x->local || str_eq(x->domain, y->domain)) &&
           str_eq(x->via, y->via) && str_eq(x->sender, y->sender);
}

static enum store_rc sender_of(struct turn *t, str_t member, str_t *sender)
{
    struct local *l = t->l;
    struct arena *a = &t->j->arena;
    bool changed;
    *sender = mailing_list_sender(&t->rules, member, l->carrier.set->subaddress_separator, a);
    return return_path_leaving(&l->paths, l->carrier.env, *sender, STR_NONE, a, sender, &changed);
}

/* `before` is the way of the member before: of a domain is asked once. */
static enum store_rc way_of(struct turn *t, const struct mailing_list_member *m,
                            const struct way *before, struct way *out)
{
    struct arena *a = &t->j->arena;
    enum directory_kind kind;
    out->domain = expand_domain(m->domain, a);
    out->local = before->local;
    out->via = STR_NONE;
    enum store_rc rc = STORE_OK;
    if (!str_eq(out->domain, before->domain)) {
        rc = directory_cache_kind(t->l->directory, STR_NONE, out->domain, &kind);
        out->local = kind != DIRECTORY_NOT_OURS;
    }
    if (rc == STORE_OK && t->rules.verp)
        rc = sender_of(t, m->address, &out->sender);
    if (rc == STORE_OK && !out->local)
        rc = route_via(t->l->tables, out->sender, m->address, false, a, &out->via);
    return rc;
}

static void flush(struct turn *t, const struct way *w, struct queue_rcpt *rcpt, size_t n)
{
    if (n == 0)
        return;
    struct arena *a = &t->j->arena;
    rows_add(&t->rows, &(struct queue_delivery){
                           .local = w->local,
                           .domain = w->local ? STR_NONE : w->domain,
                           .via = w->local ? arena_fmt(a, "in " STR_FMT, STR_ARG(t->ids)) : w->via,
                           .sender = w->sender,
                           .has_sender = true,
                           .list = true,
                           .nrcpt = n,
                           .rcpt = rcpt});
}

static enum store_rc members(struct turn *t)
{
    struct queue_rcpt rcpt[QUEUE_GROUP];
    struct way now = {0}, next = {0};
    size_t n = 0, bytes = 0;
    enum store_rc rc = sender_of(t, STR_NONE, &next.sender);
    for (size_t i = 0; rc == STORE_OK && i < t->n; i++) {
        struct queue_rcpt r = {.address = t->member[i].address,
                               .utf8 = !str_ascii(t->member[i].address)};
        rc = way_of(t, &t->member[i], &now, &next);
        bytes += queue_rcpt_bytes(&r);
        if (n == QUEUE_GROUP || bytes > QUEUE_GROUP_BYTES || !same_way(&now, &next)) {
            flush(t, &now, rcpt, n);
            n = 0;
            bytes = queue_rcpt_bytes(&r);
        }
        rcpt[n++] = r;
        now = next;
    }
    if (rc == STORE_OK)
        flush(t, &now, rcpt, n);
    return rc;
}

/* Itself, behind them. */
static void go_on(struct turn *t)
{
    struct queue_delivery d = t->j->d;
    d.via = via_text(t->ids, t->next_after, &t->j->arena);
    d.reason = STR_NONE;
    d.attempts = 0;
    rows_add(&t->rows, &d);
}

/* ---- the turn ---- */

static void say(struct job *j, enum rc rc, const char *status, str_t text)
{
    job_verdict_all(j, rc, status, text);
    j->became = arena_array(&j->arena, j->d.nrcpt, sizeof *j->became);
    if (j->became != NULL)
        j->became[0] = QUEUE_FORWARDED;
}

void list_turn_waits(struct job *j, const char *why)
{
    j->nmore = 0;
    job_verdict_all(j, RC_TEMP, "4.3.0", str_c(why));
}

enum store_rc list_turn(struct local *l, struct job *j)
{
    enum { NUMBERS_LEFT = 200 }; /* for what the members here become: aliases, other lists */
    struct turn t = {.l = l, .j = j};
    if (j->d.nrcpt != 1 || !via_parse(&t, j->d.via)) {
        say(j, RC_PERM, "5.3.0", STR("the record of this list's delivery is damaged"));
        return STORE_OK;
    }
    enum store_rc rc = page(&t);
    if (rc != STORE_OK)
        return rc;
    if (j->m.next_n + t.n + NUMBERS_LEFT > UINT16_MAX) {
        say(j, RC_PERM, "5.3.4",
            arena_fmt(&j->arena,
                      "the list has too many members for one message; those behind \"" STR_FMT
                      "\" did not get it",
                      STR_ARG(t.after)));
        return STORE_OK;
    }
    if (!rows_begin(&t.rows, j, t.n + 1))
        return STORE_LIMIT;
    say(j, RC_OK, "2.0.0",
        t.gone ? STR("the list was deleted or replaced; nobody else gets it")
               : arena_fmt(&j->arena, "given to %zu members", t.n));
    if (!t.gone)
        rc = members(&t);
    if (rc == STORE_OK && !t.gone && t.more)
        go_on(&t);
    if (rc != STORE_OK)
        return rc;
    return rows_end(&t.rows) ? STORE_OK : STORE_LIMIT;
}
