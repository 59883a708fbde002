/* test_server_limits.c: who is let in, what a proxy says, and how busy the server is. */
#include "sys/server_rig.h"

#include <malloc.h>
#include <sys/un.h>

#include "sys/server_internal.h"

static void greeted(int fd)
{
    hear(fd, GREETING);
}

static void refused(int fd)
{
    hear(fd, REFUSED);
    hear_end(fd);
}

static void leave(struct rig *r, int fd)
{
    size_t before = server_connections(r->server);
    close(fd);
    while (server_connections(r->server) == before)
        usleep(500);
}

/* ---- limits ---- */

static void test_per_network(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(4, 1000, 2);
    l.per_network_max = 4;
    start(&r, l, LONG_MS);
    int fd[4];
    for (int i = 0; i < 4; i++) {
        char from[32];
        snprintf(from, sizeof from, "127.0.1.%d", 1 + i / 2);
        greeted(fd[i] = dial_from(&r, from));
    }
    refused(dial_from(&r, "127.0.1.200"));
    int other = dial_from(&r, "127.0.2.1");
    greeted(other); /* the next network */
    refused(dial_from(&r, "127.0.1.1"));
    for (int i = 0; i < 6; i++)
        greeted(dial_from(&r, "127.0.1.9")); /* exempt, and not counted either */
    leave(&r, fd[0]);
    greeted(dial_from(&r, "127.0.1.3"));
    refused(dial_from(&r, "127.0.1.3"));
    finish(&r);
}

static void test_per_minute(void **state)
{
    (void)state;
    struct rig r;
    struct server_limits l = limits(4, 1000, 1000);
    l.per_minute_max = 3;
    start(&r, l, LONG_MS);
    for (int i = 0; i < 3; i++) {
        int fd = dial(&r);
        greeted(fd);
        leave(&r, fd);
    }
    refused(dial(&r));
    refused(dial(&r));
    greeted(dial_from(&r, "127.0.0.2"));
    for (int i = 0; i < 5; i++)
        greeted(dial_from(&r, "127.0.0.9")); /* exempt */
    finish(&r);
}

/* 20 in all: one is kept for exempt peers, one more for networks with no other connection. */
static void test_kept(void **state)
{
    (void)state;
    struct rig r;
    start(&r, limits(4, 20, 1000), LONG_MS);
    for (int i = 0; i < 18; i++)
        greeted(dial_from(&r, "127.0.1.1"));
    refused(dial_from(&r, "127.0.1.1"));
    refused(dial_from(&r, "127.0.1.2")); /* a neighbour */
    int alone = dial_from(&r, "127.0.2.1");
    greeted(alone);
    refused(dial_from(&r, "127.0.3.1"));
    int ours = dial_from(&r, "127.0.0.9");
    greeted(ours);
    refused(dial_from(&r, "127.0.0.9")); /* in all means all */
    assert_int_equal(server_connections(r.server), 20);
    finish(&r);
}

/* ---- the sliding minute ---- */

static void test_rate(void **state)
{
    (void)state;
    struct rate *t = rate_new();
    const int64_t at = 1000 * 60000;
    for (int i = 0; i < 10; i++)
        assert_true(rate_pass(t, STR("a"), 10, at + 59000));
    assert_false(rate_pass(t, STR("a"), 10, at + 59000));
    assert_true(rate_pass(t, STR("b"), 10, at + 59000));
    assert_false(rate_pass(t, STR("a"), 10, at + 60000)); /* a new minute of the clock is none */
    assert_false(rate_pass(t, STR("a"), 10, at + 65999));
    assert_true(rate_pass(t, STR("a"), 10, at + 66000)); /* nine tenths of ten */
    assert_false(rate_pass(t, STR("a"), 10, at + 66001));
    assert_true(rate_pass(t, STR("a"), 10, at + 90000));
    for (int i = 0; i < 10; i++)
        assert_true(rate_pass(t, STR("a"), 10, at + 600000));
    assert_false(rate_pass(t, STR("a"), 10, at + 600000));
    rate_free(t);
}

/* Whoever comes too often is not thrown out by a crowd that comes once each. */
static void test_rate_crowd(void **state)
{
    (void)state;
    struct rate *t = rate_new();
    const int64_t at = 1000 * 60000;
    for (int i = 0; i < 5; i++)
        assert_true(rate_pass(t, STR("often"), 5, at));
    for (uint32_t i = 0; i < 300000; i++)
        assert_true(rate_pass(t, str_of(&i, sizeof i), 5, at + i / 100));
    assert_false(rate_pass(t, STR("often"), 5, at + 3000));
    rate_free(t);
}

