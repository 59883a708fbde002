/* tls_pem.c: reads certificates and keys from PEM. Nothing here opens a file or asks a person. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "sys/tls_internal.h"

#define CHAIN_MAX       16   /* certificates between ours and the root */
#define AUTHORITIES_MAX 4096 /* the bundle of a Linux distribution has about 150 */

static BIO *bio_of(str_t s)
{
    return s.len > 0 && s.len <= INT32_MAX ? BIO_new_mem_buf(s.ptr, (int)s.len) : NULL;
}

/* In place of OpenSSL's own, which would ask at the terminal. */
static int no_passphrase(char *to, int cap, int writing, void *asked)
{
    (void)to, (void)cap, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static X509 *next_certificate(BIO *b)
{
    bool asked = false;
    return PEM_read_bio_X509(b, NULL, no_passphrase, &asked);
}

/* After next_certificate gave none: because there was none any more. */
static bool at_end(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static enum rc read_chain(BIO *b, struct tls_cert *out, struct err *err)
{
    X509 *one;
    out->leaf = next_certificate(b);
    out->chain = sk_X509_new_null();
    if (out->leaf == NULL || out->chain == NULL)
        return err_set(err, RC_PERM, "", "the file holds no certificate in PEM form");
    while ((one = next_certificate(b)) != NULL) {
        if (sk_X509_num(out->chain) >= CHAIN_MAX || sk_X509_push(out->chain, one) <= 0) {
            X509_free(one);
            return err_set(err, RC_PERM, "", "the file holds more than %d certificates", CHAIN_MAX);
        }
    }
    return at_end() ? RC_OK : err_set(err, RC_PERM, "", "a certificate of the chain is broken");
}

static enum rc read_key(str_t pem, struct tls_cert *out, struct err *err)
{
    bool asked = false;
    BIO *b = bio_of(pem);
    out->key = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked);
    BIO_free(b);
    if (asked)
        return err_set(err, RC_PERM, "", "the key is encrypted with a passphrase");
    if (out->key == NULL)
        return err_set(err, RC_PERM, "", "the key's file holds no private key in PEM form");
    if (X509_check_private_key(out->leaf, out->key) != 1)
        return err_set(err, RC_PERM, "", "the key is not that of the certificate");
    return RC_OK;
}

/* Whether a server can be run with it: OpenSSL refuses what is too weak. */
static enum rc try_use(const struct tls_cert *c, struct err *err)
{
    char why[TLS_WHY_LEN];
    ERR_clear_error(); /* the end of the chain is one to OpenSSL */
    SSL_CTX *ctx = tls_context(TLS_server_method());
    bool good = ctx != NULL && SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1;
    SSL_CTX_free(ctx);
    if (good)
        return RC_OK;
    tls_error_text(why, "out of memory");
    return err_set(err, RC_PERM, "", "it cannot be used: %s", why);
}

enum rc tls_pem_pair(str_t chain_pem, str_t key_pem, struct tls_cert *out, struct err *err)
{
    *out = (struct tls_cert){0};
    ERR_clear_error();
    BIO *b = bio_of(chain_pem);
    enum rc rc = b != NULL ? read_chain(b, out, err)
                           : err_set(err, RC_PERM, "", "the certificate's file is empty");
    BIO_free(b);
    rc = rc == RC_OK ? read_key(key_pem, out, err) : rc;
    rc = rc == RC_OK ? try_use(out, err) : rc;
    ERR_clear_error();
    if (rc != RC_OK) {
        tls_cert_free(out);
        return rc;
    }
    tls_hash(out->leaf, out->hash);
    out->end_point_len = tls_end_point(out->leaf, out->end_point);
    return RC_OK;
}

static bool ms_of(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *out = (int64_t)timegm(&tm) * 1000;
    return true;
}

enum rc tls_dates_read(str_t chain_pem, struct tls_dates *out, struct err *err)
{
    tls_setup();
    ERR_clear_error();
    BIO *b = bio_of(chain_pem);
    X509 *leaf = b != NULL ? next_certificate(b) : NULL;
    bool good = leaf != NULL && ms_of(X509_get0_notBefore(leaf), &out->from_ms) &&
                ms_of(X509_get0_notAfter(leaf), &out->until_ms);
    X509_free(leaf);
    BIO_free(b);
    ERR_clear_error();
    return good ? RC_OK
                : err_set(err, RC_PERM, "", "there is no certificate whose dates can be read");
}

void tls_cert_free(struct tls_cert *c)
{
    X509_free(c->leaf);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    *c = (struct tls_cert){0};
}

enum rc tls_pem_authorities(str_t pem, X509_STORE **out, struct err *err)
{
    X509 *one;
    int n = 0;
    bool good = true;
    X509_STORE *s = X509_STORE_new();
    BIO *b = bio_of(pem);
    if (s == NULL || (b == NULL && pem.len > 0)) {
        X509_STORE_free(s);
        return err_set(err, RC_TEMP, "", "out of memory");
    }
    ERR_clear_error();
    while (good && b != NULL && (one = next_certificate(b)) != NULL) {
        good = n++ < AUTHORITIES_MAX && X509_STORE_add_cert(s, one) == 1;
        X509_free(one);
    }
    good = good && (b == NULL || at_end());
    BIO_free(b);
    ERR_clear_error();
    if (!good) {
        X509_STORE_free(s);
        return err_set(err, RC_PERM, "", "certificate %d of the authorities is broken", n + 1);
    }
    *out = s;
    return RC_OK;
}
