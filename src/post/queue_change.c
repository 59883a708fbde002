/* queue_change.c: hold, release, retry, re-route and remove by hand. See queue_admin.h.
 *
 * Rows are changed in groups, one batch each; a group that meets a delivery under way is done again
 * one by one, each with its row read anew. What only the operator does needs no lease; that nobody
 * overwrites the other is what STORE_EQUAL is for. */
#include "post/queue_admin.h"
#include "post/queue_bounce.h"
#include "post/queue_list.h"

enum {
    GROUP_ROWS = 40, /* rows in one batch: require, put, event, content for each … */
    GROUP_BYTES = 400 << 10,
    TRIES = 8, /* of one row that keeps changing under us */
    CHANGE_ARENA_MAX = 16 << 20,
};

struct change {
    struct env *env;
    str_t hostname;
    enum queue_change what;
    str_t via; /* QUEUE_ROUTE */
    size_t changed;
    /* a local delivery has gone since it was listed: it may have become others, as an alias or as the
     * next turn of a list */
    bool moved;
};

/* ---- one row's part of a batch ---- */

static enum queue_event_kind kind_of(enum queue_change what)
{
    switch (what) {
    case QUEUE_RETRY: return QUEUE_EVENT_RETRY;
    case QUEUE_HOLD: return QUEUE_EVENT_HELD;
    case QUEUE_RELEASE: return QUEUE_EVENT_RELEASED;
    case QUEUE_ROUTE: return QUEUE_EVENT_ROUTED;
    case QUEUE_REMOVE:
    case QUEUE_BOUNCE: break;
    }
    return QUEUE_EVENT_REMOVED;
}

static bool applies(const struct change *c, const struct queue_listed *l)
{
    switch (c->what) {
    case QUEUE_RETRY: return l->readable && l->d.state == QUEUE_READY;
    case QUEUE_HOLD: return l->readable && l->d.state == QUEUE_READY;
    case QUEUE_RELEASE: return l->readable && l->d.state == QUEUE_HELD;
    case QUEUE_ROUTE: return l->readable && !l->d.local && !str_eq(l->d.via, c->via);
    case QUEUE_REMOVE: return true;
    case QUEUE_BOUNCE: break;
    }
    return l->readable && l->has_m;
}

static bool bounce_add(struct change *c, const struct queue_listed *l, struct store_batch *b,
                       struct arena *a, struct queue_event *e)
{
    struct dsn_recipient *r = arena_array(a, l->d.nrcpt, sizeof *r);
    bool present;
    str_t header;
    enum store_rc got = store_get1(c->env->store, QUEUE_PART, queue_key_chunk(l->item.id, 0, a), a,
                                   &present, &header);
    if (r == NULL)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < l->d.nrcpt; i++) {
        const struct queue_rcpt *to = &l->d.rcpt[i];
        if (to->notify != 0 && (to->notify & QUEUE_NOTIFY_FAILURE) == 0)
            continue; /* who sent it wants no such report (RFC 3461 4.1) */
        r[n++] =
            (struct dsn_recipient){.final = to->address,
                                   .original = to->original,
                                   .orcpt = to->orcpt,
                                   .status = STR("5.7.0"),
                                   .diagnostic = STR("removed from the queue by the postmaster")};
    }
    struct queue_message m = l->m;
    if (l->d.has_sender)
        m.reverse_path = l->d.sender;
    if (n == 0)
        return true;
    struct queue_bounce q = {.action = DSN_FAILED,
                             .hostname = c->hostname,
                             .m = &m,
                             .recipients = r,
                             .n = n,
                             .header = got == STORE_OK && present ? header : STR_NONE};
    enum queue_bounce_rc rc = queue_bounce_add(c->env, &q, b, a, &e->bounce);
    e->bounced = rc == QUEUE_BOUNCE_MADE;
    return rc != QUEUE_BOUNCE_FAILED;
}

