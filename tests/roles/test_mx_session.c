/* test_mx_session.c: mx sessions over the memory engine, driven as sys/server.h drives them: who
 * may send to whom, what is stored, and what is said when the store cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "roles/log.h"
#include "roles/mx/mx.h"
#include "store/engines.h"

struct world {
    struct env env;
    struct settings settings;
    struct mx mx;
    struct arena arena;
    struct smtp_session *session;
    int64_t now_ms;
    char said[65536];
    uint8_t random;
};

static int64_t wall_ms(struct env *e)
{
    (void)e;
    return 1700000000000;
}

static void random_counting(struct env *e, void *to, size_t n)
{
    struct world *w = e->ctx;
    memset(to, ++w->random, n);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = {0};
    uint64_t id;
    arena_init(&w->arena, 64 << 20);
    w->env = (struct env){
        .wall_ms = wall_ms, .random = random_counting, .store = store_memory_new(), .ctx = w};
    assert_int_equal(
        settings_parse(STR("hostname = mx.example.test\n"), "test", &w->arena, &w->settings, &err),
        RC_OK);
    w->settings.hops_max = 3;
    w->settings.message_size_max = 100000;
    assert_int_equal(directory_domain_add(w->env.store, STR("example.test"), &err), RC_OK);
    assert_int_equal(directory_account_add(w->env.store, STR("anna@example.test"), &id, &err),
                     RC_OK);
    str_t targets[] = {STR("anna@example.test"), STR("far@away.example")};
    assert_int_equal(directory_alias_set(w->env.store, STR("all@example.test"), targets, 2, &err),
                     RC_OK);
    assert_true(mx_init(&w->mx, &w->env, &w->settings, NULL));
    log_quiet(true);
    *state = w;
    return 0;
}

static void hang_up(struct world *w)
{
    if (w->session != NULL)
        smtp_in_ops.close(w->session);
    w->session = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    hang_up(w);
    mx_free(&w->mx);
    store_close(w->env.store);
    arena_free(&w->arena);
    free(w);
    return 0;
}

static void take_output(struct world *w)
{
    str_t out = smtp_in_ops.output(w->session);
    size_t have = strlen(w->said);
    must(have + out.len < sizeof w->said);
    if (out.len > 0)
        memcpy(w->said + have, out.ptr, out.len);
    w->said[have + out.len] = '\0';
    smtp_in_ops.sent(w->session, out.len);
}

/* Sends text; what is said from here on is in w->said. */
static const char *say(struct world *w, const char *text)
{
    str_t rest = str_c(text);
    w->said[0] = '\0';
    while (rest.len > 0) {
        size_t used = smtp_in_ops.input(w->session, rest, w->now_ms);
        must(used > 0 || smtp_in_ops.output(w->session).len > 0);
        rest = str_from(rest, used);
        take_output(w);
    }
    return w->said;
}

static void dial(struct world *w, struct smtp_service *l, const char *from)
{
    struct netaddr peer, local;
    hang_up(w);
    assert_true(netaddr_parse(str_c(from), &peer) && netaddr_parse(STR("203.0.113.25"), &local));
    peer.port = 4711;
    w->now_ms = 1000;
    w->session = smtp_in_ops.open(l, &peer, &local, w->now_ms);
    assert_non_null(w->session);
    w->said[0] = '\0';
    take_output(w);
    assert_true(str_starts(str_c(w->said), STR("220 mx.example.test ")));
    say(w, l->config.lmtp ? "LHLO client.example\r\n" : "EHLO client.example\r\n");
}

#define STRANGER "198.51.100.7"
#define FRIEND   "127.0.0.1"

static const char *rcpt(struct world *w, const char *address)
{
    char line[600];
    say(w, "RSET\r\nMAIL FROM:<s@away.example>\r\n");
    snprintf(line, sizeof line, "RCPT TO:%s\r\n", address);
    return say(w, line);
}

static void expect_prefix(const char *said, const char *prefix)
{
    if (strncmp(said, prefix, strlen(prefix)) != 0)
        print_error("said %s want %s\n", said, prefix);
    assert_int_equal(strncmp(said, prefix, strlen(prefix)), 0);
}

/* ---- what is stored ---- */

static void rows_of(struct world *w, const char *prefix, struct store_page *page)
{
    struct store_scan q = {.part = QUEUE_PART, .from = str_c(prefix)};
    q.end = store_prefix_end(&w->arena, q.from);
    assert_int_equal(store_scan(w->env.store, &q, &w->arena, page), STORE_OK);
}

static size_t stored(struct world *w)
{
    struct store_page page;
    rows_of(w, "m/", &page);
    return page.n;
}

static void only_message(struct world *w, struct queue_message *m, str_t *content)
{
    struct store_page page;
    queue_id_t id;
    rows_of(w, "m/", &page);
    assert_int_equal(page.n, 1);
    assert_true(queue_key_id(page.rows[0].key, &id));
    assert_true(queue_message_decode(page.rows[0].value, id, &w->arena, m));
    rows_of(w, "c/", &page);
    assert_int_equal(page.n, 1);
    *content = page.rows[0].value;
}

