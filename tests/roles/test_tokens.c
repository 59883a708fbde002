/* test_tokens.c: bearer tokens between core and courier: core asks a courier that may say anything;
 * courier is asked by a core that may; and the one name it looks up goes through env->dns. */
#include "core_fixture.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "post/directory_row.h"
#include "roles/core/token_ask.h"
#include "roles/core/token_cache.h"
#include "roles/courier/curl_library.h"
#include "roles/courier/token_check.h"
#include "roles/courier/token_http.h"
#include "roles/token_protocol.h"
#include "sys/channel.h"
#include "sys/net.h"
#include "tls_pki.h"

#define ME 7

/* ---- the frames ---- */

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        str_t bytes;
        bool good;
    } v[] = {
        {STR("\0\0\1a\0\0\0\1"), true},      {STR("\2\0\0\0\0\0\0"), true},
        {STR("\1\0\0\0\0\0\0"), true},       {STR("\0\0\0\0\0\0\1"), false}, /* good, but nobody */
        {STR("\2\0\1a\0\0\0\0"), false},     {STR("\2\0\0\0\0\0\1"), false},
        {STR("\3\0\0\0\0\0\0"), false},      {STR("\0\0\3a\0b\0\0\0\1"), false},
        {STR("\0\0\1a\0\0\0\1x"), false},    {STR("\0\0\2a\0\0\0\1"), false},
        {STR("\0\377\377a\0\0\0\1"), false}, {STR(""), false},
    };
    struct token_verdict out;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        assert_int_equal(token_verdict_decode(v[i].bytes, &out), v[i].good);
    for (size_t len = STORE_ADDRESS_MAX; len <= STORE_ADDRESS_MAX + 1; len++) {
        char name[STORE_ADDRESS_MAX + 1];
        struct buf b;
        memset(name, 'n', sizeof name);
        buf_init(&b, 1024);
        const struct token_verdict long_one = {.rc = RC_OK, .name = str_of(name, len), .good_s = 1};
        assert_true(token_verdict_encode(&long_one, &b));
        assert_int_equal(token_verdict_decode(buf_str(&b), &out), len == STORE_ADDRESS_MAX);
        buf_free(&b);
    }
}

static void checks(void **state)
{
    (void)state;
    static const struct {
        str_t bytes;
        bool good;
    } v[] = {
        {STR("\0\0\0\1\0\1a"), true},      {STR("\0\0\x27\x10\0\1a"), true},
        {STR("\0\0\x27\x11\0\1a"), false}, {STR("\0\0\0\0\0\1a"), false},
        {STR("\0\0\0\1\0\0"), false},      {STR("\0\0\0\1\0\1ab"), false},
        {STR("\0\0\0\1\0\2a"), false},     {STR(""), false},
    };
    struct token_check out;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        assert_int_equal(token_check_decode(v[i].bytes, &out), v[i].good);
}

static void cache(void **state)
{
    (void)state;
    static struct token_cache c;
    struct token_mark m, other;
    char name[STORE_ADDRESS_MAX + 1];
    const uint8_t key[32] = "key";
    token_cache_init(&c, key);
    assert_true(token_cache_mark(&c, STR("token"), &m));
    assert_true(token_cache_mark(&c, STR("other"), &other));
    assert_false(token_cache_find(&c, &m, 0, name));
    token_cache_put(&c, &m, STR("me"), 100);
    assert_true(token_cache_find(&c, &m, 99, name));
    assert_string_equal(name, "me");
    assert_false(token_cache_find(&c, &m, 100, name));
    assert_false(token_cache_find(&c, &other, 99, name));
    token_cache_free(&c);
}

/* ---- core, and a courier that says what it is told to ---- */

static struct world {
    struct core_fixture core;
    struct settings set;
    struct channel *to_courier;
    struct token_ask *ask;
    struct store *user, *admin;
    struct store_login_answer answer;
    /* what courier says: */
    str_t reply;
    uint8_t type;
    bool hang_up;
    atomic_int asked;
} t;

