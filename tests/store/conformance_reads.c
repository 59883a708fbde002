/* conformance_reads.c: gets, scans, snapshots, damage, prefix ends. */
#include <string.h>

#include "store/conformance.h"

#define ROWS 1000

static void fill_rows(struct fixture *f)
{
    for (int from = 0; from < ROWS; from += 500) {
        struct store_batch b = fixture_batch(f, U(1));
        for (int i = from; i < from + 500; i++)
            store_put(&b, arena_fmt(&f->a, "r%04d", i), arena_fmt(&f->a, "value %d", i));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
    }
    fixture_put(f, U(0), "z", "before");
    fixture_put(f, U(2), "a", "after");
}

static void expect_row(struct fixture *f, const struct store_row *row, int i, bool keys_only)
{
    assert_true(str_eq(row->key, arena_fmt(&f->a, "r%04d", i)));
    assert_true(str_eq(row->value, keys_only ? STR_NONE : arena_fmt(&f->a, "value %d", i)));
    assert_false(row->damaged);
}

static void test_scan_pages_forwards(void **state)
{
    struct fixture *f = *state;
    fill_rows(f);
    for (int keys_only = 0; keys_only < 2; keys_only++)
        for (uint32_t rows_max = 0; rows_max < 400; rows_max += 133) {
            struct store_scan q = {.part = U(1), .rows_max = rows_max, .keys_only = keys_only};
            struct store_page page = {.more = true};
            int seen = 0;
            while (page.more) {
                assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
                assert_true(page.n > 0 && (rows_max == 0 || page.n <= rows_max));
                for (size_t i = 0; i < page.n; i++)
                    expect_row(f, &page.rows[i], seen++, keys_only);
                str_t last = page.rows[page.n - 1].key; /* just after: the key and a NUL byte */
                q.from = arena_fmt(&f->a, STR_FMT "%c", STR_ARG(last), 0);
            }
            assert_int_equal(seen, ROWS);
        }
}

static void test_scan_pages_backwards(void **state)
{
    struct fixture *f = *state;
    fill_rows(f);
    struct store_scan q = {.part = U(1), .rows_max = 99, .backwards = true};
    struct store_page page = {.more = true};
    int seen = ROWS;
    while (page.more) {
        assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
        assert_true(page.n > 0);
        for (size_t i = 0; i < page.n; i++)
            expect_row(f, &page.rows[i], --seen, false);
        q.end = page.rows[page.n - 1].key;
    }
    assert_int_equal(seen, 0);
}

static void test_scan_bounds(void **state)
{
    struct fixture *f = *state;
    fill_rows(f);
    struct {
        str_t from, end;
        size_t n;
        int first, last;
    } rows[] = {
        {STR("r0010"), STR("r0020"), 10, 10, 19},
        {STR("r0010"), STR("r0010"), 0, 0, 0},
        {STR("r0010"), STR("r00100"), 1, 10, 10},
        {STR("r0010a"), STR("r0013"), 2, 11, 12},
        {STR_NONE, STR("r0003"), 3, 0, 2},
        {STR("r0997"), STR_NONE, 3, 997, 999},
        {STR("r0020"), STR("r0010"), 0, 0, 0},
        {STR("s"), STR_NONE, 0, 0, 0},
        {STR_NONE, STR("a"), 0, 0, 0},
        {STR("\xff\xff"), STR_NONE, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int backwards = 0; backwards < 2; backwards++) {
            struct store_scan q = {
                .part = U(1), .from = rows[i].from, .end = rows[i].end, .backwards = backwards};
            struct store_page page;
            assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
            assert_int_equal(page.n, rows[i].n);
            assert_false(page.more);
            if (page.n) {
                expect_row(f, &page.rows[0], backwards ? rows[i].last : rows[i].first, false);
                expect_row(f, &page.rows[page.n - 1], backwards ? rows[i].first : rows[i].last,
                           false);
            }
        }
    struct store_page page;
    struct store_scan q = {.part = U(77)};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 0);
    q = (struct store_scan){.part = U(1), .from = STR("r0990"), .rows_max = 10};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 10);
    assert_false(page.more); /* exactly to the end */
}

