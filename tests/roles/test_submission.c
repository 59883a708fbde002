/* test_submission.c: sessions of people's programs over the memory engine, driven as sys/server.h
 * drives them: who may log in where, as whom they may send, what becomes of their mail, and how much
 * of it there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/codec.h"
#include "roles/log.h"
#include "roles/user/submission.h"
#include "store/engines.h"

enum { HOUR = 3600 * 1000 };

struct world {
    struct env env;
    struct settings settings;
    struct submission m;
    struct smtp_service local;
    struct arena arena;
    struct smtp_session *session;
    int64_t now_ms, wall;
    uint64_t anna, ben;
    int logins, logouts;
    enum rc login_rc; /* instead of an answer */
    struct netaddr asked_from;
    char said[65536];
    uint8_t random;
};

static int64_t wall_ms(struct env *e)
{
    return ((struct world *)e->ctx)->wall;
}

static void random_counting(struct env *e, void *to, size_t n)
{
    struct world *w = e->ctx;
    memset(to, ++w->random, n);
}

/* ---- core's side ---- */

static enum rc fake_login(struct login_desk *desk, const struct store_login *q,
                          struct store_login_answer *out, struct err *err)
{
    struct world *w = desk->env->ctx;
    *out = (struct store_login_answer){.hold_ms = 2000};
    w->asked_from = q->from;
    assert_int_equal(q->use, STORE_USE_SEND);
    if (w->login_rc != RC_OK)
        return err_set(err, w->login_rc, "", "not today");
    bool anna = str_ieq(q->name, STR("anna@example.test"));
    if ((!anna && !str_ieq(q->name, STR("ben@example.test"))) ||
        !str_eq(q->password, STR("secret")))
        return err_set(err, RC_PERM, "", "no");
    w->logins++;
    *out = (struct store_login_answer){
        .account = anna ? w->anna : w->ben, .session = w->env.store, .password_name = "main"};
    snprintf(out->address, sizeof out->address, "%s@example.test", anna ? "anna" : "ben");
    return RC_OK;
}

static enum rc fake_scram(struct login_desk *desk, str_t name, uint8_t salt[static 16],
                          uint32_t *iterations, struct err *err)
{
    (void)desk;
    (void)name;
    (void)err;
    memset(salt, 's', 16);
    *iterations = 4096;
    return RC_OK;
}

static void fake_logout(struct login_desk *desk, struct store *session)
{
    struct world *w = desk->env->ctx;
    assert_ptr_equal(session, w->env.store);
    w->logouts++;
}

/* ---- the world ---- */

