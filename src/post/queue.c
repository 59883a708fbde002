/* queue.c: ids, keys and records of the queue. See queue.h.
 *
 * Every record begins with a version byte; a decoder refuses what it does not know, what is cut
 * short and what has bytes left over. Flags are bits of one byte; a bit that means nothing yet
 * makes the record unknown rather than silently half-read. */
#include "post/queue.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/cursor.h"

/* Version 1 is read too (what it lacks is empty), 2 is written. A further field of a message stands
 * at the end, is read where the version has it, and raises MESSAGE_VERSION; all versions from the
 * first on are read. Within a delivery what schedules need stands in front (delivery_head). */
enum { MESSAGE_VERSION = 2, DELIVERY_VERSION = 2, FIRST_VERSION = 1 };

enum { /* flags of a message row */
       M_8BIT = 1,
       M_SMTPUTF8 = 2,
       M_BOUNCE = 4,
       M_SINGLE = 8,
       M_LAST_RESORT = 16,
       M_BINARY = 32,
       M_REQUIRETLS = 64,
       M_AUTO = 128,
};
enum { /* more flags of a message row */
       N_BY_TRACE = 1,
       N_ALL = 1,
};
enum { /* flags of a delivery row; D_BY: its time stands behind the source */
       D_WARNED = 1,
       D_SENDER = 2,
       D_BY_TOLD = 4,
       D_LIST = 8,
       D_ASKED = 16,
       D_BY = 32,
       D_ALL = 63,
};
enum { R_UTF8 = 1, R_BOX = 2, R_ALL = 3 };

/* ---- ids ---- */

queue_id_t queue_id_new(struct env *env)
{
    queue_id_t id;
    uint64_t ms = (uint64_t)env->wall_ms(env);
    for (int i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(ms >> (8 * (5 - i)));
    env->random(env, id.b + 6, 4);
    return id;
}

int64_t queue_id_ms(queue_id_t id)
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.b[i];
    return ms;
}

char *queue_id_text(queue_id_t id, char out[static QUEUE_ID_TEXT])
{
    struct buf b;
    buf_init(&b, QUEUE_ID_TEXT);
    must(id32_encode(&b, str_of((const char *)id.b, sizeof id.b)) && b.len == QUEUE_ID_TEXT - 1);
    memcpy(out, b.ptr, b.len);
    out[b.len] = 0;
    buf_free(&b);
    return out;
}

bool queue_id_parse(str_t text, queue_id_t *out)
{
    if (text.len != QUEUE_ID_TEXT - 1)
        return false;
    struct buf b;
    buf_init(&b, sizeof out->b);
    bool ok = id32_decode(&b, text, sizeof out->b) && b.len == sizeof out->b;
    if (ok)
        memcpy(out->b, b.ptr, sizeof out->b);
    buf_free(&b);
    return ok;
}

/* ---- keys ---- */

static str_t key_of(struct arena *a, str_t prefix, queue_id_t id, uint64_t n, size_t n_bytes)
{
    size_t len = prefix.len + sizeof id.b + (n_bytes > 0 ? 1 + n_bytes : 0);
    char *k = arena_alloc(a, len);
    if (k == NULL)
        return STR_NONE;
    memcpy(k, prefix.ptr, prefix.len);
    memcpy(k + prefix.len, id.b, sizeof id.b);
    if (n_bytes > 0)
        k[prefix.len + sizeof id.b] = '/';
    for (size_t i = 0; i < n_bytes; i++)
        k[len - 1 - i] = (char)(n >> (8 * i));
    return str_of(k, len);
}

str_t queue_key_message(queue_id_t id, struct arena *a)
{
    return key_of(a, STR("m/"), id, 0, 0);
}
str_t queue_key_chunk(queue_id_t id, uint32_t n, struct arena *a)
{
    return key_of(a, STR("c/"), id, n, 4);
}
str_t queue_key_delivery(queue_id_t id, uint16_t n, bool local, struct arena *a)
{
    return key_of(a, local ? STR("dl/") : STR("dr/"), id, n, 2);
}

