/* test_header.c: fields, folds, and where a header ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/header.h"

static void expect(str_t *rest, str_t name, str_t value)
{
    struct header_field f;
    assert_true(header_next(rest, &f));
    assert_true(str_eq(f.name, name));
    assert_true(str_eq(f.value, value));
}

static void fields(void **state)
{
    (void)state;
    str_t m = STR(
        "From: a@b\r\nSubject:x\r\n y\r\n\tz\r\nEmpty:\r\nOld \t: v\r\nA:b:c\r\n\r\nBody: no\r\n");
    struct header_field f;
    expect(&m, STR("From"), STR(" a@b"));
    expect(&m, STR("Subject"), STR("x\r\n y\r\n\tz"));
    expect(&m, STR("Empty"), STR(""));
    expect(&m, STR("Old"), STR(" v"));
    expect(&m, STR("A"), STR("b:c"));
    assert_false(header_next(&m, &f));
    assert_true(str_eq(m, STR("Body: no\r\n"))); /* after the empty line */
}

static void raw_fields_make_the_header(void **state)
{
    (void)state;
    str_t m = STR("A: b\r\n c\r\nD: e\nF: g"), rest = m;
    struct header_field f;
    size_t at = 0;
    while (header_next(&rest, &f)) {
        assert_ptr_equal(f.raw.ptr, m.ptr + at);
        at += f.raw.len;
    }
    assert_int_equal(at, m.len);
    assert_int_equal(rest.len, 0);
    assert_true(str_eq(f.value, STR(" g")));
}

static void ends(void **state)
{
    (void)state;
    static const struct {
        str_t message;
        size_t length;
    } v[] = {{STR(""), 0},
             {STR("\r\n"), 0},
             {STR("\r\nA: b\r\n"), 0},
             {STR("A: b"), 4},
             {STR("A: b\r\n"), 6},
             {STR("A: b\r\n\r\nC: d\r\n"), 6},
             {STR("A: b\n\nC: d\n"), 5},
             {STR("A: b\r\nno field\r\nC: d\r\n"), 6},
             {STR(" folded first\r\n"), 0},
             {STR(": no name\r\n"), 0},
             {STR("a b: c\r\n"), 0},
             {STR("\xc3\xa4: c\r\n"), 0},
             {STR("A: b\r\n \r\n c\r\n\r\n"), 13},
             {STR("A: b\r\rC: d\r\n"), 12},
             {STR("A\0: b\r\n"), 0},
             {STR("A:"), 2}};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        assert_int_equal(header_length(v[i].message), v[i].length);
    str_t m = STR("no field\r\n");
    struct header_field f;
    assert_false(header_next(&m, &f));
    assert_true(str_eq(m, STR("no field\r\n"))); /* the body begins with it */
}

static void counts(void **state)
{
    (void)state;
    str_t m = STR("Received: a\r\n\tReceived: folded\r\nreceived: b\r\nReceived-SPF: c\r\nRECEIVED "
                  ": d\r\n\r\nReceived: body\r\n");
    assert_int_equal(header_count(m, STR("Received")), 3);
    assert_int_equal(header_count(m, STR("X")), 0);
    assert_int_equal(header_count(STR_NONE, STR("X")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields),
                                       cmocka_unit_test(raw_fields_make_the_header),
                                       cmocka_unit_test(ends), cmocka_unit_test(counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
