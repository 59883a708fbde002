/* test_courier_ways.c: courier with routes, reverse-paths of deliveries and messages that demand
 * more than others: who gets what, and what the sender and `trace` are told. */
#include "roles/post_world.h"

#include "post/table.h"

#define HOUR 3600000LL

static int setup(void **state)
{
    (void)state;
    world_begin(11);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_finish();
    return 0;
}

static void row(enum table t, const char *key, const char *value)
{
    struct err err;
    if (table_set(w.fe.env.store, t, str_c(key), str_c(value), &err) != RC_OK)
        fail_msg("%s: %s", key, err.text);
}

static queue_id_t put(const struct queue_in_rcpt *r, struct queue_message m)
{
    struct queue_in *in = queue_in_begin(&w.fe.env);
    queue_id_t id = queue_in_id(in);
    m.client = STR("local");
    m.protocol = STR("ESMTP");
    assert_int_equal(queue_in_write(in, STR("X-Test: t\r\n\r\nhello\r\n")), STORE_OK);
    assert_int_equal(queue_in_commit(in, &m, r, 1), STORE_OK);
    return id;
}

static void routes(void **state)
{
    (void)state;
    row(TABLE_TRANSPORT, "one.test", "smtp two.test");
    row(TABLE_TRANSPORT, "gone.test", "error 5.1.2 closed for ever");
    const struct queue_in_rcpt by_table = {.address = STR("p@one.test"), .domain = STR("one.test")};
    const struct queue_in_rcpt by_via = {
        .address = STR("q@else.test"), .domain = STR("else.test"), .via = STR("smtp two.test")};
    const struct queue_in_rcpt refused = {.address = STR("r@gone.test"),
                                          .domain = STR("gone.test")};
    const struct queue_message m = {.reverse_path = STR("a@us.test")};
    put(&by_table, m);
    put(&by_via, m);
    put(&refused, m);
    world_quiet(HOUR);
    assert_int_equal(world_got("p@one.test", "t"), 1);
    assert_int_equal(world_got("q@else.test", "t"), 1);
    assert_int_equal(world_mailbox(1, NULL, "closed for ever"), 1);
    assert_int_equal(world_rows("d"), 0);
}

/* What one message demands is its own matter: the others of that destination go. */
static void requiretls_alone(void **state)
{
    (void)state;
    const struct queue_in_rcpt r = {.address = STR("p@one.test"), .domain = STR("one.test")};
    put(&r, (struct queue_message){.reverse_path = STR("a@us.test"), .requiretls = true});
    put(&r, (struct queue_message){.reverse_path = STR("a@us.test")});
    put(&r, (struct queue_message){.reverse_path = STR("a@us.test"), .requiretls = true});
    put(&r, (struct queue_message){.reverse_path = STR("a@us.test")});
    world_now();
    assert_int_equal(world_got("p@one.test", "t"), 2);
    assert_int_equal(world_mailbox(1, NULL, "5.7.10"), 2);
    assert_int_equal(world_rows("d"), 0);
}

static void trace_tells_of_tls(void **state)
{
    struct arena a;
    struct queue_story s;
    (void)state;
    queue_id_t id;
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, &id), STORE_OK);
    world_now();
    arena_init(&a, 1 << 20);
    assert_int_equal(queue_story_read(w.fe.env.store, id, &a, &s), STORE_OK);
    assert_int_equal(s.nevents, 1);
    assert_true(str_eq(s.events[0].text, STR("plaintext")));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes, setup, teardown),
        cmocka_unit_test_setup_teardown(requiretls_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(trace_tells_of_tls, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
