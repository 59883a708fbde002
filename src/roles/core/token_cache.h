/* token_cache.h: bearer tokens that were found good a moment ago, and the name of whom: a program
 * that logs in for each of its messages has its issuer asked once.
 *
 * An entry is a keyed hash (HMAC-SHA-256, the key random for each process) of the token; it ends with
 * the token, after the setting auth_cache, or after TOKEN_CACHE_MAX_MS, whichever is first: so long a
 * token that its issuer has revoked may still be good. What was refused is not kept. A fixed table;
 * thread-safe. */
#ifndef ROLES_CORE_TOKEN_CACHE_H
#define ROLES_CORE_TOKEN_CACHE_H

#include <pthread.h>

#include "store/protocol.h"

#define TOKEN_CACHE_SLOTS  1024
#define TOKEN_CACHE_MAX_MS (5 * 60 * 1000)

struct token_cache {
    uint8_t key[32];
    pthread_mutex_t lock;
    struct token_slot {
        uint8_t mac[32];
        int64_t until_ms;
        char name[STORE_ADDRESS_MAX + 1];
    } slots[TOKEN_CACHE_SLOTS];
};

struct token_mark { /* of a token */
    uint8_t mac[32];
};

void token_cache_init(struct token_cache *c, const uint8_t key[static 32]);
void token_cache_free(struct token_cache *c);
/* False: no memory. */
bool token_cache_mark(const struct token_cache *c, str_t token, struct token_mark *out);
/* False: not known. */
bool token_cache_find(struct token_cache *c, const struct token_mark *m, int64_t now_ms,
                      char name[static STORE_ADDRESS_MAX + 1]);
void token_cache_put(struct token_cache *c, const struct token_mark *m, str_t name,
                     int64_t until_ms);

#endif
