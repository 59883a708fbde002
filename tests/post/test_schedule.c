/* test_schedule.c: The schedule: retry times, order, concurrency, back-off, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/schedule.h"

static struct fake_env fe;
static struct schedule *s;
static const struct schedule_policy policy = {300, 14400, 5, 20};

static int setup(void **state)
{
    (void)state;
    fake_env_init(&fe, 3);
    s = schedule_new(&fe.env, &policy);
    return s == NULL;
}

static int teardown(void **state)
{
    (void)state;
    schedule_free(s);
    return 0;
}

static queue_id_t id_of(uint32_t k)
{
    queue_id_t id = {
        {0, 1, 2, 3, 4, 5, (uint8_t)(k >> 24), (uint8_t)(k >> 16), (uint8_t)(k >> 8), (uint8_t)k}};
    return id;
}

static uint32_t of_id(queue_id_t id)
{
    return (uint32_t)id.b[6] << 24 | (uint32_t)id.b[7] << 16 | (uint32_t)id.b[8] << 8 | id.b[9];
}

static void retry_table(void **state)
{
    (void)state;
    static const int64_t minutes[] = {5, 15, 30, 60, 120, 240, 240, 240};
    for (uint32_t n = 1; n <= 8; n++) {
        int64_t want = minutes[n - 1] * 60000, least = INT64_MAX, most = 0;
        for (int i = 0; i < 500; i++) {
            int64_t ms = schedule_retry_ms(&policy, &fe.env, n);
            assert_in_range(ms, want * 8 / 10, want * 12 / 10);
            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        assert_true(least < want * 9 / 10 && most > want * 11 / 10); /* it is spread */
    }
}

static void clock_jumps(void **state)
{
    (void)state;
    int64_t now = fe.wall;
    assert_int_equal(schedule_delay_ms(&policy, now + 5000, now), 5000);
    assert_int_equal(schedule_delay_ms(&policy, now - 5000, now), -5000);
    assert_int_equal(schedule_delay_ms(&policy, now + 4 * 3600000, now), 4 * 3600000);
    /* no retry is so far away */
    assert_int_equal(schedule_delay_ms(&policy, now + 6 * 3600000, now), 0);
    assert_int_equal(schedule_delay_ms(&policy, INT64_MAX, -5), 0);
    assert_true(schedule_delay_ms(&policy, INT64_MIN, 5) <= 0);
}

static void order(void **state)
{
    (void)state;
    struct schedule_entry e;
    int64_t now = fe.mono;
    enum { N = 2000 };
    assert_int_equal(schedule_next_ms(s), INT64_MAX);
    for (uint32_t i = 0; i < N; i++)
        assert_true(schedule_put(s, id_of(i), 0, STR("d"), now - N + (i * 7919) % N));
    assert_int_equal(schedule_count(s), N);
    assert_int_equal(schedule_next_ms(s), now - N);
    struct schedule_dest *d = schedule_take(s, now, &e);
    assert_non_null(d);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal((of_id(e.id) * 7919) % N, i); /* by due time */
        schedule_done(s, e, SCHEDULE_GONE);
        assert_true(schedule_take_more(s, d, now, &e) == (i + 1 < N));
    }
    schedule_leave(s, d, now);
    assert_int_equal(schedule_count(s), 0);
    assert_null(schedule_dest_find(s, STR("d")));
}

/* Random puts, moves and removals against a plain model. */
static void model(void **state)
{
    (void)state;
    enum { N = 300, STEPS = 20000 };
    int64_t due[N];
    bool in[N] = {false};
    uint32_t r = 1;
    for (int step = 0; step < STEPS; step++) {
        r = r * 1664525 + 1013904223;
        uint32_t i = (r >> 8) % N;
        if ((r >> 28) < 10) {
            due[i] = fe.mono + (r >> 12) % 1000;
            in[i] = true;
            assert_true(schedule_put(s, id_of(i), 1, i % 2 ? STR("odd") : STR("even"), due[i]));
        } else {
            schedule_remove(s, id_of(i), 1);
            in[i] = false;
        }
        int64_t first = INT64_MAX;
        for (int k = 0; k < N; k++)
            if (in[k] && due[k] < first)
                first = due[k];
        assert_int_equal(schedule_next_ms(s), first);
    }
}

static void moves(void **state)
{
    (void)state;
    struct schedule_entry e;
    int64_t now = fe.mono;
    assert_true(schedule_put(s, id_of(1), 0, STR("d"), now + 1000));
    /* the same: moved, not doubled */
    assert_true(schedule_put(s, id_of(1), 0, STR("d"), now + 2000));
    assert_int_equal(schedule_count(s), 1);
    assert_null(schedule_take(s, now + 1500, &e));
    struct schedule_dest *d = schedule_take(s, now + 2000, &e);
    assert_non_null(d);
    assert_true(schedule_put(s, id_of(1), 0, STR("d"), now + 9000)); /* while taken: noted */
    schedule_done(s, e, now + 5000);
    schedule_leave(s, d, now + 2000);
    assert_int_equal(schedule_next_ms(s), now + 9000);
    schedule_remove(s, id_of(1), 0);
    assert_int_equal(schedule_count(s), 0);
    assert_int_equal(schedule_next_ms(s), INT64_MAX);
}

