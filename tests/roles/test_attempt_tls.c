/* test_attempt_tls.c: The courier against servers that strip, inject, lie, stall and break at TLS
 * and AUTH: nothing is sent in plaintext where policy says TLS, no password anywhere in plaintext,
 * and every failure has a status and a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "post/route.h"
#include "roles/courier/attempt.h"
#include "roles/tls_peer.h"
#include "store/engines.h"

static struct pki *ca, *other_ca, *good, *other_name, *expired, *unknown, *self_signed;
static struct tls_vault *vault;

static int make_all(void **state)
{
    (void)state;
    ca = pki_make(NULL, &(struct pki_want){0});
    other_ca = pki_make(NULL, &(struct pki_want){.called = "another authority"});
    good = pki_make(ca, &(struct pki_want){.names = "DNS:mx.x.test"});
    other_name = pki_make(ca, &(struct pki_want){.names = "DNS:mx.y.test"});
    expired =
        pki_make(ca, &(struct pki_want){.names = "DNS:mx.x.test", .from_days = -9, .days = -2});
    unknown = pki_make(other_ca, &(struct pki_want){.names = "DNS:mx.x.test"});
    self_signed = pki_make(NULL, &(struct pki_want){.names = "DNS:mx.x.test"});
    vault = pki_vault(ca, NULL, NULL);
    return 0;
}

static int free_all(void **state)
{
    struct pki *all[] = {ca, other_ca, good, other_name, expired, unknown, self_signed};
    (void)state;
    pki_free_all(all, sizeof all / sizeof *all);
    tls_vault_free(vault);
    return 0;
}

/* ---- one attempt and one message ---- */

static struct env env = {.mono_ms = tls_peer_now,
                         .wall_ms = tls_peer_now,
                         .random = tls_peer_random,
                         .connect = tls_peer_connect,
                         .dns = tls_peer_dns};
static const struct settings set = {.hostname = {"us.test", 7}, .smtp_client_port = 25};
static struct arena arena;
static struct attempt_setup setup = {.env = &env, .set = &set};

#define DNS_ONE "mx.x.test A 1.1.1.1\n"
#define DNS_TWO "x.test MX mx.x.test\nx.test MX mx2.x.test\n" DNS_ONE "mx2.x.test A 2.2.2.2\n"

static enum rc chunk(void *user, uint32_t k, struct arena *a, str_t *out)
{
    (void)user, (void)k, (void)a;
    *out = STR("Subject: s\r\n\r\nthe content\r\n");
    return RC_OK;
}

static struct attempt_verdict send_one(struct attempt *t, const struct queue_message *m)
{
    struct queue_rcpt rcpt = {.address = STR("b@x.test")};
    struct queue_delivery d = {.domain = STR("x.test"), .nrcpt = 1, .rcpt = &rcpt};
    struct attempt_verdict v;
    attempt_send(t, m, &d, chunk, NULL, NULL, &arena, &v);
    return v;
}

/* "open TLS", "open plaintext", "temporary STATUS", "permanent STATUS" */
static void try(const char *via, bool requiretls, char got[256], struct err *err)
{
    struct attempt *t = NULL;
    struct attempt_target to = {
        .domain = STR("x.test"), .via = str_c(via), .requiretls = requiretls};
    struct queue_message m = {
        .reverse_path = STR("a@us.test"), .chunks = 1, .requiretls = requiretls};
    arena_init(&arena, 4 << 20);
    *err = (struct err){0};
    enum rc rc = attempt_open(&setup, &to, NULL, NULL, &arena, &t, err);
    if (rc != RC_OK) {
        snprintf(got, 256, "%s %s", rc_name(rc), err->status);
        assert_true(err->text[0] != '\0');
    } else {
        bool tls = str_starts(attempt_tls(t), STR("TLSv1."));
        snprintf(got, 256, "open %s%s", tls ? "TLS" : "plaintext",
                 str_contains(attempt_tls(t), STR(" verified")) ? " verified" : "");
        struct attempt_verdict v = send_one(t, &m);
        if (v.rc != RC_OK)
            snprintf(got + strlen(got), 256 - strlen(got), ", %s %s", rc_name(v.rc), v.status);
    }
    attempt_close(t);
    arena_free(&arena);
}

