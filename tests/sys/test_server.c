/* test_server.c: many connections, few threads; TLS is in test_server_tls.c, who is let in, proxies
 * and stress in test_server_limits.c. */
#include "sys/server_rig.h"

#include "sys/server_internal.h"

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

/* Room for little: what is not read soon stays with the server. */
static int dial_narrow(struct rig *r)
{
    struct sockaddr_storage at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = 16384;
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    socklen_t len = net_to_sockaddr(&r->at, &at);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

static size_t read_slowly(int fd, unsigned pause_us)
{
    static char piece[65536];
    size_t all = 0;
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) {
        all += (size_t)n;
        usleep(pause_us);
    }
    return all;
}

/* A reader that takes a little now and then does not live for ever either: too slow, though it
 * never stands still, it is cut off. */
static void test_too_slow(void **state)
{
    (void)state;
    for (int enough = 0; enough < 2; enough++) {
        struct rig r;
        struct server_limits l = limits(32, 1000, 1000);
        l.output_stall_ms = 500;
        l.output_floor_bps = enough ? 1000 : UINT32_MAX;
        start(&r, l, LONG_MS);
        int fd = dial_narrow(&r);
        hear(fd, GREETING);
        say(fd, "big\nquit\n");
        size_t all = read_slowly(fd, enough ? 100 : 5000);
        if (enough)
            assert_int_equal(all, BIG + strlen("quit!\n"));
        else
            assert_true(all < BIG);
        close(fd);
        finish(&r);
    }
}

/* The rule without a clock: 500 bytes a second, and never more than all of the patience ahead. */
static void test_stalled_since(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(1, 10, 10), LONG_MS);
    const struct server *s = r.server;
    int64_t since = 1000;
    for (int i = 1; i <= 200; i++) /* a byte a second: 2 ms each */
        assert_int_equal(since = bytes_stalled_since(s, since, 1, 1000 + i * 1000), 1000 + i * 2);
    assert_int_equal(bytes_stalled_since(s, 1000, 500, 300000), 2000);
    assert_int_equal(bytes_stalled_since(s, 1000, 499, 2000), 1998);
    assert_int_equal(bytes_stalled_since(s, 1000, 1 << 30, 301000), 301000);
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
        cmocka_unit_test(test_talk),          cmocka_unit_test(test_grows),
        cmocka_unit_test(test_grows_late),    cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_stall),         cmocka_unit_test(test_too_slow),
        cmocka_unit_test(test_stalled_since), cmocka_unit_test(test_expires),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_no_progress),   cmocka_unit_test(test_hold),
        cmocka_unit_test(test_stop),          cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_storm),
    };
    int failed = cmocka_run_group_tests_name("workers as needed", tests, NULL, NULL);
    tell = true;
    return failed + cmocka_run_group_tests_name("handlers tell", tests, NULL, NULL);
}
