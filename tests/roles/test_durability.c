/* test_durability.c: Where mail could be lost or come twice although nothing crashes: a mailbox that
 * takes nothing while others do, a disk that stays full, a report too large to be recorded, the
 * operator's hand at the very moment when a row is read, a machine that begins with a wrong clock.
 *
 * The world's store behind a door: what passes may be refused, or something else is done first. */
#include "post/directory_row.h"
#include "post/mailing_list.h"
#include "post/table.h"
#include "roles/local/list_turn.h"
#include "roles/post_world.h"

#define MINUTE 60000LL
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ---- the door ---- */

static struct door {
    struct store base;
    struct store *inner;
    struct store_ops ops;
    enum store_rc (*refuse)(const struct store_batch *b); /* STORE_OK: it passes */
    void (*committed)(const struct store_batch *b);
    void (*before_get)(const str_t *keys, size_t n);
    void (*after_get)(const str_t *keys, size_t n);
    void (*after_scan)(const struct store_scan *q);
    bool inside; /* what is done at the door passes */
} door;

static void door_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    enum store_rc rc = STORE_OK;
    if (!door.inside && door.refuse != NULL)
        rc = door.refuse(c->batch);
    if (rc != STORE_OK) {
        c->rc = rc;
        c->done(c);
        return;
    }
    const struct store_batch *b = c->batch;
    store_submit(door.inner, c);
    if (door.inside || door.committed == NULL)
        return;
    door.inside = true;
    door.committed(b);
    door.inside = false;
}

static enum store_rc door_get(struct store *s, part_t part, const str_t *keys, size_t n,
                              struct arena *a, struct store_value *out)
{
    (void)s;
    bool first = !door.inside;
    door.inside = true;
    if (first && door.before_get != NULL)
        door.before_get(keys, n);
    enum store_rc rc = store_get(door.inner, part, keys, n, a, out);
    if (first && door.after_get != NULL)
        door.after_get(keys, n);
    door.inside = !first;
    return rc;
}

static enum store_rc door_scan(struct store *s, const struct store_scan *q, struct arena *a,
                               struct store_page *out)
{
    (void)s;
    bool first = !door.inside;
    enum store_rc rc = store_scan(door.inner, q, a, out);
    door.inside = true;
    if (first && door.after_scan != NULL)
        door.after_scan(q);
    door.inside = !first;
    return rc;
}

static enum store_rc door_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                                void *user)
{
    (void)s;
    return store_watch(door.inner, part, prefix, fn, user);
}

static const struct store_board *door_board(struct store *s)
{
    (void)s;
    return store_board(door.inner);
}

static int setup(void **state)
{
    (void)state;
    world_begin(17);
    door = (struct door){.inner = w.fe.env.store};
    door.ops = *door.inner->ops;
    door.ops.submit = door_submit;
    door.ops.get = door_get;
    door.ops.scan = door_scan;
    door.ops.watch = door_watch;
    door.ops.board = door_board;
    door.base.ops = &door.ops;
    w.fe.env.store = &door.base;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.fe.env.store = door.inner;
    world_finish();
    return 0;
}

/* The machine starts again, with a clock that is wrong by so much. */
static void restart(int64_t wrong_ms)
{
    w.fe.env.store = door.inner;
    w.fe.wall += wrong_ms;
    world_restart(1);
    w.fe.env.store = &door.base;
}

static queue_id_t the_id;

static size_t change(enum queue_change what)
{
    struct queue_filter f = {.by_id = true, .id = the_id};
    size_t n;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, what, &n), STORE_OK);
    return n;
}

/* ---- a mailbox that takes nothing ---- */

static enum store_rc mailbox_full(const struct store_batch *b)
{
    return b->part.kind == MAILBOX_PART(1).kind ? STORE_FULL : STORE_OK;
}

/* What goes on elsewhere goes once, however often the mailbox is tried. */
static void forwarded_once(void **state)
{
    (void)state;
    struct err err;
    str_t own[] = {STR("a@us.test"), STR("x@one.test")};
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("a@us.test"), own, 2, &err), RC_OK);
    door.refuse = mailbox_full;
    assert_int_equal(world_send("t", "s@sender.test", "a@us.test b@us.test", 200, NULL), STORE_OK);
    world_quiet(DAY);
    assert_int_equal(world_got("x@one.test", "t"), 1);
    door.refuse = NULL;
    world_quiet(DAY);
    assert_int_equal(world_mailbox(1, "t", NULL), 1);
    assert_int_equal(world_mailbox(2, "t", NULL), 1);
    assert_int_equal(world_got("x@one.test", "t"), 1);
    assert_int_equal(world_rows("d"), 0);
}