static void test_accept(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    struct store_page page;
    struct queue_delivery d;
    str_t content;
    char id[QUEUE_ID_TEXT], reply[100];
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example> BODY=8BITMIME\r\nRCPT TO:<Anna@Example.Test>\r\n");
    assert_string_equal(w->said, "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n");
    expect_prefix(say(w, "DATA\r\n"), "354 ");
    say(w, "Subject: x\r\n\r\n..dot\r\n.\r\n");
    only_message(w, &m, &content);
    snprintf(reply, sizeof reply, "250 2.0.0 queued as %s\r\n", queue_id_text(m.id, id));
    assert_string_equal(w->said, reply);
    assert_true(m.body_8bit && !m.smtputf8 && m.single);
    assert_true(str_eq(m.reverse_path, STR("s@away.example")));
    assert_true(str_eq(m.client, STR(STRANGER ":4711")));
    assert_true(str_eq(m.helo, STR("client.example")) && str_eq(m.protocol, STR("ESMTP")));
    assert_int_equal(m.size, content.len);
    /* Our Received is the first of it; nothing else was added. */
    assert_true(str_starts(content, STR("Received: from client.example ([" STRANGER "])")));
    assert_true(str_contains(content, str_c(id)) &&
                str_contains(content, STR("for <Anna@example.test>")));
    assert_true(str_ends(content, STR("+0000\r\nSubject: x\r\n\r\n.dot\r\n")));
    assert_false(str_contains(content, STR("Return-Path")));
    rows_of(w, "dl/", &page);
    assert_int_equal(page.n, 1);
    assert_true(queue_delivery_decode(page.rows[0].key, page.rows[0].value, &w->arena, &d));
    assert_int_equal(d.nrcpt, 1);
    assert_true(str_eq(d.rcpt[0].address, STR("Anna@example.test")));
}

static void test_several_recipients(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    str_t content;
    struct store_page page;
    dial(w, &w->mx.smtp, FRIEND);
    say(w, "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<anna@example.test>\r\nRCPT "
           "TO:<x@one.example>\r\nRCPT TO:<y@two.example>\r\n"
           "RCPT TO:<u@[192.0.2.9]>\r\n");
    say(w, "DATA\r\n");
    expect_prefix(say(w, "x\r\n.\r\n"), "250 2.0.0 queued as ");
    only_message(w, &m, &content);
    assert_true(m.reverse_path.len == 0 && m.smtputf8);
    assert_true(str_eq(m.protocol, STR("UTF8SMTP")));
    assert_false(str_contains(content, STR("for <"))); /* none learns of the others */
    rows_of(w, "dl/", &page);
    assert_int_equal(page.n, 1);
    rows_of(w, "dr/", &page);
    assert_int_equal(page.n, 3);
    struct queue_delivery d;
    bool literal_seen = false;
    for (size_t i = 0; i < page.n; i++) {
        assert_true(queue_delivery_decode(page.rows[i].key, page.rows[i].value, &w->arena, &d));
        literal_seen |= str_eq(d.domain, STR("[192.0.2.9]"));
    }
    assert_true(literal_seen);
}

/* ---- policy ---- */

static void test_policy(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *to, *stranger, *friend;
    } rows[] = {
        {"<anna@example.test>", "250", "250"},
        {"<ANNA+detail@EXAMPLE.test>", "250", "250"},
        {"<\"anna\"@example.test>", "250", "250"},
        {"<all@example.test>", "250", "250"},
        {"<nobody@example.test>", "550 5.1.1", "550 5.1.1"},
        {"<postmaster>", "250", "250"},
        {"<Postmaster@example.test>", "250", "250"},
        {"<postmaster@[203.0.113.25]>", "250", "250"},
        {"<anna@[203.0.113.25]>", "550 5.1.1", "550 5.1.1"},
        {"<postmaster@[203.0.113.26]>", "550 5.7.1", "250"},
        {"<postmaster@[x-any:thing]>", "550 5.7.1", "250"},
        {"<x@away.example>", "550 5.7.1", "250"},
        {"<postmaster@away.example>", "550 5.7.1", "250"},
        {"<@example.test:x@away.example>", "550 5.7.1", "250"},
        {"<@example.test,@example.test:x@away.example>", "550 5.7.1", "250"},
        {"<@away.example:anna@example.test>", "250", "250"},
        {"<x%away.example@example.test>", "550 5.1.1", "550 5.1.1"},
        {"<away.example!x@example.test>", "550 5.1.1", "550 5.1.1"},
        {"<\"x@away.example\"@example.test>", "550 5.1.1", "550 5.1.1"},
        {"<\"x%away.example\"@example.test>", "550 5.1.1", "550 5.1.1"},
        {"<x@away.example@example.test>", "501", "501"},
        {"<x@away.example%example.test>", "501", "501"},
        {"<x@example.test.>", "501", "501"},
        {"<x@.example.test>", "501", "501"},
        {"<x@example.test.away.example>", "550 5.7.1", "250"},
        {"<x@away.example(example.test)>", "501", "501"},
        {"<anna@sub.example.test>", "550 5.7.1", "250"},
        {"<x@127.0.0.1>", "550 5.7.1", "250"},
        {"<x@[127.0.0.1]>", "550 5.7.1", "250"},
        {"<x@[IPv6:::1]>", "550 5.7.1", "250"},
        {"<x\xef\xbc\xa0"
         "away.example@example.test>",
         "553 5.6.7", "553 5.6.7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dial(w, &w->mx.smtp, STRANGER);
        expect_prefix(rcpt(w, rows[i].to), rows[i].stranger);
        expect_prefix(rcpt(w, rows[i].to), rows[i].stranger); /* again, now from the cache */
        dial(w, &w->mx.smtp, FRIEND);
        expect_prefix(rcpt(w, rows[i].to), rows[i].friend);
    }
    /* The sender makes no difference to who may relay. */
    static const char *const senders[] = {"<>", "<anna@example.test>", "<postmaster@example.test>",
                                          "<s@away.example>"};
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        char line[200];
        dial(w, &w->mx.smtp, STRANGER);
        snprintf(line, sizeof line, "MAIL FROM:%s\r\nRCPT TO:<x@away.example>\r\n", senders[i]);
        say(w, line);
        assert_non_null(strstr(w->said, "\r\n550 5.7.1 "));
    }
    assert_int_equal(stored(w), 0);
}

