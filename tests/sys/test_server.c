/* test_server.c: The server with real loopback sockets, and a protocol of lines made to be
 * awkward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/blocking.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "sys/server.h"

#define BIG      (8 << 20) /* more than loopback sockets hold */
#define PIECE    65536
#define GREETING "hello\n"
#define REFUSED  "421 full\n"
#define LONG_MS  60000

static bool tell; /* every test runs both ways: server_limits.handlers_tell */

/* ---- the session: one line, one answer; `block` waits for the gate, `big` sends BIG bytes piece
 * by piece ---- */

struct world {
    _Atomic int open, goodbyes, early_sends;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int blocked, gate; /* `block` waits until so many are blocked */
    int idle_ms, hold_ms;
    bool silent; /* `block` does not tell the server */
};

struct session {
    struct world *w;
    struct buf out;
    size_t big_left;
    bool done;
    int64_t deadline_ms, hold_until_ms;
    struct netaddr peer, local;
};

static void *on_open(void *user, const struct netaddr *peer, const struct netaddr *local,
                     int64_t now_ms)
{
    struct session *s = calloc(1, sizeof *s);
    s->w = user;
    s->peer = *peer;
    s->local = *local;
    s->deadline_ms = now_ms + s->w->idle_ms;
    buf_init(&s->out, 1 << 20);
    buf_add(&s->out, STR(GREETING));
    atomic_fetch_add(&s->w->open, 1);
    return s;
}

static void block(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    w->blocked++;
    pthread_cond_broadcast(&w->changed);
    if (!w->silent)
        blocking_begin();
    while (w->blocked < w->gate)
        pthread_cond_wait(&w->changed, &w->lock);
    if (!w->silent)
        blocking_end();
    pthread_mutex_unlock(&w->lock);
}

/* One line at a time, whatever came. */
static size_t on_input(void *session, str_t bytes, int64_t now_ms)
{
    struct session *s = session;
    str_t rest = bytes, line;
    s->deadline_ms = now_ms + s->w->idle_ms;
    assert_int_equal(s->out.len, 0); /* never called while output waits */
    assert_int_equal(s->big_left, 0);
    if (!str_cut(&rest, '\n', &line))
        return 0;
    if (str_eq(line, STR("block")))
        block(s->w);
    if (str_eq(line, STR("hold")))
        s->hold_until_ms = now_ms + s->w->hold_ms;
    if (str_eq(line, STR("quit")))
        s->done = true;
    if (str_eq(line, STR("big")))
        s->big_left = BIG;
    else
        buf_addf(&s->out, "%.*s!\n", STR_ARG(line));
    return line.len + 1;
}

static void on_eof(void *session, int64_t now_ms)
{
    (void)now_ms;
    buf_add(&((struct session *)session)->out, STR("eof\n"));
}

static str_t on_output(void *session)
{
    return buf_str(&((struct session *)session)->out);
}

static void on_sent(void *session, size_t n)
{
    struct session *s = session;
    if (s->hold_until_ms > sys_mono_ms())
        atomic_fetch_add(&s->w->early_sends, 1);
    s->hold_until_ms = 0;
    buf_consume(&s->out, n);
}

static bool on_more(void *session, int64_t now_ms)
{
    struct session *s = session;
    (void)now_ms;
    size_t n = s->big_left < PIECE ? s->big_left : PIECE;
    if (n == 0)
        return false;
    memset(buf_room(&s->out, n), 'b', n);
    s->out.len += n;
    s->big_left -= n;
    return true;
}

static bool on_finished(void *session)
{
    return ((struct session *)session)->done;
}
static int64_t on_deadline(void *session)
{
    return ((struct session *)session)->deadline_ms;
}
static int64_t on_hold(void *session)
{
    return ((struct session *)session)->hold_until_ms;
}

static void on_expire(void *session, int64_t now_ms)
{
    struct session *s = session;
    assert_true(now_ms >= s->deadline_ms);
    buf_add(&s->out, STR("late\n"));
    s->done = true;
}

static void on_close(void *session)
{
    struct session *s = session;
    atomic_fetch_sub(&s->w->open, 1);
    buf_free(&s->out);
    free(s);
}

static void on_goodbye(void *session)
{
    struct session *s = session;
    atomic_fetch_add(&s->w->goodbyes, 1);
    buf_add(&s->out, STR("421 going\n"));
}

static const struct server_session_ops ops = {
    .open = on_open,
    .input = on_input,
    .eof = on_eof,
    .output = on_output,
    .sent = on_sent,
    .more = on_more,
    .finished = on_finished,
    .deadline_ms = on_deadline,
    .expire = on_expire,
    .close = on_close,
    .hold_until_ms = on_hold,
    .goodbye = on_goodbye,
};

/* ---- a server and its clients ---- */

struct rig {
    struct world w;
    struct server *server;
    struct netaddr at;
};

static bool exempt_9(void *user, const struct netaddr *peer)
{
    (void)user;
    return peer->bytes[3] == 9;
}

