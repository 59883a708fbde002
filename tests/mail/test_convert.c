/* test_convert.c: messages made to fit 7-bit and 8-bit peers, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/convert.h"

static enum mail_convert_result convert(enum mail_convert_to to, str_t in, size_t step,
                                        bool *needed, struct buf *out)
{
    struct mail_convert *c = mail_convert_new(to);
    assert_non_null(c);
    for (str_t rest = in; rest.len > 0; rest = str_from(rest, step))
        mail_convert_look(c, str_first(rest, step));
    enum mail_convert_result r = mail_convert_looked(c, needed);
    for (str_t rest = in; r == MAIL_CONVERT_OK && rest.len > 0; rest = str_from(rest, step))
        assert_true(mail_convert_feed(c, str_first(rest, step), out));
    if (r == MAIL_CONVERT_OK)
        assert_true(mail_convert_end(c, out));
    mail_convert_free(c);
    return r;
}

/* In steps of every size; what came out needs nothing more. */
static void becomes(enum mail_convert_to to, str_t in, str_t expected)
{
    for (size_t step = 1; step <= in.len; step++) {
        struct buf out, again;
        bool needed;
        buf_init(&out, 1 << 20);
        buf_init(&again, 1 << 20);
        assert_int_equal(convert(to, in, step, &needed, &out), MAIL_CONVERT_OK);
        if (!str_eq(buf_str(&out), expected))
            fail_msg("step %zu:\n%.*s\nexpected:\n%.*s", step, (int)out.len, out.ptr,
                     (int)expected.len, expected.ptr);
        assert_int_equal(needed, !str_eq(in, expected));
        assert_int_equal(convert(to, expected, step, &needed, &again), MAIL_CONVERT_OK);
        assert_false(needed);
        buf_free(&out);
        buf_free(&again);
    }
}

static void refused(enum mail_convert_to to, str_t in, enum mail_convert_result why)
{
    struct buf out;
    bool needed;
    buf_init(&out, 1 << 20);
    assert_int_equal(convert(to, in, 7, &needed, &out), why);
    buf_free(&out);
}

#define SEVEN(in, expected) becomes(MAIL_CONVERT_7BIT, STR(in), STR(expected))
#define EIGHT(in, expected) becomes(MAIL_CONVERT_8BIT, STR(in), STR(expected))
#define STAYS(in)           SEVEN(in, in)

static void what_fits_stays(void **state)
{
    (void)state;
    STAYS("Subject: x\r\n\r\nbody\r\n");
    STAYS(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n"
        "\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n--b--\r\n"
        "post\r\n");
    STAYS("no header at all\r\n");
    STAYS("Subject: x\r\n");
    EIGHT("MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n",
          "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n");
}