/* RFC 6531 3.2: compared and queued in A-labels, the address as it was given. */
static void test_international_domains(void **state)
{
    struct world *w = *state;
    struct err err;
    uint64_t id;
    struct store_page page;
    struct queue_delivery d;
    assert_int_equal(directory_domain_add(w->env.store, STR("bücher.example"), &err), RC_OK);
    assert_int_equal(directory_account_add(w->env.store, STR("jörg@bücher.example"), &id, &err),
                     RC_OK);
    static const struct {
        const char *to, *stranger, *friend;
    } rows[] = {
        {"<jörg@bücher.example>", "250", "250"},
        {"<Jörg+x@BÜCHER.Example>", "250", "250"},
        {"<jörg@xn--bcher-kva.example>", "250", "250"},
        {"<nobody@bücher.example>", "550 5.1.1", "550 5.1.1"},
        {"<x@straße.example>", "550 5.7.1", "250"},
        {"<x@💩.example>", "553 5.1.2", "553 5.1.2"},
        {"<x@ü.-x.example>", "501", "501"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int friend = 0; friend < 2; friend ++) {
            char line[200];
            dial(w, &w->mx.smtp, friend ? FRIEND : STRANGER);
            snprintf(line, sizeof line, "RCPT TO:%s\r\n", rows[i].to);
            expect_prefix(say(w, "MAIL FROM:<s@straße.example> SMTPUTF8\r\n"), "250");
            expect_prefix(say(w, line), friend ? rows[i].friend : rows[i].stranger);
        }
    dial(w, &w->mx.smtp, FRIEND);
    expect_prefix(say(w, "MAIL FROM:<s@💩.example> SMTPUTF8\r\n"), "553 5.1.8");
    expect_prefix(say(w, "MAIL FROM:<s@straße.example>\r\n"), "553 5.6.7"); /* not announced */
    say(w, "MAIL FROM:<s@straße.example> SMTPUTF8\r\nRCPT TO:<jörg@BÜCHER.example>\r\n"
           "RCPT TO:<x@STRAßE.example>\r\nRCPT TO:<y@xn--strae-oqa.example>\r\nDATA\r\n");
    expect_prefix(say(w, "x\r\n.\r\n"), "250 2.0.0 queued as ");
    rows_of(w, "dr/", &page);
    assert_int_equal(page.n, 1);
    assert_true(queue_delivery_decode(page.rows[0].key, page.rows[0].value, &w->arena, &d));
    assert_true(str_eq(d.domain, STR("xn--strae-oqa.example")));
    assert_int_equal(d.nrcpt, 2);
    assert_true(str_eq(d.rcpt[0].address, STR("x@straße.example")) && d.rcpt[0].utf8);
    assert_true(str_eq(d.rcpt[1].address, STR("y@xn--strae-oqa.example")) && !d.rcpt[1].utf8);
    rows_of(w, "dl/", &page);
    assert_int_equal(page.n, 1);
    assert_true(queue_delivery_decode(page.rows[0].key, page.rows[0].value, &w->arena, &d));
    assert_true(str_eq(d.rcpt[0].address, STR("jörg@bÜcher.example")));
}

static void test_directory_changes_are_seen(void **state)
{
    struct world *w = *state;
    struct err err;
    uint64_t id;
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(rcpt(w, "<bert@example.test>"), "550 5.1.1");
    assert_int_equal(directory_account_add(w->env.store, STR("bert@example.test"), &id, &err),
                     RC_OK);
    expect_prefix(rcpt(w, "<bert@example.test>"), "250");
}

/* ---- what cannot be stored ---- */

static const char *send_one(struct world *w)
{
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    expect_prefix(say(w, "DATA\r\n"), "354 ");
    return say(w, "text\r\n.\r\n");
}

static void test_store_failures(void **state)
{
    struct world *w = *state;
    static const struct {
        enum store_rc rc;
        const char *reply;
    } rows[] = {{STORE_FULL, "452 4.3.1"},    {STORE_STOPPED, "451 4.3.5"},
                {STORE_UNKNOWN, "451 4.3.0"}, {STORE_DOWN, "451 4.3.0"},
                {STORE_LIMIT, "451 4.3.0"},   {STORE_DENIED, "451 4.3.0"},
                {STORE_CONFLICT, "451 4.3.0"}};
    dial(w, &w->mx.smtp, STRANGER);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        store_memory_fail(w->env.store, rows[i].rc);
        expect_prefix(send_one(w), rows[i].reply);
    }
    store_memory_fail(w->env.store, STORE_OK);
    assert_int_equal(stored(w), 0);
    expect_prefix(send_one(w), "250 2.0.0 queued as "); /* the session went on */
    assert_int_equal(stored(w), 1);
}