static void alias(struct world *w, const char *address, const char *to)
{
    struct err err;
    str_t target = str_c(to);
    assert_int_equal(directory_alias_set(w->env.store, str_c(address), &target, 1, &err), RC_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = {0};
    arena_init(&w->arena, 64 << 20);
    w->wall = 472222LL * HOUR; /* a full hour */
    w->env = (struct env){
        .wall_ms = wall_ms, .random = random_counting, .store = store_memory_new(), .ctx = w};
    assert_int_equal(settings_parse(STR("hostname = mail.example.test\n"), "test", &w->arena,
                                    &w->settings, &err),
                     RC_OK);
    assert_int_equal(directory_domain_add(w->env.store, STR("example.test"), &err), RC_OK);
    assert_int_equal(directory_account_add(w->env.store, STR("anna@example.test"), &w->anna, &err),
                     RC_OK);
    assert_int_equal(directory_account_add(w->env.store, STR("ben@example.test"), &w->ben, &err),
                     RC_OK);
    alias(w, "a@example.test", "anna@example.test");
    alias(w, "a2@example.test", "a@example.test");
    alias(w, "far@example.test", "anna@away.example");
    alias(w, "loop@example.test", "loop2@example.test");
    alias(w, "loop2@example.test", "loop@example.test");
    str_t both[] = {STR("anna@example.test"), STR("ben@example.test")};
    assert_int_equal(directory_alias_set(w->env.store, STR("all@example.test"), both, 2, &err),
                     RC_OK);
    assert_true(submission_init(&w->m, &w->env, &w->settings, NULL));
    smtp_service_init(&w->local, SMTP_IN_LOCAL, &w->m.common, NULL);
    w->m.common.desk.login = fake_login;
    w->m.common.desk.scram = fake_scram;
    w->m.common.desk.logout = fake_logout;
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
    assert_int_equal(w->logins, w->logouts); /* no session of core's is left behind */
    submission_free(&w->m);
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

static const char *say(struct world *w, const char *text)
{
    str_t rest = str_c(text);
    w->said[0] = '\0';
    while (rest.len > 0 && !smtp_in_ops.finished(w->session)) {
        size_t used = smtp_in_ops.input(w->session, rest, w->now_ms);
        must(used > 0 || smtp_in_ops.output(w->session).len > 0);
        rest = str_from(rest, used);
        take_output(w);
    }
    return w->said;
}

static void expect(const char *said, const char *prefix)
{
    if (strncmp(said, prefix, strlen(prefix)) != 0)
        print_error("said %s want %s\n", said, prefix);
    assert_int_equal(strncmp(said, prefix, strlen(prefix)), 0);
}

static const struct tls_info tls_13 = {
    .version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .bits = 256, .end_point_len = 32};

static void dial_from(struct world *w, struct smtp_service *v, const struct netaddr *peer)
{
    struct netaddr local;
    hang_up(w);
    assert_true(netaddr_parse(STR("203.0.113.25"), &local));
    w->now_ms = 1000;
    w->session = smtp_in_ops.open(v, peer, &local, w->now_ms);
    assert_non_null(w->session);
    if (v->kind == SMTP_IN_SUBMISSIONS)
        smtp_in_ops.tls_started(w->session, &tls_13, NULL, w->now_ms);
    w->said[0] = '\0';
    take_output(w);
    expect(w->said, "220 mail.example.test ");
    say(w, "EHLO client.example\r\n");
}

static void dial(struct world *w, struct smtp_service *v, const char *from)
{
    struct netaddr peer;
    assert_true(netaddr_parse(str_c(from), &peer));
    peer.port = 4711;
    dial_from(w, v, &peer);
}

#define STRANGER "198.51.100.7"
#define HERE     "127.0.0.1"

static const char *auth_plain(struct world *w, const char *authzid, const char *name,
                              const char *password)
{
    char plain[300], line[500];
    struct buf b;
    int n = snprintf(plain, sizeof plain, "%s%c%s%c%s", authzid, 0, name, 0, password);
    buf_init(&b, 1000);
    base64_encode(&b, str_of(plain, (size_t)n));
    snprintf(line, sizeof line, "AUTH PLAIN " STR_FMT "\r\n", STR_ARG(buf_str(&b)));
    buf_free(&b);
    return say(w, line);
}

static void as_anna(struct world *w)
{
    dial(w, &w->m.implicit, STRANGER);
    expect(auth_plain(w, "", "anna@example.test", "secret"), "235 2.7.0 ");
}

static const char *send_text(struct world *w, const char *from, const char *to, const char *text)
{
    char line[600];
    snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", from);
    if (say(w, line)[0] != '2')
        return w->said;
    snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", to);
    if (say(w, line)[0] != '2')
        return w->said;
    expect(say(w, "DATA\r\n"), "354 ");
    return say(w, text);
}

#define MAIL "From: Anna <anna@example.test>\r\nSubject: x\r\n\r\nbody\r\n.\r\n"

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

static str_t newest(struct world *w, struct queue_message *m)
{
    struct store_page page;
    queue_id_t id;
    rows_of(w, "m/", &page);
    assert_true(page.n > 0);
    assert_true(queue_key_id(page.rows[page.n - 1].key, &id));
    assert_true(queue_message_decode(page.rows[page.n - 1].value, id, &w->arena, m));
    bool present;
    str_t value;
    assert_int_equal(store_get1(w->env.store, QUEUE_PART, queue_key_chunk(id, 0, &w->arena),
                                &w->arena, &present, &value),
                     STORE_OK);
    return value;
}

static void delivery_of(struct world *w, const char *prefix, struct queue_delivery *d)
{
    struct store_page page;
    rows_of(w, prefix, &page);
    assert_true(page.n > 0);
    assert_true(queue_delivery_decode(page.rows[page.n - 1].key, page.rows[page.n - 1].value,
                                      &w->arena, d));
}

/* ---- who may log in, where ---- */

static void test_where_auth_is(void **state)
{
    struct world *w = *state;
    dial(w, &w->m.starttls, STRANGER); /* in the clear */
    assert_null(strstr(w->said, "AUTH"));
    assert_true(auth_plain(w, "", "anna@example.test", "secret")[0] == '5');
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "530 5.7.0");
    assert_int_equal(w->logins, 0);
    dial(w, &w->m.starttls, HERE); /* in the clear, but on this machine */
    assert_non_null(strstr(w->said, "AUTH "));
    assert_null(strstr(w->said, "-PLUS"));
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "530 5.7.0"); /* a name is needed still */
    expect(auth_plain(w, "", "anna@example.test", "secret"), "235 2.7.0");
    dial(w, &w->m.implicit, STRANGER); /* TLS */
    assert_non_null(strstr(w->said, "SCRAM-SHA-256-PLUS"));
    assert_non_null(strstr(w->said, "PLAIN"));
    assert_null(strstr(w->said, "EXTERNAL"));
    assert_null(strstr(w->said, "STARTTLS"));
    expect(auth_plain(w, "", "anna@example.test", "secret"), "235 2.7.0");
    assert_true(auth_plain(w, "", "anna@example.test", "secret")[0] == '5'); /* once */
    assert_int_equal(w->logins, 2);
}