static bool event_add(struct change *c, const struct queue_listed *l, struct store_batch *b,
                      struct arena *a, struct queue_event *e)
{
    size_t n = e->kind == QUEUE_EVENT_REMOVED && l->readable ? l->d.nrcpt : 0;
    e->results = arena_array(a, n, sizeof *e->results);
    e->nresults = n;
    if (n > 0 && e->results == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        e->results[i] = (struct queue_result){.address = l->d.rcpt[i].address,
                                              .outcome = QUEUE_DROPPED,
                                              .text = STR("removed by the operator")};
    e->id = l->item.id;
    e->n = l->item.n;
    e->time_ms = c->env->wall_ms(c->env);
    /* two commands in one ms are two events */
    c->env->random(c->env, &e->serial, sizeof e->serial);
    return queue_event_add(e, b, a);
}

static bool row_add(struct change *c, const struct queue_listed *l, struct store_batch *b,
                    struct arena *a)
{
    struct queue_event e = {.kind = kind_of(c->what)};
    if (l->readable)
        store_require_equal(b, l->key, l->value);
    else
        store_require_present(b, l->key); /* damaged: there is nothing to compare with */
    if (e.kind == QUEUE_EVENT_REMOVED) {
        store_delete(b, l->key);
        if (l->has_m && l->m.single) {
            str_t content = queue_key_prefix("c", l->item.id, a);
            store_delete_range(b, content, store_prefix_end(a, content));
        }
        if (c->what == QUEUE_BOUNCE && !bounce_add(c, l, b, a, &e))
            return false;
        return event_add(c, l, b, a, &e);
    }
    struct queue_delivery d = l->d;
    struct buf value;
    d.asked = c->what != QUEUE_HOLD;
    if (c->what == QUEUE_HOLD)
        d.state = QUEUE_HELD;
    else if (c->what == QUEUE_RELEASE)
        d.state = QUEUE_READY;
    if (c->what == QUEUE_RELEASE && d.attempts == 0)
        d.reason = STR_NONE; /* it was why it was held */
    if (c->what == QUEUE_ROUTE)
        d.via = e.text = c->via;
    if (c->what != QUEUE_HOLD)
        d.next_ms = e.next_ms = c->env->wall_ms(c->env);
    if (d.state == QUEUE_HELD)
        e.next_ms = 0;
    buf_init(&value, STORE_VALUE_MAX);
    bool ok = queue_delivery_encode(&d, &value);
    store_put(b, l->key, arena_dup(a, buf_str(&value)));
    buf_free(&value);
    return ok && event_add(c, l, b, a, &e);
}

/* ---- one row by itself ---- */

static enum store_rc reread(struct change *c, struct queue_listed *l, struct arena *a, bool *gone)
{
    str_t keys[2] = {l->key, queue_key_message(l->item.id, a)};
    struct store_value v[2] = {0};
    enum store_rc rc = store_get(c->env->store, QUEUE_PART, keys, 2, a, v);
    *gone = rc == STORE_OK && v[0].rc == STORE_OK && !v[0].present;
    l->value = v[0].value;
    l->readable = v[0].rc == STORE_OK && queue_delivery_decode(l->key, l->value, a, &l->d);
    l->has_m = v[1].rc == STORE_OK && v[1].present &&
               queue_message_decode(v[1].value, l->item.id, a, &l->m);
    return rc;
}

static enum store_rc change_one(struct change *c, struct queue_listed l)
{
    struct arena a;
    enum store_rc rc = STORE_CONFLICT;
    arena_init(&a, CHANGE_ARENA_MAX);
    for (int i = 0; i < TRIES && rc == STORE_CONFLICT; i++) {
        struct store_batch b;
        bool gone;
        rc = reread(c, &l, &a, &gone);
        c->moved = c->moved || (rc == STORE_OK && gone && l.item.local);
        if (rc != STORE_OK || gone || !applies(c, &l))
            break;
        store_batch_init(&b, QUEUE_PART, &a);
        rc = row_add(c, &l, &b, &a) ? store_commit(c->env->store, &b) : STORE_LIMIT;
        c->changed += rc == STORE_OK;
    }
    arena_free(&a);
    return rc;
}

/* ---- groups ---- */

static enum store_rc change_group(struct change *c, struct queue_listed *v, size_t n)
{
    struct arena a;
    struct store_batch b;
    size_t rows = 0;
    arena_init(&a, CHANGE_ARENA_MAX);
    store_batch_init(&b, QUEUE_PART, &a);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        if (!applies(c, &v[i]))
            continue;
        ok = row_add(c, &v[i], &b, &a);
        rows++;
    }
    enum store_rc rc = !ok ? STORE_LIMIT : rows > 0 ? store_commit(c->env->store, &b) : STORE_OK;
    arena_free(&a);
    if (rc == STORE_OK)
        c->changed += rows;
    if (rc != STORE_CONFLICT)
        return rc;
    rc = STORE_OK;
    for (size_t i = 0; i < n && rc == STORE_OK; i++)
        rc = change_one(c, v[i]);
    return rc;
}