static void test_space(void **state)
{
    struct world *w = *state;
    struct store_board *board = (struct store_board *)(uintptr_t)store_board(w->env.store);
    dial(w, &w->mx.smtp, STRANGER);
    atomic_store(&board->free_bytes, w->settings.reserve_bytes + 149);
    expect_prefix(say(w, "MAIL FROM:<s@away.example> SIZE=100\r\n"), "452 4.3.1");
    expect_prefix(say(w, "MAIL FROM:<s@away.example> SIZE=99\r\n"), "250");
    say(w, "RSET\r\n");
    atomic_store(&board->free_bytes, w->settings.reserve_bytes + 150);
    expect_prefix(say(w, "MAIL FROM:<s@away.example> SIZE=100\r\n"), "250");
    say(w, "RSET\r\n");
    atomic_store(&board->free_bytes, w->settings.reserve_bytes - 1);
    expect_prefix(say(w, "MAIL FROM:<s@away.example>\r\n"), "452 4.3.1");
    atomic_store(&board->free_bytes, 1ull << 40);
    atomic_store(&board->writes_stopped, 1);
    expect_prefix(say(w, "MAIL FROM:<s@away.example>\r\n"), "452 4.3.1");
}

/* A message that was let in, and others with it: the reserve stays, and nothing of what was
 * begun. */
static void test_space_during_content(void **state)
{
    struct world *w = *state;
    struct store_board *board = (struct store_board *)(uintptr_t)store_board(w->env.store);
    static char text[STORE_CHUNK + 2000];
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i + 2 < sizeof text; i += 100)
        memcpy(text + i, "\r\n", 2);
    memcpy(text + sizeof text - 3, "\r\n", 2);
    w->settings.message_size_max = 100000;
    dial(w, &w->mx.smtp, STRANGER);
    const struct {
        uint64_t mail, queue, others;
    } rows[] = {{w->settings.reserve_bytes / 2 + 1000, 1ull << 40, 0},
                {1ull << 40, 1000, 0},
                {1ull << 40, 1ull << 40, 1ull << 40}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        atomic_store(&board->free_bytes, 1ull << 40);
        atomic_store(&board->free_queue_bytes, 1ull << 40);
        say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
        expect_prefix(say(w, "DATA\r\n"), "354");
        say(w, text);
        atomic_store(&board->free_bytes, rows[i].mail);
        atomic_store(&board->free_queue_bytes, rows[i].queue);
        atomic_fetch_add(&w->mx.common.in_flight, rows[i].others);
        say(w, "and some more\r\n");
        expect_prefix(say(w, ".\r\n"), "452 4.3.1");
        atomic_fetch_sub(&w->mx.common.in_flight, rows[i].others);
        assert_int_equal(atomic_load(&w->mx.common.in_flight), 0);
    }
    atomic_store(&board->free_bytes, 1ull << 40);
    atomic_store(&board->free_queue_bytes, 1ull << 40);
    expect_prefix(send_one(w), "250 ");
    assert_int_equal(atomic_load(&w->mx.common.in_flight), 0);
    struct store_page page;
    rows_of(w, "c/", &page);
    assert_int_equal(page.n, 1);
}

/* ---- the message ---- */

static void test_hops(void **state)
{
    struct world *w = *state;
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    expect_prefix(
        say(w, "Received: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\nReceived: body\r\n.\r\n"), "250 ");
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    expect_prefix(
        say(w, "Received: 1\r\nReceived: 2\r\nReceived: 3\r\nReceived: 4\r\n\r\nbody\r\n.\r\n"),
        "554 5.4.6");
    assert_int_equal(stored(w), 1);
    expect_prefix(send_one(w), "250 ");
}

static void test_long_message(void **state)
{
    struct world *w = *state;
    struct store_page page;
    char line[1002];
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    memset(line, 'x', 997);
    strcpy(line + 997, "\r\n");
    for (int i = 0; i < 99; i++)
        say(w, line);
    expect_prefix(say(w, ".\r\n"), "250 ");
    rows_of(w, "c/", &page);
    assert_int_equal(page.n, 2); /* chunks */
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    for (int i = 0; i < 101; i++)
        say(w, line);
    expect_prefix(say(w, ".\r\n"), "552 5.3.4");
    assert_int_equal(stored(w), 1);
}