/* From an address of our own it is this machine that fails, which core never refuses. */
static void test_own_address(void **state)
{
    struct world *w = *state;
    dial(w, &w->m.implicit, "203.0.113.25");
    expect(auth_plain(w, "", "anna@example.test", "wrong"), "535 5.7.8 ");
    assert_true(netaddr_loopback(&w->asked_from));
    dial(w, &w->m.implicit, "::ffff:203.0.113.25");
    expect(auth_plain(w, "", "anna@example.test", "wrong"), "535 5.7.8 ");
    assert_true(netaddr_loopback(&w->asked_from));
    dial(w, &w->m.implicit, "203.0.113.26");
    expect(auth_plain(w, "", "anna@example.test", "wrong"), "535 5.7.8 ");
    assert_false(netaddr_loopback(&w->asked_from));
}

static void test_wrong(void **state)
{
    struct world *w = *state;
    char unknown[200];
    dial(w, &w->m.implicit, STRANGER);
    strcpy(unknown, auth_plain(w, "", "nobody@example.test", "secret"));
    expect(unknown, "535 5.7.8 ");
    assert_int_equal(smtp_in_ops.hold_until_ms(w->session), w->now_ms + 2000);
    assert_true(netaddr_eq(&w->asked_from, &w->session->peer));
    assert_string_equal(unknown, auth_plain(w, "", "anna@example.test", "wrong"));
    dial(w, &w->m.implicit, STRANGER);
    assert_string_equal(unknown, auth_plain(w, "ben@example.test", "anna@example.test", "secret"));
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "530 5.7.0");
    expect(auth_plain(w, "ANNA@EXAMPLE.test", "anna@example.test", "secret"), "235 ");
    dial(w, &w->m.implicit, STRANGER);
    w->login_rc = RC_TEMP;
    expect(auth_plain(w, "", "anna@example.test", "secret"), "454 4.7.0 ");
    assert_int_equal(smtp_in_ops.hold_until_ms(w->session), w->now_ms + 2000);
    expect(say(w, "AUTH PLAIN\r\n"), "334 ");
    expect(say(w, "*\r\n"), "501 5");
    expect(say(w, "AUTH PLAIN AAAA\r\n"), "501 5.5.2");
    w->login_rc = RC_OK;
    expect(say(w, "AUTH LOGIN\r\n"), "334 VXNlcm5hbWU6\r\n");
    expect(say(w, "YW5uYUBleGFtcGxlLnRlc3Q=\r\n"), "334 UGFzc3dvcmQ6\r\n");
    expect(say(w, "c2VjcmV0\r\n"), "235 ");
}

/* So many may wait for core, not more. */
static void test_busy(void **state)
{
    struct world *w = *state;
    dial(w, &w->m.implicit, STRANGER);
    atomic_store(&w->m.common.desk.waiting, w->m.common.desk.waiting_max);
    expect(auth_plain(w, "", "anna@example.test", "secret"), "454 4.7.0 ");
    assert_int_equal(smtp_in_ops.hold_until_ms(w->session), w->now_ms + LOGIN_BUSY_HOLD_MS);
    atomic_store(&w->m.common.desk.waiting, 0);
    expect(auth_plain(w, "", "anna@example.test", "secret"), "235 ");
    assert_int_equal(atomic_load(&w->m.common.desk.waiting), 0);
}

/* RFC 3207 4.2: who had logged in before has not after. */
static void test_tls_forgets(void **state)
{
    struct world *w = *state;
    w->m.starttls.config.offer |= SMTPS_OFFER_STARTTLS; /* as with a certificate */
    dial(w, &w->m.starttls, HERE);
    expect(auth_plain(w, "", "anna@example.test", "secret"), "235 ");
    expect(say(w, "MAIL FROM:<anna@example.test>\r\nRSET\r\n"), "250 ");
    expect(say(w, "STARTTLS\r\n"), "220 ");
    smtp_in_ops.tls_started(w->session, &tls_13, NULL, w->now_ms);
    assert_null(w->session->login);
    assert_int_equal(w->logouts, 1);
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "503 ");
    expect(say(w, "EHLO x\r\n"), "250-");
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "530 5.7.0");
}

/* ---- as whom ---- */

