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
static const struct schedule_policy policy = {300, 14400, 5, 20, 0};

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

static bool put_at(queue_id_t id, uint16_t n, str_t domain, int64_t due_ms)
{
    struct schedule_item x = {.id = id, .n = n, .domain = domain, .due_ms = due_ms};
    return schedule_put(s, &x);
}

/* Due now, from a source. */
static void put_from(uint32_t k, const char *source, const char *domain, int8_t priority)
{
    struct schedule_item x = {.id = id_of(k),
                              .domain = str_c(domain),
                              .source = str_c(source),
                              .priority = priority,
                              .due_ms = fe.mono};
    assert_true(schedule_put(s, &x));
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
        assert_true(put_at(id_of(i), 0, STR("d"), now - N + (i * 7919) % N));
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
    assert_null(schedule_dest_find(s, STR("d"), STR_NONE));
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
            assert_true(put_at(id_of(i), 1, i % 2 ? STR("odd") : STR("even"), due[i]));
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
    assert_true(put_at(id_of(1), 0, STR("d"), now + 1000));
    /* the same: moved, not doubled */
    assert_true(put_at(id_of(1), 0, STR("d"), now + 2000));
    assert_int_equal(schedule_count(s), 1);
    assert_null(schedule_take(s, now + 1500, &e));
    struct schedule_dest *d = schedule_take(s, now + 2000, &e);
    assert_non_null(d);
    assert_true(put_at(id_of(1), 0, STR("d"), now + 9000)); /* while taken: noted */
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
    assert_true(put_at(id_of(1), 0, STR("d"), fe.mono));
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
        assert_true(put_at(id_of(i), 0, STR("d"), fe.mono));
    unsigned n;
    struct schedule_dest *d = fill_slots(&n);
    assert_int_equal(n, 5);
    for (int i = 0; i < 5; i++)
        schedule_good(s, d);
    assert_int_equal(schedule_dest_limit(s, d), 6); /* one more after as many successes as it was */
    for (int i = 0; i < 1000; i++)
        schedule_good(s, d);
    assert_int_equal(schedule_dest_limit(s, d), 20); /* and no more than this */
    schedule_leave(s, d, fe.mono);
    fill_slots(&n);
    assert_int_equal(schedule_dest_running(d), 20);
    schedule_bad(s, d, fe.mono);
    assert_int_equal(schedule_dest_limit(s, d), 10);
    for (int i = 0; i < 9; i++)
        schedule_bad(s, d, fe.mono);
    assert_int_equal(schedule_dest_limit(s, d), 1);
}

static void back_off(void **state)
{
    (void)state;
    struct schedule_entry e;
    assert_true(put_at(id_of(1), 0, STR("down"), fe.mono));
    assert_true(put_at(id_of(2), 0, STR("down"), fe.mono));
    assert_true(put_at(id_of(3), 0, STR("up"), fe.mono));
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
    /* another time, as rows read anew may say, does not end that */
    assert_true(put_at(id_of(2), 0, STR("down"), fe.mono - 5000));
    assert_null(schedule_take(s, fe.mono + 10, &e));
}

