/* test_smtp_server.c: what transcripts cannot say of the SMTP server engine: every short byte
 * sequence around the end of data, limits at their edge, deadlines, and long random command
 * sequences against a model that knows nothing of the engine. */
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

/* ---- random sequences against a model ---- */

struct model {
    bool hello, esmtp, mail, data_refused, chunks, chunk_bad;
    int rcpts, refused;
};

static uint64_t seed = 1;
static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void model_reset(struct model *m)
{
    *m = (struct model){.hello = m->hello, .esmtp = m->esmtp};
}

static int model_mail(struct model *m, int code)
{
    if (!m->hello || m->mail)
        return 503;
    if (code == 250)
        m->mail = true;
    return code;
}

static int model_rcpt(struct model *m, int code)
{
    if (!m->mail || m->chunks)
        return 503;
    if (code == 250)
        m->rcpts++;
    else
        m->refused++;
    return code;
}

/* The reply to DATA; after 354 the content follows. */
static int model_data(struct model *m)
{
    if (!m->mail || m->chunks || m->rcpts == 0)
        return m->mail && !m->chunks && m->refused > 0 ? 554 : 503;
    if (m->data_refused) {
        model_reset(m);
        return 451;
    }
    return 354;
}

static int model_bdat(struct model *m, bool bad, bool last)
{
    if (m->rcpts == 0)
        return m->refused > 0 ? 554 : 503;
    m->chunks = true;
    m->chunk_bad |= bad;
    int code = m->data_refused ? 451 : m->chunk_bad ? 554 : 250;
    if (last)
        model_reset(m);
    return code;
}

/* Sends one random command; gives the code that the model expects. */
static int random_step(struct harness *h, const struct smtps_config *c, struct model *m)
{
    int code = 0;
    bool refusing;
    switch (rnd(16)) {
    case 0:
    case 1:
        feed(h, c, "EHLO c\r\n");
        model_reset(m);
        m->hello = true;
        return 250;
    case 2: feed(h, c, "HELO \r\n"); return 501;
    case 3:
        feed(h, c, "RSET\r\n");
        model_reset(m);
        return 250;
    case 4: feed(h, c, "NOOP\r\n"); return 250;
    case 5: feed(h, c, "VRFY x\r\n"); return 252;
    case 6: feed(h, c, "MAIL FROM:<refused@x>\r\n"); return model_mail(m, 550);
    case 7: feed(h, c, "MAIL FROM:<a@>\r\n"); return model_mail(m, 501);
    case 8:
    case 9:
        refusing = rnd(4) == 0;
        feed(h, c, refusing ? "MAIL FROM:<nodata@x>\r\n" : "MAIL FROM:<a@x>\r\n");
        code = model_mail(m, 250);
        if (code == 250)
            m->data_refused = refusing;
        return code;
    case 10: feed(h, c, "RCPT TO:<unknown@y>\r\n"); return model_rcpt(m, 550);
    case 11:
    case 12: feed(h, c, "RCPT TO:<b@y>\r\n"); return model_rcpt(m, 250);
    case 13:
        feed(h, c, "DATA\r\n");
        code = model_data(m);
        if (code != 354)
            return code;
        assert_true(str_starts(buf_str(&h->said), STR("354")));
        buf_clear(&h->said);
        refusing = rnd(3) == 0;
        feed(h, c, refusing ? "a\nb\r\n.\r\n" : "text\r\n.\r\n");
        model_reset(m);
        return refusing ? 554 : 250;
    case 14:
        /* before the hello nothing may be pipelined */
        feed(h, c, m->hello ? "BDAT 3\r\nabc" : "BDAT 0\r\n");
        return model_bdat(m, false, false);
    default:
        if (!m->hello) {
            feed(h, c, "BDAT 0 LAST\r\n");
            return 503;
        }
        refusing = rnd(3) == 0;
        feed(h, c, refusing ? "BDAT 3 LAST\r\na\nb" : "BDAT 3 LAST\r\nabc");
        return model_bdat(m, refusing, true);
    }
}

static void test_model(void **state)
{
    (void)state;
    struct smtps_config c = config();
    for (int run = 0; run < 300; run++) {
        struct harness h;
        struct model m = {0};
        seed = (uint64_t)run + 1;
        harness_open(&h, &c);
        harness_flush(&h);
        for (int i = 0; i < 200; i++) {
            buf_clear(&h.said);
            int want = random_step(&h, &c, &m);
            char code[5];
            snprintf(code, sizeof code, "%d", want);
            str_t said = buf_str(&h.said), line;
            if (!str_starts(said, str_c(code)))
                print_error("run %d step %d: model says %d, engine " STR_FMT "\n", run, i, want,
                            STR_ARG(said));
            assert_true(str_starts(said, str_c(code)));
            /* One reply only: every line is of this code. */
            for (; str_cut(&said, '\n', &line);)
                assert_true(str_starts(line, str_first(str_c(code), 3)));
            assert_int_equal(h.open, m.mail); /* the transaction is the model's */
            if (!m.mail)
                assert_int_equal(smtps_recipients(h.s), 0);
        }
        harness_close(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_of_data_exhaustive),
        cmocka_unit_test(test_unusual_line_ends),
        cmocka_unit_test(test_body_line_limit),
        cmocka_unit_test(test_many_recipients),
        cmocka_unit_test(test_chunk_count),
        cmocka_unit_test(test_reply_line),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_tarpit),
        cmocka_unit_test(test_before_greeting),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_content_slices),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
