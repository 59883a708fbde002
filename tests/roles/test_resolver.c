/* test_resolver.c: The resolver role's engine over its channel: its protocol, and real answers from
 * an NSD on loopback (skipped where that is not installed). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/resolver/client.h"
#include "roles/resolver/protocol.h"
#include "roles/resolver/resolver.h"
#include "sys/clock.h"
#include "sys/env.h"

#define NSD "/usr/sbin/nsd"

/* ---- the protocol ---- */

static struct arena arena;

static void test_query_codec(void **state)
{
    struct resolver_query q = {DNS_AAAA, 1500, STR("mx.example.test")}, got;
    struct buf b;
    (void)state;
    buf_init(&b, 1024);
    assert_true(resolver_query_encode(&q, &b));
    assert_true(resolver_query_decode(buf_str(&b), &got));
    assert_int_equal(got.type, DNS_AAAA);
    assert_int_equal(got.wait_ms, 1500);
    assert_true(str_eq(got.name, q.name));
    for (size_t n = 0; n < b.len; n++)
        assert_false(resolver_query_decode(str_first(buf_str(&b), n), &got));
    buf_u8(&b, 0);
    assert_false(resolver_query_decode(buf_str(&b), &got)); /* one byte more */
    buf_free(&b);
}

static void test_query_limits(void **state)
{
    char name[RESOLVER_NAME_MAX + 1];
    const struct {
        struct resolver_query q;
        bool ok;
    } rows[] = {
        {{DNS_A, 1, STR("x")}, true},
        {{DNS_A, RESOLVER_WAIT_MAX, str_of(name, RESOLVER_NAME_MAX)}, true},
        {{DNS_A, 0, STR("x")}, false},
        {{DNS_A, RESOLVER_WAIT_MAX + 1, STR("x")}, false},
        {{DNS_A, 1, str_of(name, RESOLVER_NAME_MAX + 1)}, false},
        {{DNS_A, 1, STR("")}, false},
        {{DNS_A, 1, STR("a b")}, false},
        {{DNS_A, 1, STR("a\0b")}, false},
        {{DNS_A, 1, STR("a\\.b")}, false},
        {{DNS_A, 1, STR("\xc3\xbc.test")}, false},
        {{(enum dns_type)255, 1, STR("x")}, false}, /* ANY */
        {{(enum dns_type)252, 1, STR("x")}, false}, /* AXFR */
    };
    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct resolver_query got;
        struct buf b;
        buf_init(&b, 1024);
        assert_true(resolver_query_encode(&rows[i].q, &b));
        if (resolver_query_decode(buf_str(&b), &got) != rows[i].ok)
            fail_msg("row %zu", i);
        buf_free(&b);
    }
}

static void test_answer_codec(void **state)
{
    str_t rdata[DNS_ANSWER_RECORDS_MAX + 1];
    struct dns_answer a = {DNS_OK, true, 77, STR("real.test"), 2, rdata}, got;
    struct buf b;
    (void)state;
    rdata[0] = STR("one");
    rdata[1] = STR("");
    buf_init(&b, 1 << 20);
    arena_init(&arena, 1 << 20);
    assert_true(resolver_answer_encode(&a, &b));
    assert_true(resolver_answer_decode(buf_str(&b), &arena, &got));
    assert_true(got.status == DNS_OK && got.secure && got.ttl_s == 77 && got.n == 2);
    assert_true(str_eq(got.canonical, STR("real.test")) && str_eq(got.rdata[0], STR("one")));
    for (size_t n = 0; n < b.len; n++)
        assert_false(resolver_answer_decode(str_first(buf_str(&b), n), &arena, &got));
    b.ptr[0] = DNS_BOGUS + 1;
    assert_false(resolver_answer_decode(buf_str(&b), &arena, &got));
    b.ptr[0] = DNS_NODATA; /* but with records */
    assert_false(resolver_answer_decode(buf_str(&b), &arena, &got));

    for (size_t i = 0; i < DNS_ANSWER_RECORDS_MAX + 1; i++)
        rdata[i] = STR("abc");
    a.n = DNS_ANSWER_RECORDS_MAX + 1;
    buf_clear(&b);
    assert_true(resolver_answer_encode(&a, &b) &&
                resolver_answer_decode(buf_str(&b), &arena, &got));
    assert_int_equal(got.n, DNS_ANSWER_RECORDS_MAX);

    char *large = calloc(1, 40000); /* two do not fit */
    rdata[0] = rdata[1] = str_of(large, 40000);
    a.n = 2;
    buf_clear(&b);
    assert_true(resolver_answer_encode(&a, &b) &&
                resolver_answer_decode(buf_str(&b), &arena, &got));
    assert_int_equal(got.n, 1);
    free(large);
    arena_free(&arena);
    buf_free(&b);
}

