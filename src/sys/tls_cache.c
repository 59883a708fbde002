/* tls_cache.c: sessions that a client can resume, each under a key that says towards whom, and what
 * was asked of it then. Kept in their encoded form, a tenth of what OpenSSL's objects take. When it
 * is full the oldest goes. */
#include <openssl/crypto.h>
#include <stdlib.h>

#include "sys/tls_internal.h"

#define ENTRIES_MAX     512
#define PER_KEY_MAX     4         /* as many connections to a host find one each */
#define ENTRY_BYTES_MAX 16 * 1024 /* with the server's certificate about 2 KiB */

struct entry {
    uint8_t key[TLS_HASH_LEN];
    unsigned char *bytes; /* NULL: free */
    int len;
    uint64_t age; /* counts up */
};

struct tls_cache {
    pthread_mutex_t lock;
    uint64_t next;
    struct entry entries[ENTRIES_MAX];
};

struct tls_cache *tls_cache_new(void)
{
    struct tls_cache *c = calloc(1, sizeof *c);
    if (c != NULL)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void forget(struct entry *e)
{
    OPENSSL_clear_free(e->bytes, (size_t)e->len);
    *e = (struct entry){0};
}

void tls_cache_free(struct tls_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        forget(&c->entries[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* A free place, or the oldest; of this key's own if it has its share. */
static struct entry *place(struct tls_cache *c, const uint8_t *key)
{
    struct entry *oldest = &c->entries[0], *own = NULL;
    size_t n = 0;
    for (struct entry *e = c->entries; e < c->entries + ENTRIES_MAX; e++) {
        if (e->age < oldest->age) /* a free one is 0 */
            oldest = e;
        if (e->bytes == NULL || memcmp(e->key, key, TLS_HASH_LEN) != 0)
            continue;
        n++;
        if (own == NULL || e->age < own->age)
            own = e;
    }
    return n >= PER_KEY_MAX ? own : oldest;
}

void tls_cache_put(struct tls_cache *c, const uint8_t key[static TLS_HASH_LEN], SSL_SESSION *s)
{
    unsigned char *bytes = NULL;
    int len = SSL_SESSION_is_resumable(s) ? i2d_SSL_SESSION(s, &bytes) : 0;
    if (len <= 0 || len > ENTRY_BYTES_MAX) {
        OPENSSL_free(bytes);
        return;
    }
    pthread_mutex_lock(&c->lock);
    struct entry *e = place(c, key);
    forget(e);
    *e = (struct entry){.bytes = bytes, .len = len, .age = ++c->next};
    memcpy(e->key, key, TLS_HASH_LEN);
    pthread_mutex_unlock(&c->lock);
}

static SSL_SESSION *decode(const struct entry *e)
{
    const unsigned char *p = e->bytes;
    return d2i_SSL_SESSION(NULL, &p, e->len);
}

SSL_SESSION *tls_cache_take(struct tls_cache *c, const uint8_t key[static TLS_HASH_LEN])
{
    struct entry *newest = NULL;
    pthread_mutex_lock(&c->lock);
    for (struct entry *e = c->entries; e < c->entries + ENTRIES_MAX; e++)
        if (e->bytes != NULL && memcmp(e->key, key, TLS_HASH_LEN) == 0 &&
            (newest == NULL || e->age > newest->age))
            newest = e;
    SSL_SESSION *s = newest != NULL ? decode(newest) : NULL;
    if (newest != NULL && (s == NULL || SSL_SESSION_get_protocol_version(s) == TLS1_3_VERSION))
        forget(newest);
    pthread_mutex_unlock(&c->lock);
    return s;
}
