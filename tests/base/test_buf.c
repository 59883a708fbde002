/* test_buf.c: buffers, above all at their maximum, and the cursor that reads them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/buf.h"
#include "base/cursor.h"

static void at_the_maximum(void **state)
{
    (void)state;
    for (size_t n = 9; n <= 11; n++) {
        struct buf b;
        buf_init(&b, 10);
        assert_int_equal(buf_add(&b, str_of("0123456789a", n)), n <= 10);
        assert_int_equal(b.failed, n > 10);
        assert_int_equal(b.len, n <= 10 ? n : 0);
        buf_free(&b);
    }
}

static void format_at_the_maximum(void **state)
{
    (void)state;
    const char *texts[] = {"012345678", "0123456789", "0123456789a"};
    for (size_t i = 0; i < 3; i++) {
        struct buf b;
        buf_init(&b, 10);
        assert_int_equal(buf_addf(&b, "%s", texts[i]), i < 2);
        assert_true(str_eq(buf_str(&b), i < 2 ? str_c(texts[i]) : STR_NONE));
        buf_free(&b);
    }
    struct buf b; /* the room left is what counts, also after growing */
    buf_init(&b, 1000);
    for (int i = 0; i < 100; i++)
        assert_true(buf_addf(&b, "%010d", i));
    assert_int_equal(b.len, 1000);
    assert_true(buf_addf(&b, "%s", ""));
    assert_false(buf_addf(&b, "%d", 1));
    buf_free(&b);
}

static void failure_sticks(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    assert_true(buf_add(&b, STR("abc")));
    assert_false(buf_add(&b, STR("de")));
    assert_false(buf_addc(&b, 'd')); /* would fit, but something is missing already */
    assert_true(str_eq(buf_str(&b), STR("abc")));
    assert_null(buf_room(&b, 0));
    buf_clear(&b);
    assert_true(buf_addc(&b, 'd'));
    assert_true(str_eq(buf_str(&b), STR("d")));
    buf_free(&b);
    assert_int_equal(b.max, 4);
    assert_true(buf_add(&b, STR("wxyz")));
    buf_free(&b);
}

static void room_for_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_non_null(buf_room(&b, 0)); /* NULL would mean failure */
    assert_true(buf_add(&b, STR_NONE));
    assert_false(buf_addc(&b, 'x'));
    buf_free(&b);
    buf_init(&b, SIZE_MAX);
    assert_true(buf_addc(&b, 'x'));
    assert_null(buf_room(&b, SIZE_MAX / 2)); /* no wrap, no endless doubling */
    buf_free(&b);
}

static void sized_strings(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100000);
    char *big = calloc(1, 65536);
    assert_non_null(big);
    assert_true(buf_str16(&b, str_of(big, 65535)));
    buf_clear(&b);
    assert_false(buf_str16(&b, str_of(big, 65536)));
    assert_int_equal(b.len, 0);
    buf_free(&b);
    buf_init(&b, 5);
    assert_false(buf_str16(&b, STR("abcd")));
    assert_int_equal(b.len, 0); /* no length without its bytes */
    buf_clear(&b);
    assert_true(buf_str16(&b, STR("abc")));
    buf_free(&b);
    free(big);
}

static void consumes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_add(&b, STR("abcdef"));
    buf_consume(&b, 2);
    assert_true(str_eq(buf_str(&b), STR("cdef")));
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_true(buf_add(&b, STR("0123456789")));
    buf_free(&b);
}

static void round_trip(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_u8(&b, 0xfe);
    buf_u16(&b, 0x0102);
    buf_u32(&b, 0xdeadbeef);
    buf_u64(&b, 0x0102030405060708);
    buf_str16(&b, STR("ab"));
    assert_true(buf_str32(&b, STR("")));
    assert_memory_equal(b.ptr, "\xfe\x01\x02\xde\xad\xbe\xef\x01", 8); /* big-endian */
    struct cursor c = cursor_of(buf_str(&b));
    assert_int_equal(cursor_u8(&c), 0xfe);
    assert_int_equal(cursor_u16(&c), 0x0102);
    assert_int_equal(cursor_u32(&c), 0xdeadbeef);
    assert_true(cursor_u64(&c) == 0x0102030405060708);
    assert_true(str_eq(cursor_str16(&c), STR("ab")));
    assert_false(cursor_end(&c));
    assert_true(str_eq(cursor_str32(&c), STR("")));
    assert_true(cursor_end(&c));
    for (size_t cut = 0; cut < b.len; cut++) { /* every truncation is noticed */
        c = cursor_of(str_first(buf_str(&b), cut));
        cursor_u8(&c), cursor_u16(&c), cursor_u32(&c), cursor_u64(&c);
        cursor_str16(&c), cursor_str32(&c);
        assert_true(c.failed);
        assert_false(cursor_end(&c));
        assert_int_equal(cursor_u8(&c), 0);
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_maximum), cmocka_unit_test(format_at_the_maximum),
        cmocka_unit_test(failure_sticks), cmocka_unit_test(room_for_nothing),
        cmocka_unit_test(sized_strings),  cmocka_unit_test(consumes),
        cmocka_unit_test(round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
