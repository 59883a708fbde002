/* tls_pki.h: certificates for tests: an authority, and what it signs. */
#ifndef TESTS_TLS_PKI_H
#define TESTS_TLS_PKI_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "sys/tls.h"

struct pki {
    X509 *cert;
    EVP_PKEY *key;
    char cert_pem[4096], key_pem[4096];
};

struct pki_want {
    const char *names;   /* "DNS:a.example,DNS:*.b.example", or NULL: an authority */
    int from_days, days; /* from today on; 0: -1 and 30 */
    int rsa_bits;        /* 0: P-256 */
    bool ed25519;        /* instead; signs without a hash of its own, if nobody else signs it */
    const char *called;  /* an authority; NULL: "test authority" */
};

static inline void pki_pem(char *to, size_t cap, BIO *b)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    assert_true(n > 0 && (size_t)n < cap);
    memcpy(to, p, (size_t)n);
    to[n] = '\0';
    BIO_free(b);
}

static inline void pki_extension(X509 *x, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* by NULL: signed by itself. */
static inline struct pki *pki_make(const struct pki *by, const struct pki_want *w)
{
    static long serial = 100;
    struct pki *p = calloc(1, sizeof *p);
    int from = w->from_days != 0 || w->days != 0 ? w->from_days : -1;
    p->key = w->ed25519        ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
             : w->rsa_bits > 0 ? EVP_RSA_gen((unsigned)w->rsa_bits)
                               : EVP_EC_gen("P-256");
    p->cert = X509_new();
    assert_non_null(p->key);
    X509_set_version(p->cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(p->cert), serial++);
    X509_time_adj_ex(X509_getm_notBefore(p->cert), from, 0, NULL);
    X509_time_adj_ex(X509_getm_notAfter(p->cert), w->days != 0 ? w->days : 30, 0, NULL);
    X509_set_pubkey(p->cert, p->key);
    X509_NAME *name = X509_get_subject_name(p->cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)(w->names != NULL    ? "leaf"
                                                       : w->called != NULL ? w->called
                                                                           : "test authority"),
                               -1, -1, 0);
    const struct pki *issuer = by != NULL ? by : p;
    X509_set_issuer_name(p->cert, X509_get_subject_name(issuer->cert));
    if (w->names != NULL)
        pki_extension(p->cert, issuer->cert, NID_subject_alt_name, w->names);
    pki_extension(p->cert, issuer->cert, NID_basic_constraints,
                  w->names != NULL ? "critical,CA:FALSE" : "critical,CA:TRUE");
    bool hashes = EVP_PKEY_get_base_id(issuer->key) != EVP_PKEY_ED25519;
    assert_true(X509_sign(p->cert, issuer->key, hashes ? EVP_sha256() : NULL) > 0);
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(c, p->cert), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(k, p->key, NULL, NULL, 0, NULL, NULL), 1);
    pki_pem(p->cert_pem, sizeof p->cert_pem, c);
    pki_pem(p->key_pem, sizeof p->key_pem, k);
    return p;
}

static inline void pki_free(struct pki *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    free(p);
}

static inline void pki_free_all(struct pki *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pki_free(all[i]);
}

static inline struct tls_pair pki_pair(const char *name, const struct pki *p)
{
    return (struct tls_pair){str_c(name), str_c(p->cert_pem), str_c(p->key_pem)};
}

/* Trusts the authority; `first` answers to every name, `second` to its own and alias.example. Both
 * may be NULL. */
static inline struct tls_vault *pki_vault(const struct pki *authority, const struct pki *first,
                                          const struct pki *second)
{
    struct err err = {0};
    struct tls_vault *v = tls_vault_new();
    struct tls_pair pairs[2];
    size_t n = 0;
    if (first != NULL)
        pairs[n++] = pki_pair("", first);
    if (second != NULL)
        pairs[n++] = pki_pair("alias.example", second);
    assert_int_equal(tls_vault_set_pairs(v, pairs, n, &err), RC_OK);
    assert_int_equal(tls_vault_set_authorities(v, str_c(authority->cert_pem), &err), RC_OK);
    return v;
}

#endif
