/* vault.h: pieces of an arena that are remembered, so that what was secret in them can be wiped
 * before the arena is given back. Whatever a peer or a user tells us in an exchange goes in here. */
#ifndef PROTO_SASL_VAULT_H
#define PROTO_SASL_VAULT_H

#include "base/arena.h"

struct vault_piece;
struct sasl_vault {
    struct arena *arena;
    struct vault_piece *pieces;
};

char *vault_alloc(struct sasl_vault *v, size_t n); /* NUL-terminated zeroes; NULL: no memory */
/* These give STR_NONE if there is no memory. */
str_t vault_dup(struct sasl_vault *v, str_t s);
str_t vault_join(struct sasl_vault *v, const str_t *parts, size_t n);
str_t vault_base64(struct sasl_vault *v, str_t bytes);
bool vault_unbase64(struct sasl_vault *v, str_t text, str_t *out); /* also false: not base64 */
void vault_wipe(struct sasl_vault *v);                             /* zeroes in every piece */

#define VAULT_JOIN(v, ...)                        \
    vault_join((v), (const str_t[]){__VA_ARGS__}, \
               sizeof((const str_t[]){__VA_ARGS__}) / sizeof(str_t))

#endif