static bool courier_says(void *user, struct channel_peer *p, uint8_t type, uint64_t id,
                         str_t payload, int fd)
{
    struct token_check q;
    (void)user;
    assert_int_equal(type, TOKEN_CHECK);
    assert_int_equal(fd, -1);
    assert_true(token_check_decode(payload, &q));
    atomic_fetch_add(&t.asked, 1);
    if (t.hang_up)
        return false;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)t.reply.ptr, .iov_len = t.reply.len};
    channel_reply(p, id, t.type, &iov, 1, -1);
    return true;
}

static const struct channel_server_ops courier_ops = {.request = courier_says};

static void new_channel(void)
{
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    assert_non_null(channel_serve(sv[1], &courier_ops, NULL));
    channel_attach(t.to_courier, sv[0]);
}

static void add_account(const char *name, uint64_t id)
{
    struct arena a;
    struct buf b;
    arena_init(&a, 4096);
    buf_init(&b, 512);
    directory_account_encode(str_c(name), &b);
    core_put(&t.core, (part_t){PART_DIRECTORY, 0}, directory_key_account(id, &a), buf_str(&b));
    buf_free(&b);
    arena_free(&a);
    core_add_account(&t.core, t.admin, name, id, "password");
}

static int up(void **state)
{
    (void)state;
    t = (struct world){.type = TOKEN_VERDICT, .reply = STR("\2\0\0\0\0\0\0")};
    t.set.auth_cache_s = 60;
    core_up(&t.core);
    t.to_courier = channel_new(NULL, NULL, NULL);
    t.ask = token_ask_new(&t.core.env, &t.set, t.to_courier);
    core_server_token_check(t.core.cs, token_ask_check, t.ask);
    new_channel();
    t.user = core_store(&t.core, &core_any);
    t.admin = core_store(&t.core, &core_any);
    add_account("me@example.org", ME);
    return 0;
}

static int down(void **state)
{
    (void)state;
    if (t.answer.session != NULL)
        store_close(t.answer.session);
    store_close(t.user);
    store_close(t.admin);
    core_down(&t.core);
    channel_free(t.to_courier);
    token_ask_free(t.ask);
    return 0;
}

static enum rc login(const char *token)
{
    struct err err;
    const struct store_login l = {
        .use = STORE_USE_SEND, .proof = STORE_PROOF_TOKEN, .password = str_c(token)};
    if (t.answer.session != NULL)
        store_close(t.answer.session);
    t.answer.session = NULL;
    return store_remote_login(t.user, &l, &t.answer, &err);
}

static void courier_may_say_anything(void **state)
{
    (void)state;
    static const struct {
        str_t reply;
        uint8_t type;
        enum rc want;
    } v[] = {
        {STR("\2\0\0\0\0\0\0"), TOKEN_VERDICT, RC_PERM},
        {STR("\1\0\0\0\0\0\0"), TOKEN_VERDICT, RC_TEMP},
        {STR("\0\0\6nobody\0\0\0\0"), TOKEN_VERDICT, RC_PERM},
        {STR(""), TOKEN_VERDICT, RC_TEMP},
        {STR("\0"), TOKEN_VERDICT, RC_TEMP},
        {STR("\0\0\1\0\0\0\0\1"), TOKEN_VERDICT, RC_TEMP},
        {STR("\0\0\0\0\0\0\1"), TOKEN_VERDICT, RC_TEMP},
        {STR("\2\0\0\0\0\0\0"), 0x82, RC_TEMP},
        {STR("\2\0\0\0\0\0\0junk"), TOKEN_VERDICT, RC_TEMP},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        t.reply = v[i].reply;
        t.type = v[i].type;
        assert_int_equal(login("token"), v[i].want);
        assert_int_equal(t.asked, i + 1); /* nothing of this is kept */
    }
    t.hang_up = true;
    assert_int_equal(login("token"), RC_TEMP);
    t.hang_up = false;
    t.type = TOKEN_VERDICT;
    t.reply = STR("\2\0\0\0\0\0\0");
    new_channel();
    assert_int_equal(login("token"), RC_PERM);
}

