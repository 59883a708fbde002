/* test_queue_admin.c: The queue as its operator sees it: filters, order, sums, re-routing, and the
 * rows of suppressed addresses and waiting destinations. */
#include "queue_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "post/queue_admin.h"
#include "post/queue_group.h"
#include "post/queue_suppress.h"
#include "post/queue_wait.h"

struct put {
    const char *from, *to, *source, *via, *reason;
    bool local, hold;
    uint64_t account;
};

/* A second later each. */
static queue_id_t put(struct put p)
{
    struct queue_in *in = queue_in_begin(&fe.env);
    queue_id_t id = queue_in_id(in);
    assert_int_equal(queue_in_write(in, STR("x\r\n")), STORE_OK);
    size_t at = 0;
    assert_true(str_rfind(str_c(p.to), '@', &at));
    struct queue_in_rcpt r = {.address = str_c(p.to),
                              .domain = str_from(str_c(p.to), at + 1),
                              .local = p.local,
                              .hold = p.hold,
                              .reason = str_c(p.reason),
                              .via = str_c(p.via)};
    struct queue_message m = {
        .reverse_path = str_c(p.from), .source = str_c(p.source), .account = p.account};
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_OK);
    fake_env_pass(&fe, 1000);
    return id;
}

/* As courier writes it after an attempt. */
static void deferred(queue_id_t id, const char *reason, int64_t again_ms)
{
    struct queue_delivery d;
    struct buf b;
    struct store_batch batch;
    bool present;
    str_t key = queue_key_delivery(id, 0, false, &a), value;
    assert_int_equal(store_get1(fe.env.store, QUEUE_PART, key, &a, &present, &value), STORE_OK);
    assert_true(present && queue_delivery_decode(key, value, &a, &d));
    d.attempts++;
    d.reason = str_c(reason);
    d.next_ms = fe.wall + again_ms;
    buf_init(&b, STORE_VALUE_MAX);
    assert_true(queue_delivery_encode(&d, &b));
    store_batch_init(&batch, QUEUE_PART, &a);
    store_put(&batch, key, buf_str(&b));
    assert_int_equal(store_commit(fe.env.store, &batch), STORE_OK);
    buf_free(&b);
}

static void some_mail(void)
{
    put((struct put){.from = "anna@us.test", .to = "bob@one.test", .source = "a/1", .account = 1});
    put((struct put){.from = "bert@us.test", .to = "carl@us.test", .source = "a/2", .local = true});
    queue_id_t id =
        put((struct put){.from = "", .to = "dora@two.test", .source = "n/192.0.2.0/24"});
    deferred(id, "mx.two.test: 452 4.2.2 over quota, id 17", 60000);
    id = put(
        (struct put){.from = "anna@us.test", .to = "emil@two.test", .source = "a/1", .account = 1});
    deferred(id, "mx.two.test: 452 4.2.2 over quota, id 4711", 30000);
    put((struct put){.from = "Anna@us.test",
                     .to = "fritz@one.test",
                     .source = "a/1",
                     .hold = true,
                     .reason = "the rule",
                     .account = 1});
    put((struct put){
        .from = "gustav@far.test", .to = "bob@one.test", .via = "smtp relay.test", .source = ""});
}

/* ---- filters ---- */

static char seen[1000];

static bool see(void *user, const struct queue_item *it)
{
    (void)user;
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%s" STR_FMT, n > 0 ? " " : "",
             STR_ARG(it->d->rcpt[0].address));
    return true;
}

static void finds(struct queue_filter f, const char *want)
{
    seen[0] = '\0';
    assert_int_equal(queue_list(fe.env.store, &f, see, NULL), STORE_OK);
    assert_string_equal(seen, want);
}