/* These servers, and a client with TLS. */
static void begin(const struct tls_server *servers, size_t n, const char *dns)
{
    tls_peers_begin(servers, n, dns);
    setup.tls = tls_client_new(vault);
}

static void end(void)
{
    tls_client_free(setup.tls);
    setup.tls = NULL;
    tls_peers_end();
}

/* A core that is not there. */
static enum store_rc down_get(struct store *s, part_t part, const str_t *keys, size_t n,
                              struct arena *a, struct store_value *out)
{
    (void)s, (void)part, (void)keys, (void)n, (void)a, (void)out;
    return STORE_DOWN;
}

static enum store_rc down_scan(struct store *s, const struct store_scan *q, struct arena *a,
                               struct store_page *out)
{
    (void)s, (void)q, (void)a, (void)out;
    return STORE_DOWN;
}

static const struct store_board *down_board(struct store *s)
{
    (void)s;
    return NULL;
}

static const struct store_ops down_ops = {.get = down_get, .scan = down_scan, .board = down_board};
static struct store down = {&down_ops};

/* ---- what a server can do, under each policy ---- */

struct row {
    const char *name;
    struct tls_server s;
    /* what comes of it under MAY, ENCRYPT, VERIFY */
    const char *may, *encrypt, *verify;
};

#define REFUSED     "temporary 4.7.10"
#define NO_STARTTLS "250-x\r\n250 PIPELINING\r\n"

