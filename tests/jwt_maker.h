/* jwt_maker.h: keys and signed tokens for tests, made by OpenSSL alone. */
#ifndef TESTS_JWT_MAKER_H
#define TESTS_JWT_MAKER_H

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"

enum { MAKER_TEXT = 32768 };

static inline void maker_base64url(struct buf *out, str_t in)
{
    struct buf b;
    buf_init(&b, MAKER_TEXT);
    must(base64_encode(&b, in));
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] != '=')
            buf_addc(out, b.ptr[i] == '+' ? '-' : b.ptr[i] == '/' ? '_' : b.ptr[i]);
    buf_free(&b);
}

static inline void maker_number(struct buf *out, const char *name, const EVP_PKEY *key,
                                const char *param, size_t len)
{
    BIGNUM *n = NULL;
    unsigned char bytes[2048];
    must(EVP_PKEY_get_bn_param(key, param, &n) == 1);
    size_t size = len > 0 ? len : (size_t)BN_num_bytes(n);
    must(size <= sizeof bytes && BN_bn2binpad(n, bytes, (int)size) == (int)size);
    buf_addf(out, ",\"%s\":\"", name);
    maker_base64url(out, str_of(bytes, size));
    buf_addc(out, '"');
    BN_free(n);
}

/* One key as JWK; `more` as in ",\"use\":\"sig\"". */
static inline void maker_jwk(struct buf *out, const EVP_PKEY *key, const char *kid,
                             const char *more)
{
    bool rsa = EVP_PKEY_is_a(key, "RSA"), ec = EVP_PKEY_is_a(key, "EC");
    buf_addf(out, "{\"kty\":\"%s\",\"kid\":\"%s\"%s", rsa ? "RSA" : ec ? "EC" : "OKP", kid, more);
    if (rsa) {
        maker_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        maker_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (ec) {
        size_t size = (size_t)(EVP_PKEY_get_bits(key) + 7) / 8;
        buf_addf(out, ",\"crv\":\"%s\"", size == 32 ? "P-256" : "P-384");
        maker_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, size);
        maker_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
    } else {
        unsigned char raw[64];
        size_t n = sizeof raw;
        must(EVP_PKEY_get_raw_public_key(key, raw, &n) == 1);
        buf_add(out, STR(",\"crv\":\"Ed25519\",\"x\":\""));
        maker_base64url(out, str_of(raw, n));
        buf_addc(out, '"');
    }
    buf_addc(out, '}');
}

/* alg as in a header: RS256, PS256, ES256, EdDSA. */
static inline void maker_sign(struct buf *out, EVP_PKEY *key, const char *alg, str_t text)
{
    unsigned char sig[2048];
    size_t n = sizeof sig;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx;
    bool eddsa = strcmp(alg, "EdDSA") == 0;
    must(EVP_DigestSignInit(md, &ctx, eddsa ? NULL : EVP_sha256(), NULL, key) == 1);
    if (strcmp(alg, "PS256") == 0)
        must(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
    must(EVP_DigestSign(md, sig, &n, (const unsigned char *)text.ptr, text.len) == 1);
    if (strcmp(alg, "ES256") == 0) {
        const unsigned char *p = sig;
        ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
        unsigned char rs[64];
        must(BN_bn2binpad(ECDSA_SIG_get0_r(s), rs, 32) == 32 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(s), rs + 32, 32) == 32);
        ECDSA_SIG_free(s);
        memcpy(sig, rs, n = sizeof rs);
    }
    EVP_MD_CTX_free(md);
    maker_base64url(out, str_of(sig, n));
}

/* header "." claims, both encoded, without a signature. */
static inline void maker_text(struct buf *out, str_t header, str_t claims)
{
    maker_base64url(out, header);
    buf_addc(out, '.');
    maker_base64url(out, claims);
}

/* A whole token. kid NULL: none in the header. */
static inline void maker_token(struct buf *out, EVP_PKEY *key, const char *alg, const char *kid,
                               str_t claims)
{
    char header[512];
    snprintf(header, sizeof header, "{\"typ\":\"at+jwt\",\"alg\":\"%s\"%s%s%s}", alg,
             kid != NULL ? ",\"kid\":\"" : "", kid != NULL ? kid : "", kid != NULL ? "\"" : "");
    buf_clear(out);
    maker_text(out, str_c(header), claims);
    str_t text = buf_str(out);
    struct buf sig;
    buf_init(&sig, MAKER_TEXT);
    maker_sign(&sig, key, alg, text);
    buf_addc(out, '.');
    buf_add(out, buf_str(&sig));
    buf_free(&sig);
    must(!out->failed);
}

#endif
