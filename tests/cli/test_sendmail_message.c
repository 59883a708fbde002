/* test_sendmail_message.c: what programs pipe into `sendmail`: line ends, recipients, the header; and
 * messages that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/sendmail_message.h"

/* Every cut of the input gives the same lines. */
static void lines(const char *in, bool ignore_dots, const char *expected)
{
    size_t len = strlen(in);
    for (size_t cut = 0; cut <= len; cut++) {
        struct sendmail_lines l = {.ignore_dots = ignore_dots};
        struct buf out;
        buf_init(&out, 4096);
        sendmail_lines_add(&l, str_of(in, cut), &out);
        sendmail_lines_add(&l, str_of(in + cut, len - cut), &out);
        sendmail_lines_end(&l, &out);
        buf_addc(&out, '\0');
        assert_string_equal(out.ptr, expected);
        buf_free(&out);
    }
}

static void line_ends(void **state)
{
    (void)state;
    lines("", false, "");
    lines("a", false, "a\r\n");
    lines("a\nb\n", false, "a\r\nb\r\n");
    lines("a\r\nb\r\n", false, "a\r\nb\r\n");
    lines("a\rb\r", false, "a\r\nb\r\n");
    lines("a\r\r\nb\n\rc", false, "a\r\n\r\nb\r\n\r\nc\r\n");
    lines("a\n\n", false, "a\r\n\r\n");
}

static void dots(void **state)
{
    (void)state;
    lines("a\n.\nb\n", false, "a\r\n");
    lines("a\r\n.\r\nb\r\n", false, "a\r\n");
    lines("a\n.", false, "a\r\n");
    lines(".", false, "");
    lines("a\n.\nb\n", true, "a\r\n.\r\nb\r\n");
    lines("..\n.a\n. \n", false, "..\r\n.a\r\n. \r\n");
}

static void from_lines(void **state)
{
    (void)state;
    assert_true(str_eq(sendmail_skip_from_line(STR("From a Sat\r\nTo: b\r\n")), STR("To: b\r\n")));
    assert_true(str_eq(sendmail_skip_from_line(STR(">From a\r\nTo: b\r\n")), STR("To: b\r\n")));
    assert_true(str_eq(sendmail_skip_from_line(STR("From: a\r\n")), STR("From: a\r\n")));
}

/* The recipients of a header, by commas; NULL: an error. */
static void recipients(const char *content, const char *expected)
{
    struct sendmail_message m = {.content = str_c(content)};
    struct err err = {0};
    struct arena a;
    struct buf got;
    arena_init(&a, 1 << 20);
    buf_init(&got, 4096);
    bool ok = sendmail_header_recipients(&m, 0, &a, &err);
    assert_int_equal(ok, expected != NULL);
    assert_int_equal(ok, err.rc == RC_OK);
    for (size_t i = 0; i < m.n; i++) {
        buf_add(&got, i > 0 ? STR(",") : STR_NONE);
        buf_add(&got, m.rcpt[i].address);
    }
    buf_addc(&got, '\0');
    if (ok)
        assert_string_equal(got.ptr, expected);
    buf_free(&got);
    arena_free(&a);
}

static void header_recipients(void **state)
{
    (void)state;
    recipients("To: a@x\r\nCc: B <b@x>, c@x\r\nBcc: d@x\r\n\r\nTo: e@x\r\n", "a@x,b@x,c@x,d@x");
    recipients("to: a@x,\r\n b@x\r\nTO : c@x\r\n", "a@x,b@x,c@x");
    recipients("To: a@x, a@x\r\nCc: a@x\r\n", "a@x");
    recipients("To: root, ann.b (a comment)\r\n", "root,ann.b");
    recipients("To: undisclosed-recipients:;\r\nBcc: a@x\r\n", "a@x");
    recipients("To: friends: a@x, b@x;\r\n", "a@x,b@x");
    recipients("To: \"a, b\" <c@x>\r\n", "c@x");
    recipients("To: \"a b\"@x\r\n", "\"a b\"@x");
    recipients("To: a@x\r\nResent-To: b@x\r\nResent-Bcc: c@x\r\n", "b@x,c@x");
    recipients("From: a@x\r\nReply-To: b@x\r\n", "");
    recipients("no header\r\n", "");
    recipients("To: a@x, two words\r\n", NULL);
    recipients("To: a@\r\n", NULL);
    recipients("To: <a@x\r\n", NULL);
    recipients("To: a..b\r\n", NULL);
}

