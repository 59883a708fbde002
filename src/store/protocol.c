/* protocol.c: see protocol.h. The commit, which is the hot path, is in protocol_commit.c; logins and
 * passwords are in protocol_login.c.
 *
 * Encoders write to a buf and decoders read with a cursor; both have errors that stick, so each
 * function reads as the list of its fields with one question at the end. Limits are asked for where
 * the field is read. */
#include "store/protocol.h"

/* A key or the bound of a range: at most STORE_KEY_MAX. */
static str_t take_key(struct cursor *c, size_t min)
{
    str_t key = cursor_str16(c);
    if (key.len < min || key.len > STORE_KEY_MAX)
        c->failed = true;
    return key;
}

static str_t take_value(struct cursor *c)
{
    str_t value = cursor_str32(c);
    if (value.len > STORE_VALUE_MAX)
        c->failed = true;
    return value;
}

static uint8_t take_below(struct cursor *c, unsigned limit)
{
    uint8_t v = cursor_u8(c);
    if (v >= limit)
        c->failed = true;
    return v;
}

bool store_head_encode(struct buf *out, const struct store_head *h)
{
    buf_u8(out, h->has_token ? 1 : 0);
    buf_u32(out, h->timeout_ms);
    if (h->has_token)
        buf_add(out, str_of(h->token, STORE_TOKEN_LEN));
    return !out->failed;
}

bool store_head_decode(struct cursor *c, struct store_head *h)
{
    *h = (struct store_head){.has_token = take_below(c, 2) == 1};
    h->timeout_ms = cursor_u32(c);
    if (h->timeout_ms > STORE_TIMEOUT_MAX_MS)
        h->timeout_ms = STORE_TIMEOUT_MAX_MS;
    if (!h->has_token)
        return !c->failed;
    str_t token = cursor_bytes(c, STORE_TOKEN_LEN);
    if (token.len == STORE_TOKEN_LEN)
        memcpy(h->token, token.ptr, STORE_TOKEN_LEN);
    return !c->failed;
}

bool store_part_encode(struct buf *out, part_t part)
{
    buf_u8(out, (uint8_t)part.kind);
    return buf_u64(out, part.id);
}

bool store_part_decode(struct cursor *c, part_t *part)
{
    part->kind = (enum part_kind)take_below(c, PART_KINDS);
    part->id = cursor_u64(c);
    return !c->failed;
}

/* ---- get ---- */

