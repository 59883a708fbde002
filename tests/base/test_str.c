/* test_str.c: slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

static void compares(void **state)
{
    (void)state;
    assert_true(str_eq(STR("ab"), STR("ab")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_eq(STR_NONE, STR("")));
    assert_int_equal(str_cmp(STR("a"), STR("b")) < 0, 1);
    assert_int_equal(str_cmp(STR("ab"), STR("a")), 1);
    assert_int_equal(str_cmp(STR(""), STR_NONE), 0);
    assert_true(str_cmp(STR("\x7f"), STR("\x80")) < 0);
    assert_true(str_ieq(STR("Mail"), STR("mAIL")));
    assert_false(str_ieq(STR("\xc3\x84"), STR("\xc3\xa4"))); /* ASCII only */
    assert_false(str_ieq(STR("@"), STR("`")));
}

static void finds(void **state)
{
    (void)state;
    size_t at;
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_istarts(STR("From:<x>"), STR("FROM:")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_true(str_find(STR("a.b.c"), '.', &at) && at == 1);
    assert_true(str_rfind(STR("a.b.c"), '.', &at) && at == 3);
    assert_false(str_find(STR_NONE, '.', &at));
    assert_false(str_rfind(STR_NONE, '.', &at));
    assert_true(str_contains(STR("abc"), STR("bc")));
    assert_true(str_contains(STR_NONE, STR("")));
    assert_false(str_contains(STR("abc"), STR("bd")));
}

static void cuts(void **state)
{
    (void)state;
    str_t rest = STR("a,b"), head = STR("x");
    assert_true(str_cut(&rest, ',', &head));
    assert_true(str_eq(head, STR("a")) && str_eq(rest, STR("b")));
    assert_false(str_cut(&rest, ',', &head));
    assert_true(str_eq(head, STR("a")) && str_eq(rest, STR("b"))); /* nothing changed */
    assert_true(str_eq(str_trim(STR(" \t\r\n a b \r\n")), STR("a b")));
    assert_int_equal(str_trim(STR(" \t")).len, 0);
    assert_int_equal(str_from(STR("abc"), 9).len, 0);
    assert_int_equal(str_first(STR("abc"), 9).len, 3);
    assert_int_equal(str_from(STR_NONE, 1).len, 0);
}

static void numbers(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(str_u64(STR("0"), 0, &v) && v == 0);
    assert_true(str_u64(STR("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    assert_false(str_u64(STR("18446744073709551616"), UINT64_MAX, &v));
    assert_false(str_u64(STR("99999999999999999999"), UINT64_MAX, &v));
    assert_true(str_u64(STR("00000000000000000001"), 9, &v) && v == 1); /* 20 digits */
    assert_false(str_u64(STR("000000000000000000001"), 9, &v));         /* 21 */
    assert_true(str_u64(STR("99"), 99, &v));
    assert_false(str_u64(STR("100"), 99, &v));
    assert_false(str_u64(STR(""), 99, &v));
    assert_false(str_u64(STR("-1"), 99, &v));
    assert_false(str_u64(STR("1 "), 99, &v));
    assert_int_equal(v, 99); /* a failure leaves it */
}

static void copies(void **state)
{
    (void)state;
    char text[4], word[] = "MiX[1";
    assert_string_equal(str_toc(STR("ab"), text, sizeof text), "ab");
    assert_string_equal(str_toc(STR("abcdef"), text, sizeof text), "abc");
    assert_string_equal(str_toc(STR("a\0b"), text, sizeof text), "a?b");
    assert_string_equal(str_toc(STR_NONE, text, sizeof text), "");
    str_lower(word, 5);
    assert_string_equal(word, "mix[1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(compares), cmocka_unit_test(finds),
                                       cmocka_unit_test(cuts), cmocka_unit_test(numbers),
                                       cmocka_unit_test(copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
