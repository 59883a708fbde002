/* test_dsn.c: delivery status notifications: their form, and that no input ends a field or a
 * part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lines.h"
#include "mail/dsn.h"
#include "mail/header.h"

static const struct dsn_recipient bob = {.final = STR("bob@example.net"),
                                         .original = STR("robert@example.net"),
                                         .status = STR("5.1.1"),
                                         .diagnostic = STR("550 5.1.1 no such user"),
                                         .remote_mta = STR("mx.example.net"),
                                         .last_attempt_ms = 1795303201000};

static struct dsn plain(void)
{
    return (struct dsn){.action = DSN_FAILED,
                        .hostname = STR("mx.example.test"),
                        .to = STR("alice@example.test"),
                        .queue_id = STR("0abc"),
                        .message_id_unique = STR("0unique1"),
                        .now_ms = 1795303205000,
                        .arrived_ms = 1795303200000,
                        .give_up_ms = 1795735200000,
                        .recipients = &bob,
                        .n = 1,
                        .original_header =
                            STR("From: alice@example.test\r\nMessage-ID: <1@example.test>\r\n"
                                "Subject: hello\r\n\r\nthe body\r\n")};
}

static struct buf made(const struct dsn *d)
{
    struct buf out;
    buf_init(&out, 10 << 20);
    assert_true(dsn_write(d, &out));
    assert_true(lines_clean(buf_str(&out), d->utf8));
    return out;
}

static void has(const struct buf *b, const char *what)
{
    if (!str_contains(buf_str(b), str_c(what)))
        fail_msg("missing: %s\nin: %.*s", what, STR_ARG(buf_str(b)));
}

static void has_not(const struct buf *b, const char *what)
{
    if (str_contains(buf_str(b), str_c(what)))
        fail_msg("there: %s\nin: %.*s", what, STR_ARG(buf_str(b)));
}

static size_t occurs(str_t in, str_t what)
{
    size_t n = 0;
    for (; in.len >= what.len; in = str_from(in, 1))
        n += str_starts(in, what);
    return n;
}

/* Exactly the three delimiters and the last, and a header with each field once. */
static void sound(const struct buf *b)
{
    static const str_t once[] = {STR("From"),         STR("To"),          STR("Subject"),
                                 STR("Date"),         STR("Message-ID"),  STR("Auto-Submitted"),
                                 STR("MIME-Version"), STR("Content-Type")};
    str_t s = buf_str(b);
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        assert_int_equal(header_count(s, once[i]), 1);
    assert_int_equal(occurs(s, STR("\n--=_")), 4);
    assert_true(str_ends(s, STR("--\r\n")));
}

static void failed(void **state)
{
    (void)state;
    struct dsn d = plain();
    struct buf b = made(&d);
    sound(&b);
    has(&b, "From: Mail Delivery System <MAILER-DAEMON@mx.example.test>\r\n");
    has(&b, "To: <alice@example.test>\r\n");
    has(&b, "Date: Sat, 21 Nov 2026 23:20:05 +0000\r\n");
    has(&b, "Message-ID: <0unique1@mx.example.test>\r\n");
    has(&b, "In-Reply-To: <1@example.test>\r\n");
    has(&b, "Auto-Submitted: auto-replied\r\n");
    has(&b, "Content-Type: multipart/report; report-type=delivery-status;");
    has(&b, "    There is no such address at that domain.");
    has(&b, "    mx.example.net said: 550 5.1.1 no such user\r\n");
    has(&b, "\r\n\r\nReporting-MTA: dns; mx.example.test\r\nArrival-Date: Sat, 21 Nov 2026 "
            "23:20:00 +0000\r\n"
            "X-Postrider-Queue-ID: 0abc\r\n\r\nOriginal-Recipient: rfc822; robert@example.net\r\n"
            "Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            "Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
            "Last-Attempt-Date: Sat, 21 Nov 2026 23:20:01 +0000\r\nFinal-Log-ID: 0abc\r\n\r\n");
    has(&b, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
            "From: alice@example.test\r\nMessage-ID: <1@example.test>\r\nSubject: "
            "hello\r\n\r\n--=_0unique1--\r\n");
    has_not(&b, "the body");
    has_not(&b, "Will-Retry-Until");
    buf_free(&b);
}