static void removed_while_taken(void **state)
{
    (void)state;
    struct schedule_entry e;
    assert_true(schedule_put(s, id_of(1), 0, STR("d"), fe.mono));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    schedule_remove(s, id_of(1), 0);
    schedule_done(s, e, fe.mono + 5);
    assert_int_equal(schedule_count(s), 0);
    schedule_leave(s, d, fe.mono);
}

/* ---- concurrency ---- */

static struct schedule_dest *fill_slots(unsigned *n)
{
    struct schedule_entry e;
    struct schedule_dest *d = NULL, *got;
    for (*n = 0; (got = schedule_take(s, fe.mono, &e)) != NULL; ++*n)
        d = got;
    return d;
}

static void concurrency(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(schedule_put(s, id_of(i), 0, STR("d"), fe.mono));
    unsigned n;
    struct schedule_dest *d = fill_slots(&n);
    assert_int_equal(n, 5);
    for (int i = 0; i < 5; i++)
        schedule_good(s, d);
    assert_int_equal(schedule_dest_limit(d), 6); /* one more after as many successes as it was */
    for (int i = 0; i < 1000; i++)
        schedule_good(s, d);
    assert_int_equal(schedule_dest_limit(d), 20); /* and no more than this */
    schedule_leave(s, d, fe.mono);
    fill_slots(&n);
    assert_int_equal(schedule_dest_running(d), 20);
    schedule_bad(s, d, fe.mono);
    assert_int_equal(schedule_dest_limit(d), 10);
    for (int i = 0; i < 9; i++)
        schedule_bad(s, d, fe.mono);
    assert_int_equal(schedule_dest_limit(d), 1);
}

static void back_off(void **state)
{
    (void)state;
    struct schedule_entry e;
    assert_true(schedule_put(s, id_of(1), 0, STR("down"), fe.mono));
    assert_true(schedule_put(s, id_of(2), 0, STR("down"), fe.mono));
    assert_true(schedule_put(s, id_of(3), 0, STR("up"), fe.mono));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    while (!str_eq(schedule_dest_domain(d), STR("down")))
        d = schedule_take(s, fe.mono, &e);
    schedule_bad(s, d, fe.mono);
    schedule_done(s, e, fe.mono + 1);
    schedule_leave(s, d, fe.mono);
    struct schedule_dest *up = schedule_take(s, fe.mono + 10, &e);
    if (up != NULL) { /* only the other one */
        assert_true(str_eq(schedule_dest_domain(up), STR("up")));
        assert_null(schedule_take(s, fe.mono + 10, &e));
    }
    /* the whole destination: 5 min ± 20 % */
    assert_in_range(schedule_next_ms(s), fe.mono + 240000, fe.mono + 360000);
    /* retry by hand ends that */
    assert_true(schedule_put(s, id_of(2), 0, STR("down"), fe.mono - 1));
    assert_non_null(schedule_take(s, fe.mono + 10, &e));
}

static void fairness(void **state)
{
    (void)state;
    struct schedule_entry e;
    for (uint32_t i = 0; i < 50; i++)
        assert_true(schedule_put(s, id_of(i), 0, STR("big"), fe.mono - 100));
    assert_true(schedule_put(s, id_of(99), 0, STR("small"), fe.mono - 50));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    assert_true(str_eq(schedule_dest_domain(d), STR("big")));
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono); /* had its turn */
    d = schedule_take(s, fe.mono, &e);
    assert_true(str_eq(schedule_dest_domain(d), STR("small")));
}

/* Each delivery with a destination of its own is the worst case; a tenth of it is enough to
 * know. */
static void memory(void **state)
{
    (void)state;
    enum { N = 100000 };
    char name[64];
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "mail%u.some-company.example", i);
        assert_true(schedule_put(s, id_of(i * 2654435761u), 0, str_c(name), fe.mono + i));
    }
    assert_int_equal(schedule_count(s), N);
    size_t per_entry = schedule_bytes(s) / N;
    print_message("%zu bytes for each delivery with a destination of its own\n", per_entry);
    /* 16: malloc's own, for the destination */
    assert_true(per_entry + 16 < 256u * 1024 * 1024 / 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(retry_table, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(order, setup, teardown),
        cmocka_unit_test_setup_teardown(model, setup, teardown),
        cmocka_unit_test_setup_teardown(moves, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_while_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(concurrency, setup, teardown),
        cmocka_unit_test_setup_teardown(back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(fairness, setup, teardown),
        cmocka_unit_test_setup_teardown(memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