static void text_becomes_quoted_printable(void **state)
{
    (void)state;
    SEVEN(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\nX: y\r\n\r\nb\xc3\xa4r = \t\r\n-- \r\n.\r\n",
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nX: y\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nb=C3=A4r =3D =09\r\n=2D-=20\r\n.\r\n");
}

static void mail_without_mime(void **state)
{
    (void)state;
    SEVEN("Subject: x\r\n\r\n\xe4\r\n",
          "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4\r\n");
}

static void parts_are_converted_alone(void **state)
{
    (void)state;
    SEVEN(
        "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: 8bit\r\n"
        "\r\n--a b\r\n\r\nplain\r\n--a b\r\nContent-Type: image/x\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\r\n--a b\r\nContent-Type: message/rfc822"
        "\r\n\r\nContent-Type: text/html\r\n\r\n<\xe4>\r\n--a b--\r\n",
        "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: 7bit\r\n"
        "\r\n--a b\r\n\r\nplain\r\n--a b\r\nContent-Type: image/x\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n//4=\r\n\r\n--a b\r\nContent-Type: message/rfc822"
        "\r\n\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "<=E4>\r\n--a b--\r\n");
}

static void binary_becomes_lines(void **state)
{
    (void)state;
    EIGHT("MIME-Version: 1.0\r\nContent-Type: application/x\r\n"
          "Content-Transfer-Encoding: binary\r\n\r\na\0\nb\r\r\n",
          "MIME-Version: 1.0\r\nContent-Type: application/x\r\n"
          "Content-Transfer-Encoding: base64\r\n\r\nYQAKYg0NCg==\r\n");
    EIGHT("MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
          "Content-Transfer-Encoding: BINARY\r\n\r\n\xe4 fine\r\n",
          "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
          "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4 fine\r\n");
}

static void long_lines_are_broken(void **state)
{
    struct buf in, out;
    bool needed;
    (void)state;
    for (size_t len = MAIL_CONVERT_LINE; len <= MAIL_CONVERT_LINE + 1; len++) {
        buf_init(&in, 1 << 16);
        buf_init(&out, 1 << 16);
        buf_add(&in, STR("MIME-Version: 1.0\r\n\r\n"));
        for (size_t i = 0; i < len; i++)
            buf_addc(&in, i % 75 == 0 ? '-' : 'x');
        buf_add(&in, STR("\r\n"));
        assert_int_equal(convert(MAIL_CONVERT_8BIT, buf_str(&in), 11, &needed, &out),
                         MAIL_CONVERT_OK);
        assert_int_equal(needed, len > MAIL_CONVERT_LINE);
        str_t rest = buf_str(&out), line;
        while (needed && str_cut(&rest, '\n', &line)) {
            assert_true(line.len <= 77);
            assert_false(line.len > 1 && line.ptr[0] == '-');
        }
        buf_free(&in);
        buf_free(&out);
    }
}

static void what_cannot_be(void **state)
{
    (void)state;
    refused(MAIL_CONVERT_7BIT, STR("Subject: \xe4\r\n\r\nx\r\n"), MAIL_CONVERT_HEADER);
    refused(MAIL_CONVERT_8BIT, STR("Subject: a\rb\r\n\r\nx\r\n"), MAIL_CONVERT_HEADER);
    refused(MAIL_CONVERT_7BIT,
            STR("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe4\r\n--b--\r\n"),
            MAIL_CONVERT_SIGNED);
    STAYS("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit"
          "\r\n\r\nx\r\n--b--\r\n");
}

static void what_lies_is_mended(void **state)
{
    (void)state;
    SEVEN("Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\nYQ\xe4=\r\n",
          "Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\nYQ?=\r\n");
    SEVEN(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\npr\xe9\r\n--b\r\n\r\nx\r\n--b--\r\n\xe9",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\npr?\r\n--b\r\n\r\nx\r\n--b--\r\n?");
}

static void broken_structures(void **state)
{
    (void)state;
    STAYS("Content-Type: multipart/mixed\r\n\r\n--b\r\nx\r\n"); /* no boundary */
    STAYS("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n"
          "--b--\r\n");
    STAYS("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; "
          "boundary=b\r\n\r\n--b\r\n\r\nx\r\n--a--\r\n");
    SEVEN("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nnot a field \xe4\r\n--b--",
          "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: "
          "quoted-printable\r\n\r\nnot a field =E4\r\n--b--");
}

/* As deep as it goes, and deeper; more parts than are told apart. */
static void bounded(void **state)
{
    struct buf in, out;
    bool needed;
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        buf_init(&in, 1 << 22);
        buf_init(&out, 1 << 23);
        buf_add(&in, STR("Content-Type: multipart/mixed; boundary=b0\r\n\r\n"));
        for (int i = 0; i < (kind ? MAIL_CONVERT_PARTS + 5 : MAIL_CONVERT_DEPTH + 5); i++)
            if (kind)
                buf_add(&in, STR("--b0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n"));
            else
                buf_addf(&in, "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i,
                         i + 1);
        buf_add(&in, STR("\xe4\r\n"));
        assert_int_equal(convert(MAIL_CONVERT_7BIT, buf_str(&in), 4096, &needed, &out),
                         MAIL_CONVERT_OK);
        assert_true(needed);
        for (size_t i = 0; i < out.len; i++)
            assert_true((unsigned char)out.ptr[i] < 0x80);
        buf_free(&in);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_stays),      cmocka_unit_test(text_becomes_quoted_printable),
        cmocka_unit_test(mail_without_mime),    cmocka_unit_test(parts_are_converted_alone),
        cmocka_unit_test(binary_becomes_lines), cmocka_unit_test(long_lines_are_broken),
        cmocka_unit_test(what_cannot_be),       cmocka_unit_test(what_lies_is_mended),
        cmocka_unit_test(broken_structures),    cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
