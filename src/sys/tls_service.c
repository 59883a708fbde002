/* tls_service.c: a server's context, one for each service. Certificates are not in it: each
 * handshake takes those that the vault has when it begins. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/tls_internal.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* All that OpenSSL would otherwise do when it is first needed, perhaps in a sandbox. Its
 * configuration file is not read: what we offer is said here. */
static void setup(void)
{
    uint8_t seed[16];
    must(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
                              OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                          NULL) == 1);
    must(RAND_bytes(seed, sizeof seed) == 1);
}

void tls_setup(void)
{
    (void)pthread_once(&once, setup);
}

SSL_CTX *tls_context(const SSL_METHOD *method)
{
    tls_setup();
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    must(SSL_CTX_set_cipher_list(ctx, TLS_SUITES_12) == 1);
    must(SSL_CTX_set_ciphersuites(ctx, TLS_SUITES_13) == 1);
    must(SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) == 1);
    /* RFC 9325 3.3 (no compression), 3.5 (no renegotiation) */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* Buffers of 16 KiB live only while there is something in them; with read-ahead a record costs
     * one system call instead of two. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, TLS_CERT_LIST_MAX);
    return ctx;
}

/* ---- callbacks ---- */

/* The host name of a server_name extension (RFC 6066 3): a list of type and name, of which only
 * host names (0) were ever defined. Lower case; "" if there is none, or one that no DNS knows. */
static void sni_name(SSL *ssl, char out[static TLS_NAME_MAX + 1])
{
    const unsigned char *p = NULL;
    size_t n = 0;
    out[0] = '\0';
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 ||
        p[2] != TLSEXT_NAMETYPE_host_name)
        return;
    size_t len = (size_t)p[3] << 8 | p[4];
    str_t name = str_of(p + 5, len);
    if (len != n - 5 || len > TLS_NAME_MAX)
        return;
    for (size_t i = 0; i < len; i++)
        if (!ascii_alpha(name.ptr[i]) && !ascii_digit(name.ptr[i]) &&
            memchr("-._", name.ptr[i], 3) == NULL)
            return;
    if (str_ends(name, STR(".")))
        name.len--;
    str_toc(name, out, TLS_NAME_MAX + 1);
    str_lower(out, name.len);
}

/* Before all else of a handshake, tickets too: which certificate it will be. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls *t = SSL_get_app_data(ssl);
    (void)arg;
    sni_name(ssl, t->info.server_name);
    const struct tls_cert *c = tls_certs_choose(t->certs, t->info.server_name);
    if (SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    t->cert = c;
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl, (void)alert, (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 3.2; a browser sent here by an attacker says "http/1.1" and gets no further. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_service *s = arg;
    str_t rest = str_of(in, in_len), ours = str_c(s->alpn);
    (void)ssl;
    while (rest.len > 0 && ours.len > 0) {
        size_t len = (uint8_t)rest.ptr[0];
        str_t one = str_first(str_from(rest, 1), len);
        if (str_eq(one, ours)) {
            *out = (const unsigned char *)one.ptr;
            *out_len = (unsigned char)one.len;
            return SSL_TLSEXT_ERR_OK;
        }
        rest = str_from(rest, 1 + len);
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Any certificate will do: who it belongs to is asked of the directory, by its hash. */
static int on_client_cert(X509_STORE_CTX *ctx, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

/* Counts what comes after the handshake: see TLS_LATE_MESSAGES_MAX. */
static void on_message(int sent, int version, int type, const void *bytes, size_t n, SSL *ssl,
                       void *arg)
{
    struct tls *t = SSL_get_app_data(ssl);
    (void)version, (void)bytes, (void)n, (void)arg;
    if (!sent && type == SSL3_RT_HANDSHAKE && t != NULL && t->done)
        t->late++;
}

/* ---- making ---- */

static void set_tickets(struct tls_service *s, bool on)
{
    tls_tickets_init(&s->tickets, s->ctx);
    /* One, not the library's two: clients of mail connect one after the other, each handshake gives
     * the next ticket, and making one costs a tenth of the handshake. */
    must(SSL_CTX_set_num_tickets(s->ctx, on ? 1 : 0) == 1);
    if (!on)
        SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
}

struct tls_service *tls_service_new(struct tls_vault *v, const struct tls_service_config *c)
{
    struct tls_service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->vault = v;
    s->ctx = tls_context(TLS_server_method());
    if (s->ctx == NULL) {
        free(s);
        return NULL;
    }
    if (c->alpn != NULL) {
        must(strlen(c->alpn) < sizeof s->alpn);
        snprintf(s->alpn, sizeof s->alpn, "%s", c->alpn);
    }
    str_t id = str_first(str_c(c->name), SSL_MAX_SID_CTX_LENGTH);
    must(SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)id.ptr, (unsigned)id.len) ==
         1);
    SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF); /* tickets, or nothing */
    SSL_CTX_set_timeout(s->ctx, TLS_TICKET_KEY_S);
    SSL_CTX_set_options(s->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    set_tickets(s, c->tickets);
    SSL_CTX_set_client_hello_cb(s->ctx, on_client_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(s->ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(s->ctx, on_alpn, s);
    SSL_CTX_set_msg_callback(s->ctx, on_message);
    if (c->ask_client_cert) {
        SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
        SSL_CTX_set_cert_verify_callback(s->ctx, on_client_cert, NULL);
    }
    return s;
}

void tls_service_free(struct tls_service *s)
{
    if (s == NULL)
        return;
    SSL_CTX_free(s->ctx);
    tls_tickets_free(&s->tickets);
    free(s);
}