static void too_many(void **state)
{
    struct sendmail_message m = {0};
    struct err err = {0};
    struct arena a;
    (void)state;
    arena_init(&a, 64 << 20);
    for (int i = 0; i < SENDMAIL_RECIPIENTS_MAX; i++)
        assert_true(sendmail_add_recipients(&m, arena_fmt(&a, "u%d@x", i), 0, &a, &err));
    assert_true(sendmail_add_recipients(&m, STR("u0@x"), 0, &a, &err));
    assert_false(sendmail_add_recipients(&m, STR("one-more@x"), 0, &a, &err));
    assert_int_equal(err.rc, RC_PERM);
    arena_free(&a);
}

static void header(const struct sendmail_message *m, const char *expected, const char *body)
{
    struct arena a;
    struct buf out;
    str_t rest;
    arena_init(&a, 1 << 20);
    buf_init(&out, 4096);
    assert_true(sendmail_header(m, STR("host.test"), &a, &out, &rest));
    buf_addc(&out, '\0');
    assert_string_equal(out.ptr, expected);
    assert_true(str_eq(rest, str_c(body)));
    buf_free(&out);
    arena_free(&a);
}

static void headers(void **state)
{
    struct sendmail_message m = {.sender = STR("root"), .full_name = STR("Ann \"B\" C")};
    (void)state;
    m.content = STR("Subject: x\r\n\r\nbody\r\n");
    header(&m, "Subject: x\r\nFrom: \"Ann \\\"B\\\" C\" <root@host.test>\r\n\r\n", "body\r\n");
    m.full_name = STR("\xc3\xa4");
    m.content = STR("body of one line\r\n");
    header(&m, "From: =?utf-8?B?w6Q=?= <root@host.test>\r\n\r\n", "body of one line\r\n");
    m.content = STR("");
    m.sender = STR_NONE;
    m.full_name = STR_NONE;
    header(&m, "From: <MAILER-DAEMON@host.test>\r\n\r\n", "");
    m.content =
        STR("From: root (Cron Daemon)\r\nTo: Ann <ann>, b@x,\r\n c\r\nX: y\r\n\r\nTo: d\r\n");
    header(&m,
           "From: root@host.test (Cron Daemon)\r\nTo: Ann <ann@host.test>, b@x,\r\n "
           "c@host.test\r\nX: y\r\n\r\n",
           "To: d\r\n");
    m.content = STR("Resent-From: a@x\r\nTo: undisclosed-recipients:;\r\n\r\n");
    header(&m, "Resent-From: a@x\r\nTo: undisclosed-recipients:;\r\n\r\n", "");
    /* what cannot be completed stays */
    m.content = STR("From: John Smith\r\nCc: <a@x\r\nTo: a.\r\n\r\n");
    header(&m, "From: John Smith\r\nCc: <a@x\r\nTo: a.\r\n\r\n", "");
}

static void records(void **state)
{
    struct sendmail_rcpt rcpt[] = {{STR("a@x"), 2}, {STR("root"), 0}};
    struct sendmail_message m = {.sender = STR("s@x"),
                                 .full_name = STR("S"),
                                 .rcpt = rcpt,
                                 .n = 2,
                                 .ret = 1,
                                 .envid = STR("e"),
                                 .content = STR("Subject: x\r\n\r\n")};
    struct sendmail_message got;
    struct arena a;
    struct buf b;
    (void)state;
    arena_init(&a, 1 << 20);
    buf_init(&b, 4096);
    assert_true(sendmail_record_head(&m, &b) && buf_add(&b, m.content));
    assert_true(sendmail_record_decode(buf_str(&b), &a, &got));
    assert_true(str_eq(got.sender, m.sender) && str_eq(got.full_name, m.full_name));
    assert_true(str_eq(got.envid, m.envid) && str_eq(got.content, m.content) && got.ret == 1);
    assert_int_equal(got.n, 2);
    assert_true(str_eq(got.rcpt[0].address, STR("a@x")) && got.rcpt[0].notify == 2);
    assert_true(str_eq(got.rcpt[1].address, STR("root")));
    for (size_t i = 0; i < b.len; i++) {
        assert_false(sendmail_record_decode(str_first(buf_str(&b), i), &a, &got));
        b.ptr[i] ^= 1;
        assert_false(sendmail_record_decode(buf_str(&b), &a, &got));
        b.ptr[i] ^= 1;
    }
    m.sender = STR_NONE; /* <> */
    buf_clear(&b);
    assert_true(sendmail_record_head(&m, &b) && buf_add(&b, m.content));
    assert_true(sendmail_record_decode(buf_str(&b), &a, &got) && got.sender.len == 0);
    buf_free(&b);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_ends),  cmocka_unit_test(dots),
        cmocka_unit_test(from_lines), cmocka_unit_test(header_recipients),
        cmocka_unit_test(too_many),   cmocka_unit_test(headers),
        cmocka_unit_test(records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
