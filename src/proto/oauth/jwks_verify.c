/* jwks_verify.c: a signature under the keys of a set. See jwks.h. */
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "proto/oauth/jwks_internal.h"

enum {
    P256_LEN = 32,
    DER_MAX = 2 + 2 * (2 + 1 + P256_LEN), /* two INTEGERs in a SEQUENCE */
    TRIED_MAX = 4,                        /* keys for one token: each costs us, and it names none */
};

/* RFC 7518 3.4: R and S, 32 bytes each; the library wants them in DER. */
static bool to_der(str_t signature, uint8_t out[static DER_MAX], size_t *len)
{
    const uint8_t *p = (const uint8_t *)signature.ptr;
    if (signature.len != 2 * P256_LEN)
        return false;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, P256_LEN, NULL), *s = BN_bin2bn(p + P256_LEN, P256_LEN, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return false;
    }
    int n = i2d_ECDSA_SIG(sig, NULL);
    bool fits = n > 0 && n <= DER_MAX;
    if (fits)
        *len = (size_t)i2d_ECDSA_SIG(sig, &out);
    ECDSA_SIG_free(sig);
    return fits;
}

/* RFC 7518 3.5: MGF1 with the same hash, a salt as long as it. */
static bool use_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool fits_under(EVP_PKEY *key, enum jwt_alg alg, str_t text, str_t signature)
{
    uint8_t der[DER_MAX];
    const uint8_t *sig = (const uint8_t *)signature.ptr;
    size_t len = signature.len;
    if (alg == JWT_ES256) {
        if (!to_der(signature, der, &len))
            return false;
        sig = der;
    }
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    bool good =
        md != NULL &&
        EVP_DigestVerifyInit(md, &ctx, alg == JWT_EDDSA ? NULL : EVP_sha256(), NULL, key) == 1 &&
        (alg != JWT_PS256 || use_pss(ctx)) &&
        EVP_DigestVerify(md, sig, len, (const uint8_t *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return good;
}

enum jwks_verdict jwks_verify(const struct jwks *set, enum jwt_alg alg, str_t kid, str_t text,
                              str_t signature)
{
    size_t tried = 0;
    for (size_t i = 0; i < set->n && tried < TRIED_MAX; i++) {
        const struct jwks_key *k = &set->keys[i];
        if ((k->algs >> alg & 1) == 0 || (kid.len > 0 && !str_eq(kid, str_c(k->kid))))
            continue;
        tried++;
        if (fits_under(k->key, alg, text, signature))
            return JWKS_GOOD;
    }
    return tried > 0 ? JWKS_BAD : JWKS_NO_KEY;
}
