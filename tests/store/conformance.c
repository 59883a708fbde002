/* conformance.c: fixture and list; the tests are in conformance_writes.c, _reads.c, _together.c. */
#include "store/conformance.h"

#include <stdio.h>
#include <stdlib.h>

const struct conformance *conformance_suite;

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->s = conformance_suite->open();
    assert_non_null(f->s);
    arena_init(&f->a, 256u << 20);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    conformance_suite->close(f->s);
    arena_free(&f->a);
    free(f);
    return 0;
}

struct store_batch fixture_batch(struct fixture *f, part_t part)
{
    struct store_batch b;
    store_batch_init(&b, part, &f->a);
    return b;
}

void fixture_put(struct fixture *f, part_t part, const char *key, const char *value)
{
    struct store_batch b = fixture_batch(f, part);
    store_put(&b, str_c(key), str_c(value));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
}

void fixture_expect(struct fixture *f, part_t part, const char *key, const char *value)
{
    bool present;
    str_t got;
    assert_int_equal(store_get1(f->s, part, str_c(key), &f->a, &present, &got), STORE_OK);
    assert_int_equal(present, value != NULL);
    assert_true(str_eq(got, str_c(value)));
}

str_t fixture_fill(struct fixture *f, size_t n, char c)
{
    char *p = arena_alloc(&f->a, n + 1);
    assert_non_null(p);
    memset(p, c, n);
    return str_of(p, n);
}

int conformance_run(const struct conformance *c)
{
    struct CMUnitTest all[128];
    size_t n = 0;
    conformance_suite = c;
    for (size_t i = 0; i < conformance_writes_n; i++)
        all[n++] = conformance_writes[i];
    for (size_t i = 0; i < conformance_reads_n; i++)
        all[n++] = conformance_reads[i];
    for (size_t i = 0; i < conformance_together_n; i++)
        all[n++] = conformance_together[i];
    return _cmocka_run_group_tests(c->name, all, n, NULL, NULL);
}
