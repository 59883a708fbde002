/* protocol_login.c: the messages about logins and passwords. See protocol.h. */
#include "store/protocol.h"

static bool login_fits(const struct store_login *l)
{
    size_t secret_max = l->proof == STORE_PROOF_TOKEN ? STORE_BEARER_MAX : STORE_PASSWORD_MAX;
    return l->name.len <= STORE_NAME_MAX && l->password.len <= secret_max &&
           l->auth_message.len <= STORE_AUTH_MESSAGE_MAX &&
           l->client_proof.len <= STORE_DIGEST_MAX && l->cert_sha256.len <= STORE_DIGEST_MAX;
}

static bool login_makes_sense(const struct store_login *l)
{
    if (l->use != STORE_USE_READ && l->use != STORE_USE_SEND)
        return false;
    switch (l->proof) {
    case STORE_PROOF_PASSWORD: return true;
    case STORE_PROOF_SCRAM:
        return (l->hash_bits == 1 && l->client_proof.len == 20) ||
               (l->hash_bits == 256 && l->client_proof.len == 32);
    case STORE_PROOF_TOKEN: return true;
    case STORE_PROOF_CERTIFICATE: return l->cert_sha256.len == STORE_DIGEST_MAX;
    }
    return false;
}

bool store_login_valid(const struct store_login *l)
{
    return login_fits(l) && login_makes_sense(l);
}

bool store_login_encode(struct buf *out, const struct store_login_req *q)
{
    const struct store_login *l = &q->login;
    store_head_encode(out, &q->head);
    buf_u8(out, (uint8_t)l->use);
    buf_u8(out, (uint8_t)l->proof);
    buf_u8(out, (uint8_t)l->from.family);
    buf_add(out, str_of(l->from.bytes, sizeof l->from.bytes));
    buf_str16(out, l->name);
    buf_str16(out, l->password);
    buf_u16(out, (uint16_t)l->hash_bits);
    buf_str16(out, l->auth_message);
    buf_str16(out, l->client_proof);
    return buf_str16(out, l->cert_sha256);
}

static bool take_address(struct cursor *c, struct netaddr *out)
{
    uint8_t family = cursor_u8(c);
    str_t bytes = cursor_bytes(c, sizeof out->bytes);
    if (family > NETADDR_UNIX || bytes.len != sizeof out->bytes)
        return false;
    *out = (struct netaddr){.family = (enum netaddr_family)family};
    memcpy(out->bytes, bytes.ptr, bytes.len);
    return true;
}

bool store_login_decode(str_t request, struct store_login_req *q)
{
    struct cursor c = cursor_of(request);
    struct store_login *l = &q->login;
    *q = (struct store_login_req){0};
    store_head_decode(&c, &q->head);
    l->use = (enum store_use)cursor_u8(&c);
    l->proof = (enum store_proof)cursor_u8(&c);
    bool address = take_address(&c, &l->from);
    l->name = cursor_str16(&c);
    l->password = cursor_str16(&c);
    l->hash_bits = cursor_u16(&c);
    l->auth_message = cursor_str16(&c);
    l->client_proof = cursor_str16(&c);
    l->cert_sha256 = cursor_str16(&c);
    return cursor_end(&c) && address && store_login_valid(l);
}

/* ---- its answer ---- */

bool store_login_reply_encode(struct buf *out, const struct store_login_reply *r)
{
    buf_u8(out, (uint8_t)r->rc);
    if (r->rc != RC_OK)
        return buf_u32(out, r->hold_ms);
    buf_u64(out, r->account);
    buf_add(out, str_of(r->token, STORE_TOKEN_LEN));
    buf_str16(out, r->address);
    buf_str16(out, r->password_name);
    return buf_str16(out, r->signature);
}

bool store_login_reply_decode(str_t reply, struct store_login_reply *r)
{
    struct cursor c = cursor_of(reply);
    uint8_t rc = cursor_u8(&c);
    *r = (struct store_login_reply){.rc = rc == RC_OK ? RC_OK : rc == RC_PERM ? RC_PERM : RC_TEMP};
    if (r->rc != RC_OK) {
        r->hold_ms = cursor_u32(&c);
        return cursor_end(&c);
    }
    r->account = cursor_u64(&c);
    str_t token = cursor_bytes(&c, STORE_TOKEN_LEN);
    if (token.len == STORE_TOKEN_LEN)
        memcpy(r->token, token.ptr, STORE_TOKEN_LEN);
    r->address = cursor_str16(&c);
    r->password_name = cursor_str16(&c);
    r->signature = cursor_str16(&c);
    return cursor_end(&c) && r->address.len <= STORE_ADDRESS_MAX &&
           r->password_name.len <= STORE_PASSWORD_NAME_MAX && r->signature.len <= STORE_DIGEST_MAX;
}