/* Given up in every way: nothing is stored, nothing is lost (ASan would tell). */
static void test_given_up(void **state)
{
    struct world *w = *state;
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    expect_prefix(say(w, "bare\nlf\r\n.\r\n"), "554 5.6.0");
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\nBDAT 3\r\nabc");
    say(w, "RSET\r\n");
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    say(w, "half");
    smtp_in_ops.eof(w->session, w->now_ms);
    assert_true(smtp_in_ops.finished(w->session));
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    say(w, "half");
    w->said[0] = '\0';
    smtp_in_ops.expire(w->session, smtp_in_ops.deadline_ms(w->session));
    take_output(w);
    expect_prefix(w->said, "421 4.4.2");
    assert_true(smtp_in_ops.finished(w->session));
    dial(w, &w->mx.smtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\n");
    say(w, "DATA\r\n");
    say(w, "half");
    hang_up(w); /* the connection broke */
    assert_int_equal(stored(w), 0);
}

static void test_lmtp(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    str_t content;
    char id[QUEUE_ID_TEXT], want[200];
    dial(w, &w->mx.lmtp, STRANGER);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\nRCPT "
           "TO:<nobody@example.test>\r\n"
           "RCPT TO:<all@example.test>\r\nDATA\r\n");
    say(w, "text\r\n.\r\n");
    only_message(w, &m, &content);
    queue_id_text(m.id, id);
    snprintf(want, sizeof want, "250 2.0.0 queued as %s\r\n250 2.0.0 queued as %s\r\n", id, id);
    assert_string_equal(w->said, want);
    assert_true(str_eq(m.protocol, STR("LMTP")));
    store_memory_fail(w->env.store, STORE_FULL);
    say(w, "MAIL FROM:<s@away.example>\r\nRCPT TO:<anna@example.test>\r\nRCPT "
           "TO:<all@example.test>\r\nDATA\r\n");
    say(w, "text\r\n.\r\n");
    assert_string_equal(
        w->said,
        "452 4.3.1 not enough space, try later\r\n452 4.3.1 not enough space, try later\r\n");
}

/* ---- the operator's tables, parameters ---- */

static void set(struct world *w, enum table t, const char *key, const char *value)
{
    struct err err = {0};
    if (table_set(w->env.store, t, str_c(key), str_c(value), &err) != RC_OK)
        fail_msg("%s", err.text);
}

static void only_delivery(struct world *w, const char *prefix, struct queue_delivery *d)
{
    struct store_page page;
    rows_of(w, prefix, &page);
    assert_int_equal(page.n, 1);
    assert_true(queue_delivery_decode(page.rows[0].key, page.rows[0].value, &w->arena, d));
}

/* Anybody's mail for a domain whose better MX is elsewhere; and nothing but that domain. */
static void test_backup(void **state)
{
    struct world *w = *state;
    set(w, TABLE_BACKUP, "backed.example", "yes");
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(rcpt(w, "<x@other.example>"), "550 5.7.1");
    expect_prefix(rcpt(w, "<x@sub.backed.example>"), "550 5.7.1");
    expect_prefix(rcpt(w, "<@backed.example:x@other.example>"), "550 5.7.1");
    expect_prefix(rcpt(w, "<x@Backed.Example>"), "250");
    say(w, "DATA\r\n");
    expect_prefix(say(w, "x\r\n.\r\n"), "250 ");
    struct queue_delivery d;
    only_delivery(w, "dr/", &d);
    assert_true(str_eq(d.domain, STR("backed.example")) && d.via.len == 0);
}

static void test_held_and_routed(void **state)
{
    struct world *w = *state;
    struct queue_delivery d;
    set(w, TABLE_HOLD_SENDER, "away.example", "look at it first");
    set(w, TABLE_TRANSPORT, "anna@example.test", "lmtp 192.0.2.8:24");
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(rcpt(w, "<anna@example.test>"), "250");
    say(w, "DATA\r\n");
    expect_prefix(say(w, "x\r\n.\r\n"), "250 2.0.0 queued as ");
    assert_non_null(strstr(w->said, ", held by a rule\r\n"));
    only_delivery(w, "dr/", &d); /* by a route also what is ours leaves */
    assert_int_equal(d.state, QUEUE_HELD);
    assert_true(str_eq(d.reason, STR("look at it first")));
    assert_true(str_eq(d.via, STR("lmtp 192.0.2.8:24")));
}

/* What a stranger may ask for, and what not; content of others is never touched. */
static void test_params(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    struct queue_delivery d;
    str_t content;
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "MAIL FROM:<s@away.example> HOLDFOR=60\r\n"), "555 5.5.4");
    expect_prefix(say(w, "MAIL FROM:<s@away.example> AUTH=<>\r\n"), "5");
    say(w, "MAIL FROM:<s@away.example> MT-PRIORITY=9 RET=FULL ENVID=e1 BY=100;N\r\n");
    expect_prefix(w->said, "250");
    expect_prefix(
        say(w, "RCPT TO:<anna@example.test> NOTIFY=NEVER ORCPT=rfc822;o@away.example\r\n"), "250");
    say(w, "DATA\r\n");
    expect_prefix(
        say(w, "Bcc: kept@away.example\r\nAuto-Submitted: auto-replied\r\n\r\nx\r\n.\r\n"), "250");
    only_message(w, &m, &content);
    assert_true(str_ends(content, STR("+0000\r\nBcc: kept@away.example\r\n"
                                      "Auto-Submitted: auto-replied\r\n\r\nx\r\n")));
    assert_int_equal(m.priority, 0);
    assert_int_equal(m.ret, QUEUE_RET_FULL);
    assert_int_equal(m.by, QUEUE_BY_NOTIFY);
    assert_int_equal(m.deliver_by_ms, 1700000000000 + 100000);
    assert_true(str_eq(m.envelope_id, STR("e1")) && m.auto_submitted);
    assert_true(str_eq(m.source, STR("n/198.51.100.0/24")));
    only_delivery(w, "dl/", &d);
    assert_int_equal(d.rcpt[0].notify, QUEUE_NOTIFY_NEVER);
    assert_true(str_eq(d.rcpt[0].orcpt, STR("rfc822;o@away.example")));
    assert_true(str_eq(d.source, STR("n/198.51.100.0/24")));
}