/* By hand: at once, though nothing of its time changes. */
static void asked_by_hand(void **state)
{
    (void)state;
    struct schedule_entry e;
    struct schedule_item x = {.id = id_of(2), .domain = STR("d.test"), .due_ms = fe.mono};
    put_from(1, "", "d.test", 0);
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    schedule_site(s, d, STR("mx.test"), fe.mono);
    schedule_bad(s, d, fe.mono);
    assert_true(schedule_put(s, &x)); /* it arrives behind the back-off */
    schedule_leave(s, d, fe.mono);
    struct schedule_entry first = e;
    assert_null(schedule_take(s, fe.mono, &e));
    x.asked = true; /* in the same millisecond */
    assert_true(schedule_put(s, &x));
    assert_ptr_equal(schedule_take(s, fe.mono, &e), d);
    assert_int_equal(of_id(e.id), 2);
    /* with a worker: once more, though that worker finds the site down again */
    assert_true(schedule_put(s, &x));
    for (int i = 0; i < 2; i++) {
        schedule_bad(s, d, fe.mono);
        schedule_done(s, e, fe.mono + 300000);
        schedule_leave(s, d, fe.mono);
        assert_true((schedule_take(s, fe.mono, &e) != NULL) == (i == 0));
    }
    schedule_done(s, first, fe.mono + 300000);
    /* and one that was not known, as after its release */
    x.id = id_of(3);
    assert_true(schedule_put(s, &x));
    assert_non_null(schedule_take(s, fe.mono, &e));
    assert_int_equal(of_id(e.id), 3);
}

/* ---- times at which something comes up whatever holds it ---- */

static void put_by(uint32_t k, const char *domain, int64_t due_ms, int64_t by_ms)
{
    struct schedule_item x = {.id = id_of(k),
                              .domain = str_c(domain),
                              .due_ms = due_ms,
                              .by = by_ms != 0,
                              .by_ms = by_ms};
    assert_true(schedule_put(s, &x));
}

static void comes_late(uint32_t k, struct schedule_entry *e)
{
    struct schedule_dest *d = schedule_take(s, fe.mono, e);
    assert_non_null(d);
    assert_int_equal(of_id(e->id), k);
    assert_true(e->late);
    schedule_leave(s, d, fe.mono);
}

static void late(void **state)
{
    (void)state;
    struct schedule_entry e, f;
    static const struct schedule_rule stop = {.key = STR("shut.test"), .suspend = true};
    int64_t start = fe.mono;
    assert_true(schedule_rules(s, &stop, 1, fe.mono));
    put_from(1, "", "down.test", 0);
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    for (int i = 0; i < 5; i++)
        schedule_bad(s, d, fe.mono + i * 3600000);
    schedule_done(s, e, SCHEDULE_GONE);
    put_by(2, "down.test", fe.mono, start + 60000); /* behind a back-off of hours */
    put_by(3, "shut.test", fe.mono, start + 120000);
    put_by(4, "far.test", fe.mono + 9000000, start + 180000);
    schedule_leave(s, d, fe.mono);
    assert_null(schedule_take(s, fe.mono, &e));
    assert_int_equal(schedule_next_ms(s), start + 60000);
    fake_env_pass(&fe, 60000);
    comes_late(2, &e);
    schedule_done(s, e, fe.mono + 5000); /* could not be settled: again */
    assert_int_equal(schedule_next_ms(s), fe.mono + 5000);
    assert_null(schedule_take(s, fe.mono, &f));
    put_by(2, "down.test", fe.mono, start + 60000); /* read anew: the same, at once */
    comes_late(2, &e);
    e.late = false; /* settled: as its destination is from here on */
    schedule_done(s, e, fe.mono);
    assert_null(schedule_take(s, fe.mono, &f));
    assert_int_equal(schedule_next_ms(s), start + 120000);
    fake_env_pass(&fe, 120000);
    comes_late(3, &e);
    schedule_done(s, e, SCHEDULE_GONE);
    comes_late(4, &f);
    put_by(4, "far.test", fe.mono + 1000, 0); /* its row says that it was told */
    schedule_done(s, f, fe.mono);
    assert_null(schedule_take(s, fe.mono, &e));
    assert_int_equal(schedule_next_ms(s), fe.mono + 1000);
    fake_env_pass(&fe, 1000);
    assert_non_null(d = schedule_take(s, fe.mono, &e));
    assert_false(e.late);
    /* while it is with a worker: when that is back, if it waits still */
    put_by(4, "far.test", fe.mono, fe.mono + 10);
    fake_env_pass(&fe, 10);
    assert_null(schedule_take(s, fe.mono, &f));
    schedule_done(s, e, fe.mono + 300000);
    schedule_leave(s, d, fe.mono);
    comes_late(4, &e);
    put_by(5, "shut.test", fe.mono, fe.mono + 50);
    schedule_remove(s, id_of(5), 0); /* gone before */
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_remove(s, id_of(2), 0);
    assert_int_equal(schedule_next_ms(s), INT64_MAX);
    assert_int_equal(schedule_count(s), 0);
}