static void filters(void **state)
{
    (void)state;
    int64_t begin = fe.wall;
    some_mail();
    finds((struct queue_filter){0}, "bob@one.test carl@us.test dora@two.test emil@two.test "
                                    "fritz@one.test bob@one.test"); /* both kinds, by age */
    finds((struct queue_filter){.domain = STR("TWO.test")}, "dora@two.test emil@two.test");
    finds((struct queue_filter){.domain = STR("us.test")}, "carl@us.test");
    finds((struct queue_filter){.sender = STR("anna@US.test")},
          "bob@one.test emil@two.test fritz@one.test");
    finds((struct queue_filter){.sender = STR("<>")}, "dora@two.test");
    finds((struct queue_filter){.sender = STR("@far.test")}, "bob@one.test");
    finds((struct queue_filter){.recipient = STR("BOB@one.test")}, "bob@one.test bob@one.test");
    finds((struct queue_filter){.by_account = true, .account = 1},
          "bob@one.test emil@two.test fritz@one.test");
    finds((struct queue_filter){.source = STR("a/2")}, "carl@us.test");
    finds((struct queue_filter){.reason = STR("OVER quota")}, "dora@two.test emil@two.test");
    finds((struct queue_filter){.by_class = true, .class = BOUNCE_FULL},
          "dora@two.test emil@two.test");
    finds((struct queue_filter){.by_class = true, .class = BOUNCE_OTHER}, "fritz@one.test");
    finds((struct queue_filter){.by_state = true, .state = QUEUE_HELD}, "fritz@one.test");
    finds((struct queue_filter){.before_ms = begin + 1500}, "bob@one.test carl@us.test");
    finds((struct queue_filter){.domain = STR("two.test"), .sender = STR("anna@us.test")},
          "emil@two.test");
    finds((struct queue_filter){.domain = STR("two.test"), .recipient = STR("bob@one.test")}, "");
}

static bool in_order(void *user, const struct queue_item *it)
{
    unsigned *next = user;
    char want[32];
    snprintf(want, sizeof want, "u%03u@d.test", (*next)++);
    assert_true(str_eq(it->d->rcpt[0].address, str_c(want)));
    return true;
}

/* More than a page of each kind, mixed. */
static void order_of_many(void **state)
{
    (void)state;
    char to[32];
    unsigned n = 0;
    for (unsigned i = 0; i < 900; i++) {
        snprintf(to, sizeof to, "u%03u@d.test", i);
        put((struct put){.from = "", .to = to, .local = i % 3 == 0});
    }
    struct queue_filter f = {0};
    assert_int_equal(queue_list(fe.env.store, &f, in_order, &n), STORE_OK);
    assert_int_equal(n, 900);
}

/* ---- sums ---- */

static char sums[4000];

static bool sum(void *user, const struct queue_group *g)
{
    (void)user;
    size_t n = strlen(sums);
    snprintf(sums + n, sizeof sums - n, "%s%s" STR_FMT "|" STR_FMT "|%d|%d", n > 0 ? "\n" : "",
             g->first ? "*" : "", STR_ARG(g->name), STR_ARG(g->reason), (int)g->deliveries,
             (int)g->held);
    return true;
}

static void sums_are(enum queue_group_by by, const char *want)
{
    struct queue_filter f = {0};
    sums[0] = '\0';
    assert_int_equal(queue_groups(fe.env.store, &f, by, sum, NULL), STORE_OK);
    assert_string_equal(sums, want);
}

static void groups(void **state)
{
    (void)state;
    some_mail();
    sums_are(QUEUE_BY_DESTINATION, "*one.test||1|0\n"
                                   "one.test|the rule|1|1\n"
                                   "*||1|0\n"
                                   "*two.test|452 4.2.2 over quota, id #|2|0\n"
                                   "*one.test via smtp relay.test||1|0");
    sums[0] = '\0';
    struct queue_filter f = {.domain = STR("two.test")};
    assert_int_equal(queue_groups(fe.env.store, &f, QUEUE_BY_CLASS, sum, NULL), STORE_OK);
    assert_string_equal(sums, "mailbox-full||2|0");
    f = (struct queue_filter){.sender = STR("anna@us.test")};
    sums[0] = '\0';
    assert_int_equal(queue_groups(fe.env.store, &f, QUEUE_BY_SOURCE, sum, NULL), STORE_OK);
    assert_string_equal(sums, "a/1||3|1");
    f = (struct queue_filter){.sender = STR("gustav@far.test")};
    sums[0] = '\0';
    assert_int_equal(queue_groups(fe.env.store, &f, QUEUE_BY_SENDER, sum, NULL), STORE_OK);
    assert_string_equal(sums, "gustav@far.test||1|0");
}

/* ---- what moves meanwhile ---- */

/* The store, where something else happens behind a scan. */
static struct moving {
    struct store store; /* first */
    struct store_ops ops;
    struct store *inner;
    void (*move)(void);
    unsigned scans, after; /* behind the `after`-th */
} moving;