/* ---- a resolver and one client of it ---- */

struct pair {
    struct resolver *r;
    struct channel *ch;
    struct env env;
};

static void pair_connect(struct pair *p)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    resolver_attach(p->r, fd[0]);
    channel_attach(p->ch, fd[1]);
}

static void pair_open(struct pair *p, uint16_t port, bool dnssec)
{
    struct settings set = {.dnssec = dnssec, .n_dns_servers = 1};
    struct err err = {0};
    assert_true(netaddr_parse(STR("127.0.0.1"), &set.dns_servers[0]));
    set.dns_servers[0].port = port;
    p->r = resolver_new(&set, &err);
    if (p->r == NULL)
        fail_msg("%s", err.text);
    p->ch = channel_new(NULL, NULL, NULL);
    sys_env_init(&p->env);
    resolver_client_install(&p->env, p->ch);
    pair_connect(p);
    arena_init(&arena, 8 << 20);
}

static void pair_close(struct pair *p)
{
    resolver_free(p->r);
    channel_free(p->ch);
    arena_free(&arena);
}

static struct dns_answer ask(struct pair *p, const char *name, enum dns_type type, int64_t wait_ms)
{
    struct dns_answer a;
    p->env.dns(&p->env, str_c(name), type, sys_mono_ms() + wait_ms, &arena, &a);
    return a;
}

/* A UDP socket on loopback that never answers. */
static int silent_server(uint16_t *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    *port = ntohs(sin.sin_port);
    return fd;
}

static void test_timeout(void **state)
{
    struct pair p;
    uint16_t port;
    int fd = silent_server(&port);
    (void)state;
    pair_open(&p, port, false);
    assert_int_equal(ask(&p, "x.test", DNS_MX, 700).status, DNS_TIMEOUT);
    assert_int_equal(ask(&p, "x.test", DNS_MX, 0).status, DNS_TIMEOUT);
    assert_int_equal(ask(&p, "a b", DNS_MX, 700).status, DNS_NXDOMAIN); /* never asked */
    pair_close(&p);
    close(fd);
}

/* Waiting queries end when the resolver goes; a new one answers whoever asks again. */
static void *go_away(void *arg)
{
    struct pair *p = arg;
    struct timespec ts = sys_timespec(200);
    nanosleep(&ts, NULL);
    pair_connect(p); /* the former socket is closed: as if the role had been restarted */
    return NULL;
}

static void test_reconnect(void **state)
{
    struct pair p;
    uint16_t port;
    pthread_t t;
    int fd = silent_server(&port);
    (void)state;
    pair_open(&p, port, false);
    assert_int_equal(pthread_create(&t, NULL, go_away, &p), 0);
    /* not SERVFAIL: it was asked again */
    assert_int_equal(ask(&p, "x.test", DNS_MX, 1500).status, DNS_TIMEOUT);
    pthread_join(t, NULL);
    pair_close(&p);
    close(fd);
}

/* ---- many at once ---- */

static _Atomic int n_done, n_status[DNS_BOGUS + 1];

static void count(struct channel_call *c)
{
    if (c->rc == RC_OK && c->reply.len > 0 && (uint8_t)c->reply.ptr[0] <= DNS_BOGUS)
        n_status[(uint8_t)c->reply.ptr[0]]++;
    n_done++;
}

static void test_in_flight_limit(void **state)
{
    enum { N = RESOLVER_IN_FLIGHT + 50 };
    static struct channel_call calls[N];
    struct pair p;
    uint16_t port;
    int fd = silent_server(&port);
    (void)state;
    pair_open(&p, port, false);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.test", i);
        struct resolver_query q = {DNS_A, 2000, str_c(name)};
        struct buf b;
        buf_init(&b, 1024);
        assert_true(resolver_query_encode(&q, &b));
        struct iovec iov = {b.ptr, b.len};
        calls[i] = (struct channel_call){.done = count, .deadline_ms = sys_mono_ms() + 20000};
        channel_send(p.ch, RESOLVER_QUERY, &iov, 1, &calls[i]);
        buf_free(&b);
    }
    while (n_done < N)
        poll(NULL, 0, 20);
    assert_int_equal(n_status[DNS_SERVFAIL], N - RESOLVER_IN_FLIGHT);
    assert_int_equal(n_status[DNS_TIMEOUT], RESOLVER_IN_FLIGHT);
    pair_close(&p);
    close(fd);
}

