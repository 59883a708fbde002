/* queue_event.c: see queue_event.h. All recipients of one attempt usually got the same answer: a
 * text equal to the one before it is kept once. */
#include "post/queue_event.h"

#include "base/cursor.h"

enum { EVENT_VERSION = 1 };
enum { E_BOUNCED = 1, E_WARNED = 2, E_ALL = 3 };
enum { RESULT_SAME = 0x80 }; /* beside the outcome: code, status and text as in the result before */
enum { KEY_TAIL = 8 + 2 + 1 + 4, KEY_LEN = 2 + 10 + 1 + KEY_TAIL };

const char *queue_event_name(enum queue_event_kind k)
{
    switch (k) {
    case QUEUE_EVENT_ATTEMPT: return "attempt";
    case QUEUE_EVENT_LOCAL: return "local";
    case QUEUE_EVENT_HELD: return "held";
    case QUEUE_EVENT_RELEASED: return "released";
    case QUEUE_EVENT_RETRY: return "retry";
    case QUEUE_EVENT_REMOVED: return "removed";
    case QUEUE_EVENT_ROUTED: return "re-routed";
    case QUEUE_EVENT_KINDS: break;
    }
    return "unknown";
}

const char *queue_outcome_name(enum queue_outcome o)
{
    switch (o) {
    case QUEUE_DELIVERED: return "delivered";
    case QUEUE_DEFERRED: return "deferred";
    case QUEUE_FAILED: return "failed";
    case QUEUE_FORWARDED: return "forwarded";
    case QUEUE_DROPPED: return "dropped";
    case QUEUE_OUTCOMES: break;
    }
    return "unknown";
}

str_t queue_event_key(const struct queue_event *e, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_LEN);
    buf_add(&b, STR("t/"));
    buf_add(&b, str_of((const char *)e->id.b, sizeof e->id.b));
    buf_addc(&b, '/');
    buf_u64(&b, (uint64_t)e->time_ms);
    buf_u16(&b, e->n);
    buf_u8(&b, (uint8_t)e->kind);
    buf_u32(&b, e->serial);
    str_t key = b.failed ? STR_NONE : arena_dup(a, buf_str(&b));
    buf_free(&b);
    return key;
}

bool queue_event_key_time(str_t key, int64_t *time_ms)
{
    if (key.len != KEY_LEN || !str_starts(key, STR("t/")) || key.ptr[KEY_LEN - KEY_TAIL - 1] != '/')
        return false;
    struct cursor c = cursor_of(str_from(key, KEY_LEN - KEY_TAIL));
    *time_ms = (int64_t)cursor_u64(&c);
    return true;
}

static bool result_same(const struct queue_result *a, const struct queue_result *b)
{
    return a->code == b->code && str_eq(a->status, b->status) && str_eq(a->text, b->text);
}

static void results_encode(const struct queue_event *e, struct buf *out)
{
    size_t most = e->nresults > 0 ? QUEUE_EVENT_TEXTS_MAX / e->nresults : 0;
    if (most > QUEUE_EVENT_TEXT_MAX)
        most = QUEUE_EVENT_TEXT_MAX;
    buf_u16(out, (uint16_t)e->nresults);
    for (size_t i = 0; i < e->nresults; i++) {
        const struct queue_result *r = &e->results[i];
        bool same = i > 0 && result_same(r, r - 1);
        buf_u8(out, (uint8_t)(r->outcome | (same ? RESULT_SAME : 0)));
        buf_str16(out, r->address);
        if (same)
            continue;
        buf_u16(out, (uint16_t)r->code);
        buf_str16(out, r->status);
        buf_str16(out, str_first(r->text, most));
    }
}

bool queue_event_encode(const struct queue_event *e, struct buf *out)
{
    must(e->nresults <= UINT16_MAX);
    buf_u8(out, EVENT_VERSION);
    buf_u8(out, (uint8_t)((e->bounced ? E_BOUNCED : 0) | (e->warned ? E_WARNED : 0)));
    buf_u64(out, (uint64_t)e->next_ms);
    buf_str16(out, e->host);
    buf_str16(out, e->addr);
    buf_str16(out, str_first(e->text, QUEUE_EVENT_TEXT_MAX));
    if (e->bounced)
        buf_add(out, str_of((const char *)e->bounce.b, sizeof e->bounce.b));
    if (e->warned)
        buf_add(out, str_of((const char *)e->warning.b, sizeof e->warning.b));
    results_encode(e, out);
    return !out->failed;
}

static void id_take(struct cursor *c, queue_id_t *id)
{
    str_t s = cursor_bytes(c, sizeof id->b);
    if (!c->failed)
        memcpy(id->b, s.ptr, sizeof id->b);
}

static bool key_take(str_t key, struct queue_event *out)
{
    if (!queue_event_key_time(key, &out->time_ms))
        return false;
    memcpy(out->id.b, key.ptr + 2, sizeof out->id.b);
    struct cursor c = cursor_of(str_from(key, KEY_LEN - KEY_TAIL + 8));
    out->n = cursor_u16(&c);
    uint8_t kind = cursor_u8(&c);
    out->serial = cursor_u32(&c);
    out->kind = (enum queue_event_kind)kind;
    return kind > 0 && kind < QUEUE_EVENT_KINDS;
}

static bool results_take(struct cursor *c, struct arena *a, struct queue_event *out)
{
    enum { RESULT_LEAST = 3 }; /* bytes: a count the value cannot hold allocates nothing */
    out->nresults = cursor_u16(c);
    if (c->failed || out->nresults > c->rest.len / RESULT_LEAST)
        return false;
    out->results = arena_array(a, out->nresults, sizeof *out->results);
    if (a->failed)
        return false;
    for (size_t i = 0; i < out->nresults; i++) {
        struct queue_result *r = &out->results[i];
        uint8_t outcome = cursor_u8(c);
        bool same = outcome & RESULT_SAME;
        outcome &= (uint8_t)~RESULT_SAME;
        if (outcome >= QUEUE_OUTCOMES || (same && i == 0))
            return false;
        if (same)
            *r = r[-1];
        r->outcome = (enum queue_outcome)outcome;
        r->address = arena_dup(a, cursor_str16(c));
        if (same)
            continue;
        r->code = cursor_u16(c);
        r->status = arena_dup(a, cursor_str16(c));
        r->text = arena_dup(a, cursor_str16(c));
    }
    return true;
}

bool queue_event_decode(str_t key, str_t value, struct arena *a, struct queue_event *out)
{
    *out = (struct queue_event){0};
    struct cursor c = cursor_of(value);
    if (!key_take(key, out) || cursor_u8(&c) != EVENT_VERSION)
        return false;
    uint8_t flags = cursor_u8(&c);
    if ((flags & ~E_ALL) != 0)
        return false;
    out->bounced = flags & E_BOUNCED;
    out->warned = flags & E_WARNED;
    out->next_ms = (int64_t)cursor_u64(&c);
    out->host = arena_dup(a, cursor_str16(&c));
    out->addr = arena_dup(a, cursor_str16(&c));
    out->text = arena_dup(a, cursor_str16(&c));
    if (out->bounced)
        id_take(&c, &out->bounce);
    if (out->warned)
        id_take(&c, &out->warning);
    return results_take(&c, a, out) && cursor_end(&c) && !a->failed;
}

bool queue_event_add(const struct queue_event *e, struct store_batch *b, struct arena *a)
{
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    bool ok = queue_event_encode(e, &value);
    store_put(b, queue_event_key(e, a), arena_dup(a, buf_str(&value)));
    buf_free(&value);
    return ok && !a->failed;
}