/* ---- Unix sockets ---- */

static void test_unix(void **state)
{
    (void)state;
    struct rig r;
    char want[64];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/test_server.%d", (int)getpid());
    start(&r, limits(4, 1000, 2), LONG_MS);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)unlink(at.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_true(server_listen_on(r.server, &(struct server_listener){.fd = fd}));
    int c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(c[i], (struct sockaddr *)&at, sizeof at), 0);
    }
    unlink(at.sun_path);
    for (int i = 0; i < 2; i++) {
        greeted(c[i]);
        say(c[i], "who\n");
        snprintf(want, sizeof want, "uid=%u none:0\n", (unsigned)getuid());
        hear(c[i], want);
        close(c[i]);
    }
    refused(c[2]); /* limits hold for each user */
    finish(&r);
}

/* ---- proxies ---- */

#define V2_HEAD "\r\n\r\n\0\r\nQUIT\n"
#define V2_TLV  V2_HEAD "\x21\x11\0\x11\xc0\0\2\1\xc6\x33\x64\7\xdc\4\0\x19\4\0\2xy"
#define V1      "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"
#define V1_WHO  "192.0.2.1:56324 198.51.100.7:25\n"

/* Connections from 127.0.0.5 come through a proxy. */
static bool proxied_5(void *user, const struct netaddr *peer)
{
    (void)user;
    return peer->family == NETADDR_V4 && peer->bytes[3] == 5;
}

static void start_proxied(struct rig *r, int per_address)
{
    struct server_limits l = limits(4, 1000, per_address);
    l.proxied = proxied_5;
    start(r, l, LONG_MS);
}

static int dial_proxied(struct rig *r, str_t header)
{
    int fd = dial_from(r, "127.0.0.5");
    assert_int_equal(send(fd, header.ptr, header.len, MSG_NOSIGNAL), (ssize_t)header.len);
    return fd;
}

static void is_from(int fd, const char *want)
{
    greeted(fd);
    say(fd, "who\n");
    hear(fd, want);
    close(fd);
}

