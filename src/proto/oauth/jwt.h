/* jwt.h: signed tokens that carry their claims: JWT (RFC 7519) in the compact form of JWS
 * (RFC 7515 3.1), as access tokens use it (RFC 9068), with the advice of RFC 8725.
 *
 *     jwt_open      takes it apart and reads its header; nothing of it is to be believed yet
 *     jwt_verify    the signature, under a set of keys
 *     jwt_claims    only now: what it says
 *
 * Keys that a token brings along or points to (jwk, jku, x5c, x5u) are not looked at. */
#ifndef PROTO_OAUTH_JWT_H
#define PROTO_OAUTH_JWT_H

#include "base/arena.h"
#include "proto/oauth/jwks.h"
#include "proto/oauth/oauth.h"

#define JWT_MAX       12288 /* as much as SASL carries (SASL_MESSAGE_MAX) */
#define JWT_ARENA_MAX (2 * JWT_MAX)
#define JWT_KID_MAX   256

struct jwt {
    enum jwt_alg alg;
    str_t kid;       /* or empty */
    str_t text;      /* what is signed: points into the token */
    str_t signature; /* with what follows in the arena */
    str_t claims;    /* JSON, unread */
};

/* `algorithms`: those allowed, 1 << enum jwt_alg. RC_OK, or RC_PERM and *err. */
enum rc jwt_open(str_t token, unsigned algorithms, struct arena *a, struct jwt *out,
                 struct err *err);
enum jwks_verdict jwt_verify(const struct jwt *t, const struct jwks *set);
enum rc jwt_claims(const struct jwt *t, const struct oauth_rules *rules, int64_t now_s,
                   struct oauth_identity *out, struct err *err);

#endif
