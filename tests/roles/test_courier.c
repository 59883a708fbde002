/* test_courier.c: courier and local on made-up days: retries, warnings, giving up, bounces, the
 * operator's hand, damage, clocks. */
#include "roles/post_world.h"

#define HOUR 3600000LL
#define DAY  (24 * HOUR)

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

static struct queue_story story(queue_id_t id, struct arena *a)
{
    struct queue_story s;
    assert_int_equal(queue_story_read(w.fe.env.store, id, a, &s), STORE_OK);
    return s;
}

static size_t change(queue_id_t id, enum queue_change what)
{
    struct queue_filter f = {.by_id = true, .id = id};
    size_t n;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, what, &n), STORE_OK);
    return n;
}

/* ---- the ordinary day ---- */

static void one_transaction_one_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(world_send("t", "a@us.test", "p@one.test r@one.test", 100, NULL),
                         STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(w.ngot, 10);
    assert_int_equal(w.max_connections, 1);
    assert_int_equal(world_rows("c/"), 0);
    assert_int_equal(world_rows("d"), 0);
    assert_int_equal(world_rows("m/"), 5); /* the story stays */
    assert_int_equal(world_rows("t/"), 5);
}

/* A row too long for a hint is read. */
static void long_row(void **state)
{
    (void)state;
    char to[8192] = "";
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(to + n, sizeof to - n,
                              "%sa-recipient-with-a-rather-long-local-part-%03d@one.test",
                              i ? " " : "", i);
    world_now();
    assert_int_equal(world_send("t", "a@us.test", to, 100, NULL), STORE_OK);
    world_now();
    assert_int_equal(w.ngot, 100);
    assert_int_equal(world_rows("d"), 0);
}

static void story_told(void **state)
{
    (void)state;
    queue_id_t id;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, &id), STORE_OK);
    world_quiet(HOUR);
    struct queue_story s = story(id, &a);
    assert_true(s.found && s.has_m && s.ndeliveries == 0 && s.nevents == 1);
    assert_int_equal(s.events[0].kind, QUEUE_EVENT_ATTEMPT);
    assert_true(str_eq(s.events[0].host, STR("one.test")) &&
                str_eq(s.events[0].addr, STR("192.0.2.1:25")));
    assert_int_equal(s.events[0].results[0].code, 250);
    assert_int_equal(s.events[0].results[0].outcome, QUEUE_DELIVERED);
    id.b[9] ^= 1;
    assert_false(story(id, &a).found);
    arena_free(&a);
}

static void trace_headers(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_int_equal(world_send("t", "b@us.test", "a+tag@us.test", 100, NULL), STORE_OK);
    world_quiet(HOUR);
    struct mailbox_message *m;
    size_t n;
    str_t text;
    assert_int_equal(mailbox_list(w.fe.env.store, 1, MAILBOX_INBOX, &a, &m, &n), STORE_OK);
    assert_int_equal(n, 1);
    assert_int_equal(mailbox_chunk(w.fe.env.store, 1, &m[0], 0, &a, &text), STORE_OK);
    assert_true(str_starts(
        text, STR("Return-Path: <b@us.test>\r\nDelivered-To: a+tag@us.test\r\nX-Test: t\r\n")));
    arena_free(&a);
}

/* ---- waiting ---- */

/* 5, 15, 30 min, 1 h, 2 h, 4 h, 4 h …; the sender is warned once after 4 h and told after 5
 * days. */
