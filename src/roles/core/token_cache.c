/* token_cache.c: see token_cache.h. */
#include "roles/core/token_cache.h"

#include "base/digest.h"

void token_cache_init(struct token_cache *c, const uint8_t key[static 32])
{
    *c = (struct token_cache){0};
    memcpy(c->key, key, sizeof c->key);
    pthread_mutex_init(&c->lock, NULL);
}

void token_cache_free(struct token_cache *c)
{
    pthread_mutex_destroy(&c->lock);
    digest_wipe(c, sizeof *c);
}

bool token_cache_mark(const struct token_cache *c, str_t token, struct token_mark *out)
{
    return digest_hmac(DIGEST_SHA256, str_of(c->key, sizeof c->key), token, out->mac);
}

static struct token_slot *slot(struct token_cache *c, const struct token_mark *m)
{
    uint32_t h;
    memcpy(&h, m->mac, sizeof h);
    return &c->slots[h % TOKEN_CACHE_SLOTS];
}

bool token_cache_find(struct token_cache *c, const struct token_mark *m, int64_t now_ms,
                      char name[static STORE_ADDRESS_MAX + 1])
{
    pthread_mutex_lock(&c->lock);
    const struct token_slot *s = slot(c, m);
    bool found = s->until_ms > now_ms &&
                 digest_equal(str_of(s->mac, sizeof s->mac), str_of(m->mac, sizeof m->mac));
    if (found)
        memcpy(name, s->name, sizeof s->name);
    pthread_mutex_unlock(&c->lock);
    return found;
}

void token_cache_put(struct token_cache *c, const struct token_mark *m, str_t name,
                     int64_t until_ms)
{
    pthread_mutex_lock(&c->lock);
    struct token_slot *s = slot(c, m);
    memcpy(s->mac, m->mac, sizeof s->mac);
    s->until_ms = until_ms;
    str_toc(name, s->name, sizeof s->name);
    pthread_mutex_unlock(&c->lock);
}