/* clang-format off: a case a row */
static const struct row rows[] = {
    {"all is well", {.cert = NULL}, "open TLS", "open TLS", "open TLS verified"},
    {"STARTTLS absent", {.ehlo = NO_STARTTLS}, "open plaintext", REFUSED, REFUSED},
    {"STARTTLS refused, 454",
     {.starttls = "454 4.7.0 TLS not available\r\n"},
     "open plaintext",
     REFUSED,
     REFUSED},
    {"STARTTLS refused, 502", {.starttls = "502 what\r\n"}, "open plaintext", REFUSED, REFUSED},
    {"STARTTLS answered 250",
     {.starttls = "250 ok\r\n"},
     "temporary 4.5.0",
     "temporary 4.5.0",
     "temporary 4.5.0"},
    {"STARTTLS answered 354",
     {.starttls = "354 go\r\n"},
     "temporary 4.5.0",
     "temporary 4.5.0",
     "temporary 4.5.0"},
    {"STARTTLS answered 421",
     {.starttls = "421 4.3.2 no\r\n"},
     "temporary 4.3.2",
     "temporary 4.3.2",
     "temporary 4.3.2"},
    {"STARTTLS answered 999",
     {.starttls = "999 go\r\n"},
     "temporary 4.5.0",
     "temporary 4.5.0",
     "temporary 4.5.0"},
    {"closes at STARTTLS",
     {.breaks = BREAK_CLOSE},
     "temporary 4.4.2",
     "temporary 4.4.2",
     "temporary 4.4.2"},
    {"a reply injected behind the 220",
     {.starttls = "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n"},
     "temporary 4.7.0",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"half a line injected behind the 220",
     {.starttls = "220 go\r\n2"},
     "temporary 4.7.0",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"a blank behind the 220",
     {.starttls = "220 go\r\n\r\n"},
     "temporary 4.7.0",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"the 220 before it was asked for",
     {.ehlo = "250 STARTTLS\r\n220 go\r\n"},
     "temporary 4.3.2",
     "temporary 4.3.2",
     "temporary 4.3.2"},
    {"10,000 replies to STARTTLS",
     {.breaks = BREAK_REPLIES},
     "temporary 4.7.0",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"a reply that never ends",
     {.breaks = BREAK_DRIP},
     "temporary 4.4.2",
     "temporary 4.4.2",
     "temporary 4.4.2"},
    {"text instead of a handshake",
     {.breaks = BREAK_GARBAGE},
     "open plaintext",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"a handshake cut short",
     {.breaks = BREAK_CUT},
     "open plaintext",
     "temporary 4.4.2",
     "temporary 4.4.2"},
    {"a handshake that stalls",
     {.breaks = BREAK_STALL},
     "open plaintext",
     "temporary 4.4.2",
     "temporary 4.4.2"},
    {"TLS 1.1 alone",
     {.breaks = BREAK_OLD},
     "open plaintext",
     "temporary 4.7.0",
     "temporary 4.7.0"},
    {"closes at the hello under TLS",
     {.breaks = BREAK_MUTE_TLS},
     "open plaintext",
     "temporary 4.4.2",
     "temporary 4.4.2"},
    {"421 to the hello under TLS",
     {.breaks = BREAK_421_TLS},
     "temporary 4.3.2",
     "temporary 4.3.2",
     "temporary 4.3.2"},
    {"10,000 lines to the hello under TLS",
     {.breaks = BREAK_LINES},
     "temporary 4.5.0",
     "temporary 4.5.0",
     "temporary 4.5.0"},
    {"another name", {.cert = NULL, .ehlo_tls = "name"}, "open TLS", "open TLS", "temporary 4.7.5"},
    {"expired", {.cert = NULL, .ehlo_tls = "expired"}, "open TLS", "open TLS", "temporary 4.7.5"},
    {"unknown authority",
     {.cert = NULL, .ehlo_tls = "unknown"},
     "open TLS",
     "open TLS",
     "temporary 4.7.5"},
    {"signed by itself",
     {.cert = NULL, .ehlo_tls = "self"},
     "open TLS",
     "open TLS",
     "temporary 4.7.5"},
    {"STARTTLS offered again under TLS",
     {.ehlo_tls = "250-x\r\n250 STARTTLS\r\n"},
     "open TLS",
     "open TLS",
     "open TLS verified"},
    {"the hello refused under TLS",
     {.ehlo_tls = "550 5.7.1 no\r\n"},
     "open TLS",
     "open TLS",
     "open TLS verified"}, /* HELO is taken */
    {"down", {.breaks = BREAK_DOWN}, "temporary 4.4.1", "temporary 4.4.1", "temporary 4.4.1"},
    {"no EHLO at all", {.ehlo = "502 what\r\n"}, "open plaintext", REFUSED, REFUSED},
};
/* clang-format on */

/* Which certificate: named in the row by a word where ehlo_tls would stand. */
static struct tls_server with_cert(struct tls_server s)
{
    const struct {
        const char *word;
        const struct pki *cert;
    } certs[] = {
        {"name", other_name}, {"expired", expired}, {"unknown", unknown}, {"self", self_signed}};
    s.address = "1.1.1.1";
    s.cert = good;
    for (size_t i = 0; i < sizeof certs / sizeof *certs; i++)
        if (s.ehlo_tls != NULL && strcmp(s.ehlo_tls, certs[i].word) == 0) {
            s.cert = certs[i].cert;
            s.ehlo_tls = NULL;
        }
    return s;
}

static void check_row(const struct row *r, const char *policy, const char *want, bool never_plain)
{
    struct tls_server s = with_cert(r->s);
    char got[256], via[64];
    struct err err;
    begin(&s, 1, DNS_ONE);
    snprintf(via, sizeof via, "smtp mx.x.test tls=%s", policy);
    try(via, false, got, &err);
    if (strcmp(got, want) != 0)
        fail_msg("%s, %s: got %s (%s), want %s", r->name, policy, got, err.text, want);
    bool plain = str_contains(buf_str(&tp.plain), STR("MAIL")) ||
                 str_contains(buf_str(&tp.plain), STR("content"));
    assert_true(!never_plain || !plain);
    assert_int_equal(plain, strstr(want, "open plaintext") != NULL);
    bool secret = str_contains(buf_str(&tp.secret), STR("the content"));
    assert_int_equal(secret, strstr(want, "open TLS") != NULL);
    end();
}