str_t queue_key_prefix(const char *kind, queue_id_t id, struct arena *a)
{
    size_t len = strlen(kind);
    char *k = arena_alloc(a, len + 2 + sizeof id.b);
    if (k == NULL)
        return STR_NONE;
    memcpy(k, kind, len);
    k[len] = '/';
    memcpy(k + len + 1, id.b, sizeof id.b);
    k[len + 1 + sizeof id.b] = '/';
    return str_of(k, len + 2 + sizeof id.b);
}

bool queue_key_delivery_parse(str_t key, queue_id_t *id, uint16_t *n, bool *local)
{
    if (key.len != 3 + sizeof id->b + 3 || key.ptr[3 + sizeof id->b] != '/')
        return false;
    *local = str_starts(key, STR("dl/"));
    if (!*local && !str_starts(key, STR("dr/")))
        return false;
    memcpy(id->b, key.ptr + 3, sizeof id->b);
    struct cursor c = cursor_of(str_from(key, 4 + sizeof id->b));
    *n = cursor_u16(&c);
    return true;
}

bool queue_key_id(str_t key, queue_id_t *id)
{
    size_t slash;
    if (!str_find(key, '/', &slash) || key.len < slash + 1 + sizeof id->b)
        return false;
    memcpy(id->b, key.ptr + slash + 1, sizeof id->b);
    return true;
}

static bool version_known(uint8_t version, uint8_t newest)
{
    return version >= FIRST_VERSION && version <= newest;
}

/* ---- the message row ---- */

bool queue_message_encode(const struct queue_message *m, struct buf *out)
{
    buf_u8(out, MESSAGE_VERSION);
    buf_u8(out, (uint8_t)((m->body_8bit ? M_8BIT : 0) | (m->smtputf8 ? M_SMTPUTF8 : 0) |
                          (m->bounce ? M_BOUNCE : 0) | (m->single ? M_SINGLE : 0) |
                          (m->last_resort ? M_LAST_RESORT : 0) | (m->body_binary ? M_BINARY : 0) |
                          (m->requiretls ? M_REQUIRETLS : 0) | (m->auto_submitted ? M_AUTO : 0)));
    buf_u64(out, (uint64_t)m->arrived_ms);
    buf_u64(out, m->size);
    buf_u32(out, m->chunks);
    buf_u16(out, m->next_n);
    buf_str16(out, m->reverse_path);
    buf_str16(out, str_first(m->client, QUEUE_TEXT_MAX));
    buf_str16(out, str_first(m->helo, QUEUE_TEXT_MAX));
    buf_str16(out, str_first(m->protocol, QUEUE_TEXT_MAX));
    buf_str16(out, str_first(m->envelope_id, QUEUE_TEXT_MAX));
    buf_u8(out, m->by_trace ? N_BY_TRACE : 0);
    buf_u8(out, (uint8_t)m->ret);
    buf_u8(out, (uint8_t)m->by);
    buf_u8(out, (uint8_t)m->priority);
    buf_u64(out, (uint64_t)m->deliver_by_ms);
    buf_u64(out, (uint64_t)m->release_ms);
    buf_u64(out, m->account);
    buf_str16(out, str_first(m->source, QUEUE_TEXT_MAX));
    return !out->failed;
}

static bool priority_ok(int8_t p)
{
    return p >= -QUEUE_PRIORITY_MAX && p <= QUEUE_PRIORITY_MAX;
}

