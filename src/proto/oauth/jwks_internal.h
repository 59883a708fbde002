/* jwks_internal.h: what the files of jwks.h share: jwks.c reads sets, jwks_verify.c uses them. */
#ifndef PROTO_OAUTH_JWKS_INTERNAL_H
#define PROTO_OAUTH_JWKS_INTERNAL_H

#include <openssl/evp.h>

#include "proto/oauth/jwks.h"

struct jwks_key {
    char *kid; /* or "" */
    EVP_PKEY *key;
    unsigned algs; /* 1 << enum jwt_alg it is for: of its kind, and not others than its "alg" */
};

struct jwks {
    size_t n;
    struct jwks_key keys[JWKS_KEYS_MAX];
};

#endif