static void test_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_row(&rows[i], "may", rows[i].may, false);
        check_row(&rows[i], "encrypt", rows[i].encrypt, true);
        check_row(&rows[i], "verify", rows[i].verify, true);
    }
}

static void test_none(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good};
    char got[256];
    struct err err;
    (void)state;
    begin(&s, 1, DNS_ONE);
    try("smtp mx.x.test tls=none", false, got, &err);
    assert_string_equal(got, "open plaintext");
    assert_false(str_contains(buf_str(&tp.plain), STR("STARTTLS")));
    tls_client_free(setup.tls);
    setup.tls = NULL;
    /* a server of ours without TLS */
    try("smtp mx.x.test", false, got, &err);
    assert_string_equal(got, "open plaintext");
    try("smtp mx.x.test tls=encrypt", false, got, &err);
    assert_string_equal(got, REFUSED);
    tls_peers_end();
}

/* The fall back is one connection more, to the same address, and not asked for TLS again. */
static void test_fall_back_once(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good, .breaks = BREAK_GARBAGE};
    char got[256];
    struct err err;
    (void)state;
    begin(&s, 1, DNS_ONE);
    try("", false, got, &err); /* by the domain: nothing has an address */
    assert_string_equal(got, "permanent 5.4.4");
    try("smtp mx.x.test", false, got, &err);
    assert_string_equal(got, "open plaintext");
    assert_true(str_eq(buf_str(&tp.connects), STR("1.1.1.1 1.1.1.1 ")));
    end();
}

/* The next host has what the first has not. */
static void test_next_host(void **state)
{
    struct tls_server s[] = {
        {.address = "1.1.1.1", .cert = good, .ehlo = NO_STARTTLS},
        {.address = "2.2.2.2", .cert = good},
    };
    char got[256];
    struct err err;
    (void)state;
    begin(s, 2, DNS_TWO);
    try("smtp x.test mx tls=encrypt", false, got, &err);
    assert_string_equal(got, "open TLS");
    assert_true(str_eq(buf_str(&tp.connects), STR("1.1.1.1 2.2.2.2 ")));
    assert_false(str_contains(buf_str(&tp.plain), STR("MAIL")));
    try("smtp x.test mx tls=verify", false, got, &err); /* mx2's certificate is mx's */
    assert_string_equal(got, "temporary 4.7.5");
    assert_true(strstr(err.text, "mx2.x.test[2.2.2.2]: ") != NULL);
    assert_true(strstr(err.text, "verify is demanded by the route") != NULL);
    end();
}

static void test_resumption(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good};
    char got[256];
    struct err err;
    (void)state;
    begin(&s, 1, DNS_ONE);
    for (int i = 0; i < 3; i++) {
        try("smtp mx.x.test tls=verify", false, got, &err);
        assert_string_equal(got, "open TLS verified");
    }
    assert_int_equal(tp.handshakes, 3);
    assert_int_equal(tp.resumed, 2);
    end();
}