static void test_priority_and_source(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *peer, *params;
        int priority;
        const char *source;
    } rows[] = {
        {STRANGER, " MT-PRIORITY=-3", -3, "n/198.51.100.0/24"},
        {FRIEND, " MT-PRIORITY=3", 3, "n/127.0.0.0/24"},
        {"2001:db8:1:2:3::4", "", 0, "n/2001:db8:1::/56"},
        {"::ffff:198.51.100.9", "", 0, "n/198.51.100.0/24"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_page page;
        struct queue_message m;
        queue_id_t id;
        char line[100];
        dial(w, &w->mx.smtp, rows[i].peer);
        snprintf(line, sizeof line, "MAIL FROM:<s@away.example>%s\r\n", rows[i].params);
        expect_prefix(say(w, line), "250");
        say(w, "RCPT TO:<anna@example.test>\r\n");
        say(w, "DATA\r\n");
        expect_prefix(say(w, "x\r\n.\r\n"), "250");
        rows_of(w, "m/", &page);
        assert_true(queue_key_id(page.rows[page.n - 1].key, &id));
        assert_true(queue_message_decode(page.rows[page.n - 1].value, id, &w->arena, &m));
        assert_int_equal(m.priority, rows[i].priority);
        assert_true(str_eq(m.source, str_c(rows[i].source)));
    }
}

/* ---- XCLIENT, ETRN, VRFY ---- */

static void test_xclient(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    str_t content;
    dial(w, &w->mx.smtp, FRIEND); /* not offered: nobody was named */
    assert_null(strstr(w->said, "XCLIENT"));
    assert_true(say(w, "XCLIENT ADDR=127.0.0.1\r\n")[0] == '5');
    assert_true(netaddr_parse_net(STR("198.51.100.7"), &w->settings.xclient_networks[0]));
    w->settings.n_xclient_networks = 1;
    smtp_service_init(&w->mx.smtp, SMTP_IN_MX, &w->mx.common, NULL);
    dial(w, &w->mx.smtp, FRIEND);
    assert_true(say(w, "XCLIENT ADDR=198.51.100.7\r\n")[0] == '5');
    expect_prefix(rcpt(w, "<x@away.example>"), "250"); /* still a friend */
    dial(w, &w->mx.smtp, STRANGER);
    assert_non_null(strstr(w->said, "250-XCLIENT"));
    expect_prefix(say(w, "XCLIENT ADDR=127.0.0.1 LOGIN=anna\r\n"), "501 5.5.4");
    expect_prefix(say(w, "XCLIENT ADDR=192.0.2.9 NAME=another.example\r\n"), "220 ");
    expect_prefix(say(w, "XCLIENT ADDR=127.0.0.1 NAME=named.example HELO=filtered.example\r\n"),
                  "220 ");
    say(w, "EHLO filter.example\r\n");
    expect_prefix(rcpt(w, "<x@away.example>"), "250");
    expect_prefix(say(w, "RCPT TO:<anna@example.test>\r\n"), "250");
    say(w, "DATA\r\n");
    expect_prefix(say(w, "x\r\n.\r\n"), "250");
    only_message(w, &m, &content);
    assert_true(
        str_starts(content, STR("Received: from filtered.example (named.example [127.0.0.1])")));
    assert_int_equal(m.account, 0);
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "XCLIENT ADDR=203.0.113.99 PORT=99\r\n"), "220 ");
    say(w, "EHLO filter.example\r\n");
    expect_prefix(rcpt(w, "<x@away.example>"), "550 5.7.1");
    assert_int_equal(w->session->peer.port, 99);
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "XCLIENT ADDR=[UNAVAILABLE]\r\n"), "220 ");
    say(w, "EHLO filter.example\r\n");
    expect_prefix(rcpt(w, "<x@away.example>"), "550 5.7.1");
}

static void test_etrn(void **state)
{
    struct world *w = *state;
    struct store_page page;
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "ETRN away.example\r\n"), "459 ");
    dial(w, &w->mx.smtp, FRIEND);
    expect_prefix(say(w, "ETRN no..domain\r\n"), "501 ");
    rows_of(w, "etrn/", &page);
    assert_int_equal(page.n, 0);
    expect_prefix(say(w, "ETRN Away.Example\r\n"), "250 ");
    expect_prefix(say(w, "ETRN @away.example\r\n"), "250 "); /* the same */
    expect_prefix(send_one(w), "250 ");                      /* a durable batch */
    rows_of(w, "etrn/", &page);
    assert_int_equal(page.n, 1);
    assert_true(str_eq(page.rows[0].key, STR("etrn/away.example")));
    store_memory_fail(w->env.store, STORE_DOWN);
    expect_prefix(say(w, "ETRN away.example\r\n"), "458 ");
    store_memory_fail(w->env.store, STORE_OK);
}

