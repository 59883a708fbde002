/* queue_bounce.c: see queue_bounce.h. */
#include "post/queue_bounce.h"

#include "base/utf8.h"

/* Header 64 KiB, 100 diagnostics of 1 KiB with their fields, folded: well under this, and under
 * what a batch has left. */
enum { BOUNCE_MAX = 512 << 10 };

enum queue_bounce_rc queue_bounce_kind(const struct queue_message *m, enum dsn_action action)
{
    if (m->reverse_path.len > 0)
        return QUEUE_BOUNCE_MADE;
    if (action != DSN_FAILED)
        return QUEUE_BOUNCE_NONE;
    return m->last_resort ? QUEUE_BOUNCE_DROPPED : QUEUE_BOUNCE_MADE;
}

static bool content_write(const struct queue_bounce *q, str_t to, int64_t now_ms, str_t unique,
                          struct buf *out, struct arena *a)
{
    char id[QUEUE_ID_TEXT];
    queue_id_text(q->m->id, id);
    struct dsn_recipient *r = arena_array(a, q->n, sizeof *r);
    if (r == NULL)
        return false;
    for (size_t i = 0; i < q->n; i++) {
        r[i] = q->recipients[i];
        r[i].diagnostic = str_first(r[i].diagnostic, QUEUE_BOUNCE_DIAGNOSTIC_MAX);
    }
    struct dsn d = {
        .action = q->action,
        .hostname = q->hostname,
        .to = to,
        .queue_id = str_c(id),
        .message_id_unique = unique,
        .now_ms = now_ms,
        .arrived_ms = q->m->arrived_ms,
        .give_up_ms = q->give_up_ms,
        .deliver_by_ms = q->m->by != QUEUE_BY_NONE ? q->m->deliver_by_ms : 0,
        .recipients = r,
        .n = q->n,
        .original_header = q->header,
        .utf8 = q->m->smtputf8,
        .envelope_id = q->m->envelope_id,
        .whole = q->whole,
        .may_8bit = q->m->body_8bit,
    };
    return dsn_write(&d, out);
}

static bool rows_put(const struct queue_message *m, str_t to, str_t content, struct store_batch *b,
                     struct arena *a)
{
    struct queue_rcpt rcpt = {.address = to, .utf8 = m->smtputf8};
    struct queue_delivery d = {.id = m->id,
                               .local = true,
                               .arrived_ms = m->arrived_ms,
                               .next_ms = m->arrived_ms,
                               .priority = m->priority,
                               .source = m->source,
                               .nrcpt = 1,
                               .rcpt = &rcpt};
    struct buf v;
    buf_init(&v, STORE_VALUE_MAX);
    bool ok = queue_message_encode(m, &v);
    store_put(b, queue_key_message(m->id, a), arena_dup(a, buf_str(&v)));
    buf_clear(&v);
    ok = ok && queue_delivery_encode(&d, &v);
    store_put(b, queue_key_delivery(m->id, 0, true, a), arena_dup(a, buf_str(&v)));
    buf_free(&v);
    for (uint32_t k = 0; k < m->chunks; k++)
        store_put(b, queue_key_chunk(m->id, k, a),
                  str_first(str_from(content, (size_t)k * STORE_CHUNK), STORE_CHUNK));
    return ok && !a->failed;
}

enum queue_bounce_rc queue_bounce_add(struct env *env, const struct queue_bounce *q,
                                      struct store_batch *b, struct arena *a, queue_id_t *id)
{
    enum queue_bounce_rc kind = queue_bounce_kind(q->m, q->action);
    if (kind != QUEUE_BOUNCE_MADE)
        return kind;
    bool last_resort = q->m->reverse_path.len == 0;
    str_t to = last_resort ? STR("postmaster") : arena_dup(a, q->m->reverse_path);
    struct queue_message m = {
        .id = queue_id_new(env),
        .arrived_ms = env->wall_ms(env),
        .smtputf8 = q->m->smtputf8,
        .bounce = true,
        .single = true,
        .last_resort = last_resort,
        .requiretls = q->m->requiretls,
        .auto_submitted = true, /* as its header says: no delay is told */
        .next_n = 1,
        .priority = q->m->priority,
        .source = q->m->source,
        .client = STR("local"),
        .protocol = STR("local"),
    };
    char text[QUEUE_ID_TEXT];
    struct buf content;
    buf_init(&content, BOUNCE_MAX);
    bool ok = content_write(q, to, m.arrived_ms, str_c(queue_id_text(m.id, text)), &content, a);
    str_t kept = arena_dup(a, buf_str(&content));
    buf_free(&content);
    if (!ok || a->failed)
        return QUEUE_BOUNCE_FAILED;
    m.size = kept.len;
    m.chunks = (uint32_t)((kept.len + STORE_CHUNK - 1) / STORE_CHUNK);
    m.body_8bit = !str_ascii(kept);
    *id = m.id;
    return rows_put(&m, to, kept, b, a) ? QUEUE_BOUNCE_MADE : QUEUE_BOUNCE_FAILED;
}
