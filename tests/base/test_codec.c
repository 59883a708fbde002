/* test_codec.c: base64 and hex (RFC 4648), id32, quoted-printable (RFC 2045). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"

typedef bool codec(struct buf *out, str_t in);

static void gives(codec *run, str_t in, str_t want)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_true(run(&out, in));
    assert_int_equal(out.len, want.len);
    assert_true(str_eq(buf_str(&out), want));
    buf_free(&out);
}

static void fails(codec *run, str_t in)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_false(run(&out, in));
    buf_free(&out);
}

static void fits_exactly(codec *run, str_t in, size_t size)
{
    for (size_t max = size - 1; max <= size + 1; max++) {
        struct buf out;
        buf_init(&out, max);
        assert_int_equal(run(&out, in), max >= size);
        assert_int_equal(out.failed, max < size);
        buf_free(&out);
    }
}

static void base64(void **state)
{
    (void)state;
    static const str_t v[][2] = {/* RFC 4648 10 */
                                 {STR(""), STR("")},
                                 {STR("f"), STR("Zg==")},
                                 {STR("fo"), STR("Zm8=")},
                                 {STR("foo"), STR("Zm9v")},
                                 {STR("foob"), STR("Zm9vYg==")},
                                 {STR("fooba"), STR("Zm9vYmE=")},
                                 {STR("foobar"), STR("Zm9vYmFy")},
                                 {STR("\xfb\xff\0"), STR("+/8A")}};
    static const str_t bad[] = {STR("Z"),    STR("Zg"),       STR("Zg="),  STR("Zh=="),
                                STR("Zm9="), STR("===="),     STR("Z==="), STR("Zg==Zg=="),
                                STR("Zm 9"), STR("Zm9v\r\n"), STR("Zm-_"), STR("=m9v"),
                                STR("Zm\0v")};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        gives(base64_encode, v[i][0], v[i][1]);
        gives(base64_decode, v[i][1], v[i][0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        fails(base64_decode, bad[i]);
    fits_exactly(base64_encode, STR("fooba"), 8);
    fits_exactly(base64_decode, STR("Zm9vYmE="), 5);
}

static void base64url(void **state)
{
    (void)state;
    static const str_t v[][2] = {{STR(""), STR("")},           {STR("f"), STR("Zg")},
                                 {STR("fo"), STR("Zm8")},      {STR("foo"), STR("Zm9v")},
                                 {STR("foob"), STR("Zm9vYg")}, {STR("\xfb\xff\0"), STR("-_8A")},
                                 {STR("\xff"), STR("_w")}};
    static const str_t bad[] = {STR("Z"),     STR("Zg=="),  STR("Zh"),    STR("Zm9"),
                                STR("+/8A"),  STR("Zm9v "), STR("Zm9v="), STR("Zm\0v"),
                                STR("Zm9vY"), STR("-_8a+")};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        gives(base64url_decode, v[i][1], v[i][0]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        fails(base64url_decode, bad[i]);
    fits_exactly(base64url_decode, STR("Zm9vYg"), 4);
}

static void hex(void **state)
{
    (void)state;
    gives(hex_encode, STR("foobar\xff"), STR("666f6f626172ff"));
    gives(hex_decode, STR("666F6f626172Ff"), STR("foobar\xff"));
    gives(hex_encode, STR(""), STR(""));
    fails(hex_decode, STR("6"));
    fails(hex_decode, STR("6g"));
    fails(hex_decode, STR(" 6"));
    fails(hex_decode, STR("0x"));
    fits_exactly(hex_encode, STR("abc"), 6);
    fits_exactly(hex_decode, STR("616263"), 3);
}

static void id32(void **state)
{
    (void)state;
    struct buf out;
    gives(id32_encode, STR(""), STR(""));
    gives(id32_encode, STR("\xff"), STR("zw"));
    gives(id32_encode, STR("\0\0\0\0\0"), STR("00000000"));
    /* RFC 4648 10: MZXW6YTBOI in its alphabet */
    gives(id32_encode, STR("foobar"), STR("csqpyrk1e8"));
    buf_init(&out, 64);
    assert_true(id32_decode(&out, STR("CSQPYRK1E8"), 6));
    assert_true(str_eq(buf_str(&out), STR("foobar")));
    assert_false(id32_decode(&out, STR("csqpyrk1e8"), 5)); /* another length */
    assert_false(id32_decode(&out, STR("csqpyrk1e9"), 6)); /* bits beyond the last byte */
    assert_false(id32_decode(&out, STR("csqpyrk1u8"), 6)); /* no such letter */
    assert_false(id32_decode(&out,
                             STR("csqpyrk1\0"
                                 "8"),
                             6));
    assert_false(id32_decode(&out, STR(""), SIZE_MAX));
    assert_true(str_eq(buf_str(&out), STR("foobar"))); /* failures added nothing */
    buf_free(&out);
    fits_exactly(id32_encode, STR("foobar"), 10);
}

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10

static void qp_encodes(void **state)
{
    (void)state;
    gives(qp_encode, STR("a=b\xc3\xa4"), STR("a=3Db=C3=A4"));
    gives(qp_encode, STR("a \t\r\nb \r\n"), STR("a =09\r\nb=20\r\n"));
    gives(qp_encode, STR("a "), STR("a=20"));
    gives(qp_encode, STR("a\rb\nc\r"), STR("a=0Db=0Ac=0D"));
    gives(qp_encode, STR(X70 "123456\r\n"), STR(X70 "123456\r\n")); /* 76 */
    gives(qp_encode, STR(X70 "1234567\r\n"), STR(X70 "12345=\r\n67\r\n"));
    gives(qp_encode, STR(X70 "123=\r\n"), STR(X70 "123=3D\r\n"));
    gives(qp_encode, STR(X70 "1234=\r\n"), STR(X70 "1234=\r\n=3D\r\n"));
    fits_exactly(qp_encode, STR("a=\r\n"), 6);
}

static void qp_decodes(void **state)
{
    (void)state;
    gives(qp_decode, STR("a=3Db=c3=A4"), STR("a=b\xc3\xa4"));
    gives(qp_decode, STR("a=\r\nb=  \t\r\nc"), STR("abc")); /* soft breaks, also padded */
    gives(qp_decode, STR("a b \t\r\nc "), STR("a b\r\nc"));
    gives(qp_decode, STR(""), STR(""));
    static const str_t bad[] = {STR("a="),       STR("a=4"),  STR("a=4G"), STR("a\nb"), STR("a\rb"),
                                STR("\xc3\xa4"), STR("a= b"), STR("= "),   STR("\0"),   STR("=\n")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        fails(qp_decode, bad[i]);
    fits_exactly(qp_decode, STR("a=20b"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(base64),     cmocka_unit_test(base64url),
                                       cmocka_unit_test(hex),        cmocka_unit_test(id32),
                                       cmocka_unit_test(qp_encodes), cmocka_unit_test(qp_decodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
