/* story_setup.c: steps that say what there is: servers, people, names, other hosts. See story.h. */
#include "story_steps.h"

#include "post/mailing_list.h"
#include "post/mask.h"
#include "post/table.h"

/* ---- servers ---- */

bool step_seeds(struct story *s)
{
    return str_u64(s->rest, 1000, &s->seeds) || grammar(s, "seeds NUMBER");
}

bool step_server(struct story *s)
{
    if (s->nwords == 3) {
        if (!mta_new(s->w, s->word[1], s->word[2]))
            return false;
        s->mta = s->w->mta[s->w->nmtas - 1];
        return true;
    }
    for (size_t i = 0; i < s->w->nmtas && s->nwords == 2; i++) {
        if (str_eq(s->w->mta[i]->name, s->word[1])) {
            s->mta = s->w->mta[i];
            return true;
        }
    }
    return wrong(s->w, "there is no such server yet: server NAME ADDRESS");
}

bool step_set(struct story *s)
{
    if (s->mta->started)
        return wrong(s->w, "settings come before the first mail");
    buf_add(&s->mta->conf, s->rest);
    buf_addc(&s->mta->conf, '\n');
    return true;
}

static struct store *store(const struct story *s)
{
    return s->mta->fe.env.store;
}

static bool done(struct story *s, enum rc rc, const struct err *err)
{
    return rc == RC_OK || wrong(s->w, "%s", err->text);
}

bool step_domain(struct story *s)
{
    struct err err;
    if (s->nwords != 2 && !(s->nwords == 4 && is(s, 2, "catch-all")))
        return grammar(s, "domain DOMAIN [catch-all ADDRESS]");
    if (!done(s, directory_domain_add(store(s), s->word[1], &err), &err))
        return false;
    return s->nwords == 2 ||
           done(s, directory_domain_catchall(store(s), s->word[1], s->word[3], &err), &err);
}

bool step_account(struct story *s)
{
    struct err err;
    struct mta *on = s->mta;
    if (on->naccounts == ACCOUNTS_MAX || s->nwords != 2)
        return grammar(s, "account ADDRESS, at most ten of them");
    struct account *a = &on->account[on->naccounts++];
    a->address = s->word[1];
    return done(s, directory_account_add(store(s), s->word[1], &a->id, &err), &err);
}

bool step_alias(struct story *s)
{
    struct err err;
    if (s->nwords < 3)
        return grammar(s, "alias ADDRESS TARGET…");
    return done(s, directory_alias_set(store(s), s->word[1], s->word + 2, s->nwords - 2, &err),
                &err);
}

bool step_mask(struct story *s)
{
    struct err err;
    if (s->nwords != 2)
        return grammar(s, "mask ACCOUNT");
    return done(s,
                mask_add(&s->mta->fe.env, s->word[1], STR("a shop"), &s->w->arena, &s->mask, &err),
                &err);
}

bool step_no(struct story *s)
{
    struct err err;
    if (s->nwords == 2 && is(s, 1, "mask"))
        return done(s, mask_remove(store(s), s->mask, &err), &err);
    if (s->nwords != 3 || !is(s, 1, "alias"))
        return grammar(s, "no alias ADDRESS, no mask");
    return done(s, directory_alias_remove(store(s), s->word[2], &err), &err);
}

bool step_list(struct story *s)
{
    struct err err;
    str_t owner = STR_NONE, line;
    bool verp = s->nwords > 2 && is(s, s->nwords - 1, "verp");
    size_t words = s->nwords - verp, n;
    if (words == 4 && is(s, 2, "owner"))
        owner = s->word[3];
    else if (words != 2)
        return grammar(s, "list ADDRESS [owner ADDRESS] [verp]");
    str_t address = s->word[1];
    if (!done(s, mailing_list_create(store(s), address, owner, verp, &err), &err))
        return false;
    while (block_line(s, &line)) {
        str_t member = after_mark(line);
        if (!str_starts(line, STR("|")))
            return wrong(s->w, "members are written after |");
        if (!done(s, mailing_list_add(store(s), address, &member, 1, &n, &err), &err))
            return false;
    }
    return true;
}

bool step_table(struct story *s)
{
    struct err err;
    enum table t;
    if (s->nwords < 3 || !table_by_name(s->word[1], &t))
        return grammar(s, "table NAME KEY [VALUE…]");
    if (s->nwords == 3)
        return done(s, table_remove(store(s), t, s->word[2], &err), &err);
    str_t value = s->rest, ignored;
    for (int i = 0; i < 2; i++)
        (void)str_cut(&value, ' ', &ignored);
    return done(s, table_set(store(s), t, s->word[2], value, &err), &err);
}

bool step_dns(struct story *s)
{
    str_t data = s->rest, ignored;
    if (s->nwords < 4)
        return grammar(s, "dns NAME TYPE DATA");
    for (int i = 0; i < 2; i++) {
        (void)str_cut(&data, ' ', &ignored);
        data = str_trim(data);
    }
    return zone_set(s->w, s->word[1], s->word[2], data) ||
           grammar(s, "dns NAME MX|A|AAAA|CNAME DATA");
}

/* ---- hosts ---- */

static struct host *host_at(struct story *s, const struct netaddr *addr)
{
    struct world *w = s->w;
    for (size_t i = 0; i < w->nhosts; i++)
        if (netaddr_eq(&w->host[i].addr, addr))
            return &w->host[i];
    if (w->nhosts == HOSTS_MAX)
        return NULL;
    w->host[w->nhosts].addr = *addr;
    return &w->host[w->nhosts++];
}

static bool rule_line(struct story *s, struct host *h, str_t line)
{
    str_t text = str_from(line, 3);
    if (str_starts(line, STR("C: ")) && h->nrules < RULES_MAX) {
        h->rules[h->nrules++] = (struct rule){.command = text};
        return true;
    }
    if (!str_starts(line, STR("S: ")) ||
        (h->nrules == RULES_MAX && h->rules[h->nrules - 1].reply.len > 0))
        return wrong(s->w, "a rule is C: COMMAND and S: REPLY");
    if (h->nrules == 0)
        h->nrules = 1; /* what it says by itself */
    struct rule *r = &h->rules[h->nrules - 1];
    if (str_eq(text, STR("[close]")))
        r->close = true;
    else if (str_eq(text, STR("[power cut]")))
        r->cut = true;
    else
        r->reply =
            arena_fmt(&s->w->arena, STR_FMT STR_FMT "\r\n", STR_ARG(r->reply), STR_ARG(text));
    return true;
}

bool step_host(struct story *s)
{
    static const char *const kinds[] = {"accepts", "refuses", "unreachable", "silent"};
    struct netaddr addr;
    str_t line;
    if (s->nwords < 2 || s->nwords > 3 || !address(s, s->word[1], &addr))
        return grammar(s, "host ADDRESS [accepts|refuses|unreachable|silent]");
    struct host *h = host_at(s, &addr);
    if (h == NULL)
        return wrong(s->w, "there are more than %d hosts", HOSTS_MAX);
    *h = (struct host){.addr = addr};
    bool known = s->nwords == 2;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (is(s, 2, kinds[i])) {
            h->kind = (enum host_kind)i;
            known = true;
        }
    }
    if (!known)
        return grammar(s, "host ADDRESS [accepts|refuses|unreachable|silent]");
    while (s->nwords == 2 && block_line(s, &line))
        if (!rule_line(s, h, line))
            return false;
    return true;
}