static void test_senders(void **state)
{
    struct world *w = *state;
    struct err err;
    assert_int_equal(table_set(w->env.store, TABLE_GRANT, STR("info@example.test"),
                               STR("ben@example.test anna@example.test"), &err),
                     RC_OK);
    assert_int_equal(
        table_set(w->env.store, TABLE_GRANT, STR("firm.example"), STR("ben@example.test"), &err),
        RC_OK);
    static const struct {
        const char *address;
        bool anna, ben;
    } rows[] = {
        {"anna@example.test", true, false},
        {"ANNA@Example.Test", true, false},
        {"anna+shop@example.test", true, false},
        {"\"anna\"@example.test", true, false},
        {"a@example.test", true, false},
        {"a2@example.test", true, false},
        {"a2+x@example.test", true, false},
        {"all@example.test", false, false},
        {"far@example.test", false, false},
        {"loop@example.test", false, false},
        {"ben@example.test", false, true},
        {"nobody@example.test", false, false},
        {"anna@away.example", false, false},
        {"anna@[203.0.113.25]", false, false},
        {"info@example.test", true, true},
        {"any@firm.example", false, true},
        {"any@sub.firm.example", false, false},
        {"x@firm.example.test", false, false},
        {"\"anna@example.test\"@away.example", false, false},
        {"anna%away.example@example.test", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int ben = 0; ben < 2; ben++) {
            char line[300], text[400];
            bool may = ben ? rows[i].ben : rows[i].anna;
            dial(w, &w->m.implicit, STRANGER);
            auth_plain(w, "", ben ? "ben@example.test" : "anna@example.test", "secret");
            snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", rows[i].address);
            expect(say(w, line), may ? "250 " : "553 5.7.1 ");
            /* the same in the header, with an empty or an own envelope */
            say(w, "RSET\r\n");
            snprintf(text, sizeof text, "From: Me <%s>\r\n\r\nx\r\n.\r\n", rows[i].address);
            expect(send_text(w, "", "x@away.example", text), may ? "250 " : "554 5.7.1 ");
            snprintf(text, sizeof text, "From: %s@example.test\r\nSender: %s\r\n\r\nx\r\n.\r\n",
                     ben ? "ben" : "anna", rows[i].address);
            expect(send_text(w, "", "x@away.example", text), may ? "250 " : "554 5.7.1 ");
        }
}

static void test_from_field(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *header, *reply;
    } rows[] = {
        {"From: anna@example.test\r\n", "250 "},
        {"From: a@example.test, Anna <anna@example.test>\r\n", "250 "},
        {"From: anna@example.test, ben@example.test\r\n", "554 5.7.1"},
        {"From: \"anna@example.test\" <ben@example.test>\r\n", "554 5.7.1"},
        {"From: anna@example.test\r\nFrom: anna@example.test\r\n", "554 5.6.0"},
        {"From: anna@example.test\r\nfrom : ben@example.test\r\n", "554 5."},
        {"Subject: x\r\n", "554 5.6.0"},
        {"From: nobody in particular\r\n", "554 5.6.0"},
        {"From:\r\n", "554 5.6.0"},
        {"From: anna@example.test\r\nResent-From: ben@example.test\r\n", "554 5.7.1"},
        {"From:\r\n anna@example.test\r\n", "250 "},
        {"From: group: anna@example.test, ben@example.test;\r\n", "554 5.7.1"},
        /* what some programs read otherwise */
        {"From: anna@example.test <anna@example.test>\r\n", "250 "},
        {"From: ben@example.test <anna@example.test>\r\n", "554 5.7.1"},
        {"From: ben@example.test: anna@example.test;\r\n", "554 5.7.1"},
        {"From: anna@example.test, ben@example.test:;\r\n", "554 5.6.0"},
        {"From: <ben@example.test, anna@example.test>\r\n", "554 5.6.0"},
        {"From: <ben@example.test:anna@example.test>\r\n", "554 5.6.0"},
    };
    as_anna(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s\r\nbody\r\n.\r\n", rows[i].header);
        expect(send_text(w, "anna@example.test", "x@away.example", text), rows[i].reply);
    }
}

/* Of binary content the engine looks at no byte; a bare CR is a line's end to some. */
static void test_binary_header(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *content, *reply;
    } rows[] = {
        {"From: anna@example.test\r\n\r\na \r \n b", "250 "},
        {"X: y\rFrom: ben@example.test\r\nFrom: anna@example.test\r\n\r\n", "554 5.6.0"},
        {"From: anna@example.test\r\nX: y\n\n\r\n", "554 5.6.0"},
        {"From: anna@example.test\r\nX: y\r", "554 5.6.0"},
    };
    as_anna(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        expect(say(w, "MAIL FROM:<anna@example.test> BODY=BINARYMIME\r\n"), "250 ");
        expect(say(w, "RCPT TO:<x@away.example>\r\n"), "250 ");
        snprintf(text, sizeof text, "BDAT %zu LAST\r\n%s", strlen(rows[i].content),
                 rows[i].content);
        expect(say(w, text), rows[i].reply);
    }
}

