/* test_local_sweep.c: the sweep of the mailboxes as local does it: over a channel to core, with
 * local's rights and no more. */
#include "roles/core_fixture.h"

#include "post/directory.h"
#include "post/mailbox_row.h"
#include "roles/local/local.h"

enum { BOXES = 3, HOUR_MS = 3600000 };
#define DAY_MS INT64_C(86400000)

static struct core_fixture core;
static struct env env; /* local's: its store is a channel to core */
static struct local local;
static struct arena a;
static uint64_t account[BOXES];

static int setup(void **state)
{
    (void)state;
    static struct settings set;
    struct err err = {0};
    core_up(&core);
    env = core.env;
    env.store = core_store(&core, permissions_of(ROLE_LOCAL));
    arena_init(&a, 64 << 20);
    assert_int_equal(settings_parse(STR("hostname = us.test\n"), "test", &a, &set, &err), RC_OK);
    assert_int_equal(directory_domain_add(core.engine, STR("us.test"), &err), RC_OK);
    for (size_t i = 0; i < BOXES; i++) {
        char name[] = "0@us.test";
        name[0] = (char)('a' + i);
        assert_int_equal(directory_account_add(core.engine, str_c(name), &account[i], &err), RC_OK);
    }
    assert_true(local_init(&local, &env, &set));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    local_free(&local);
    store_close(env.store);
    core_down(&core);
    arena_free(&a);
    return 0;
}

/* An id as it was made so long ago. */
static queue_id_t id_ago(int64_t ms)
{
    queue_id_t id = queue_id_new(&core.env);
    uint64_t made = (uint64_t)(core.env.wall_ms(&core.env) - ms);
    for (size_t i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(made >> (40 - 8 * i));
    assert_int_equal(queue_id_ms(id), made);
    return id;
}

/* What was lazy is seen after a batch that is not. */
static void make_durable(uint64_t of)
{
    core_put(&core, MAILBOX_PART(of), STR("modseq"), STR("12345678"));
}

static void deliver(uint64_t to, queue_id_t id)
{
    bool again;
    struct mailbox_in *in = mailbox_in_begin(&env, to, id);
    assert_int_equal(mailbox_in_write(in, STR("Subject: x\r\n\r\nx\r\n")), STORE_OK);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
    assert_false(again);
}

static void abandon(uint64_t to, queue_id_t id)
{
    static char much[STORE_CHUNK + 1];
    struct mailbox_in *in = mailbox_in_begin(&env, to, id);
    assert_int_equal(mailbox_in_write(in, str_of(much, sizeof much)), STORE_OK);
    store_memory_fail(core.engine, STORE_FULL);
    mailbox_in_abort(in);
    store_memory_fail(core.engine, STORE_OK);
    make_durable(to);
}

static void read_all(uint64_t of)
{
    struct mailbox_message *m;
    size_t n, removed;
    assert_int_equal(mailbox_list(core.engine, of, MAILBOX_INBOX, &a, &m, &n), STORE_OK);
    assert_int_equal(mailbox_remove(core.engine, of, MAILBOX_INBOX, m, n, &removed), STORE_OK);
}

static size_t rows(uint64_t of, str_t prefix)
{
    struct store_page page;
    struct store_scan q = {.part = MAILBOX_PART(of),
                           .from = prefix,
                           .end = store_prefix_end(&a, prefix),
                           .keys_only = true};
    assert_int_equal(store_scan(core.engine, &q, &a, &page), STORE_OK);
    return page.n;
}

static void round_trip(void)
{
    int steps = 0;
    while (local_sweep_step(&local))
        assert_in_range(steps++, 0, 1000);
    for (size_t i = 0; i < BOXES; i++)
        make_durable(account[i]);
}

static void all_mailboxes_are_swept(void **state)
{
    (void)state;
    for (size_t i = 0; i < BOXES; i++) {
        for (int k = 0; k < 10; k++) /* more than core lets go in one batch */
            deliver(account[i], id_ago(40 * DAY_MS));
        read_all(account[i]);
        deliver(account[i], id_ago(40 * DAY_MS)); /* still there */
        abandon(account[i], id_ago(2 * HOUR_MS));
        abandon(account[i], id_ago(HOUR_MS / 2));
    }
    round_trip();
    for (size_t i = 0; i < BOXES; i++) {
        struct mailbox_message *m;
        size_t n;
        str_t chunk;
        assert_int_equal(rows(account[i], STR("seen/")), 1);
        assert_int_equal(rows(account[i], STR("b/")), 2);
        assert_int_equal(mailbox_list(core.engine, account[i], MAILBOX_INBOX, &a, &m, &n),
                         STORE_OK);
        assert_int_equal(n, 1);
        assert_int_equal(mailbox_chunk(core.engine, account[i], m, 0, &a, &chunk), STORE_OK);
    }
    assert_true(local.sweep.next_ms >= env.mono_ms(&env) + LOCAL_SWEEP_ROUND_MS - 60000);
}

/* Held for longer than marks stay, and then released: it is delivered once. */
static void a_held_message_keeps_its_mark(void **state)
{
    (void)state;
    queue_id_t id = id_ago(50 * DAY_MS);
    deliver(account[0], id);
    core_put(&core, QUEUE_PART, queue_key_delivery(id, 0, true, &a), STR("held"));
    read_all(account[0]);
    round_trip();
    assert_int_equal(rows(account[0], STR("seen/")), 1);
    bool again;
    struct mailbox_in *in = mailbox_in_begin(&env, account[0], id);
    assert_int_equal(mailbox_in_write(in, STR("x")), STORE_OK);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
    assert_true(again);
}

/* Without core, or when writes stopped, it waits where it is and then goes on. */
static void it_goes_on_where_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < BOXES; i++) {
        deliver(account[i], id_ago(40 * DAY_MS));
        read_all(account[i]);
    }
    /* the marks of the first are gone, its content is next */
    assert_true(local_sweep_step(&local));
    assert_true(local.sweep.open);
    store_memory_fail(core.engine, STORE_UNKNOWN);
    assert_true(local_sweep_step(&local)); /* nothing is to be written there */
    assert_false(local_sweep_step(&local));
    assert_int_equal(local.sweep.box.account, account[1]);
    assert_false(local_sweep_step(&local));
    store_memory_fail(core.engine, STORE_OK);
    round_trip();
    for (size_t i = 0; i < BOXES; i++)
        assert_int_equal(rows(account[i], STR("seen/")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_mailboxes_are_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_message_keeps_its_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_on_where_it_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
