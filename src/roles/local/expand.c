/* expand.c: see expand.h. */
#include "roles/local/expand.h"

#include <stdio.h>

#include "base/map.h"
#include "base/utf8.h"
#include "mail/domain.h"
#include "post/directory_row.h"
#include "post/route.h"

struct step {
    str_t address;
    unsigned depth;
};

struct walk {
    struct arena *a;
    struct step *v; /* all that was seen, in order; those before `at` are done */
    size_t n, at, cap;
    bool box; /* of the recipient: it forwards nothing any more */
    bool too_many;
    bool arrived; /* it leads somewhere, be that there already by another recipient */
};

void expand_split(str_t address, str_t *local, str_t *domain)
{
    size_t at;
    *local = address;
    *domain = STR_NONE;
    if (str_rfind(address, '@', &at)) {
        *local = str_first(address, at);
        *domain = str_from(address, at + 1);
    }
}

/* Domains have no case; local parts elsewhere may. */
static bool same_address(str_t x, str_t y)
{
    str_t xl, xd, yl, yd;
    expand_split(x, &xl, &xd);
    expand_split(y, &yl, &yd);
    return str_eq(xl, yl) && str_ieq(xd, yd);
}

static bool walk_grow(struct walk *w)
{
    size_t cap = w->cap == 0 ? 1 : w->cap * 4; /* most recipients are accounts: one step */
    struct step *v = arena_array(w->a, cap, sizeof *v);
    if (v == NULL)
        return false;
    if (w->n > 0)
        memcpy(v, w->v, w->n * sizeof *v);
    w->v = v;
    w->cap = cap;
    return true;
}

static void walk_add(struct walk *w, str_t address, unsigned depth)
{
    for (size_t i = 0; i < w->n; i++)
        if (same_address(w->v[i].address, address))
            return;
    if (w->n == EXPAND_MAX || depth > EXPAND_DEPTH || (w->n == w->cap && !walk_grow(w)))
        w->too_many = true;
    else
        w->v[w->n++] = (struct step){address, depth};
}

static struct leaf *leaf_add(struct expansion *x, struct arena *a)
{
    if (x->n == x->cap) {
        size_t cap = x->cap == 0 ? 2 : x->cap * 4;
        struct leaf *v = arena_array(a, cap, sizeof *v);
        if (v == NULL)
            return NULL;
        if (x->n > 0)
            memcpy(v, x->v, x->n * sizeof *v);
        x->v = v;
        x->cap = cap;
    }
    return &x->v[x->n++];
}

/* Elsewhere, a domain in U-labels is the same as in A-labels. */
static bool same_leaf(const struct leaf *x, const struct leaf *y)
{
    str_t xl, yl, given;
    if (x->kind != LEAF_REMOTE)
        return same_address(x->address, y->address);
    expand_split(x->address, &xl, &given);
    expand_split(y->address, &yl, &given);
    return str_eq(xl, yl) && str_eq(x->domain, y->domain);
}

static bool known(const struct expansion *x, const struct leaf *l)
{
    for (size_t i = 0; i < x->n; i++) {
        const struct leaf *k = &x->v[i];
        if (k->kind != l->kind)
            continue;
        if (l->kind == LEAF_ACCOUNT ? k->account == l->account : same_leaf(k, l))
            return true;
    }
    return false;
}

static bool leaf(struct expansion *x, struct arena *a, const struct queue_rcpt *from, struct leaf l)
{
    if (known(x, &l))
        return true;
    struct leaf *to = leaf_add(x, a);
    if (to == NULL)
        return false;
    *to = l;
    to->orcpt = from->orcpt;
    to->notify = from->notify;
    to->utf8 = from->utf8 || !str_ascii(l.address);
    if (from->original.len > 0)
        to->original = from->original;
    else if (!str_eq(l.address, from->address))
        to->original = from->address;
    return true;
}

str_t expand_domain(str_t domain, struct arena *a)
{
    str_t key;
    return domain_to_ascii(domain, a, &key) ? key : domain;
}

/* ---- lists ---- */