/* RFC 2852 5: among the fields of the message, behind Arrival-Date. */
static void deliver_by(void **state)
{
    (void)state;
    static const enum dsn_action actions[] = {DSN_FAILED, DSN_DELAYED, DSN_RELAYED};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct dsn d = plain();
        d.action = actions[i];
        d.deliver_by_ms = 1795303260000;
        struct buf b = made(&d);
        sound(&b);
        has(&b, "\r\nArrival-Date: Sat, 21 Nov 2026 23:20:00 +0000\r\n"
                "Deliver-By-Date: Sat, 21 Nov 2026 23:21:00 +0000\r\nX-Postrider-Queue-ID: ");
        buf_free(&b);
    }
    struct dsn d = plain();
    struct buf b = made(&d);
    has_not(&b, "Deliver-By-Date");
    buf_free(&b);
}

static void delayed(void **state)
{
    (void)state;
    struct dsn d = plain();
    struct dsn_recipient r[2] = {
        {.final = STR("a@b"), .status = STR("4.4.1"), .diagnostic = STR("connection refused")},
        {.final = STR("c@d"), .status = STR("bad")}};
    d.action = DSN_DELAYED;
    d.recipients = r;
    d.n = 2;
    struct buf b = made(&d);
    sound(&b);
    has(&b, "Will-Retry-Until: Thu, 26 Nov 2026 23:20:00 +0000\r\n");
    has(&b,
        "Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: x-postrider; connection refused\r\n");
    has(&b, "\r\n\r\nFinal-Recipient: rfc822; c@d\r\nAction: delayed\r\nStatus: "
            "4.0.0\r\nFinal-Log-ID: 0abc\r\nWill-Retry-Until: ");
    has(&b, "We keep trying until Thu, 26 Nov 2026 23:20:00 +0000\r\n");
    has_not(&b, "Remote-MTA");
    has_not(&b, "Original-Recipient");
    has_not(&b, "Last-Attempt-Date");
    buf_free(&b);
}

static void status_codes(void **state)
{
    (void)state;
    static const struct {
        str_t given;
        const char *written;
    } v[] = {
        {STR("5.1.10"), "Status: 5.1.10\r\n"},       {STR("4.4.7"), "Status: 4.4.7\r\n"},
        {STR("2.0.0"), "Status: 5.0.0\r\n"},         {STR("5.1"), "Status: 5.0.0\r\n"},
        {STR("5.01.1"), "Status: 5.0.0\r\n"},        {STR("5.1.1234"), "Status: 5.0.0\r\n"},
        {STR("5.1.1\r\nX: y"), "Status: 5.0.0\r\n"}, {STR(""), "Status: 5.0.0\r\n"},
        {STR("5.1.1.1"), "Status: 5.0.0\r\n"},       {STR("5.999.999"), "Status: 5.999.999\r\n"}};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        struct dsn d = plain();
        struct dsn_recipient r = bob;
        r.status = v[i].given;
        d.recipients = &r;
        struct buf b = made(&d);
        has(&b, v[i].written);
        buf_free(&b);
    }
    assert_true(str_contains(dsn_explain(STR("4.2.2")), STR("full")));
    assert_true(str_eq(dsn_explain(STR("5.7.99")), dsn_explain(STR("5.7.0"))));
    assert_true(dsn_explain(STR("nonsense")).len > 0);
}

#define EVIL                           \
    "x\r\n\r\n--=_0unique1--\r\nBcc: " \
    "victim@example.org\r\n.\r\n\0\x7f\xff\xc3\xa4\xe2\x80\xa8\x85\r"

