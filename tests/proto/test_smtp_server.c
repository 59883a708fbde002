/* test_smtp_server.c: what transcripts cannot say of the SMTP server engine: every short byte
 * sequence around the end of data, limits at their edge, deadlines, and what is injected where TLS
 * or AUTH begin. Random sessions: test_smtp_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/smtp_harness.h"

static struct smtps_config config(void)
{
    return (struct smtps_config){.hostname = STR("mx.example.test"),
                                 .size_max = 4 << 20,
                                 .recipients_max = 1000,
                                 .messages_max = 1000000,
                                 .errors_soft = 1000000,
                                 .errors_hard = 1000000,
                                 .junk_max = 1000000,
                                 .idle_s = 300,
                                 .data_floor_bps = 500};
}

static void feed(struct harness *h, const struct smtps_config *c, const char *text)
{
    harness_feed(h, c, str_c(text));
}

static void expect_said(struct harness *h, const char *want)
{
    if (!str_eq(buf_str(&h->said), str_c(want)))
        print_error("said: " STR_FMT "\nwant: %s\n", STR_ARG(buf_str(&h->said)), want);
    assert_true(str_eq(buf_str(&h->said), str_c(want)));
    buf_clear(&h->said);
}

static void said_hello(struct harness *h, const struct smtps_config *c)
{
    harness_open(h, c);
    harness_flush(h);
    feed(h, c, "EHLO c\r\n");
    buf_clear(&h->said);
}

/* A session where 354 was just said. */
static void open_data(struct harness *h, const struct smtps_config *c)
{
    harness_open(h, c);
    feed(h, c, "");
    feed(h, c, c->lmtp ? "LHLO c\r\n" : "EHLO c\r\n");
    feed(h, c, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    feed(h, c, "DATA\r\n");
    assert_true(str_ends(buf_str(&h->said), STR("354 go on\r\n")));
    buf_clear(&h->said);
}

/* ---- end of data: the rule written again, simply ---- */

#define CANARY "\r\nMAIL FROM:<canary@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n"

struct reference {
    bool bad;
    size_t consumed; /* of the bytes after DATA's CRLF */
    char content[256];
    size_t len;
};

static void reference(str_t bytes, struct reference *r)
{
    char all[256] = "\r\n";
    size_t n = 2 + bytes.len;
    memcpy(all + 2, bytes.ptr, bytes.len);
    *r = (struct reference){0};
    const char *end = memmem(all, n, "\r\n.\r\n", 5);
    must(end != NULL);
    r->consumed = (size_t)(end - all) + 5 - 2;
    size_t stop = (size_t)(end - all) + 2;
    for (size_t i = 2; i < stop; i++) {
        if (all[i] == '\0' || (all[i] == '\r' && all[i + 1] != '\n') ||
            (all[i] == '\n' && all[i - 1] != '\r'))
            r->bad = true;
        if (all[i] == '.' && all[i - 1] == '\n' && all[i - 2] == '\r')
            continue;
        r->content[r->len++] = all[i];
    }
}

static void check_body(str_t bytes, size_t cut, const struct reference *r)
{
    struct smtps_config c = config();
    struct harness h;
    open_data(&h, &c);
    if (cut > 0)
        harness_feed(&h, &c, str_first(bytes, cut));
    harness_feed(&h, &c, str_from(bytes, cut));
    assert_true(
        str_starts(buf_str(&h.said), r->bad ? STR("554 5.6.0 ") : STR("250 2.0.0 queued\r\n")));
    str_t stored = buf_str(&h.stored), head = STR("M: <a@x> <b@y>\n");
    if (!r->bad) {
        assert_true(str_starts(stored, head) &&
                    str_starts(str_from(stored, head.len), str_of(r->content, r->len)));
        if (r->consumed == bytes.len)
            assert_int_equal(stored.len, head.len + r->len);
    }
    if (r->consumed == bytes.len)
        assert_int_equal(h.mails, 1); /* the canary is content */
    harness_close(&h);
}

/* All sequences of up to six of CR LF . NUL a, and then a canary. THREATS G2 is among them. */
static void test_end_of_data_exhaustive(void **state)
{
    (void)state;
    static const char alphabet[] = {'\r', '\n', '.', '\0', 'a'};
    size_t total = 1;
    for (size_t len = 0; len <= 6; len++, total *= 5) {
        for (size_t k = 0; k < total; k++) {
            char bytes[128];
            size_t n = 0, v = k;
            for (; n < len; n++, v /= 5)
                bytes[n] = alphabet[v % 5];
            memcpy(bytes + n, CANARY, sizeof CANARY - 1);
            n += sizeof CANARY - 1;
            struct reference r;
            reference(str_of(bytes, n), &r);
            check_body(str_of(bytes, n), 0, &r);
            if (len <= 5)
                for (size_t cut = 1; cut <= len + 2; cut++)
                    check_body(str_of(bytes, n), cut, &r);
        }
    }
}

static void test_unusual_line_ends(void **state)
{
    (void)state;
    /* VT, FF, NEL, U+2028 are no line ends for anybody here: the dot between them is content, the
     * message is clean. */
    static const char *const around[] = {"\v",      "\f", "\xc2\x85", "\xe2\x80\xa8",
                                         "\r\n.\v", " ",  "\t"};
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        struct smtps_config c = config();
        struct harness h;
        open_data(&h, &c);
        char body[128];
        snprintf(body, sizeof body, "x%s.%s\r\nMAIL FROM:<canary@x>\r\n.\r\n", around[i],
                 around[i]);
        feed(&h, &c, body);
        expect_said(&h, "250 2.0.0 queued\r\n");
        assert_int_equal(h.mails, 1);
        harness_close(&h);
    }
}