/* Through an alias, and told of by the name it was sent to when the mailbox never takes it. */
static void forwarded_once_and_told(void **state)
{
    (void)state;
    struct err err;
    str_t own[] = {STR("b@us.test"), STR("x@one.test")}, team[] = {STR("b@us.test")};
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("b@us.test"), own, 2, &err), RC_OK);
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("team@us.test"), team, 1, &err),
                     RC_OK);
    door.refuse = mailbox_full;
    assert_int_equal(world_send("t", "s@sender.test", "team@us.test", 200, NULL), STORE_OK);
    world_quiet(6 * DAY);
    assert_int_equal(world_got("x@one.test", "t"), 1);
    assert_int_equal(world_got("s@sender.test", ""), 2); /* delayed, and given up */
    bool told = false;
    for (size_t i = 0; i < w.ngot; i++)
        told = told || strstr(w.got[i].text, "could not be delivered") != NULL;
    assert_true(told);
    assert_int_equal(world_rows("d"), 0);
}

/* ---- the same person by two names ---- */

static void named_twice(void **state)
{
    (void)state;
    struct err err;
    str_t team[] = {STR("a@us.test")};
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("team@us.test"), team, 1, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "b@us.test", "a@us.test team@us.test", 200, NULL), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, "t", NULL), 1);
    assert_int_equal(world_rows("m/"), 1); /* nobody is told of a failure */
}

/* ---- an address whose record cannot be read ---- */

/* Its own mail waits and is told of; nobody else's does, and a list goes on where it stood. */
static void damaged_address(void **state)
{
    (void)state;
    struct arena a;
    struct err err;
    size_t n;
    str_t member = STR("a@us.test");
    arena_init(&a, 1 << 16);
    assert_int_equal(mailing_list_create(w.fe.env.store, STR("club@us.test"), STR("a@us.test"),
                                         false, &err),
                     RC_OK);
    assert_int_equal(mailing_list_add(w.fe.env.store, STR("club@us.test"), &member, 1, &n, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "a@us.test", "a@us.test b@us.test club@us.test", 200, NULL),
                     STORE_OK);
    store_memory_damage(door.inner, DIRECTORY_PART,
                        directory_key_address(STR("us.test"), STR("b"), &a));
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, "t", NULL), 1);
    assert_int_equal(world_rows("d"), 1);
    world_quiet(6 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 1);
    assert_int_equal(world_rows("d"), 0);
    arena_free(&a);
}

static void damage_club(const struct store_batch *b)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < b->n; i++)
        if (str_starts(b->ops[i].key, STR("dl/")) && str_contains(b->ops[i].value, STR("list ")))
            store_memory_damage(door.inner, DIRECTORY_PART,
                                directory_key_address(STR("us.test"), STR("club"), &a));
    arena_free(&a);
}

/* The list's own (an alias that is sent as one), when its turn has come. */
static void damaged_list(void **state)
{
    (void)state;
    struct err err;
    str_t member = STR("b@us.test");
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("club@us.test"), &member, 1, &err),
                     RC_OK);
    assert_int_equal(table_set(w.fe.env.store, TABLE_LISTS, STR("club@us.test"),
                               STR("owner=a@us.test"), &err),
                     RC_OK);
    door.committed = damage_club;
    assert_int_equal(world_send("t", "b@us.test", "club@us.test", 200, NULL), STORE_OK);
    world_quiet(6 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 1);
    assert_int_equal(world_rows("d"), 0);
}

/* ---- more than a batch takes ---- */

