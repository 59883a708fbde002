/* reads.c: gets, scans and snapshots, answered on the channel's reader thread: a read of the map
 * takes microseconds. */
#include "roles/core/client.h"

bool core_get(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_head head;
    part_t part;
    str_t keys[STORE_GET_KEYS];
    uint16_t n;
    if (!store_get_decode(payload, &head, &part, keys, &n))
        return false;
    struct grant grant;
    struct store_value *v = arena_array(&c->arena, n > 0 ? n : 1, sizeof *v);
    enum store_rc rc = v == NULL ? STORE_LIMIT : STORE_OK;
    if (!client_grant(c, &head, &grant))
        rc = client_denied(c, "unknown session", part, STR_NONE);
    for (uint16_t i = 0; i < n && rc == STORE_OK; i++)
        if (permissions_key(&grant, part, keys[i], RIGHT_GET) == NULL)
            rc = client_denied(c, "get", part, keys[i]);
    if (rc == STORE_OK)
        rc = store_get(c->server->engine, part, keys, n, &c->arena, v);
    store_get_reply_encode(&c->out, rc, v, n);
    client_reply(c, p, id, STORE_MSG_GET, &c->out);
    return true;
}

/* ---- snapshots ---- */

static struct snapshot_slot *snapshot_find(struct core_client *c, uint64_t id, uint64_t account)
{
    for (size_t i = 0; id != 0 && i < CORE_SNAPSHOTS; i++)
        if (c->snapshots[i].id == id && c->snapshots[i].account == account)
            return &c->snapshots[i];
    return NULL;
}

static void snapshot_drop(struct core_client *c, struct snapshot_slot *s)
{
    store_snapshot_close(c->server->engine, s->engine_id);
    *s = (struct snapshot_slot){0};
}

/* A free slot, or one whose snapshot has outlived its time. */
static struct snapshot_slot *snapshot_slot_free(struct core_client *c, int64_t now_ms)
{
    for (size_t i = 0; i < CORE_SNAPSHOTS; i++) {
        struct snapshot_slot *s = &c->snapshots[i];
        if (s->id != 0 && now_ms - s->opened_ms > STORE_SNAPSHOT_MS)
            snapshot_drop(c, s);
        if (s->id == 0)
            return s;
    }
    return NULL;
}

static enum store_rc snapshot_open(struct core_client *c, const struct grant *grant, part_t part,
                                   uint64_t *id)
{
    int64_t now = c->server->env->mono_ms(c->server->env);
    struct snapshot_slot *s = snapshot_slot_free(c, now);
    if (s == NULL)
        return STORE_LIMIT;
    enum store_rc rc = store_snapshot_open(c->server->engine, part, &s->engine_id);
    if (rc != STORE_OK)
        return rc;
    s->id = ++c->next_snapshot;
    s->account = grant->account;
    s->opened_ms = now;
    *id = s->id;
    return STORE_OK;
}

/* Whether anything at all could be scanned on it. */
static bool scans_part(const struct grant *g, part_t part)
{
    for (size_t i = 0; i < g->table->n; i++) {
        str_t prefix = g->table->rows[i].prefix;
        if (permissions_prefix(g, part, prefix, RIGHT_SCAN) != NULL ||
            permissions_prefix(g, part, prefix, RIGHT_KEYS) != NULL)
            return true;
    }
    return false;
}

bool core_snapshot_open(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    struct store_head head;
    part_t part;
    store_head_decode(&in, &head);
    store_part_decode(&in, &part);
    if (!cursor_end(&in))
        return false;
    struct grant grant;
    uint64_t snapshot = 0;
    enum store_rc rc;
    if (!client_grant(c, &head, &grant))
        rc = client_denied(c, "unknown session", part, STR_NONE);
    else if (!scans_part(&grant, part))
        rc = client_denied(c, "snapshot", part, STR_NONE);
    else
        rc = snapshot_open(c, &grant, part, &snapshot);
    buf_u8(&c->out, (uint8_t)rc);
    if (rc == STORE_OK)
        buf_u64(&c->out, snapshot);
    client_reply(c, p, id, STORE_MSG_SNAPSHOT_OPEN, &c->out);
    return true;
}

bool core_snapshot_close(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    struct store_head head;
    struct grant grant;
    store_head_decode(&in, &head);
    uint64_t snapshot = cursor_u64(&in);
    if (!cursor_end(&in))
        return false;
    struct snapshot_slot *s =
        client_grant(c, &head, &grant) ? snapshot_find(c, snapshot, grant.account) : NULL;
    if (s != NULL)
        snapshot_drop(c, s);
    client_reply_rc(p, id, STORE_MSG_SNAPSHOT_CLOSE, s != NULL ? STORE_OK : STORE_EXPIRED);
    return true;
}

void client_close_snapshots(struct core_client *c)
{
    for (size_t i = 0; i < CORE_SNAPSHOTS; i++)
        if (c->snapshots[i].id != 0)
            snapshot_drop(c, &c->snapshots[i]);
}

/* ---- scans ---- */

static enum store_rc scan(struct core_client *c, const struct store_head *head,
                          struct store_scan *q, struct store_page *page)
{
    struct grant grant;
    if (!client_grant(c, head, &grant))
        return client_denied(c, "unknown session", q->part, STR_NONE);
    if (permissions_range(&grant, q->part, q->from, q->end, RIGHT_SCAN) == NULL &&
        !(q->keys_only && permissions_range(&grant, q->part, q->from, q->end, RIGHT_KEYS) != NULL))
        return client_denied(c, "scan", q->part, q->from);
    if (q->snapshot != 0) {
        struct snapshot_slot *s = snapshot_find(c, q->snapshot, grant.account);
        if (s == NULL)
            return STORE_EXPIRED;
        q->snapshot = s->engine_id;
    }
    return store_scan(c->server->engine, q, &c->arena, page);
}

bool core_scan(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_head head;
    struct store_scan q;
    struct store_page page = {0};
    if (!store_scan_decode(payload, &head, &q))
        return false;
    enum store_rc rc = scan(c, &head, &q, &page);
    store_scan_reply_encode(&c->out, rc, &page);
    client_reply(c, p, id, STORE_MSG_SCAN, &c->out);
    return true;
}