/* ---- limits ---- */

static void body_line(size_t len, const char *want)
{
    struct smtps_config c = config();
    struct harness h;
    char *line = malloc(len + 6);
    memset(line, 'x', len);
    memcpy(line + len, "\r\n.\r\n", 6);
    open_data(&h, &c);
    harness_feed(&h, &c, str_of(line, 1000)); /* cut, so that the length must be carried on */
    feed(&h, &c, line + 1000);
    expect_said(&h, want);
    harness_close(&h);
    free(line);
}

static void test_body_line_limit(void **state)
{
    (void)state;
    body_line(SMTPS_TEXT_LINE_MAX - 2, "250 2.0.0 queued\r\n");
    body_line(SMTPS_TEXT_LINE_MAX - 1, "554 5.6.0 a line of the message is too long\r\n");
}

static void test_many_recipients(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    char line[400], local[65];
    harness_open(&h, &c);
    harness_flush(&h);
    feed(&h, &c, "EHLO c\r\n");
    feed(&h, &c, "MAIL FROM:<a@x>\r\n");
    memset(local, 'l', 64);
    local[64] = '\0';
    for (int i = 0; i < 1001; i++) {
        buf_clear(&h.said);
        snprintf(line, sizeof line, "RCPT TO:<%s@d%04d.%s.%s.example>\r\n", local, i, local + 2,
                 local + 5);
        feed(&h, &c, line);
        expect_said(&h,
                    i < 1000 ? "250 2.1.5 recipient ok\r\n" : "452 4.5.3 too many recipients\r\n");
    }
    harness_close(&h);
}