/* RFC 8314 3.3 */
static void test_implicit(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good, .implicit = true};
    struct tls_server plain = {.address = "1.1.1.1", .cert = good};
    struct tls_server broken = {
        .address = "1.1.1.1", .cert = good, .implicit = true, .breaks = BREAK_CUT};
    char got[256];
    struct err err;
    (void)state;
    begin(&s, 1, DNS_ONE);
    try("smtp mx.x.test:465 tls=verify", false, got, &err);
    assert_string_equal(got, "open TLS verified");
    try("smtp mx.x.test implicit", false, got, &err);
    assert_string_equal(got, "open TLS");
    assert_int_equal(tp.plain.len, 0);
    end();
    begin(&plain, 1, DNS_ONE); /* it greets where TLS should be */
    try("smtp mx.x.test:465", false, got, &err);
    assert_string_equal(got, "temporary 4.7.0");
    assert_false(str_contains(buf_str(&tp.plain), STR("EHLO")));
    end();
    begin(&broken, 1, DNS_ONE);
    try("smtp mx.x.test:465", false, got, &err);
    assert_string_equal(got, "temporary 4.4.2");
    assert_true(str_eq(buf_str(&tp.connects), STR("1.1.1.1 "))); /* no second one */
    end();
}

/* ---- REQUIRETLS ---- */

static void check_requiretls(struct tls_server *s, size_t n, bool secure, const char *want,
                             const char *reason)
{
    char got[256];
    struct err err;
    begin(s, n, DNS_TWO);
    tp.dns_secure = secure;
    try("", true, got, &err);
    if (strcmp(got, want) != 0 || strstr(err.text, reason) == NULL)
        fail_msg("got %s (%s), want %s (%s)", got, err.text, want, reason);
    assert_false(str_contains(buf_str(&tp.plain), STR("MAIL")));
    if (strncmp(want, "open", 4) == 0)
        assert_true(str_contains(buf_str(&tp.secret), STR("MAIL FROM:<a@us.test> REQUIRETLS\r\n")));
    end();
}

static void test_requiretls(void **state)
{
    const char *has = "250-x\r\n250 REQUIRETLS\r\n";
    struct tls_server fine[] = {{.address = "1.1.1.1", .cert = good, .ehlo_tls = has},
                                {.address = "2.2.2.2", .cert = good, .ehlo_tls = has}};
    struct tls_server lacks[] = {{.address = "1.1.1.1", .cert = good},
                                 {.address = "2.2.2.2", .cert = good}};
    struct tls_server forged[] = {{.address = "1.1.1.1", .cert = unknown, .ehlo_tls = has},
                                  {.address = "2.2.2.2", .cert = unknown, .ehlo_tls = has}};
    struct tls_server strips[] = {
        {.address = "1.1.1.1", .cert = good, .ehlo = "250-x\r\n250 REQUIRETLS\r\n"},
        {.address = "2.2.2.2", .cert = good, .ehlo = "250-x\r\n250 REQUIRETLS\r\n"}};
    struct tls_server half_down[] = {{.address = "1.1.1.1", .cert = good},
                                     {.address = "2.2.2.2", .breaks = BREAK_DOWN}};
    (void)state;
    check_requiretls(fine, 2, true, "open TLS verified", "");
    check_requiretls(fine, 2, false, "permanent 5.7.10", "not signed");
    check_requiretls(lacks, 1, true, "temporary 4.4.1", "refused");     /* the other is down */
    check_requiretls(lacks, 2, true, "permanent 5.7.10", "mx2.x.test"); /* its name is wrong */
    /* a handshake that was cut may go well the next time */
    lacks[1].breaks = BREAK_CUT;
    check_requiretls(lacks, 2, true, "temporary 4.4.2", "handshake");
    check_requiretls(forged, 2, true, "permanent 5.7.10", "REQUIRETLS");
    check_requiretls(strips, 2, true, "permanent 5.7.10", "STARTTLS is not offered");
    check_requiretls(half_down, 2, true, "temporary 4.4.1", "refused");
}

static void test_requiretls_by_route(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good};
    char got[256];
    struct err err;
    (void)state;
    begin(&s, 1, DNS_ONE);
    try("smtp mx.x.test tls=none", true, got, &err); /* the message's demand is the stronger */
    assert_string_equal(got, "permanent 5.7.30");
    assert_false(str_contains(buf_str(&tp.plain), STR("MAIL")));
    assert_false(str_contains(buf_str(&tp.secret), STR("MAIL")));
    end();
}