static void start(struct rig *r, struct server_limits l, int idle_ms)
{
    *r = (struct rig){.w = {.idle_ms = idle_ms, .gate = 1, .hold_ms = 40}};
    pthread_mutex_init(&r->w.lock, NULL);
    pthread_cond_init(&r->w.changed, NULL);
    l.refuse_text = REFUSED;
    l.exempt = exempt_9;
    r->server = server_new(&ops, &r->w, &l);
    assert_non_null(r->server);
    struct netaddr any;
    assert_true(netaddr_parse(STR("127.0.0.1"), &any));
    int fd = net_listen(&any, NULL);
    assert_true(fd >= 0);
    r->at = net_local(fd);
    assert_true(server_listen(r->server, fd, NULL));
}

static void finish(struct rig *r)
{
    server_stop(r->server);
    assert_int_equal(server_connections(r->server), 0);
    assert_int_equal(r->w.open, 0);
    server_free(r->server);
}

static int dial_from(struct rig *r, const char *source)
{
    struct sockaddr_storage s;
    struct netaddr from;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && netaddr_parse(str_c(source), &from));
    socklen_t len = net_to_sockaddr(&from, &s);
    assert_int_equal(bind(fd, (struct sockaddr *)&s, len), 0);
    len = net_to_sockaddr(&r->at, &s);
    assert_int_equal(connect(fd, (struct sockaddr *)&s, len), 0);
    return fd;
}

static int dial(struct rig *r)
{
    return dial_from(r, "127.0.0.1");
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Exactly these bytes come next. */
static void hear(int fd, const char *want)
{
    char got[256];
    size_t n = strlen(want), at = 0;
    while (at < n) {
        ssize_t r = recv(fd, got + at, n - at, 0);
        assert_true(r > 0);
        at += (size_t)r;
    }
    assert_memory_equal(got, want, n);
}

static void hear_end(int fd)
{
    char c;
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
}

/* At most so many workers, connections in all, connections from one address. */
static struct server_limits limits(int workers, int connections, int per_address)
{
    return (struct server_limits){.workers_max = workers,
                                  .connections_max = connections,
                                  .per_address_max = per_address,
                                  .output_stall_ms = LONG_MS,
                                  .handlers_tell = tell};
}

/* ---- tests ---- */

static void test_talk(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(4, 1000, 1000), LONG_MS);
    int fd[300];
    for (int i = 0; i < 300; i++)
        fd[i] = dial(&r);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 300; i++) {
            if (round == 0)
                hear(fd[i], GREETING);
            /* pipelined: one line used at a time */
            say(fd[i], i % 2 ? "one\n" : "one\ntwo\nthree\n");
            hear(fd[i], i % 2 ? "one!\n" : "one!\ntwo!\nthree!\n");
        }
    assert_int_equal(server_connections(r.server), 300);
    for (int i = 0; i < 300; i++) {
        say(fd[i], "quit\n");
        hear(fd[i], "quit!\n");
        hear_end(fd[i]);
    }
    finish(&r);
    assert_int_equal(r.w.goodbyes, 0);
}

/* No answer before n are in their handlers at once. */
static void grow_to(int n, bool silent)
{
    struct rig r;
    start(&r, limits(n, 1000, 1000), LONG_MS);
    r.w.gate = n;
    r.w.silent = silent;
    int fd[64];
    for (int i = 0; i < n; i++) {
        fd[i] = dial(&r);
        hear(fd[i], GREETING);
        say(fd[i], "block\n");
    }
    for (int i = 0; i < n; i++)
        hear(fd[i], "block!\n");
    r.w.gate = 0;
    for (int round = 0; round < 3; round++) /* and go on with all of them */
        for (int i = 0; i < n; i++) {
            say(fd[i], "block\nmore\n");
            hear(fd[i], "block!\nmore!\n");
        }
    for (int i = 0; i < n; i++)
        close(fd[i]);
    finish(&r);
}

static void test_grows(void **state)
{
    (void)state;
    grow_to(64, false);
}

static void test_grows_late(void **state)
{
    (void)state;
    grow_to(5, true); /* handlers that sleep without saying so: the watch sees it */
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(1, 1000, 1000), LONG_MS); /* a held worker would be the only one */
    int slow = dial(&r), quick = dial(&r);
    hear(slow, GREETING);
    hear(quick, GREETING);
    say(slow, "big\nafter\nquit\n");
    say(quick, "ping\n");
    hear(quick, "ping!\n");
    char *piece = malloc(PIECE);
    for (size_t n = 0; n < BIG;) {
        ssize_t got = recv(slow, piece, BIG - n < PIECE ? BIG - n : PIECE, 0);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(piece[i], 'b');
        n += (size_t)got;
    }
    free(piece);
    hear(slow, "after!\nquit!\n"); /* the input that waited was kept */
    hear_end(slow);
    close(quick);
    finish(&r);
}

static void test_stall(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(32, 1000, 1000);
    l.output_stall_ms = 60;
    start(&r, l, LONG_MS);
    int fd = dial(&r);
    hear(fd, GREETING);
    say(fd, "big\n");
    while (atomic_load(&r.w.open) > 0)
        usleep(1000); /* cut off without our reading a byte */
    close(fd);
    finish(&r);
}

