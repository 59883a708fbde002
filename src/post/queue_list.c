/* queue_list.c: deliveries page by page, each with its message. See queue_admin.h. */
#include "post/queue_list.h"
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

static bool delivery_matches(const struct queue_filter *f, const struct queue_delivery *d,
                             struct arena *a)
{
    if (f->by_state && d->state != f->state)
        return false;
    bool found = f->domain.len == 0 || str_ieq(d->domain, f->domain);
    for (size_t i = 0; i < d->nrcpt && !found; i++)
        found = domain_is(d->rcpt[i].address, f->domain, a);
    return found;
}

static bool sender_matches(const struct queue_filter *f, const struct queue_message *m)
{
    if (f->sender.len == 0)
        return true;
    if (m == NULL)
        return false;
    return str_eq(f->sender, STR("<>")) ? m->reverse_path.len == 0
                                        : str_ieq(f->sender, m->reverse_path);
}

static bool row_take(const struct queue_filter *f, const struct store_row *row, struct arena *a,
                     struct queue_listed *out)
{
    *out = (struct queue_listed){.key = row->key, .value = row->value};
    if (!queue_key_delivery_parse(row->key, &out->item.id, &out->item.n, &out->item.local))
        return false;
    out->readable = !row->damaged && queue_delivery_decode(row->key, row->value, a, &out->d);
    if (out->readable)
        return delivery_matches(f, &out->d, a);
    return f->by_id && f->domain.len == 0 && !f->by_state;
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

static enum store_rc list_kind(struct store *s, const struct queue_filter *f, bool local,
                               queue_listed_fn *fn, void *user, bool *go)
{
    struct queue_walk w;
    char room[16];
    str_t prefix = local ? STR("dl/") : STR("dr/");
    if (f->by_id) {
        memcpy(room, prefix.ptr, prefix.len);
        memcpy(room + prefix.len, f->id.b, sizeof f->id.b);
        room[prefix.len + sizeof f->id.b] = '/';
        prefix = str_of(room, prefix.len + sizeof f->id.b + 1);
    }
    enum store_rc rc;
    queue_walk_begin(&w, s, prefix, LIST_ROWS);
    while (*go && queue_walk_next(&w, &rc)) {
        struct queue_listed v[LIST_ROWS];
        size_t n = 0;
        for (size_t i = 0; i < w.page.n; i++)
            n += row_take(f, &w.page.rows[i], &w.arena, &v[n]);
        rc = messages_read(s, v, n, &w.arena);
        if (rc != STORE_OK)
            break;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (!sender_matches(f, v[i].item.m))
                continue;
            v[kept] = v[i];
            v[kept].item.m = v[i].has_m ? &v[kept].m : NULL;
            v[kept].item.d = v[i].readable ? &v[kept].d : NULL;
            kept++;
        }
        if (kept > 0)
            *go = fn(user, v, kept, &rc);
        if (rc != STORE_OK)
            break;
    }
    queue_walk_end(&w);
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

struct one_by_one {
    queue_item_fn *fn;
    void *user;
};

static bool each(void *user, struct queue_listed *v, size_t n, enum store_rc *rc)
{
    struct one_by_one *o = user;
    (void)rc;
    for (size_t i = 0; i < n; i++)
        if (!o->fn(o->user, &v[i].item))
            return false;
    return true;
}

enum store_rc queue_list(struct store *s, const struct queue_filter *f, queue_item_fn *fn,
                         void *user)
{
    struct one_by_one o = {fn, user};
    return queue_list_pages(s, f, each, &o);
}
