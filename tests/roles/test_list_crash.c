/* test_list_crash.c: a list of 1,200 members, sent in pages; the machine ends at every batch and, with
 * the same seed, begins again. Each member gets the message exactly once here, and once elsewhere but
 * for the one transaction whose mark was lost; nobody is left out. */
#include "post/mailing_list.h"
#include "roles/post_world.h"

enum { MEMBERS = 1200, HERE = 2 }; /* a, b */

static void begin(void)
{
    struct err err;
    char text[MEMBERS][32];
    str_t m[MEMBERS];
    size_t n;
    world_begin(42);
    struct store *s = w.fe.env.store;
    must(mailing_list_create(s, STR("club@us.test"), STR("a@us.test"), false, &err) == RC_OK);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (i < HERE)
            snprintf(text[i], sizeof text[i], "%c@us.test", i == 0 ? 'a' : 'b');
        else
            snprintf(text[i], sizeof text[i], "m%zu@%s.test", i, i % 3 == 0 ? "one" : "two");
        m[i] = str_c(text[i]);
    }
    must(mailing_list_add(s, STR("club@us.test"), m, MEMBERS, &n, &err) == RC_OK && n == MEMBERS);
}

/* Servers have taken it in transactions of up to 100 recipients: one may have come twice. */
static void check(const char *how, uint64_t at, bool crashed)
{
    size_t twice = 0;
    char to[64];
    for (size_t i = HERE; i < MEMBERS; i++) {
        snprintf(to, sizeof to, "m%zu@%s.test", i, i % 3 == 0 ? "one" : "two");
        size_t n = world_got(to, "club");
        if (n == 0)
            fail_msg("%s %lu: %s did not get it", how, (unsigned long)at, to);
        if (n > (crashed ? 2 : 1))
            fail_msg("%s %lu: %s got it %zu times", how, (unsigned long)at, to, n);
        twice += n == 2;
    }
    if (twice > QUEUE_GROUP)
        fail_msg("%s %lu: %zu got it twice", how, (unsigned long)at, twice);
    for (uint64_t account = 1; account <= HERE; account++)
        if (world_mailbox(account, "club", NULL) != 1)
            fail_msg("%s %lu: mailbox %lu has it %zu times", how, (unsigned long)at,
                     (unsigned long)account, world_mailbox(account, "club", NULL));
    if (world_mailbox(1, NULL, "club") != 0)
        fail_msg("%s %lu: the owner was told of a failure", how, (unsigned long)at);
    if (world_rows("d") != 0)
        fail_msg("%s %lu: %zu deliveries are left over", how, (unsigned long)at, world_rows("d"));
}

static bool life(void)
{
    bool acknowledged = world_send("club", "s@sender.test", "club@us.test", 200, NULL) == STORE_OK;
    world_quiet(3600000);
    return acknowledged;
}

static void every_batch(void **state)
{
    (void)state;
    begin();
    uint64_t before = store_memory_batches(w.fe.env.store);
    assert_true(life());
    uint64_t batches = store_memory_batches(w.fe.env.store) - before;
    check("undisturbed", 0, false);
    world_finish();
    print_message("%lu batches\n", (unsigned long)batches);
    assert_true(batches > 3 + MEMBERS / QUEUE_GROUP); /* pages, and a mark for each delivery */
    for (uint64_t n = 1; n <= batches; n++) {
        for (int torn = 0; torn < 2; torn++) {
            begin();
            store_memory_crash_after(w.fe.env.store, n, torn);
            bool acknowledged = life();
            world_restart(n);
            world_quiet(24 * 3600000);
            if (acknowledged)
                check(torn ? "after batch" : "in batch", n, true);
            world_finish();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