char *expand_list_name(uint64_t id, str_t address, char out[static EXPAND_LIST_NAME])
{
    static const uint8_t key[16] = "a list's address"; /* public: a name, no secret */
    char low[DIRECTORY_TEXT_MAX];
    if (id == 0) {
        str_t part = str_first(address, sizeof low);
        memcpy(low, part.ptr, part.len);
        str_lower(low, part.len);
        id = siphash24(key, str_of(low, part.len)) | 1ull << 63; /* ids count from 1 */
    }
    snprintf(out, EXPAND_LIST_NAME, "%llx", (unsigned long long)id);
    return out;
}

static enum leaf_kind list_kind(const struct expander *x, uint64_t id, str_t address)
{
    char name[EXPAND_LIST_NAME];
    str_t rest = x->lists, one;
    size_t n = 0;
    expand_list_name(id, address, name);
    for (; rest.len > 0; n++) {
        if (!str_cut(&rest, ',', &one)) {
            one = rest;
            rest = STR_NONE;
        }
        if (str_eq(one, str_c(name)))
            return LEAF_HAD_IT;
    }
    return n < EXPAND_LISTS ? LEAF_LIST : LEAF_TOO_MANY;
}

/* ---- a step ---- */

struct place { /* where a step stands */
    const struct step *at;
    str_t local, domain; /* unquoted */
    struct directory_entry e;
};

/* A reverse-path of ours: *followed. */
static enum store_rc step_path(const struct expander *x, struct walk *w, const struct place *p,
                               struct leaf *l, bool *followed)
{
    enum return_path_kind kind;
    enum directory_kind ours;
    str_t out;
    *followed = false;
    if (x->paths == NULL || p->domain.len == 0)
        return STORE_OK;
    enum store_rc rc = return_path_read(x->paths, x->env, p->local, p->domain, w->a, &kind, &out);
    if (rc != STORE_OK || kind == RETURN_PATH_PLAIN)
        return rc;
    rc = directory_cache_kind(x->directory, STR_NONE, p->domain, &ours);
    if (rc != STORE_OK || ours == DIRECTORY_NOT_OURS)
        return rc;
    *followed = true;
    if (kind == RETURN_PATH_WRONG)
        l->kind = LEAF_UNKNOWN;
    else if (kind == RETURN_PATH_FORWARD)
        walk_add(w, out, p->at->depth + 1);
    else
        walk_add(w, directory_address_text(out, p->domain, w->a), p->at->depth + 1);
    return STORE_OK;
}

/* Elsewhere, or here but by a route. *leaves: l is it. */
static enum store_rc step_route(const struct expander *x, struct walk *w, const struct place *p,
                                struct leaf *l, bool *leaves)
{
    bool ours = p->e.kind != DIRECTORY_NOT_OURS;
    enum store_rc rc = STORE_OK;
    l->via = STR_NONE;
    if (x->tables != NULL && p->domain.len > 0 && p->e.kind != DIRECTORY_NONE)
        rc = route_via(x->tables, x->sender, p->at->address, ours, w->a, &l->via);
    *leaves = rc == STORE_OK && (l->via.len > 0 || !ours);
    if (!*leaves)
        return rc;
    l->kind = p->domain.len > 0 ? LEAF_REMOTE : LEAF_UNKNOWN;
    l->domain = expand_domain(p->domain, w->a);
    return rc;
}

/* A list, or an alias that is sent as one: *is. */
static enum store_rc step_list(const struct expander *x, struct walk *w, const struct place *p,
                               struct leaf *l, bool *is)
{
    bool list = p->e.kind == DIRECTORY_LIST;
    *is = false;
    if (!list && (p->e.kind != DIRECTORY_ALIAS || p->e.account != 0))
        return STORE_OK;
    enum store_rc rc = mailing_list_rules(x->tables, p->local, p->domain, list, w->a, &l->rules);
    *is = rc == STORE_OK && l->rules.is;
    if (!*is)
        return rc;
    l->account = list ? p->e.account : 0;
    l->kind = list_kind(x, l->account, p->at->address);
    return rc;
}

