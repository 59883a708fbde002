/* test_agenda.c: The agenda with its threads: when all workers are busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "fake_env.h"
#include "roles/delivery/agenda.h"
#include "store/engines.h"

enum { MAILS = 3, PATIENCE_S = 60 };

static struct fake_env fe;
static struct agenda g;
static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool working, go_on;
    unsigned done, ticks;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void work(void *user, struct schedule_dest *d, struct schedule_entry first)
{
    (void)user;
    pthread_mutex_lock(&t.lock);
    t.working = true;
    while (!t.go_on)
        pthread_cond_wait(&t.cond, &t.lock);
    t.done++;
    pthread_mutex_unlock(&t.lock);
    agenda_done(&g, first, INT64_MAX);
    agenda_leave(&g, d);
}

static void tick(void *user)
{
    (void)user;
    pthread_mutex_lock(&t.lock);
    t.ticks++;
    pthread_mutex_unlock(&t.lock);
}

static void *run(void *user)
{
    (void)user;
    agenda_run(&g, 1);
    return NULL;
}

static bool is_working(void)
{
    return t.working;
}

static bool all_done(void)
{
    return t.done == MAILS;
}

static unsigned seen;

static bool ticked(void)
{
    return t.ticks > seen + 1;
}

/* `each` is done between two looks. */
static void wait_until(bool (*so)(void), void (*each)(void))
{
    for (int i = 0; i < PATIENCE_S * 1000; i++) {
        struct timespec ms = {.tv_nsec = 1000000};
        pthread_mutex_lock(&t.lock);
        bool is = so();
        pthread_mutex_unlock(&t.lock);
        if (is)
            return;
        if (each != NULL)
            each();
        nanosleep(&ms, NULL);
    }
    fail_msg("it did not come to that");
}

static void put_mail(void)
{
    struct queue_in *in = queue_in_begin(&fe.env);
    struct queue_in_rcpt r = {.address = STR("x@one.test"), .domain = STR("one.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_OK);
}

/* The main thread looks around. */
static void wake_main(void)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 4096);
    store_batch_init(&b, QUEUE_PART, &a);
    store_put(&b, STR("etrn/nobody.test"), STR(""));
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
    arena_free(&a);
}

/* More is due at once than there are workers: "at once" is a time that nothing may be subtracted
 * from. */
static void all_busy(void **state)
{
    (void)state;
    struct arena a;
    struct settings set;
    struct err err;
    pthread_t thread;
    arena_init(&a, 1 << 20);
    fake_env_init(&fe, 3);
    fe.env.store = store_memory_new();
    assert_int_equal(settings_parse(STR("hostname = \"us.test\"\n"), "test", &a, &set, &err),
                     RC_OK);
    for (int i = 0; i < MAILS; i++)
        put_mail();
    assert_true(agenda_init(&g, &fe.env, &set, false, work, tick, NULL));
    assert_int_equal(agenda_watch(&g), STORE_OK);
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    wait_until(is_working, NULL);
    assert_int_equal(agenda_next_ms(&g), INT64_MIN);
    pthread_mutex_lock(&t.lock);
    seen = t.ticks;
    pthread_mutex_unlock(&t.lock);
    wait_until(ticked, wake_main); /* the main thread has been through its waits */
    assert_int_equal(agenda_next_ms(&g), INT64_MIN);
    pthread_mutex_lock(&t.lock);
    t.go_on = true;
    pthread_cond_broadcast(&t.cond);
    pthread_mutex_unlock(&t.lock);
    wait_until(all_done, NULL);
    agenda_stop(&g);
    pthread_join(thread, NULL);
    agenda_free(&g);
    store_close(fe.env.store);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_busy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