static void a_good_one_is_kept(void **state)
{
    (void)state;
    t.reply = STR("\0\0\16Me@Example.org\0\0\0\74"); /* a minute */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(login("token"), RC_OK);
        assert_int_equal(t.answer.account, ME);
        assert_string_equal(t.answer.address, "me@example.org");
    }
    assert_int_equal(t.asked, 1);
    assert_int_equal(login("another"), RC_OK);
    assert_int_equal(t.asked, 2);
    t.reply = STR("\0\0\16me@example.org\0\0\0\0"); /* it has just expired, but for the clocks */
    assert_int_equal(login("third"), RC_OK);
    assert_int_equal(login("third"), RC_OK);
    assert_int_equal(t.asked, 4);
}

static int up_without_cache(void **state)
{
    up(state);
    token_ask_free(t.ask);
    t.set.auth_cache_s = 0;
    t.ask = token_ask_new(&t.core.env, &t.set, t.to_courier);
    core_server_token_check(t.core.cs, token_ask_check, t.ask);
    return 0;
}

static void nothing_is_kept(void **state)
{
    (void)state;
    t.reply = STR("\0\0\16me@example.org\0\0\0\74");
    assert_int_equal(login("token"), RC_OK);
    assert_int_equal(login("token"), RC_OK);
    assert_int_equal(t.asked, 2);
}

/* ---- courier, and a core that sends what it should not ---- */

static void core_may_ask_anything(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        str_t payload;
        bool hangs_up;
    } v[] = {
        {TOKEN_CHECK, STR("\0\0\0\1\0\1a"), false},
        {TOKEN_CHECK, STR(""), true},
        {TOKEN_CHECK, STR("\0\0\0\0\0\1a"), true},
        {TOKEN_VERDICT, STR("\0\0\0\1\0\1a"), true},
        {2, STR("\0\0\0\1\0\1a"), true},
    };
    log_quiet(true);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        int sv[2];
        struct frame f;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
        struct raw r = {.fd = sv[0]};
        assert_true(frame_reader_init(&r.in));
        token_check_serve(sv[1]);
        raw_send(&r, v[i].type, 7, v[i].payload);
        assert_int_equal(raw_read(&r, &f), !v[i].hangs_up);
        if (!v[i].hangs_up) { /* not started: later */
            assert_int_equal(f.type, TOKEN_VERDICT);
            assert_int_equal(f.id, 7);
            assert_true(str_eq(f.payload, STR("\1\0\0\0\0\0\0")));
        }
        raw_close(&r);
    }
}

/* ---- HTTPS ---- */

static struct {
    SSL_CTX *ctx;
    int fd;
    uint16_t port;
    const char *answer;
    char asked[1024];
    int looked_up;
} web;

