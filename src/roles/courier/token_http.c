/* token_http.c: see token_http.h. */
#include "roles/courier/token_http.h"

#include <stdlib.h>

#include "base/digest.h"
#include "roles/courier/curl_library.h"

enum {
    ADDRESSES_MAX = 8,
    DNS_ARENA = 256 << 10,
    RESOLVE_MAX = 300 + ADDRESSES_MAX * NETADDR_TEXT,
    AUTHORIZATION_MAX = 8192,
    IDLE_S = 60, /* a connection without questions for so long is not used again */
};

struct token_http {
    struct token_http_config config;
    struct url url;
    const struct curl_library *lib;
    CURL *curl;
    struct buf body;
    size_t header_bytes;
    char text[URL_MAX + 1], why[CURL_ERROR_SIZE];
};

/* ---- what the library calls ---- */

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct token_http *h = user;
    return buf_add(&h->body, str_of(bytes, one * n)) ? one * n : 0;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *user)
{
    struct token_http *h = user;
    (void)bytes;
    h->header_bytes += one * n;
    return h->header_bytes <= TOKEN_HTTP_HEADER_MAX ? one * n : 0;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct token_http *h = user;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(h->config.stop) ? 1 : 0;
}

static CURLcode on_tls(CURL *curl, void *ctx, void *user)
{
    const struct token_http *h = user;
    (void)curl;
    return tls_vault_trust(h->config.tls, ctx) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

/* ---- options ---- */

#define SET(option, value) (h->lib->easy_setopt(h->curl, (option), (value)) == CURLE_OK)

static bool set_up(struct token_http *h)
{
    static char empty[1];
    return SET(CURLOPT_URL, h->text) &&
           SET(CURLOPT_PROTOCOLS_STR, h->url.https ? "https" : "http") &&
           SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, empty) &&
           SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_NOSIGNAL, 1L) &&
           SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(CURLOPT_USERAGENT, "postrider") && SET(CURLOPT_MAXAGE_CONN, (long)IDLE_S) &&
           SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, h) &&
           SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, h) &&
           SET(CURLOPT_NOPROGRESS, 0L) && SET(CURLOPT_XFERINFOFUNCTION, on_progress) &&
           SET(CURLOPT_XFERINFODATA, h) && SET(CURLOPT_ERRORBUFFER, h->why) &&
           SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
           SET(CURLOPT_CAINFO, NULL) && SET(CURLOPT_CAPATH, NULL) &&
           SET(CURLOPT_SSL_CTX_FUNCTION, on_tls) && SET(CURLOPT_SSL_CTX_DATA, h);
}

struct token_http *token_http_new(const struct token_http_config *config, struct err *err)
{
    struct token_http *h = calloc(1, sizeof *h);
    if (h == NULL) {
        (void)err_set(err, RC_TEMP, "", "out of memory");
        return NULL;
    }
    h->config = *config;
    h->lib = curl_library();
    buf_init(&h->body, TOKEN_HTTP_BODY_MAX);
    str_toc(config->url, h->text, sizeof h->text);
    if (h->lib != NULL && url_parse(config->url, &h->url) && (h->url.https || h->url.loopback) &&
        (h->curl = h->lib->easy_init()) != NULL && set_up(h))
        return h;
    token_http_free(h);
    (void)err_set(err, RC_PERM, "", "libcurl cannot be used");
    return NULL;
}

void token_http_free(struct token_http *h)
{
    if (h == NULL)
        return;
    if (h->curl != NULL)
        h->lib->easy_cleanup(h->curl);
    buf_free(&h->body);
    free(h);
}

/* ---- where ---- */

static size_t add_addresses(struct token_http *h, enum dns_type type, int64_t deadline_ms, size_t n,
                            struct buf *out, enum dns_status *status)
{
    struct env *env = h->config.env;
    struct dns_answer answer;
    struct arena a;
    arena_init(&a, DNS_ARENA);
    env->dns(env, h->url.host, type, deadline_ms, &a, &answer);
    *status = answer.status;
    for (size_t i = 0; i < answer.n && n < ADDRESSES_MAX; i++) {
        char text[NETADDR_TEXT];
        struct netaddr at;
        if (!dns_addr(type, answer.rdata[i], &at))
            continue;
        buf_addf(out, n++ > 0 ? ",%s%s%s" : "%s%s%s", type == DNS_AAAA ? "[" : "",
                 netaddr_text(&at, text), type == DNS_AAAA ? "]" : "");
    }
    arena_free(&a);
    return n;
}

