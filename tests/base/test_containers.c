/* test_containers.c: list, timer heap and map, each against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

static uint32_t random_state;
static uint32_t next_random(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)random_state * below >> 32);
}

struct item {
    int number;
    struct list node;
    struct heap_entry timer;
};

static void lists(void **state)
{
    (void)state;
    struct list l;
    struct item items[4];
    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_pop(&l));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        if (i < 3)
            list_push(&l, &items[i].node);
        else
            list_push_front(&l, &items[i].node);
    }
    list_remove(&items[1].node);
    list_remove(&items[1].node); /* again is harmless */
    static const int order[] = {3, 0, 2};
    for (int i = 0; i < 3; i++)
        assert_int_equal(list_entry(list_pop(&l), struct item, node)->number, order[i]);
    assert_true(list_empty(&l));
}

static void check_heap(const struct heap *h)
{
    for (size_t i = 0; i < h->n; i++) {
        assert_int_equal(h->v[i]->place, i + 1);
        if (i > 0)
            assert_true(h->v[(i - 1) / 2]->due_ms <= h->v[i]->due_ms);
    }
}

static void heap_keeps_order(void **state)
{
    (void)state;
    enum { N = 300 };
    static struct item items[N];
    struct heap h;
    size_t in = 0;
    heap_init(&h);
    assert_null(heap_first(&h));
    random_state = 1;
    for (int step = 0; step < 6000; step++) { /* adds, moves and removes at random */
        struct heap_entry *e = &items[next_random(N)].timer;
        bool was_in = e->place != 0;
        if (next_random(3) == 0) {
            heap_remove(&h, e);
            in -= was_in;
        } else {
            assert_true(heap_set(&h, e, (int64_t)next_random(100) - 50));
            in += !was_in;
        }
        assert_int_equal(h.n, in);
        if (step % 50 == 0)
            check_heap(&h);
    }
    int64_t last = INT64_MIN;
    for (struct heap_entry *e; (e = heap_first(&h)) != NULL; heap_remove(&h, e)) {
        assert_true(e->due_ms >= last);
        last = e->due_ms;
        in--;
    }
    assert_int_equal(in, 0);
    heap_free(&h);
}

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void siphash_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } v[] = {{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},
             {3, 0x85676696d7fb7e2d}, {7, 0xab0200f58b01d137}, {8, 0x93f5f5799a932462},
             {15, 0xa129ca6149be45e5}};
    char in[16];
    for (int i = 0; i < 16; i++)
        in[i] = (char)i;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        assert_true(siphash24(key, str_of(in, v[i].len)) == v[i].hash);
}

static str_t name_of(uint32_t i, char text[static 16])
{
    size_t len = 0;
    for (; i > 0; i /= 7)
        text[len++] = (char)(i % 7);
    return str_of(text, len);
}

static void map_against_model(void **state)
{
    (void)state;
    enum { N = 500 };
    static int values[N];
    bool in[N] = {false};
    size_t count = 0;
    struct map *m = map_new(key, N);
    assert_non_null(m);
    random_state = 2;
    for (int step = 0; step < 20000; step++) {
        uint32_t i = next_random(N);
        char text[16];
        str_t name = name_of(i, text);
        assert_ptr_equal(map_get(m, name), in[i] ? &values[i] : NULL);
        if (next_random(3) == 0) {
            assert_ptr_equal(map_del(m, name), in[i] ? &values[i] : NULL);
            count -= in[i];
            in[i] = false;
        } else {
            assert_true(map_put(m, name, &values[i]));
            count += !in[i];
            in[i] = true;
        }
        memset(text, 'x', sizeof text); /* the key was copied */
        assert_int_equal(map_count(m), count);
    }
    map_free(m);
}

static void map_limit(void **state)
{
    (void)state;
    int a, b;
    struct map *m = map_new(key, 2);
    assert_true(map_put(m, STR("a"), &a));
    assert_true(map_put(m, STR(""), &a));
    assert_false(map_put(m, STR("c"), &a));
    assert_true(map_put(m, STR("a"), &b)); /* replacing adds nothing */
    assert_ptr_equal(map_get(m, STR("a")), &b);
    assert_ptr_equal(map_del(m, STR_NONE), &a);
    assert_true(map_put(m, STR("c"), &a));
    map_free(m);
    map_free(NULL);
}

struct seen {
    int visits, sum;
};

static bool drop_odd(str_t name, void *value, void *user)
{
    struct seen *seen = user;
    assert_int_equal(name.len, sizeof(uint32_t));
    seen->visits++;
    seen->sum += *(int *)value;
    return *(int *)value % 2;
}

static void map_visits(void **state)
{
    (void)state;
    static int values[100];
    struct seen seen = {0};
    struct map *m = map_new(key, 100);
    for (uint32_t i = 0; i < 100; i++) {
        values[i] = (int)i;
        assert_true(map_put(m, str_of(&i, sizeof i), &values[i]));
    }
    map_each(m, drop_odd, &seen);
    assert_int_equal(seen.visits, 100);
    assert_int_equal(seen.sum, 4950);
    assert_int_equal(map_count(m), 50);
    for (uint32_t i = 0; i < 100; i++)
        assert_ptr_equal(map_get(m, str_of(&i, sizeof i)), i % 2 ? NULL : &values[i]);
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),           cmocka_unit_test(heap_keeps_order),
        cmocka_unit_test(siphash_vectors), cmocka_unit_test(map_against_model),
        cmocka_unit_test(map_limit),       cmocka_unit_test(map_visits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
