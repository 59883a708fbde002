/* conformance.h: what every implementation of store.h must do: the engines, and the client of the
 * core role.
 *
 *     static const struct conformance suite = {.name = "memory", .open = ..., .close = ...};
 *     int main(void) { return conformance_run(&suite); }
 *
 * Each test gets a store of its own, fresh and empty. */
#ifndef TESTS_STORE_CONFORMANCE_H
#define TESTS_STORE_CONFORMANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

struct conformance {
    const char *name;
    struct store *(*open)(void); /* fresh and empty */
    void (*close)(struct store *s);
    /* Flips a bit of the value at a key; may close the store and open it again: returns the one to
     * go on with. NULL: tests of damage are skipped. */
    struct store *(*damage)(struct store *s, part_t part, str_t key, str_t value);
    void (*age_snapshots)(struct store *s, int64_t by_ms); /* NULL: skipped */
};

int conformance_run(const struct conformance *c);

/* ---- for the tests themselves ---- */

/* A store, an arena, and short forms of what tests do all the time. */
struct fixture {
    struct store *s;
    struct arena a;
};
extern const struct conformance *conformance_suite;
int fixture_setup(void **state);
int fixture_teardown(void **state);

#define Q    ((part_t){PART_QUEUE, 0})
#define U(n) ((part_t){PART_USER, (n)})
#define D    ((part_t){PART_DIRECTORY, 0})

struct store_batch fixture_batch(struct fixture *f, part_t part);
void fixture_put(struct fixture *f, part_t part, const char *key, const char *value);
/* NULL: absent */
void fixture_expect(struct fixture *f, part_t part, const char *key, const char *value);
str_t fixture_fill(struct fixture *f, size_t n, char c); /* n bytes of c */

extern const struct CMUnitTest conformance_writes[], conformance_reads[], conformance_together[];
extern const size_t conformance_writes_n, conformance_reads_n, conformance_together_n;

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

#endif