/* What a site waits for is told to who comes there. */
static void reason_kept(void **state)
{
    (void)state;
    struct schedule_entry e, f;
    str_t why;
    put_from(1, "", "one.test", 0);
    struct schedule_dest *one = schedule_take(s, fe.mono, &e);
    assert_int_equal(schedule_waits_ms(one, fe.mono, &why), 0);
    schedule_site(s, one, STR("mx.test"), fe.mono);
    int64_t until = schedule_bad(s, one, fe.mono);
    schedule_reason(one, STR("refused"));
    put_from(2, "", "two.test", 0);
    struct schedule_dest *two = schedule_take(s, fe.mono, &f);
    assert_int_equal(schedule_waits_ms(two, fe.mono, &why), 0);
    schedule_site(s, two, STR("mx.test"), fe.mono);
    assert_int_equal(schedule_waits_ms(two, fe.mono, &why), until - fe.mono);
    assert_true(str_eq(why, STR("refused")));
    assert_int_equal(schedule_waits_ms(two, until, &why), 0);
    schedule_done(s, f, fe.mono);
    schedule_leave(s, two, fe.mono);
    assert_null(schedule_take(s, fe.mono, &f));
    assert_true(schedule_good(s, one));
    assert_int_equal(schedule_waits_ms(two, fe.mono, &why), 0);
    assert_int_equal(why.len, 0);
}

/* Not reached before its site was known: that ends with the first success there, once, whether it
 * brings the site what is known of it or comes to one that does well. */
static void waits_before_its_site(void **state)
{
    (void)state;
    struct schedule_entry e;
    struct schedule_dest *d[3];
    static const char *const names[] = {"one.test", "two.test", "three.test"};
    for (uint32_t i = 0; i < 3; i++) {
        put_from(i + 1, "", names[i], 0);
        d[i] = schedule_take(s, fe.mono, &e);
        assert_non_null(d[i]);
    }
    schedule_bad(s, d[0], fe.mono);
    schedule_bad(s, d[1], fe.mono);
    for (uint32_t i = 0; i < 3; i++)
        schedule_site(s, d[i], STR("mx.test"), fe.mono);
    assert_true(schedule_good(s, d[2])); /* what the first one brought */
    assert_false(schedule_good(s, d[0]));
    assert_true(schedule_good(s, d[1]));
    assert_false(schedule_good(s, d[1]));
}

static void fairness(void **state)
{
    (void)state;
    struct schedule_entry e;
    for (uint32_t i = 0; i < 50; i++)
        assert_true(put_at(id_of(i), 0, STR("big"), fe.mono - 100));
    assert_true(put_at(id_of(99), 0, STR("small"), fe.mono - 50));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    assert_true(str_eq(schedule_dest_domain(d), STR("big")));
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono); /* had its turn */
    d = schedule_take(s, fe.mono, &e);
    assert_true(str_eq(schedule_dest_domain(d), STR("small")));
}

/* Takes the next thing, whoever's, ends it and leaves. Its id, or 0: nothing. */
static uint32_t take_one(void)
{
    struct schedule_entry e;
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    if (d == NULL)
        return 0;
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono);
    return of_id(e.id);
}

/* How many were taken before this one. */
static unsigned turns_until(uint32_t k)
{
    unsigned n = 0;
    for (uint32_t got; (got = take_one()) != k; n++)
        assert_int_not_equal(got, 0);
    return n;
}

enum { BULK = 100000, MARK = 1 << 30 };

