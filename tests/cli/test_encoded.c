/* test_encoded.c: encoded words and parameters. RFC 2047, 2231. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/encoded.h"

static void is(struct buf *b, const char *expected)
{
    buf_addc(b, '\0');
    assert_string_equal(b->ptr, expected);
    buf_clear(b);
}

static void fields(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    encoded_field(&b, STR("plain"));
    is(&b, " plain\r\n");
    encoded_field(&b, STR("two\r\nlines: x"));
    is(&b, " two  lines: x\r\n");
    encoded_field(&b, STR("\xc3\xa4\r\nBcc: x"));
    is(&b, " =?utf-8?B?w6QNCkJjYzogeA==?=\r\n");
    /* never inside a character: 44 bytes, then one of two */
    encoded_field(&b, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4"));
    is(&b, " =?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=?=\r\n"
           " =?utf-8?B?w6Q=?=\r\n");
    buf_free(&b);
}

static void parameters(void **state)
{
    struct buf b;
    char name[61];
    (void)state;
    buf_init(&b, 4096);
    encoded_parameter(&b, "name", STR("a \"b\".txt"));
    is(&b, ";\r\n name=\"a \\\"b\\\".txt\"");
    encoded_parameter(&b, "name", STR("gr\xc3\xbcn'%.txt"));
    is(&b, ";\r\n name*=utf-8''gr%C3%BCn%27%25.txt");
    encoded_parameter(&b, "name", STR("a\r\nb"));
    is(&b, ";\r\n name*=utf-8''a%0D%0Ab");
    memset(name, 'a', sizeof name);
    encoded_parameter(&b, "n", str_of(name, 60));
    is(&b, ";\r\n n=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"");
    encoded_parameter(&b, "n", str_of(name, 61));
    is(&b, ";\r\n n*0*=utf-8''aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
           ";\r\n n*1*=aaaaaaaaa");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields), cmocka_unit_test(parameters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