/* Two aliases of many lists. */
static void many_lists(void **state)
{
    (void)state;
    enum { EACH = 350, ALL = 2 * EACH };
    static char name[ALL][32], to[32];
    static str_t targets[ALL];
    struct err err;
    size_t n;
    for (size_t i = 0; i < ALL; i++) {
        snprintf(name[i], sizeof name[i], "list%zu@us.test", i);
        snprintf(to, sizeof to, "m%zu@one.test", i);
        targets[i] = str_c(name[i]);
        str_t member = str_c(to);
        assert_int_equal(
            mailing_list_create(w.fe.env.store, targets[i], STR("a@us.test"), false, &err), RC_OK);
        assert_int_equal(mailing_list_add(w.fe.env.store, targets[i], &member, 1, &n, &err), RC_OK);
    }
    struct store *s = w.fe.env.store;
    assert_int_equal(directory_alias_set(s, STR("all1@us.test"), targets, EACH, &err), RC_OK);
    assert_int_equal(directory_alias_set(s, STR("all2@us.test"), targets + EACH, EACH, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "b@us.test", "all1@us.test all2@us.test", 200, NULL),
                     STORE_OK);
    world_quiet(HOUR);
    for (size_t i = 0; i < ALL; i++) {
        snprintf(to, sizeof to, "m%zu@one.test", i);
        assert_int_equal(world_got(to, "t"), 1);
    }
    assert_int_equal(world_rows("d"), 0);
}

/* ---- the operator's hand, at the wrong moment ---- */

static int moments;

static bool is_delivery(str_t key)
{
    return str_starts(key, STR("dr/"));
}

static void hold_before(const str_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_delivery(keys[i]) && moments == 0) {
            moments = 1;
            assert_int_equal(change(QUEUE_HOLD), 1);
            return;
        }
}

static void release_after(const str_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_delivery(keys[i]) && moments == 1) {
            moments = 2;
            assert_int_equal(change(QUEUE_RELEASE), 1);
            return;
        }
}

/* Held when courier has taken it in hand, released when it has just read so. */
static void released_while_read(void **state)
{
    (void)state;
    moments = 0;
    door.before_get = hold_before;
    door.after_get = release_after;
    assert_int_equal(world_send("t", "a@us.test", "p@one.test", 200, &the_id), STORE_OK);
    world_quiet(HOUR);
    assert_int_equal(moments, 2);
    assert_int_equal(world_got("p@one.test", "t"), 1);
}

static void hold_at_dot(void)
{
    if (moments++ == 0)
        assert_int_equal(change(QUEUE_HOLD), 1);
}

static void release_committed(const struct store_batch *b)
{
    bool ours = b->n > 0 && str_starts(b->ops[0].key, STR("lease/")); /* not the operator's */
    for (size_t i = 0; ours && i < b->n; i++)
        if (b->ops[i].kind == STORE_PUT && is_delivery(b->ops[i].key) && moments == 1 &&
            b->ops[i].value.ptr[1] == QUEUE_HELD) {
            moments = 2;
            assert_int_equal(change(QUEUE_RELEASE), 1);
        }
}

/* Held while it is sent, released when what came of the attempt has just been recorded. */
static void released_when_recorded(void **state)
{
    (void)state;
    moments = 0;
    w.at_dot = hold_at_dot;
    door.committed = release_committed;
    assert_int_equal(world_send("t", "a@us.test", "p@drop.test", 200, &the_id), STORE_OK);
    world_quiet(6 * HOUR);
    assert_true(moments > 2); /* it was tried again */
}

static void release_scanned(const struct store_scan *q)
{
    if (str_starts(q->from, STR("dr/")) && q->from.len == 3 && moments++ == 0)
        assert_int_equal(change(QUEUE_RELEASE), 1);
}

/* All rows are read anew, and this one is released when its page has just been read. */
static void released_while_scanned(void **state)
{
    (void)state;
    moments = 0;
    w.down = true;
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 200, &the_id), STORE_OK);
    world_quiet(MINUTE);
    assert_int_equal(change(QUEUE_HOLD), 1);
    world_quiet(DAY);
    w.down = false;
    w.courier->carrier.agenda.rescan = true;
    door.after_scan = release_scanned;
    world_quiet(DAY);
    assert_int_equal(moments > 0, 1);
    assert_int_equal(world_got("p@down.test", "t"), 1);
}

static enum store_rc one_turn(const struct store_batch *b)
{
    return b->n > 0 && str_eq(b->ops[0].key, STR("lease/local")) && moments++ > 1 ? STORE_FULL
                                                                                   : STORE_OK;
}