static void hostile(void **state)
{
    (void)state;
    struct dsn_recipient r[2] = {{.final = STR(EVIL),
                                  .original = STR(EVIL),
                                  .status = STR(EVIL),
                                  .diagnostic = STR(EVIL),
                                  .remote_mta = STR(EVIL)},
                                 {.final = STR("\"" EVIL),
                                  .status = STR("5.0.0"),
                                  .diagnostic = STR("--=_0unique1"),
                                  .remote_mta = STR("--=_0unique1")}};
    struct dsn d = {.hostname = STR(EVIL),
                    .to = STR(EVIL),
                    .queue_id = STR(EVIL),
                    .message_id_unique = STR(EVIL),
                    .recipients = r,
                    .n = 2,
                    .now_ms = INT64_MAX,
                    .arrived_ms = INT64_MIN,
                    .original_header =
                        STR("A: b\r\n--=_0unique1: c\r\n--=_0unique1--: d\r\n" EVIL)};
    for (int utf8 = 0; utf8 < 2; utf8++) {
        d.utf8 = utf8;
        struct buf b = made(&d);
        sound(&b);
        assert_int_equal(header_count(buf_str(&b), STR("Bcc")), 0);
        has_not(&b, "\nBcc");
        has_not(&b, "\n.");
        has(&b, "Content-Transfer-Encoding: quoted-printable\r\n");
        has(&b, "\r\n--=3D_0unique1: c\r\n");
        buf_free(&b);
    }
}

static void returned_header(void **state)
{
    (void)state;
    static const struct {
        str_t header;
        const char *written;
    } v[] = {{STR("A: b"), "quoted-printable\r\n\r\nA: b\r\n--=_"},
             {STR("A: \xff\r\n"), "quoted-printable\r\n\r\nA: =FF\r\n\r\n--=_"},
             {STR("A: b\nC: d\r\n"), "quoted-printable\r\n\r\nA: b=0AC: d\r\n\r\n--=_"},
             {STR("A: b\rc\r\n"), "quoted-printable\r\n\r\nA: b=0Dc\r\n\r\n--=_"},
             {STR("A: \0\r\n"), "quoted-printable\r\n\r\nA: =00\r\n\r\n--=_"},
             {STR("A: --=_\r\n"), "quoted-printable\r\n\r\nA: --=3D_\r\n\r\n--=_"},
             {STR("A: b \r\n"), "7bit\r\n\r\nA: b \r\n\r\n--=_"},
             {STR(""), "7bit\r\n\r\n\r\n--=_"}};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        struct dsn d = plain();
        d.original_header = v[i].header;
        struct buf b = made(&d);
        has(&b, v[i].written);
        sound(&b);
        buf_free(&b);
    }
}

static void header_limits(void **state)
{
    (void)state;
    size_t size = DSN_HEADER_MAX + 2000;
    char *big = malloc(size);
    assert_non_null(big);
    for (size_t line = 997; line <= 999; line++) { /* without CRLF */
        memset(big, 'x', size);
        memcpy(big, "A:", 2);
        memcpy(big + line, "\r\n", 2);
        struct dsn d = plain();
        d.original_header = str_of(big, line + 2);
        struct buf b = made(&d);
        assert_int_equal(str_contains(buf_str(&b), STR("quoted-printable")), line > 998);
        buf_free(&b);
    }
    for (size_t len = DSN_HEADER_MAX - 8; len <= DSN_HEADER_MAX + 8;
         len += 8) { /* lines of 8 bytes */
        for (size_t i = 0; i + 8 <= size; i += 8)
            memcpy(big + i, "A: bcd\r\n", 8);
        struct dsn d = plain();
        d.original_header = str_of(big, len);
        struct buf b = made(&d);
        assert_int_equal(occurs(buf_str(&b), STR("A: bcd\r\n")),
                         (len < DSN_HEADER_MAX ? len : DSN_HEADER_MAX) / 8);
        buf_free(&b);
    }
    memset(big, 'x', size); /* one line that never ends */
    memcpy(big, "A:", 2);
    struct dsn d = plain();
    d.original_header = str_of(big, size);
    struct buf b = made(&d);
    assert_true(b.len < DSN_HEADER_MAX * 3 / 2);
    sound(&b);
    buf_free(&b);
    free(big);
}