static void bulk_same_destination(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= BULK; i++)
        put_from(i, "a/1", "d.test", 0);
    for (int i = 0; i < 1000; i++)
        take_one();
    put_from(MARK, "a/2", "d.test", 0);
    assert_in_range(turns_until(MARK), 0, 2);
    for (uint32_t i = 0; i < 10; i++) /* and more of its go in turns with the bulk */
        put_from(MARK + 1 + i, "a/2", "d.test", 0);
    unsigned mine = 0;
    for (int i = 0; i < 22; i++)
        mine += take_one() > MARK;
    assert_int_equal(mine, 10);
}

static void bulk_many_destinations(void **state)
{
    (void)state;
    char name[32];
    for (uint32_t i = 1; i <= BULK; i++) {
        snprintf(name, sizeof name, "d%u.test", i % 5000);
        put_from(i, "a/1", name, 0);
    }
    for (int i = 0; i < 1000; i++)
        take_one();
    put_from(MARK, "a/2", "far.test", 0);     /* where nobody else's goes */
    put_from(MARK + 1, "a/3", "d77.test", 0); /* behind twenty of the bulk there */
    put_from(MARK + 2, "a/4", "d78.test", 0);
    assert_in_range(turns_until(MARK), 0, 8);
    put_from(MARK + 3, "a/2", "far.test", 0);
    assert_in_range(turns_until(MARK + 3), 0, 8);
    /* the two others were among them */
    assert_null(schedule_dest_of(s, id_of(MARK + 1), 0));
    assert_null(schedule_dest_of(s, id_of(MARK + 2), 0));
}

/* What waited for its time is as fair as what comes new. */
static void bulk_retries(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 1000; i++)
        put_from(i, "a/1", "d.test", 0);
    struct schedule_item x = {
        .id = id_of(MARK), .domain = STR("d.test"), .source = STR("a/2"), .due_ms = fe.mono + 1000};
    assert_true(schedule_put(s, &x));
    for (int i = 0; i < 100; i++)
        assert_int_not_equal(take_one(), MARK);
    fake_env_pass(&fe, 1000);
    assert_in_range(turns_until(MARK), 0, 3);
}

static void one_connection(void **state)
{
    (void)state;
    struct schedule_entry e;
    for (uint32_t i = 1; i <= 1000; i++)
        put_from(i, "a/1", "d.test", 0);
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    for (int i = 0; i < 100; i++) {
        schedule_done(s, e, SCHEDULE_GONE);
        assert_true(schedule_take_more(s, d, fe.mono, &e));
    }
    put_from(MARK, "a/2", "d.test", 0);
    unsigned n = 0;
    while (of_id(e.id) != MARK) {
        schedule_done(s, e, SCHEDULE_GONE);
        assert_true(schedule_take_more(s, d, fe.mono, &e));
        n++;
    }
    assert_in_range(n, 1, 3);
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono);
}

static void classes(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3000; i++)
        put_from(i, "a/1", i % 2 ? "d.test" : "e.test", -4);
    for (uint32_t i = 10001; i <= 13000; i++)
        put_from(i, "a/1", i % 2 ? "d.test" : "e.test", 0);
    put_from(MARK, "a/1", "d.test", 4); /* its own sender's bulk does not delay it either */
    assert_in_range(turns_until(MARK), 0, 1);
    unsigned low = 0;
    for (int i = 0; i < 900; i++)
        low += take_one() <= 3000;
    assert_in_range(low, 0, 10); /* the normal ones go first … */
    for (int i = 0; i < 1900; i++)
        low += take_one() <= 3000;
    assert_in_range(low, 1, 100); /* … but do not starve the others */
}

