/* tls_ticket.c: session tickets of one service (RFC 5077, RFC 8446 4.6.1).
 *
 * Two keys: one encrypts for TLS_TICKET_KEY_S, then decrypts for as long again. Each service has its
 * own, so that a ticket of one means nothing to another; besides, a ticket carries the hash of the
 * certificate it was given under, and is no good for a client that asks for another name's, or
 * after the certificate was replaced: what SCRAM binds to (tls-server-end-point) then always is the
 * certificate of this connection. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "sys/clock.h"
#include "sys/tls_internal.h"

#define KEY_MS (TLS_TICKET_KEY_S * (int64_t)1000)

static void make_key(struct tls_ticket_key *k, int64_t now)
{
    sys_random(k->name, sizeof k->name);
    sys_random(k->cipher, sizeof k->cipher);
    sys_random(k->mac, sizeof k->mac);
    k->made_ms = now;
}

static void rotate(struct tls_tickets *t, int64_t now)
{
    if (t->now.made_ms == 0 || now - t->now.made_ms >= KEY_MS) {
        t->before = t->now;
        make_key(&t->now, now);
    }
    if (t->before.made_ms != 0 && now - t->before.made_ms >= 2 * KEY_MS)
        OPENSSL_cleanse(&t->before, sizeof t->before);
}

bool tls_tickets_key(struct tls_tickets *t, const uint8_t *name, int64_t now_ms,
                     struct tls_ticket_key *out, bool *old)
{
    pthread_mutex_lock(&t->lock);
    rotate(t, now_ms + 1); /* 0 means: not there */
    bool is_now = name == NULL || memcmp(name, t->now.name, sizeof t->now.name) == 0;
    bool is_before = !is_now && t->before.made_ms != 0 &&
                     memcmp(name, t->before.name, sizeof t->before.name) == 0;
    *out = is_before ? t->before : t->now;
    *old = is_before;
    pthread_mutex_unlock(&t->lock);
    return is_now || is_before;
}

static bool start_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *k)
{
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, p) == 1;
}

/* OpenSSL's ticket_key_evp_cb: -1 error, 0 no such key, 1 good, 2 good and to be renewed. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int encrypt)
{
    struct tls *t = SSL_get_app_data(ssl);
    struct tls_ticket_key k;
    bool old;
    if (!tls_tickets_key(&t->service->tickets, encrypt ? NULL : name, sys_mono_ms(), &k, &old))
        return 0;
    bool good;
    if (encrypt) {
        sys_random(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
        memcpy(name, k.name, sizeof k.name);
        good = EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.cipher, iv) == 1;
    } else {
        good = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.cipher, iv) == 1;
    }
    good = good && start_mac(mac, &k);
    OPENSSL_cleanse(&k, sizeof k);
    return !good ? -1 : old ? 2 : 1;
}

static int on_make(SSL *ssl, void *arg)
{
    struct tls *t = SSL_get_app_data(ssl);
    (void)arg;
    return t->cert != NULL &&
           SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), t->cert->hash, TLS_HASH_LEN);
}

static SSL_TICKET_RETURN on_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    struct tls *t = SSL_get_app_data(ssl);
    void *hash = NULL;
    size_t len = 0;
    (void)name, (void)name_len, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (t->cert == NULL || SSL_SESSION_get0_ticket_appdata(session, &hash, &len) != 1 ||
        len != TLS_HASH_LEN || memcmp(hash, t->cert->hash, len) != 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    /* A ticket of TLS 1.3 is used once (RFC 8446 C.4): it gets another. */
    bool renew = status == SSL_TICKET_SUCCESS_RENEW ||
                 SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION;
    return renew ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

void tls_tickets_init(struct tls_tickets *t, SSL_CTX *ctx)
{
    *t = (struct tls_tickets){0};
    pthread_mutex_init(&t->lock, NULL);
    must(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_key) == 1);
    must(SSL_CTX_set_session_ticket_cb(ctx, on_make, on_opened, NULL) == 1);
    must(SSL_CTX_set_num_tickets(ctx, 1) == 1); /* a mail program opens the next when it is done */
}

void tls_tickets_free(struct tls_tickets *t)
{
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t, sizeof *t);
}
