/* tls_internal.h: what the files of tls.h share.
 *
 *     tls_vault.c    certificates and authorities; which certificate answers to which name
 *     tls_pem.c      reads PEM: certificates, keys
 *     tls_service.c  a server's context: what is offered, ALPN, the choice of the certificate
 *     tls_ticket.c   session tickets of a service
 *     tls.c          a server's connection
 *     tls_client.c   a client's connection, as struct conn
 *     tls_verify.c   what is wrong with a server's certificate, in words
 *     tls_cache.c    a client's resumable sessions
 *     tls_info.c     what a handshake came to; errors in words
 *     tls_make.c     makes a certificate, signed by itself (tls_make.h) */
#ifndef SYS_TLS_INTERNAL_H
#define SYS_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "sys/tls.h"

#define TLS_HASH_LEN 32 /* SHA-256 */
#define TLS_WHY_LEN  128

/* What a peer may send until the handshake is done. A client hello with keys for post-quantum
 * groups is 2 KiB, a chain of certificates up to 20 KiB; OpenSSL itself bounds single messages. */
#define TLS_HANDSHAKE_BYTES_MAX (128 * 1024)
/* Handshake messages after the handshake: KeyUpdate, and a server's tickets. Nobody needs a new key
 * before 2^24 records (RFC 8446 5.5); each costs us two derivations for 27 bytes of the peer's. */
#define TLS_LATE_MESSAGES_MAX 32
#define TLS_CERT_LIST_MAX     (64 * 1024) /* a peer's chain */

/* AEAD with forward secrecy alone (RFC 9325 4.2); of TLS 1.3 all have it. */
#define TLS_SUITES_12                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS    "X25519:P-256:P-384"

/* ---- tls_vault.c ---- */

struct tls_cert {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    uint8_t hash[TLS_HASH_LEN]; /* SHA-256 of the leaf: a ticket is good for this one alone */
    uint8_t end_point[64];      /* RFC 5929 4.1 */
    size_t end_point_len;
};

struct tls_name {
    char *text; /* lower case; "*.example.org" for any one label before */
    size_t cert;
};

/* One generation of certificates: never changed, freed with its last user. */
struct tls_certs {
    atomic_uint refs;
    struct tls_cert *certs;
    size_t n;
    struct tls_name *names; /* sorted by text */
    size_t n_names;
};

struct tls_vault {
    pthread_mutex_t lock;
    struct tls_certs *certs; /* NULL: none */
    X509_STORE *authorities; /* never NULL */
    uint64_t generation;     /* of the authorities */
};

struct tls_certs *tls_certs_get(struct tls_vault *v); /* a reference, or NULL: none */
void tls_certs_put(struct tls_certs *c);
/* name: lower case, or "". Never NULL. */
const struct tls_cert *tls_certs_choose(const struct tls_certs *c, const char *name);
X509_STORE *tls_authorities_get(struct tls_vault *v, uint64_t *generation); /* a reference */

/* ---- tls_pem.c ---- */

/* A certificate with its chain and key. *err says what is wrong, without its name. */
enum rc tls_pem_pair(str_t chain_pem, str_t key_pem, struct tls_cert *out, struct err *err);
void tls_cert_free(struct tls_cert *c);
enum rc tls_pem_authorities(str_t pem, X509_STORE **out, struct err *err);

/* ---- tls_ticket.c ---- */

struct tls_ticket_key {
    uint8_t name[16], cipher[32], mac[32];
    int64_t made_ms; /* 0: not there */
};

struct tls_tickets {
    pthread_mutex_t lock;
    struct tls_ticket_key now, before;
};

/* The key to encrypt with (name NULL), or the one of that name; false: there is none (any more). */
bool tls_tickets_key(struct tls_tickets *t, const uint8_t *name, int64_t now_ms,
                     struct tls_ticket_key *out, bool *old);
void tls_tickets_init(struct tls_tickets *t, SSL_CTX *ctx);
void tls_tickets_free(struct tls_tickets *t);

/* ---- tls_service.c ---- */

struct tls_service {
    SSL_CTX *ctx;
    struct tls_vault *vault;
    char alpn[16]; /* or "" */
    struct tls_tickets tickets;
};

/* What servers and clients have in common; NULL: no memory. */
SSL_CTX *tls_context(const SSL_METHOD *method);
void tls_setup(void); /* OpenSSL, once: without its configuration file */

/* ---- tls.c ---- */

struct tls {
    SSL *ssl;
    int fd;
    bool done;    /* the handshake */
    bool failed;  /* nothing may be sent any more */
    bool dry;     /* the last read found nothing whole */
    bool eof;     /* of the socket */
    uint32_t raw; /* bytes of the handshake */
    unsigned late;
    struct tls_service *service;
    struct tls_certs *certs; /* until the handshake is done */
    const struct tls_cert *cert;
    struct tls_info info;
    char why[TLS_WHY_LEN];
};

/* ---- tls_info.c ---- */

void tls_info_fill(SSL *ssl, struct tls_info *info); /* but for server_name and end_point */
/* The hash of a certificate as RFC 5929 4.1 wants it; 0: it is not defined for this one. */
size_t tls_end_point(const X509 *cert, uint8_t out[static 64]);
void tls_hash(const X509 *cert, uint8_t out[static TLS_HASH_LEN]);
/* The first error OpenSSL noted in this thread, in words; forgets all. */
void tls_error_text(char why[static TLS_WHY_LEN], const char *otherwise);

/* ---- tls_verify.c ---- */

struct tls_verdict {
    const char *name; /* whom we called */
    char text[200];   /* "" : nothing is wrong */
};
/* Has the chain held against `store` and the name; *v must live as long as the handshake. */
bool tls_verify_begin(SSL *ssl, X509_STORE *store, str_t name, struct tls_verdict *v);

/* ---- tls_cache.c ---- */

struct tls_cache;
struct tls_cache *tls_cache_new(void);
void tls_cache_free(struct tls_cache *c);
void tls_cache_put(struct tls_cache *c, const uint8_t key[static TLS_HASH_LEN], SSL_SESSION *s);
/* NULL: none; else the caller's. One of TLS 1.3 is given once (RFC 8446 C.4). */
SSL_SESSION *tls_cache_take(struct tls_cache *c, const uint8_t key[static TLS_HASH_LEN]);

#endif
