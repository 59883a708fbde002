/* test_pop3.c: the POP3 engine over transcripts, each split at every byte: the answers must be the
 * same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "proto/pop3/server.h"

enum { MESSAGES_MAX = 8, NOW = 1000 };

struct drop {
    struct pop3s_message messages[MESSAGES_MAX];
    str_t content[MESSAGES_MAX];
    size_t n;
    size_t piece;   /* content is given in pieces of so many bytes */
    int fail_piece; /* -1: none */
    bool update_fails;
};

struct result {
    struct buf out;
    unsigned logins, updates;
    bool closed;
    bool deleted[MESSAGES_MAX]; /* as marked in POP3S_UPDATE */
};

static const struct pop3s_config plain = {.implementation = STR("test"), .plaintext = true};
static const struct pop3s_config closed = {.implementation = STR("test"), .plaintext = false};

static void login(struct pop3s *s, struct drop *d, struct result *r)
{
    r->logins++;
    if (str_eq(pop3s_name(s), STR("busy")))
        pop3s_refuse(s, POP3S_IN_USE, "taken");
    else if (str_eq(pop3s_name(s), STR("later")))
        pop3s_refuse(s, POP3S_TEMP, "not now");
    else if (str_eq(pop3s_name(s), STR("anna")) && str_eq(pop3s_password(s), STR("a b ")))
        pop3s_login(s, d->messages, d->n, 77);
    else
        pop3s_refuse(s, POP3S_AUTH, "wrong");
}

static void content(struct pop3s *s, const struct drop *d)
{
    str_t rest = str_from(d->content[pop3s_index(s)], pop3s_piece(s) * d->piece);
    if ((int)pop3s_piece(s) == d->fail_piece)
        pop3s_content_failed(s, POP3S_PERM, "damaged");
    else
        pop3s_content(s, str_first(rest, d->piece), rest.len <= d->piece);
}

/* Until nothing more comes of what was fed; what is left over after a flush is fed again. */
static void drive(struct pop3s *s, str_t bytes, struct drop *d, struct result *r)
{
    pop3s_feed(s, bytes, NOW);
    for (;;) {
        enum pop3s_event ev = pop3s_next(s);
        switch (ev) {
        case POP3S_LOGIN: login(s, d, r); break;
        case POP3S_CONTENT: content(s, d); break;
        case POP3S_UPDATE:
            r->updates++;
            for (size_t i = 0; i < d->n; i++)
                r->deleted[i] = d->messages[i].deleted;
            pop3s_updated(s, !d->update_fails);
            break;
        case POP3S_IDLE:
        case POP3S_FLUSH:
        case POP3S_CLOSE:
            buf_add(&r->out, pop3s_output(s));
            pop3s_sent(s, pop3s_output(s).len);
            r->closed = ev == POP3S_CLOSE;
            if (ev != POP3S_FLUSH)
                return;
        }
    }
}

static void drop_reset(struct drop *d)
{
    for (size_t i = 0; i < d->n; i++)
        d->messages[i] = (struct pop3s_message){.size = d->content[i].len, .uid = 10 * (i + 1)};
}

static struct result run_split(const struct pop3s_config *c, struct drop *d, str_t script,
                               size_t split)
{
    struct result r = {0};
    drop_reset(d);
    buf_init(&r.out, 1 << 24);
    struct pop3s *s = pop3s_new(c, NOW);
    assert_non_null(s);
    for (str_t rest = script; rest.len > 0 && !r.closed;) {
        /* 0: byte by byte */
        size_t step = split == 0 ? 1 : rest.ptr == script.ptr ? split : rest.len;
        /* a block of its own: borrowed bytes used too long are seen */
        char *exact = malloc(step ? step : 1);
        memcpy(exact, rest.ptr, step);
        drive(s, str_of(exact, step), d, &r);
        free(exact);
        rest = str_from(rest, step);
    }
    assert_false(r.out.failed);
    pop3s_free(s);
    return r;
}

static void check(const struct pop3s_config *c, struct drop *d, const char *script,
                  const char *want, bool want_closed)
{
    for (size_t split = 0; split <= strlen(script); split++) {
        struct result r = run_split(c, d, str_c(script), split);
        buf_addc(&r.out, '\0');
        assert_string_equal(r.out.ptr, want);
        assert_int_equal(r.closed, want_closed);
        buf_free(&r.out);
    }
}

#define GREETING "+OK POP3 ready\r\n"
#define LOGIN    "USER anna\r\nPASS a b \r\n"

static struct drop two_messages(void)
{
    return (struct drop){.content = {STR("Subject: 1\r\n\r\nline\r\n.\r\n..two\r\nlast\r\n"),
                                     STR("A: b\r\n.c: d\r\n\r\n\r\n")},
                         .n = 2,
                         .piece = 7,
                         .fail_piece = -1};
}