static void test_scan_page_is_bounded_in_bytes(void **state)
{
    struct fixture *f = *state;
    str_t value = fixture_fill(f, STORE_VALUE_MAX, 'v');
    for (int i = 0; i < 20; i++) {
        struct store_batch b = fixture_batch(f, Q);
        store_put(&b, arena_fmt(&f->a, "k%02d", i), value);
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
    }
    struct store_page page;
    struct store_scan q = {.part = Q};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 15); /* 15 * (65536 + 3 + 16) fits 1 MiB, 16 do not */
    assert_true(page.more);
    q.keys_only = true;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 20);
    assert_false(page.more);
}

static void test_multi_get(void **state)
{
    struct fixture *f = *state;
    fixture_put(f, Q, "a", "1");
    fixture_put(f, Q, "b", "2");
    str_t keys[] = {STR("b"), STR("missing"), STR("a"), STR("b")};
    struct store_value v[4];
    assert_int_equal(store_get(f->s, Q, keys, 4, &f->a, v), STORE_OK);
    assert_true(v[0].present && str_eq(v[0].value, STR("2")) && v[0].rc == STORE_OK);
    assert_true(!v[1].present && v[1].rc == STORE_OK && v[1].value.len == 0);
    assert_true(v[2].present && str_eq(v[2].value, STR("1")));
    assert_true(v[3].present && str_eq(v[3].value, STR("2")));
    assert_int_equal(store_get(f->s, Q, keys, 0, &f->a, v), STORE_OK);
}

static void test_multi_get_limit(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("big"), fixture_fill(f, STORE_VALUE_MAX, 'v'));
    store_put(&b, STR("one"), STR("1"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    str_t keys[17];
    struct store_value v[17];
    for (size_t i = 0; i < 16; i++)
        keys[i] = STR("big");
    keys[16] = STR("one");
    assert_int_equal(store_get(f->s, Q, keys, 16, &f->a, v), STORE_OK); /* exactly 1 MiB */
    assert_int_equal(store_get(f->s, Q, keys, 17, &f->a, v), STORE_LIMIT);
}

static void test_full_arena(void **state)
{
    struct fixture *f = *state;
    fixture_put(f, Q, "a",
                "a value of some length that a small arena cannot hold, not with its header");
    struct arena small;
    arena_init(&small, 32);
    bool present;
    str_t v;
    assert_int_equal(store_get1(f->s, Q, STR("a"), &small, &present, &v), STORE_LIMIT);
    arena_reset(&small);
    struct store_page page;
    assert_int_equal(store_scan(f->s, &(struct store_scan){.part = Q}, &small, &page), STORE_LIMIT);
    arena_free(&small);
}

static void test_snapshot(void **state)
{
    struct fixture *f = *state;
    fill_rows(f);
    uint64_t id, other;
    assert_int_equal(store_snapshot_open(f->s, U(1), &id), STORE_OK);
    assert_true(id != 0);
    struct store_batch b = fixture_batch(f, U(1));
    store_delete_range(&b, STR("r0001"), STR_NONE);
    store_put(&b, STR("r0000"), STR("changed"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(store_snapshot_open(f->s, U(1), &other), STORE_OK);
    assert_true(other != id);
    struct store_scan q = {.part = U(1), .snapshot = id, .rows_max = ROWS};
    struct store_page page;
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
        assert_int_equal(page.n, ROWS);
        expect_row(f, &page.rows[0], 0, false);
        expect_row(f, &page.rows[ROWS - 1], ROWS - 1, false);
    }
    q.snapshot = other;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 1);
    assert_true(str_eq(page.rows[0].value, STR("changed")));
    store_snapshot_close(f->s, id);
    store_snapshot_close(f->s, id); /* again is harmless */
    q.snapshot = id;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_EXPIRED);
    q.snapshot = other;
    q.part = U(2); /* not what it was opened for */
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_EXPIRED);
    q.part = U(1);
    q.snapshot = other + 1000;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_EXPIRED);
    store_snapshot_close(f->s, other);
}

static void test_snapshot_expires(void **state)
{
    struct fixture *f = *state;
    if (!conformance_suite->age_snapshots)
        skip();
    fixture_put(f, Q, "a", "1");
    uint64_t old, young;
    struct store_page page;
    struct store_scan q = {.part = Q};
    assert_int_equal(store_snapshot_open(f->s, Q, &old), STORE_OK);
    conformance_suite->age_snapshots(f->s, STORE_SNAPSHOT_MS - 3000);
    q.snapshot = old;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(store_snapshot_open(f->s, Q, &young), STORE_OK);
    conformance_suite->age_snapshots(f->s, 3001);
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_EXPIRED);
    q.snapshot = young;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    store_snapshot_close(f->s, young);
}