static void turn_scanned(const struct store_scan *q)
{
    if (!str_starts(q->from, STR("dl/")) || q->from.len <= 3 || moments != 1)
        return;
    door.inside = false;
    carrier_step(&w.local->carrier);
    door.inside = true;
}

/* Removed when the page with a list's delivery has just been read, and the list has had a turn. */
static void removed_while_listed(void **state)
{
    (void)state;
    static char text[LOCAL_LIST_PAGE * 2][32];
    static str_t m[LOCAL_LIST_PAGE * 2];
    struct err err;
    size_t n;
    for (size_t i = 0; i < LOCAL_LIST_PAGE * 2; i++) {
        snprintf(text[i], sizeof text[i], "m%zu@one.test", i);
        m[i] = str_c(text[i]);
    }
    assert_int_equal(mailing_list_create(w.fe.env.store, STR("club@us.test"), STR("a@us.test"),
                                         false, &err),
                     RC_OK);
    assert_int_equal(mailing_list_add(w.fe.env.store, STR("club@us.test"), m, LOCAL_LIST_PAGE * 2,
                                      &n, &err),
                     RC_OK);
    assert_int_equal(world_send("t", "b@us.test", "club@us.test", 200, &the_id), STORE_OK);
    moments = 1;
    door.refuse = one_turn;
    carrier_step(&w.local->carrier); /* the list has a delivery of its own */
    assert_int_equal(world_rows("dl"), 1);
    moments = 1;
    fake_env_pass(&w.fe, HOUR);
    door.after_scan = turn_scanned;
    change(QUEUE_REMOVE);
    assert_true(moments > 1);
    door.refuse = NULL;
    world_quiet(DAY);
    assert_int_equal(w.ngot, 0);
    assert_int_equal(world_rows("d"), 0);
}

/* ---- a full disk ---- */

static size_t reports;
static bool disk_full;

static enum store_rc no_room(const struct store_batch *b)
{
    if (!disk_full)
        return STORE_OK;
    for (size_t i = 0; i < b->n; i++)
        if (b->part.kind == PART_QUEUE && b->ops[i].kind == STORE_PUT) {
            for (size_t k = 0; k < b->n; k++)
                reports += b->ops[k].kind == STORE_PUT && str_starts(b->ops[k].key, STR("m/"));
            return STORE_FULL;
        }
    return STORE_OK;
}

static void fill_disk(void)
{
    disk_full = true;
}

static size_t randoms;

static void count_random(struct env *e, void *to, size_t n)
{
    randoms += n == 4; /* of an id */
    world_random(e, to, n);
}

/* A report that must be written is made once, and waits for room as it is: made anew at each look it
 * would use up the delivery's memory, and what was sent would be sent again. */
static void report_waits_as_it_is(void **state)
{
    (void)state;
    size_t ids[2];
    for (int full = 0; full < 2; full++) {
        randoms = reports = 0;
        disk_full = false;
        w.at_dot = full ? fill_disk : NULL;
        door.refuse = no_room;
        assert_int_equal(world_send("t", "a@us.test",
                                    full ? "p@one.test bad2@one.test" : "p@one.test bad1@one.test",
                                    200, NULL),
                         STORE_OK);
        w.fe.env.random = count_random;
        carrier_step(&w.courier->carrier);
        w.fe.env.random = world_random;
        ids[full] = randoms;
        assert_int_equal(reports, full);
    }
    assert_int_equal(world_got("p@one.test", "t"), 2);
    assert_int_equal(ids[0], ids[1]);
    disk_full = false;
}

/* ---- a report too large ---- */

/* The largest that servers and senders can make of it: every refusal a page long, all of the message
 * wanted back. What was taken is taken all the same. */
