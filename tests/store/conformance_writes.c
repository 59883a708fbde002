/* conformance_writes.c: batches: preconditions, changes, counters, limits, lazy order, leases. */
#include <stdio.h>
#include <string.h>

#include "store/conformance.h"

static void test_put_get_delete(void **state)
{
    struct fixture *f = *state;
    fixture_expect(f, Q, "a", NULL);
    fixture_put(f, Q, "a", "1");
    fixture_expect(f, Q, "a", "1");
    fixture_put(f, Q, "a", "2");
    fixture_expect(f, Q, "a", "2");
    fixture_put(f, Q, "empty", "");
    fixture_expect(f, Q, "empty", "");
    struct store_batch b = fixture_batch(f, Q);
    store_delete(&b, STR("a"));
    store_delete(&b, STR("never was"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_expect(f, Q, "a", NULL);
    fixture_expect(f, Q, "empty", "");
}

static void test_partitions_are_apart(void **state)
{
    struct fixture *f = *state;
    const part_t parts[] = {{PART_NODE, 0},          {PART_DIRECTORY, 0}, {PART_SECRET, 0},
                            {PART_USER, 0},          {PART_USER, 1},      {PART_USER, 256},
                            {PART_USER, UINT64_MAX}, {PART_QUEUE, 0},     {PART_QUEUE, 1},
                            {PART_QUEUE, UINT64_MAX}};
    size_t n = sizeof parts / sizeof parts[0];
    for (size_t i = 0; i < n; i++) {
        char value[2] = {(char)('A' + i), 0};
        fixture_put(f, parts[i], "key", value);
    }
    for (size_t i = 0; i < n; i++) {
        char value[2] = {(char)('A' + i), 0};
        fixture_expect(f, parts[i], "key", value);
        struct store_page page;
        struct store_scan q = {.part = parts[i]};
        assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
        assert_int_equal(page.n, 1);
        assert_true(str_eq(page.rows[0].key, STR("key")));
        q.backwards = true;
        assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
        assert_int_equal(page.n, 1);
    }
    struct store_batch b = fixture_batch(f, U(1));
    /* all of one partition, nothing of its neighbours */
    store_delete_range(&b, STR_NONE, STR_NONE);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    for (size_t i = 0; i < n; i++) {
        char value[2] = {(char)('A' + i), 0};
        fixture_expect(f, parts[i], "key", i == 4 ? NULL : value);
    }
    b = fixture_batch(f, (part_t){PART_QUEUE, UINT64_MAX});
    store_delete_range(&b, STR_NONE, STR_NONE);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_expect(f, parts[8], "key", "I");
    fixture_expect(f, parts[9], "key", NULL);
}

static void test_bad_partitions(void **state)
{
    struct fixture *f = *state;
    const part_t bad[] = {{PART_NODE, 1},
                          {PART_DIRECTORY, 7},
                          {PART_SECRET, 1},
                          {PART_KINDS, 0},
                          {(enum part_kind)77, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct store_batch b = fixture_batch(f, bad[i]);
        store_put(&b, STR("k"), STR("v"));
        assert_int_equal(store_commit(f->s, &b), STORE_LIMIT);
        bool present;
        str_t v;
        assert_int_equal(store_get1(f->s, bad[i], STR("k"), &f->a, &present, &v), STORE_LIMIT);
        struct store_page page;
        assert_int_equal(store_scan(f->s, &(struct store_scan){.part = bad[i]}, &f->a, &page),
                         STORE_LIMIT);
        uint64_t id;
        assert_int_equal(store_snapshot_open(f->s, bad[i], &id), STORE_LIMIT);
    }
}

typedef void precondition_fn(struct store_batch *b);
static void absent_have(struct store_batch *b)
{
    store_require_absent(b, STR("have"));
}
static void absent_miss(struct store_batch *b)
{
    store_require_absent(b, STR("miss"));
}
static void present_have(struct store_batch *b)
{
    store_require_present(b, STR("have"));
}
static void present_miss(struct store_batch *b)
{
    store_require_present(b, STR("miss"));
}
static void equal_same(struct store_batch *b)
{
    store_require_equal(b, STR("have"), STR("value"));
}
static void equal_other(struct store_batch *b)
{
    store_require_equal(b, STR("have"), STR("valuE"));
}
static void equal_prefix(struct store_batch *b)
{
    store_require_equal(b, STR("have"), STR("valu"));
}
static void equal_miss(struct store_batch *b)
{
    store_require_equal(b, STR("miss"), STR("value"));
}
static void equal_miss_empty(struct store_batch *b)
{
    store_require_equal(b, STR("miss"), STR_NONE);
}
static void new_have(struct store_batch *b)
{
    store_put_new(b, STR("have"), STR("x"));
}

static void test_preconditions(void **state)
{
    struct fixture *f = *state;
    static const struct {
        precondition_fn *fn;
        bool holds;
    } rows[] = {{absent_have, false},  {absent_miss, true}, {present_have, true},
                {present_miss, false}, {equal_same, true},  {equal_other, false},
                {equal_prefix, false}, {equal_miss, false}, {equal_miss_empty, false},
                {new_have, false}};
    fixture_put(f, Q, "have", "value");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int lazy = 0; lazy < 2; lazy++) {
            struct store_batch b = fixture_batch(f, Q);
            b.lazy = lazy;
            store_require_present(&b, STR("have"));
            store_put(&b, STR("effect"), STR("yes"));
            rows[i].fn(&b);
            enum store_rc rc = store_commit(f->s, &b);
            assert_int_equal(rc, rows[i].holds ? STORE_OK : STORE_CONFLICT);
            b = fixture_batch(f, Q); /* durable: shows what the lazy one did */
            if (rows[i].holds)
                store_require_present(&b, STR("effect"));
            else
                store_require_absent(&b, STR("effect"));
            store_delete(&b, STR("effect"));
            assert_int_equal(store_commit(f->s, &b), STORE_OK);
            fixture_expect(f, Q, "have", "value");
            fixture_expect(f, Q, "effect", NULL);
        }
}

static void remember(struct store_commit *c)
{
    atomic_store((_Atomic int *)c->user, 1);
}

static void test_conflict_names_the_op(void **state)
{
    struct fixture *f = *state;
    fixture_put(f, Q, "a", "1");
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("x"), STR("x"));
    store_require_present(&b, STR("a"));
    store_require_absent(&b, STR("a")); /* this one: index 2 */
    store_require_present(&b, STR("nothing"));
    _Atomic int done = 0;
    struct store_commit c = {.batch = &b, .done = remember, .user = (void *)&done};
    store_submit(f->s, &c);
    while (!atomic_load(&done))
        ;
    assert_int_equal(c.rc, STORE_CONFLICT);
    assert_int_equal(c.failed_op, 2);
    fixture_expect(f, Q, "x", NULL);
}

static void test_preconditions_see_the_state_before(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("k"), STR("v"));
    store_require_absent(&b, STR("k")); /* after the put in the list, before it in time */
    store_put_new(&b, STR("n"), STR("first"));
    store_put_new(&b, STR("n"), STR("second"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_expect(f, Q, "k", "v");
    fixture_expect(f, Q, "n", "second");
}

static void test_changes_in_order(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("a"), STR("1"));
    store_delete(&b, STR("a"));
    store_put(&b, STR("b"), STR("1"));
    store_delete_range(&b, STR("a"), STR("c"));
    store_put(&b, STR("b"), STR("2"));
    size_t one = store_add(&b, STR("n"), 5), two = store_add(&b, STR("n"), 5);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_expect(f, Q, "a", NULL);
    fixture_expect(f, Q, "b", "2");
    assert_int_equal(b.ops[one].number, 5);
    assert_int_equal(b.ops[two].number, 10);
}

static void test_empty_batch(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    b.lazy = true;
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
}

static void test_delete_range(void **state)
{
    struct fixture *f = *state;
    char key[16];
    for (int round = 0; round < 10; round++) {
        struct store_batch b = fixture_batch(f, U(3));
        for (int i = 0; i < 500; i++) {
            int n = snprintf(key, sizeof key, "k%05d", round * 500 + i);
            store_put(&b, arena_dup(&f->a, str_of(key, (size_t)n)),
                      STR("some value that takes room, some value that takes room"));
        }
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
    }
    fixture_put(f, U(4), "k00001", "neighbour");
    struct store_batch b = fixture_batch(f, U(3));
    store_delete_range(&b, STR("k00010"), STR("k04990"));
    store_delete_range(&b, STR("z"), STR("a")); /* nothing */
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    struct store_page page;
    assert_int_equal(store_scan(f->s, &(struct store_scan){.part = U(3)}, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 20);
    assert_true(str_eq(page.rows[9].key, STR("k00009")));
    assert_true(str_eq(page.rows[10].key, STR("k04990")));
    fixture_expect(f, U(4), "k00001", "neighbour");
}

static enum store_rc add_once(struct fixture *f, const char *key, int64_t delta, uint64_t *number)
{
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("beside"), STR("done")); /* must not survive a failed count */
    size_t at = store_add(&b, str_c(key), delta);
    enum store_rc rc = store_commit(f->s, &b);
    *number = b.ops[at].number;
    return rc;
}

static void test_counters(void **state)
{
    struct fixture *f = *state;
    uint64_t n;
    assert_int_equal(add_once(f, "n", 3, &n), STORE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(add_once(f, "n", -2, &n), STORE_OK);
    assert_int_equal(n, 1);
    assert_int_equal(add_once(f, "n", 0, &n), STORE_OK);
    assert_int_equal(n, 1);
    struct store_batch b = fixture_batch(f, Q);
    store_require_equal(&b, STR("n"), STR("\0\0\0\0\0\0\0\1"));
    store_delete(&b, STR("beside"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(add_once(f, "n", -2, &n), STORE_LIMIT); /* below zero */
    b = fixture_batch(f, Q);                                 /* a batch sees it for certain */
    store_require_absent(&b, STR("beside"));
    store_require_equal(&b, STR("n"), STR("\0\0\0\0\0\0\0\1"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    b = fixture_batch(f, Q);
    store_put(&b, STR("n"), STR("\xff\xff\xff\xff\xff\xff\xff\xfe"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(add_once(f, "n", 1, &n), STORE_OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(add_once(f, "n", 1, &n), STORE_LIMIT); /* above the top */
    assert_int_equal(add_once(f, "n", INT64_MIN, &n), STORE_OK);
    assert_true(n == UINT64_MAX - (1ull << 63));
    fixture_put(f, Q, "text", "seven by");
    fixture_put(f, Q, "text", "no counter");
    assert_int_equal(add_once(f, "text", 1, &n), STORE_LIMIT);
    fixture_expect(f, Q, "text", "no counter");
}

static void test_put_next(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 3; i++) {
        struct store_batch b = fixture_batch(f, U(1));
        size_t at = store_put_next(&b, STR("uid"), STR("u/"), STR("message"));
        size_t again = store_put_next(&b, STR("uid"), STR("u/"), STR("another"));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
        assert_int_equal(b.ops[at].number, 2 * i - 1);
        assert_int_equal(b.ops[again].number, 2 * i);
    }
    struct store_page page;
    struct store_scan q = {.part = U(1), .from = STR("u/"), .end = STR("u0")};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 6);
    assert_true(str_eq(page.rows[5].key, STR("u/\0\0\0\0\0\0\0\6")));
    assert_true(str_eq(page.rows[5].value, STR("another")));
    assert_true(str_eq(page.rows[4].value, STR("message")));
    struct store_batch b = fixture_batch(f, U(1));
    store_put(&b, STR("uid"), STR("\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    b = fixture_batch(f, U(1));
    store_put_next(&b, STR("uid"), STR("u/"), STR("no"));
    assert_int_equal(store_commit(f->s, &b), STORE_LIMIT);
}

static enum store_rc put_sized(struct fixture *f, size_t key, size_t value)
{
    struct store_batch b = fixture_batch(f, D);
    store_put(&b, fixture_fill(f, key, 'k'), fixture_fill(f, value, 'v'));
    return store_commit(f->s, &b);
}

static void test_key_and_value_limits(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_sized(f, 0, 1), STORE_LIMIT);
    assert_int_equal(put_sized(f, 1, 0), STORE_OK);
    assert_int_equal(put_sized(f, STORE_KEY_MAX - 1, 1), STORE_OK);
    assert_int_equal(put_sized(f, STORE_KEY_MAX, 1), STORE_OK);
    assert_int_equal(put_sized(f, STORE_KEY_MAX + 1, 1), STORE_LIMIT);
    assert_int_equal(put_sized(f, 2, STORE_VALUE_MAX - 1), STORE_OK);
    assert_int_equal(put_sized(f, 3, STORE_VALUE_MAX), STORE_OK);
    assert_int_equal(put_sized(f, 4, STORE_VALUE_MAX + 1), STORE_LIMIT);
    bool present;
    str_t value, long_key = fixture_fill(f, STORE_KEY_MAX + 1, 'k');
    assert_int_equal(store_get1(f->s, D, fixture_fill(f, 3, 'k'), &f->a, &present, &value),
                     STORE_OK);
    assert_int_equal(value.len, STORE_VALUE_MAX);
    assert_int_equal(
        store_get1(f->s, D, str_first(long_key, STORE_KEY_MAX), &f->a, &present, &value), STORE_OK);
    assert_true(present);
    assert_int_equal(store_get1(f->s, D, long_key, &f->a, &present, &value), STORE_LIMIT);
    assert_int_equal(store_get1(f->s, D, STR_NONE, &f->a, &present, &value), STORE_LIMIT);
    struct store_page page;
    assert_int_equal(
        store_scan(f->s, &(struct store_scan){.part = D, .from = long_key}, &f->a, &page),
        STORE_LIMIT);
    assert_int_equal(
        store_scan(f->s, &(struct store_scan){.part = D, .end = long_key}, &f->a, &page),
        STORE_LIMIT);
    for (size_t n = STORE_KEY_MAX - 9; n <= STORE_KEY_MAX - 7;
         n++) { /* with the number: 8 bytes more */
        struct store_batch b = fixture_batch(f, D);
        store_put_next(&b, STR("c"), fixture_fill(f, n, 'p'), STR("v"));
        assert_int_equal(store_commit(f->s, &b), n <= STORE_KEY_MAX - 8 ? STORE_OK : STORE_LIMIT);
    }
}

static enum store_rc put_bytes(struct fixture *f, size_t bytes)
{
    struct store_batch b = fixture_batch(f, Q);
    str_t value = fixture_fill(f, STORE_VALUE_MAX, 'v');
    for (size_t i = 0; bytes; i++) {
        char key[2] = {'a', (char)('a' + i)};
        /* leaves more than a key */
        size_t take = bytes - 2 < STORE_VALUE_MAX ? bytes - 2 : STORE_VALUE_MAX - 2;
        store_put(&b, arena_dup(&f->a, str_of(key, 2)), str_first(value, take));
        bytes -= take + 2;
    }
    return store_commit(f->s, &b);
}

static void test_batch_limits(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_bytes(f, STORE_BATCH_MAX - 1), STORE_OK);
    assert_int_equal(put_bytes(f, STORE_BATCH_MAX), STORE_OK);
    assert_int_equal(put_bytes(f, STORE_BATCH_MAX + 1), STORE_LIMIT);
    for (size_t n = STORE_BATCH_OPS - 1; n <= STORE_BATCH_OPS + 1; n++) {
        struct store_batch b = fixture_batch(f, Q);
        for (size_t i = 0; i < n; i++)
            store_add(&b, STR("n"), 1);
        assert_int_equal(store_commit(f->s, &b), n <= STORE_BATCH_OPS ? STORE_OK : STORE_LIMIT);
    }
    struct store_batch b = fixture_batch(f, Q);
    size_t at = store_add(&b, STR("n"), 0);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(b.ops[at].number, 2 * STORE_BATCH_OPS - 1);
}

static void test_builder_errors_stick(void **state)
{
    struct fixture *f = *state;
    struct arena small;
    arena_init(&small, 64);
    struct store_batch b;
    store_batch_init(&b, Q, &small);
    store_put(&b, STR("k"), STR("v"));
    assert_int_equal(store_commit(f->s, &b), STORE_LIMIT);
    fixture_expect(f, Q, "k", NULL);
    arena_free(&small);
    b = fixture_batch(f, Q);
    store_put(&b, STR("k"), STR("v"));
    b.ops[0].kind = (enum store_op_kind)99; /* as another process may send it */
    assert_int_equal(store_commit(f->s, &b), STORE_LIMIT);
}

static void test_lazy_then_durable(void **state)
{
    struct fixture *f = *state;
    char key[8];
    for (int i = 0; i < 100; i++) {
        struct store_batch b = fixture_batch(f, Q);
        b.lazy = true;
        snprintf(key, sizeof key, "c%02d", i);
        if (i) { /* each sees the one before */
            char before[8];
            snprintf(before, sizeof before, "c%02d", i - 1);
            store_require_present(&b, arena_dup(&f->a, str_c(before)));
        }
        store_put(&b, str_c(key), STR("chunk"));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
        memset(key, 'x', sizeof key - 1); /* what was given is the caller's again */
    }
    struct store_batch b = fixture_batch(f, Q);
    store_require_present(&b, STR("c99"));
    store_put(&b, STR("m"), STR("message"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    struct store_page page;
    struct store_scan q = {.part = Q, .from = STR("c"), .end = STR("d")};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 100);
    for (size_t i = 0; i < page.n; i++)
        assert_true(str_eq(page.rows[i].value, STR("chunk")));
}

static void test_lazy_survives_a_failing_batch(void **state)
{
    struct fixture *f = *state;
    uint64_t n;
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = true;
    store_put(&b, STR("lazy"), STR("kept"));
    size_t at = store_add(&b, STR("count"), 7);
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(b.ops[at].number, 7);
    assert_int_equal(add_once(f, "bad", -1, &n), STORE_LIMIT); /* changes a row, then fails */
    assert_int_equal(add_once(f, "count", 1, &n), STORE_OK);
    assert_int_equal(n, 8);
    fixture_expect(f, Q, "lazy", "kept");
}

static void test_lease(void **state)
{
    struct fixture *f = *state;
    struct store_lease first, second;
    assert_int_equal(store_lease_take(f->s, Q, STR("lease/x"), &first), STORE_OK);
    struct store_batch b = fixture_batch(f, Q);
    store_require_lease(&b, &first);
    store_put(&b, STR("k"), STR("by first"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(store_lease_take(f->s, Q, STR("lease/x"), &second), STORE_OK);
    assert_int_equal(store_commit(f->s, &b), STORE_CONFLICT);
    b = fixture_batch(f, Q);
    store_require_lease(&b, &second);
    store_put(&b, STR("k"), STR("by second"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_expect(f, Q, "k", "by second");
}

const struct CMUnitTest conformance_writes[] = {
    CASE(test_put_get_delete),
    CASE(test_partitions_are_apart),
    CASE(test_bad_partitions),
    CASE(test_preconditions),
    CASE(test_conflict_names_the_op),
    CASE(test_preconditions_see_the_state_before),
    CASE(test_changes_in_order),
    CASE(test_empty_batch),
    CASE(test_delete_range),
    CASE(test_counters),
    CASE(test_put_next),
    CASE(test_key_and_value_limits),
    CASE(test_batch_limits),
    CASE(test_builder_errors_stick),
    CASE(test_lazy_then_durable),
    CASE(test_lazy_survives_a_failing_batch),
    CASE(test_lease),
};
const size_t conformance_writes_n = sizeof conformance_writes / sizeof conformance_writes[0];