static enum store_rc moving_get(struct store *s, part_t part, const str_t *keys, size_t n,
                                struct arena *to, struct store_value *out)
{
    (void)s;
    return store_get(moving.inner, part, keys, n, to, out);
}

static enum store_rc moving_scan(struct store *s, const struct store_scan *q, struct arena *to,
                                 struct store_page *out)
{
    (void)s;
    enum store_rc rc = store_scan(moving.inner, q, to, out);
    if (++moving.scans == moving.after)
        moving.move();
    return rc;
}

static enum store_rc moving_open(struct store *s, part_t part, uint64_t *id)
{
    (void)s;
    return store_snapshot_open(moving.inner, part, id);
}

static void moving_close(struct store *s, uint64_t id)
{
    (void)s;
    store_snapshot_close(moving.inner, id);
}

static struct store *moving_store(void (*move)(void), unsigned after)
{
    moving = (struct moving){.inner = fe.env.store, .move = move, .after = after};
    moving.ops = (struct store_ops){.get = moving_get,
                                    .scan = moving_scan,
                                    .snapshot_open = moving_open,
                                    .snapshot_close = moving_close};
    moving.store.ops = &moving.ops;
    return &moving.store;
}

static queue_id_t mover;

/* It is in the other kind now, as the same delivery. */
static void change_kind(bool to_local)
{
    struct store_batch b;
    bool present;
    str_t from = queue_key_delivery(mover, 0, !to_local, &a), value;
    assert_int_equal(store_get1(moving.inner, QUEUE_PART, from, &a, &present, &value), STORE_OK);
    assert_true(present);
    store_batch_init(&b, QUEUE_PART, &a);
    store_delete(&b, from);
    store_put(&b, queue_key_delivery(mover, 0, to_local, &a), value);
    assert_int_equal(store_commit(moving.inner, &b), STORE_OK);
}

static void to_local(void)
{
    change_kind(true);
}

static void to_remote(void)
{
    change_kind(false);
}

static bool count_groups(void *user, const struct queue_group *g)
{
    *(size_t *)user += g->deliveries;
    return true;
}

static bool count_items(void *user, const struct queue_item *it)
{
    (void)it;
    ++*(size_t *)user;
    return true;
}

/* A delivery that passes from one kind to the other while the queue is read is there all the time. */
static void moves_meanwhile(void **state)
{
    (void)state;
    const struct queue_filter f = {0};
    mover = put((struct put){.from = "anna@us.test", .to = "bob@one.test"});
    for (unsigned after = 1; after <= 2; after++) {
        size_t n = 0;
        struct store *s = moving_store(to_local, after);
        assert_int_equal(queue_groups(s, &f, QUEUE_BY_DESTINATION, count_groups, &n), STORE_OK);
        assert_int_equal(n, 1);
        s = moving_store(to_remote, after);
        n = 0;
        assert_int_equal(queue_groups(s, &f, QUEUE_BY_DESTINATION, count_groups, &n), STORE_OK);
        assert_int_equal(n, 1);
        s = moving_store(to_local, after);
        n = 0;
        assert_int_equal(queue_list(s, &f, count_items, &n), STORE_OK);
        assert_int_equal(n, 1);
        s = moving_store(to_remote, after);
        n = 0;
        assert_int_equal(queue_list(s, &f, count_items, &n), STORE_OK);
        assert_int_equal(n, 1);
    }
}

static void snapshot_expires(void)
{
    store_memory_age_snapshots(moving.inner, STORE_SNAPSHOT_MS);
}

/* Longer than a snapshot lives: it goes on. */
static void outlives_its_moment(void **state)
{
    (void)state;
    char to[32];
    const struct queue_filter f = {0};
    for (unsigned i = 0; i < 900; i++) {
        snprintf(to, sizeof to, "u%03u@d.test", i);
        put((struct put){.from = "", .to = to, .local = i % 3 == 0});
    }
    unsigned next = 0;
    assert_int_equal(queue_list(moving_store(snapshot_expires, 1), &f, in_order, &next), STORE_OK);
    assert_int_equal(next, 900);
    size_t n = 0;
    assert_int_equal(
        queue_groups(moving_store(snapshot_expires, 1), &f, QUEUE_BY_DESTINATION, count_groups, &n),
        STORE_OK);
    assert_int_equal(n, 900);
}

struct bounds {
    size_t n;
    uint64_t told, others;
};

static bool bound(void *user, const struct queue_group *g)
{
    struct bounds *b = user;
    b->n++;
    *(g->others ? &b->others : &b->told) += g->deliveries;
    return true;
}