static void test_login(void **state)
{
    (void)state;
    struct drop d = two_messages();
    check(&plain, &d, LOGIN "quit\r\n", GREETING "+OK\r\n+OK 2 messages (53 octets)\r\n+OK bye\r\n",
          true);
    check(&plain, &d, "USER bob\r\nPASS x\r\nUSER busy\r\nPASS x\r\n",
          GREETING "+OK\r\n-ERR [AUTH] wrong\r\n+OK\r\n-ERR [IN-USE] taken\r\n", false);
    check(&plain, &d, "USER later\r\nPASS x\r\n" LOGIN,
          GREETING "+OK\r\n-ERR [SYS/TEMP] not now\r\n+OK\r\n+OK 2 messages (53 octets)\r\n",
          false);
    /* PASS comes right after USER; a failed one asks for a new name. */
    check(
        &plain, &d, "PASS x\r\n" LOGIN "PASS x\r\n",
        GREETING
        "-ERR log in first: USER name, then PASS password\r\n+OK\r\n+OK 2 messages (53 octets)\r\n"
        "-ERR you are logged in already\r\n",
        false);
}

static void test_no_password_in_the_open(void **state)
{
    (void)state;
    struct drop d = two_messages();
    const char *why = "-ERR [AUTH] passwords are taken only over connections from this machine, as "
                      "there is no encryption\r\n";
    char want[512];
    snprintf(want, sizeof want,
             GREETING "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE "
                      "NEVER\r\nIMPLEMENTATION test\r\n.\r\n%s",
             why);
    check(&closed, &d, "CAPA\r\nUSER anna\r\n", want, false);
    struct result r = run_split(&closed, &d, STR(LOGIN), 0);
    assert_int_equal(r.logins, 0);
    buf_free(&r.out);
}

static void test_capa(void **state)
{
    (void)state;
    struct drop d = two_messages();
    const char *capa = "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-"
                       "CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nIMPLEMENTATION test\r\n.\r\n";
    char want[1024];
    snprintf(want, sizeof want, GREETING "%s+OK\r\n+OK 2 messages (53 octets)\r\n%s", capa, capa);
    check(&plain, &d, "capa\r\n" LOGIN "CAPA\r\n", want, false);
}

#define IN GREETING "+OK\r\n+OK 2 messages (53 octets)\r\n"

static void test_read(void **state)
{
    (void)state;
    struct drop d = two_messages();
    check(&plain, &d,
          LOGIN "STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 1\r\nLIST 3\r\nLIST 0\r\nNOOP\r\n",
          IN "+OK 2 53\r\n+OK 2 messages (53 octets)\r\n1 36\r\n2 17\r\n.\r\n+OK 2 17\r\n"
             "+OK 2 messages (53 octets)\r\n1 77.10\r\n2 77.20\r\n.\r\n+OK 1 77.10\r\n"
             "-ERR no such message\r\n-ERR no such message\r\n+OK\r\n",
          false);
    check(&plain, &d, LOGIN "RETR 1\r\nRETR 2\r\n",
          IN "+OK 36 octets\r\nSubject: 1\r\n\r\nline\r\n..\r\n...two\r\nlast\r\n.\r\n"
             "+OK 17 octets\r\nA: b\r\n..c: d\r\n\r\n\r\n.\r\n",
          false);
    check(&plain, &d,
          LOGIN "TOP 1 0\r\nTOP 1 2\r\nTOP 1 999999999999\r\nTOP 1\r\nTOP 9 9\r\nTOP 1 -1\r\n",
          IN "+OK\r\nSubject: 1\r\n\r\n.\r\n"
             "+OK\r\nSubject: 1\r\n\r\nline\r\n..\r\n.\r\n"
             "+OK\r\nSubject: 1\r\n\r\nline\r\n..\r\n...two\r\nlast\r\n.\r\n"
             "-ERR give a message and a number of lines: TOP 1 10\r\n-ERR no such message\r\n"
             "-ERR give a message and a number of lines: TOP 1 10\r\n",
          false);
}

/* What RETR must answer for these six bytes: each CRLF, CR or LF ends a line. */
static void stuffed(const char *text, char *want)
{
    want += sprintf(want, "+OK 6 octets\r\n");
    bool start = true;
    for (size_t i = 0; i < 6; i++) {
        if (start && text[i] == '.')
            *want++ = '.';
        bool end = text[i] == '\r' || text[i] == '\n';
        if (text[i] == '\r' && i < 5 && text[i + 1] == '\n')
            i++;
        if (end)
            want += sprintf(want, "\r\n");
        else
            *want++ = text[i];
        start = end;
    }
    sprintf(want, "%s.\r\n", start ? "" : "\r\n");
}