/* Half of the workers while others have any, never the last eighth. */
static void share(void **state)
{
    (void)state;
    struct schedule_entry e;
    struct schedule_dest *d;
    char name[32];
    enum { WORKERS = 40 };
    schedule_workers(s, WORKERS);
    for (uint32_t i = 1; i <= 1000; i++) {
        snprintf(name, sizeof name, "d%u.test", i);
        put_from(i, "a/1", name, 0);
    }
    unsigned alone = 0;
    while (schedule_take(s, fe.mono, &e) != NULL)
        alone++;
    assert_int_equal(alone, WORKERS - WORKERS / 8);
    put_from(MARK, "a/2", "far.test", 0);
    assert_non_null(d = schedule_take(s, fe.mono, &e)); /* one is free for it at once */
    assert_int_equal(of_id(e.id), MARK);
    assert_null(schedule_take(s, fe.mono, &e));
    /* while that is under way the first one has more than its half: no more for it */
    schedule_done(s, (struct schedule_entry){.id = id_of(1)}, SCHEDULE_GONE);
    schedule_leave(s, schedule_dest_find(s, STR("d1.test"), STR_NONE), fe.mono);
    assert_null(schedule_take(s, fe.mono, &e));
    schedule_done(s, (struct schedule_entry){.id = id_of(MARK)}, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono);
    assert_non_null(schedule_take(s, fe.mono, &e));
}

/* ---- sites ---- */

static void site_together(void **state)
{
    (void)state;
    struct schedule_entry e;
    struct schedule_dest *d[4];
    char name[32];
    for (uint32_t i = 1; i <= 400; i++) {
        snprintf(name, sizeof name, "d%u.test", i % 4);
        put_from(i, "a/1", name, 0);
    }
    for (int i = 0; i < 4; i++) { /* first each by itself, then all are found to be at one host */
        d[i] = schedule_take(s, fe.mono, &e);
        schedule_site(s, d[i], STR("mx.host.test"), fe.mono);
        assert_true(str_eq(schedule_site_name(d[i]), STR("mx.host.test")));
    }
    assert_int_equal(schedule_dest_running(d[0]), 4);
    unsigned n;
    fill_slots(&n);
    assert_int_equal(n, 1); /* five in all, not five each */
    schedule_good(s, d[0]);
    for (int i = 0; i < 4; i++)
        schedule_good(s, d[i]); /* five successes: one more */
    assert_int_equal(schedule_dest_limit(s, d[3]), 6);
    fill_slots(&n);
    assert_int_equal(n, 1);
    schedule_leave(s, d[2], fe.mono);
    fill_slots(&n);
    assert_int_equal(n, 1);
}

static void site_back_off(void **state)
{
    (void)state;
    struct schedule_entry e, f;
    put_from(1, "a/1", "one.test", 0);
    put_from(2, "a/1", "two.test", 0);
    struct schedule_dest *one = schedule_take(s, fe.mono, &e), *two = schedule_take(s, fe.mono, &f);
    schedule_site(s, one, STR("mx.test"), fe.mono);
    schedule_site(s, two, STR("mx.test"), fe.mono);
    int64_t until = schedule_bad(s, one, fe.mono);
    schedule_done(s, e, fe.mono);
    schedule_done(s, f, fe.mono);
    schedule_leave(s, one, fe.mono);
    schedule_leave(s, two, fe.mono);
    put_from(3, "a/1", "two.test", 0); /* new mail does not end it */
    assert_null(schedule_take(s, fe.mono, &e));
    assert_int_equal(schedule_next_ms(s), until);
    assert_in_range(until, fe.mono + 240000, fe.mono + 360000);
    /* a domain that comes back within the hour is known to be there; see `remembered` */
    assert_true(schedule_now(s, STR("two.test"), fe.mono)); /* by hand, for all of the site */
    assert_non_null(schedule_take(s, fe.mono, &e));
    assert_non_null(schedule_take(s, fe.mono, &f));
    assert_true(f.asked || e.asked);
}

