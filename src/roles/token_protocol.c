/* token_protocol.c: see token_protocol.h. */
#include "roles/token_protocol.h"

#include "base/cursor.h"

bool token_check_encode(const struct token_check *q, struct buf *out)
{
    buf_u32(out, q->wait_ms);
    return buf_str16(out, q->token) && !out->failed;
}

bool token_check_decode(str_t payload, struct token_check *q)
{
    struct cursor c = cursor_of(payload);
    q->wait_ms = cursor_u32(&c);
    q->token = cursor_str16(&c);
    return cursor_end(&c) && q->wait_ms >= 1 && q->wait_ms <= TOKEN_WAIT_MAX_MS &&
           q->token.len >= 1 && q->token.len <= STORE_BEARER_MAX;
}

bool token_verdict_encode(const struct token_verdict *v, struct buf *out)
{
    buf_u8(out, (uint8_t)v->rc);
    buf_str16(out, v->name);
    return buf_u32(out, v->good_s) && !out->failed;
}

static bool name_ok(str_t name)
{
    return name.len >= 1 && name.len <= STORE_ADDRESS_MAX &&
           memchr(name.ptr, '\0', name.len) == NULL;
}

bool token_verdict_decode(str_t payload, struct token_verdict *v)
{
    struct cursor c = cursor_of(payload);
    uint8_t rc = cursor_u8(&c);
    v->rc = (enum rc)rc;
    v->name = cursor_str16(&c);
    v->good_s = cursor_u32(&c);
    return cursor_end(&c) && rc <= RC_PERM &&
           (v->rc == RC_OK ? name_ok(v->name) : v->name.len == 0 && v->good_s == 0);
}
