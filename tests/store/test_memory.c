/* test_memory.c: the memory engine: conformance, and the crashes it plays. */
#include "store/conformance.h"
#include "store/engines.h"

static struct store *damage(struct store *s, part_t part, str_t key, str_t value)
{
    (void)value;
    store_memory_damage(s, part, key);
    return s;
}

static const struct conformance suite = {.name = "store/memory",
                                         .open = store_memory_new,
                                         .close = store_close,
                                         .damage = damage,
                                         .age_snapshots = store_memory_age_snapshots};

static enum store_rc put(struct fixture *f, const char *key, bool lazy)
{
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = lazy;
    store_put(&b, str_c(key), STR("v"));
    return store_commit(f->s, &b);
}

static void test_crash_not_torn(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, "1", false), STORE_OK);
    store_memory_crash_after(f->s, 2, false);
    assert_int_equal(put(f, "2", false), STORE_OK);
    assert_int_equal(put(f, "3", false), STORE_UNKNOWN);
    assert_int_equal(put(f, "4", false), STORE_UNKNOWN);
    bool present;
    str_t v;
    assert_int_equal(store_get1(f->s, Q, STR("1"), &f->a, &present, &v), STORE_DOWN);
    store_memory_reopen(f->s, 1);
    fixture_expect(f, Q, "1", "v");
    fixture_expect(f, Q, "2", "v");
    fixture_expect(f, Q, "3", NULL);
    fixture_expect(f, Q, "4", NULL);
    assert_int_equal(store_memory_batches(f->s), 2);
    assert_int_equal(put(f, "5", false), STORE_OK);
}

static void test_crash_torn(void **state)
{
    struct fixture *f = *state;
    store_memory_crash_after(f->s, 1, true);
    assert_int_equal(put(f, "1", false), STORE_UNKNOWN);
    assert_int_equal(put(f, "2", false), STORE_UNKNOWN);
    store_memory_reopen(f->s, 1);
    fixture_expect(f, Q, "1", "v");
    fixture_expect(f, Q, "2", NULL);
}

static void test_crash_keeps_a_prefix_of_the_lazy(void **state)
{
    struct fixture *f = *state;
    unsigned lengths = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct store_batch b = fixture_batch(f, Q);
        store_delete_range(&b, STR_NONE, STR_NONE);
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
        assert_int_equal(put(f, "durable", false), STORE_OK);
        assert_int_equal(put(f, "1", true), STORE_OK);
        assert_int_equal(put(f, "2", true), STORE_OK);
        assert_int_equal(put(f, "3", true), STORE_OK);
        store_memory_reopen(f->s, seed);
        fixture_expect(f, Q, "durable", "v");
        struct store_page page;
        struct store_scan q = {.part = Q, .end = STR("d")};
        assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
        for (size_t i = 0; i < page.n; i++)
            assert_int_equal(page.rows[i].key.ptr[0], '1' + (char)i);
        lengths |= 1u << page.n;
    }
    assert_int_equal(lengths, 0xf); /* none, one, two, all: each came up */
}

static void test_fail(void **state)
{
    struct fixture *f = *state;
    store_memory_fail(f->s, STORE_FULL);
    assert_int_equal(put(f, "1", false), STORE_FULL);
    store_memory_fail(f->s, STORE_OK);
    fixture_expect(f, Q, "1", NULL);
    assert_int_equal(put(f, "1", false), STORE_OK);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        CASE(test_crash_not_torn),
        CASE(test_crash_torn),
        CASE(test_crash_keeps_a_prefix_of_the_lazy),
        CASE(test_fail),
    };
    int failed = conformance_run(&suite);
    return failed + cmocka_run_group_tests_name("store/memory crashes", own, NULL, NULL);
}
