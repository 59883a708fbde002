/* tls_client.c: TLS over a struct conn, towards a server. See tls.h.
 *
 * OpenSSL reads and writes through a BIO on the connection below, with the deadline of the call
 * that is going on; so it works over whatever a test puts there. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/tls_internal.h"

struct tls_client {
    struct tls_vault *vault;
    SSL_CTX *any, *verified; /* by what is asked of the peer */
    struct tls_cache *cache;
};

struct tls_conn {
    struct conn base;
    struct conn *under;
    SSL *ssl;
    int64_t deadline_ms;
    enum rc rc; /* of the connection below */
    bool eof, done, broken;
    uint32_t raw;  /* bytes of the handshake */
    unsigned late; /* handshake messages after it */
    struct tls_client *client;
    uint8_t key[TLS_HASH_LEN]; /* under which its sessions are kept */
    struct tls_verdict verdict;
    char name[TLS_NAME_MAX + 1];
};

static struct tls_conn *conn_of(struct conn *c)
{
    return (struct tls_conn *)(void *)c;
}

/* ---- the connection below ---- */

static int under_read(BIO *b, char *to, int cap)
{
    struct tls_conn *t = BIO_get_data(b);
    size_t got = 0;
    BIO_clear_retry_flags(b);
    if (t->raw > TLS_HANDSHAKE_BYTES_MAX || t->late > TLS_LATE_MESSAGES_MAX)
        return -1;
    t->rc = t->under->ops->read(t->under, to, (size_t)cap, &got, t->deadline_ms);
    t->eof = t->rc == RC_OK && got == 0;
    if (t->rc == RC_TEMP)
        BIO_set_retry_read(b); /* the next call may have more time */
    if (!t->done)
        t->raw += (uint32_t)got;
    return t->rc == RC_OK ? (int)got : -1;
}

static int under_write(BIO *b, const char *from, int len)
{
    struct tls_conn *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    t->rc = t->under->ops->write(t->under, str_of(from, (size_t)len), t->deadline_ms);
    if (t->rc != RC_OK)
        t->broken = true; /* how much of the record went is unknown */
    return t->rc == RC_OK ? len : -1;
}

static long under_ctrl(BIO *b, int what, long arg, void *ptr)
{
    const struct tls_conn *t = BIO_get_data(b);
    (void)arg, (void)ptr;
    return what == BIO_CTRL_FLUSH ? 1 : what == BIO_CTRL_EOF ? t->eof : 0;
}

static BIO_METHOD *under_method;
static pthread_once_t under_once = PTHREAD_ONCE_INIT;

static void make_under_method(void)
{
    under_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    must(under_method != NULL && BIO_meth_set_read(under_method, under_read) == 1 &&
         BIO_meth_set_write(under_method, under_write) == 1 &&
         BIO_meth_set_ctrl(under_method, under_ctrl) == 1);
}

/* ---- the encrypted connection ---- */

static enum rc client_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    struct tls_conn *t = conn_of(c);
    *got = 0;
    if (t->broken)
        return RC_CLOSED;
    t->deadline_ms = deadline_ms;
    ERR_clear_error();
    int result = SSL_read_ex(t->ssl, to, cap, got);
    if (result == 1)
        return RC_OK;
    int why = SSL_get_error(t->ssl, result);
    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN)
        return RC_OK; /* close_notify: the end of the stream */
    if (why == SSL_ERROR_WANT_READ)
        return RC_TEMP;
    t->broken = true; /* an end without close_notify is one, too */
    return RC_CLOSED;
}

static enum rc client_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct tls_conn *t = conn_of(c);
    t->deadline_ms = deadline_ms;
    ERR_clear_error();
    while (bytes.len > 0 && !t->broken) {
        size_t n = 0;
        if (SSL_write_ex(t->ssl, bytes.ptr, bytes.len, &n) == 1) {
            bytes = str_from(bytes, n);
            continue;
        }
        ERR_clear_error();
        t->broken = true;
        return t->rc == RC_TEMP ? RC_TEMP : RC_CLOSED;
    }
    return bytes.len == 0 ? RC_OK : RC_CLOSED;
}

/* close_notify is sent if it can be at once: nobody waits for one who says goodbye. */
static void client_close(struct conn *c)
{
    struct tls_conn *t = conn_of(c);
    t->deadline_ms = 0;
    if (t->done && !t->broken)
        (void)SSL_shutdown(t->ssl);
    SSL_free(t->ssl);
    t->under->ops->close(t->under);
    ERR_clear_error();
    free(t);
}