static void test_expires(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(32, 1000, 1000), 50);
    int fd[30];
    for (int i = 0; i < 30; i++)
        fd[i] = dial(&r);
    for (int i = 0; i < 30; i++) {
        hear(fd[i], GREETING);
        hear(fd[i], "late\n");
        hear_end(fd[i]);
    }
    finish(&r);
}

static void test_limits(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(32, 4, 2), LONG_MS);
    int a = dial(&r), b = dial(&r);
    hear(a, GREETING);
    hear(b, GREETING);
    int c = dial(&r); /* the third from there */
    hear(c, REFUSED);
    hear_end(c);
    int d = dial_from(&r, "127.0.0.2"), e = dial_from(&r, "127.0.0.2");
    hear(d, GREETING);
    hear(e, GREETING);
    c = dial_from(&r, "127.0.0.3"); /* the fifth in all */
    hear(c, REFUSED);
    hear_end(c);
    say(a, "quit\n");
    hear(a, "quit!\n");
    hear_end(a);
    while (server_connections(r.server) > 3)
        usleep(1000);
    c = dial(&r); /* a place is free again, and for this address too */
    hear(c, GREETING);
    close(b);
    close(c);
    close(d);
    close(e);
    while (server_connections(r.server) > 0)
        usleep(1000);
    int f[4];
    for (int i = 0; i < 4; i++) /* exempt from the limit per address, not from the other */
        hear(f[i] = dial_from(&r, "127.0.0.9"), GREETING);
    c = dial_from(&r, "127.0.0.9");
    hear(c, REFUSED);
    hear_end(c);
    for (int i = 0; i < 4; i++)
        close(f[i]);
    finish(&r);
}

static void test_half_close(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(32, 1000, 1000), LONG_MS);
    int fd = dial(&r);
    say(fd, "a\nb\n");
    shutdown(fd, SHUT_WR);
    hear(fd, GREETING "a!\nb!\neof\n");
    hear_end(fd);
    finish(&r);
}

static void test_no_progress(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(32, 1000, 1000), LONG_MS);
    int fd = dial(&r);
    hear(fd, GREETING);
    say(fd, "no line"); /* this session uses nothing of it and says nothing */
    hear_end(fd);
    finish(&r);
}

static void test_hold(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(1, 1000, 1000), LONG_MS);
    int fd = dial(&r), other = dial(&r);
    hear(fd, GREETING);
    hear(other, GREETING);
    say(fd, "hold\nnext\n");
    say(other, "ping\n");
    hear(other, "ping!\n");
    hear(fd, "hold!\nnext!\n");
    assert_int_equal(r.w.early_sends, 0);
    r.w.hold_ms = LONG_MS;
    say(fd, "hold\n");
    close(other);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd); /* a reset ends it although it is held */
    while (atomic_load(&r.w.open) > 0)
        usleep(1000);
    finish(&r);
}

static void test_stop(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(32, 1000, 1000), LONG_MS);
    int a = dial(&r), b = dial(&r);
    hear(a, GREETING);
    hear(b, GREETING);
    server_stop(r.server);
    assert_int_equal(r.w.goodbyes, 2);
    hear(a, "421 going\n");
    hear_end(a);
    hear(b, "421 going\n");
    hear_end(b);
    finish(&r);
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct rig r;
    struct rlimit before, none;
    start(&r, limits(32, 1000, 1000), LONG_MS);
    int first = dial(&r);
    hear(first, GREETING);
    struct sockaddr_storage s;
    socklen_t len = net_to_sockaddr(&r.at, &s);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&s, len), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 30), 0); /* not taken */
    say(first, "ping\n");
    hear(first, "ping!\n"); /* the others are served */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    hear(fd, GREETING);
    close(fd);
    close(first);
    finish(&r);
}

static void hear_all(int fd)
{
    char got[256];
    while (recv(fd, got, sizeof got, 0) > 0)
        ;
}

static void *storm_main(void *arg)
{
    struct rig *r = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 150; i++) {
        int fd = dial(r), what = rand_r(&seed) % 4;
        if (what & 1)
            (void)!send(fd, "a\nb\nquit\n", 9, MSG_NOSIGNAL);
        if (what & 2)
            hear_all(fd); /* until it quits, or its deadline comes, near other events */
        close(fd);
    }
    return NULL;
}

/* Connections that come, go and time out at the same moments, with all workers: for the
 * sanitizers. */
static void test_storm(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(8, 1000, 1000), 5);
    pthread_t t[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, storm_main, &r);
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_grows_late),  cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_stall),       cmocka_unit_test(test_expires),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_no_progress), cmocka_unit_test(test_hold),
        cmocka_unit_test(test_stop),        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_storm),
    };
    int failed = cmocka_run_group_tests_name("workers as needed", tests, NULL, NULL);
    tell = true;
    return failed + cmocka_run_group_tests_name("handlers tell", tests, NULL, NULL);
}
