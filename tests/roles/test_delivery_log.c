/* test_delivery_log.c: What the log says of deliveries is what became of them: a line for each kind of
 * outcome, after it was recorded; and that a destination begins and ends to wait. */
#include "post/queue_suppress.h"
#include "post_world.h"

#include <sys/mman.h>
#include <unistd.h>

#define MINUTE 60000
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

enum { LOG_MAX = 1 << 20 };
static char text[LOG_MAX];
static int fd;

static int setup(void **state)
{
    (void)state;
    world_begin(5);
    fd = memfd_create("log", MFD_CLOEXEC);
    must(fd >= 0);
    log_to(fd);
    log_quiet(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_finish();
    log_quiet(true);
    log_to(2);
    close(fd);
    return 0;
}

/* What was logged since the last call. */
static str_t logged(void)
{
    ssize_t n = pread(fd, text, sizeof text, 0);
    assert_in_range(n, 0, LOG_MAX - 1);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return str_of(text, (size_t)n);
}

/* Whether `line` has all the words, separated by '|', in this order. */
static bool has(str_t line, const char *words)
{
    str_t rest = str_c(words), word;
    while (rest.len > 0) {
        if (!str_cut(&rest, '|', &word)) {
            word = rest;
            rest = STR_NONE;
        }
        bool found = false;
        for (; line.len > 0 && !found; line = str_from(line, found ? word.len : 1))
            found = str_starts(line, word);
        if (!found)
            return false;
    }
    return true;
}

static size_t count(str_t log, const char *words)
{
    size_t n = 0;
    str_t line;
    while (str_cut(&log, '\n', &line))
        n += has(line, words);
    return n;
}

static void expect(str_t log, size_t n, const char *words)
{
    if (count(log, words) != n)
        fail_msg("%zu lines, not %zu, have %s:\n" STR_FMT, count(log, words), n, words,
                 STR_ARG(log));
}

/* The id after NAME= in the first line with these words: whether there is such a message. */
static bool leads_somewhere(str_t log, const char *words, const char *name)
{
    struct arena a;
    str_t line, value = STR_NONE, key;
    queue_id_t id;
    bool present = false;
    char field[32];
    int n = snprintf(field, sizeof field, " %s=", name);
    while (str_cut(&log, '\n', &line) && !has(line, words)) {
    }
    for (; line.len > 0 && value.len == 0; line = str_from(line, 1))
        if (str_starts(line, str_c(field)))
            value = str_from(line, (size_t)n);
    size_t blank;
    if (str_find(value, ' ', &blank))
        value = str_first(value, blank);
    if (!queue_id_parse(value, &id))
        return false;
    arena_init(&a, 1 << 20);
    key = queue_key_message(id, &a);
    assert_int_equal(store_get1(w.fe.env.store, QUEUE_PART, key, &a, &present, &value), STORE_OK);
    arena_free(&a);
    return present;
}

static queue_id_t send(struct queue_message m, const char *address, const char *domain,
                       uint8_t notify)
{
    struct queue_in *in = queue_in_begin(&w.fe.env);
    queue_id_t id = queue_in_id(in);
    struct queue_in_rcpt r = {.address = str_c(address), .domain = str_c(domain), .notify = notify};
    assert_int_equal(queue_in_write(in, STR("X-Test: t\r\n\r\nhello\r\n")), STORE_OK);
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_OK);
    return id;
}

static queue_id_t mail(const char *from, const char *to)
{
    queue_id_t id;
    assert_int_equal(world_send("t", from, to, 10, &id), STORE_OK);
    return id;
}

/* ---- kinds of outcome ---- */