/* A client that breaks the protocol loses its channel; the others do not notice. */
static void test_malformed(void **state)
{
    struct pair p, other;
    uint16_t port;
    uint8_t type;
    str_t reply;
    int got_fd, fd = silent_server(&port);
    (void)state;
    pair_open(&p, port, false);
    other.r = p.r;
    other.ch = channel_new(NULL, NULL, NULL);
    sys_env_init(&other.env);
    resolver_client_install(&other.env, other.ch);
    pair_connect(&other);
    const struct iovec bad = {(char[]){"what is this"}, 12};
    enum rc rc = channel_call(p.ch, RESOLVER_QUERY, &bad, 1, sys_mono_ms() + 2000, &arena, &type,
                              &reply, &got_fd);
    assert_int_equal(rc, RC_CLOSED);
    assert_int_equal(ask(&other, "x.test", DNS_MX, 700).status, DNS_TIMEOUT);
    channel_free(other.ch);
    pair_close(&p);
    close(fd);
}

/* ---- with NSD ---- */

static pid_t nsd;
static uint16_t nsd_port;
static char dir[64];

static void put_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char zone_head[] = "$ORIGIN example.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 "
                                "86400 5\n@ NS ns\nns A 127.0.0.1\n"
                                "@ MX 20 mx2\n@ MX 10 mx1\nmx1 A 192.0.2.1\nmx1 A 192.0.2.2\nmx1 "
                                "AAAA 2001:db8::1\nmx2 A 192.0.2.3\n"
                                "www CNAME mx1\nlost CNAME nowhere\naway CNAME x.other.test.\nnull "
                                "MX 0 .\nempty.below A 192.0.2.9\n"
                                "txt TXT \"v=spf1 \" \"-all\"\n";

static void make_zone(void)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_add(&b, str_c(zone_head));
    for (int i = 0; i < DNS_ANSWER_RECORDS_MAX + 20; i++) /* over UDP's size as well: TCP */
        buf_addf(&b, "many MX %d a-host-with-a-long-name-%d\n", i, i);
    buf_addc(&b, '\0');
    put_file("example.test.zone", b.ptr);
    put_file("test.zone", "$ORIGIN localhost.\n@ 300 SOA ns h 1 1 1 1 1\n@ 300 NS ns\nns 300 A "
                          "127.0.0.1\n@ 300 MX 5 here\n");
    buf_free(&b);
}

