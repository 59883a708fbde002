/* protocol_commit.c: COMMIT and its reply. See protocol.h.
 *
 * A message of 10 KiB is one such frame; it is the hot path. The sender copies only small fields
 * and hands out big values where they lie; the receiver copies the frame once and takes it apart in
 * place. */
#include "base/err.h"
#include "store/protocol.h"

static bool op_has_value(enum store_op_kind kind)
{
    switch (kind) {
    case STORE_EQUAL:
    case STORE_PUT:
    case STORE_PUT_NEW:
    case STORE_DELETE_RANGE:
    case STORE_PUT_NEXT: return true;
    case STORE_ABSENT:
    case STORE_PRESENT:
    case STORE_DELETE:
    case STORE_ADD: return false;
    }
    return false;
}

static bool op_has_number(enum store_op_kind kind)
{
    return kind == STORE_ADD || kind == STORE_PUT_NEXT;
}

/* The limits of store.h, which store_submit asks for as well: here they keep a frame from being
 * taken for more than it is. */
static bool op_within_limits(const struct store_op *op)
{
    size_t value_max = op->kind == STORE_DELETE_RANGE ? STORE_KEY_MAX : STORE_VALUE_MAX;
    /* a range may begin at the beginning */
    size_t key_min = op->kind == STORE_DELETE_RANGE ? 0 : 1;
    return op->key.len >= key_min && op->key.len <= STORE_KEY_MAX && op->value.len <= value_max &&
           (op->kind != STORE_PUT_NEXT || op->prefix.len + 8 <= STORE_KEY_MAX);
}

static size_t op_bytes(const struct store_op *op)
{
    /* as store.h counts; unused fields are empty */
    return op->key.len + op->value.len + op->prefix.len;
}

/* ---- the client's side ---- */

enum { HEAD_BYTES = 1 + 4 + STORE_TOKEN_LEN + 9 + 1 + 2 };

/* Whether this value is sent from where it lies; *big counts those. */
static bool value_borrowed(str_t value, int *big)
{
    if (value.len < STORE_INLINE_VALUE || *big == STORE_BIG_VALUES)
        return false;
    ++*big;
    return true;
}

static size_t op_field_bytes(const struct store_op *op, int *big)
{
    size_t n = 1 + 2 + op->key.len;
    if (op_has_value(op->kind))
        n += 4 + (value_borrowed(op->value, big) ? 0 : op->value.len);
    if (op->kind == STORE_PUT_NEXT)
        n += 2 + op->prefix.len;
    if (op->kind == STORE_ADD)
        n += 8;
    return n;
}

size_t store_commit_size(const struct store_batch *b)
{
    size_t size = HEAD_BYTES;
    int big = 0;
    for (size_t i = 0; i < b->n; i++)
        size += op_field_bytes(&b->ops[i], &big);
    return size;
}

struct gather { /* fields written so far, and what of them is in iov already */
    struct buf fields;
    size_t listed;
    struct iovec *iov;
    int niov, big;
};

static void gather_list(struct gather *g)
{
    if (g->fields.len == g->listed)
        return;
    g->iov[g->niov++] =
        (struct iovec){.iov_base = g->fields.ptr + g->listed, .iov_len = g->fields.len - g->listed};
    g->listed = g->fields.len;
}

static void gather_value(struct gather *g, str_t value)
{
    buf_u32(&g->fields, (uint32_t)value.len);
    if (!value_borrowed(value, &g->big)) {
        buf_add(&g->fields, value);
        return;
    }
    gather_list(g);
    /* iovec has no const; nobody writes through it */
    g->iov[g->niov++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)value.ptr, .iov_len = value.len};
}

static void gather_op(struct gather *g, const struct store_op *op)
{
    buf_u8(&g->fields, (uint8_t)op->kind);
    buf_str16(&g->fields, op->key);
    if (op->kind == STORE_PUT_NEXT)
        buf_str16(&g->fields, op->prefix);
    if (op->kind == STORE_ADD)
        buf_u64(&g->fields, (uint64_t)op->delta);
    if (op_has_value(op->kind))
        gather_value(g, op->value);
}

int store_commit_encode(const struct store_batch *b, const struct store_head *h, char *fields,
                        size_t size, struct iovec iov[static STORE_COMMIT_IOV])
{
    /* max is the memory we were given, so the buf never grows */
    struct gather g = {.fields = {.ptr = fields, .cap = size, .max = size}, .iov = iov};
    store_head_encode(&g.fields, h);
    store_part_encode(&g.fields, b->part);
    buf_u8(&g.fields, b->lazy ? 1 : 0);
    buf_u16(&g.fields, (uint16_t)b->n);
    for (size_t i = 0; i < b->n; i++)
        gather_op(&g, &b->ops[i]);
    must(!g.fields.failed);
    gather_list(&g);
    return g.niov;
}

bool store_commit_reply_decode(str_t reply, struct store_commit *c)
{
    struct cursor in = cursor_of(reply);
    uint8_t rc = cursor_u8(&in);
    if (in.failed || rc > STORE_UNKNOWN)
        return false;
    struct store_batch *b = c->batch;
    if (rc == STORE_OK)
        for (size_t i = 0; i < b->n; i++)
            if (op_has_number(b->ops[i].kind))
                b->ops[i].number = cursor_u64(&in);
    if (rc == STORE_CONFLICT)
        c->failed_op = cursor_u32(&in);
    if (!cursor_end(&in))
        return false;
    c->rc = (enum store_rc)rc;
    return true;
}

/* ---- core's side ---- */

enum { OP_MIN = 1 + 2 }; /* the least bytes an op takes in a frame */

bool store_commit_decode_head(struct cursor *c, struct store_commit_head *out)
{
    store_head_decode(c, &out->head);
    store_part_decode(c, &out->part);
    uint8_t lazy = cursor_u8(c);
    out->lazy = lazy == 1;
    out->n = cursor_u16(c);
    return !c->failed && lazy <= 1 && out->n <= STORE_BATCH_OPS &&
           c->rest.len >= (size_t)out->n * OP_MIN;
}

static bool decode_op(struct cursor *c, struct store_op *op)
{
    uint8_t kind = cursor_u8(c);
    if (c->failed || kind > STORE_PUT_NEXT)
        return false;
    *op = (struct store_op){.kind = (enum store_op_kind)kind};
    op->key = cursor_str16(c);
    if (op->kind == STORE_PUT_NEXT)
        op->prefix = cursor_str16(c);
    if (op->kind == STORE_ADD)
        op->delta = (int64_t)cursor_u64(c);
    if (op_has_value(op->kind))
        op->value = cursor_str32(c);
    return !c->failed && op_within_limits(op);
}

bool store_commit_decode_ops(struct cursor *c, struct store_op *ops, uint16_t n, size_t *bytes)
{
    *bytes = 0;
    for (uint16_t i = 0; i < n; i++) {
        if (!decode_op(c, &ops[i]))
            return false;
        *bytes += op_bytes(&ops[i]);
    }
    return cursor_end(c) && *bytes <= STORE_BATCH_MAX;
}

bool store_commit_reply_encode(struct buf *out, const struct store_commit *c)
{
    buf_u8(out, (uint8_t)c->rc);
    if (c->rc == STORE_OK)
        for (size_t i = 0; i < c->batch->n; i++)
            if (op_has_number(c->batch->ops[i].kind))
                buf_u64(out, c->batch->ops[i].number);
    if (c->rc == STORE_CONFLICT)
        buf_u32(out, (uint32_t)c->failed_op);
    return !out->failed;
}