/* ---- AUTH ---- */

static void check_auth(struct tls_server s, const char *via, const char *want, const char *reason)
{
    char got[256];
    struct err err;
    s.address = "1.1.1.1";
    if (s.cert == NULL)
        s.cert = good;
    begin(&s, 1, DNS_ONE);
    try(via, false, got, &err);
    if (strcmp(got, want) != 0 || strstr(err.text, reason) == NULL)
        fail_msg("%s: got %s (%s), want %s (%s)", via, got, err.text, want, reason);
    assert_false(str_contains(buf_str(&tp.plain), STR("AG1lAHBhc3N3b3Jk"))); /* PLAIN */
    assert_false(str_contains(buf_str(&tp.plain), STR("cGFzc3dvcmQ=")));     /* LOGIN */
    end();
}

static void test_auth(void **state)
{
    struct err err;
    const struct route_credentials c = {STR("me"), STR("password")};
    struct tls_server plain = {.ehlo_tls = "250-x\r\n250 AUTH PLAIN LOGIN\r\n"};
    struct tls_server login = {.ehlo_tls = "250-x\r\n250 AUTH LOGIN\r\n"};
    struct tls_server wrong = {.ehlo_tls = "250-x\r\n250 AUTH PLAIN\r\n",
                               .auth_reply = "535 5.7.8 who are you\r\n"};
    struct tls_server later = {.ehlo_tls = "250-x\r\n250 AUTH PLAIN\r\n",
                               .auth_reply = "454 4.7.0 later\r\n"};
    struct tls_server early = {.ehlo = "250-x\r\n250 AUTH PLAIN LOGIN\r\n"};
    struct tls_server lost = {.ehlo = "250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"};
    struct tls_server liar = {.ehlo_tls = "250-x\r\n250 AUTH SCRAM-SHA-256\r\n"};
    struct tls_server forged = {.cert = self_signed, .ehlo_tls = "250-x\r\n250 AUTH PLAIN\r\n"};
    (void)state;
    env.store = store_memory_new();
    assert_int_equal(route_credentials_set(env.store, STR("hub"), &c, &err), RC_OK);
    check_auth(plain, "smtp mx.x.test auth=hub", "open TLS verified", "");
    check_auth(login, "smtp mx.x.test auth=hub", "open TLS verified", "");
    check_auth(wrong, "smtp mx.x.test auth=hub", "temporary 4.7.8", "535 5.7.8 who are you");
    check_auth(later, "smtp mx.x.test auth=hub", "temporary 4.7.8", "454 4.7.0 later");
    check_auth(plain, "smtp mx.x.test auth=none", "temporary 4.3.5", "there are none");
    /* stripped, or offered in plaintext alone */
    check_auth(early, "smtp mx.x.test auth=hub", REFUSED, "auth= and no tls=");
    check_auth(early, "smtp mx.x.test auth=hub tls=may", "temporary 4.7.8", "not encrypted");
    check_auth(early, "smtp mx.x.test auth=hub tls=none", "temporary 4.7.8", "not encrypted");
    check_auth(lost, "smtp mx.x.test auth=hub", "temporary 4.7.8", "offers");
    check_auth(forged, "smtp mx.x.test auth=hub", "temporary 4.7.5", "");
    check_auth(forged, "smtp mx.x.test auth=hub tls=encrypt", "open TLS", "");
    /* says yes without proof */
    check_auth(liar, "smtp mx.x.test auth=hub", "temporary 4.7.8", "without proving");
    assert_int_equal(route_credentials_set(env.store, STR("hub"), NULL, &err), RC_OK);
    check_auth(plain, "smtp mx.x.test auth=hub", "temporary 4.3.5", "there are none");
    store_close(env.store);
    env.store = &down;
    check_auth(plain, "smtp mx.x.test auth=hub", "temporary 4.3.0", "");
    env.store = NULL;
}