static bool nsd_answers(void)
{
    static const char query[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07"
                                "example\x04test\x00\x00\x06\x00\x01";
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons(nsd_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char reply[512];
    bool yes = false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (connect(fd, (struct sockaddr *)&sin, sizeof sin) == 0 &&
        send(fd, query, sizeof query - 1, 0) > 0 && poll(&p, 1, 100) == 1)
        yes = recv(fd, reply, sizeof reply, 0) > 12 && (reply[3] & 15) == 0;
    close(fd);
    return yes;
}

static int nsd_start(void **state)
{
    char conf[2048];
    (void)state;
    if (access(NSD, X_OK) != 0)
        return 0;
    snprintf(dir, sizeof dir, "/tmp/postrider-nsd-XXXXXX");
    assert_non_null(mkdtemp(dir));
    close(silent_server(&nsd_port)); /* a port that is free */
    snprintf(conf, sizeof conf,
             "server:\n ip-address: 127.0.0.1@%u\n zonesdir: \"%s\"\n database: \"\"\n pidfile: "
             "\"\"\n username: \"\"\n server-count: 1\n"
             " logfile: \"%s/log\"\n xfrdfile: \"%s/xfrd\"\n xfrdir: \"%s\"\n zonelistfile: "
             "\"%s/zones\"\n cookie-secret-file: \"\"\n"
             "remote-control:\n control-enable: no\n"
             "zone:\n name: example.test\n zonefile: example.test.zone\nzone:\n name: localhost\n "
             "zonefile: test.zone\n",
             nsd_port, dir, dir, dir, dir, dir);
    put_file("nsd.conf", conf);
    make_zone();
    char path[128];
    snprintf(path, sizeof path, "%s/nsd.conf", dir);
    nsd = fork();
    if (nsd == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* it must not outlive a test that crashes */
        dup2(open("/dev/null", O_RDWR), STDOUT_FILENO);
        execl(NSD, "nsd", "-d", "-c", path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 600 && !nsd_answers(); i++)
        poll(NULL, 0, 50);
    assert_true(nsd_answers());
    return 0;
}

static int nsd_stop(void **state)
{
    static const char *const files[] = {"nsd.conf", "example.test.zone", "test.zone", "log", "xfrd",
                                        "zones"};
    char path[128];
    (void)state;
    if (nsd <= 0)
        return 0;
    kill(nsd, SIGTERM);
    waitpid(nsd, NULL, 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
    return 0;
}

static bool has_mx(const struct dns_answer *a, unsigned preference, const char *host)
{
    for (size_t i = 0; i < a->n; i++) {
        uint16_t p;
        char name[256];
        if (dns_mx(a->rdata[i], &p, name) && p == preference && strcmp(name, host) == 0)
            return true;
    }
    return false;
}

static bool has_addr(const struct dns_answer *a, enum dns_type type, const char *text)
{
    struct netaddr want, got;
    assert_true(netaddr_parse(str_c(text), &want));
    for (size_t i = 0; i < a->n; i++)
        if (dns_addr(type, a->rdata[i], &got) && netaddr_eq(&want, &got))
            return true;
    return false;
}

static void test_records(void **state)
{
    struct pair p;
    str_t text;
    (void)state;
    if (nsd <= 0)
        skip();
    pair_open(&p, nsd_port, false);
    struct dns_answer a = ask(&p, "example.test", DNS_MX, 5000);
    assert_int_equal(a.status, DNS_OK);
    assert_true(a.n == 2 && has_mx(&a, 10, "mx1.example.test") &&
                has_mx(&a, 20, "mx2.example.test"));
    assert_false(a.secure);
    assert_in_range(a.ttl_s, 1, 300);
    a = ask(&p, "MX1.Example.TEST", DNS_A, 5000);
    assert_true(a.status == DNS_OK && a.n == 2 && has_addr(&a, DNS_A, "192.0.2.1") &&
                has_addr(&a, DNS_A, "192.0.2.2"));
    a = ask(&p, "mx1.example.test", DNS_AAAA, 5000);
    assert_true(a.status == DNS_OK && a.n == 1 && has_addr(&a, DNS_AAAA, "2001:db8::1"));
    a = ask(&p, "txt.example.test", DNS_TXT, 5000);
    assert_true(a.status == DNS_OK && dns_txt(a.rdata[0], &arena, &text) &&
                str_eq(text, STR("v=spf1 -all")));
    a = ask(&p, "www.example.test", DNS_A, 5000); /* through a CNAME */
    assert_true(a.status == DNS_OK && a.n == 2 && str_eq(a.canonical, STR("mx1.example.test")));
    a = ask(&p, "null.example.test", DNS_MX, 5000);
    assert_true(a.status == DNS_OK && a.n == 1 && has_mx(&a, 0, ""));
    a = ask(&p, "many.example.test", DNS_MX, 5000);
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(a.n, DNS_ANSWER_RECORDS_MAX);
    a = ask(&p, "localhost", DNS_MX, 5000); /* asked like any other name */
    assert_true(a.status == DNS_OK && has_mx(&a, 5, "here.localhost"));
    pair_close(&p);
}

static void test_absence(void **state)
{
    struct pair p;
    (void)state;
    if (nsd <= 0)
        skip();
    pair_open(&p, nsd_port, false);
    assert_int_equal(ask(&p, "no.example.test", DNS_MX, 5000).status, DNS_NXDOMAIN);
    assert_int_equal(ask(&p, "mx2.example.test", DNS_AAAA, 5000).status, DNS_NODATA);
    /* an empty non-terminal exists */
    assert_int_equal(ask(&p, "below.example.test", DNS_A, 5000).status, DNS_NODATA);
    assert_int_equal(ask(&p, "lost.example.test", DNS_A, 5000).status, DNS_NXDOMAIN);
    /* REFUSED there: not known */
    assert_int_equal(ask(&p, "x.other.test", DNS_A, 5000).status, DNS_SERVFAIL);
    assert_int_equal(ask(&p, "away.example.test", DNS_A, 5000).status, DNS_SERVFAIL);
    char label[80];
    memset(label, 'a', sizeof label);
    strcpy(label + 64, ".test"); /* a label of 64 octets */
    assert_int_equal(ask(&p, label, DNS_A, 5000).status, DNS_NXDOMAIN);
    pair_close(&p);
}

/* Validating, an answer that cannot be proved is not used: the server has no signatures and nothing
 * above it either. */
static void test_unproved(void **state)
{
    struct pair p;
    (void)state;
    if (nsd <= 0)
        skip();
    pair_open(&p, nsd_port, true);
    /* The root's keys are refused by the server, and asked for a few times: time enough for that. */
    struct dns_answer a = ask(&p, "example.test", DNS_MX, 30000);
    assert_int_equal(a.status, DNS_BOGUS);
    assert_int_equal(a.n, 0);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_codec),  cmocka_unit_test(test_query_limits),
        cmocka_unit_test(test_answer_codec), cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_reconnect),    cmocka_unit_test(test_in_flight_limit),
        cmocka_unit_test(test_malformed),    cmocka_unit_test(test_records),
        cmocka_unit_test(test_absence),      cmocka_unit_test(test_unproved),
    };
    return cmocka_run_group_tests(tests, nsd_start, nsd_stop);
}
