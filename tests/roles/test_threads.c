/* test_threads.c: courier and local with their threads: all arrives, all once, and both stop.
 * (Meant to be run under ThreadSanitizer as well.) */
#include "roles/post_world.h"

enum { MAILS = 400, PATIENCE_S = 60 };

static void *run_courier(void *user)
{
    (void)user;
    agenda_run(&w.courier->carrier.agenda, 20);
    return NULL;
}

static void *run_local(void *user)
{
    (void)user;
    agenda_run(&w.local->carrier.agenda, 8);
    return NULL;
}

static size_t waiting(void)
{
    size_t n = 0;
    struct agenda *g[] = {&w.courier->carrier.agenda, &w.local->carrier.agenda};
    for (int i = 0; i < 2; i++) {
        pthread_mutex_lock(&g[i]->lock);
        n += schedule_count(g[i]->schedule);
        pthread_mutex_unlock(&g[i]->lock);
    }
    return n;
}

static void wait_empty(void)
{
    for (int i = 0; i < PATIENCE_S * 100; i++) {
        struct timespec t = {.tv_nsec = 10000000};
        if (waiting() + world_rows("d") == 0)
            return;
        nanosleep(&t, NULL);
    }
    fail_msg("%zu deliveries are left over", waiting());
}

static void busy_day(void **state)
{
    (void)state;
    pthread_t c, l;
    world_begin(5);
    for (int i = 0; i < MAILS / 2; i++) /* these are there at the start */
        assert_int_equal(world_send("t", "a@us.test",
                                    i % 2 ? "p@one.test q@two.test" : "both@us.test", 100, NULL),
                         STORE_OK);
    assert_int_equal(pthread_create(&c, NULL, run_courier, NULL), 0);
    assert_int_equal(pthread_create(&l, NULL, run_local, NULL), 0);
    for (int i = 0; i < MAILS / 2; i++) /* and these come meanwhile */
        assert_int_equal(world_send("t", "a@us.test",
                                    i % 2 ? "p@one.test b@us.test" : "b@us.test bad@two.test", 100,
                                    NULL),
                         STORE_OK);
    wait_empty();
    agenda_stop(&w.courier->carrier.agenda);
    agenda_stop(&w.local->carrier.agenda);
    pthread_join(c, NULL);
    pthread_join(l, NULL);
    assert_int_equal(world_got("p@one.test", NULL), MAILS / 2);
    assert_int_equal(world_got("q@two.test", NULL), MAILS / 4);
    assert_int_equal(world_got("x@one.test", NULL), MAILS / 4);
    assert_int_equal(world_mailbox(1, "t", NULL), MAILS / 4);
    assert_int_equal(world_mailbox(1, NULL, "bad@two.test"), MAILS / 4);
    assert_int_equal(world_mailbox(2, "t", NULL), MAILS / 2);
    assert_int_equal(world_rows("c/"), 0);
    assert_in_range(w.max_connections, 1, 40); /* 20 a destination */
    world_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(busy_day)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