static void test_snapshots_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[1000];
    size_t n = 0;
    while (n < 1000 && store_snapshot_open(f->s, Q, &ids[n]) == STORE_OK)
        n++;
    assert_in_range(n, 16, 999);
    store_snapshot_close(f->s, ids[n / 2]);
    assert_int_equal(store_snapshot_open(f->s, Q, &ids[n / 2]), STORE_OK);
    fixture_put(f, Q, "reads and", "writes go on");
    fixture_expect(f, Q, "reads and", "writes go on");
    for (size_t i = 0; i < n; i++)
        store_snapshot_close(f->s, ids[i]);
}

static void damage_one(struct fixture *f, str_t value)
{
    struct store_batch b = fixture_batch(f, U(5));
    store_put(&b, STR("a"), STR("fine"));
    store_put(&b, STR("b"), value);
    store_put(&b, STR("c"), STR("fine too"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    f->s = conformance_suite->damage(f->s, U(5), STR("b"), value);
    assert_non_null(f->s);
}

static void expect_damage(struct fixture *f)
{
    str_t keys[] = {STR("a"), STR("b"), STR("c")}, value;
    struct store_value v[3];
    bool present;
    assert_int_equal(store_get(f->s, U(5), keys, 3, &f->a, v), STORE_OK);
    assert_true(v[0].rc == STORE_OK && str_eq(v[0].value, STR("fine")));
    assert_true(v[1].rc == STORE_DAMAGED && v[1].present && v[1].value.len == 0);
    assert_true(v[2].rc == STORE_OK && str_eq(v[2].value, STR("fine too")));
    assert_int_equal(store_get1(f->s, U(5), STR("b"), &f->a, &present, &value), STORE_DAMAGED);
    struct store_page page;
    struct store_scan q = {.part = U(5)};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 3);
    assert_true(!page.rows[0].damaged && page.rows[1].damaged && !page.rows[2].damaged);
    assert_true(str_eq(page.rows[1].key, STR("b")) && page.rows[1].value.len == 0);
    q.keys_only = true;
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 3);
}

static void test_damage_costs_one_value(void **state)
{
    struct fixture *f = *state;
    if (!conformance_suite->damage)
        skip();
    const size_t sizes[] = {40, 3000, 60000}; /* inside a page, and on pages of its own */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        damage_one(f, fixture_fill(f, sizes[i], (char)('A' + i)));
        expect_damage(f);
        struct store_batch b = fixture_batch(f, U(5));
        store_require_equal(&b, STR("b"), STR("whatever"));
        assert_int_equal(store_commit(f->s, &b), STORE_DAMAGED);
        b = fixture_batch(f, U(5));
        store_put(&b, STR("d"), STR("not this"));
        store_add(&b, STR("b"), 1);
        assert_int_equal(store_commit(f->s, &b), STORE_DAMAGED);
        fixture_expect(f, U(5), "d", NULL);
        b = fixture_batch(f, U(5)); /* it can be replaced and removed */
        store_require_present(&b, STR("b"));
        store_delete(&b, STR("b"));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
        fixture_expect(f, U(5), "b", NULL);
    }
}

static void test_prefix_end(void **state)
{
    struct fixture *f = *state;
    assert_true(str_eq(store_prefix_end(&f->a, STR("a/")), STR("a0")));
    assert_true(str_eq(store_prefix_end(&f->a, STR("a\xff\xff")), STR("b")));
    assert_int_equal(store_prefix_end(&f->a, STR("\xff\xff")).len, 0);
    assert_int_equal(store_prefix_end(&f->a, STR_NONE).len, 0);
}

const struct CMUnitTest conformance_reads[] = {
    CASE(test_scan_pages_forwards),
    CASE(test_scan_pages_backwards),
    CASE(test_scan_bounds),
    CASE(test_scan_page_is_bounded_in_bytes),
    CASE(test_multi_get),
    CASE(test_multi_get_limit),
    CASE(test_full_arena),
    CASE(test_snapshot),
    CASE(test_snapshot_expires),
    CASE(test_snapshots_are_bounded),
    CASE(test_damage_costs_one_value),
    CASE(test_prefix_end),
};
const size_t conformance_reads_n = sizeof conformance_reads / sizeof conformance_reads[0];