static void retry_schedule(void **state)
{
    (void)state;
    static const int64_t minutes[] = {5, 15, 30, 60, 120, 240, 240, 240, 240, 240};
    queue_id_t id;
    struct arena a;
    arena_init(&a, 16 << 20);
    w.grey = true;
    int64_t begin = w.fe.wall;
    assert_int_equal(world_send("t", "a@us.test", "grey@grey.test", 100, &id), STORE_OK);
    world_now();
    struct queue_story s = story(id, &a);
    assert_true(s.ndeliveries == 1 && s.deliveries[0].attempts == 1);
    assert_true(str_eq(s.deliveries[0].reason, STR("grey.test: 450 4.7.1 come back later")));
    world_quiet(6 * DAY);
    s = story(id, &a);
    assert_int_equal(s.ndeliveries, 0);
    size_t warned = 0, bounced = 0;
    for (size_t i = 0; i < s.nevents; i++) {
        const struct queue_event *e = &s.events[i];
        if (i + 1 < s.nevents && i < sizeof minutes / sizeof *minutes) {
            int64_t gap = s.events[i + 1].time_ms - e->time_ms;
            assert_in_range(gap, minutes[i] * 48000, minutes[i] * 72000);
            assert_int_equal(e->next_ms, s.events[i + 1].time_ms);
        }
        warned += e->warned;
        bounced += e->bounced;
        if (e->warned)
            assert_in_range(e->time_ms - begin, 4 * HOUR, 9 * HOUR);
        if (e->bounced)
            assert_in_range(e->time_ms - begin, 5 * DAY, 5 * DAY + 5 * HOUR);
    }
    assert_int_equal(warned, 1);
    assert_int_equal(bounced, 1);
    assert_int_equal(world_mailbox(1, NULL, "grey@grey.test"), 2);
    assert_int_equal(world_mailbox(1, NULL, "Action: delayed"), 1);
    assert_int_equal(world_mailbox(1, NULL, "Action: failed"), 1);
    assert_int_equal(world_mailbox(1, NULL, "4.4.7"), 1);
    assert_int_equal(world_rows("c/"), 0);
    arena_free(&a);
}

static void null_sender_is_not_warned(void **state)
{
    (void)state;
    w.grey = true;
    assert_int_equal(world_send("t", "", "grey@grey.test", 100, NULL), STORE_OK);
    world_quiet(4 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "grey@grey.test"), 0);
    world_quiet(2 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "grey@grey.test"), 1); /* the postmaster, in the end */
}

/* A destination that cannot be reached is tried once for all that wait there. */
static void destination_waits(void **state)
{
    (void)state;
    w.down = true;
    queue_id_t id[20];
    for (int i = 0; i < 20; i++)
        assert_int_equal(world_send("t", "a@us.test", "p@down.test", 100, &id[i]), STORE_OK);
    world_now();
    uint64_t steps = w.steps;
    assert_in_range(steps, 1, 2); /* one connect for all */
    struct arena a;
    arena_init(&a, 1 << 20);
    struct queue_story s = story(id[19], &a);
    assert_int_equal(s.deliveries[0].attempts, 1);
    assert_true(str_contains(s.deliveries[0].reason, STR("refused")));
    /* waits with the others */
    assert_int_equal(world_send("new", "a@us.test", "p@down.test", 100, NULL), STORE_OK);
    world_now();
    assert_int_equal(w.steps, steps);
    w.down = false;
    world_quiet(DAY);
    assert_int_equal(w.ngot, 21);
    arena_free(&a);
}

static void retry_by_hand(void **state)
{
    (void)state;
    queue_id_t id;
    w.down = true;
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 100, &id), STORE_OK);
    world_now();
    w.down = false;
    world_now();
    assert_int_equal(w.ngot, 0);
    assert_int_equal(change(id, QUEUE_RETRY), 1);
    world_now(); /* at once, although the destination was to wait */
    assert_int_equal(w.ngot, 1);
}

/* ---- the operator's hand, also during a delivery ---- */

static queue_id_t subject;
static enum queue_change subject_change;

static void change_at_dot(void)
{
    w.at_dot = NULL;
    assert_int_equal(change(subject, subject_change), 1);
}

static void hold_during_delivery(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    w.grey = true;
    w.at_dot = change_at_dot;
    subject_change = QUEUE_HOLD;
    assert_int_equal(world_send("t", "a@us.test", "p@grey.test grey@grey.test", 100, &subject),
                     STORE_OK);
    world_quiet(DAY);
    struct queue_story s = story(subject, &a);
    assert_int_equal(s.ndeliveries, 1);
    assert_int_equal(s.deliveries[0].state, QUEUE_HELD); /* the hold was not overwritten … */
    assert_int_equal(s.deliveries[0].nrcpt, 1); /* … and what was delivered is delivered */
    assert_true(str_eq(s.deliveries[0].rcpt[0].address, STR("grey@grey.test")));
    assert_int_equal(w.ngot, 1);
    w.grey = false;
    assert_int_equal(change(subject, QUEUE_RETRY), 0); /* held stays held */
    assert_int_equal(change(subject, QUEUE_RELEASE), 1);
    world_now();
    assert_int_equal(w.ngot, 2);
    assert_int_equal(world_rows("d"), 0);
    arena_free(&a);
}