static void remembered(void **state)
{
    (void)state;
    struct schedule_entry e;
    put_from(1, "a/1", "one.test", 0);
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    schedule_site(s, d, STR("mx.test"), fe.mono);
    schedule_bad(s, d, fe.mono);
    schedule_done(s, e, SCHEDULE_GONE);
    schedule_leave(s, d, fe.mono);
    assert_null(schedule_dest_find(s, STR("one.test"), STR_NONE));
    put_from(2, "a/1", "one.test", 0);
    d = schedule_dest_find(s, STR("one.test"), STR_NONE);
    assert_true(str_eq(schedule_site_name(d), STR("mx.test")));
    assert_null(schedule_take(s, fe.mono, &e)); /* and that it is down */
    schedule_remove(s, id_of(2), 0);
    fake_env_pass(&fe, SCHEDULE_KNOWN_MS);
    put_from(3, "a/1", "one.test", 0);
    d = schedule_dest_find(s, STR("one.test"), STR_NONE);
    assert_int_equal(schedule_site_name(d).len, 0); /* that was long ago */
}

static void site_changes(void **state)
{
    (void)state;
    struct schedule_entry e;
    char name[32];
    for (uint32_t i = 1; i <= 200; i++)
        put_from(i, "a/1", "d.test", 0);
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "mx%d.test", i % 7);
        schedule_site(s, d, str_c(name), fe.mono);
        assert_int_equal(schedule_dest_running(d), 1);
    }
    unsigned n;
    fill_slots(&n);
    assert_int_equal(n, 4);
}

/* By route as well: what goes another way is another destination, and may change over. */
static void routes(void **state)
{
    (void)state;
    struct schedule_entry e;
    struct schedule_item x = {
        .id = id_of(1), .domain = STR("d.test"), .via = STR("smtp relay.test"), .due_ms = fe.mono};
    assert_true(schedule_put(s, &x));
    put_from(2, "", "d.test", 0);
    struct schedule_dest *via = schedule_dest_of(s, id_of(1), 0), *plain;
    plain = schedule_dest_of(s, id_of(2), 0);
    assert_ptr_not_equal(via, plain);
    assert_true(str_eq(schedule_dest_domain(via), STR("d.test")));
    assert_true(str_eq(schedule_dest_via(via), STR("smtp relay.test")));
    assert_int_equal(schedule_dest_via(plain).len, 0);
    x.via = STR_NONE;
    assert_true(schedule_put(s, &x)); /* waiting */
    assert_ptr_equal(schedule_dest_of(s, id_of(1), 0), plain);
    assert_null(schedule_dest_find(s, STR("d.test"), STR("smtp relay.test")));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    x.id = e.id;
    x.via = STR("smtp other.test");
    assert_true(schedule_put(s, &x)); /* and with a worker */
    schedule_done(s, e, fe.mono);
    schedule_leave(s, d, fe.mono);
    assert_non_null(schedule_dest_find(s, STR("d.test"), STR("smtp other.test")));
    assert_int_not_equal(take_one(), 0);
    assert_int_not_equal(take_one(), 0);
    assert_int_equal(schedule_count(s), 0);
}

/* ---- rules ---- */

