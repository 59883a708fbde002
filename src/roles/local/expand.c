/* expand.c: see expand.h. */
#include "roles/local/expand.h"

#include "base/utf8.h"
#include "mail/domain.h"

struct step {
    str_t address;
    unsigned depth;
};

struct walk {
    struct arena *a;
    struct step *v; /* all that was seen, in order; those before `at` are done */
    size_t n, at, cap;
    bool too_many;
};

static void split(str_t address, str_t *local, str_t *domain)
{
    size_t at;
    *local = address;
    *domain = STR_NONE;
    if (str_rfind(address, '@', &at)) { /* the last: a quoted local part may have more */
        *local = str_first(address, at);
        *domain = str_from(address, at + 1);
    }
}

/* A local part as the directory has it: RFC 5321 4.1.2, quotes and backslashes are how it is
 * written, not what it is. mx asks the directory for it unquoted; asked otherwise here, what mx
 * accepted would bounce. */
static str_t unquoted(str_t local, struct arena *a)
{
    if (local.len < 2 || !str_starts(local, STR("\"")) || !str_ends(local, STR("\"")))
        return local;
    local = str_of(local.ptr + 1, local.len - 2);
    char *to = arena_alloc(a, local.len);
    size_t n = 0;
    for (size_t i = 0; to != NULL && i < local.len; i++) {
        if (local.ptr[i] == '\\' && i + 1 < local.len)
            i++;
        to[n++] = local.ptr[i];
    }
    return str_of(to, n);
}

/* Domains have no case; local parts elsewhere may. */
static bool same_address(str_t x, str_t y)
{
    str_t xl, xd, yl, yd;
    split(x, &xl, &xd);
    split(y, &yl, &yd);
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
    split(x->address, &xl, &given);
    split(y->address, &yl, &given);
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
    to->utf8 = from->utf8 || !str_ascii(l.address);
    if (from->original.len > 0)
        to->original = from->original;
    else if (!str_eq(l.address, from->address))
        to->original = from->address;
    return true;
}

/* What a delivery is kept under. A domain that is no name stays as it is: courier bounces it. */
static str_t domain_key(str_t domain, struct arena *a)
{
    str_t key;
    return domain_to_ascii(domain, a, &key) ? key : domain;
}

static enum store_rc step(struct directory_cache *directory, struct walk *w,
                          const struct queue_rcpt *rcpt, struct expansion *out)
{
    struct step step_now = w->v[w->at++], *at = &step_now; /* the list may move */
    struct directory_entry e;
    struct leaf l = {.address = at->address};
    str_t local, domain;
    split(at->address, &local, &domain);
    enum store_rc rc = directory_cache_lookup(directory, unquoted(local, w->a), domain, w->a, &e);
    if (rc != STORE_OK)
        return rc;
    switch (e.kind) {
    case DIRECTORY_ACCOUNT:
        l.kind = LEAF_ACCOUNT;
        l.account = e.account;
        break;
    case DIRECTORY_NOT_OURS:
        l.kind = domain.len > 0 ? LEAF_REMOTE : LEAF_UNKNOWN;
        l.domain = domain_key(domain, w->a);
        break;
    case DIRECTORY_NONE: l.kind = LEAF_UNKNOWN; break;
    case DIRECTORY_ALIAS:
        for (size_t i = 0; i < e.ntargets; i++)
            walk_add(w, e.targets[i], at->depth + 1);
        return STORE_OK;
    }
    return leaf(out, w->a, rcpt, l) ? STORE_OK : STORE_LIMIT;
}

enum store_rc expand(struct directory_cache *directory, const struct queue_rcpt *rcpt,
                     struct arena *a, struct expansion *out)
{
    struct walk w = {.a = a};
    size_t before = out->n;
    walk_add(&w, rcpt->address, 0);
    while (w.at < w.n && !w.too_many) {
        enum store_rc rc = step(directory, &w, rcpt, out);
        if (rc != STORE_OK)
            return rc;
    }
    if (a->failed)
        return STORE_LIMIT;
    if (w.too_many)
        out->n = before; /* all or nothing: a part of a list would be no help */
    /* or it was there already, by way of another recipient */
    else if (out->n > before || w.n == 1)
        return STORE_OK;
    enum leaf_kind kind = w.too_many ? LEAF_TOO_MANY : LEAF_LOOP;
    return leaf(out, a, rcpt, (struct leaf){.kind = kind, .address = rcpt->address}) ? STORE_OK
                                                                                     : STORE_LIMIT;
}