static void remove_during_delivery(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    w.grey = true;
    w.at_dot = change_at_dot;
    subject_change = QUEUE_REMOVE;
    assert_int_equal(world_send("t", "a@us.test", "p@grey.test grey@grey.test", 100, &subject),
                     STORE_OK);
    world_quiet(DAY);
    struct queue_story s = story(subject, &a);
    assert_int_equal(s.ndeliveries, 0);
    assert_int_equal(s.nevents, 2); /* removed, and what the attempt had done */
    assert_int_equal(w.ngot, 1);
    assert_int_equal(world_rows("c/"), 0);
    arena_free(&a);
}

static void bounce_by_hand(void **state)
{
    (void)state;
    queue_id_t id;
    w.down = true;
    assert_int_equal(world_send("t", "a@us.test", "p@down.test b@us.test", 100, &id), STORE_OK);
    assert_int_equal(world_send("u", "b@us.test", "p@down.test", 100, NULL), STORE_OK);
    world_now();
    struct queue_filter f = {.domain = STR("DOWN.test"), .sender = STR("A@us.test")};
    size_t n;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_BOUNCE, &n), STORE_OK);
    assert_int_equal(n, 1);
    world_now();
    assert_int_equal(world_mailbox(1, NULL, "removed from the queue by the postmaster"), 1);
    assert_int_equal(world_rows("d"), 1); /* b's */
}

static bool count_item(void *user, const struct queue_item *item)
{
    assert_non_null(item->m);
    ++*(size_t *)user;
    return true;
}

static bool count_found(void *user, const struct queue_message *m)
{
    (void)m;
    return ++*(size_t *)user < 100;
}

static void list_and_find(void **state)
{
    (void)state;
    w.down = true;
    for (int i = 0; i < 450; i++) { /* more than two pages */
        assert_int_equal(world_send("t", i % 2 ? "a@us.test" : "", "p@down.test", 10, NULL),
                         STORE_OK);
        fake_env_pass(&w.fe, 1);
    }
    assert_int_equal(world_send("t", "z@sender.test", "q@one.test", 10, NULL), STORE_OK);
    size_t n = 0, held;
    struct queue_filter f = {0};
    assert_int_equal(queue_list(w.fe.env.store, &f, count_item, &n), STORE_OK);
    assert_int_equal(n, 451);
    f.sender = STR("<>");
    n = 0;
    assert_int_equal(queue_list(w.fe.env.store, &f, count_item, &n), STORE_OK);
    assert_int_equal(n, 225);
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_HOLD, &held), STORE_OK);
    assert_int_equal(held, 225);
    f = (struct queue_filter){.by_state = true, .state = QUEUE_HELD, .domain = STR("down.test")};
    n = 0;
    assert_int_equal(queue_list(w.fe.env.store, &f, count_item, &n), STORE_OK);
    assert_int_equal(n, 225);
    world_now();
    bool cut;
    n = 0;
    assert_int_equal(
        queue_find(w.fe.env.store, STR("Q@one.test"), QUEUE_FIND_LOOK, count_found, &n, &cut),
        STORE_OK);
    assert_int_equal(n, 1); /* by its events: it is delivered */
    n = 0;
    assert_int_equal(queue_find(w.fe.env.store, STR("p@down.test"), 300, count_found, &n, &cut),
                     STORE_OK);
    assert_int_equal(n, 100);
    n = 0;
    assert_int_equal(
        queue_find(w.fe.env.store, STR("nobody@else.test"), 300, count_found, &n, &cut), STORE_OK);
    assert_true(n == 0 && cut);
}

/* ---- bounces ---- */

static void bounce_text(void **state)
{
    (void)state;
    assert_int_equal(world_send("tag", "s@sender.test", "bad@one.test", 100, NULL), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_got("s@sender.test", NULL), 1);
    assert_int_equal(world_rows("d"), 0);
    assert_int_equal(world_rows("c/"), 0);
}

/* The bounce's sender does not exist either: the postmaster; and if the postmaster is a dead end
 * too, it ends there. */