static void test_vrfy(void **state)
{
    struct world *w = *state;
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "VRFY anna@example.test\r\n"), "252 ");
    expect_prefix(say(w, "VRFY nobody@example.test\r\n"), "252 ");
    assert_true(say(w, "EXPN all@example.test\r\n")[0] == '5');
    w->settings.vrfy = true;
    smtp_service_init(&w->mx.smtp, SMTP_IN_MX, &w->mx.common, NULL);
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(say(w, "VRFY anna@example.test\r\n"), "250 2.1.5 <anna@example.test>");
    expect_prefix(say(w, "VRFY <Anna+x@example.test>\r\n"), "250 2.1.5 <");
    expect_prefix(say(w, "VRFY nobody@example.test\r\n"), "550 5.1.1");
    expect_prefix(say(w, "VRFY x@away.example\r\n"), "252 ");
    expect_prefix(say(w, "VRFY anna\r\n"), "501 ");
    expect_prefix(say(w, "EXPN all@example.test\r\n"), "252 2.1.5 a list of 2 addresses");
}

/* So many messages at once are in memory, and no more; friends come in all the same. */
static void test_memory(void **state)
{
    struct world *w = *state;
    w->settings.stress_memory_bytes = 16ull * STORE_CHUNK; /* two */
    dial(w, &w->mx.smtp, STRANGER);
    atomic_store(&w->mx.common.contents, 2);
    expect_prefix(rcpt(w, "<anna@example.test>"), "250");
    expect_prefix(say(w, "DATA\r\n"), "452 4.3.2");
    expect_prefix(say(w, "RSET\r\n"), "250");
    assert_int_equal(atomic_load(&w->mx.common.contents), 2);
    dial(w, &w->mx.smtp, FRIEND);
    expect_prefix(send_one(w), "250 ");
    atomic_store(&w->mx.common.contents, 1);
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(send_one(w), "250 ");
    assert_int_equal(atomic_load(&w->mx.common.contents), 1);
}

/* There is no AUTH on 25, whatever is tried. */
static void test_no_auth(void **state)
{
    struct world *w = *state;
    const char *const peers[] = {STRANGER, FRIEND};
    for (size_t i = 0; i < 2; i++) {
        dial(w, &w->mx.smtp, peers[i]);
        assert_null(strstr(w->said, "AUTH"));
        assert_true(say(w, "AUTH PLAIN AGFubmEAc2VjcmV0\r\n")[0] == '5');
        expect_prefix(rcpt(w, "<x@away.example>"), i == 0 ? "550 5.7.1" : "250");
    }
}

/* ---- the session ---- */

static void test_tarpit(void **state)
{
    struct world *w = *state;
    dial(w, &w->mx.smtp, STRANGER);
    for (uint32_t i = 0; i < w->settings.errors_soft; i++) {
        say(w, "FOO\r\n");
        assert_int_equal(smtp_in_ops.hold_until_ms(w->session), 0);
    }
    say(w, "FOO\r\n");
    assert_int_equal(smtp_in_ops.hold_until_ms(w->session), w->now_ms + SMTPS_TARPIT_MS);
    for (uint32_t i = w->settings.errors_soft + 1; i < w->settings.errors_hard; i++)
        say(w, "FOO\r\n");
    assert_non_null(strstr(w->said, "421 4.7.0"));
    assert_true(smtp_in_ops.finished(w->session));
}

/* ---- stress ---- */

enum { CROWD = 4, ROOM = 5 }; /* four fifths: stress; two fifths: none */

struct crowd { /* a server that so many are connected to, and say nothing */
    struct server *server;
    int fd[CROWD];
};

static void *mute_open(void *user, const struct netaddr *peer, const struct netaddr *local,
                       int64_t now_ms)
{
    (void)peer;
    (void)local;
    (void)now_ms;
    return user;
}
static size_t mute_input(void *session, str_t bytes, int64_t now_ms)
{
    (void)session;
    (void)now_ms;
    return bytes.len;
}
static void mute_nothing(void *session, int64_t now_ms)
{
    (void)session;
    (void)now_ms;
}
static str_t mute_output(void *session)
{
    (void)session;
    return STR_NONE;
}
static void mute_sent(void *session, size_t n)
{
    (void)session;
    (void)n;
}
static bool mute_more(void *session, int64_t now_ms)
{
    mute_nothing(session, now_ms);
    return false;
}
static bool mute_finished(void *session)
{
    (void)session;
    return false;
}
static int64_t mute_deadline(void *session)
{
    (void)session;
    return INT64_MAX;
}
static void mute_close(void *session)
{
    (void)session;
}
static const struct server_session_ops mute = {
    .open = mute_open,
    .input = mute_input,
    .eof = mute_nothing,
    .output = mute_output,
    .sent = mute_sent,
    .more = mute_more,
    .finished = mute_finished,
    .deadline_ms = mute_deadline,
    .expire = mute_nothing,
    .close = mute_close,
};

static void crowd_come(struct world *w, struct crowd *c)
{
    const struct server_limits limits = {
        .workers_max = 2,
        .connections_max = ROOM,
        .per_address_max = ROOM,
        .refuse_text = "421\r\n",
        .output_stall_ms = 60000,
    };
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->server = server_new(&mute, w, &limits);
    assert_non_null(c->server);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, CROWD), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_true(server_listen(c->server, fd, NULL));
    for (size_t i = 0; i < CROWD; i++) {
        c->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(c->fd[i], (struct sockaddr *)&at, sizeof at), 0);
    }
    while (!server_stressed(c->server))
        usleep(1000);
    w->mx.common.server = c->server;
}