static void utf8_forms(void **state)
{
    (void)state;
    struct dsn d = plain();
    struct dsn_recipient r = {.final = STR("b\xc3\xbc"
                                           "cher+x@example.net"),
                              .status = STR("5.6.7"),
                              .diagnostic = STR("553 kein B\xc3\xbc"
                                                "cherregal"),
                              .remote_mta = STR("mx.example.net")};
    d.recipients = &r;
    d.to = STR("\xe5\xa7\x93@example.test");
    d.original_header = STR("Subject: \xc3\xa4\r\n");
    struct buf b = made(&d); /* checks that it is ASCII */
    has(&b, "Final-Recipient: utf-8; b\\x{FC}cher\\x{2B}x@example.net\r\n"); /* RFC 6533 3 */
    has(&b, "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n");
    has(&b, "Diagnostic-Code: smtp; 553 kein B?cherregal\r\n");
    has(&b, "Subject: =C3=A4\r\n");
    buf_free(&b);
    d.utf8 = true;
    b = made(&d);
    sound(&b);
    has(&b, "To: <\xe5\xa7\x93@example.test>\r\n");
    has(&b, "Final-Recipient: utf-8; b\xc3\xbc"
            "cher+x@example.net\r\n");
    has(&b, "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n");
    has(&b, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n");
    has(&b, "Subject: \xc3\xa4\r\n");
    buf_free(&b);
}

static void long_diagnostics(void **state)
{
    (void)state;
    static char big[5000];
    for (int spaces = 0; spaces < 2; spaces++) {
        memset(big, 'x', sizeof big);
        for (size_t i = 7; spaces && i < sizeof big; i += 8)
            big[i] = ' ';
        struct dsn d = plain();
        struct dsn_recipient r = bob;
        r.diagnostic = str_of(big, sizeof big);
        d.recipients = &r;
        struct buf b = made(&d);
        size_t shown = occurs(buf_str(&b), STR("x"));
        /* in both parts */
        assert_true(shown > DSN_DIAGNOSTIC_MAX && shown < 2 * DSN_DIAGNOSTIC_MAX + 50);
        str_t rest = buf_str(&b), line;
        while (spaces && str_cut(&rest, '\n', &line))
            assert_true(line.len - 1 <= 78 || str_starts(line, STR("Content-Type: multipart")));
        buf_free(&b);
    }
}

static void nobody(void **state)
{
    (void)state;
    struct buf out;
    struct dsn d = plain();
    buf_init(&out, 100000);
    d.to = STR("");
    assert_false(dsn_write(&d, &out)); /* never to <> */
    d = plain();
    d.n = 0;
    assert_false(dsn_write(&d, &out));
    assert_int_equal(out.len, 0);
    d = plain();
    assert_true(dsn_write(&d, &out));
    size_t size = out.len;
    buf_free(&out);
    for (size_t max = size - 1; max <= size + 1; max++) {
        buf_init(&out, max);
        assert_int_equal(dsn_write(&d, &out), max >= size);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed),           cmocka_unit_test(deliver_by),
        cmocka_unit_test(delayed),          cmocka_unit_test(status_codes),
        cmocka_unit_test(hostile),          cmocka_unit_test(returned_header),
        cmocka_unit_test(header_limits),    cmocka_unit_test(utf8_forms),
        cmocka_unit_test(long_diagnostics), cmocka_unit_test(nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