static void *serve_one(void *arg)
{
    int fd = accept(web.fd, NULL, NULL);
    SSL *ssl = SSL_new(web.ctx);
    size_t n = 0;
    SSL_set_fd(ssl, fd);
    web.asked[0] = '\0';
    if (SSL_accept(ssl) == 1 && SSL_read_ex(ssl, web.asked, sizeof web.asked - 1, &n) == 1) {
        web.asked[n] = '\0';
        SSL_write(ssl, web.answer, (int)strlen(web.answer));
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return arg;
}

/* id.example is here, and nothing else is known. */
static void scripted_dns(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms,
                         struct arena *a, struct dns_answer *out)
{
    (void)e, (void)deadline_ms;
    *out = (struct dns_answer){.status = DNS_SERVFAIL};
    web.looked_up++;
    if (str_eq(name, STR("id.example"))) {
        *out = (struct dns_answer){.status = DNS_NODATA};
        if (type == DNS_A) {
            out->status = DNS_OK;
            out->n = 1;
            out->rdata = arena_array(a, 1, sizeof *out->rdata);
            out->rdata[0] = STR("\x7f\0\0\1");
        }
    }
}

static enum rc fetch(struct env *env, struct tls_vault *vault, const char *host, struct buf *body,
                     struct err *err)
{
    char url[128];
    static atomic_bool stop;
    snprintf(url, sizeof url, "https://%s:%u/x?y=z", host, web.port);
    const struct token_http_config c = {.env = env, .tls = vault, .url = str_c(url), .stop = &stop};
    struct token_http *h = token_http_new(&c, err);
    str_t got;
    assert_non_null(h);
    pthread_t server;
    bool known = strstr(host, "id.example") != NULL;
    if (known)
        assert_int_equal(pthread_create(&server, NULL, serve_one, NULL), 0);
    enum rc rc =
        token_http_ask(h, STR_NONE, STR("Basic abc"), env->mono_ms(env) + 10000, &got, err);
    if (known)
        pthread_join(server, NULL);
    buf_clear(body);
    buf_add(body, got);
    token_http_free(h);
    return rc;
}

static void https(void **state)
{
    (void)state;
    struct err err = {0};
    struct env env;
    struct buf body;
    signal(SIGPIPE, SIG_IGN); /* the server's, when a client hangs up on it */
    sys_env_init(&env);
    env.dns = scripted_dns;
    buf_init(&body, TOKEN_HTTP_BODY_MAX);
    assert_int_equal(curl_library_open(&err), RC_OK);
    struct pki *ca = pki_make(NULL, &(struct pki_want){0});
    struct pki *leaf = pki_make(ca, &(struct pki_want){.names = "DNS:id.example"});
    struct pki *wrong = pki_make(ca, &(struct pki_want){.names = "DNS:other.example"});
    struct tls_vault *vault = tls_vault_new(), *empty = tls_vault_new();
    assert_int_equal(tls_vault_set_authorities(vault, str_c(ca->cert_pem), &err), RC_OK);
    web.ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(web.ctx, leaf->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(web.ctx, leaf->key), 1);
    const struct netaddr here = {.family = NETADDR_V4, .bytes = {127, 0, 0, 1}};
    web.fd = net_listen(&here, &err);
    web.port = net_local(web.fd).port;

    /* environment that must not matter */
    setenv("https_proxy", "http://127.0.0.1:9", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
    web.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    if (fetch(&env, vault, "id.example", &body, &err) != RC_OK)
        fail_msg("%s", err.text);
    assert_true(str_eq(buf_str(&body), STR("{}")));
    assert_non_null(strstr(web.asked, "GET /x?y=z HTTP/1.1\r\n"));
    assert_non_null(strstr(web.asked, "\r\nAuthorization: Basic abc\r\n"));
    assert_int_equal(web.looked_up, 2);

    /* not in the DNS: no other way to find it is tried */
    assert_int_equal(fetch(&env, vault, "localhost.example", &body, &err), RC_TEMP);
    assert_non_null(strstr(err.text, "SERVFAIL"));
    /* sent elsewhere, refused, cut short, too long, no HTTP */
    static const char *const answers[] = {
        "HTTP/1.1 302 Found\r\nLocation: https://id.example/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n{}",
        "220 mail.example ESMTP\r\n",
        "",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        web.answer = answers[i];
        err.text[0] = '\0';
        assert_int_equal(fetch(&env, vault, "id.example", &body, &err), RC_TEMP);
        assert_true(err.text[0] != '\0' && body.len == 0);
    }
    /* certificates: no authority; another's name */
    web.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert_int_equal(fetch(&env, empty, "id.example", &body, &err), RC_TEMP);
    assert_int_equal(web.asked[0], '\0');
    assert_int_equal(SSL_CTX_use_certificate(web.ctx, wrong->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(web.ctx, wrong->key), 1);
    assert_int_equal(fetch(&env, vault, "id.example", &body, &err), RC_TEMP);
    assert_int_equal(web.asked[0], '\0');

    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    close(web.fd);
    SSL_CTX_free(web.ctx);
    buf_free(&body);
    tls_vault_free(vault);
    tls_vault_free(empty);
    pki_free(ca);
    pki_free(leaf);
    pki_free(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(checks),
        cmocka_unit_test(cache),
        cmocka_unit_test_setup_teardown(courier_may_say_anything, up, down),
        cmocka_unit_test_setup_teardown(a_good_one_is_kept, up, down),
        cmocka_unit_test_setup_teardown(nothing_is_kept, up_without_cache, down),
        cmocka_unit_test(core_may_ask_anything),
        cmocka_unit_test(https),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