/* More destinations than are told apart: none is lost from the sum. */
static void groups_bounded(void **state)
{
    (void)state;
    struct bounds b = {0};
    enum { MORE = QUEUE_GROUPS + 1000, IN_ONE = 1000 };
    char(*names)[32] = calloc(IN_ONE, sizeof *names), (*to)[40] = calloc(IN_ONE, sizeof *to);
    struct queue_in_rcpt *r = calloc(IN_ONE, sizeof *r);
    for (unsigned k = 0; k < MORE / IN_ONE; k++) {
        for (unsigned i = 0; i < IN_ONE; i++) {
            snprintf(names[i], sizeof names[i], "d%u-%u.test", k, i);
            snprintf(to[i], sizeof to[i], "u@%s", names[i]);
            r[i] = (struct queue_in_rcpt){.address = str_c(to[i]), .domain = str_c(names[i])};
        }
        struct queue_in *in = queue_in_begin(&fe.env);
        struct queue_message m = {.reverse_path = STR("a@us.test")};
        assert_int_equal(queue_in_commit(in, &m, r, IN_ONE), STORE_OK);
        fake_env_pass(&fe, 10);
    }
    struct queue_filter f = {0};
    assert_int_equal(queue_groups(fe.env.store, &f, QUEUE_BY_DESTINATION, bound, &b), STORE_OK);
    assert_int_equal(b.n, QUEUE_GROUPS + 1);
    assert_int_equal(b.told, QUEUE_GROUPS);
    assert_int_equal(b.others, MORE - QUEUE_GROUPS);
    b = (struct bounds){0};
    assert_int_equal(queue_groups(fe.env.store, &f, QUEUE_BY_SENDER, bound, &b), STORE_OK);
    assert_true(b.n == 1 && b.told == MORE);
    free(names);
    free(to);
    free(r);
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        const char *reason, *common;
    } v[] = {{"mx.far.test: 450 4.2.0 try in 300 s", "450 4.2.0 try in # s"},
             {"450 4.2.0 try in 301 s", "450 4.2.0 try in # s"},
             {"mx.far.test[192.0.2.1]: connection refused", "connection refused"},
             {"connection refused", "connection refused"},
             {"mx1.far.test: 451 come back at 12:05", "451 come back at #:#"},
             {"450", "#"},
             {"", ""}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        str_t got = queue_reason_common(str_c(v[i].reason), &a);
        if (!str_eq(got, str_c(v[i].common)))
            fail_msg("%s: " STR_FMT, v[i].reason, STR_ARG(got));
    }
}

/* ---- changes ---- */

static void reroutes(void **state)
{
    (void)state;
    size_t n;
    some_mail();
    struct queue_filter f = {.domain = STR("one.test")};
    assert_int_equal(queue_reroute(&fe.env, &f, STR("smtp relay.test"), &n), STORE_OK);
    assert_int_equal(n, 2); /* one goes that way already */
    sums_are(QUEUE_BY_DESTINATION, "*one.test via smtp relay.test||2|0\n"
                                   "one.test via smtp relay.test|the rule|1|1\n" /* still held */
                                   "*||1|0\n"
                                   "*two.test|452 4.2.2 over quota, id #|2|0");
    f = (struct queue_filter){0};
    assert_int_equal(queue_reroute(&fe.env, &f, STR_NONE, &n), STORE_OK);
    assert_int_equal(n, 3);
    f = (struct queue_filter){.recipient = STR("fritz@one.test")};
    assert_int_equal(queue_change(&fe.env, STR("us.test"), &f, QUEUE_RELEASE, &n), STORE_OK);
    assert_int_equal(n, 1);
    sums_are(QUEUE_BY_DESTINATION,
             "*one.test||3|0\n*||1|0\n*two.test|452 4.2.2 over quota, id #|2|0");
}

/* Removed by hand: who asked for no reports gets none. */
static void bounce_by_hand(void **state)
{
    (void)state;
    struct queue_in *in = queue_in_begin(&fe.env);
    struct queue_in_rcpt r[2] = {
        {.address = STR("x@d.test"), .domain = STR("d.test"), .notify = QUEUE_NOTIFY_NEVER},
        {.address = STR("y@e.test"), .domain = STR("e.test")}};
    struct queue_message m = {.reverse_path = STR("anna@us.test")};
    size_t n;
    assert_int_equal(queue_in_commit(in, &m, r, 2), STORE_OK);
    struct queue_filter f = {0};
    assert_int_equal(queue_change(&fe.env, STR("us.test"), &f, QUEUE_BOUNCE, &n), STORE_OK);
    assert_int_equal(n, 2);
    finds((struct queue_filter){0}, "anna@us.test"); /* one report, about the other */
}