static void test_proxy(void **state)
{
    (void)state;
    struct rig r;
    start_proxied(&r, 1000);
    int silent = dial_from(&r, "127.0.0.5"), part = dial_proxied(&r, STR("PROXY TCP4 1"));
    is_from(dial_proxied(&r, STR(V1)), V1_WHO);
    is_from(dial_proxied(&r, STR(V2_TLV)), V1_WHO);
    is_from(dial_proxied(&r, STR("PROXY TCP6 2001:db8::1 2001:db8::2 7 25\r\n")),
            "[2001:db8::1]:7 [2001:db8::2]:25\n");
    int fd = dial_proxied(&r, STR(V1 "who\n")); /* what follows is the client's */
    hear(fd, GREETING V1_WHO);
    close(fd);
    const str_t itself[] = {STR("PROXY UNKNOWN\r\n"), STR(V2_HEAD "\x20\0\0\0")};
    for (int i = 0; i < 2; i++) {
        char want[160], at[NETADDR_TEXT], from[NETADDR_TEXT];
        fd = dial_proxied(&r, itself[i]);
        struct netaddr peer = net_local(fd);
        snprintf(want, sizeof want, "%s %s\n", netaddr_text_port(&peer, from),
                 netaddr_text_port(&r.at, at));
        is_from(fd, want);
    }
    static const char *const bad[] = {"EHLO x\r\n", "PROXY TCP4 192.0.2.1\r\n", "\r\n\r\nx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        hear_end(dial_proxied(&r, str_c(bad[i])));
    fd = dial_proxied(&r, STR("PROXY TCP"));
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    fd = dial_from(&r, "127.0.0.9"); /* no proxy: greeted at once */
    greeted(fd);
    close(fd);
    int64_t begun = sys_mono_ms();
    hear_end(silent); /* without a word of ours */
    hear_end(part);
    assert_true(sys_mono_ms() - begun < 15000);
    finish(&r);
}

static void test_proxy_split(void **state)
{
    (void)state;
    struct rig r;
    start_proxied(&r, 1000);
    static const str_t header[] = {STR(V1), STR(V2_TLV)};
    for (size_t i = 0; i < 2; i++)
        for (size_t n = 1; n < header[i].len; n++) {
            int fd = dial_proxied(&r, str_first(header[i], n));
            usleep(200); /* that the server sees the parts one by one, mostly */
            str_t rest = str_from(header[i], n);
            assert_int_equal(send(fd, rest.ptr, rest.len, MSG_NOSIGNAL), (ssize_t)rest.len);
            is_from(fd, V1_WHO);
        }
    finish(&r);
}

/* Limits are the client's, not the proxy's. */
static void test_proxy_limits(void **state)
{
    (void)state;
    struct rig r;
    start_proxied(&r, 2);
    int a = dial_proxied(&r, STR(V1)), b = dial_proxied(&r, STR(V1));
    greeted(a);
    greeted(b);
    refused(dial_proxied(&r, STR(V1)));
    greeted(dial_proxied(&r, STR("PROXY TCP4 192.0.2.2 198.51.100.7 56324 25\r\n")));
    for (int i = 0; i < 4; i++)
        greeted(dial_proxied(&r, STR("PROXY UNKNOWN\r\n"))); /* itself, never refused for others */
    leave(&r, a);
    greeted(dial_proxied(&r, STR(V1)));
    finish(&r);
}

/* ---- stress ---- */

static void wait_stressed(struct rig *r, bool want)
{
    while (server_stressed(r->server) != want)
        usleep(500);
}

/* Of 20 connections: from 16 on, until less than 12. */
static void test_stress(void **state)
{
    (void)state;
    struct rig r;
    int fd[16];
    start(&r, limits(4, 20, 1000), LONG_MS);
    for (int i = 0; i < 15; i++)
        greeted(fd[i] = dial(&r));
    assert_false(server_stressed(r.server));
    greeted(fd[15] = dial(&r));
    assert_true(server_stressed(r.server));
    for (int i = 0; i < 4; i++)
        leave(&r, fd[i]); /* 12 */
    assert_true(server_stressed(r.server));
    close(fd[4]);
    wait_stressed(&r, false);
    for (int i = 0; i < 4; i++)
        greeted(fd[i] = dial(&r)); /* 15 */
    assert_false(server_stressed(r.server));
    finish(&r);
}

/* Those already parked feel it, though their patience was a minute: until stress is over. */
static void test_stress_sweep(void **state)
{
    (void)state;
    struct rig r;
    int fd[400];
    start(&r, limits(4, 500, 1000), LONG_MS);
    r.w.stress_ms = 1;
    for (int i = 0; i < 400; i++)
        greeted(fd[i] = dial(&r));
    wait_stressed(&r, false);
    assert_true(server_connections(r.server) < 300);
    for (int i = 0; i < 400; i++)
        close(fd[i]);
    finish(&r);
}

static void test_stress_memory(void **state)
{
    (void)state;
    struct rig r;
    struct mallinfo2 m = mallinfo2();
    if (m.uordblks + m.hblkhd == 0)
        skip(); /* a sanitizer's allocator tells nothing */
    start(&r, limits(4, 1000, 1000), LONG_MS);
    int fd = dial(&r);
    greeted(fd);
    server_stress_memory(r.server, UINT64_C(1) << 50);
    say(fd, "ping\n");
    hear(fd, "ping!\n");
    assert_false(server_stressed(r.server));
    server_stress_memory(r.server, 1000);
    say(fd, "ping\n");
    hear(fd, "ping!\n");
    assert_true(server_stressed(r.server));
    server_stress_memory(r.server, UINT64_C(1) << 50);
    say(fd, "ping\n");
    hear(fd, "ping!\n");
    assert_false(server_stressed(r.server));
    finish(&r);
}

static void test_stress_descriptors(void **state)
{
    (void)state;
    struct rig r;
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 200; /* 160 are 80 per cent: 127 connections, a listener, 32 others */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    start(&r, limits(4, 100000, 1000), LONG_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 126; i++)
        greeted(dial(&r));
    assert_false(server_stressed(r.server));
    greeted(dial(&r));
    assert_true(server_stressed(r.server));
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_per_network),
        cmocka_unit_test(test_per_minute),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_crowd),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_proxy_split),
        cmocka_unit_test(test_proxy_limits),
        cmocka_unit_test(test_stress),
        cmocka_unit_test(test_stress_sweep),
        cmocka_unit_test(test_stress_memory),
        cmocka_unit_test(test_stress_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