static void large_report(void **state)
{
    (void)state;
    struct queue_in_rcpt r[100];
    static char text[100][250];
    char line[82], orcpt[512];
    memset(orcpt, 'o', sizeof orcpt);
    memcpy(orcpt, "rfc822;", 7);
    struct queue_in *in = queue_in_begin(&w.fe.env);
    assert_int_equal(queue_in_write(in, STR("X-Test: t\r\n\r\n")), STORE_OK);
    memset(line, 'x', sizeof line);
    memcpy(line + 80, "\r\n", 2);
    for (int i = 0; i < 3100; i++)
        assert_int_equal(queue_in_write(in, str_of(line, sizeof line)), STORE_OK);
    for (int i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "%s%02d-%s@one.test", i == 0 ? "p" : "bad-long", i,
                 "0123456789012345678901234567890123456789");
        r[i] = (struct queue_in_rcpt){.address = str_c(text[i]),
                                      .domain = STR("one.test"),
                                      .orcpt = str_of(orcpt, 400),
                                      .notify = QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_SUCCESS};
    }
    struct queue_message m = {.reverse_path = STR("a@us.test"), .ret = QUEUE_RET_FULL};
    assert_int_equal(queue_in_commit(in, &m, r, 100), STORE_OK);
    world_quiet(DAY);
    assert_int_equal(world_got(text[0], "t"), 1);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 1);
    assert_int_equal(world_rows("d"), 0);
}

/* ---- the clock ---- */

/* Begun with a clock a year ahead, which is put right soon after: nobody was given up. */
static void wrong_clock_at_start(void **state)
{
    (void)state;
    w.down = true;
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 200, NULL), STORE_OK);
    world_quiet(HOUR);
    restart(365 * DAY);
    world_quiet(5 * MINUTE);
    w.fe.wall -= 365 * DAY;
    world_quiet(HOUR);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 0);
    w.down = false;
    world_quiet(DAY);
    assert_int_equal(world_got("p@down.test", "t"), 1);
}

/* It came while the clock stood in 1970, as on a machine without one of its own; then the time came
 * from the network. Its days are counted all the same. */
static void came_before_the_time(void **state)
{
    (void)state;
    w.down = true;
    int64_t late = w.fe.wall - 1000;
    restart(-late);
    assert_int_equal(world_send("t", "a@us.test", "p@down.test", 200, NULL), STORE_OK);
    world_quiet(HOUR);
    w.fe.wall += late;
    world_quiet(4 * DAY);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 0);
    world_quiet(DAY + 6 * HOUR);
    assert_int_equal(world_mailbox(1, NULL, "could not be delivered"), 1);
}

/* ---- one recipient at a time (RFC 9422) ---- */

/* Whoever was taken before the connection was lost does not get it again. */
static void lost_between_groups(void **state)
{
    (void)state;
    for (w.drop_at = 1; w.drop_at <= 3; w.drop_at++) {
        w.one_each = true;
        w.ngot = w.dots = 0;
        assert_int_equal(
            world_send("t", "a@us.test", "p@one.test q@one.test r@one.test", 200, NULL), STORE_OK);
        world_quiet(HOUR);
        assert_int_equal(w.dots, 4);
        assert_int_equal(w.ngot, 3);
        assert_int_equal(world_got("p@one.test", "t"), 1);
        assert_int_equal(world_got("q@one.test", "t"), 1);
        assert_int_equal(world_got("r@one.test", "t"), 1);
    }
}

/* ---- the machine ends ---- */

enum { RELAYED, KEPT, FORWARDED, GROUPS, HELD, MAILS };
static const char *const tags[MAILS] = {"relayed", "kept", "forwarded", "groups", "held"};

static bool send_tagged(size_t which, const char *from, const char *const *to, size_t n)
{
    struct queue_in_rcpt r[3];
    char head[64];
    struct queue_in *in = queue_in_begin(&w.fe.env);
    the_id = which == HELD ? queue_in_id(in) : the_id;
    snprintf(head, sizeof head, "X-Test: %s\r\n\r\nhello\r\n", tags[which]);
    for (size_t i = 0; i < n; i++) {
        str_t domain = str_from(str_c(to[i]), 2);
        r[i] = (struct queue_in_rcpt){
            .address = str_c(to[i]),
            .domain = domain,
            .local = str_eq(domain, STR("us.test")),
            .hold = which == HELD,
            .reason = STR("a rule"),
            .notify = which <= KEPT ? QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE : 0};
    }
    struct queue_message m = {.reverse_path = str_c(from)};
    if (queue_in_write(in, str_c(head)) == STORE_OK)
        return queue_in_commit(in, &m, r, n) == STORE_OK;
    queue_in_abort(in);
    return false;
}

