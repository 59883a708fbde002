/* queue_list.c: deliveries page by page, each with its message. See queue_admin.h. */
#include "post/queue_list.h"

#include <stdlib.h>

#include "mail/domain.h"
#include "post/queue_admin.h"
#include "post/queue_walk.h"

enum { LIST_ROWS = 200 }; /* a page; its message rows are one get more */

/* An address keeps the form it was given in; a domain is asked for in A-labels. */
static bool domain_is(str_t address, str_t domain, struct arena *a)
{
    size_t at;
    str_t key;
    return str_rfind(address, '@', &at) && domain_to_ascii(str_from(address, at + 1), a, &key) &&
           str_ieq(key, domain);
}

/* `what`, in any case, somewhere in s. */
static bool icontains(str_t s, str_t what)
{
    for (size_t i = 0; i + what.len <= s.len; i++)
        if (str_ieq(str_of(s.ptr + i, what.len), what))
            return true;
    return false;
}

static bool rcpt_is(const struct queue_rcpt *r, str_t address)
{
    return str_ieq(r->address, address) || str_ieq(r->original, address);
}

bool queue_filter_delivery(const struct queue_filter *f, const struct queue_delivery *d,
                           struct arena *a)
{
    if ((f->by_state && d->state != f->state) ||
        (f->before_ms != 0 && d->arrived_ms >= f->before_ms))
        return false;
    if (f->source.len > 0 && !str_eq(d->source, f->source))
        return false;
    if (f->reason.len > 0 && !icontains(d->reason, f->reason))
        return false;
    if (f->by_class && (d->reason.len == 0 || bounce_class_reason(d->reason) != f->class))
        return false;
    bool domain = f->domain.len == 0 || str_ieq(d->domain, f->domain);
    bool recipient = f->recipient.len == 0;
    for (size_t i = 0; i < d->nrcpt && !(domain && recipient); i++) {
        domain = domain || domain_is(d->rcpt[i].address, f->domain, a);
        recipient = recipient || rcpt_is(&d->rcpt[i], f->recipient);
    }
    return domain && recipient;
}

bool queue_filter_needs_message(const struct queue_filter *f)
{
    return f->sender.len > 0 || f->by_account;
}

bool queue_filter_message(const struct queue_filter *f, const struct queue_message *m)
{
    if (!queue_filter_needs_message(f))
        return true;
    if (m == NULL || (f->by_account && m->account != f->account))
        return false;
    if (f->sender.len == 0)
        return true;
    if (str_eq(f->sender, STR("<>")))
        return m->reverse_path.len == 0;
    size_t at;
    if (str_starts(f->sender, STR("@")))
        return str_rfind(m->reverse_path, '@', &at) &&
               str_ieq(str_from(m->reverse_path, at), f->sender);
    return str_ieq(f->sender, m->reverse_path);
}

static bool row_take(const struct queue_filter *f, const struct store_row *row, struct arena *a,
                     struct queue_listed *out)
{
    *out = (struct queue_listed){.key = row->key, .value = row->value};
    if (!queue_key_delivery_parse(row->key, &out->item.id, &out->item.n, &out->item.local))
        return false;
    out->readable = !row->damaged && queue_delivery_decode(row->key, row->value, a, &out->d);
    if (out->readable)
        return queue_filter_delivery(f, &out->d, a);
    /* what it says cannot be told: it is only found by its id */
    return f->by_id && f->domain.len == 0 && f->recipient.len == 0 && f->source.len == 0 &&
           f->reason.len == 0 && !f->by_state && !f->by_class && f->before_ms == 0;
}

/* The message rows of a page in one get (a second for the same message costs little). */
static enum store_rc messages_read(struct store *s, struct queue_listed *v, size_t n,
                                   struct arena *a)
{
    str_t keys[LIST_ROWS];
    struct store_value values[LIST_ROWS] = {0};
    for (size_t i = 0; i < n; i++)
        keys[i] = queue_key_message(v[i].item.id, a);
    enum store_rc rc = n > 0 ? store_get(s, QUEUE_PART, keys, n, a, values) : STORE_OK;
    for (size_t i = 0; i < n && rc == STORE_OK; i++) {
        v[i].has_m = values[i].rc == STORE_OK && values[i].present &&
                     queue_message_decode(values[i].value, v[i].item.id, a, &v[i].m);
        v[i].item.m = v[i].has_m ? &v[i].m : NULL;
        v[i].item.d = v[i].readable ? &v[i].d : NULL;
    }
    return rc;
}

