/* test_next_hop.c: Which way mail goes and from which address, and what is said to a server of what
 * it offers: reports, deadlines, limits, content that has to be converted. */
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

static struct env env = {.mono_ms = tls_peer_now,
                         .wall_ms = tls_peer_now,
                         .random = tls_peer_random,
                         .connect = tls_peer_connect,
                         .dns = tls_peer_dns};
static struct settings set;
static struct arena arena;
static struct attempt_setup setup = {.env = &env, .set = &set};

static const struct tls_server servers[] = {
    {.address = "1.1.1.1", .ehlo = "250 x\r\n"},
    {.address = "2.2.2.2", .ehlo = "250 x\r\n"},
    {.address = "3.3.3.3", .ehlo = "250 x\r\n", .lmtp = true},
};
#define DNS                                                                                   \
    "x.test MX mx.x.test\nmx.x.test A 1.1.1.1\nhub.test A 2.2.2.2\nhub.test MX mx.hub.test\n" \
    "mx.hub.test A 1.1.1.1\nstore.test A 3.3.3.3\ny.test A 1.1.1.1\n"                         \
    "second.test MX mx.x.test\nsecond.test MX us.test\nfirst.test MX us.test\n"               \
    "first.test MX mx.x.test\n"

static int begin(void **state)
{
    (void)state;
    set = (struct settings){.hostname = STR("us.test"), .smtp_client_port = 2525};
    env.store = store_memory_new();
    setup.tables = tables_new(&env);
    arena_init(&arena, 4 << 20);
    tls_peers_begin(servers, 3, DNS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tls_peers_end();
    arena_free(&arena);
    tables_free(setup.tables);
    store_close(env.store);
    return 0;
}

static void row(enum table t, const char *key, const char *value)
{
    struct err err;
    if (table_set(env.store, t, str_c(key), str_c(value), &err) != RC_OK)
        fail_msg("%s: %s", key, err.text);
}

static char site_told[256];

static bool site(void *user, str_t host)
{
    str_toc(host, site_told, sizeof site_told);
    return user == NULL;
}

/* "HOST ADDRESS:PORT", or "temporary STATUS TEXT". */
static const char *opened(const char *domain, const char *via)
{
    static char got[512];
    char addr[NETADDR_TEXT];
    struct attempt *t;
    struct err err;
    struct attempt_target to = {.domain = str_c(domain), .via = str_c(via)};
    site_told[0] = '\0';
    buf_clear(&tp.connects);
    buf_clear(&tp.plain);
    enum rc rc = attempt_open(&setup, &to, site, NULL, &arena, &t, &err);
    if (rc != RC_OK) {
        snprintf(got, sizeof got, "%s %s %s", rc_name(rc), err.status, err.text);
        return got;
    }
    snprintf(got, sizeof got, STR_FMT " %s", STR_ARG(attempt_host(t)),
             netaddr_text_port(attempt_addr(t), addr));
    attempt_close(t);
    return got;
}

/* ---- ways ---- */

static void test_order(void **state)
{
    (void)state;
    assert_string_equal(opened("x.test", ""), "mx.x.test 1.1.1.1:2525");
    assert_string_equal(site_told, "mx.x.test");
    set.routes[0] = (struct settings_route){STR("*"), STR("hub.test"), 26, false};
    set.n_routes = 1;
    assert_string_equal(opened("x.test", ""), "hub.test 2.2.2.2:26");
    row(TABLE_TRANSPORT, ".test", "smtp 1.1.1.1:27");
    assert_string_equal(opened("a.x.test", ""), "1.1.1.1 1.1.1.1:27");
}

static void test_table_before_settings(void **state)
{
    (void)state;
    set.routes[0] = (struct settings_route){STR("*"), STR("hub.test"), 26, false};
    set.n_routes = 1;
    row(TABLE_TRANSPORT, "x.test", "smtp 1.1.1.1:27");
    assert_string_equal(opened("X.test", ""), "1.1.1.1 1.1.1.1:27");
    assert_string_equal(opened("y.test", ""), "hub.test 2.2.2.2:26");
    /* back to the domain's own MX, past the smarthost */
    row(TABLE_TRANSPORT, "x.test", "mx");
    assert_string_equal(opened("x.test", ""), "mx.x.test 1.1.1.1:2525");
    /* the delivery's own word before all */
    assert_string_equal(opened("x.test", "smtp hub.test mx"), "mx.hub.test 1.1.1.1:25");
    assert_string_equal(site_told, "mx.hub.test");
    assert_string_equal(opened("y.test", "mx"), "y.test 1.1.1.1:2525");
}

static void test_error(void **state)
{
    (void)state;
    row(TABLE_TRANSPORT, "x.test", "error 5.1.2 closed for ever");
    assert_string_equal(opened("x.test", ""), "permanent 5.1.2 closed for ever");
    assert_string_equal(opened("x.test", "error 4.3.2 come back"), "temporary 4.3.2 come back");
    assert_int_equal(tp.connects.len, 0);
    /* what is no route defers: the operator puts it right */
    assert_string_equal(opened("x.test", "smpt hub"),
                        "temporary 4.3.5 route \"smpt hub\": a route is mx, smtp, lmtp or error, "
                        "not: \"smpt\"");
    assert_string_equal(opened("x.test", "smtp nowhere.test"),
                        "temporary 4.3.5 route: x.test: no host that takes its mail has an "
                        "address");
}

static void test_lmtp(void **state)
{
    (void)state;
    assert_string_equal(opened("x.test", "lmtp store.test"), "store.test 3.3.3.3:24");
    assert_true(str_contains(buf_str(&tp.plain), STR("LHLO us.test\r\n")));
    assert_string_equal(opened("x.test", "lmtp store.test:2003"), "store.test 3.3.3.3:2003");
}

/* RFC 5321 5.1 */
static void test_backup(void **state)
{
    (void)state;
    assert_string_equal(opened("second.test", ""), "mx.x.test 1.1.1.1:2525");
    assert_memory_equal(opened("first.test", ""), "permanent 5.4.6", 15);
    row(TABLE_BACKUP, "first.test", "yes");
    assert_memory_equal(opened("first.test", ""), "temporary 4.4.6", 15);
    row(TABLE_BACKUP, "second.test", "yes");
    assert_string_equal(opened("second.test", ""), "mx.x.test 1.1.1.1:2525");
}

/* Suspended: not connected to. */
static void test_site_says_no(void **state)
{
    struct attempt *t;
    struct err err;
    struct attempt_target to = {.domain = STR("x.test")};
    (void)state;
    assert_int_equal(attempt_open(&setup, &to, site, &to, &arena, &t, &err), RC_TEMP);
    assert_null(t);
    assert_string_equal(site_told, "mx.x.test");
    assert_int_equal(tp.connects.len, 0);
}

/* ---- addresses to send from ---- */

static const char *from(const char *sender, const char *domain)
{
    static char got[256];
    struct attempt *t;
    struct err err;
    struct attempt_target to;
    struct queue_message m = {.reverse_path = str_c(sender)};
    struct queue_delivery d = {.domain = str_c(domain), .via = STR("smtp hub.test")};
    buf_clear(&tp.connects);
    enum rc rc = attempt_target_of(&setup, &m, &d, &arena, &to, &err);
    if (rc == RC_OK)
        rc = attempt_open(&setup, &to, NULL, NULL, &arena, &t, &err);
    snprintf(got, sizeof got, "%s " STR_FMT "%s", rc_name(rc), STR_ARG(buf_str(&tp.connects)),
             rc == RC_OK ? "" : err.status);
    if (rc == RC_OK)
        attempt_close(t);
    return got;
}

static void test_sources(void **state)
{
    (void)state;
    assert_string_equal(from("a@us.test", "x.test"), "ok 2.2.2.2 ");
    assert_true(netaddr_parse(STR("192.0.2.9"), &set.source_v4));
    assert_string_equal(from("a@us.test", "x.test"), "ok 2.2.2.2<192.0.2.9 ");
    row(TABLE_SOURCE, "us.test", "192.0.2.1 2001:db8::1");
    row(TABLE_SOURCE, "bulk@us.test", "192.0.2.11 192.0.2.12  192.0.2.13");
    row(TABLE_SOURCE, "six@us.test", "2001:db8::1");
    assert_string_equal(from("a@us.test", "x.test"), "ok 2.2.2.2<192.0.2.1 ");
    assert_string_equal(from("a@else.test", "x.test"), "ok 2.2.2.2<192.0.2.9 ");
    assert_string_equal(from("", "x.test"), "ok 2.2.2.2<192.0.2.9 ");
    /* of a pool no other address is taken instead */
    assert_memory_equal(from("six@us.test", "x.test"), "temporary 4.", 12);
    assert_int_equal(tp.connects.len, 0);
}

/* One domain always sees the same; many domains see all of them. */
static void test_pool_spreads(void **state)
{
    int seen[3] = {0};
    (void)state;
    row(TABLE_SOURCE, "us.test", "192.0.2.0 192.0.2.1 192.0.2.2");
    for (int i = 0; i < 60; i++) {
        char domain[32];
        struct attempt_target a, b;
        struct err err;
        snprintf(domain, sizeof domain, "d%d.test", i);
        struct queue_message m = {.reverse_path = STR("a@us.test")};
        struct queue_delivery d = {.domain = str_c(domain)};
        assert_int_equal(attempt_target_of(&setup, &m, &d, &arena, &a, &err), RC_OK);
        assert_int_equal(attempt_target_of(&setup, &m, &d, &arena, &b, &err), RC_OK);
        assert_true(attempt_target_same(&a, &b) && a.pool);
        seen[a.from_v4.bytes[3]]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 5, 40);
}

/* ---- what is said ---- */

static const char *content;
static int down_after; /* messages: then the server takes no connection any more; 0: never */

static enum rc chunk(void *user, uint32_t k, struct arena *a, str_t *out)
{
    (void)user, (void)k, (void)a;
    if (down_after > 0 && --down_after == 0)
        tp.n = 0;
    *out = str_c(content);
    return RC_OK;
}

/* Opens x.test by its MX at a server that says this at EHLO, and sends. */
static void send(const char *ehlo, const struct queue_message *m, struct queue_delivery *d,
                 struct attempt_verdict *v)
{
    const struct tls_server s = {.address = "1.1.1.1", .ehlo = ehlo};
    struct attempt *t;
    struct err err;
    struct attempt_target to;
    d->domain = STR("x.test");
    tp.servers = &s;
    tp.n = 1;
    buf_clear(&tp.plain);
    buf_clear(&tp.connects);
    assert_int_equal(attempt_target_of(&setup, m, d, &arena, &to, &err), RC_OK);
    assert_int_equal(attempt_open(&setup, &to, NULL, NULL, &arena, &t, &err), RC_OK);
    attempt_send(t, m, d, chunk, NULL, NULL, &arena, v);
    attempt_close(t);
}

static bool heard(const char *line)
{
    return str_contains(buf_str(&tp.plain), str_c(line));
}

static void test_reports(void **state)
{
    struct queue_rcpt to[] = {
        {.address = STR("a@x.test"), .notify = QUEUE_NOTIFY_SUCCESS, .orcpt = STR("rfc822;A@x")},
        {.address = STR("b@x.test")},
        {.address = STR("c@x.test"), .notify = QUEUE_NOTIFY_NEVER}};
    struct queue_delivery d = {
        .rcpt = to, .nrcpt = 3, .sender = STR("v@us.test"), .has_sender = true};
    struct queue_message m = {.reverse_path = STR("s@us.test"),
                              .chunks = 1,
                              .envelope_id = STR("id=1"),
                              .ret = QUEUE_RET_FULL,
                              .priority = 3};
    struct attempt_verdict v[3];
    (void)state;
    content = "Subject: x\r\n\r\nx\r\n";
    send("250-x\r\n250-DSN\r\n250 MT-PRIORITY\r\n", &m, &d, v);
    assert_true(heard("MAIL FROM:<v@us.test> RET=FULL ENVID=id+3D1 MT-PRIORITY=3\r\n"));
    assert_true(heard("RCPT TO:<a@x.test> NOTIFY=SUCCESS ORCPT=rfc822;A@x\r\n"));
    assert_true(heard("RCPT TO:<b@x.test>\r\n"));
    assert_true(heard("RCPT TO:<c@x.test> NOTIFY=NEVER\r\n"));
    for (int i = 0; i < 3; i++)
        assert_true(v[i].rc == RC_OK && v[i].dsn && !v[i].by && !v[i].in_store);
    d.sender = STR("");
    send("250 x\r\n", &m, &d, v);
    assert_true(heard("MAIL FROM:<>\r\n") && heard("RCPT TO:<a@x.test>\r\n"));
    for (int i = 0; i < 3; i++)
        assert_true(v[i].rc == RC_OK && !v[i].dsn);
}

static void test_deadline(void **state)
{
    struct queue_rcpt to[] = {{.address = STR("a@x.test"), .notify = QUEUE_NOTIFY_FAILURE},
                              {.address = STR("b@x.test")}};
    struct queue_delivery d = {.rcpt = to, .nrcpt = 2};
    struct queue_message m = {.reverse_path = STR("s@us.test"),
                              .chunks = 1,
                              .by = QUEUE_BY_NOTIFY,
                              .by_trace = true,
                              .deliver_by_ms = tp.now_ms + 60000};
    struct attempt_verdict v[2];
    (void)state;
    content = "Subject: x\r\n\r\nx\r\n";
    send("250-x\r\n250-DSN\r\n250 DELIVERBY\r\n", &m, &d, v);
    assert_true(heard("MAIL FROM:<s@us.test> BY=60;NT\r\n") &&
                heard("<a@x.test> NOTIFY=FAILURE\r"));
    assert_true(v[0].by && v[1].by);
    /* RFC 2852 4.1.4.2: DELAY is asked for where the deadline is not known */
    send("250-x\r\n250 DSN\r\n", &m, &d, v);
    assert_true(heard("<a@x.test> NOTIFY=FAILURE,DELAY\r\n"));
    assert_true(heard("<b@x.test> NOTIFY=FAILURE,DELAY\r\n"));
    assert_false(v[0].by || v[1].by);
    m.deliver_by_ms = tp.now_ms - 1500;
    send("250-x\r\n250 DELIVERBY\r\n", &m, &d, v);
    assert_true(heard("MAIL FROM:<s@us.test> BY=-2;NT\r\n"));
    m.by = QUEUE_BY_RETURN;
    send("250-x\r\n250 DELIVERBY\r\n", &m, &d, v);
    assert_false(heard("MAIL"));
    assert_string_equal(v[1].status, "5.4.7");
    m.deliver_by_ms = tp.now_ms + 60000;
    send("250 x\r\n", &m, &d, v);
    assert_false(heard("MAIL"));
    assert_int_equal(v[0].rc, RC_PERM);
}

/* RFC 9422: as many recipients and transactions as the server says. */
static void test_limits(void **state)
{
    struct queue_rcpt to[5];
    char names[5][32];
    struct queue_delivery d = {.rcpt = to, .nrcpt = 5};
    struct queue_message m = {.reverse_path = STR("s@us.test"), .chunks = 1};
    struct attempt_verdict v[5];
    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(names[i], sizeof names[i], "r%d@x.test", i);
        to[i] = (struct queue_rcpt){.address = str_c(names[i])};
    }
    content = "Subject: x\r\n\r\nx\r\n";
    send("250-x\r\n250 LIMITS RCPTMAX=2\r\n", &m, &d, v);
    assert_true(heard("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<s@us.test>\r\nRCPT "
                      "TO:<r2@x.test>\r\nRCPT TO:<r3@x.test>\r\nDATA\r\n"));
    assert_true(str_eq(buf_str(&tp.connects), STR("1.1.1.1 ")));
    for (int i = 0; i < 5; i++)
        assert_int_equal(v[i].rc, RC_OK);
    send("250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 MAILMAX=2\r\n", &m, &d, v);
    assert_true(str_eq(buf_str(&tp.connects), STR("1.1.1.1 1.1.1.1 ")));
    /* two transactions, and the session is ended in order before the next begins */
    assert_true(heard("\r\nMAIL FROM:<s@us.test>\r\nRCPT TO:<r2@x.test>\r\nRCPT "
                      "TO:<r3@x.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\nEHLO"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(v[i].rc, RC_OK);
}

/* More than one session takes, and there is no second. */
static void test_limits_and_down(void **state)
{
    struct queue_rcpt to[3] = {
        {.address = STR("a@x.test")}, {.address = STR("b@x.test")}, {.address = STR("c@x.test")}};
    struct queue_delivery d = {.rcpt = to, .nrcpt = 3};
    struct queue_message m = {.reverse_path = STR("s@us.test"), .chunks = 1};
    struct attempt_verdict v[3];
    (void)state;
    content = "Subject: x\r\n\r\nx\r\n";
    down_after = 1;
    send("250-x\r\n250 LIMITS RCPTMAX=1 MAILMAX=1\r\n", &m, &d, v);
    assert_int_equal(v[0].rc, RC_OK);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(v[i].rc, RC_TEMP);
        assert_string_equal(v[i].status, "4.4.1");
    }
}

static void test_conversion(void **state)
{
    struct queue_rcpt to = {.address = STR("a@x.test")};
    struct queue_delivery d = {.rcpt = &to, .nrcpt = 1};
    struct queue_message m = {.reverse_path = STR("s@us.test"), .chunks = 1, .body_8bit = true};
    struct attempt_verdict v;
    (void)state;
    content = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f dich\r\n";
    send("250-x\r\n250 8BITMIME\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && heard(" BODY=8BITMIME\r\n") && heard("gr\xc3\xbc\xc3\x9f dich"));
    send("250 x\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && !heard("BODY=") && heard("gr=C3=BC=C3=9F dich\r\n.\r\n"));
    /* said to be 8-bit, and is not: as it is */
    content = "Subject: x\r\n\r\nplain = plain\r\n";
    send("250 x\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && heard("plain = plain\r\n.\r\n"));
    content = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; "
              "protocol=\"application/pgp-signature\"; micalg=pgp-sha256\r\n\r\n--b\r\n"
              "Content-Type: text/plain; charset=utf-8\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n--b\r\n"
              "Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
    send("250 x\r\n", &m, &d, &v);
    assert_true(v.rc == RC_PERM && !heard("MAIL"));
    assert_string_equal(v.status, "5.6.3");
    m.body_binary = true;
    content = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
              "Content-Transfer-Encoding: binary\r\n\r\na\rb\r\n";
    send("250-x\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && heard(" BODY=BINARYMIME\r\n") && heard("BDAT 101\r\nMIME"));
    assert_true(heard("a\rb\r\nBDAT 0 LAST\r\n"));
    send("250-x\r\n250 8BITMIME\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && heard("YQ1iDQo="));
    send("250 x\r\n", &m, &d, &v);
    assert_true(v.rc == RC_OK && heard("YQ1iDQo=") && !heard("BODY="));
}

/* Octets between the end of the transaction's DATA and the dot: none was stuffed. */
static uint64_t sent_size(void)
{
    size_t from = 0, to = 0;
    str_t all = buf_str(&tp.plain);
    for (size_t i = 0; i + 6 <= all.len; i++)
        if (memcmp(all.ptr + i, "DATA\r\n", 6) == 0)
            from = i + 6;
    for (size_t i = from; i + 5 <= all.len && to == 0; i++)
        if (memcmp(all.ptr + i, "\r\n.\r\n", 5) == 0)
            to = i + 2;
    assert_true(from > 0 && to > from);
    return to - from;
}

/* RFC 1870 6: SIZE= is what is sent, not what is stored; and what fits only as it is stored is
 * refused here, for good, before it is sent. */
static void test_size_of_what_is_sent(void **state)
{
    struct queue_rcpt to = {.address = STR("a@x.test")};
    struct queue_delivery d = {.rcpt = &to, .nrcpt = 1};
    struct attempt_verdict v;
    static const struct {
        const char *type, *body;
    } cases[] = {
        {"text/plain", "gr\xc3\xbc\xc3\x9f dich, und noch einmal gr\xc3\xbc\xc3\x9f dich; das ist "
                       "mehr als eine Zeile in quoted-printable \r\n"},
        {"application/octet-stream",
         "\xff\xfe\xfd and so on, for more than one line of base64, which "
         "has 57 octets of this in 76\r\nand a line\r\n"},
        {"text/plain", "nothing in it\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600], line[64], limit[64];
        snprintf(text, sizeof text,
                 "MIME-Version: 1.0\r\nContent-Type: %s\r\nContent-Transfer-Encoding: "
                 "8bit\r\n\r\n%s",
                 cases[i].type, cases[i].body);
        content = text;
        struct queue_message m = {
            .reverse_path = STR("s@us.test"), .chunks = 1, .body_8bit = true, .size = strlen(text)};
        send("250-x\r\n250-8BITMIME\r\n250 SIZE 1000\r\n", &m, &d, &v);
        snprintf(line, sizeof line, " SIZE=%zu BODY=8BITMIME\r\n", strlen(text));
        assert_true(v.rc == RC_OK && heard(line) && sent_size() == strlen(text));
        send("250-x\r\n250 SIZE 1000\r\n", &m, &d, &v);
        uint64_t size = sent_size();
        assert_int_equal(size > strlen(text), i < 2);
        snprintf(line, sizeof line, "<s@us.test> SIZE=%llu\r\n", (unsigned long long)size);
        assert_true(v.rc == RC_OK && heard(line));
        snprintf(limit, sizeof limit, "250-x\r\n250 SIZE %llu\r\n", (unsigned long long)size);
        send(limit, &m, &d, &v);
        assert_int_equal(v.rc, RC_OK);
        snprintf(limit, sizeof limit, "250-x\r\n250 SIZE %llu\r\n", (unsigned long long)size - 1);
        send(limit, &m, &d, &v);
        assert_int_equal(v.rc, RC_PERM);
        assert_string_equal(v.status, "5.3.4");
        assert_false(heard("MAIL"));
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_order),      TEST(test_table_before_settings),
        TEST(test_error),      TEST(test_lmtp),
        TEST(test_backup),     TEST(test_site_says_no),
        TEST(test_sources),    TEST(test_pool_spreads),
        TEST(test_reports),    TEST(test_deadline),
        TEST(test_limits),     TEST(test_limits_and_down),
        TEST(test_conversion), TEST(test_size_of_what_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