/* Whatever is stored and however it is cut in pieces, only whole lines leave, and nothing that
 * looks like the end. */
static void test_stuffing(void **state)
{
    (void)state;
    static const char alphabet[] = {'\r', '\n', '.', 'a'};
    char text[6];
    for (unsigned code = 0; code < 4096; code++) {
        for (size_t i = 0; i < 6; i++)
            text[i] = alphabet[(code >> (2 * i)) & 3];
        for (size_t piece = 1; piece <= 6; piece++) {
            struct drop d = {
                .content = {str_of(text, 6)}, .n = 1, .piece = piece, .fail_piece = -1};
            struct result r = run_split(&plain, &d, STR(LOGIN "RETR 1\r\n"), strlen(LOGIN));
            buf_addc(&r.out, '\0');
            char want[128];
            stuffed(text, want);
            assert_string_equal(strstr(r.out.ptr, "+OK 6"), want);
            buf_free(&r.out);
        }
    }
}

static void test_delete(void **state)
{
    (void)state;
    struct drop d = two_messages();
    const char *script = LOGIN "DELE 1\r\nDELE 1\r\nRETR 1\r\nSTAT\r\nLIST\r\nUIDL "
                               "1\r\nRSET\r\nSTAT\r\nDELE 2\r\nQUIT\r\n";
    check(&plain, &d, script,
          IN "+OK message 1 deleted\r\n-ERR no such message\r\n-ERR no such message\r\n+OK 1 17\r\n"
             "+OK 1 messages (17 octets)\r\n2 17\r\n.\r\n-ERR no such message\r\n+OK 2 messages "
             "(53 octets)\r\n+OK 2 53\r\n"
             "+OK message 2 deleted\r\n+OK bye\r\n",
          true);
    struct result r = run_split(&plain, &d, str_c(script), 0);
    assert_int_equal(r.updates, 1);
    assert_false(r.deleted[0]);
    assert_true(r.deleted[1]);
    buf_free(&r.out);
    r = run_split(&plain, &d, STR(LOGIN "DELE 1\r\nRSET\r\nQUIT\r\n"), 0);
    assert_int_equal(r.updates, 0); /* there is nothing to remove */
    assert_true(r.closed);
    buf_free(&r.out);

    d.update_fails = true;
    check(&plain, &d, LOGIN "DELE 1\r\nQUIT\r\n",
          IN "+OK message 1 deleted\r\n-ERR [SYS/TEMP] some deleted messages not removed\r\n",
          true);
    r = run_split(&plain, &d, STR(LOGIN "DELE 1\r\n"), 0); /* the connection is lost */
    assert_int_equal(r.updates, 0);
    buf_free(&r.out);
}

static void test_damaged(void **state)
{
    (void)state;
    struct drop d = two_messages();
    d.fail_piece = 0;
    check(&plain, &d, LOGIN "RETR 1\r\nNOOP\r\n", IN "-ERR [SYS/PERM] damaged\r\n+OK\r\n", false);
    d.fail_piece = 1; /* too late for an answer: cut off, without the end */
    check(&plain, &d, LOGIN "RETR 1\r\nNOOP\r\n", IN "+OK 36 octets\r\nSubject", true);
}

static void test_bad_commands(void **state)
{
    (void)state;
    struct drop d = two_messages();
    const char *unknown = "-ERR unknown command; CAPA lists what there is\r\n";
    char want[512];
    snprintf(want, sizeof want, GREETING "%s%s%s", unknown, unknown, unknown);
    check(&plain, &d, "APOP a b\r\nSTLS\r\n\r\nNOOP\r\n", want, true);
    snprintf(want, sizeof want, GREETING "%s", unknown);
    check(&plain, &d, "GET / HTTP/1.1\r\nHost: x\r\n", want, true);
    snprintf(want, sizeof want, GREETING "%s",
             "-ERR this is a POP3 server, and here it speaks no TLS\r\n");
    check(&plain, &d, "\x16\x03\x01", want, true);
    snprintf(want, sizeof want, IN "%s+OK\r\n", unknown);
    check(&plain, &d, LOGIN "GET\r\nNOOP\r\n", want, false);
}

static void test_line_limit(void **state)
{
    (void)state;
    struct drop d = two_messages();
    for (size_t len = POP3S_LINE_MAX - 1; len <= POP3S_LINE_MAX + 1; len++) {
        char script[300];
        memset(script, 'x', len);
        memcpy(script, "USER ", 5);
        memcpy(script + len - 2, "\r\n", 3);
        check(&plain, &d, script,
              len <= POP3S_LINE_MAX ? GREETING "+OK\r\n" : GREETING "-ERR line too long\r\n",
              false);
    }
    struct result r = {0};
    struct pop3s *s = pop3s_new(&plain, NOW);
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    buf_init(&r.out, 1024);
    for (int i = 0; i < 17 && !r.closed; i++) /* 64 KiB without an end of line */
        drive(s, str_of(junk, sizeof junk), &d, &r);
    assert_true(r.closed);
    pop3s_free(s);
    buf_free(&r.out);
}