/* What version 2 added. */
static bool message_more(struct cursor *c, struct arena *a, struct queue_message *out)
{
    uint8_t flags = cursor_u8(c), ret = cursor_u8(c), by = cursor_u8(c);
    out->by_trace = flags & N_BY_TRACE;
    out->ret = (enum queue_ret)ret;
    out->by = (enum queue_by)by;
    out->priority = (int8_t)cursor_u8(c);
    out->deliver_by_ms = (int64_t)cursor_u64(c);
    out->release_ms = (int64_t)cursor_u64(c);
    out->account = cursor_u64(c);
    out->source = arena_dup(a, cursor_str16(c));
    return (flags & ~N_ALL) == 0 && ret <= QUEUE_RET_HDRS && by <= QUEUE_BY_RETURN &&
           priority_ok(out->priority);
}

bool queue_message_decode(str_t value, queue_id_t id, struct arena *a, struct queue_message *out)
{
    struct cursor c = cursor_of(value);
    uint8_t version = cursor_u8(&c), flags = cursor_u8(&c);
    if (!version_known(version, MESSAGE_VERSION))
        return false;
    *out = (struct queue_message){
        .id = id,
        .body_8bit = flags & M_8BIT,
        .smtputf8 = flags & M_SMTPUTF8,
        .bounce = flags & M_BOUNCE,
        .single = flags & M_SINGLE,
        .last_resort = flags & M_LAST_RESORT,
        .body_binary = flags & M_BINARY,
        .requiretls = flags & M_REQUIRETLS,
        .auto_submitted = flags & M_AUTO,
    };
    out->arrived_ms = (int64_t)cursor_u64(&c);
    out->size = cursor_u64(&c);
    out->chunks = cursor_u32(&c);
    out->next_n = cursor_u16(&c);
    out->reverse_path = arena_dup(a, cursor_str16(&c));
    out->client = arena_dup(a, cursor_str16(&c));
    out->helo = arena_dup(a, cursor_str16(&c));
    out->protocol = arena_dup(a, cursor_str16(&c));
    out->envelope_id = arena_dup(a, cursor_str16(&c));
    if (version > FIRST_VERSION && !message_more(&c, a, out))
        return false;
    return cursor_end(&c) && !a->failed;
}

/* ---- the delivery row ---- */

const char *queue_state_name(enum queue_state state)
{
    static const char *const names[QUEUE_STATES] = {[QUEUE_READY] = "ready", [QUEUE_HELD] = "held"};
    return names[state];
}

bool queue_delivery_encode(const struct queue_delivery *d, struct buf *out)
{
    must(d->nrcpt > 0 && d->nrcpt <= QUEUE_GROUP);
    buf_u8(out, DELIVERY_VERSION);
    buf_u8(out, (uint8_t)d->state);
    buf_u8(out, (uint8_t)((d->warned ? D_WARNED : 0) | (d->has_sender ? D_SENDER : 0) |
                          (d->by_told ? D_BY_TOLD : 0) | (d->list ? D_LIST : 0) |
                          (d->asked ? D_ASKED : 0) | (d->deliver_by_ms != 0 ? D_BY : 0)));
    buf_u64(out, (uint64_t)d->next_ms);
    buf_str16(out, d->domain);
    buf_u8(out, (uint8_t)d->priority);
    buf_str16(out, d->via);
    buf_str16(out, str_first(d->source, QUEUE_TEXT_MAX));
    if (d->deliver_by_ms != 0)
        buf_u64(out, (uint64_t)d->deliver_by_ms);
    buf_u32(out, d->attempts);
    buf_u64(out, (uint64_t)d->arrived_ms);
    buf_str16(out, str_first(d->reason, QUEUE_REPLY_MAX));
    buf_str16(out, d->sender);
    buf_u16(out, (uint16_t)d->nrcpt);
    for (size_t i = 0; i < d->nrcpt; i++) {
        buf_u8(out, (uint8_t)((d->rcpt[i].utf8 ? R_UTF8 : 0) | (d->rcpt[i].box ? R_BOX : 0)));
        buf_str16(out, d->rcpt[i].address);
        buf_str16(out, d->rcpt[i].original);
        buf_str16(out, d->rcpt[i].orcpt);
        buf_u8(out, d->rcpt[i].notify);
    }
    return !out->failed;
}