static void suspended(void **state)
{
    (void)state;
    struct schedule_entry e;
    static const struct schedule_rule rules[] = {{.key = STR("one.test"), .suspend = true},
                                                 {.key = STR("mx.test"), .suspend = true},
                                                 {.key = STR(".below.test"), .suspend = true}};
    put_from(1, "a/1", "one.test", 0);
    put_from(2, "a/1", "two.test", 0);
    put_from(3, "a/1", "a.b.below.test", 0);
    assert_true(schedule_rules(s, rules, 3, fe.mono));
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    assert_int_equal(of_id(e.id), 2);
    assert_false(schedule_suspended(d));
    schedule_site(s, d, STR("mx.test"), fe.mono); /* only now it is known */
    assert_true(schedule_suspended(d));
    schedule_site(s, d, STR("mx.test:2525"), fe.mono);
    assert_true(schedule_suspended(d));
    schedule_site(s, d, STR("2001:db8::25"), fe.mono);
    assert_false(schedule_suspended(d));
    schedule_site(s, d, STR("mx.test"), fe.mono);
    schedule_done(s, e, fe.mono);
    assert_false(schedule_take_more(s, d, fe.mono, &e));
    schedule_leave(s, d, fe.mono);
    put_from(4, "a/1", "one.test", 9);
    assert_null(schedule_take(s, fe.mono, &e));
    assert_int_equal(schedule_next_ms(s), INT64_MAX);
    assert_true(schedule_rules(s, rules, 1, fe.mono)); /* all but the first are gone */
    unsigned n;
    fill_slots(&n);
    assert_int_equal(n, 2);
    assert_true(schedule_rules(s, NULL, 0, fe.mono));
    fill_slots(&n);
    assert_int_equal(n, 2);
}

static void limits(void **state)
{
    (void)state;
    struct schedule_entry e;
    static const struct schedule_rule rules[] = {
        {.key = STR("*"), .connections = 3},
        {.key = STR("slow.test"), .connections = 1, .per_minute = 5},
        {.key = STR("mx.test"), .connections = 30}};
    assert_true(schedule_rules(s, rules, 3, fe.mono));
    for (uint32_t i = 1; i <= 100; i++) {
        put_from(i, "a/1", "slow.test", 0);
        put_from(1000 + i, "a/1", "d.test", 0);
    }
    unsigned n;
    fill_slots(&n);
    assert_int_equal(n, 4); /* 1 and 3 */
    struct schedule_dest *slow = schedule_dest_find(s, STR("slow.test"), STR_NONE);
    for (int i = 0; i < 4; i++)
        assert_true(schedule_take_more(s, slow, fe.mono, &e));
    assert_false(schedule_take_more(s, slow, fe.mono, &e)); /* five in this minute */
    schedule_leave(s, slow, fe.mono);
    assert_null(schedule_take(s, fe.mono + 59999, &e));
    assert_ptr_equal(schedule_take(s, fe.mono + 60000, &e), slow);
    /* a site's own limit, above what is usual, is grown into */
    struct schedule_dest *d = schedule_dest_find(s, STR("d.test"), STR_NONE);
    schedule_site(s, d, STR("mx.test"), fe.mono);
    for (int i = 0; i < 1000; i++)
        schedule_good(s, d);
    assert_int_equal(schedule_dest_limit(s, d), 30);
}

/* ---- the cap of a destination's back-off ---- */

static void back_off_cap(void **state)
{
    (void)state;
    static const int64_t minutes[] = {5, 10, 20, 30, 30, 30, 30, 30};
    assert_true(put_at(id_of(1), 0, STR("down"), fe.mono));
    struct schedule_entry e;
    struct schedule_dest *d = schedule_take(s, fe.mono, &e);
    int64_t now = fe.mono;
    for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
        int64_t until = schedule_bad(s, d, now);
        assert_in_range(until - now, minutes[i] * 48000, minutes[i] * 72000);
        assert_int_equal(schedule_bad(s, d, now + 1), until); /* of the same moment: once */
        now = until;
    }
    schedule_good(s, d); /* and from the beginning again */
    assert_in_range(schedule_bad(s, d, now) - now, 240000, 360000);
}

/* A random life of many destinations, sites and sources: whatever is due comes, and nothing else,
 * and nothing is left behind. */