/* Who has their mail sent on still is who they are; and where it goes to is not them. */
static void test_forwarded(void **state)
{
    struct world *w = *state;
    alias(w, "anna@example.test", "ben@example.test");
    as_anna(w);
    expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 ");
    expect(send_text(w, "a2@example.test", "x@away.example", MAIL), "250 ");
    expect(say(w, "MAIL FROM:<ben@example.test>\r\n"), "553 5.7.1");
    dial(w, &w->m.implicit, STRANGER);
    auth_plain(w, "", "ben@example.test", "secret");
    expect(say(w, "MAIL FROM:<anna@example.test>\r\n"), "553 5.7.1");
    expect(say(w, "MAIL FROM:<ben@example.test>\r\n"), "250 ");
}

/* ---- what becomes of it ---- */

static void test_fixups(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    as_anna(w);
    expect(send_text(w, "anna@example.test", "x@away.example",
                     "From: anna@example.test\r\nBcc: secret@away.example\r\nTo: x@away.example\r\n"
                     "Auto-Submitted: auto-generated\r\n\r\nbody\r\n..dot\r\n.\r\n"),
           "250 2.0.0 queued as ");
    str_t content = newest(w, &m);
    assert_true(str_starts(content, STR("Received: from client.example ([" STRANGER "])")));
    assert_true(str_contains(content, STR("with ESMTPSA")));
    assert_true(str_contains(content, STR("tls TLS_AES_256_GCM_SHA384;")));
    assert_false(str_contains(content, STR("secret@")));
    assert_true(str_contains(content, STR("\r\nDate: ")));
    assert_true(str_contains(content, STR("\r\nMessage-ID: <")));
    assert_true(str_ends(content, STR("\r\n\r\nbody\r\n.dot\r\n")));
    assert_true(str_eq(m.protocol, STR("ESMTPSA")));
    assert_true(m.auto_submitted);
    assert_int_equal(m.account, w->anna);
    char source[30];
    snprintf(source, sizeof source, "a/%llu", (unsigned long long)w->anna);
    assert_true(str_eq(m.source, str_c(source)));
}

static void set(struct world *w, enum table t, const char *key, const char *value)
{
    struct err err = {0};
    if (table_set(w->env.store, t, str_c(key), str_c(value), &err) != RC_OK)
        fail_msg("%s", err.text);
}

static void test_rewriting(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    struct queue_delivery d;
    set(w, TABLE_CANONICAL_SENDER, "anna@old.example", "anna@example.test");
    set(w, TABLE_CANONICAL_RECIPIENT, "bennie.example", "@example.test");
    set(w, TABLE_MASQUERADE, ".example.test", "example.test");
    as_anna(w);
    expect(send_text(w, "anna@old.example", "ben@bennie.example",
                     "From: <anna@old.example>\r\nReply-To: anna@box.example.test\r\n"
                     "To: Ben <ben@bennie.example>\r\n\r\nanna@old.example\r\n.\r\n"),
           "250 ");
    str_t content = newest(w, &m);
    assert_true(str_eq(m.reverse_path, STR("anna@example.test")));
    assert_true(str_contains(content, STR("From: <anna@example.test>\r\n")));
    assert_true(str_contains(content, STR("Reply-To: anna@example.test\r\n")));
    assert_true(str_contains(content, STR("To: Ben <ben@example.test>\r\n")));
    assert_true(str_ends(content, STR("\r\n\r\nanna@old.example\r\n")));
    delivery_of(w, "dl/", &d);
    assert_true(str_eq(d.rcpt[0].address, STR("ben@example.test")));
}

static void test_recipients(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *to, *reply;
    } rows[] = {
        {"x@away.example", "250"},
        {"ben@example.test", "250"},
        {"all@example.test", "250"},
        {"nobody@example.test", "550 5.1.1"},
        {"x@[192.0.2.1]", "250"},
        {"postmaster@example.test", "250"},
        {"x%y.example@example.test", "550"},
    };
    as_anna(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[200];
        say(w, "RSET\r\nMAIL FROM:<anna@example.test>\r\n");
        snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", rows[i].to);
        expect(say(w, line), rows[i].reply);
    }
}

