/* test_utf8.c: RFC 3629: what is UTF-8 and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

static void valid(void **state)
{
    (void)state;
    static const struct {
        str_t bytes;
        uint32_t codepoint;
    } v[] = {{STR("\0"), 0},
             {STR("\x7f"), 0x7f},
             {STR("\xc2\x80"), 0x80},
             {STR("\xdf\xbf"), 0x7ff},
             {STR("\xe0\xa0\x80"), 0x800},
             {STR("\xed\x9f\xbf"), 0xd7ff},
             {STR("\xee\x80\x80"), 0xe000},
             {STR("\xef\xbf\xbf"), 0xffff},
             {STR("\xf0\x90\x80\x80"), 0x10000},
             {STR("\xf4\x8f\xbf\xbf"), 0x10ffff},
             {STR("\xe2\x89\xa2"), 0x2262},
             {STR("\xf0\xa3\x8e\xb4"), 0x233b4}}; /* the last two: RFC 3629 7 */
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        str_t s = v[i].bytes;
        uint32_t c;
        assert_true(utf8_next(&s, &c));
        assert_int_equal(c, v[i].codepoint);
        assert_int_equal(s.len, 0);
        assert_true(utf8_valid(v[i].bytes));
        assert_int_equal(str_ascii(v[i].bytes), v[i].codepoint < 0x80);
        for (size_t cut = 1; cut < v[i].bytes.len; cut++)
            assert_false(utf8_valid(str_first(v[i].bytes, cut)));
    }
    assert_true(utf8_valid(STR_NONE));
    assert_true(utf8_valid(STR("plain text of more than eight bytes, then \xc3\xa4")));
}

static void invalid(void **state)
{
    (void)state;
    /* continuation; overlong */
    static const str_t bad[] = {STR("\x80"),
                                STR("\xbf"),
                                STR("\xc0\x80"),
                                STR("\xc1\xbf"),
                                STR("\xe0\x80\x80"),
                                STR("\xe0\x9f\xbf"),
                                STR("\xf0\x80\x80\x80"),
                                STR("\xf0\x8f\xbf\xbf"),
                                STR("\xed\xa0\x80"),
                                STR("\xed\xbf\xbf"), /* surrogates */
                                STR("\xf4\x90\x80\x80"),
                                STR("\xf5\x80\x80\x80"),
                                STR("\xfe"),
                                STR("\xff"), /* over U+10FFFF */
                                STR("\xc3("),
                                STR("\xe2\x82("),
                                STR("\xf0\x9f\x98("),
                                STR("abcdefgh\xc3"),
                                STR("\xc3\xa4\xa4")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(utf8_valid(bad[i]));
        assert_false(str_ascii(bad[i]));
    }
    str_t s = bad[0];
    uint32_t c = 7;
    assert_false(utf8_next(&s, &c));
    assert_int_equal(s.len, 1); /* unchanged */
    assert_int_equal(c, 7);
}

static void ascii_at_every_place(void **state)
{
    (void)state;
    char text[20];
    for (size_t len = 0; len <= sizeof text; len++)
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', sizeof text);
            assert_true(str_ascii(str_of(text, len)));
            text[at] = (char)0x80;
            assert_false(str_ascii(str_of(text, len)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(valid), cmocka_unit_test(invalid),
                                       cmocka_unit_test(ascii_at_every_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