static void life(bool *acknowledged)
{
    struct err err;
    size_t n;
    str_t own[] = {STR("b@us.test"), STR("x@one.test")};
    static const char *const one[] = {"p@one.test"}, *const box[] = {"a@us.test"},
                             *const forward[] = {"b@us.test"}, *const held[] = {"h@two.test"},
                             *const three[] = {"q@one.test", "r@one.test", "s@one.test"};
    if (directory_alias_set(w.fe.env.store, STR("b@us.test"), own, 2, &err) != RC_OK)
        return;
    w.one_each = true;
    acknowledged[RELAYED] = send_tagged(RELAYED, "a@us.test", one, 1);
    acknowledged[KEPT] = send_tagged(KEPT, "a@us.test", box, 1);
    acknowledged[FORWARDED] = send_tagged(FORWARDED, "s@sender.test", forward, 1);
    acknowledged[GROUPS] = send_tagged(GROUPS, "a@us.test", three, 3);
    acknowledged[HELD] = send_tagged(HELD, "a@us.test", held, 1);
    world_quiet(HOUR);
    struct queue_filter f = {.by_id = true, .id = the_id};
    enum store_rc rc = queue_change(&w.fe.env, STR("us.test"), &f, QUEUE_RELEASE, &n);
    (void)rc; /* the machine may have ended */
    world_quiet(HOUR);
}

static void expect(const char *how, uint64_t at, const char *what, bool must_be, size_t n,
                   size_t most)
{
    if ((must_be && n == 0) || n > most)
        fail_msg("%s %lu: %s: %zu times", how, (unsigned long)at, what, n);
}

static void check(const char *how, uint64_t at, const bool *acknowledged, size_t most)
{
    const bool *k = acknowledged;
    size_t relayed = world_got("p@one.test", "relayed");
    expect(how, at, "relayed", k[RELAYED], relayed, most);
    expect(how, at, "in the mailbox", k[KEPT], world_mailbox(1, "kept", NULL), 1);
    expect(how, at, "its own copy", k[FORWARDED], world_mailbox(2, "forwarded", NULL), 1);
    size_t forwarded = world_got("x@one.test", "forwarded");
    expect(how, at, "forwarded", k[FORWARDED], forwarded, most);
    expect(how, at, "first", k[GROUPS], world_got("q@one.test", "groups"), most);
    expect(how, at, "second", k[GROUPS], world_got("r@one.test", "groups"), most);
    expect(how, at, "third", k[GROUPS], world_got("s@one.test", "groups"), most);
    expect(how, at, "held", k[HELD], world_got("h@two.test", "held"), most);
    expect(how, at, "told of relaying", k[RELAYED], world_mailbox(1, NULL, "Action: relayed"), 1);
    expect(how, at, "told of the mailbox", k[KEPT], world_mailbox(1, NULL, "Action: delivered"), 1);
    expect(how, at, "left over", false, world_rows("d"), 0);
}

static void every_batch(void **state)
{
    (void)state;
    uint64_t batches = UINT64_MAX;
    for (uint64_t n = 0; n <= batches; n++) {
        for (int torn = 0; torn < 2; torn++) {
            bool acknowledged[MAILS] = {0};
            setup(NULL);
            uint64_t before = store_memory_batches(door.inner);
            if (n > 0)
                store_memory_crash_after(door.inner, n, torn);
            life(acknowledged);
            if (n == 0)
                batches = store_memory_batches(door.inner) - before;
            else
                restart(0);
            world_quiet(DAY);
            assert_in_range(change(QUEUE_RELEASE), 0, n > 0);
            world_quiet(DAY);
            check(torn ? "after batch" : "in batch", n, acknowledged, n > 0 ? 2 : 1);
            teardown(NULL);
        }
    }
    assert_in_range(batches, 20, 100);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(forwarded_once),
        T(forwarded_once_and_told),
        T(named_twice),
        T(damaged_address),
        T(damaged_list),
        T(many_lists),
        T(released_while_read),
        T(released_when_recorded),
        T(released_while_scanned),
        T(removed_while_listed),
        T(report_waits_as_it_is),
        T(large_report),
        T(wrong_clock_at_start),
        T(came_before_the_time),
        T(lost_between_groups),
        cmocka_unit_test(every_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
