/* test_delivery_rules.c: What a delivery waits for and what ends it besides its attempts: its
 * release, the operator's word, an address that does not exist, rows of a former version. */
#include "post/queue_suppress.h"
#include "post/queue_wait.h"
#include "post/table.h"
#include "post_world.h"

#define MINUTE 60000
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static int setup(void **state)
{
    (void)state;
    world_begin(5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_finish();
    return 0;
}

static queue_id_t send(const struct queue_message *like, const struct queue_in_rcpt *r, size_t n)
{
    struct queue_in *in = queue_in_begin(&w.fe.env);
    queue_id_t id = queue_in_id(in);
    struct queue_message m = *like;
    assert_int_equal(queue_in_write(in, STR("X-Test: t\r\n\r\nhello\r\n")), STORE_OK);
    assert_int_equal(queue_in_commit(in, &m, r, n), STORE_OK);
    return id;
}

static struct queue_in_rcpt to_one(const char *address)
{
    return (struct queue_in_rcpt){.address = str_c(address), .domain = STR("one.test")};
}

/* All that is due until then, and the time itself. */
static void pass(int64_t ms)
{
    int64_t end = w.fe.mono + ms;
    world_quiet(ms);
    if (w.fe.mono < end)
        fake_env_pass(&w.fe, end - w.fe.mono);
    world_now();
}

static bool row(str_t key, struct arena *a, str_t *value)
{
    bool present;
    assert_int_equal(store_get1(w.fe.env.store, QUEUE_PART, key, a, &present, value), STORE_OK);
    return present;
}

static void row_put(part_t part, str_t key, str_t value)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 1 << 20);
    store_batch_init(&b, part, &a);
    if (value.ptr != NULL)
        store_put(&b, key, value);
    else
        store_delete(&b, key);
    assert_int_equal(store_commit(w.fe.env.store, &b), STORE_OK);
    arena_free(&a);
}

/* ---- release (RFC 4865) ---- */

/* Longer than any retry waits, so that it is not taken for a jump of the clock; whatever is tried
 * meanwhile. */
static void not_before(void **state)
{
    (void)state;
    struct queue_in_rcpt r = to_one("x@one.test");
    struct queue_message m = {.reverse_path = STR("a@us.test"), .release_ms = w.fe.wall + 3 * DAY};
    queue_id_t id = send(&m, &r, 1);
    size_t n;
    pass(2 * DAY);
    assert_int_equal(w.steps, 0);
    struct queue_filter f = {.by_id = true, .id = id};
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_RETRY, &n), STORE_OK);
    pass(DAY - HOUR);
    assert_int_equal(w.steps, 0);
    world_restart(1);
    pass(HOUR - MINUTE);
    assert_int_equal(w.steps, 0);
    pass(2 * MINUTE);
    assert_int_equal(world_got("x@one.test", "t"), 1);
}

/* Its days begin with the release. */
static void given_up_from_release(void **state)
{
    (void)state;
    w.down = true;
    struct queue_in_rcpt r = {.address = STR("x@down.test"), .domain = STR("down.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test"), .release_ms = w.fe.wall + 4 * DAY};
    send(&m, &r, 1);
    pass(4 * DAY + 2 * HOUR);
    assert_int_equal(world_mailbox(1, NULL, "delayed"), 0); /* only two hours old */
    pass(8 * HOUR);
    assert_int_equal(world_mailbox(1, NULL, "delayed"), 1);
    pass(4 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "4.4.7"), 0);
    pass(DAY);
    assert_int_equal(world_mailbox(1, NULL, "4.4.7"), 1);
}

/* ---- rows as a former version wrote them ---- */

static void add_str16(struct buf *b, str_t s)
{
    buf_u16(b, (uint16_t)s.len);
    buf_add(b, s);
}

/* A message for an alias that goes on elsewhere: its row is required as it was read, though written
 * anew it is longer. */