static void double_bounce(void **state)
{
    (void)state;
    assert_int_equal(world_send("t", "bad@sender.test", "bad@one.test", 100, NULL), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, NULL, "bad@sender.test"), 1);
    assert_int_equal(world_rows("d"), 0);
    struct err err;
    str_t away = STR("bad@two.test");
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("postmaster@us.test"), &away, 1, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "bad@sender.test", "bad@one.test", 100, NULL), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_rows("d"), 0);
    assert_int_equal(world_rows("c/"), 0);
}

static void loops(void **state)
{
    (void)state;
    assert_int_equal(world_send("t", "a@us.test", "loop@us.test", 100, NULL), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, NULL, "5.4.6"), 1);
    /* been here before: its header says so */
    struct queue_in *in = queue_in_begin(&w.fe.env);
    struct queue_in_rcpt r = {.address = STR("b@us.test"), .domain = STR("us.test"), .local = true};
    struct queue_message m = {.reverse_path = STR("a@us.test")};
    assert_int_equal(
        queue_in_write(
            in, STR("Delivered-To: B@us.test\r\nSubject: x\r\n\r\nDelivered-To: a@us.test\r\n")),
        STORE_OK);
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, NULL, "5.4.6"), 2);
}

/* Aliases with many targets: each once, by domain, in batches that fit. */
static void big_alias(void **state)
{
    (void)state;
    struct err err;
    static char text[500][32];
    static str_t target[500];
    for (int i = 0; i < 500;
         i++) { /* 450 domains, so more rows than one batch adds; none of them exists */
        snprintf(text[i], sizeof text[i], "u%d@d%d.example", i, i % 450);
        target[i] = str_c(text[i]);
    }
    target[499] = STR("b@us.test");
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("all@us.test"), target, 500, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "a@us.test", "all@us.test", 100, NULL), STORE_OK);
    assert_true(carrier_step(&w.local->carrier) > 0);
    fake_env_pass(&w.fe, 1000);
    carrier_step(&w.local->carrier);
    assert_int_equal(world_rows("dr/"), 450);
    assert_int_equal(world_rows("dl/"), 0);
    assert_int_equal(world_mailbox(2, "t", NULL), 1);
    assert_int_equal(world_rows("c/"), 1);
    world_quiet(HOUR);
    assert_int_equal(world_rows("d"), 0);
    assert_int_equal(world_rows("c/"), 0);
    assert_int_equal(world_mailbox(1, NULL, "5.1.2"), 450); /* NXDOMAIN is for good */
}

/* ---- damage ---- */

static void content_damaged(void **state)
{
    (void)state;
    queue_id_t id;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 200000, &id), STORE_OK);
    store_memory_damage(w.fe.env.store, QUEUE_PART, queue_key_chunk(id, 1, &a));
    world_now();
    assert_int_equal(w.ngot, 0);
    struct queue_story s = story(id, &a);
    assert_int_equal(s.ndeliveries, 1);
    assert_true(str_contains(s.deliveries[0].reason, STR("damaged")));
    world_quiet(HOUR);
    assert_int_equal(w.ngot, 0);
    assert_int_equal(world_mailbox(1, NULL, "Status: 5.3.0"), 1);
    assert_int_equal(world_rows("d"), 0);
    arena_free(&a);
}

static void envelope_damaged(void **state)
{
    (void)state;
    queue_id_t id;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, &id), STORE_OK);
    store_memory_damage(w.fe.env.store, QUEUE_PART, queue_key_message(id, &a));
    world_quiet(DAY);
    struct queue_story s = story(id, &a);
    assert_true(s.m_damaged && s.ndeliveries == 1 && s.deliveries[0].state == QUEUE_HELD);
    assert_int_equal(world_rows("c/"), 1); /* nothing is thrown away */
    assert_int_equal(change(id, QUEUE_REMOVE), 1);
    assert_int_equal(world_rows("d"), 0);
    arena_free(&a);
}

/* ---- the sweeper ---- */

static void sweep(void)
{
    while (sweep_step(w.courier)) {
    }
}

