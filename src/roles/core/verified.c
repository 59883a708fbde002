/* verified.c: see verified.h. */
#include "roles/core/verified.h"

#include "base/buf.h"
#include "base/digest.h"
#include "store/protocol.h"

bool verified_mark(const uint8_t key[static 32], str_t name, uint64_t generation, str_t password,
                   struct verified_mark *out)
{
    char bytes[8 + 2 + STORE_NAME_MAX + STORE_PASSWORD_MAX];
    uint8_t mac[DIGEST_MAX];
    struct buf b = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    buf_u64(&b, generation);
    buf_str16(&b, name);
    buf_add(&b, password);
    bool ok = !b.failed && digest_hmac(DIGEST_SHA256, str_of(key, DIGEST_MAX), buf_str(&b), mac);
    digest_wipe(bytes, sizeof bytes);
    if (ok)
        memcpy(out->mac, mac, sizeof out->mac);
    return ok;
}

static struct verified_slot *slot(struct verified_slot table[static VERIFIED_SLOTS],
                                  const struct verified_mark *m)
{
    uint32_t h;
    memcpy(&h, m->mac, sizeof h);
    return &table[h % VERIFIED_SLOTS];
}

static bool holds(const struct verified_slot *s, const struct verified_mark *m, int64_t now_ms)
{
    return s->until_ms > now_ms &&
           digest_equal(str_of(s->mac, sizeof s->mac), str_of(m->mac, sizeof m->mac));
}

enum verified_result verified_find(struct verified *v, const struct verified_mark *m,
                                   int64_t now_ms, int *which)
{
    const struct verified_slot *right = slot(v->right, m), *wrong = slot(v->wrong, m);
    *which = right->which;
    enum verified_result r = holds(right, m, now_ms)   ? VERIFIED_RIGHT
                             : holds(wrong, m, now_ms) ? VERIFIED_WRONG
                                                       : VERIFIED_UNKNOWN;
    if (r == VERIFIED_UNKNOWN)
        v->misses++;
    else
        v->hits++;
    return r;
}

void verified_put(struct verified *v, const struct verified_mark *m, int which, int64_t until_ms)
{
    struct verified_slot *s = slot(which < 0 ? v->wrong : v->right, m);
    memcpy(s->mac, m->mac, sizeof s->mac);
    s->until_ms = until_ms;
    s->which = which;
}