static void each_kind_has_its_line(void **state)
{
    (void)state;
    w.grey = true;
    mail("a@us.test", "p@one.test grey@one.test q@one.test bad@one.test grey2@one.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " courier | sent |to=p@one.test recipients=2 |host=|code=250 ");
    expect(log, 1,
           " courier | deferred |to=grey2@one.test recipients=2 |code=450 status=4.7.1 "
           "|class=policy|text=\"come back later\"|next_s=");
    expect(log, 1,
           " courier | failed |to=bad@one.test recipients=1 |code=550 status=5.1.1 "
           "|class=unknown-user|text=\"no such user\"|bounce=");
    expect(log, 3, " courier |recipients=");
    assert_true(leads_somewhere(log, " failed ", "bounce"));
    expect(log, 0, " deferred |next_s=0");
    expect(log, 1, " local | delivered |to=a@us.test recipients=1 ");
    assert_int_equal(world_mailbox(1, NULL, "Action: failed"), 1);
    assert_int_equal(world_rows("dr/"), 1);
    assert_int_equal(world_got("p@one.test", "t"), 1);
}

static void one_who_fails_is_named(void **state)
{
    (void)state;
    w.grey = true;
    mail("a@us.test", "grey@one.test bad@one.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " failed |to=bad@one.test recipients=1 |code=550 ");
    expect(log, 1, " deferred |to=grey@one.test recipients=1 |code=450 ");
    expect(log, 0, " failed |to=grey@one.test");
}

static void patience_ends(void **state)
{
    (void)state;
    w.grey = true;
    mail("a@us.test", "grey@grey.test");
    world_quiet(6 * DAY);
    str_t log = logged();
    expect(log, 1, " failed |to=grey@grey.test |code=450 status=4.4.7 |given up after|bounce=");
    expect(log, 1, " deferred |next_s=|warning=");
    assert_true(count(log, " deferred |next_s=") > 20);
    assert_true(leads_somewhere(log, " failed ", "bounce"));
    assert_true(leads_somewhere(log, " warning=", "warning"));
    expect(log, count(log, " deferred "), " deferred |next_s=");
}

static void aliases_go_on(void **state)
{
    (void)state;
    mail("b@us.test", "both@us.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " local | forwarded |to=x@one.test ");
    expect(log, 1, " courier | sent |to=x@one.test ");
}

static void success_is_told(void **state)
{
    (void)state;
    send((struct queue_message){.reverse_path = STR("a@us.test")}, "p@one.test", "one.test",
         QUEUE_NOTIFY_SUCCESS);
    world_now();
    str_t log = logged();
    expect(log, 1, " sent |to=p@one.test |report=");
    assert_true(leads_somewhere(log, " sent ", "report"));
}

/* A bounce that the postmaster cannot get: by local, not courier. */
static void dropped_by_whom(void **state)
{
    (void)state;
    struct err err;
    str_t loop = STR("loop@us.test");
    assert_int_equal(directory_alias_set(w.fe.env.store, STR("postmaster@us.test"), &loop, 1, &err),
                     RC_OK);
    mail("", "nobody@us.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " local | bounce-dropped ");
    expect(log, 0, " courier ");
}

/* ---- before anybody is asked ---- */

static void suppressed(void **state)
{
    (void)state;
    mail("a@us.test", "bad@one.test");
    world_now();
    logged();
    mail("a@us.test", "good@one.test bad@one.test");
    world_now();
    str_t log = logged();
    expect(log, 1,
           " failed |to=bad@one.test recipients=1 |status=5.1.1 |text=\"suppressed since|"
           "bounce=");
    expect(log, 1, " sent |to=good@one.test recipients=1 ");
    expect(log, 0, " deferred ");
}

static void too_late(void **state)
{
    (void)state;
    struct queue_message m = {
        .reverse_path = STR("a@us.test"), .by = QUEUE_BY_NOTIFY, .deliver_by_ms = w.fe.wall + HOUR};
    w.down = true;
    send(m, "n@down.test", "down.test", 0);
    m.by = QUEUE_BY_RETURN;
    send(m, "r@down.test", "down.test", 0);
    world_quiet(2 * HOUR);
    str_t log = logged();
    expect(log, 1,
           " late |to=n@down.test |status=4.4.7 |text=\"not delivered yet|next_s=|warning=");
    assert_true(leads_somewhere(log, " late ", "warning"));
    expect(log, 1, " failed |to=r@down.test |status=5.4.7 |text=\"|bounce=");
}

/* ---- not before it is recorded, and as it is then ---- */

static queue_id_t subject;
static enum queue_change change;

static void change_at_dot(void)
{
    size_t n;
    struct queue_filter f = {.by_id = true, .id = subject};
    w.at_dot = NULL;
    assert_int_equal(queue_change(&w.fe.env, STR("us.test"), &f, change, &n), STORE_OK);
    assert_int_equal(n, 1);
}

static void changed_meanwhile(void **state)
{
    (void)state;
    w.grey = true;
    w.at_dot = change_at_dot;
    change = QUEUE_HOLD;
    subject = mail("a@us.test", "p@grey.test grey@grey.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " sent |to=p@grey.test recipients=1 ");
    expect(log, 1, " deferred |to=grey@grey.test |held=yes");
    w.at_dot = change_at_dot;
    change = QUEUE_REMOVE;
    subject = mail("a@us.test", "p@one.test grey@one.test bad@one.test");
    world_now();
    log = logged();
    expect(log, 1, " sent |to=p@one.test ");
    expect(log, 1, " removed |to=grey@one.test ");
    expect(log, 1, " failed |to=bad@one.test ");
    expect(log, 0, "bounce=");
    expect(log, 3, " courier |recipients=");
}

/* What was sent, but cannot be recorded as this role ends, is said to be so. */
static void not_recorded(void)
{
    w.at_dot = NULL;
    store_memory_fail(w.fe.env.store, STORE_DOWN);
}

static void unrecorded(void **state)
{
    (void)state;
    w.at_dot = not_recorded;
    mail("a@us.test", "p@one.test");
    world_now();
    str_t log = logged();
    expect(log, 0, " sent ");
    expect(log, 1, " courier | outcome-unsure |recipients=1 ok=1 host=one.test ");
}

/* ---- destinations ---- */

static void destination_waits(void **state)
{
    (void)state;
    w.down = true;
    for (int i = 0; i < 3; i++)
        mail("a@us.test", "p@down.test");
    world_now();
    str_t log = logged();
    expect(log, 1, " back-off |domain=down.test site=down.test until_s=|reason=\"|refused");
    expect(log, 3, " deferred |to=p@down.test ");
    world_quiet(HOUR);
    log = logged();
    size_t longer = count(log, " courier - back-off |domain=down.test ");
    assert_in_range(longer, 2, 4); /* 5, 10, 20 minutes … */
    expect(log, 0, " reached ");
    w.down = false;
    world_quiet(HOUR);
    log = logged();
    expect(log, 1, " courier - reached |domain=down.test site=down.test");
    expect(log, 0, " back-off ");
    expect(log, 3, " sent ");
    mail("a@us.test", "p@down.test");
    world_now();
    log = logged();
    expect(log, 1, " sent ");
    expect(log, 0, " reached ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_kind_has_its_line),
        T(one_who_fails_is_named),
        T(patience_ends),
        T(aliases_go_on),
        T(success_is_told),
        T(dropped_by_whom),
        T(suppressed),
        T(too_late),
        T(changed_meanwhile),
        T(unrecorded),
        T(destination_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