static void test_chunk_count(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    harness_open(&h, &c);
    harness_flush(&h);
    feed(&h, &c, "EHLO c\r\n");
    feed(&h, &c, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    for (int i = 0; i < SMTPS_CHUNKS_MAX; i++) {
        buf_clear(&h.said);
        feed(&h, &c, "BDAT 0\r\n");
        assert_true(str_starts(buf_str(&h.said), STR("250 ")));
    }
    buf_clear(&h.said);
    feed(&h, &c, "BDAT 0 LAST\r\n");
    expect_said(&h, "554 5.6.0 too many chunks\r\n");
    assert_int_equal(h.aborts, 1);
    harness_close(&h);
}

/* size_max again and SMTPS_EXCESS_MIN; a chunk of more is not begun. */
static void test_excess(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    const size_t most = 2 * (4 << 20) + SMTPS_EXCESS_MIN;
    static char lines[65536];
    for (size_t i = 0; i < sizeof lines; i += 1024) {
        memset(lines + i, 'x', 1022);
        memcpy(lines + i + 1022, "\r\n", 2);
    }
    for (int more = 0; more < 2; more++) {
        open_data(&h, &c);
        for (size_t at = 0; at < most - sizeof lines; at += sizeof lines)
            harness_feed(&h, &c, str_of(lines, sizeof lines));
        harness_feed(&h, &c, str_of(lines, sizeof lines - 1024));
        harness_feed(&h, &c,
                     str_of(lines, 1019 + (size_t)more)); /* and a line's end, and the end */
        feed(&h, &c, "\r\n.\r\n");
        expect_said(&h, more == 0 ? "552 5.3.4 message too big\r\n"
                                  : "552 5.3.4 message too big\r\n"
                                    "421 4.7.0 closing: more is sent than is read\r\n");
        assert_int_equal(h.aborts, 1);
        assert_int_equal(smtps_closing(h.s), more);
        harness_close(&h);
        said_hello(&h, &c);
        char command[64];
        snprintf(command, sizeof command, "BDAT %zu\r\n", most + (size_t)more);
        feed(&h, &c, command);
        assert_int_equal(smtps_closing(h.s), more);
        harness_close(&h);
    }
}

static void test_reply_line(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct smtps *s = smtps_new(&c, 0);
    char text[600];
    smtps_sent(s, smtps_output(s).len);
    smtps_feed(s, STR("EHLO c\r\n"), 0);
    assert_int_equal(smtps_next(s), SMTPS_HELO);
    assert_int_equal(smtps_next(s), SMTPS_IDLE);
    smtps_sent(s, smtps_output(s).len);
    smtps_feed(s, STR("MAIL FROM:<a@x>\r\n"), 0);
    assert_int_equal(smtps_next(s), SMTPS_MAIL);
    memset(text, 'x', sizeof text);
    memcpy(text, "a\r\nb\x80\xff\tc", 8);
    text[599] = '\0';
    smtps_reply(s, 550, "5.7.1", "%s", text);
    str_t out = smtps_output(s);
    assert_int_equal(out.len, 512); /* RFC 5321 4.5.3.1.5 */
    assert_true(str_starts(out, STR("550 5.7.1 a??b???cx")));
    assert_true(str_ends(out, STR("x\r\n")));
    smtps_free(s);
}

static void test_flush(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    struct buf many;
    harness_open(&h, &c);
    harness_flush(&h);
    feed(&h, &c, "EHLO c\r\n");
    feed(&h, &c, "MAIL FROM:<a@x>\r\n");
    buf_init(&many, 1 << 20);
    for (int i = 0; i < 5000; i++)
        buf_add(&many, STR("RCPT TO:<unknown@y>\r\n"));
    size_t most = 0;
    str_t rest = buf_str(&many);
    while (rest.len > 0) { /* as harness_feed, looking at the output */
        smtps_feed(h.s, rest, h.now_ms);
        (void)harness_pump(&h, false);
        rest = smtps_rest(h.s);
        most = smtps_output(h.s).len > most ? smtps_output(h.s).len : most;
        harness_flush(&h);
    }
    assert_true(most >= SMTPS_FLUSH_AT && most < SMTPS_FLUSH_AT + 512);
    buf_free(&many);
    harness_close(&h);
}

/* ---- time ---- */

static void test_deadlines(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    harness_open(&h, &c);
    harness_flush(&h);
    assert_int_equal(smtps_deadline_ms(h.s), 1000 + 300000);
    h.now_ms = 200000;
    feed(&h, &c, "EHL"); /* part of a line buys no time */
    assert_int_equal(smtps_deadline_ms(h.s), 301000);
    feed(&h, &c, "O c\r\n");
    assert_int_equal(smtps_deadline_ms(h.s), 500000);
    feed(&h, &c, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    feed(&h, &c, "DATA\r\n");
    h.now_ms = 400000;
    feed(&h, &c, "0123456789"); /* ten bytes are worth 20 ms at 500 a second */
    assert_int_equal(smtps_deadline_ms(h.s), 500020);
    char big[65536];
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 4; i++)
        harness_feed(&h, &c, str_of(big, sizeof big));
    assert_int_equal(smtps_deadline_ms(h.s), 700000); /* never more than idle_s ahead */
    buf_clear(&h.said);
    smtps_expire(h.s, 700000);
    assert_int_equal(harness_pump(&h, false), SMTPS_CLOSE);
    harness_flush(&h);
    expect_said(&h, "421 4.4.2 timeout\r\n");
    assert_int_equal(h.aborts, 1);
    assert_true(smtps_closing(h.s));
    assert_string_equal(smtps_why(h.s), "timeout");
    assert_int_equal(harness_pump(&h, false), SMTPS_IDLE); /* SMTPS_CLOSE comes once */
    harness_close(&h);
}

/* No answer keeps a session alive that brings no mail. */
static void test_session_without_mail(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    c.session_s = 1800;
    said_hello(&h, &c);
    for (int i = 0; i < 6; i++) {
        h.now_ms += 250000;
        feed(&h, &c, "NOOP\r\n");
    }
    assert_int_equal(h.now_ms, 1501000);
    assert_int_equal(smtps_deadline_ms(h.s), 1801000);
    h.now_ms += 299000;
    feed(&h, &c, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    assert_int_equal(smtps_deadline_ms(h.s), 1801000);
    feed(&h, &c, "DATA\r\n"); /* in its last second: content has its time */
    assert_int_equal(smtps_deadline_ms(h.s), 2100000);
    h.now_ms = 2099000;
    feed(&h, &c, ".\r\n");
    assert_true(str_ends(buf_str(&h.said), STR("250 2.0.0 queued\r\n")));
    h.now_ms += 250000;
    feed(&h, &c, "RSET\r\n");
    assert_int_equal(smtps_deadline_ms(h.s), h.now_ms + 300000);
    for (; h.now_ms < 2099000 + 1800000 - 100000; h.now_ms += 200000)
        feed(&h, &c, "RSET\r\n");
    assert_int_equal(smtps_deadline_ms(h.s), 2099000 + 1800000);
    buf_clear(&h.said);
    smtps_expire(h.s, 2099000 + 1800000);
    harness_flush(&h);
    expect_said(&h, "421 4.4.2 connected for too long without mail\r\n");
    assert_string_equal(smtps_why(h.s), "no mail for too long");
    harness_close(&h);
}

/* A byte a minute in one line, in content, in chunks of one byte: each has its end. */
static void test_trickle(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    c.session_s = 1800;
    said_hello(&h, &c);
    for (; h.now_ms < smtps_deadline_ms(h.s); h.now_ms += 60000)
        feed(&h, &c, "N");
    assert_int_equal(h.now_ms, 301000);
    harness_close(&h);

    open_data(&h, &c);
    for (; h.now_ms < smtps_deadline_ms(h.s); h.now_ms += 60000)
        feed(&h, &c, "x");
    assert_int_equal(h.now_ms, 361000); /* five bytes bought 10 ms */
    harness_close(&h);

    said_hello(&h, &c);
    feed(&h, &c, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    for (; h.now_ms < smtps_deadline_ms(h.s); h.now_ms += 60000)
        feed(&h, &c, "BDAT 1\r\nx");
    assert_int_equal(h.now_ms, 1801000 + 60000); /* 30 bytes bought 60 ms */
    smtps_expire(h.s, h.now_ms);
    assert_int_equal(harness_pump(&h, false), SMTPS_CLOSE);
    assert_int_equal(h.aborts, 1);
    harness_close(&h);
}

/* Whoever sends at the floor may go on as long as there is content. */
static void test_slow_content(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    char line[1000];
    memset(line, 'x', sizeof line);
    memcpy(line + 998, "\r\n", 2);
    c.session_s = 1800;
    open_data(&h, &c);
    for (int i = 0; i < 4000; i++) { /* 500 bytes a second for more than two hours */
        h.now_ms += 2000;
        assert_true(h.now_ms < smtps_deadline_ms(h.s));
        harness_feed(&h, &c, str_of(line, sizeof line));
    }
    feed(&h, &c, ".\r\n");
    expect_said(&h, "250 2.0.0 queued\r\n");
    harness_close(&h);
}

static void test_tarpit(void **state)
{
    (void)state;
    struct smtps_config c = config();
    c.errors_soft = 2;
    struct smtps *s = smtps_new(&c, 0);
    smtps_sent(s, smtps_output(s).len);
    for (int i = 1; i <= 4; i++) {
        smtps_feed(s, STR("FOO\r\n"), 0);
        assert_int_equal(smtps_next(s), SMTPS_IDLE);
        assert_int_equal(smtps_delay_ms(s), i > 2 ? SMTPS_TARPIT_MS : 0);
        smtps_sent(s, smtps_output(s).len);
        assert_int_equal(smtps_delay_ms(s), 0);
    }
    assert_int_equal(smtps_errors(s), 4);
    smtps_free(s);
}

static void test_before_greeting(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct smtps *s = smtps_new(&c, 0);
    smtps_feed(s, STR("EHLO c\r\n"), 0);
    assert_int_equal(smtps_next(s), SMTPS_CLOSE);
    assert_true(str_contains(smtps_output(s), STR("\r\n554 5.5.0 ")));
    smtps_free(s);
}

static void test_shutdown(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    open_data(&h, &c);
    smtps_shutdown(h.s, "shutdown");
    feed(&h, &c, "text\r\n"); /* content under way is taken to its end */
    expect_said(&h, "");
    feed(&h, &c, ".\r\nRSET\r\n");
    expect_said(&h, "250 2.0.0 queued\r\n421 4.3.2 the service is shutting down\r\n");
    assert_true(smtps_closing(h.s));
    harness_close(&h);
    harness_open(&h, &c);
    harness_flush(&h);
    feed(&h, &c, "EHLO c\r\n");
    feed(&h, &c, "MAIL FROM:<a@x>\r\n");
    buf_clear(&h.said);
    smtps_shutdown(h.s, "shutdown");
    assert_int_equal(harness_pump(&h, false), SMTPS_CLOSE);
    harness_flush(&h);
    expect_said(&h, "421 4.3.2 the service is shutting down\r\n");
    assert_int_equal(h.aborts, 1);
    harness_close(&h);
}

/* Content is given as slices of what was fed: one for a body without dots at line starts, however
 * long. */
static void test_content_slices(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    char body[4096];
    open_data(&h, &c);
    h.in_data = true;
    for (size_t i = 0; i < sizeof body; i += 32)
        memcpy(body + i, "123456789 123456789 123456789 \r\n", 32);
    smtps_feed(h.s, str_of(body, sizeof body), 1000);
    assert_int_equal(smtps_next(h.s), SMTPS_CONTENT);
    assert_ptr_equal(smtps_content(h.s).ptr, body);
    assert_int_equal(smtps_content(h.s).len, sizeof body);
    assert_int_equal(smtps_next(h.s), SMTPS_IDLE);
    harness_close(&h);
}

/* ---- TLS and AUTH ---- */

static struct smtps_config offering(unsigned offer)
{
    struct smtps_config c = config();
    c.offer = offer;
    return c;
}

/* What stands in the buffer behind STARTTLS was not sent under TLS and is never run, wherever the
 * input is cut (CVE-2011-0411). Either the engine sees it behind the command, or it comes where the
 * handshake should. */
static void test_starttls_injection(void **state)
{
    (void)state;
    static const char *const behind[] = {
        "NOOP\r\n",
        "N",
        "\r\n",
        "RSET\r\nMAIL FROM:<canary@x>\r\n",
        "\x16\x03\x01\x02",
        "\n",
        "EHLO c\r\nMAIL FROM:<canary@x>\r\n",
        "AUTH ONE b2s=\r\n",
        "STARTTLS\r\n",
        "QUIT\r\n",
    };
    struct smtps_config c = offering(SMTPS_OFFER_STARTTLS | SMTPS_OFFER_AUTH);
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        char bytes[128];
        size_t n = (size_t)snprintf(bytes, sizeof bytes, "STARTTLS\r\n%s", behind[i]);
        for (size_t cut = 0; cut < n; cut++) {
            struct harness h;
            said_hello(&h, &c);
            if (cut > 0)
                harness_feed(&h, &c, str_first(str_of(bytes, n), cut));
            harness_feed(&h, &c, str_from(str_of(bytes, n), cut));
            assert_true(smtps_closing(h.s));
            assert_int_equal(h.mails + h.auths, 0);
            assert_int_equal(h.hellos, 1);
            expect_said(&h, cut != 10
                                ? "554 5.5.0 input was sent before the reply it depends on\r\n"
                                : "220 2.0.0 go ahead\r\n");
            harness_close(&h);
        }
    }
}

/* LF alone ends no command, so it starts no TLS. */
static void test_starttls_lf(void **state)
{
    (void)state;
    struct smtps_config c = offering(SMTPS_OFFER_STARTTLS);
    struct harness h;
    said_hello(&h, &c);
    feed(&h, &c, "STARTTLS\nNOOP\r\n");
    expect_said(&h, "500 5.5.2 lines end with CR LF, not with LF alone\r\n250 2.0.0 ok\r\n");
    assert_false(h.tls_wanted);
    harness_close(&h);
}

/* Whoever stalls or goes away during the handshake gets no plaintext. */
static void test_handshake_never_comes(void **state)
{
    (void)state;
    struct smtps_config c = offering(SMTPS_OFFER_STARTTLS);
    for (int how = 0; how < 3; how++) {
        struct harness h;
        said_hello(&h, &c);
        feed(&h, &c, "STARTTLS\r\n");
        expect_said(&h, "220 2.0.0 go ahead\r\n");
        if (how == 0)
            smtps_expire(h.s, h.now_ms);
        else if (how == 1)
            smtps_shutdown(h.s, "shutdown");
        else
            smtps_eof(h.s);
        assert_int_equal(harness_pump(&h, false), SMTPS_CLOSE);
        assert_int_equal(smtps_output(h.s).len, 0);
        harness_close(&h);
    }
}

/* A command behind AUTH or behind a response never runs, wherever the input is cut after it. */
static void test_auth_injection(void **state)
{
    (void)state;
    struct smtps_config c = offering(SMTPS_OFFER_AUTH);
    for (int response = 0; response < 2; response++) {
        static const char behind[] = "MAIL FROM:<canary@x>\r\n";
        struct harness h;
        char bytes[64];
        said_hello(&h, &c);
        if (response)
            feed(&h, &c, "AUTH ONE\r\n");
        snprintf(bytes, sizeof bytes, "%sb2s=\r\n%s", response ? "" : "AUTH ONE ", behind);
        feed(&h, &c, bytes);
        assert_true(smtps_closing(h.s) && !smtps_authenticated(h.s));
        assert_int_equal(h.mails, 0);
        harness_close(&h);
    }
}

/* RFC 4954 4: 12,288 octets with CRLF; for other commands the limit stays where it was. */
static void auth_line(const char *first, size_t fill, const char *want)
{
    struct smtps_config c = offering(SMTPS_OFFER_AUTH);
    struct harness h;
    size_t n = strlen(first);
    char *line = malloc(n + fill + 2);
    memcpy(line, first, n);
    memset(line + n, 'A', fill);
    memcpy(line + n + fill, "\r\n", 2);
    for (size_t cut = 0; cut <= 20; cut += 4) { /* in the verb, behind it, and not at all */
        said_hello(&h, &c);
        if (n == 0)
            feed(&h, &c, "AUTH ONE\r\n");
        buf_clear(&h.said);
        if (cut > 0)
            harness_feed(&h, &c, str_of(line, cut));
        harness_feed(&h, &c, str_of(line + cut, n + fill + 2 - cut));
        expect_said(&h, want);
        harness_close(&h);
    }
    free(line);
}

static void test_auth_line_limit(void **state)
{
    (void)state;
    auth_line("", SMTPS_AUTH_LINE_MAX - 4, "535 5.7.8 login refused\r\n");
    auth_line("", SMTPS_AUTH_LINE_MAX - 2, "501 5.5.2 bad base64\r\n"); /* no multiple of 4 */
    auth_line("", SMTPS_AUTH_LINE_MAX - 1, "500 5.5.6 line too long\r\n");
    auth_line("AUTH ONE ", SMTPS_AUTH_LINE_MAX - 11, "501 5.5.2 bad base64\r\n");
    auth_line("auth one ", SMTPS_AUTH_LINE_MAX - 10, "500 5.5.6 line too long\r\n");
    auth_line("AUTH\tONE ", SMTPS_COMMAND_MAX - 10, "500 5.5.2 line too long\r\n");
    auth_line("AUTHS ONE ", SMTPS_COMMAND_MAX - 11, "500 5.5.2 line too long\r\n");
    auth_line("AUTHS ONE ", SMTPS_COMMAND_MAX - 12, "500 5.5.2 command not recognized\r\n");
}

static void test_long_challenge(void **state)
{
    (void)state;
    struct smtps_config c = offering(SMTPS_OFFER_AUTH);
    struct harness h;
    static char challenge[SMTPS_AUTH_LINE_MAX / 2];
    said_hello(&h, &c);
    smtps_feed(h.s, STR("AUTH ONE\r\n"), h.now_ms);
    assert_int_equal(smtps_next(h.s), SMTPS_AUTH);
    assert_null(smtps_auth_response(h.s).ptr);
    smtps_auth_challenge(h.s, str_of(challenge, sizeof challenge));
    assert_int_equal(smtps_next(h.s), SMTPS_IDLE);
    str_t out = smtps_output(h.s);
    assert_int_equal(out.len, 4 + sizeof challenge / 3 * 4 + 2);
    assert_true(str_starts(out, STR("334 AAAA")) && str_ends(out, STR("A\r\n")));
    harness_close(&h);
}

/* ---- many, and in a hurry ---- */

static void test_hurry(void **state)
{
    (void)state;
    struct smtps_config c = config();
    struct harness h;
    said_hello(&h, &c);
    assert_int_equal(smtps_deadline_ms(h.s), 301000);
    h.now_ms = 5000;
    feed(&h, &c, "NOOP\r\n");
    smtps_hurry(h.s, 10, 1);
    assert_int_equal(smtps_deadline_ms(h.s), 15000);
    h.now_ms = 6000;
    feed(&h, &c, "NOOP\r\n");
    assert_int_equal(smtps_deadline_ms(h.s), 16000);
    buf_clear(&h.said);
    feed(&h, &c, "FOO\r\n");
    expect_said(&h, "500 5.5.2 command not recognized\r\n421 4.7.0 too many errors\r\n");
    assert_true(smtps_closing(h.s));
    harness_close(&h);
}

/* 1000 recipients with the longest ORCPT there may be, and the owner's own copy of each. */
static void test_arena_holds_orcpts(void **state)
{
    (void)state;
    struct smtps_config c = offering(SMTPS_OFFER_DSN);
    struct harness h;
    char line[1200], local[65], orcpt[494];
    said_hello(&h, &c);
    feed(&h, &c, "MAIL FROM:<a@x>\r\n");
    memset(local, 'l', 64);
    memset(orcpt, 'o', 493);
    local[64] = orcpt[493] = '\0';
    for (int i = 0; i < 1000; i++) {
        buf_clear(&h.said);
        snprintf(line, sizeof line, "RCPT TO:<%s@d%04d.%s.%s.example> ORCPT=rfc822;%s\r\n", local,
                 i, local + 2, local + 5, orcpt);
        feed(&h, &c, line);
        expect_said(&h, "250 2.1.5 recipient ok\r\n");
    }
    harness_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_of_data_exhaustive),
        cmocka_unit_test(test_unusual_line_ends),
        cmocka_unit_test(test_body_line_limit),
        cmocka_unit_test(test_many_recipients),
        cmocka_unit_test(test_chunk_count),
        cmocka_unit_test(test_excess),
        cmocka_unit_test(test_reply_line),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_session_without_mail),
        cmocka_unit_test(test_trickle),
        cmocka_unit_test(test_slow_content),
        cmocka_unit_test(test_tarpit),
        cmocka_unit_test(test_before_greeting),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_content_slices),
        cmocka_unit_test(test_starttls_injection),
        cmocka_unit_test(test_starttls_lf),
        cmocka_unit_test(test_handshake_never_comes),
        cmocka_unit_test(test_auth_injection),
        cmocka_unit_test(test_auth_line_limit),
        cmocka_unit_test(test_long_challenge),
        cmocka_unit_test(test_hurry),
        cmocka_unit_test(test_arena_holds_orcpts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