static void test_params(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    struct queue_delivery d;
    as_anna(w);
    say(w, "MAIL FROM:<anna@example.test> RET=HDRS ENVID=QQ+3D1 BY=1200;RT MT-PRIORITY=4 "
           "REQUIRETLS HOLDFOR=600\r\n");
    expect(w->said, "250 ");
    expect(say(w, "RCPT TO:<x@away.example> NOTIFY=SUCCESS,DELAY "
                  "ORCPT=rfc822;first+2Bx@away.example\r\n"),
           "250 ");
    say(w, "DATA\r\n");
    expect(say(w, MAIL), "250 ");
    (void)newest(w, &m);
    assert_int_equal(m.ret, QUEUE_RET_HDRS);
    assert_true(str_eq(m.envelope_id, STR("QQ=1")));
    assert_int_equal(m.by, QUEUE_BY_RETURN);
    assert_true(m.by_trace && m.requiretls);
    assert_int_equal(m.deliver_by_ms, w->wall + 1200000);
    assert_int_equal(m.priority, 4);
    assert_int_equal(m.release_ms, w->wall + 600000);
    delivery_of(w, "dr/", &d);
    assert_int_equal(d.rcpt[0].notify, QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY);
    assert_true(str_eq(d.rcpt[0].orcpt, STR("rfc822;first+x@away.example")));
    assert_int_equal(d.next_ms, w->wall + 600000);
    assert_int_equal(d.priority, 4);
    expect(say(w, "MAIL FROM:<anna@example.test> BY=-5;R\r\n"), "501 5.5.4");
    expect(say(w, "MAIL FROM:<anna@example.test> BY=0;R\r\n"), "501 5.5.4");
    expect(say(w, "MAIL FROM:<anna@example.test> BY=-5;N\r\n"), "250 ");
}

/* ---- rules and limits ---- */

static int log_begin(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    log_to(fd);
    log_quiet(false);
    return fd;
}

static void log_end_with(int fd, const char *words)
{
    char text[4096];
    log_quiet(true);
    log_to(2);
    ssize_t n = pread(fd, text, sizeof text, 0);
    assert_true(n > 0);
    close(fd);
    if (!str_ends(str_of(text, (size_t)n), str_c(words)))
        fail_msg("%.*s does not end with %s", (int)n, text, words);
}

static void test_hold_rules(void **state)
{
    struct world *w = *state;
    struct queue_delivery d;
    as_anna(w);
    set(w, TABLE_HOLD_RECIPIENT, "held.example", "the auditor asked for it");
    say(w, "MAIL FROM:<anna@example.test>\r\nRCPT TO:<x@held.example>\r\n"
           "RCPT TO:<x@free.example>\r\n");
    say(w, "DATA\r\n");
    int fd = log_begin();
    expect(say(w, MAIL), "250 2.0.0 queued as ");
    assert_non_null(strstr(w->said, ", 1 of 2 recipients held by a rule\r\n"));
    log_end_with(fd, " held=1 reason=\"the auditor asked for it\"\n");
    struct store_page page;
    rows_of(w, "dr/", &page);
    assert_int_equal(page.n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(queue_delivery_decode(page.rows[i].key, page.rows[i].value, &w->arena, &d));
        bool held = str_eq(d.domain, STR("held.example"));
        assert_int_equal(d.state, held ? QUEUE_HELD : QUEUE_READY);
        if (held)
            assert_true(str_eq(d.reason, STR("the auditor asked for it")));
    }
    expect(send_text(w, "anna@example.test", "z@held.example", MAIL), "250 2.0.0 queued as ");
    assert_non_null(strstr(w->said, ", held by a rule\r\n"));
    set(w, TABLE_HOLD_ACCOUNT, "anna@example.test", "phished");
    fd = log_begin();
    expect(send_text(w, "anna@example.test", "y@free.example", MAIL), "250 2.0.0 queued as ");
    assert_non_null(strstr(w->said, ", held by a rule\r\n"));
    log_end_with(fd, " held=1 reason=phished\n");
    delivery_of(w, "dr/", &d);
    assert_int_equal(d.state, QUEUE_HELD);
    assert_true(str_eq(d.reason, STR("phished")));
}

/* All rows of deliveries that are held, or not. */
static size_t deliveries(struct world *w, enum queue_state state)
{
    struct store_page page;
    struct queue_delivery d;
    size_t n = 0;
    rows_of(w, "dr/", &page);
    for (size_t i = 0; i < page.n; i++) {
        assert_true(queue_delivery_decode(page.rows[i].key, page.rows[i].value, &w->arena, &d));
        n += d.state == state;
    }
    return n;
}