static void first_version(void **state)
{
    (void)state;
    struct arena a;
    struct buf m, d;
    arena_init(&a, 1 << 20);
    buf_init(&m, 65536);
    buf_init(&d, 65536);
    queue_id_t id = queue_id_new(&w.fe.env);
    buf_u8(&m, 1);
    buf_u8(&m, 8); /* single */
    buf_u64(&m, (uint64_t)w.fe.wall);
    buf_u64(&m, 4);
    buf_u32(&m, 1);
    buf_u16(&m, 1);
    add_str16(&m, STR("a@us.test"));
    for (int i = 0; i < 4; i++)
        add_str16(&m, STR("x"));
    buf_u8(&d, 1);
    buf_u8(&d, QUEUE_READY);
    buf_u8(&d, 0);
    buf_u64(&d, (uint64_t)w.fe.wall);
    add_str16(&d, STR_NONE);
    buf_u32(&d, 0);
    buf_u64(&d, (uint64_t)w.fe.wall);
    add_str16(&d, STR_NONE);
    buf_u16(&d, 1);
    buf_u8(&d, 0);
    add_str16(&d, STR("both@us.test"));
    add_str16(&d, STR_NONE);
    struct store_batch b;
    store_batch_init(&b, QUEUE_PART, &a);
    store_put(&b, queue_key_chunk(id, 0, &a), STR("hi\r\n"));
    store_put(&b, queue_key_message(id, &a), buf_str(&m));
    store_put(&b, queue_key_delivery(id, 0, true, &a), buf_str(&d));
    assert_int_equal(store_commit(w.fe.env.store, &b), STORE_OK);
    world_now();
    assert_int_equal(world_got("x@one.test", NULL), 1);
    assert_int_equal(world_rows("dl/") + world_rows("dr/") + world_rows("c/"), 0);
    buf_free(&m);
    buf_free(&d);
    arena_free(&a);
}

/* ---- addresses that do not exist ---- */

/* The part that fails and the attempt for the others are of one millisecond: both are told of, and a
 * restart anywhere repeats nothing. */