static bool change_page(void *user, struct queue_listed *v, size_t n, enum store_rc *rc)
{
    struct change *c = user;
    for (size_t i = 0; i < n && *rc == STORE_OK;) {
        size_t k = 0, bytes = 0;
        while (i + k < n && k < GROUP_ROWS &&
               (k == 0 || bytes + 3 * v[i + k].value.len < GROUP_BYTES)) {
            bytes += 3 * v[i + k].value.len; /* required, put, and the recipients in the event */
            k++;
        }
        if (c->what == QUEUE_BOUNCE)
            k = 1; /* a bounce is large */
        *rc = change_group(c, v + i, k);
        i += k;
    }
    return *rc == STORE_OK;
}

/* Content of messages with several deliveries goes with the last of them. */
static enum store_rc content_sweep(struct change *c, queue_id_t id)
{
    struct arena a;
    bool none = true;
    enum store_rc rc = STORE_OK;
    arena_init(&a, CHANGE_ARENA_MAX);
    for (int local = 1; local >= 0 && rc == STORE_OK && none;
         local--) { /* dl first: it can turn into dr, never back */
        struct store_scan q = {.part = QUEUE_PART,
                               .keys_only = true,
                               .rows_max = 1,
                               .from = queue_key_prefix(local ? "dl" : "dr", id, &a)};
        struct store_page p;
        q.end = store_prefix_end(&a, q.from);
        rc = store_scan(c->env->store, &q, &a, &p);
        none = p.n == 0;
    }
    if (rc == STORE_OK && none) {
        struct store_batch b;
        str_t content = queue_key_prefix("c", id, &a);
        store_batch_init(&b, QUEUE_PART, &a);
        store_delete_range(&b, content, store_prefix_end(&a, content));
        rc = store_commit(c->env->store, &b);
    }
    arena_free(&a);
    return rc;
}

/* What moved while it was listed may be where the walk had been: it begins anew. (Asked for a second
 * time, a retry would be no other than the first.) */
static enum store_rc change_all(struct change *c, const struct queue_filter *f)
{
    enum store_rc rc = STORE_OK;
    c->moved = true;
    for (int i = 0; i < TRIES && c->moved && rc == STORE_OK; i++) {
        c->moved = false;
        rc = queue_list_pages(c->env->store, f, change_page, c);
        c->moved = c->moved && c->what != QUEUE_RETRY;
    }
    return rc;
}

enum store_rc queue_reroute(struct env *env, const struct queue_filter *f, str_t words,
                            size_t *changed)
{
    struct change c = {.env = env, .what = QUEUE_ROUTE, .via = words};
    enum store_rc rc = change_all(&c, f);
    *changed = c.changed;
    return rc;
}

enum store_rc queue_change(struct env *env, str_t hostname, const struct queue_filter *f,
                           enum queue_change what, size_t *changed)
{
    struct change c = {.env = env, .hostname = hostname, .what = what};
    enum store_rc rc = change_all(&c, f);
    *changed = c.changed;
    /* Of a whole queue's removal the sweeper finds what is left; one message's is gone at once. */
    if (rc == STORE_OK && f->by_id && c.changed > 0 && kind_of(what) == QUEUE_EVENT_REMOVED)
        rc = content_sweep(&c, f->id);
    return rc;
}
