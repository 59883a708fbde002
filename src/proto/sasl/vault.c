/* vault.c: see vault.h. Each piece begins with its length and the piece before it. */
#include "proto/sasl/vault.h"

#include "base/codec.h"
#include "base/digest.h"

struct vault_piece {
    struct vault_piece *next;
    size_t len;
    char bytes[];
};

char *vault_alloc(struct sasl_vault *v, size_t n)
{
    if (n > v->arena->max) /* so that the sum below cannot wrap */
        return NULL;
    struct vault_piece *p = arena_alloc(v->arena, sizeof *p + n + 1);
    if (p == NULL)
        return NULL;
    p->next = v->pieces;
    p->len = n;
    v->pieces = p;
    return p->bytes;
}

str_t vault_dup(struct sasl_vault *v, str_t s)
{
    return vault_join(v, &s, 1);
}

str_t vault_join(struct sasl_vault *v, const str_t *parts, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    char *out = vault_alloc(v, len), *p = out;
    if (out == NULL)
        return STR_NONE;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len > 0)
            memcpy(p, parts[i].ptr, parts[i].len);
        p += parts[i].len;
    }
    return str_of(out, len);
}

/* A buffer over a piece: it has all it may have, so it never grows into memory nobody wipes. */
static bool piece_buf(struct sasl_vault *v, size_t n, struct buf *b)
{
    *b = (struct buf){.ptr = vault_alloc(v, n), .cap = n, .max = n};
    return b->ptr != NULL;
}

str_t vault_base64(struct sasl_vault *v, str_t bytes)
{
    struct buf b;
    if (!piece_buf(v, (bytes.len + 2) / 3 * 4, &b) || !base64_encode(&b, bytes))
        return STR_NONE;
    return buf_str(&b);
}

bool vault_unbase64(struct sasl_vault *v, str_t text, str_t *out)
{
    struct buf b;
    if (!piece_buf(v, text.len / 4 * 3, &b) || !base64_decode(&b, text))
        return false;
    *out = buf_str(&b);
    return true;
}

void vault_wipe(struct sasl_vault *v)
{
    for (struct vault_piece *p = v->pieces; p != NULL; p = p->next)
        digest_wipe(p->bytes, p->len);
}
