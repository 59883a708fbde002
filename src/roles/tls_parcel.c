/* tls_parcel.c: see tls_parcel.h. */
#include "roles/tls_parcel.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "roles/sealed.h"

#define VERSION 1

void tls_parcel_begin(struct buf *b)
{
    (void)buf_u8(b, VERSION);
}

bool tls_parcel_add(struct buf *b, const struct tls_pair *p)
{
    return buf_str16(b, p->name) && buf_str32(b, p->chain_pem) && buf_str32(b, p->key_pem);
}

static struct tls_pair next_pair(struct cursor *c)
{
    struct tls_pair p;
    p.name = cursor_str16(c);
    p.chain_pem = cursor_str32(c);
    p.key_pem = cursor_str32(c);
    return p;
}

bool tls_parcel_read(str_t bytes, struct tls_pair **pairs, size_t *n)
{
    struct cursor c = cursor_of(bytes);
    size_t count = 0;
    *pairs = NULL;
    *n = 0;
    if (cursor_u8(&c) != VERSION)
        return false;
    struct cursor first = c;
    while (!c.failed && c.rest.len > 0 && count < TLS_PARCEL_PAIRS_MAX) {
        (void)next_pair(&c);
        count++;
    }
    if (!cursor_end(&c))
        return false;
    if (count == 0)
        return true;
    *pairs = calloc(count, sizeof **pairs);
    if (*pairs == NULL)
        return false;
    for (; *n < count; ++*n)
        (*pairs)[*n] = next_pair(&first);
    return true;
}

enum rc tls_parcel_take_pairs(struct tls_vault *v, int fd, struct err *err)
{
    str_t bytes;
    struct tls_pair *pairs = NULL;
    size_t n = 0;
    if (!sealed_map(fd, TLS_PARCEL_MAX, &bytes))
        return err_set(err, RC_PERM, "", "the certificates cannot be read");
    enum rc rc = tls_parcel_read(bytes, &pairs, &n)
                     ? tls_vault_set_pairs(v, pairs, n, err)
                     : err_set(err, RC_PERM, "", "the certificates are not understood");
    free(pairs);
    sealed_unmap(bytes);
    return rc;
}

enum rc tls_parcel_take_authorities(struct tls_vault *v, int fd, struct err *err)
{
    str_t bytes;
    if (!sealed_map(fd, TLS_AUTHORITIES_MAX, &bytes))
        return err_set(err, RC_PERM, "", "the authorities cannot be read");
    enum rc rc = tls_vault_set_authorities(v, bytes, err);
    sealed_unmap(bytes);
    return rc;
}
