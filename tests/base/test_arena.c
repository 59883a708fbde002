/* test_arena.c: arenas and outcomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"

static void limit(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    assert_non_null(arena_alloc(&a, 48));
    assert_non_null(arena_alloc(&a, 16)); /* exactly the limit */
    assert_false(a.failed);
    assert_null(arena_alloc(&a, 1));
    assert_true(a.failed);
    arena_reset(&a);
    assert_false(a.failed);
    assert_null(arena_alloc(&a, 65)); /* sticks: */
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 64));
    arena_free(&a);
}

static void overflow(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_reset(&a);
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    arena_reset(&a);
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    assert_true(a.failed);
    arena_free(&a);
}

static void zeroed_aligned_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int round = 0; round < 2; round++) {
        char *all[200];
        for (size_t i = 0; i < 200; i++) {
            size_t size = i % 50 == 49 ? 100000 / 50 * (i / 50 + 1) : i;
            all[i] = arena_alloc(&a, size);
            assert_non_null(all[i]);
            assert_int_equal((uintptr_t)all[i] % 16, 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(all[i][k], 0);
            memset(all[i], (int)i, size); /* ASan and the check below see an overlap */
        }
        for (size_t i = 1; i < 49; i++)
            assert_int_equal((uint8_t)all[i][i - 1], i);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_free(&a);
}

static void large_requests_waste_no_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    char *first = arena_alloc(&a, 16);
    assert_non_null(arena_alloc(&a, 100000));
    assert_ptr_equal(arena_alloc(&a, 16), first + 16);
    arena_free(&a);
}

static void strings(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    assert_string_equal(arena_cstr(&a, STR("ab")), "ab");
    assert_string_equal(arena_cstr(&a, STR_NONE), "");
    assert_true(str_eq(arena_fmt(&a, "%d-%s", 7, "x"), STR("7-x")));
    assert_true(str_eq(arena_dup(&a, STR("c\0d")), STR("c\0d")));
    assert_null(arena_dup(&a, STR("e")).ptr);
    arena_free(&a);
}

static void outcomes(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(NULL, RC_TEMP, "4.0.0", "x"), RC_TEMP);
    assert_int_equal(err_set(&e, RC_PERM, "5.1.1", "no\r\nsuch %s", "user\x7f"), RC_PERM);
    assert_string_equal(e.text, "no  such user ");
    assert_string_equal(e.status, "5.1.1");
    assert_int_equal(err_set(&e, e.rc, e.status, "later: %s", e.text), RC_PERM); /* of itself */
    assert_string_equal(e.text, "later: no  such user ");
    assert_int_equal(err_set(&e, RC_CLOSED, NULL, "%0400d", 1), RC_CLOSED);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_string_equal(e.status, "");
    assert_string_equal(rc_name(RC_TEMP), "temporary");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limit),
                                       cmocka_unit_test(overflow),
                                       cmocka_unit_test(zeroed_aligned_apart),
                                       cmocka_unit_test(strings),
                                       cmocka_unit_test(outcomes),
                                       cmocka_unit_test(large_requests_waste_no_block)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