static const struct conn_ops client_ops = {
    .read = client_read, .write = client_write, .close = client_close};

/* ---- the client ---- */

static int on_session(SSL *ssl, SSL_SESSION *s)
{
    struct tls_conn *t = SSL_get_app_data(ssl);
    if (t != NULL)
        tls_cache_put(t->client->cache, t->key, s);
    return 0; /* we kept no reference */
}

static void on_message(int sent, int version, int type, const void *bytes, size_t n, SSL *ssl,
                       void *arg)
{
    struct tls_conn *t = SSL_get_app_data(ssl);
    (void)version, (void)bytes, (void)n, (void)arg;
    if (!sent && type == SSL3_RT_HANDSHAKE && t != NULL && t->done)
        t->late++;
}

static SSL_CTX *client_context(bool verified)
{
    SSL_CTX *ctx = tls_context(TLS_client_method());
    if (ctx == NULL)
        return NULL;
    /* Whoever takes any certificate takes weak keys too: better than none (RFC 7435 3). */
    if (!verified)
        SSL_CTX_set_security_level(ctx, 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_msg_callback(ctx, on_message);
    return ctx;
}

struct tls_client *tls_client_new(struct tls_vault *v)
{
    struct tls_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    (void)pthread_once(&under_once, make_under_method);
    c->vault = v;
    c->any = client_context(false);
    c->verified = client_context(true);
    c->cache = tls_cache_new();
    if (c->any != NULL && c->verified != NULL && c->cache != NULL)
        return c;
    tls_client_free(c);
    return NULL;
}

void tls_client_free(struct tls_client *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->any);
    SSL_CTX_free(c->verified);
    tls_cache_free(c->cache);
    free(c);
}

/* ---- the handshake ---- */

/* A session may be resumed by who would ask the same of the same server: what was not verified then
 * is not later. */
static void session_key(struct tls_conn *t, const struct tls_client_config *config,
                        uint64_t authorities)
{
    uint8_t bytes[2 * TLS_NAME_MAX + 128];
    size_t n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned len = 0;
    char peer[NETADDR_TEXT];
    int head =
        snprintf((char *)bytes, sizeof bytes, "%d %llu %s %s %s", (int)config->verify,
                 (unsigned long long)authorities, t->name, config->alpn != NULL ? config->alpn : "",
                 netaddr_text_port(&t->under->peer, peer));
    n = head > 0 && (size_t)head < sizeof bytes ? (size_t)head : 0;
    must(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(md, bytes, n + 1) == 1 &&
         EVP_DigestUpdate(md, config->cert_pem.ptr, config->cert_pem.len) == 1 &&
         EVP_DigestFinal_ex(md, t->key, &len) == 1);
    EVP_MD_CTX_free(md);
}

static enum rc set_alpn(SSL *ssl, const char *alpn)
{
    uint8_t list[256];
    size_t n = strlen(alpn);
    must(n > 0 && n < sizeof list);
    list[0] = (uint8_t)n;
    memcpy(list + 1, alpn, n);
    return SSL_set_alpn_protos(ssl, list, (unsigned)n + 1) == 0 ? RC_OK : RC_TEMP;
}

static enum rc set_own_cert(SSL *ssl, const struct tls_client_config *config, struct err *err)
{
    struct tls_cert own;
    struct err why = {0};
    if (tls_pem_pair(config->cert_pem, config->key_pem, &own, &why) != RC_OK)
        return err_set(err, RC_TEMP, "4.7.0", "our own certificate: %s", why.text);
    bool good = SSL_use_cert_and_key(ssl, own.leaf, own.key, own.chain, 1) == 1;
    tls_cert_free(&own);
    return good ? RC_OK : err_set(err, RC_TEMP, "4.3.0", "out of memory");
}

static void try_resume(struct tls_conn *t)
{
    SSL_SESSION *s = tls_cache_take(t->client->cache, t->key);
    if (s == NULL)
        return;
    (void)SSL_set_session(t->ssl, s);
    SSL_SESSION_free(s);
}