/* "host:port:address,…" for CURLOPT_RESOLVE. */
static enum rc look_up(struct token_http *h, int64_t deadline_ms, struct buf *out, struct err *err)
{
    enum dns_status v4 = DNS_NODATA, v6 = DNS_NODATA;
    size_t n = 0;
    buf_addf(out, STR_FMT ":%u:", STR_ARG(h->url.host), h->url.port);
    if (h->url.loopback) {
        buf_add(out, STR("127.0.0.1,[::1]"));
        n = 2;
    } else {
        n = add_addresses(h, DNS_AAAA, deadline_ms, n, out, &v6);
        n = add_addresses(h, DNS_A, deadline_ms, n, out, &v4);
    }
    buf_addc(out, '\0');
    if (n > 0 && !out->failed)
        return RC_OK;
    return err_set(err, RC_TEMP, "", "no address of its host (%s)",
                   dns_status_name(v4 != DNS_NODATA ? v4 : v6));
}

/* ---- a question ---- */

static struct curl_slist *headers(struct token_http *h, str_t authorization)
{
    char line[AUTHORIZATION_MAX];
    struct curl_slist *list = h->lib->slist_append(NULL, "Accept: application/json"), *more;
    if (list == NULL || authorization.len == 0)
        return list;
    struct buf b = {.ptr = line, .cap = sizeof line, .max = sizeof line};
    buf_addf(&b, "Authorization: " STR_FMT, STR_ARG(authorization));
    buf_addc(&b, '\0');
    more = b.failed ? NULL : h->lib->slist_append(list, line);
    digest_wipe(line, sizeof line);
    if (more == NULL)
        h->lib->slist_free_all(list);
    return more;
}

static enum rc outcome(struct token_http *h, CURLcode code, struct err *err)
{
    long status = 0;
    if (code != CURLE_OK)
        return err_set(err, RC_TEMP, "", "%s",
                       h->body.failed      ? "its answer is too long"
                       : h->why[0] != '\0' ? h->why
                                           : h->lib->easy_strerror(code));
    (void)h->lib->easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 401 || status == 403)
        return err_set(err, RC_TEMP, "",
                       "it refuses us (%ld): see oauth_client_id and oauth_client_secret_file",
                       status);
    if (status != 200)
        return err_set(err, RC_TEMP, "", "it answers %ld", status);
    return RC_OK;
}

static bool set_question(struct token_http *h, str_t form)
{
    if (form.len == 0)
        return SET(CURLOPT_HTTPGET, 1L);
    return SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE, (long)form.len) &&
           SET(CURLOPT_POSTFIELDS, form.ptr);
}

enum rc token_http_ask(struct token_http *h, str_t form, str_t authorization, int64_t deadline_ms,
                       str_t *body, struct err *err)
{
    struct env *env = h->config.env;
    char where[RESOLVE_MAX];
    struct buf b = {.ptr = where, .cap = sizeof where, .max = sizeof where};
    struct curl_slist *resolve = NULL, *head = NULL;
    enum rc rc = RC_OK;
    *body = STR_NONE;
    buf_clear(&h->body);
    h->header_bytes = 0;
    h->why[0] = '\0';
    if (!h->url.literal) {
        rc = look_up(h, deadline_ms, &b, err);
        resolve = rc == RC_OK ? h->lib->slist_append(NULL, where) : NULL;
    }
    int64_t left = deadline_ms - env->mono_ms(env);
    if (rc == RC_OK && left <= 0)
        rc = err_set(err, RC_TEMP, "", "there was no time left to ask it");
    if (rc == RC_OK) {
        head = headers(h, authorization);
        bool good = head != NULL && (h->url.literal || resolve != NULL) &&
                    SET(CURLOPT_RESOLVE, resolve) && SET(CURLOPT_HTTPHEADER, head) &&
                    SET(CURLOPT_TIMEOUT_MS, (long)left) && set_question(h, form);
        rc = good ? outcome(h, h->lib->easy_perform(h->curl), err)
                  : err_set(err, RC_TEMP, "", "libcurl has no memory");
    }
    (void)SET(CURLOPT_RESOLVE, NULL);
    (void)SET(CURLOPT_HTTPHEADER, NULL);
    (void)SET(CURLOPT_POSTFIELDS, NULL);
    h->lib->slist_free_all(resolve);
    h->lib->slist_free_all(head);
    if (rc == RC_OK)
        *body = buf_str(&h->body);
    return rc;
}
