/* jwks.c: see jwks.h. */
#include "proto/oauth/jwks.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "base/codec.h"
#include "proto/oauth/jwks_internal.h"
#include "proto/oauth/oauth.h"

enum {
    P256_LEN = 32,
    ED25519_LEN = 32,
    NUMBER_MAX = JWKS_RSA_BITS_MAX / 8 + 1, /* a number may begin with a zero byte */
    EXPONENT_MAX = 8, /* everybody has 65537; a long one makes verifying slow */
};

static const char *const alg_names[JWT_ALGS] = {"RS256", "PS256", "ES256", "EdDSA"};

bool jwt_alg_find(str_t name, enum jwt_alg *out)
{
    for (int i = 0; i < JWT_ALGS; i++)
        if (str_eq(name, str_c(alg_names[i]))) {
            *out = (enum jwt_alg)i;
            return true;
        }
    return false;
}

/* ---- numbers ---- */

struct number {
    uint8_t bytes[NUMBER_MAX];
    size_t len;
};

static bool number(const json_t *key, const char *name, struct number *out)
{
    struct buf b = {.ptr = (char *)out->bytes, .cap = NUMBER_MAX, .max = NUMBER_MAX};
    bool good = base64url_decode(&b, oauth_text(key, name)) && b.len > 0;
    out->len = b.len;
    return good;
}

/* From what OSSL_PARAM_BLD was filled with, which is freed. */
static EVP_PKEY *from_data(const char *kind, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    return key;
}

/* ---- kinds of keys ---- */

/* RFC 7518 6.3.1 */
static EVP_PKEY *rsa_key(const json_t *jwk)
{
    struct number n, e;
    if (!number(jwk, "n", &n) || !number(jwk, "e", &e) || e.len > EXPONENT_MAX)
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n.bytes, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn(e.bytes, (int)e.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (modulus != NULL && exponent != NULL && build != NULL && BN_is_odd(modulus) &&
        BN_is_odd(exponent) && !BN_is_one(exponent) && BN_num_bits(modulus) >= JWKS_RSA_BITS_MIN &&
        BN_num_bits(modulus) <= JWKS_RSA_BITS_MAX &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        key = from_data("RSA", build);
        build = NULL;
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* RFC 7518 6.2.1. That the point is on the curve is checked by the library. */
static EVP_PKEY *p256_key(const json_t *jwk)
{
    struct number x, y;
    uint8_t point[1 + 2 * P256_LEN] = {4}; /* SEC 1 2.3.3: uncompressed */
    OSSL_PARAM_BLD *build;
    if (!str_eq(oauth_text(jwk, "crv"), STR("P-256")) || !number(jwk, "x", &x) ||
        !number(jwk, "y", &y) || x.len != P256_LEN || y.len != P256_LEN ||
        (build = OSSL_PARAM_BLD_new()) == NULL)
        return NULL;
    memcpy(point + 1, x.bytes, P256_LEN);
    memcpy(point + 1 + P256_LEN, y.bytes, P256_LEN);
    if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        return from_data("EC", build);
    OSSL_PARAM_BLD_free(build);
    return NULL;
}

/* RFC 8037 2 */
static EVP_PKEY *ed25519_key(const json_t *jwk)
{
    struct number x;
    if (!str_eq(oauth_text(jwk, "crv"), STR("Ed25519")) || !number(jwk, "x", &x) ||
        x.len != ED25519_LEN)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.bytes, x.len);
}

/* ---- the set ---- */

/* RFC 7517 4.3: to verify with, among others. */
static bool may_verify(const json_t *operations)
{
    size_t i;
    const json_t *one;
    if (operations == NULL)
        return true;
    json_array_foreach(operations, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), "verify") == 0)
            return true;
    }
    return false;
}

static const struct {
    str_t kty;
    EVP_PKEY *(*make)(const json_t *jwk);
    unsigned algs;
} kinds[] = {
    {STR("RSA"), rsa_key, 1u << JWT_RS256 | 1u << JWT_PS256},
    {STR("EC"), p256_key, 1u << JWT_ES256},
    {STR("OKP"), ed25519_key, 1u << JWT_EDDSA},
};

/* false: not one for us */
static bool take_key(const json_t *jwk, struct jwks_key *out)
{
    str_t kty = oauth_text(jwk, "kty"), kid = oauth_text(jwk, "kid");
    enum jwt_alg only;
    if (!json_is_object(jwk) || !may_verify(json_object_get(jwk, "key_ops")) ||
        (json_object_get(jwk, "use") != NULL && !str_eq(oauth_text(jwk, "use"), STR("sig"))))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(kty, kinds[i].kty))
            continue;
        out->algs = kinds[i].algs;
        if (json_object_get(jwk, "alg") != NULL)
            out->algs &= jwt_alg_find(oauth_text(jwk, "alg"), &only) ? 1u << only : 0;
        if (out->algs == 0 || (out->kid = strndup(kid.len > 0 ? kid.ptr : "", kid.len)) == NULL)
            return false;
        out->key = kinds[i].make(jwk);
        ERR_clear_error();
        if (out->key == NULL)
            free(out->kid);
        return out->key != NULL;
    }
    return false;
}

struct jwks *jwks_parse(str_t text, struct err *err)
{
    json_t *all = oauth_json(text);
    const json_t *keys = json_object_get(all, "keys"), *one;
    struct jwks *set = json_is_array(keys) ? calloc(1, sizeof *set) : NULL;
    size_t i;
    if (set == NULL) {
        json_decref(all);
        (void)err_set(err, RC_TEMP, "", "its answer is no set of keys");
        return NULL;
    }
    json_array_foreach(keys, i, one)
    {
        if (set->n < JWKS_KEYS_MAX && take_key(one, &set->keys[set->n]))
            set->n++;
    }
    json_decref(all);
    if (set->n > 0)
        return set;
    jwks_free(set);
    (void)err_set(err, RC_TEMP, "", "there is no key in its set that can be used");
    return NULL;
}

void jwks_free(struct jwks *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->n; i++) {
        EVP_PKEY_free(set->keys[i].key);
        free(set->keys[i].kid);
    }
    free(set);
}

size_t jwks_count(const struct jwks *set)
{
    return set->n;
}