/* Many messages: the listing comes in pieces, of which none is much over the watermark. */
static void test_large_listing(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct pop3s_message *m = calloc(N, sizeof *m);
    for (size_t i = 0; i < N; i++)
        m[i] = (struct pop3s_message){.size = 1000000000000, .uid = i + 1};
    struct pop3s *s = pop3s_new(&plain, NOW);
    pop3s_feed(s, STR("USER anna\r\nPASS x\r\nUIDL\r\nLIST\r\nNOOP\r\n"), NOW);
    size_t lines = 0, flushes = 0;
    enum pop3s_event ev;
    while ((ev = pop3s_next(s)) != POP3S_IDLE) {
        if (ev == POP3S_LOGIN) {
            pop3s_login(s, m, N, 1);
            continue;
        }
        assert_int_equal(ev, POP3S_FLUSH);
        str_t out = pop3s_output(s), rest = pop3s_rest(s), line;
        assert_true(out.len < 20000);
        while (str_cut(&out, '\n', &line))
            lines++;
        pop3s_sent(s, pop3s_output(s).len);
        pop3s_feed(s, rest, NOW);
        flushes++;
    }
    for (str_t out = pop3s_output(s), line; str_cut(&out, '\n', &line);)
        lines++;
    assert_int_equal(lines, 3 + 2 * (N + 2) + 1);
    assert_true(flushes > 100);
    pop3s_free(s);
    free(m);
}

/* In the middle of a message there are no words, for they would be taken for it. */
static void test_login_over(void **state)
{
    (void)state;
    struct drop d = two_messages();
    struct result r = {0};
    buf_init(&r.out, 1024);
    drop_reset(&d);
    struct pop3s *s = pop3s_new(&plain, NOW);
    drive(s, STR(LOGIN), &d, &r);
    pop3s_feed(s, STR("RETR 1\r\n"), NOW);
    assert_int_equal(pop3s_next(s), POP3S_CONTENT);
    pop3s_content(s, STR("x\r\n"), false);
    assert_int_equal(pop3s_next(s), POP3S_CONTENT);
    pop3s_login_over(s, "gone");
    assert_int_equal(pop3s_next(s), POP3S_CLOSE);
    assert_true(str_ends(pop3s_output(s), STR("\r\nx\r\n")));
    pop3s_free(s);
    buf_free(&r.out);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct drop d = two_messages();
    struct result r = {0};
    buf_init(&r.out, 1024);
    drop_reset(&d);
    struct pop3s *s = pop3s_new(&plain, NOW);
    assert_int_equal(pop3s_deadline_ms(s), NOW + POP3S_LOGIN_S * 1000);
    drive(s, STR("NOOP\r\n"), &d, &r); /* does not buy time */
    assert_int_equal(pop3s_deadline_ms(s), NOW + POP3S_LOGIN_S * 1000);
    drive(s, STR(LOGIN), &d, &r);
    assert_int_equal(pop3s_deadline_ms(s), NOW + POP3S_IDLE_S * 1000);
    pop3s_feed(s, STR("RETR 1\r\n"), NOW + 5000);
    assert_int_equal(pop3s_next(s), POP3S_CONTENT);
    pop3s_content(s, STR("x\r\n"), false);
    pop3s_expire(s, NOW + 5000 + POP3S_IDLE_S * 1000); /* an answer is under way: not idle */
    assert_false(pop3s_closing(s));
    assert_int_equal(pop3s_next(s), POP3S_CONTENT);
    pop3s_content(s, STR_NONE, true);
    pop3s_sent(s, pop3s_output(s).len);
    drive(s, STR("DELE 1\r\n"), &d, &r);
    pop3s_expire(s, NOW + 2 * POP3S_IDLE_S * 1000);
    assert_true(pop3s_closing(s));
    assert_int_equal(pop3s_output(s).len, 0);
    drive(s, STR("QUIT\r\n"), &d, &r);
    assert_int_equal(r.updates, 0); /* RFC 1939 3: nothing is removed */
    pop3s_free(s);
    buf_free(&r.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),      cmocka_unit_test(test_no_password_in_the_open),
        cmocka_unit_test(test_capa),       cmocka_unit_test(test_read),
        cmocka_unit_test(test_stuffing),   cmocka_unit_test(test_delete),
        cmocka_unit_test(test_damaged),    cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_line_limit), cmocka_unit_test(test_large_listing),
        cmocka_unit_test(test_login_over),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