/* ---- passwords ---- */

enum field { ACCOUNT = 1, USES = 2, REMOVE = 4, NAME = 8, SECRET = 16, DIGEST = 32 };

static unsigned fields_of(enum store_msg type)
{
    if (type == STORE_MSG_SCRAM)
        return NAME;
    if (type == STORE_MSG_SET_PASSWORD)
        return ACCOUNT | SECRET;
    if (type == STORE_MSG_ADD_PASSWORD)
        return ACCOUNT | USES | NAME | SECRET;
    if (type == STORE_MSG_REMOVE_PASSWORD)
        return ACCOUNT | NAME;
    if (type == STORE_MSG_CERTIFICATE)
        return ACCOUNT | REMOVE | DIGEST;
    return ACCOUNT; /* LIST_PASSWORDS */
}

bool store_password_encode(struct buf *out, enum store_msg type, const struct store_password_req *q)
{
    unsigned has = fields_of(type);
    store_head_encode(out, &q->head);
    if (has & ACCOUNT)
        buf_u64(out, q->account);
    if (has & USES)
        buf_u8(out, (uint8_t)q->uses);
    if (has & REMOVE)
        buf_u8(out, q->remove ? 1 : 0);
    if (has & NAME)
        buf_str16(out, q->name);
    if (has & SECRET)
        buf_str16(out, q->password);
    if (has & DIGEST)
        buf_add(out, q->password);
    return !out->failed;
}

bool store_password_decode(str_t request, enum store_msg type, struct store_password_req *q)
{
    unsigned has = fields_of(type);
    struct cursor c = cursor_of(request);
    *q = (struct store_password_req){0};
    store_head_decode(&c, &q->head);
    if (has & ACCOUNT)
        q->account = cursor_u64(&c);
    if (has & USES)
        q->uses = cursor_u8(&c);
    uint8_t removes = has & REMOVE ? cursor_u8(&c) : 0;
    q->remove = removes == 1;
    if (has & NAME)
        q->name = cursor_str16(&c);
    if (has & SECRET)
        q->password = cursor_str16(&c);
    if (has & DIGEST)
        q->password = cursor_bytes(&c, STORE_DIGEST_MAX);
    size_t name_max = type == STORE_MSG_SCRAM ? STORE_NAME_MAX : STORE_PASSWORD_NAME_MAX;
    return cursor_end(&c) && removes <= 1 && (q->uses & ~(unsigned)STORE_USES_ALL) == 0 &&
           q->name.len <= name_max && q->password.len <= STORE_PASSWORD_MAX;
}

bool store_password_list_encode(struct buf *out, const struct store_password_info *list, size_t n)
{
    buf_u8(out, RC_OK);
    buf_u8(out, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_str16(out, str_c(list[i].name));
        buf_u8(out, (uint8_t)list[i].uses);
        buf_u64(out, (uint64_t)list[i].made_ms);
        buf_u64(out, (uint64_t)list[i].used_ms);
    }
    return !out->failed;
}

static void take_info(struct cursor *c, struct store_password_info *out)
{
    str_t name = cursor_str16(c);
    *out = (struct store_password_info){.uses = cursor_u8(c)};
    out->made_ms = (int64_t)cursor_u64(c);
    out->used_ms = (int64_t)cursor_u64(c);
    if (name.len > STORE_PASSWORD_NAME_MAX)
        c->failed = true;
    else if (name.len > 0)
        memcpy(out->name, name.ptr, name.len);
}

bool store_password_list_decode(str_t reply, struct store_password_info out[STORE_PASSWORDS_MAX],
                                size_t *n)
{
    struct cursor c = cursor_of(reply);
    *n = 0;
    uint8_t rc = cursor_u8(&c), count = cursor_u8(&c);
    if (rc != RC_OK || count > STORE_PASSWORDS_MAX)
        return false;
    for (uint8_t i = 0; i < count; i++)
        take_info(&c, &out[i]);
    *n = c.failed ? 0 : count;
    return cursor_end(&c);
}
