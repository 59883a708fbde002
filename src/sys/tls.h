/* tls.h: TLS 1.2 and 1.3 over OpenSSL, for servers (sys/server.h) and clients (struct conn).
 *
 * RFC 8446, 5246, 8314 (implicit TLS), 9325 (recommendations), 6066 (SNI), 7301 (ALPN), 5929 and
 * 9266 (channel bindings). AEAD suites with forward secrecy alone; no renegotiation, no
 * compression, no heartbeats.
 *
 *     struct tls_vault     certificates with keys by name, and trusted authorities. One for a role;
 *                          what it holds is replaced as a whole when files have changed: whoever
 *                          shakes hands meanwhile keeps what it began with. Thread-safe.
 *     struct tls_service   one kind of service (its ALPN, its tickets), on a vault. Thread-safe.
 *     struct tls           one connection. One owner at a time.
 *
 * Tickets: keys are made here, kept in memory, replaced every TLS_TICKET_KEY_S, good for one
 * service alone: a ticket of submission opens nothing on port 25. */
#ifndef SYS_TLS_H
#define SYS_TLS_H

#include "base/arena.h"
#include "base/env.h"
#include "base/str.h"

#define TLS_TICKET_KEY_S (12 * 3600) /* a key encrypts so long, and decrypts as long again */
#define TLS_NAME_MAX     255

struct tls_vault;
struct tls_vault *tls_vault_new(void); /* NULL: no memory */
void tls_vault_free(struct tls_vault *v);

/* One certificate: the names it is chosen for come from the certificate itself (its DNS names), and
 * from `name` if not empty. PEM, chain leaf first, key unencrypted. */
struct tls_pair {
    str_t name;
    str_t chain_pem, key_pem;
};
/* Replaces all certificates; the first is for clients that name none, or an unknown name. On
 * failure nothing changes and *err says which and why. n = 0: TLS is not offered. */
enum rc tls_vault_set_pairs(struct tls_vault *v, const struct tls_pair *pairs, size_t n,
                            struct err *err);
/* Replaces the trusted authorities (PEM). */
enum rc tls_vault_set_authorities(struct tls_vault *v, str_t pem, struct err *err);
/* Has somebody else's SSL_CTX (libcurl's) trust our authorities as they are now, in place of its
 * own, and takes our suites. */
bool tls_vault_trust(struct tls_vault *v, void *ssl_ctx);
bool tls_vault_ready(const struct tls_vault *v); /* there is a certificate */

/* From when until when a certificate (the first of a chain) is good, in ms since 1970. */
struct tls_dates {
    int64_t from_ms, until_ms;
};
enum rc tls_dates_read(str_t chain_pem, struct tls_dates *out, struct err *err);

struct tls_service_config {
    const char *name; /* "smtp", "submission", "pop3": binds the tickets */
    /* The only protocol taken: a client that names others alone fails with no_application_protocol
     * (RFC 7301 3.2), one that names none does not. NULL: none is taken, who names any fails. */
    const char *alpn;
    bool tickets;
    bool ask_client_cert; /* for SASL EXTERNAL; any certificate is taken, only its hash is used */
};
struct tls_service;
struct tls_service *tls_service_new(struct tls_vault *v, const struct tls_service_config *c);
void tls_service_free(struct tls_service *s);

/* What a peer's TLS came to; slices live as long as the struct tls. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    unsigned bits;
    bool resumed;
    char server_name[TLS_NAME_MAX + 1]; /* SNI, lower case, or "" */
    char alpn[16];                      /* or "" */
    uint8_t exporter[32];               /* RFC 9266 tls-exporter; has_exporter */
    bool has_exporter;
    uint8_t end_point[64]; /* RFC 5929 tls-server-end-point: hash of the server's certificate */
    size_t end_point_len;
    uint8_t client_cert[32]; /* SHA-256 of the client's certificate */
    bool has_client_cert;
};

/* ---- the server's side, on a non-blocking socket; for sys/server.c ---- */

enum tls_io {
    TLS_IO_OK,        /* n > 0 bytes moved (handshake: done) */
    TLS_IO_WANT_READ, /* again when the socket is readable */
    TLS_IO_WANT_WRITE,
    TLS_IO_CLOSED, /* the peer ended it in order (close_notify) */
    TLS_IO_FAILED, /* tls_why says why; an alert was sent if that was possible */
};
struct tls;
struct tls *tls_accept(struct tls_service *s, int fd); /* NULL: no certificate or no memory */
enum tls_io tls_handshake(struct tls *t);
enum tls_io tls_read(struct tls *t, void *to, size_t cap, size_t *n);
enum tls_io tls_write(struct tls *t, str_t bytes, size_t *n);
bool tls_pending(const struct tls *t); /* decrypted bytes wait inside: no readiness will tell */
void tls_close(struct tls *t);         /* close_notify if it can be sent at once; frees it */
const struct tls_info *tls_info(const struct tls *t); /* after the handshake */
const char *tls_why(const struct tls *t); /* in a few words: "no shared cipher", "timeout" … */

/* ---- the client's side: wraps a connection, with a deadline on every wait ---- */

enum tls_verify {
    TLS_VERIFY_NONE, /* opportunistic: any certificate (RFC 7435) */
    TLS_VERIFY_NAME, /* chain to a trusted authority and the name (RFC 6125, 9525) */
};
struct tls_client_config {
    str_t name; /* SNI, and what is verified; A-labels. An address literal: no SNI */
    enum tls_verify verify;
    const char *alpn;        /* or NULL */
    str_t cert_pem, key_pem; /* of our own, or empty */
};
struct tls_client; /* contexts and resumable sessions by host and port, bounded; thread-safe */
struct tls_client *tls_client_new(struct tls_vault *v);
void tls_client_free(struct tls_client *c);
/* Shakes hands over *conn. RC_OK: *conn is replaced by the encrypted one, which owns the former
 * (conn_ops as usual). Else *conn is closed and NULL, and *err says why with status 4.7.5 (name or
 * chain) or 4.4.2, 4.7.0. *info is filled on RC_OK. */
enum rc tls_client_start(struct tls_client *c, struct env *env, struct conn **conn,
                         const struct tls_client_config *config, int64_t deadline_ms,
                         struct tls_info *info, struct err *err);

#endif