/* RFC 4954 5: after AUTH nobody vouches for the sender. */
static void test_auth_null(void **state)
{
    struct err err;
    const struct route_credentials c = {STR("me"), STR("password")};
    struct tls_server s = {
        .address = "1.1.1.1", .cert = NULL, .ehlo_tls = "250-x\r\n250 AUTH PLAIN\r\n"};
    char got[256];
    (void)state;
    s.cert = good;
    env.store = store_memory_new();
    assert_int_equal(route_credentials_set(env.store, STR("hub"), &c, &err), RC_OK);
    begin(&s, 1, DNS_ONE);
    try("smtp mx.x.test auth=hub", false, got, &err);
    assert_true(str_contains(buf_str(&tp.secret), STR("MAIL FROM:<a@us.test> AUTH=<>\r\n")));
    buf_clear(&tp.secret);
    try("smtp mx.x.test", false, got, &err);
    assert_true(str_contains(buf_str(&tp.secret), STR("MAIL FROM:<a@us.test>\r\n")));
    end();
    store_close(env.store);
    env.store = NULL;
}

/* ---- tables ---- */

static void check_table(const char *key, const char *value, const char *want)
{
    struct tls_server s[] = {{.address = "1.1.1.1", .cert = good, .ehlo = NO_STARTTLS},
                             {.address = "2.2.2.2", .cert = good, .ehlo = NO_STARTTLS}};
    char got[256];
    struct err err;
    if (key != NULL)
        assert_int_equal(table_set(env.store, TABLE_TLS, str_c(key), str_c(value), &err), RC_OK);
    tls_peers_begin(s, 2, DNS_TWO);
    try("", false, got, &err);
    if (strcmp(got, want) != 0)
        fail_msg("%s %s: got %s (%s), want %s", key, value, got, err.text, want);
    if (key != NULL)
        assert_int_equal(table_remove(env.store, TABLE_TLS, str_c(key), &err), RC_OK);
    tls_peers_end();
}

static void test_table(void **state)
{
    struct err err;
    (void)state;
    env.store = store_memory_new();
    setup.tables = tables_new(&env);
    setup.tls = tls_client_new(vault);
    check_table(NULL, NULL, "open plaintext");
    check_table("x.test", "encrypt", REFUSED);
    check_table("*", "verify", REFUSED);
    check_table(".test", "verify", REFUSED);
    check_table("y.test", "verify", "open plaintext");
    /* of one host alone: the other takes it in plaintext */
    check_table("mx.x.test", "encrypt", "open plaintext");
    /* the domain's own row before the host's, both before everybody's */
    assert_int_equal(table_set(env.store, TABLE_TLS, STR("x.test"), STR("may"), &err), RC_OK);
    check_table("mx.x.test", "encrypt", "open plaintext");
    check_table("*", "encrypt", "open plaintext");
    assert_int_equal(table_remove(env.store, TABLE_TLS, STR("x.test"), &err), RC_OK);
    /* a policy that cannot be read is not MAY */
    struct store *up = env.store;
    env.store = &down;
    check_table(NULL, NULL, "temporary 4.3.0");
    struct tls_server s = {.address = "1.1.1.1", .cert = good};
    char got[256];
    tls_peers_begin(&s, 1, DNS_ONE);
    try("smtp mx.x.test", false, got, &err);
    assert_string_equal(got, "temporary 4.3.0");
    assert_int_equal(tp.connects.len, 0);
    tls_peers_end();
    env.store = up;
    tls_client_free(setup.tls);
    tables_free(setup.tables);
    setup.tls = NULL;
    setup.tables = NULL;
    store_close(env.store);
    env.store = NULL;
}