static void crowd_leaves(struct crowd *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(c->fd[i]);
        c->fd[i] = -1;
    }
    while (server_stressed(c->server))
        usleep(1000);
}

static void crowd_ends(struct world *w, struct crowd *c)
{
    hang_up(w);
    w->mx.common.server = NULL;
    for (size_t i = 0; i < CROWD; i++)
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    server_stop(c->server);
    server_free(c->server);
}

static int64_t patience(struct world *w)
{
    return smtp_in_ops.deadline_ms(w->session) - w->now_ms;
}

/* Strangers have ten seconds and one error; who may relay has what everybody has in better times. */
static void test_stress(void **state)
{
    struct world *w = *state;
    struct crowd c;
    int64_t usual = (int64_t)w->settings.idle_s * 1000;
    dial(w, &w->mx.smtp, STRANGER);
    assert_int_equal(patience(w), usual);
    crowd_come(w, &c);
    /* One that is parked already is asked when its time is over: sooner than it was told. */
    assert_int_equal(patience(w), 10000);
    w->now_ms += 10000;
    w->said[0] = '\0';
    smtp_in_ops.expire(w->session, w->now_ms);
    take_output(w);
    expect_prefix(w->said, "421 4.4.2 ");
    assert_true(smtp_in_ops.finished(w->session));

    dial(w, &w->mx.smtp, STRANGER);
    assert_int_equal(patience(w), 10000);
    expect_prefix(say(w, "NOOP\r\n"), "250 ");
    say(w, "FOO\r\n");
    assert_non_null(strstr(w->said, "421 4.7.0"));
    assert_true(smtp_in_ops.finished(w->session));

    dial(w, &w->mx.smtp, FRIEND);
    assert_int_equal(patience(w), usual);
    expect_prefix(say(w, "FOO\r\n"), "500 ");
    assert_false(smtp_in_ops.finished(w->session));

    crowd_leaves(&c, 2);
    dial(w, &w->mx.smtp, STRANGER);
    assert_int_equal(patience(w), usual);
    expect_prefix(say(w, "FOO\r\n"), "500 ");
    assert_false(smtp_in_ops.finished(w->session));
    crowd_ends(w, &c);
}

/* A long message under way keeps no more than it needs, and comes through whole. */
static void test_stress_content(void **state)
{
    struct world *w = *state;
    struct crowd c;
    struct queue_message m;
    struct store_page page;
    char line[1002];
    memset(line, 'x', sizeof line);
    memcpy(line + 998, "\r\n", 3);
    w->settings.message_size_max = 10 * STORE_CHUNK;
    smtp_service_init(&w->mx.smtp, SMTP_IN_MX, &w->mx.common, NULL);
    crowd_come(w, &c);
    dial(w, &w->mx.smtp, STRANGER);
    expect_prefix(rcpt(w, "<anna@example.test>"), "250");
    expect_prefix(say(w, "DATA\r\n"), "354 ");
    for (size_t i = 0; i < 3 * STORE_CHUNK / 1000; i++)
        assert_string_equal(say(w, line), "");
    expect_prefix(say(w, ".\r\n"), "250 2.0.0");
    rows_of(w, "m/", &page);
    assert_int_equal(page.n, 1);
    queue_id_t id;
    assert_true(queue_key_id(page.rows[0].key, &id) &&
                queue_message_decode(page.rows[0].value, id, &w->arena, &m));
    assert_true(m.size > 3 * STORE_CHUNK / 1000 * 1000 && m.chunks == 3);
    rows_of(w, "c/", &page);
    assert_int_equal(page.n, 3);
    assert_true(page.rows[0].value.len == STORE_CHUNK && page.rows[1].value.len == STORE_CHUNK);
    assert_int_equal(page.rows[2].value.len, m.size - 2 * STORE_CHUNK);
    crowd_ends(w, &c);
}

static void test_stop(void **state)
{
    struct world *w = *state;
    dial(w, &w->mx.smtp, STRANGER);
    w->said[0] = '\0';
    smtp_in_ops.goodbye(w->session);
    take_output(w);
    expect_prefix(w->said, "421 4.3.2");
    dial(w, &w->mx.smtp, STRANGER);
    atomic_store(&w->mx.common.stopping, true);
    expect_prefix(say(w, "MAIL FROM:<s@away.example>\r\n"), "421 4.3.2");
    assert_true(smtp_in_ops.finished(w->session));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_accept),
        T(test_several_recipients),
        T(test_policy),
        T(test_directory_changes_are_seen),
        T(test_international_domains),
        T(test_store_failures),
        T(test_space),
        T(test_space_during_content),
        T(test_hops),
        T(test_long_message),
        T(test_given_up),
        T(test_lmtp),
        T(test_backup),
        T(test_held_and_routed),
        T(test_params),
        T(test_priority_and_source),
        T(test_xclient),
        T(test_etrn),
        T(test_vrfy),
        T(test_memory),
        T(test_no_auth),
        T(test_tarpit),
        T(test_stress),
        T(test_stress_content),
        T(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