static void abandoned(void **state)
{
    (void)state;
    static char piece[STORE_CHUNK];
    struct queue_in *gone = queue_in_begin(&w.fe.env), *slow = queue_in_begin(&w.fe.env);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(queue_in_write(gone, str_of(piece, sizeof piece)), STORE_OK);
        assert_int_equal(queue_in_write(slow, str_of(piece, sizeof piece)), STORE_OK);
    }
    queue_in_abort(gone); /* takes its chunks back itself */
    queue_id_t id;
    w.down = true;
    /* durable: the lazy ones are visible */
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 200000, &id), STORE_OK);
    size_t all = world_rows("c/");
    sweep();
    assert_int_equal(world_rows("c/"), all); /* young */
    fake_env_pass(&w.fe, 2 * HOUR);
    sweep();
    assert_int_equal(world_rows("c/"), all - 2); /* the one that waits keeps its */
    struct queue_in_rcpt r = {.address = STR("p@one.test"), .domain = STR("one.test")};
    struct queue_message m = {0};
    /* too slow: not acknowledged, not half there */
    assert_int_equal(queue_in_commit(slow, &m, &r, 1), STORE_CONFLICT);
    assert_int_equal(world_rows("m/"), 1);
}

/* A store that finishes a message just before the n-th scan. */
static struct finisher {
    struct store store;
    struct store *real;
    struct queue_in *in;
    int scans;
    enum store_rc rc;
} finisher;

static void finisher_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    store_submit(finisher.real, c);
}

static enum store_rc finisher_scan(struct store *s, const struct store_scan *q, struct arena *a,
                                   struct store_page *out)
{
    (void)s;
    if (finisher.in != NULL && finisher.scans-- == 0) {
        struct queue_in_rcpt r = {.address = STR("p@one.test"), .domain = STR("one.test")};
        struct queue_message m = {0};
        struct queue_in *in = finisher.in;
        finisher.in = NULL;
        w.fe.env.store = finisher.real;
        finisher.rc = queue_in_commit(in, &m, &r, 1);
        w.fe.env.store = &finisher.store;
    }
    return store_scan(finisher.real, q, a, out);
}

/* Slower than the sweeper waits, and finished while it looks: all of it is there, or it was not
 * acknowledged. */
static void finished_while_sweeping(void **state)
{
    (void)state;
    static const struct store_ops ops = {.submit = finisher_submit, .scan = finisher_scan};
    static char piece[STORE_CHUNK];
    int acknowledged = 0;
    for (int n = 0; n < 5; n++) {
        finisher = (struct finisher){.store.ops = &ops, .real = w.fe.env.store, .scans = n};
        finisher.in = queue_in_begin(&w.fe.env);
        for (int i = 0; i < 3; i++)
            assert_int_equal(queue_in_write(finisher.in, str_of(piece, sizeof piece)), STORE_OK);
        /* durable: the lazy ones are visible */
        assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, NULL), STORE_OK);
        size_t chunks = world_rows("c/") - 2, messages = world_rows("m/");
        fake_env_pass(&w.fe, 2 * HOUR);
        w.fe.env.store = &finisher.store;
        sweep();
        w.fe.env.store = finisher.real;
        queue_in_abort(finisher.in);
        bool there = finisher.in == NULL && finisher.rc == STORE_OK;
        assert_int_equal(world_rows("m/"), messages + there);
        assert_int_equal(world_rows("c/"), chunks + (there ? 3 : 0));
        acknowledged += there;
    }
    assert_in_range(acknowledged, 1, 4);
}

static void stories_end(void **state)
{
    (void)state;
    w.down = true;
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, NULL), STORE_OK);
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 100, NULL), STORE_OK);
    world_now();
    fake_env_pass(&w.fe, 6 * DAY);
    sweep();
    assert_int_equal(world_rows("m/"), 2);
    fake_env_pass(&w.fe, 2 * DAY);
    sweep();
    assert_int_equal(world_rows("m/"), 1); /* the other still waits */
    assert_int_equal(world_rows("dr/"), 1);
    assert_int_equal(world_rows("t/"), 1);
}

/* ---- clocks ---- */

static void clock_jumps(void **state)
{
    (void)state;
    w.down = true;
    for (int i = 0; i < 10; i++)
        assert_int_equal(world_send("t", "a@us.test", "p@down.test", 100, NULL), STORE_OK);
    world_now();
    w.fe.wall += 3650 * DAY;
    /* tried within the grace, and not expired by a clock nobody believes yet */
    world_quiet(HOUR / 10);
    assert_int_equal(world_mailbox(1, NULL, "Action: failed"), 0);
    assert_int_equal(world_rows("dr/"), 10);
    w.fe.wall -= 3660 * DAY;
    world_quiet(HOUR / 2);
    assert_int_equal(world_rows("dr/"), 10);
    w.down = false;
    world_quiet(10 * HOUR); /* nothing waits for ten years */
    assert_int_equal(world_rows("dr/"), 0);
    assert_int_equal(w.ngot, 10);
}

