/* watches.c: hints from the engine to the channels that asked for them.
 *
 * The engine is asked once for each row of a permission table that somebody watches, and the hints
 * are dealt out here. A channel has STORE_HINTS_UNACKED bytes of hints on their way at most; beyond
 * that its watches are marked and told "lost" once it has caught up. So a watcher that is slow, or
 * does not listen, costs nobody anything: it scans again. */
#include "roles/core/client.h"

enum {
    /* channels one hint can wake: over the sum of clients_max of all tables that may watch */
    HINT_CLIENTS = 64
};

/* ---- sending ---- */

/* Under hint_lock. */
static void send_hints(struct core_client *c)
{
    if (c->hints.len == 0)
        return;
    struct iovec iov = {.iov_base = c->hints.ptr, .iov_len = c->hints.len};
    channel_reply(c->peer, 0, STORE_MSG_HINTS, &iov, 1, -1);
    c->hints_unacked += c->hints.len;
    buf_clear(&c->hints);
}

static void add_lost(struct core_client *c)
{
    for (uint8_t i = 0; i < STORE_WATCHES; i++) {
        struct store_hint h = {.watch = i, .kind = STORE_HINT_LOST};
        if ((c->hints_lost >> i & 1) != 0 && store_hint_encode(&c->hints, &h))
            c->hints_lost &= ~((uint32_t)1 << i);
    }
}

void client_flush_hints(struct core_client *c)
{
    pthread_mutex_lock(&c->hint_lock);
    send_hints(c);
    if (c->hints_lost != 0 && c->hints_unacked <= STORE_HINTS_UNACKED / 2) {
        add_lost(c);
        send_hints(c);
    }
    pthread_mutex_unlock(&c->hint_lock);
}

static void add_hint(struct core_client *c, const struct store_hint *h)
{
    pthread_mutex_lock(&c->hint_lock);
    bool lost = h->kind == STORE_HINT_LOST || c->hints_unacked + c->hints.len > STORE_HINTS_UNACKED;
    if (lost || !store_hint_encode(&c->hints, h))
        c->hints_lost |= (uint32_t)1 << h->watch;
    pthread_mutex_unlock(&c->hint_lock);
}

/* From the engine. */
static void on_hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    struct engine_watch *ew = user;
    struct core_client *touched[HINT_CLIENTS];
    size_t n = 0;
    (void)part; /* the watch's own */
    pthread_mutex_lock(&ew->server->watch_lock);
    for (struct list *l = ew->clients.next; l != &ew->clients; l = l->next) {
        struct client_watch *w = list_entry(l, struct client_watch, link);
        if (key.len > 0 && !str_starts(key, str_of(w->prefix, w->prefix_len)))
            continue;
        struct store_hint h = {.watch = w->index, .key = key, .value = value};
        h.kind = key.len == 0 ? STORE_HINT_LOST : deleted ? STORE_HINT_DELETED : STORE_HINT_PUT;
        add_hint(w->client, &h);
        /* with the next one, at the latest */
        if (n == HINT_CLIENTS || (n > 0 && touched[n - 1] == w->client))
            continue;
        client_hold(w->client);
        touched[n++] = w->client;
    }
    pthread_mutex_unlock(&ew->server->watch_lock);
    for (size_t i = 0; i < n; i++) {
        if (!burst_touch(touched[i]))
            client_flush_hints(touched[i]);
        client_release(touched[i]);
    }
}

bool core_hint_ack(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    uint32_t bytes = cursor_u32(&in);
    if (!cursor_end(&in))
        return false;
    pthread_mutex_lock(&c->hint_lock);
    bool honest = bytes <= c->hints_unacked;
    if (honest)
        c->hints_unacked -= bytes;
    pthread_mutex_unlock(&c->hint_lock);
    if (!honest)
        return false;
    client_flush_hints(c);
    client_reply_rc(p, id, STORE_MSG_HINT_ACK, STORE_OK);
    return true;
}

/* ---- asking ---- */

/* Under watch_lock, which is let go while the engine is asked, and under watch_add_lock, which is
 * not: nobody else adds. */
static struct engine_watch *engine_watch_get(struct core_server *cs, part_t part, str_t prefix,
                                             enum store_rc *rc)
{
    struct engine_watch *spare = NULL;
    for (size_t i = 0; i < STORE_WATCHES; i++) {
        struct engine_watch *ew = &cs->watches[i];
        if (!ew->used) {
            spare = spare == NULL ? ew : spare;
        } else if (ew->part.kind == part.kind && ew->part.id == part.id &&
                   str_eq(ew->prefix, prefix)) {
            *rc = STORE_OK;
            return ew;
        }
    }
    *rc = STORE_LIMIT;
    if (spare == NULL)
        return NULL;
    *spare = (struct engine_watch){.server = cs, .used = true, .part = part, .prefix = prefix};
    list_init(&spare->clients);
    pthread_mutex_unlock(&cs->watch_lock);
    *rc = store_watch(cs->engine, part, prefix, on_hint, spare);
    pthread_mutex_lock(&cs->watch_lock);
    if (*rc != STORE_OK)
        spare->used = false;
    return *rc == STORE_OK ? spare : NULL;
}

static enum store_rc watch(struct core_client *c, const struct store_watch_req *q,
                           str_t granted_prefix)
{
    struct core_server *cs = c->server;
    struct client_watch *w = &c->watches[q->watch];
    enum store_rc rc;
    pthread_mutex_lock(&cs->watch_add_lock);
    pthread_mutex_lock(&cs->watch_lock);
    struct engine_watch *ew = engine_watch_get(cs, q->part, granted_prefix, &rc);
    if (ew != NULL) {
        if (w->active)
            list_remove(&w->link);
        *w = (struct client_watch){.client = c, .index = q->watch, .active = true, .part = q->part};
        w->prefix_len = q->prefix.len;
        if (q->prefix.len > 0)
            memcpy(w->prefix, q->prefix.ptr, q->prefix.len);
        list_push(&ew->clients, &w->link);
    }
    pthread_mutex_unlock(&cs->watch_lock);
    pthread_mutex_unlock(&cs->watch_add_lock);
    return rc;
}

bool core_watch(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_watch_req q;
    struct grant grant;
    if (!store_watch_decode(payload, &q))
        return false;
    enum store_rc rc;
    const struct permission *row = NULL;
    if (!client_grant(c, &q.head, &grant))
        rc = client_denied(c, "unknown session", q.part, STR_NONE);
    else if ((row = permissions_prefix(&grant, q.part, q.prefix, RIGHT_WATCH)) == NULL)
        rc = client_denied(c, "watch", q.part, q.prefix);
    else
        rc = watch(c, &q, row->prefix);
    client_reply_rc(p, id, STORE_MSG_WATCH, (uint8_t)rc);
    return true;
}

void client_unwatch(struct core_client *c)
{
    pthread_mutex_lock(&c->server->watch_lock);
    for (size_t i = 0; i < STORE_WATCHES; i++)
        if (c->watches[i].active) {
            list_remove(&c->watches[i].link);
            c->watches[i].active = false;
        }
    pthread_mutex_unlock(&c->server->watch_lock);
}