/* A kept session, and the operator who asks for more of its host. */
static void test_table_of_a_session(void **state)
{
    struct tls_server s = {.address = "1.1.1.1", .cert = good, .ehlo = NO_STARTTLS};
    struct attempt_target to = {.domain = STR("x.test"), .via = STR("smtp mx.x.test")};
    struct attempt *t;
    struct err err;
    (void)state;
    env.store = store_memory_new();
    setup.tables = tables_new(&env);
    setup.tls = tls_client_new(vault);
    arena_init(&arena, 1 << 20);
    tls_peers_begin(&s, 1, DNS_ONE);
    assert_int_equal(attempt_open(&setup, &to, NULL, NULL, &arena, &t, &err), RC_OK);
    assert_true(attempt_fits(t, &to));
    assert_int_equal(table_set(env.store, TABLE_TLS, STR("x.test"), STR("may"), &err), RC_OK);
    assert_true(attempt_fits(t, &to));
    assert_int_equal(table_set(env.store, TABLE_TLS, STR("x.test"), STR("verify"), &err), RC_OK);
    assert_false(attempt_fits(t, &to));
    struct store *up = env.store;
    env.store = &down; /* a policy that cannot be read is not MAY */
    assert_false(attempt_fits(t, &to));
    env.store = up;
    assert_int_equal(table_remove(env.store, TABLE_TLS, STR("x.test"), &err), RC_OK);
    assert_true(attempt_fits(t, &to));
    attempt_close(t);
    to.via = STR_NONE; /* and who sends it another way */
    assert_int_equal(
        table_set(env.store, TABLE_TRANSPORT, STR("x.test"), STR("smtp mx.x.test"), &err), RC_OK);
    assert_int_equal(attempt_open(&setup, &to, NULL, NULL, &arena, &t, &err), RC_OK);
    assert_true(attempt_fits(t, &to));
    assert_int_equal(
        table_set(env.store, TABLE_TRANSPORT, STR("x.test"), STR("smtp mx.x.test:587"), &err),
        RC_OK);
    assert_false(attempt_fits(t, &to));
    assert_int_equal(table_remove(env.store, TABLE_TRANSPORT, STR("x.test"), &err), RC_OK);
    assert_false(attempt_fits(t, &to));
    attempt_close(t);
    tls_peers_end();
    arena_free(&arena);
    tls_client_free(setup.tls);
    tables_free(setup.tables);
    setup.tls = NULL;
    setup.tables = NULL;
    store_close(env.store);
    env.store = NULL;
}

/* ---- being put off ---- */

static void test_put_off(void **state)
{
    static const struct {
        const char *mail;
        bool off;
    } cases[] = {{"421 4.7.0 slow down\r\n", true},
                 {"451 4.7.1 slow down\r\n", true},
                 {"550 5.7.1 not from you\r\n", false},
                 {NULL, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_server s = {.address = "1.1.1.1", .cert = good, .mail = cases[i].mail};
        struct attempt_target to = {.domain = STR("x.test"), .via = STR("smtp mx.x.test")};
        struct queue_message m = {.reverse_path = STR("a@us.test"), .chunks = 1};
        struct attempt *t;
        struct err err;
        arena_init(&arena, 1 << 20);
        tls_peers_begin(&s, 1, DNS_ONE);
        assert_int_equal(attempt_open(&setup, &to, NULL, NULL, &arena, &t, &err), RC_OK);
        (void)send_one(t, &m);
        assert_int_equal(attempt_put_off(t), cases[i].off);
        attempt_close(t);
        tls_peers_end();
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),       cmocka_unit_test(test_none),
        cmocka_unit_test(test_fall_back_once), cmocka_unit_test(test_next_host),
        cmocka_unit_test(test_resumption),     cmocka_unit_test(test_implicit),
        cmocka_unit_test(test_requiretls),     cmocka_unit_test(test_requiretls_by_route),
        cmocka_unit_test(test_auth),           cmocka_unit_test(test_auth_null),
        cmocka_unit_test(test_table),          cmocka_unit_test(test_table_of_a_session),
        cmocka_unit_test(test_put_off),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
