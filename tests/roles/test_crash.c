/* test_crash.c: The whole life of mail, ended at every batch and at every network operation, and
 * begun again.
 *
 * Accept, relay, local delivery, an alias that goes both ways, bounces to a local and to a remote
 * sender. After each end and restart the world runs until it is quiet. Then: everything
 * acknowledged has arrived or its sender was told; nothing is twice in a mailbox; at most one
 * transaction was repeated to another server (between its 250 and our durable mark); the queue
 * holds nothing any more. */
#include "roles/post_world.h"

struct sent {
    const char *tag, *from, *to;
    size_t size;
};

static const struct sent mail[] = {
    {"relay", "a@us.test", "p@one.test q@two.test", 200},
    {"pair", "a@us.test", "p@one.test r@one.test", 200},
    {"local", "b@us.test", "a@us.test b@us.test", 200},
    {"large", "a@us.test", "p@one.test b@us.test", 150000},
    {"both", "b@us.test", "both@us.test", 200},
    {"mixed", "b@us.test", "mixed@us.test", 200},
    {"bounce", "a@us.test", "bad1@one.test s@one.test", 200},
    {"away", "s@sender.test", "bad2@two.test", 200},
    {"loop", "a@us.test", "loop@us.test", 200},
    {"null", "", "bad3@two.test", 200},
};
enum { MAILS = sizeof mail / sizeof *mail };

static bool acknowledged[MAILS];

static void life(void)
{
    for (size_t i = 0; i < MAILS; i++)
        acknowledged[i] =
            world_send(mail[i].tag, mail[i].from, mail[i].to, mail[i].size, NULL) == STORE_OK;
    world_quiet(3600000);
}

struct want {
    size_t mail;
    const char *remote, *tag; /* a server got it for this address */
    uint64_t account;         /* or it is in this mailbox … */
    const char *bounce;       /* … or there is a bounce there with this text */
};

static const struct want wants[] = {
    {0, "p@one.test", "relay", 0, NULL},
    {0, "q@two.test", "relay", 0, NULL},
    {1, "p@one.test", "pair", 0, NULL},
    {1, "r@one.test", "pair", 0, NULL},
    {2, NULL, "local", 1, NULL},
    {2, NULL, "local", 2, NULL},
    {3, "p@one.test", "large", 0, NULL},
    {3, NULL, "large", 2, NULL},
    {4, NULL, "both", 1, NULL},
    {4, "x@one.test", "both", 0, NULL},
    {5, NULL, "mixed", 1, NULL},
    {5, "y@two.test", "mixed", 0, NULL},
    {5, NULL, NULL, 2, "nobody@us.test"},
    {6, "s@one.test", "bounce", 0, NULL},
    {6, NULL, NULL, 1, "bad1@one.test"},
    {7, "s@sender.test", "", 0, NULL},
    {8, NULL, NULL, 1, "loop@us.test"},
    {9, NULL, NULL, 1, "bad3@two.test"}, /* no sender: the postmaster, who is the first account */
};

/* Prints what went wrong, and where the world ended. */
static void check(const char *how, uint64_t at, bool crashed)
{
    size_t repeated = 0;
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        const struct want *x = &wants[i];
        size_t n = x->remote != NULL ? world_got(x->remote, x->tag)
                                     : world_mailbox(x->account, x->tag, x->bounce);
        if (n == 0 && acknowledged[x->mail])
            fail_msg("%s %lu: %s is lost (want %zu)", how, (unsigned long)at, mail[x->mail].tag, i);
        if (n > 1 && x->remote == NULL)
            fail_msg("%s %lu: %s is there %zu times (want %zu)", how, (unsigned long)at,
                     mail[x->mail].tag, n, i);
        if (n > 2 || (n == 2 && !crashed))
            fail_msg("%s %lu: %s was sent %zu times", how, (unsigned long)at, mail[x->mail].tag, n);
        if (n == 2 &&
            strcmp(x->remote, "r@one.test") != 0) /* r and p of "pair" are one transaction */
            repeated++;
    }
    if (repeated > 1)
        fail_msg("%s %lu: %zu transactions were repeated", how, (unsigned long)at, repeated);
    if (world_rows("d") != 0)
        fail_msg("%s %lu: %zu deliveries are left over", how, (unsigned long)at, world_rows("d"));
    fake_env_pass(&w.fe, 2 * 3600000); /* what was begun and never finished is swept */
    while (sweep_step(w.courier)) {
    }
    if (world_rows("c/") != 0)
        fail_msg("%s %lu: %zu chunks are left over", how, (unsigned long)at, world_rows("c/"));
}

static void undisturbed(uint64_t *batches, uint64_t *steps)
{
    world_begin(42);
    uint64_t before = store_memory_batches(w.fe.env.store);
    life();
    *batches = store_memory_batches(w.fe.env.store) - before;
    *steps = w.steps;
    for (size_t i = 0; i < MAILS; i++)
        assert_true(acknowledged[i]);
    check("undisturbed", 0, false);
    assert_int_equal(world_got("bad1@one.test", NULL), 0);
    world_finish();
}

static void restart_and_check(const char *how, uint64_t at)
{
    world_restart(at);
    world_quiet(24 * 3600000);
    check(how, at, true);
    world_finish();
}

static void every_batch(void **state)
{
    (void)state;
    uint64_t batches, steps;
    undisturbed(&batches, &steps);
    print_message("%lu batches, %lu network operations\n", (unsigned long)batches,
                  (unsigned long)steps);
    for (uint64_t n = 1; n <= batches; n++) {
        for (int torn = 0; torn < 2; torn++) {
            world_begin(42);
            store_memory_crash_after(w.fe.env.store, n, torn);
            life();
            restart_and_check(torn ? "after batch" : "in batch", n);
        }
    }
}

static void every_step(void **state)
{
    (void)state;
    uint64_t batches, steps;
    undisturbed(&batches, &steps);
    for (uint64_t n = 1; n <= steps; n++) {
        world_begin(42);
        w.end_at = n;
        life();
        restart_and_check("network operation", n);
    }
}

/* The restart itself may end too. */
static void twice(void **state)
{
    (void)state;
    uint64_t batches, steps;
    undisturbed(&batches, &steps);
    for (uint64_t n = 3; n <= batches; n += 5) {
        for (uint64_t k = 1; k < 30; k += 4) {
            world_begin(42);
            store_memory_crash_after(w.fe.env.store, n, n % 2);
            life();
            world_close();
            store_memory_reopen(w.fe.env.store, n + k);
            store_memory_crash_after(w.fe.env.store, k, k % 3 == 0);
            world_open();
            world_quiet(3600000);
            world_restart(k);
            world_quiet(24 * 3600000);
            for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
                const struct want *x = &wants[i];
                size_t found = x->remote != NULL ? world_got(x->remote, x->tag)
                                                 : world_mailbox(x->account, x->tag, x->bounce);
                if (found == 0 && acknowledged[x->mail])
                    fail_msg("batch %lu then %lu: %s is lost", (unsigned long)n, (unsigned long)k,
                             mail[x->mail].tag);
                if (found > 1 && x->remote == NULL)
                    fail_msg("batch %lu then %lu: %s is there %zu times", (unsigned long)n,
                             (unsigned long)k, mail[x->mail].tag, found);
                if (found > 3)
                    fail_msg("batch %lu then %lu: %s was sent %zu times", (unsigned long)n,
                             (unsigned long)k, mail[x->mail].tag, found);
            }
            world_finish();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch),
        cmocka_unit_test(every_step),
        cmocka_unit_test(twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