static enum rc prepare(struct tls_conn *t, const struct tls_client_config *config, struct err *err)
{
    struct netaddr literal;
    uint64_t generation = 0;
    X509_STORE *store = tls_authorities_get(t->client->vault, &generation);
    bool good = true;
    t->verdict.name = t->name;
    /* RFC 6066 3: literal addresses are not permitted in "HostName". */
    if (t->name[0] != '\0' && !netaddr_parse(str_c(t->name), &literal))
        good = SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
    if (good && config->verify == TLS_VERIFY_NAME)
        good = tls_verify_begin(t->ssl, store, str_c(t->name), &t->verdict);
    if (good && config->alpn != NULL)
        good = set_alpn(t->ssl, config->alpn) == RC_OK;
    X509_STORE_free(store);
    ERR_clear_error();
    if (!good)
        return err_set(err, RC_TEMP, "4.7.5", "TLS: \"%.64s\" is no name to verify", t->name);
    if (config->cert_pem.len > 0) {
        enum rc rc = set_own_cert(t->ssl, config, err);
        if (rc != RC_OK)
            return rc;
    }
    session_key(t, config, generation);
    try_resume(t);
    return RC_OK;
}

static enum rc shake(struct tls_conn *t, struct env *env, struct err *err)
{
    char why[TLS_WHY_LEN];
    ERR_clear_error();
    if (SSL_connect(t->ssl) == 1) {
        t->done = true;
        return RC_OK;
    }
    (void)env;
    if (t->verdict.text[0] != '\0') {
        ERR_clear_error();
        return err_set(err, RC_TEMP, "4.7.5", "TLS: %s", t->verdict.text);
    }
    if (t->rc == RC_TEMP) {
        ERR_clear_error();
        return err_set(err, RC_TEMP, "4.4.2", "TLS: no answer in time during the handshake");
    }
    tls_error_text(why, t->raw > TLS_HANDSHAKE_BYTES_MAX ? "a handshake that does not end"
                                                         : "the connection was cut");
    bool cut = t->rc == RC_CLOSED || t->eof;
    return err_set(err, RC_TEMP, cut ? "4.4.2" : "4.7.0", "TLS: %s%s", why,
                   cut ? " during the handshake" : "");
}

static struct tls_conn *tls_conn_new(struct tls_client *c, struct conn *under,
                                     const struct tls_client_config *config, int64_t deadline_ms)
{
    struct tls_conn *t = calloc(1, sizeof *t);
    SSL *ssl = t == NULL ? NULL : SSL_new(config->verify == TLS_VERIFY_NAME ? c->verified : c->any);
    BIO *b = ssl == NULL ? NULL : BIO_new(under_method);
    if (b == NULL) {
        SSL_free(ssl);
        free(t);
        return NULL;
    }
    *t = (struct tls_conn){.base = {.ops = &client_ops, .peer = under->peer, .local = under->local},
                           .under = under,
                           .ssl = ssl,
                           .deadline_ms = deadline_ms,
                           .client = c};
    str_toc(config->name, t->name, sizeof t->name);
    str_lower(t->name, strlen(t->name));
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b);
    SSL_set_app_data(ssl, t);
    return t;
}

static void fill_info(struct tls_conn *t, struct tls_info *info)
{
    *info = (struct tls_info){0};
    tls_info_fill(t->ssl, info);
    const char *sent = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    if (sent != NULL)
        str_toc(str_c(sent), info->server_name, sizeof info->server_name);
    const X509 *server = SSL_get0_peer_certificate(t->ssl);
    if (server != NULL)
        info->end_point_len = tls_end_point(server, info->end_point);
}

enum rc tls_client_start(struct tls_client *c, struct env *env, struct conn **conn,
                         const struct tls_client_config *config, int64_t deadline_ms,
                         struct tls_info *info, struct err *err)
{
    struct conn *under = *conn;
    *conn = NULL;
    struct tls_conn *t =
        config->name.len <= TLS_NAME_MAX ? tls_conn_new(c, under, config, deadline_ms) : NULL;
    if (t == NULL) {
        under->ops->close(under);
        return err_set(err, RC_TEMP, "4.3.0", "TLS: out of memory");
    }
    enum rc rc = prepare(t, config, err);
    rc = rc == RC_OK ? shake(t, env, err) : rc;
    if (rc != RC_OK) {
        t->broken = true;
        client_close(&t->base);
        return rc;
    }
    fill_info(t, info);
    *conn = &t->base;
    return RC_OK;
}