/* The fields a schedule needs come first: queue_due_decode stops here. */
struct delivery_head {
    uint8_t version, flags;
};

static bool delivery_head(struct cursor *c, struct queue_due *out, struct delivery_head *head)
{
    head->version = cursor_u8(c);
    uint8_t state = cursor_u8(c);
    head->flags = cursor_u8(c);
    if (!version_known(head->version, DELIVERY_VERSION) || state >= QUEUE_STATES ||
        (head->flags & ~D_ALL) != 0)
        return false;
    out->state = (enum queue_state)state;
    out->asked = head->flags & D_ASKED;
    out->next_ms = (int64_t)cursor_u64(c);
    out->domain = cursor_str16(c);
    out->priority = 0;
    out->via = out->source = STR_NONE;
    if (head->version > FIRST_VERSION) {
        out->priority = (int8_t)cursor_u8(c);
        out->via = cursor_str16(c);
        out->source = cursor_str16(c);
    }
    out->deliver_by_ms = (head->flags & D_BY) != 0 ? (int64_t)cursor_u64(c) : 0;
    return !c->failed && priority_ok(out->priority);
}

bool queue_due_decode(str_t key, str_t value, struct queue_due *out)
{
    struct delivery_head head;
    struct cursor c = cursor_of(value);
    return queue_key_delivery_parse(key, &out->id, &out->n, &out->local) &&
           delivery_head(&c, out, &head);
}

bool queue_delivery_decode(str_t key, str_t value, struct arena *a, struct queue_delivery *out)
{
    struct queue_due due;
    struct delivery_head head;
    struct cursor c = cursor_of(value);
    *out = (struct queue_delivery){0};
    if (!queue_key_delivery_parse(key, &due.id, &due.n, &due.local) ||
        !delivery_head(&c, &due, &head))
        return false;
    out->warned = head.flags & D_WARNED;
    out->has_sender = head.flags & D_SENDER;
    out->by_told = head.flags & D_BY_TOLD;
    out->list = head.flags & D_LIST;
    out->asked = due.asked;
    out->deliver_by_ms = due.deliver_by_ms;
    out->priority = due.priority;
    out->via = arena_dup(a, due.via);
    out->source = arena_dup(a, due.source);
    out->id = due.id;
    out->n = due.n;
    out->local = due.local;
    out->state = due.state;
    out->next_ms = due.next_ms;
    out->domain = arena_dup(a, due.domain);
    out->attempts = cursor_u32(&c);
    out->arrived_ms = (int64_t)cursor_u64(&c);
    out->reason = arena_dup(a, cursor_str16(&c));
    if (head.version > FIRST_VERSION)
        out->sender = arena_dup(a, cursor_str16(&c));
    out->nrcpt = cursor_u16(&c);
    if (c.failed || out->nrcpt == 0 || out->nrcpt > QUEUE_GROUP)
        return false;
    out->rcpt = arena_array(a, out->nrcpt, sizeof *out->rcpt);
    if (a->failed)
        return false;
    for (size_t i = 0; i < out->nrcpt; i++) {
        uint8_t flags = cursor_u8(&c);
        if ((flags & ~R_ALL) != 0)
            return false;
        out->rcpt[i].utf8 = flags & R_UTF8;
        out->rcpt[i].box = flags & R_BOX;
        out->rcpt[i].address = arena_dup(a, cursor_str16(&c));
        out->rcpt[i].original = arena_dup(a, cursor_str16(&c));
        if (head.version > FIRST_VERSION) {
            out->rcpt[i].orcpt = arena_dup(a, cursor_str16(&c));
            out->rcpt[i].notify = cursor_u8(&c);
        }
    }
    return cursor_end(&c) && !a->failed;
}