bool store_get_encode(struct buf *out, const struct store_head *h, part_t part, const str_t *keys,
                      size_t n)
{
    store_head_encode(out, h);
    store_part_encode(out, part);
    buf_u16(out, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        buf_str16(out, keys[i]);
    return !out->failed;
}

bool store_get_decode(str_t request, struct store_head *h, part_t *part, str_t *keys, uint16_t *n)
{
    struct cursor c = cursor_of(request);
    store_head_decode(&c, h);
    store_part_decode(&c, part);
    *n = cursor_u16(&c);
    if (*n > STORE_GET_KEYS)
        return false;
    for (uint16_t i = 0; i < *n; i++)
        keys[i] = take_key(&c, 1);
    return cursor_end(&c);
}

enum { VALUE_ABSENT, VALUE_PRESENT, VALUE_DAMAGED, VALUE_STATES };

bool store_get_reply_encode(struct buf *out, enum store_rc rc, const struct store_value *v,
                            size_t n)
{
    buf_u8(out, (uint8_t)rc);
    if (rc != STORE_OK)
        return !out->failed;
    buf_u16(out, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        if (v[i].rc == STORE_OK && v[i].present) {
            buf_u8(out, VALUE_PRESENT);
            buf_str32(out, v[i].value);
        } else {
            buf_u8(out, v[i].rc == STORE_OK ? VALUE_ABSENT : VALUE_DAMAGED);
        }
    }
    return !out->failed;
}

static void take_get_value(struct cursor *c, struct store_value *out)
{
    uint8_t state = take_below(c, VALUE_STATES);
    *out = (struct store_value){.rc = STORE_OK};
    if (state == VALUE_DAMAGED) {
        out->rc = STORE_DAMAGED;
        out->present = true;
    } else if (state == VALUE_PRESENT) {
        out->present = true;
        out->value = take_value(c);
    }
}

bool store_get_reply_decode(str_t reply, enum store_rc *rc, struct store_value *out, size_t n)
{
    struct cursor c = cursor_of(reply);
    *rc = (enum store_rc)take_below(&c, STORE_UNKNOWN + 1);
    if (c.failed || *rc != STORE_OK)
        return cursor_end(&c);
    if (cursor_u16(&c) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        take_get_value(&c, &out[i]);
    return cursor_end(&c);
}

/* ---- scan ---- */

enum { SCAN_BACKWARDS = 1, SCAN_KEYS_ONLY = 2, SCAN_FLAGS_END = 4 };

bool store_scan_encode(struct buf *out, const struct store_head *h, const struct store_scan *q)
{
    store_head_encode(out, h);
    store_part_encode(out, q->part);
    buf_u64(out, q->snapshot);
    buf_u8(out,
           (uint8_t)((q->backwards ? SCAN_BACKWARDS : 0) | (q->keys_only ? SCAN_KEYS_ONLY : 0)));
    buf_u32(out, q->rows_max);
    buf_str16(out, q->from);
    buf_str16(out, q->end);
    return !out->failed;
}

bool store_scan_decode(str_t request, struct store_head *h, struct store_scan *q)
{
    struct cursor c = cursor_of(request);
    *q = (struct store_scan){0};
    store_head_decode(&c, h);
    store_part_decode(&c, &q->part);
    q->snapshot = cursor_u64(&c);
    uint8_t flags = take_below(&c, SCAN_FLAGS_END);
    q->backwards = (flags & SCAN_BACKWARDS) != 0;
    q->keys_only = (flags & SCAN_KEYS_ONLY) != 0;
    q->rows_max = cursor_u32(&c);
    if (q->rows_max == 0 || q->rows_max > STORE_SCAN_ROWS)
        q->rows_max = STORE_SCAN_ROWS;
    q->from = take_key(&c, 0);
    q->end = take_key(&c, 0);
    return cursor_end(&c);
}

bool store_scan_reply_encode(struct buf *out, enum store_rc rc, const struct store_page *p)
{
    buf_u8(out, (uint8_t)rc);
    if (rc != STORE_OK)
        return !out->failed;
    buf_u8(out, p->more ? 1 : 0);
    buf_u32(out, (uint32_t)p->n);
    for (size_t i = 0; i < p->n && !out->failed; i++) {
        buf_u8(out, p->rows[i].damaged ? 1 : 0);
        buf_str16(out, p->rows[i].key);
        buf_str32(out, p->rows[i].value);
    }
    return !out->failed;
}

bool store_scan_reply_decode(str_t reply, struct arena *a, enum store_rc *rc,
                             struct store_page *out)
{
    struct cursor c = cursor_of(reply);
    *out = (struct store_page){0};
    *rc = (enum store_rc)take_below(&c, STORE_UNKNOWN + 1);
    if (c.failed || *rc != STORE_OK)
        return cursor_end(&c);
    out->more = take_below(&c, 2) == 1;
    uint32_t n = cursor_u32(&c);
    if (c.failed || n > STORE_SCAN_ROWS)
        return false;
    out->rows = arena_array(a, n > 0 ? n : 1, sizeof *out->rows);
    if (out->rows == NULL) {
        *rc = STORE_LIMIT; /* our own arena is full */
        return true;
    }
    for (uint32_t i = 0; i < n; i++) {
        out->rows[i].damaged = take_below(&c, 2) == 1;
        out->rows[i].key = take_key(&c, 1);
        out->rows[i].value = take_value(&c);
    }
    out->n = n;
    return cursor_end(&c);
}

/* ---- watches ---- */

bool store_hint_encode(struct buf *out, const struct store_hint *h)
{
    if (!buf_room(out, STORE_HINT_MAX)) { /* a hint is written whole or not at all */
        out->failed = false;
        return false;
    }
    buf_u8(out, h->watch);
    buf_u8(out, (uint8_t)h->kind);
    buf_str16(out, h->key);
    return buf_str16(out, h->value.len > STORE_HINT_VALUE ? STR_NONE : h->value);
}

bool store_hint_decode(struct cursor *c, struct store_hint *h)
{
    if (c->failed || c->rest.len == 0)
        return false;
    *h = (struct store_hint){.watch = take_below(c, STORE_WATCHES)};
    uint8_t kind = take_below(c, STORE_HINT_LOST + 1);
    h->kind = kind == 0 ? STORE_HINT_PUT : kind == 1 ? STORE_HINT_DELETED : STORE_HINT_LOST;
    h->key = take_key(c, h->kind == STORE_HINT_LOST ? 0 : 1);
    h->value = cursor_str16(c);
    if (h->value.len > STORE_HINT_VALUE)
        c->failed = true;
    return !c->failed;
}

bool store_watch_encode(struct buf *out, const struct store_watch_req *w)
{
    store_head_encode(out, &w->head);
    buf_u8(out, w->watch);
    store_part_encode(out, w->part);
    return buf_str16(out, w->prefix);
}

bool store_watch_decode(str_t request, struct store_watch_req *w)
{
    struct cursor c = cursor_of(request);
    store_head_decode(&c, &w->head);
    w->watch = take_below(&c, STORE_WATCHES);
    store_part_decode(&c, &w->part);
    w->prefix = take_key(&c, 0);
    return cursor_end(&c);
}