/* ---- rows ---- */

static bool count_rows(void *user, const struct queue_suppressed *s)
{
    size_t *n = user;
    ++*n;
    assert_int_equal(s->count, 3);
    return true;
}

static void suppressed_rows(void **state)
{
    (void)state;
    str_t key = queue_key_suppressed(STR("Bob.X@FAR.test"), &a), same;
    same = queue_key_suppressed(STR("bob.x@far.TEST"), &a);
    assert_true(key.len > 0 && str_eq(key, same));
    assert_int_equal(queue_key_suppressed(STR("nobody"), &a).len, 0);
    struct queue_suppressed s = {.since_ms = 5, .last_ms = 9, .count = 3, .reason = STR("550 no")},
                            t;
    struct buf b;
    buf_init(&b, 65536);
    assert_true(queue_suppressed_encode(&s, &b));
    assert_true(queue_suppressed_decode(key, buf_str(&b), &t));
    assert_true(t.since_ms == 5 && t.last_ms == 9 && str_eq(t.reason, s.reason));
    assert_true(str_eq(t.address, STR("bob.x@far.test")));
    for (size_t cut = 0; cut < b.len; cut++)
        assert_false(queue_suppressed_decode(key, str_first(buf_str(&b), cut), &t));
    struct store_batch batch;
    store_batch_init(&batch, QUEUE_PART, &a);
    store_put(&batch, key, buf_str(&b));
    store_put(&batch, queue_key_suppressed(STR("z@z.test"), &a), buf_str(&b));
    assert_int_equal(store_commit(fe.env.store, &batch), STORE_OK);
    size_t n = 0;
    bool removed;
    assert_int_equal(queue_suppressed_list(fe.env.store, count_rows, &n), STORE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(queue_suppressed_remove(fe.env.store, STR("BOB.x@far.test"), &removed),
                     STORE_OK);
    assert_true(removed);
    assert_int_equal(queue_suppressed_remove(fe.env.store, STR("BOB.x@far.test"), &removed),
                     STORE_OK);
    assert_false(removed);
    assert_int_equal(queue_suppressed_clear(fe.env.store), STORE_OK);
    n = 0;
    assert_int_equal(queue_suppressed_list(fe.env.store, count_rows, &n), STORE_OK);
    assert_int_equal(n, 0);
    buf_free(&b);
}

static void wait_rows(void **state)
{
    (void)state;
    struct queue_wait w = {.until_ms = fe.wall + 60000,
                           .site = STR("mx.far.test"),
                           .reason = STR("connection refused")},
                      v;
    struct buf b;
    struct store_batch batch;
    bool found;
    str_t key = queue_key_wait(STR("far.test"), &a);
    buf_init(&b, 65536);
    assert_true(queue_wait_encode(&w, &b));
    for (size_t cut = 0; cut < b.len; cut++)
        assert_false(queue_wait_decode(key, str_first(buf_str(&b), cut), &v));
    store_batch_init(&batch, QUEUE_PART, &a);
    store_put(&batch, key, buf_str(&b));
    assert_int_equal(store_commit(fe.env.store, &batch), STORE_OK);
    assert_int_equal(queue_wait_read(&fe.env, STR("far.test"), &a, &found, &v), STORE_OK);
    assert_true(found && str_eq(v.reason, w.reason) && str_eq(v.site, w.site));
    fake_env_pass(&fe, 60000);
    assert_int_equal(queue_wait_read(&fe.env, STR("far.test"), &a, &found, &v), STORE_OK);
    assert_false(found); /* it is over */
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(filters, setup, teardown),
        cmocka_unit_test_setup_teardown(order_of_many, setup, teardown),
        cmocka_unit_test_setup_teardown(groups, setup, teardown),
        cmocka_unit_test_setup_teardown(moves_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(outlives_its_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(groups_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(reasons, setup, teardown),
        cmocka_unit_test_setup_teardown(reroutes, setup, teardown),
        cmocka_unit_test_setup_teardown(bounce_by_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(suppressed_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(wait_rows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