static void test_limit_messages(void **state)
{
    struct world *w = *state;
    struct queue_delivery d;
    struct store_page page;
    w->settings.account_messages_hour = 3;
    as_anna(w);
    for (int i = 0; i < 3; i++) {
        expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 2.0.0 queued as ");
        assert_null(strstr(w->said, "held"));
    }
    for (int i = 0; i < 2; i++) {
        expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 2.0.0 queued as ");
        assert_non_null(strstr(w->said, ", held: over the sending limit\r\n"));
    }
    assert_int_equal(deliveries(w, QUEUE_READY), 3);
    assert_int_equal(deliveries(w, QUEUE_HELD), 2);
    delivery_of(w, "dr/", &d);
    assert_true(
        str_eq(d.reason, STR("over the sending limit of anna@example.test: 3 messages an hour")));
    /* one mail about it, to both, that no machine answers */
    rows_of(w, "dl/", &page);
    assert_int_equal(page.n, 1);
    delivery_of(w, "dl/", &d);
    assert_int_equal(d.nrcpt, 2);
    assert_int_equal(d.state, QUEUE_READY);
    bool present;
    str_t notice;
    assert_int_equal(store_get1(w->env.store, QUEUE_PART, queue_key_chunk(d.id, 0, &w->arena),
                                &w->arena, &present, &notice),
                     STORE_OK);
    assert_true(str_contains(notice, STR("\r\nAuto-Submitted: auto-generated\r\n")));
    assert_true(
        str_contains(notice, STR("postrider queue release --account anna@example.test\r\n")));
    /* ben's are his own */
    dial(w, &w->m.implicit, STRANGER);
    auth_plain(w, "", "ben@example.test", "secret");
    send_text(w, "ben@example.test", "x@away.example", "From: ben@example.test\r\n\r\nx\r\n.\r\n");
    assert_null(strstr(w->said, "held"));
}

static bool goes_out(struct world *w)
{
    as_anna(w);
    expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 2.0.0 queued as ");
    return strstr(w->said, "held") == NULL;
}

/* The hour slides: what was sent an hour ago counts less and less, and then no more. */
static void test_limit_slides(void **state)
{
    struct world *w = *state;
    struct store_page page;
    w->settings.account_messages_hour = 10;
    for (int i = 0; i < 10; i++)
        assert_true(goes_out(w));
    assert_false(goes_out(w)); /* 11 */
    w->wall += HOUR;
    assert_false(goes_out(w)); /* 11 of the hour before, all of them still count */
    w->wall += HOUR / 2;
    for (int i = 0; i < 4; i++)
        assert_true(goes_out(w)); /* half of 11 is 5; 1 + 4 here: 10 */
    assert_false(goes_out(w));
    w->wall += 2 * HOUR;
    assert_true(goes_out(w));
    /* the day does not forget so soon */
    w->settings.account_messages_day = 18;
    assert_false(goes_out(w));
    w->wall += 25LL * HOUR;
    assert_true(goes_out(w));
    struct store_scan q = {.part = {PART_USER, w->anna}, .from = STR("rate/"), .end = STR("rate0")};
    assert_int_equal(store_scan(w->env.store, &q, &w->arena, &page), STORE_OK);
    assert_int_equal(page.n, 2); /* counters older than a day are gone */
}

/* As if anna had sent so much more in the hour before this one. */
static void sent_before(struct world *w, int64_t messages)
{
    struct store_batch b;
    uint32_t hour = (uint32_t)(w->wall / HOUR) - 1;
    const char key[11] = {'r',
                          'a',
                          't',
                          'e',
                          '/',
                          'm',
                          '/',
                          (char)(hour >> 24),
                          (char)(hour >> 16),
                          (char)(hour >> 8),
                          (char)hour};
    store_batch_init(&b, (part_t){PART_USER, w->anna}, &w->arena);
    store_add(&b, str_of(key, sizeof key), messages);
    assert_int_equal(store_commit(w->env.store, &b), STORE_OK);
}

/* Hours gone by are read once an hour, but not while their last messages may still be on the way. */
static void test_limit_remembers(void **state)
{
    struct world *w = *state;
    w->settings.account_messages_hour = 10;
    assert_true(goes_out(w));
    sent_before(w, 100);
    assert_false(goes_out(w));
    w->wall += HOUR + 5000;
    assert_true(goes_out(w));
    sent_before(w, 100);
    assert_true(goes_out(w));
    w->wall += HOUR - 5000;
    sent_before(w, 100);
    assert_false(goes_out(w));
}

static void test_limit_recipients(void **state)
{
    struct world *w = *state;
    w->settings.account_recipients_hour = 4;
    as_anna(w);
    for (int i = 0; i < 2; i++) {
        say(w, "MAIL FROM:<anna@example.test>\r\nRCPT TO:<x@one.example>\r\n"
               "RCPT TO:<y@one.example>\r\n");
        say(w, "DATA\r\n");
        expect(say(w, MAIL), "250 ");
        assert_null(strstr(w->said, "held"));
    }
    expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 ");
    assert_non_null(strstr(w->said, "held: over the sending limit"));
}

/* Nothing that was refused has been counted or kept. */
static void test_store_failures(void **state)
{
    struct world *w = *state;
    as_anna(w);
    store_memory_fail(w->env.store, STORE_DOWN);
    expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "451 4.3.0 ");
    store_memory_fail(w->env.store, STORE_OK);
    assert_int_equal(stored(w), 0);
    expect(send_text(w, "anna@example.test", "x@away.example", MAIL), "250 ");
}

/* A session that core knows no more. */
static enum store_rc lost_get(struct store *s, part_t part, const str_t *keys, size_t n,
                              struct arena *a, struct store_value *out)
{
    (void)s, (void)part, (void)keys, (void)n, (void)a, (void)out;
    return STORE_DENIED;
}

