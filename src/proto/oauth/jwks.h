/* jwks.h: the public keys of an issuer of tokens (RFC 7517, 7518 6, 8037), and signatures held
 * against them.
 *
 * A key serves the algorithms of its own kind alone: nobody can have an RSA key taken for a secret
 * of HMAC, which is not known here at all, nor is "none" (RFC 8725 2.1, 3.1). What a set holds
 * besides (keys of other kinds, for encryption, too small) is left out. A set never changes: any
 * number of threads may verify with it. */
#ifndef PROTO_OAUTH_JWKS_H
#define PROTO_OAUTH_JWKS_H

#include "base/err.h"
#include "base/str.h"

enum jwt_alg { /* RFC 7518 3.1, RFC 8037 3.1 */
               JWT_RS256,
               JWT_PS256,
               JWT_ES256,
               JWT_EDDSA, /* Ed25519 */
               JWT_ALGS
};
bool jwt_alg_find(str_t name, enum jwt_alg *out);

#define JWKS_KEYS_MAX     32 /* used of a set: two or three are usual while one is being replaced */
#define JWKS_RSA_BITS_MIN 2048 /* RFC 7518 3.3 */
#define JWKS_RSA_BITS_MAX 8192 /* a signature under more costs milliseconds */

struct jwks;
/* NULL and *err: it is no set, or there is no key in it that is good for anything here. */
struct jwks *jwks_parse(str_t text, struct err *err);
void jwks_free(struct jwks *set);
size_t jwks_count(const struct jwks *set);

enum jwks_verdict { JWKS_GOOD, JWKS_BAD, JWKS_NO_KEY };
/* kid empty: the token names no key; then each that fits is tried. NO_KEY: none of this name (and
 * for this algorithm): there may be a newer set. */
enum jwks_verdict jwks_verify(const struct jwks *set, enum jwt_alg alg, str_t kid, str_t text,
                              str_t signature);

#endif