/* l, or further steps: *done false. */
static enum store_rc step_kind(const struct expander *x, struct walk *w, const struct place *p,
                               struct leaf *l, bool *done)
{
    bool is = false;
    enum store_rc rc = step_route(x, w, p, l, done);
    if (rc == STORE_OK && !*done)
        rc = step_list(x, w, p, l, &is);
    if (rc != STORE_OK || *done)
        return rc;
    *done = true;
    if (is && l->kind == LEAF_LIST && x->sender.len == 0) {
        walk_add(w, l->rules.owner, p->at->depth + 1);
        *done = false;
    } else if (!is) {
        l->kind = p->e.account != 0 ? LEAF_ACCOUNT : LEAF_UNKNOWN;
        l->account = p->e.account;
        bool forwards = p->e.kind == DIRECTORY_ALIAS;
        bool box = w->box && p->at->depth == 0 && p->e.account != 0;
        *done = !forwards || p->e.keep || box;
        l->box = forwards && *done;
        for (size_t i = 0; forwards && !box && i < p->e.ntargets; i++)
            walk_add(w, p->e.targets[i], p->at->depth + 1);
    }
    return rc;
}

static enum store_rc step(const struct expander *x, struct walk *w, const struct queue_rcpt *rcpt,
                          struct expansion *out)
{
    struct step at = w->v[w->at++]; /* the list may move */
    struct place p = {.at = &at};
    struct leaf l = {.kind = LEAF_LOOP, .address = at.address};
    bool followed, done;
    expand_split(at.address, &p.local, &p.domain);
    p.local = directory_unquoted(p.local, w->a);
    enum store_rc rc = step_path(x, w, &p, &l, &followed);
    done = l.kind == LEAF_UNKNOWN;
    if (rc == STORE_OK && !followed) {
        rc = directory_cache_lookup(x->directory, p.local, p.domain, w->a, &p.e);
        if (rc == STORE_OK)
            rc = step_kind(x, w, &p, &l, &done);
    }
    if (rc != STORE_OK || !done)
        return rc;
    w->arrived = true;
    return leaf(out, w->a, rcpt, l) ? STORE_OK : STORE_LIMIT;
}

/* RFC 3461 5.2.7.3 (c): NOTIFY goes on to all, but for SUCCESS; where it was alone, nothing is
 * asked for any more. */
static bool expanded_note(struct expansion *x, struct arena *a, const struct queue_rcpt *rcpt,
                          size_t first)
{
    if (x->n - first < 2 || (rcpt->notify & QUEUE_NOTIFY_SUCCESS) == 0)
        return true;
    if (x->nexpanded == x->expanded_cap) {
        size_t cap = x->expanded_cap == 0 ? 2 : x->expanded_cap * 4;
        struct queue_rcpt *v = arena_array(a, cap, sizeof *v);
        if (v == NULL)
            return false;
        if (x->nexpanded > 0)
            memcpy(v, x->expanded, x->nexpanded * sizeof *v);
        x->expanded = v;
        x->expanded_cap = cap;
    }
    x->expanded[x->nexpanded++] = *rcpt;
    for (size_t i = first; i < x->n; i++) {
        x->v[i].notify &= (uint8_t)~QUEUE_NOTIFY_SUCCESS;
        if (x->v[i].notify == 0)
            x->v[i].notify = QUEUE_NOTIFY_NEVER;
    }
    return true;
}

enum store_rc expand(const struct expander *x, const struct queue_rcpt *rcpt, struct arena *a,
                     struct expansion *out)
{
    struct walk w = {.a = a, .box = rcpt->box};
    size_t before = out->n;
    walk_add(&w, rcpt->address, 0);
    enum store_rc rc = STORE_OK;
    while (w.at < w.n && !w.too_many && rc == STORE_OK)
        rc = step(x, &w, rcpt, out);
    if (rc != STORE_OK && rc != STORE_DAMAGED)
        return rc;
    if (a->failed)
        return STORE_LIMIT;
    if (rc != STORE_OK || w.too_many)
        out->n = before; /* all or nothing: a part of a list would be no help */
    else if (w.arrived)
        return expanded_note(out, a, rcpt, before) ? STORE_OK : STORE_LIMIT;
    enum leaf_kind kind = rc != STORE_OK ? LEAF_DAMAGED : w.too_many ? LEAF_TOO_MANY : LEAF_LOOP;
    return leaf(out, a, rcpt, (struct leaf){.kind = kind, .address = rcpt->address}) ? STORE_OK
                                                                                     : STORE_LIMIT;
}