/* ---- a walk over one kind ---- */

struct walk {
    struct queue_walk w;
    const struct queue_filter *f;
    struct queue_listed v[LIST_ROWS]; /* of the page in hand, those that match */
    size_t n, at;
    char room[16];
};

static void walk_begin(struct walk *k, struct store *s, const struct queue_filter *f, bool local)
{
    str_t prefix = local ? STR("dl/") : STR("dr/");
    if (f->by_id) {
        memcpy(k->room, prefix.ptr, prefix.len);
        memcpy(k->room + prefix.len, f->id.b, sizeof f->id.b);
        k->room[prefix.len + sizeof f->id.b] = '/';
        prefix = str_of(k->room, prefix.len + sizeof f->id.b + 1);
    }
    k->f = f;
    k->n = k->at = 0;
    queue_walk_begin(&k->w, s, prefix, LIST_ROWS);
}

/* The next page that has something. False: no more, or *rc says why not. */
static bool walk_next(struct walk *k, enum store_rc *rc)
{
    k->n = k->at = 0;
    while (k->n == 0 && queue_walk_next(&k->w, rc)) {
        size_t n = 0;
        for (size_t i = 0; i < k->w.page.n; i++)
            n += row_take(k->f, &k->w.page.rows[i], &k->w.arena, &k->v[n]);
        *rc = messages_read(k->w.store, k->v, n, &k->w.arena);
        if (*rc != STORE_OK)
            return false;
        for (size_t i = 0; i < n; i++) {
            struct queue_listed *v = &k->v[k->n];
            if (!queue_filter_message(k->f, k->v[i].item.m))
                continue;
            *v = k->v[i];
            v->item.m = v->has_m ? &v->m : NULL;
            v->item.d = v->readable ? &v->d : NULL;
            k->n++;
        }
    }
    return k->n > 0;
}

static enum store_rc list_kind(struct store *s, const struct queue_filter *f, bool local,
                               queue_listed_fn *fn, void *user, bool *go)
{
    enum store_rc rc = STORE_OK;
    struct walk *k = malloc(sizeof *k);
    if (k == NULL)
        return STORE_LIMIT;
    walk_begin(k, s, f, local);
    while (*go && walk_next(k, &rc)) {
        *go = fn(user, k->v, k->n, &rc);
        if (rc != STORE_OK)
            break;
    }
    queue_walk_end(&k->w);
    free(k);
    return rc;
}

enum store_rc queue_list_pages(struct store *s, const struct queue_filter *f, queue_listed_fn *fn,
                               void *user)
{
    bool go = true;
    enum store_rc rc = list_kind(s, f, true, fn, user, &go);
    if (rc == STORE_OK && go)
        rc = list_kind(s, f, false, fn, user, &go);
    return rc;
}

/* ---- both kinds together, by age ---- */

static const struct queue_listed *walk_head(struct walk *k, enum store_rc *rc)
{
    if (k->at < k->n || walk_next(k, rc))
        return &k->v[k->at];
    return NULL;
}

static int age_order(const struct queue_listed *a, const struct queue_listed *b)
{
    return memcmp(a->item.id.b, b->item.id.b, sizeof a->item.id.b); /* begins with the time */
}

enum store_rc queue_list(struct store *s, const struct queue_filter *f, queue_item_fn *fn,
                         void *user)
{
    enum store_rc rc = STORE_OK;
    struct walk *k = calloc(2, sizeof *k);
    if (k == NULL)
        return STORE_LIMIT;
    /* at one moment, as in queue_group.c */
    uint64_t moment = queue_moment_open(s);
    walk_begin(&k[0], s, f, true);
    walk_begin(&k[1], s, f, false);
    k[0].w.moment = k[1].w.moment = moment;
    for (bool go = true; go && rc == STORE_OK;) {
        const struct queue_listed *local = walk_head(&k[0], &rc);
        const struct queue_listed *remote = rc == STORE_OK ? walk_head(&k[1], &rc) : NULL;
        if (rc != STORE_OK || (local == NULL && remote == NULL))
            break;
        bool first = remote == NULL || (local != NULL && age_order(local, remote) <= 0);
        go = fn(user, first ? &local->item : &remote->item);
        k[first ? 0 : 1].at++;
    }
    queue_walk_end(&k[0].w);
    queue_walk_end(&k[1].w);
    queue_moment_close(s, moment);
    free(k);
    return rc;
}