static void random_life(void **state)
{
    (void)state;
    enum { N = 400, STEPS = 30000, HELD = 30 };
    static int64_t due[N];
    static bool in[N];
    struct {
        struct schedule_dest *d;
        struct schedule_entry e;
        bool has;
    } w[HELD] = {0};
    char name[32], source[32];
    uint32_t r = 1;
    memset(in, 0, sizeof in);
    for (int step = 0; step < STEPS; step++) {
        r = r * 1664525 + 1013904223;
        uint32_t i = (r >> 8) % N, h = (r >> 20) % HELD;
        switch ((r >> 28) % 8) {
        case 0:
        case 1:
        case 2: {
            snprintf(name, sizeof name, "d%u.test", i % 17);
            snprintf(source, sizeof source, "a/%u", i % 5);
            due[i] = fe.mono + (int64_t)((r >> 12) % 3000) - 1000;
            struct schedule_item x = {.id = id_of(i),
                                      .domain = str_c(name),
                                      .source = str_c(source),
                                      .priority = (int8_t)(i % 3) - 1,
                                      .due_ms = due[i],
                                      .asked = i % 7 == 1,
                                      .by = i % 4 == 2,
                                      .by_ms = due[i] + (int64_t)(r >> 20) % 500};
            assert_true(schedule_put(s, &x));
            in[i] = true;
            break;
        }
        case 3:
            schedule_remove(s, id_of(i), 0);
            in[i] = false;
            break;
        case 4:
        case 5:
            if (w[h].d == NULL && (w[h].d = schedule_take(s, fe.mono, &w[h].e)) != NULL)
                w[h].has = true;
            else if (w[h].d != NULL && !w[h].has)
                w[h].has = schedule_take_more(s, w[h].d, fe.mono, &w[h].e);
            break;
        case 6:
            if (w[h].has) {
                uint32_t k = of_id(w[h].e.id);
                bool gone = r & 1 << 27;
                w[h].e.late = w[h].e.late && i % 2 == 0;
                schedule_done(s, w[h].e, gone ? SCHEDULE_GONE : fe.mono + 500);
                if (gone)
                    in[k] = false;
                w[h].has = false;
            } else if (w[h].d != NULL) {
                schedule_leave(s, w[h].d, fe.mono);
                w[h].d = NULL;
            }
            break;
        default:
            if (w[h].d != NULL && w[h].has && i % 4 == 0) {
                snprintf(name, sizeof name, "mx%u.test", i % 3);
                schedule_site(s, w[h].d, str_c(name), fe.mono);
            } else if (w[h].d != NULL && i % 50 == 1) {
                schedule_bad(s, w[h].d, fe.mono);
            } else if (w[h].d != NULL) {
                schedule_good(s, w[h].d);
            }
            fake_env_pass(&fe, 5);
        }
    }
    for (int h = 0; h < HELD; h++) {
        if (w[h].has)
            schedule_done(s, w[h].e, fe.mono);
        if (w[h].d != NULL)
            schedule_leave(s, w[h].d, fe.mono);
    }
    size_t left = schedule_count(s), got = 0;
    fake_env_pass(&fe, 3600000);
    while (take_one() != 0 || schedule_count(s) == left - got - 1)
        got++;
    assert_int_equal(schedule_count(s), 0);
    assert_int_equal(schedule_next_ms(s), INT64_MAX);
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
        assert_true(put_at(id_of(i * 2654435761u), 0, str_c(name), fe.mono + i));
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
        cmocka_unit_test_setup_teardown(asked_by_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(late, setup, teardown),
        cmocka_unit_test_setup_teardown(reason_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_before_its_site, setup, teardown),
        cmocka_unit_test_setup_teardown(fairness, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_same_destination, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_many_destinations, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_retries, setup, teardown),
        cmocka_unit_test_setup_teardown(one_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(classes, setup, teardown),
        cmocka_unit_test_setup_teardown(share, setup, teardown),
        cmocka_unit_test_setup_teardown(site_together, setup, teardown),
        cmocka_unit_test_setup_teardown(site_back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(site_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(routes, setup, teardown),
        cmocka_unit_test_setup_teardown(suspended, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(back_off_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(random_life, setup, teardown),
        cmocka_unit_test_setup_teardown(memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