static void suppressed_with_others(void **state)
{
    (void)state;
    struct arena a;
    struct queue_in_rcpt r[2] = {to_one("bad@one.test"), to_one("good@one.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    struct queue_story s;
    arena_init(&a, 1 << 20);
    send(&m, r, 1);
    world_now();
    assert_int_equal(world_rows("s/"), 1);
    queue_id_t id = send(&m, r, 2);
    world_now();
    assert_int_equal(world_got("good@one.test", NULL), 1);
    assert_int_equal(world_mailbox(1, NULL, "suppressed since"), 1);
    assert_int_equal(queue_story_read(w.fe.env.store, id, &a, &s), STORE_OK);
    assert_int_equal(s.nevents, 2);
    assert_int_equal(s.events[0].nresults + s.events[1].nresults, 2);
    /* after a restart it is known still */
    world_restart(3);
    uint64_t steps = w.steps;
    send(&m, r, 1);
    world_now();
    assert_int_equal(w.steps, steps);
    assert_int_equal(world_mailbox(1, NULL, "suppressed since"), 2);
    /* taken away by hand it is tried again at once */
    bool removed;
    assert_int_equal(queue_suppressed_remove(w.fe.env.store, STR("bad@one.test"), &removed),
                     STORE_OK);
    assert_true(removed);
    send(&m, r, 1);
    world_now();
    assert_true(w.steps > steps);
    assert_int_equal(world_mailbox(1, NULL, "suppressed since"), 2);
    arena_free(&a);
}

/* ---- the operator, and the other side ---- */

static void set_table(enum table t, str_t key, const char *value)
{
    struct err err;
    if (value != NULL)
        assert_int_equal(table_set(w.fe.env.store, t, key, str_c(value), &err), RC_OK);
    else
        assert_int_equal(table_remove(w.fe.env.store, t, key, &err), RC_OK);
}

static void suspended(void **state)
{
    (void)state;
    struct queue_in_rcpt r = to_one("x@one.test");
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    set_table(TABLE_SUSPEND, STR("one.test"), "why");
    send(&m, &r, 1);
    pass(DAY);
    assert_int_equal(w.steps, 0);
    set_table(TABLE_SUSPEND, STR("one.test"), NULL);
    world_now(); /* at once */
    assert_int_equal(world_got("x@one.test", NULL), 1);
}

static void limited(void **state)
{
    (void)state;
    struct queue_in_rcpt r = to_one("x@one.test");
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    set_table(TABLE_LIMIT, STR("one.test"), "connections=1 per_minute=10");
    for (int i = 0; i < 25; i++)
        send(&m, &r, 1);
    world_now();
    assert_int_equal(world_got("x@one.test", NULL), 10);
    pass(MINUTE - 1000);
    assert_int_equal(world_got("x@one.test", NULL), 10);
    pass(1000);
    assert_int_equal(world_got("x@one.test", NULL), 20);
    set_table(TABLE_LIMIT, STR("one.test"), NULL);
    world_now();
    assert_int_equal(world_got("x@one.test", NULL), 25);
}

static void asked_for(void **state)
{
    (void)state;
    struct queue_in_rcpt r = {.address = STR("x@down.test"), .domain = STR("down.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    w.down = true;
    send(&m, &r, 1);
    pass(3 * HOUR);
    assert_int_equal(w.ngot, 0);
    w.down = false;
    row_put(QUEUE_PART, STR("etrn/down.test"), STR(""));
    world_now();
    assert_int_equal(world_got("x@down.test", NULL), 1);
    struct queue_in_rcpt other = to_one("y@one.test");
    send(&m, &other, 1); /* the row goes lazily: with a durable batch */
    assert_int_equal(world_rows("etrn/"), 0);
}

/* What courier says of a destination that waits. */
static void waits_told(void **state)
{
    (void)state;
    struct arena a;
    struct queue_wait wait;
    bool found;
    struct queue_in_rcpt r = {.address = STR("x@down.test"), .domain = STR("down.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    arena_init(&a, 1 << 20);
    w.down = true;
    send(&m, &r, 1);
    world_now();
    assert_int_equal(queue_wait_read(&w.fe.env, STR("down.test"), &a, &found, &wait), STORE_OK);
    assert_true(found && str_contains(wait.reason, STR("connection refused")));
    assert_true(str_eq(wait.site, STR("down.test")));
    assert_in_range(wait.until_ms - w.fe.wall, 4 * MINUTE, 6 * MINUTE);
    w.down = false;
    pass(HOUR);
    assert_int_equal(w.ngot, 1);
    str_t value;
    struct queue_in_rcpt other = to_one("y@one.test"); /* the row goes lazily: a durable batch */
    send(&m, &other, 1);
    assert_false(row(queue_key_wait(STR("down.test"), &a), &a, &value));
    arena_free(&a);
}

static void retry(str_t domain)
{
    struct queue_filter f = {.domain = domain};
    size_t n;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_RETRY, &n), STORE_OK);
    assert_int_equal(n, 1);
}

/* A domain that comes to a host which was found to be down is not tried there; why is known of it
 * too. */
static void site_waits(void **state)
{
    (void)state;
    struct arena a;
    struct queue_wait first, wait;
    struct queue_story s;
    bool found;
    struct queue_in_rcpt p = {.address = STR("x@p.test"), .domain = STR("p.test")},
                         q = {.address = STR("y@q.test"), .domain = STR("q.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    arena_init(&a, 1 << 20);
    set_table(TABLE_TRANSPORT, STR("p.test"), "smtp down.test");
    set_table(TABLE_TRANSPORT, STR("q.test"), "smtp down.test");
    w.down = true;
    send(&m, &p, 1);
    world_now();
    uint64_t steps = w.steps;
    queue_id_t id = send(&m, &q, 1);
    world_now();
    assert_int_equal(w.steps, steps);
    assert_int_equal(queue_story_read(w.fe.env.store, id, &a, &s), STORE_OK);
    assert_true(s.ndeliveries == 1 && s.deliveries[0].attempts == 0 && s.nevents == 0);
    struct queue_in_rcpt other = to_one("z@one.test"); /* why goes lazily: with a durable batch */
    send(&m, &other, 1);
    world_now();
    assert_int_equal(queue_wait_read(&w.fe.env, STR("p.test"), &a, &found, &first), STORE_OK);
    assert_int_equal(queue_wait_read(&w.fe.env, STR("q.test"), &a, &found, &wait), STORE_OK);
    assert_true(found && str_contains(wait.reason, STR("connection refused")));
    assert_true(str_eq(wait.reason, first.reason) && str_eq(wait.site, STR("down.test")));
    assert_int_equal(wait.until_ms, first.until_ms);
    /* one that the operator wants to be tried is tried */
    struct queue_in_rcpt held = {.address = STR("v@r.test"), .domain = STR("r.test"), .hold = true};
    set_table(TABLE_TRANSPORT, STR("r.test"), "smtp down.test");
    send(&m, &held, 1);
    world_now();
    steps = w.steps;
    struct queue_filter of_r = {.domain = STR("r.test")};
    size_t n;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &of_r, QUEUE_RELEASE, &n), STORE_OK);
    world_now();
    assert_int_equal(w.steps, steps + 1);
    w.down = false; /* nobody knows yet */
    send(&m, &q, 1);
    world_now();
    assert_int_equal(world_got("y@q.test", NULL), 0);
    struct queue_filter f = {.by_id = true, .id = id};
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_RETRY, &n), STORE_OK);
    world_now();
    assert_int_equal(world_got("y@q.test", NULL), 2); /* and who waited behind it */
    arena_free(&a);
}

static unsigned at_dot;

static void retry_at_dot(void)
{
    if (at_dot++ == 0)
        retry(STR("drop.test"));
}

/* Asked for while it is under way, and that fails: once more, at once. */
static void retried_meanwhile(void **state)
{
    (void)state;
    struct arena a;
    struct queue_story s;
    struct queue_in_rcpt r = {.address = STR("x@drop.test"), .domain = STR("drop.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    arena_init(&a, 1 << 20);
    at_dot = 0;
    w.at_dot = retry_at_dot;
    queue_id_t id = send(&m, &r, 1);
    world_now();
    assert_int_equal(at_dot, 2);
    assert_int_equal(queue_story_read(w.fe.env.store, id, &a, &s), STORE_OK);
    assert_true(s.ndeliveries == 1 && s.deliveries[0].attempts == 2 && !s.deliveries[0].asked);
    assert_true(s.deliveries[0].next_ms > w.fe.wall + MINUTE);
    retry(STR("drop.test")); /* in the same millisecond as its attempt */
    world_now();
    assert_int_equal(at_dot, 3);
    arena_free(&a);
}

/* What is asked for by hand is tried though its address is known not to exist. */
static void retried_suppressed(void **state)
{
    (void)state;
    struct queue_in_rcpt r = to_one("bad@one.test");
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    send(&m, &r, 1);
    world_now();
    assert_int_equal(world_rows("s/"), 1);
    set_table(TABLE_SUSPEND, STR("one.test"), "why");
    send(&m, &r, 1);
    world_now();
    retry(STR("one.test"));
    set_table(TABLE_SUSPEND, STR("one.test"), NULL);
    uint64_t steps = w.steps;
    world_now();
    assert_true(w.steps > steps);
    assert_int_equal(world_mailbox(1, NULL, "suppressed since"), 0);
}

/* DELIVERBY after the wall clock jumped ahead: not believed at once. */
static void late_by_the_clock(void **state)
{
    (void)state;
    struct queue_in_rcpt r = {.address = STR("x@down.test"), .domain = STR("down.test")};
    struct queue_message m = {.reverse_path = STR("a@us.test"),
                              .by = QUEUE_BY_RETURN,
                              .deliver_by_ms = w.fe.wall + 3 * HOUR};
    w.down = true;
    send(&m, &r, 1);
    world_now();
    w.fe.wall += 5 * HOUR;
    pass(5 * MINUTE);
    assert_int_equal(world_mailbox(1, NULL, "5.4.7"), 0);
    pass(3 * HOUR);
    assert_int_equal(world_mailbox(1, NULL, "5.4.7"), 1);
    assert_int_equal(world_mailbox(1, NULL, "\r\nDeliver-By-Date: "), 1);
    /* and back: what came up by the other clock waits on */
    m.deliver_by_ms = w.fe.wall + HOUR;
    send(&m, &r, 1);
    world_now();
    w.fe.wall -= 2 * HOUR;
    pass(2 * HOUR);
    assert_int_equal(world_mailbox(1, NULL, "5.4.7"), 1);
    pass(HOUR + 2 * MINUTE);
    assert_int_equal(world_mailbox(1, NULL, "5.4.7"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(given_up_from_release, setup, teardown),
        cmocka_unit_test_setup_teardown(first_version, setup, teardown),
        cmocka_unit_test_setup_teardown(suppressed_with_others, setup, teardown),
        cmocka_unit_test_setup_teardown(suspended, setup, teardown),
        cmocka_unit_test_setup_teardown(limited, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_told, setup, teardown),
        cmocka_unit_test_setup_teardown(site_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(retried_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(retried_suppressed, setup, teardown),
        cmocka_unit_test_setup_teardown(late_by_the_clock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
