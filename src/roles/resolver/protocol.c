/* protocol.c: see protocol.h. */
#include "roles/resolver/protocol.h"

#include "base/cursor.h"

static bool type_known(uint16_t type)
{
    return type == DNS_A || type == DNS_CNAME || type == DNS_PTR || type == DNS_MX ||
           type == DNS_TXT || type == DNS_AAAA || type == DNS_TLSA;
}

/* A backslash would be an escape to the resolver's own parser: the name would not mean what it
 * says. */
bool resolver_name_ok(str_t name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f || name.ptr[i] == '\\')
            return false;
    return name.len >= 1 && name.len <= RESOLVER_NAME_MAX;
}

bool resolver_query_encode(const struct resolver_query *q, struct buf *out)
{
    buf_u16(out, (uint16_t)q->type);
    buf_u32(out, q->wait_ms);
    return buf_str16(out, q->name);
}

bool resolver_query_decode(str_t payload, struct resolver_query *q)
{
    struct cursor c = cursor_of(payload);
    uint16_t type = cursor_u16(&c);
    q->wait_ms = cursor_u32(&c);
    q->name = cursor_str16(&c);
    q->type = (enum dns_type)type;
    return cursor_end(&c) && type_known(type) && q->wait_ms >= 1 &&
           q->wait_ms <= RESOLVER_WAIT_MAX && resolver_name_ok(q->name);
}

bool resolver_answer_encode(const struct dns_answer *a, struct buf *out)
{
    size_t n = 0, bytes = 64 + a->canonical.len;
    while (n < a->n && n < DNS_ANSWER_RECORDS_MAX && a->rdata[n].len <= UINT16_MAX &&
           bytes + 2 + a->rdata[n].len <= RESOLVER_ANSWER_MAX)
        bytes += 2 + a->rdata[n++].len;
    buf_u8(out, (uint8_t)a->status);
    buf_u8(out, a->secure);
    buf_u32(out, a->ttl_s);
    buf_str16(out, a->canonical);
    buf_u16(out, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        buf_str16(out, a->rdata[i]);
    return !out->failed;
}

bool resolver_answer_decode(str_t payload, struct arena *a, struct dns_answer *out)
{
    struct cursor c = cursor_of(payload);
    uint8_t status = cursor_u8(&c), secure = cursor_u8(&c);
    *out = (struct dns_answer){.status = (enum dns_status)status, .secure = secure != 0};
    out->ttl_s = cursor_u32(&c);
    str_t canonical = cursor_str16(&c);
    size_t n = cursor_u16(&c);
    if (c.failed || status > DNS_BOGUS || secure > 1 || n > DNS_ANSWER_RECORDS_MAX ||
        canonical.len > RESOLVER_NAME_MAX || (n > 0) != (status == DNS_OK))
        return false;
    out->canonical = arena_dup(a, canonical);
    out->rdata = n > 0 ? arena_array(a, n, sizeof *out->rdata) : NULL;
    if (n > 0 && out->rdata == NULL)
        return false;
    for (out->n = 0; out->n < n; out->n++)
        out->rdata[out->n] = arena_dup(a, cursor_str16(&c));
    return cursor_end(&c) && !a->failed;
}