/* ---- the order of dots and marks ---- */

/* A store whose answers to batches take a while, so that what does not wait for them is seen. */
struct slow_store {
    struct store store;
    struct store_ops ops;
    struct store *inner;
};

struct slow_commit {
    struct store *inner;
    struct store_commit *c;
};

static void *slow_apply(void *user)
{
    struct slow_commit *s = user;
    struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
    s->inner->ops->submit(s->inner, s->c);
    free(s);
    return NULL;
}

static struct slow_store slow;

static void slow_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    struct slow_commit *k = malloc(sizeof *k);
    pthread_t t;
    *k = (struct slow_commit){slow.inner, c};
    assert_int_equal(pthread_create(&t, NULL, slow_apply, k), 0);
    pthread_detach(t);
}

static enum store_rc slow_get(struct store *s, part_t p, const str_t *k, size_t n, struct arena *a,
                              struct store_value *v)
{
    (void)s;
    return slow.inner->ops->get(slow.inner, p, k, n, a, v);
}
static enum store_rc slow_scan(struct store *s, const struct store_scan *q, struct arena *a,
                               struct store_page *p)
{
    (void)s;
    return slow.inner->ops->scan(slow.inner, q, a, p);
}
static const struct store_board *slow_board(struct store *s)
{
    (void)s;
    return slow.inner->ops->board(slow.inner);
}

static size_t dots, rows_at_dot[8];

static void count_at_dot(void)
{
    assert_in_range(dots, 0, 7);
    rows_at_dot[dots++] = world_rows("dr/");
}

static void dot_waits_for_the_mark(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, NULL), STORE_OK);
    slow.inner = w.fe.env.store;
    slow.ops = *slow.inner->ops;
    slow.ops.submit = slow_submit;
    slow.ops.get = slow_get;
    slow.ops.scan = slow_scan;
    slow.ops.board = slow_board;
    slow.store.ops = &slow.ops;
    w.fe.env.store = &slow.store;
    w.at_dot = count_at_dot;
    dots = 0;
    world_now();
    w.fe.env.store = slow.inner;
    assert_int_equal(dots, 5);
    /* all that were sent before are marked */
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rows_at_dot[i], 5 - i);
}

/* A store that says no for a while: what was sent is not forgotten. */
static void full_disk(void **state)
{
    (void)state;
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, NULL), STORE_OK);
    store_memory_fail(w.fe.env.store, STORE_FULL);
    world_now();
    assert_int_equal(w.ngot, 1);
    assert_int_equal(world_rows("dr/"), 1);
    store_memory_fail(w.fe.env.store, STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_rows("dr/"), 0);
}

/* Another courier took the lease: this one changes nothing any more. */
static void lease_lost(void **state)
{
    (void)state;
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 100, NULL), STORE_OK);
    struct store_lease other;
    assert_int_equal(store_lease_take(w.fe.env.store, QUEUE_PART, STR("lease/courier"), &other),
                     STORE_OK);
    world_now();
    assert_true(w.courier->carrier.lost);
    assert_int_equal(world_rows("dr/"), 1);
    world_restart(1);
    world_quiet(HOUR);
    assert_int_equal(world_rows("dr/"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_transaction_one_connection),
        T(long_row),
        T(story_told),
        T(trace_headers),
        T(retry_schedule),
        T(null_sender_is_not_warned),
        T(destination_waits),
        T(retry_by_hand),
        T(hold_during_delivery),
        T(remove_during_delivery),
        T(bounce_by_hand),
        T(list_and_find),
        T(bounce_text),
        T(double_bounce),
        T(loops),
        T(big_alias),
        T(content_damaged),
        T(envelope_damaged),
        T(abandoned),
        T(finished_while_sweeping),
        T(stories_end),
        T(clock_jumps),
        T(dot_waits_for_the_mark),
        T(full_disk),
        T(lease_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