static enum store_rc lost_scan(struct store *s, const struct store_scan *q, struct arena *a,
                               struct store_page *out)
{
    (void)s, (void)q, (void)a, (void)out;
    return STORE_DENIED;
}

static void lost_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    c->rc = STORE_DENIED;
    c->done(c);
}

static const struct store_ops lost_ops = {
    .get = lost_get, .scan = lost_scan, .submit = lost_submit};
static struct store lost = {&lost_ops};

/* Core takes a login away (another password, the account removed): whatever then needs it is answered
 * with 421, and the connection closed. */
static void test_login_over(void **state)
{
    struct world *w = *state;
    const char *over = "421 4.7.0 your login is good no more";
    as_anna(w);
    expect(say(w, "MAIL FROM:<anna@example.test>\r\nRCPT TO:<x@away.example>\r\nDATA\r\n"), "250 ");
    w->session->login->env.store = &lost;
    expect(say(w, MAIL), over);
    assert_true(smtp_in_ops.finished(w->session));
    as_anna(w); /* an account that is gone has no address; and nothing is asked otherwise */
    expect(say(w, "MAIL FROM:<ben@example.test>\r\n"), "553 5.7.1 ");
    assert_false(smtp_in_ops.finished(w->session));
    w->session->login->env.store = &lost;
    expect(say(w, "MAIL FROM:<ben@example.test>\r\n"), over);
    assert_true(smtp_in_ops.finished(w->session));
    assert_int_equal(stored(w), 0);
}

/* ---- relaying ---- */

/* Whatever was said before: without a login nothing is relayed. */
static void test_no_relay(void **state)
{
    struct world *w = *state;
    static const char *const before[] = {
        "",
        "RSET\r\n",
        "EHLO again\r\n",
        "HELO again\r\n",
        "AUTH PLAIN AGFubmFAZXhhbXBsZS50ZXN0AHdyb25n\r\n", /* wrong */
        "AUTH PLAIN\r\n*\r\n",
        "AUTH NTLM\r\n",
        "STARTTLS\r\n",
        "XCLIENT ADDR=127.0.0.1 LOGIN=anna@example.test\r\n",
        "MAIL FROM:<anna@example.test> AUTH=anna@example.test\r\n",
    };
    struct smtp_service *services[] = {&w->m.starttls, &w->m.implicit};
    const char *const peers[] = {STRANGER, HERE};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        for (int k = 0; k < 4; k++) {
            char all[300];
            dial(w, services[k & 1], peers[k >> 1]);
            say(w, before[i]);
            snprintf(all, sizeof all, "MAIL FROM:<%s>\r\n", k & 1 ? "anna@example.test" : "");
            assert_true(say(w, all)[0] != '2');
            assert_true(say(w, "RCPT TO:<x@away.example>\r\n")[0] != '2');
            assert_true(say(w, "RCPT TO:<ben@example.test>\r\n")[0] != '2');
        }
    assert_int_equal(stored(w), 0);
    assert_int_equal(w->logins, 0);
}

/* ---- users of this machine ---- */

static void test_local(void **state)
{
    struct world *w = *state;
    struct queue_message m;
    struct netaddr peer = netaddr_of_uid(1000);
    dial_from(w, &w->local, &peer);
    assert_null(strstr(w->said, "AUTH"));
    assert_null(strstr(w->said, "STARTTLS"));
    expect(send_text(w, "anybody@else.example", "x@away.example",
                     "From: anybody@else.example\r\nBcc: y@away.example\r\n\r\nx\r\n.\r\n"),
           "250 2.0.0 queued as ");
    str_t content = newest(w, &m);
    assert_true(str_starts(content, STR("Received: by mail.example.test (from uid 1000)")));
    assert_false(str_contains(content, STR("Bcc")));
    assert_true(str_contains(content, STR("\r\nMessage-ID: ")));
    assert_true(str_eq(m.client, STR("uid=1000")));
    assert_true(str_eq(m.source, STR("u/1000")));
    assert_int_equal(m.account, 0);
    expect(send_text(w, "root@mail.example.test", "nobody@example.test", ""), "550 5.1.1");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_where_auth_is),    T(test_wrong),           T(test_busy),
        T(test_tls_forgets),      T(test_senders),         T(test_from_field),
        T(test_binary_header),    T(test_forwarded),       T(test_fixups),
        T(test_rewriting),        T(test_recipients),      T(test_params),
        T(test_hold_rules),       T(test_limit_messages),  T(test_limit_slides),
        T(test_limit_recipients), T(test_limit_remembers), T(test_store_failures),
        T(test_login_over),       T(test_no_relay),        T(test_local),
        T(test_own_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
