/* test_attempt.c: Finding and reaching the server for a domain, with scripted DNS, peers and
 * clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "roles/courier/attempt.h"
#include "roles/courier/mx_lookup.h"

/* ---- the world: one table of names, one of servers ---- */

/* DNS, one record a line: "name TYPE data" or "name TYPE
 * !SERVFAIL|!TIMEOUT|!BOGUS|!NXDOMAIN|!NODATA". A name without any row does not exist; one without
 * a row of that type has no data. Servers, one a line: "address how", see enum how. */
static struct world {
    const char *dns, *servers;
    int64_t now_ms;
    uint64_t seed;
    struct buf connects;       /* the addresses tried, each with a blank */
    int queries, writes, live; /* connections */
    struct buf heard;          /* all commands and content */
} w;

enum how {
    HOW_OK,      /* "ok": takes everything but bad@ (550) and grey@ (450) */
    HOW_DOWN,    /* "down": connection refused */
    HOW_NOROUTE, /* "noroute": the system has no way there */
    HOW_SLOW,    /* "slow": does not answer */
    HOW_MUTE,    /* "mute": connects, says nothing */
    HOW_554,     /* "554": greets with it */
    HOW_ONCE,    /* "once": closes after each message, when the next begins */
    HOW_421,     /* "421": as once, saying 421 */
    HOW_SELF,    /* "self": the connection has the same address at both ends */
    HOW_DROP,    /* "drop": closes when it should answer the message */
    HOW_NEVER,   /* "never": greets, and closes at the first MAIL */
    HOW_COUNT
};

static const char *const how_name[HOW_COUNT] = {"ok",   "down", "noroute", "slow", "mute", "554",
                                                "once", "421",  "self",    "drop", "never"};

struct fake_conn {
    struct conn base;
    enum how how;
    char name[NETADDR_TEXT];
    struct buf in, out;
    bool data, closed;
    int messages;
};

static struct fake_conn *fake(struct conn *c)
{
    return (struct fake_conn *)(void *)c;
}

static void fake_command(struct fake_conn *f, str_t line)
{
    if (str_istarts(line, STR("EHLO"))) {
        buf_addf(&f->out, "250-%s\r\n250-PIPELINING\r\n250 8BITMIME\r\n", f->name);
    } else if (str_istarts(line, STR("MAIL")) && f->how == HOW_NEVER) {
        f->closed = true;
    } else if (str_istarts(line, STR("MAIL")) && f->messages > 0 &&
               (f->how == HOW_ONCE || f->how == HOW_421)) {
        if (f->how == HOW_421)
            buf_add(&f->out, STR("421 4.7.0 one is enough\r\n"));
        f->closed = true;
    } else if (str_istarts(line, STR("RCPT TO:<bad"))) {
        buf_add(&f->out, STR("550 5.1.1 no such user\r\n"));
    } else if (str_istarts(line, STR("RCPT TO:<grey"))) {
        buf_add(&f->out, STR("450 come back\r\n"));
    } else if (str_eq(line, STR("DATA"))) {
        buf_add(&f->out, STR("354 go\r\n"));
        f->data = true;
    } else {
        buf_add(&f->out, STR("250 2.0.0 ok\r\n"));
    }
}

static enum rc fake_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct fake_conn *f = fake(c);
    (void)deadline_ms;
    w.writes++;
    if (f->closed)
        return RC_CLOSED;
    buf_add(&w.heard, bytes);
    buf_add(&f->in, bytes);
    str_t rest = buf_str(&f->in), line;
    while (!f->closed && str_cut(&rest, '\n', &line)) {
        line.len -= line.len > 0;
        if (!f->data) {
            fake_command(f, line);
        } else if (str_eq(line, STR("."))) {
            f->data = false;
            f->messages++;
            f->closed = f->how == HOW_DROP;
            if (!f->closed)
                buf_addf(&f->out, "250 2.0.0 queued at %s\r\n", f->name);
        }
    }
    buf_consume(&f->in, f->in.len - rest.len);
    return RC_OK;
}

static enum rc fake_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    struct fake_conn *f = fake(c);
    *got = f->out.len < cap ? f->out.len : cap;
    if (*got == 0 && !f->closed) {
        w.now_ms = deadline_ms;
        return RC_TEMP;
    }
    memcpy(to, *got ? f->out.ptr : "", *got);
    buf_consume(&f->out, *got);
    return RC_OK;
}

static void fake_close(struct conn *c)
{
    struct fake_conn *f = fake(c);
    buf_free(&f->in);
    buf_free(&f->out);
    free(f);
    w.live--;
}

static enum how server_at(const char *addr)
{
    str_t rest = str_c(w.servers), line, host;
    while (str_cut(&rest, '\n', &line))
        if (str_cut(&line, ' ', &host) && str_eq(host, str_c(addr)))
            for (int i = 0; i < HOW_COUNT; i++)
                if (str_eq(line, str_c(how_name[i])))
                    return (enum how)i;
    fail_msg("nobody should try %s", addr);
    return HOW_DOWN;
}

static enum rc fake_connect(struct env *e, const struct netaddr *to, const struct netaddr *from,
                            int64_t deadline_ms, struct conn **out, struct err *err)
{
    static const struct conn_ops ops = {fake_read, fake_write, fake_close};
    char addr[NETADDR_TEXT];
    (void)e;
    (void)from;
    netaddr_text(to, addr);
    buf_addf(&w.connects, "%s ", addr);
    enum how how = server_at(addr);
    if (how == HOW_SLOW)
        w.now_ms = deadline_ms;
    if (how == HOW_DOWN || how == HOW_SLOW)
        return err_set(err, RC_TEMP, "4.4.1", "%s", how == HOW_DOWN ? "refused" : "timed out");
    if (how == HOW_NOROUTE)
        return err_set(err, RC_TEMP, "4.4.4", "network is unreachable");
    struct fake_conn *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->base = (struct conn){.ops = &ops, .peer = *to};
    f->how = how;
    if (how == HOW_SELF)
        f->base.local = *to;
    memcpy(f->name, addr, sizeof addr);
    buf_init(&f->in, 1 << 20);
    buf_init(&f->out, 1 << 20);
    if (how == HOW_554)
        buf_add(&f->out, STR("554 5.7.1 not you\r\n"));
    else if (how != HOW_MUTE)
        buf_addf(&f->out, "220 %s\r\n", addr);
    w.live++;
    *out = &f->base;
    return RC_OK;
}

static void add_name(struct buf *b, str_t name)
{
    str_t label;
    if (str_eq(name, STR("."))) {
        buf_u8(b, 0);
        return;
    }
    while (str_cut(&name, '.', &label)) {
        buf_u8(b, (uint8_t)label.len);
        buf_add(b, label);
    }
    buf_u8(b, (uint8_t)name.len);
    buf_add(b, name);
    buf_u8(b, 0);
}

static void add_rdata(struct buf *b, enum dns_type type, str_t data)
{
    struct netaddr addr;
    str_t pref;
    uint64_t n = 0;
    if (type == DNS_MX) {
        assert_true(str_cut(&data, ' ', &pref) && str_u64(pref, 65535, &n));
        buf_u16(b, (uint16_t)n);
        add_name(b, data);
    } else {
        assert_true(netaddr_parse(data, &addr));
        buf_add(b, str_of(addr.bytes, addr.family == NETADDR_V4 ? 4 : 16));
    }
}

static void fake_dns(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms,
                     struct arena *a, struct dns_answer *out)
{
    const char *want = type == DNS_MX ? "MX" : type == DNS_A ? "A" : "AAAA";
    str_t rest = str_c(w.dns), line, owner, kind;
    bool exists = false;
    (void)e;
    w.queries++;
    *out = (struct dns_answer){.rdata = arena_array(a, DNS_ANSWER_RECORDS_MAX, sizeof(str_t))};
    while (str_cut(&rest, '\n', &line)) {
        assert_true(str_cut(&line, ' ', &owner) && str_cut(&line, ' ', &kind));
        if (!str_ieq(owner, name))
            continue;
        exists = true;
        if (!str_eq(kind, str_c(want)))
            continue;
        for (int s = DNS_NODATA; s <= DNS_BOGUS && line.ptr[0] == '!'; s++)
            if (str_eq(str_from(line, 1), str_c(dns_status_name((enum dns_status)s)))) {
                out->status = (enum dns_status)s;
                if (s == DNS_TIMEOUT)
                    w.now_ms = deadline_ms;
                return;
            }
        struct buf b;
        buf_init(&b, 600);
        add_rdata(&b, type, line);
        if (out->n < DNS_ANSWER_RECORDS_MAX)
            out->rdata[out->n++] = arena_dup(a, buf_str(&b));
        buf_free(&b);
    }
    out->status = out->n > 0 ? DNS_OK : exists ? DNS_NODATA : DNS_NXDOMAIN;
}

static int64_t fake_now(struct env *e)
{
    (void)e;
    return w.now_ms;
}

static void fake_random(struct env *e, void *to, size_t n)
{
    (void)e;
    for (size_t i = 0; i < n; i++) {
        w.seed = w.seed * 6364136223846793005U + 1442695040888963407U;
        ((unsigned char *)to)[i] = (unsigned char)(w.seed >> 56);
    }
}

static struct env env = {.mono_ms = fake_now,
                         .wall_ms = fake_now,
                         .random = fake_random,
                         .connect = fake_connect,
                         .dns = fake_dns};

static struct settings plain(void)
{
    struct settings s = {.hostname = STR("us.test"), .smtp_client_port = 25};
    assert_true(netaddr_parse_port(STR("192.0.2.99:25"), &s.listen_smtp[0]));
    assert_true(netaddr_parse_port(STR("0.0.0.0:25"), &s.listen_smtp[1]));
    assert_true(netaddr_parse_port(STR("127.0.0.1:2525"), &s.listen_smtp[2]));
    s.n_listen_smtp = 3;
    return s;
}

static void world(const char *dns, const char *servers, uint64_t seed)
{
    w = (struct world){.dns = dns, .servers = servers, .now_ms = 1000, .seed = seed};
    buf_init(&w.connects, 1 << 16);
    buf_init(&w.heard, 1 << 20);
}

static void world_end(void)
{
    assert_int_equal(w.live, 0); /* no connection is left open */
    buf_free(&w.connects);
    buf_free(&w.heard);
}

static struct arena arena;

/* ---- where a domain is served ---- */

struct row {
    const char *name, *domain, *dns, *servers;
    const char *want;     /* "open ADDRESS" or "temporary STATUS" or "permanent STATUS" */
    const char *connects; /* in this order */
};

#define MX1  "x.test MX 10 m1.x.test\n"
#define MX12 "x.test MX 20 m2.x.test\n" MX1
#define A1   "m1.x.test A 1.1.1.1\n"
#define A2   "m2.x.test A 2.2.2.2\n"

/* clang-format off: a case a row */
static const struct row rows[] = {
    {"one MX", "x.test", MX1 A1, "1.1.1.1 ok\n", "open 1.1.1.1", "1.1.1.1 "},
    {"by preference", "x.test", MX12 A1 A2, "1.1.1.1 ok\n2.2.2.2 ok\n", "open 1.1.1.1", "1.1.1.1 "},
    {"the first is down", "x.test", MX12 A1 A2, "1.1.1.1 down\n2.2.2.2 ok\n", "open 2.2.2.2",
     "1.1.1.1 2.2.2.2 "},
    {"the first is slow", "x.test", MX12 A1 A2, "1.1.1.1 slow\n2.2.2.2 ok\n", "open 2.2.2.2",
     "1.1.1.1 2.2.2.2 "},
    {"the first says nothing", "x.test", MX12 A1 A2, "1.1.1.1 mute\n2.2.2.2 ok\n", "open 2.2.2.2",
     "1.1.1.1 2.2.2.2 "},
    {"the first will not have us", "x.test", MX12 A1 A2, "1.1.1.1 554\n2.2.2.2 ok\n",
     "open 2.2.2.2", "1.1.1.1 2.2.2.2 "},
    {"none will have us", "x.test", MX12 A1 A2, "1.1.1.1 554\n2.2.2.2 554\n", "temporary 4.7.1",
     "1.1.1.1 2.2.2.2 "},
    {"all down", "x.test", MX12 A1 A2, "1.1.1.1 down\n2.2.2.2 down\n", "temporary 4.4.1",
     "1.1.1.1 2.2.2.2 "},
    {"two sessions are enough", "x.test",
     MX12 "x.test MX 30 m3.x.test\nm3.x.test A 3.3.3.3\n" A1 A2,
     "1.1.1.1 554\n2.2.2.2 554\n3.3.3.3 ok\n", "temporary 4.7.1", "1.1.1.1 2.2.2.2 "},
    {"five addresses are enough", "x.test",
     "x.test MX 1 a.t\nx.test MX 2 b.t\nx.test MX 3 c.t\nx.test MX 4 d.t\nx.test MX 5 e.t\nx.test "
     "MX 6 f.t\n"
     "a.t A 1.0.0.1\nb.t A 1.0.0.2\nc.t A 1.0.0.3\nd.t A 1.0.0.4\ne.t A 1.0.0.5\nf.t A 1.0.0.6\n",
     "1.0.0.1 down\n1.0.0.2 down\n1.0.0.3 down\n1.0.0.4 down\n1.0.0.5 down\n1.0.0.6 ok\n",
     "temporary 4.4.1", "1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 "},
    {"IPv6 and IPv4 by turns", "x.test", MX1 A1 "m1.x.test AAAA 2001:db8::1\n",
     "2001:db8::1 down\n1.1.1.1 ok\n", "open 1.1.1.1", "2001:db8::1 1.1.1.1 "},
    {"no way to IPv6 counts for nothing", "x.test",
     "x.test MX 1 m1.x.test\nx.test MX 2 m2.x.test\nm1.x.test AAAA 2001:db8::1\nm2.x.test AAAA "
     "2001:db8::2\n" A2,
     "2001:db8::1 noroute\n2001:db8::2 noroute\n2.2.2.2 ok\n", "open 2.2.2.2",
     "2001:db8::1 2001:db8::2 2.2.2.2 "},
    {"nothing but IPv6, and no way", "x.test", MX1 "m1.x.test AAAA 2001:db8::1\n",
     "2001:db8::1 noroute\n", "temporary 4.4.4", "2001:db8::1 "},

    {"MX: NXDOMAIN", "x.test", "y.test A 1.1.1.1\n", "", "permanent 5.1.2", ""},
    {"MX: SERVFAIL", "x.test", "x.test MX !SERVFAIL\nx.test A 1.1.1.1\n", "", "temporary 4.4.3",
     ""},
    {"MX: TIMEOUT", "x.test", "x.test MX !TIMEOUT\nx.test A 1.1.1.1\n", "", "temporary 4.4.3", ""},
    {"MX: BOGUS", "x.test", "x.test MX !BOGUS\nx.test A 1.1.1.1\n", "", "temporary 4.4.3", ""},
    {"MX: NODATA, A", "x.test", "x.test A 1.1.1.1\n", "1.1.1.1 ok\n", "open 1.1.1.1", "1.1.1.1 "},
    {"MX: NODATA, AAAA", "x.test", "x.test AAAA 2001:db8::5\n", "2001:db8::5 ok\n",
     "open 2001:db8::5", "2001:db8::5 "},
    {"MX: NODATA, no address", "x.test", "x.test MX !NODATA\n", "", "permanent 5.4.4", ""},
    {"MX: NODATA, A SERVFAIL", "x.test", "x.test A !SERVFAIL\n", "", "temporary 4.4.3", ""},
    {"MX: NODATA, AAAA TIMEOUT", "x.test", "x.test AAAA !TIMEOUT\n", "", "temporary 4.4.3", ""},
    {"MX: NODATA, A BOGUS, AAAA there", "x.test", "x.test A !BOGUS\nx.test AAAA 2001:db8::5\n",
     "2001:db8::5 ok\n", "open 2001:db8::5", "2001:db8::5 "},
    {"AAAA: TIMEOUT, A there", "x.test", MX1 A1 "m1.x.test AAAA !TIMEOUT\n", "1.1.1.1 ok\n",
     "open 1.1.1.1", "1.1.1.1 "},
    {"null MX", "x.test", "x.test MX 0 .\nx.test A 1.1.1.1\n", "", "permanent 5.1.10", ""},
    {"null MX among others is none", "x.test", "x.test MX 0 .\n" MX1 A1, "1.1.1.1 ok\n",
     "open 1.1.1.1", "1.1.1.1 "},

    {"the hosts do not exist", "x.test", MX12, "", "permanent 5.4.4", ""},
    {"the host has no address", "x.test", MX1 "m1.x.test MX 1 z.test\n", "", "permanent 5.4.4", ""},
    {"one does not exist, the other is not known", "x.test", MX12 "m2.x.test A !SERVFAIL\n", "",
     "temporary 4.4.3", ""},
    {"one is not known, the other does not exist", "x.test", MX12 "m1.x.test A !TIMEOUT\n", "",
     "temporary 4.4.3", ""},
    {"one is bogus, the other takes it", "x.test", MX12 "m1.x.test A !BOGUS\n" A2, "2.2.2.2 ok\n",
     "open 2.2.2.2", "2.2.2.2 "},
    {"one is not known, the other is down", "x.test", MX12 "m1.x.test A !SERVFAIL\n" A2,
     "2.2.2.2 down\n", "temporary 4.4.1", "2.2.2.2 "},
    {"the whole DNS is out", "x.test",
     "x.test MX !TIMEOUT\nx.test A !TIMEOUT\nx.test AAAA !TIMEOUT\n", "", "temporary 4.4.3", ""},

    {"we are the best", "x.test", "x.test MX 10 us.test\nx.test MX 20 m2.x.test\n" A2, "",
     "permanent 5.4.6", ""},
    {"we are the second", "x.test", "x.test MX 20 US.test\nx.test MX 30 m2.x.test\n" MX1 A1 A2,
     "1.1.1.1 down\n", "temporary 4.4.1", "1.1.1.1 "},
    {"we are one of equals", "x.test", "x.test MX 10 us.test\n" MX1 A1, "", "permanent 5.4.6", ""},
    {"our address is the best", "x.test", MX12 "m1.x.test A 192.0.2.99\n" A2, "", "permanent 5.4.6",
     ""},
    {"our address is one of equals", "x.test",
     "x.test MX 10 m2.x.test\n" MX1 "m1.x.test A 192.0.2.99\n" A2, "", "permanent 5.4.6", ""},
    {"our address is the second", "x.test",
     "x.test MX 30 m3.x.test\n" MX12 A1 "m2.x.test A 192.0.2.99\n", "1.1.1.1 down\n",
     "temporary 4.4.1", "1.1.1.1 "},
    {"the better one does not exist, then us", "x.test", MX12 "m2.x.test A 192.0.2.99\n", "",
     "permanent 5.4.6", ""},
    {"the better one is not known, then us", "x.test",
     MX12 "m1.x.test A !SERVFAIL\nm2.x.test A 192.0.2.99\n", "", "temporary 4.4.3", ""},
    {"loopback, where we listen on the wildcard", "x.test", "x.test A 127.0.0.1\n", "",
     "permanent 5.4.6", ""},
    {"the wildcard itself", "x.test", "x.test A 0.0.0.0\n", "", "permanent 5.4.6", ""},
    {"IPv6 loopback, where we do not listen", "x.test", "x.test AAAA ::1\n", "::1 ok\n", "open ::1",
     "::1 "},
    {"a connection that comes out where it went in", "x.test", "x.test A 1.1.1.1\n",
     "1.1.1.1 self\n", "permanent 5.4.6", "1.1.1.1 "},
    {"implicit MX is us", "us.test", "us.test A 1.1.1.1\n", "", "permanent 5.4.6", ""},

    {"internationalized",
     "b\xc3\xbc"
     "cher.test",
     "xn--bcher-kva.test A 1.1.1.1\n", "1.1.1.1 ok\n", "open 1.1.1.1", "1.1.1.1 "},
    {"internationalized, no such name can be",
     "a\xe2\x80\xae"
     "b.test",
     "", "", "permanent 5.1.2", ""},
    {"not even UTF-8", "a\xff.test", "", "", "permanent 5.1.2", ""},

    {"literal", "[1.1.1.1]", "", "1.1.1.1 ok\n", "open 1.1.1.1", "1.1.1.1 "},
    {"IPv6 literal", "[ipv6:2001:db8::1]", "", "2001:db8::1 ok\n", "open 2001:db8::1",
     "2001:db8::1 "},
    {"literal, down", "[1.1.1.1]", "", "1.1.1.1 down\n", "temporary 4.4.1", "1.1.1.1 "},
    {"literal, ourselves", "[192.0.2.99]", "", "", "permanent 5.4.6", ""},
    {"a literal of no known kind", "[x400:foo]", "", "", "permanent 5.1.2", ""},
};
/* clang-format on */

static enum rc open_domain(const struct settings *set, str_t domain, struct attempt **t,
                           struct err *err)
{
    const struct attempt_setup setup = {.env = &env, .set = set};
    const struct attempt_target to = {.domain = domain};
    return attempt_open(&setup, &to, NULL, NULL, &arena, t, err);
}

static void check_row(const struct row *r, const struct settings *set, uint64_t seed)
{
    struct attempt *t = NULL;
    struct err err = {0};
    char got[256], addr[NETADDR_TEXT];
    world(r->dns, r->servers, seed);
    arena_init(&arena, 1 << 20);
    enum rc rc = open_domain(set, str_c(r->domain), &t, &err);
    if (rc == RC_OK)
        snprintf(got, sizeof got, "open %s", netaddr_text(attempt_addr(t), addr));
    else
        snprintf(got, sizeof got, "%s %s", rc_name(rc), err.status);
    buf_addc(&w.connects, '\0');
    if (strcmp(got, r->want) != 0 || strcmp(w.connects.ptr, r->connects) != 0)
        fail_msg("%s: got %s, tried %s (%s); want %s, tried %s", r->name, got, w.connects.ptr,
                 err.text, r->want, r->connects);
    assert_int_equal(rc == RC_OK, t != NULL);
    assert_true(rc == RC_OK || err.text[0] != '\0');
    attempt_close(t);
    arena_free(&arena);
    world_end();
}

static void test_rows(void **state)
{
    struct settings set = plain();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint64_t seed = 1; seed < 9; seed++)
            check_row(&rows[i], &set, seed);
}

/* An attempt, however bad the DNS and the hosts, ends. */
static void test_time_is_bounded(void **state)
{
    struct settings set = plain();
    struct row r = {"slow everywhere",
                    "x.test",
                    "x.test MX 1 a.t\nx.test MX 2 b.t\nx.test MX 3 c.t\na.t AAAA !TIMEOUT\na.t A "
                    "1.1.1.1\nb.t A 1.1.1.1\nc.t A 1.1.1.1\n",
                    "1.1.1.1 slow\n",
                    "temporary 4.4.1",
                    "1.1.1.1 1.1.1.1 1.1.1.1 "};
    (void)state;
    check_row(&r, &set, 1);
    assert_in_range(w.now_ms, 1000, 1000 + MX_DNS_MS + ATTEMPT_ADDRESSES * ATTEMPT_CONNECT_MS);
    assert_in_range(w.queries, 2, 2 + 2 * MX_HOSTS_MAX);
}

static void test_equals_are_shuffled(void **state)
{
    struct settings set = plain();
    int first[3] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct attempt *t;
        struct err err;
        world("x.test MX 5 a.t\nx.test MX 5 b.t\nx.test MX 5 c.t\na.t A 1.0.0.1\nb.t A "
              "1.0.0.2\nc.t A 1.0.0.3\n",
              "1.0.0.1 ok\n1.0.0.2 ok\n1.0.0.3 ok\n", seed * 7919);
        arena_init(&arena, 1 << 20);
        assert_int_equal(open_domain(&set, STR("x.test"), &t, &err), RC_OK);
        first[attempt_addr(t)->bytes[3] - 1]++;
        attempt_close(t);
        arena_free(&arena);
        world_end();
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(first[i], 8, 35);
}

static void test_routes(void **state)
{
    struct settings set = plain();
    (void)state;
    set.routes[0] = (struct settings_route){STR("*"), STR("hub.test"), 587, false};
    set.routes[1] = (struct settings_route){STR("r.test"), STR("x.test"), 0, true};
    set.routes[2] = (struct settings_route){STR("l.test"), STR("127.0.0.1"), 10025, false};
    set.routes[3] = (struct settings_route){STR("self.test"), STR("127.0.0.1"), 2525, false};
    set.n_routes = 4;
    const struct row routes[] = {
        {"smarthost", "any.test",
         "any.test MX 1 m1.x.test\nhub.test A 9.9.9.9\nhub.test MX 1 m1.x.test\n" A1,
         "9.9.9.9 ok\n", "open 9.9.9.9", "9.9.9.9 "},
        {"smarthost for a literal", "[1.1.1.1]", "hub.test A 9.9.9.9\n", "9.9.9.9 ok\n",
         "open 9.9.9.9", "9.9.9.9 "},
        {"a route by MX", "R.test", MX1 A1, "1.1.1.1 ok\n", "open 1.1.1.1", "1.1.1.1 "},
        {"a route to an address", "l.test", "", "127.0.0.1 ok\n", "open 127.0.0.1", "127.0.0.1 "},
        {"a smarthost that is down", "any.test", "hub.test A 9.9.9.9\n", "9.9.9.9 down\n",
         "temporary 4.4.1", "9.9.9.9 "},
        {"a route to ourselves is our mistake", "self.test", "", "", "temporary 4.3.5", ""},
        {"a smarthost that does not exist is our mistake", "any.test", "", "", "temporary 4.3.5",
         ""},
        {"a route to a domain that does not exist", "r.test", "", "", "temporary 4.3.5", ""},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        check_row(&routes[i], &set, 1);
    struct attempt *t;
    struct err err;
    world("hub.test A 9.9.9.9\n", "9.9.9.9 ok\n", 1);
    arena_init(&arena, 1 << 20);
    assert_int_equal(open_domain(&set, STR("any.test"), &t, &err), RC_OK);
    assert_int_equal(attempt_addr(t)->port, 587);
    attempt_close(t);
    arena_free(&arena);
    world_end();
}

/* ---- sending ---- */

static const char *const chunks[] = {"From: a\r\n\r\n", ".dot\r\n", "end"};
static enum rc chunk_rc, dot_rc;
static int dots;

static enum rc chunk(void *user, uint32_t k, struct arena *a, str_t *out)
{
    (void)user;
    *out = arena_dup(a, str_c(chunks[k]));
    return k == 2 ? chunk_rc : RC_OK;
}

static enum rc before_dot(void *user)
{
    (void)user;
    dots++;
    return dot_rc;
}

static void send_to(struct attempt *t, size_t n, const char *const *to, char *got, size_t cap)
{
    struct queue_rcpt rcpt[4] = {0};
    struct attempt_verdict v[4];
    for (size_t i = 0; i < n; i++)
        rcpt[i].address = str_c(to[i]);
    struct queue_message m = {.reverse_path = STR("s@us.test"), .chunks = 3, .size = 20};
    struct queue_delivery d = {.nrcpt = n, .rcpt = rcpt};
    attempt_send(t, &m, &d, chunk, before_dot, NULL, &arena, v);
    got[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(got);
        snprintf(got + len, cap - len, "%s %d %s " STR_FMT ";", rc_name(v[i].rc), v[i].code,
                 v[i].status, STR_ARG(v[i].text));
    }
}

static struct attempt *open_to(const char *servers)
{
    static struct settings set;
    struct attempt *t = NULL;
    struct err err;
    set = plain();
    chunk_rc = dot_rc = RC_OK;
    dots = 0;
    world("x.test A 1.1.1.1\n", servers, 1);
    arena_init(&arena, 1 << 20);
    assert_int_equal(open_domain(&set, STR("x.test"), &t, &err), RC_OK);
    return t;
}

static void end(struct attempt *t)
{
    attempt_close(t);
    arena_free(&arena);
    world_end();
}

static const char *const one[] = {"b@x.test"};
static const char *const mixed[] = {"b@x.test", "bad@x.test", "grey@x.test"};

static void test_send(void **state)
{
    char got[512];
    (void)state;
    struct attempt *t = open_to("1.1.1.1 ok\n");
    assert_true(str_eq(attempt_host(t), STR("x.test")));
    buf_clear(&w.heard);
    w.writes = 0;
    send_to(t, 3, mixed, got, sizeof got);
    assert_string_equal(got, "ok 250 2.0.0 queued at 1.1.1.1;permanent 550 5.1.1 no such "
                             "user;temporary 450 4.0.0 come back;");
    assert_true(
        str_eq(buf_str(&w.heard),
               STR("MAIL FROM:<s@us.test>\r\nRCPT TO:<b@x.test>\r\nRCPT TO:<bad@x.test>\r\n"
                   "RCPT TO:<grey@x.test>\r\nDATA\r\nFrom: a\r\n\r\n..dot\r\nend\r\n.\r\n")));
    assert_int_equal(dots, 1);
    assert_true(attempt_usable(t));
    end(t);
}

/* Two more messages over the same connection: no RSET, no new connection, and few writes: the
 * group, each chunk, the last with its dot. */
static void test_reuse(void **state)
{
    char got[512];
    (void)state;
    struct attempt *t = open_to("1.1.1.1 ok\n");
    send_to(t, 1, one, got, sizeof got);
    w.writes = 0;
    send_to(t, 1, one, got, sizeof got);
    assert_string_equal(got, "ok 250 2.0.0 queued at 1.1.1.1;");
    assert_int_equal(w.writes, 1 + 3);
    assert_true(str_eq(buf_str(&w.connects), STR("1.1.1.1 ")));
    assert_false(str_contains(buf_str(&w.heard), STR("RSET")));
    end(t);
}

/* A peer that ends kept connections is connected to again, at once, and only then. */
static void test_reconnect(void **state)
{
    const char *servers[] = {"1.1.1.1 once\n", "1.1.1.1 421\n"};
    char got[512];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct attempt *t = open_to(servers[i]);
        for (int k = 0; k < 3; k++) {
            send_to(t, 1, one, got, sizeof got);
            assert_string_equal(got, "ok 250 2.0.0 queued at 1.1.1.1;");
        }
        assert_true(str_eq(buf_str(&w.connects), STR("1.1.1.1 1.1.1.1 1.1.1.1 ")));
        w.servers = "1.1.1.1 down\n";
        send_to(t, 1, one, got, sizeof got);
        assert_string_equal(got, i == 0 ? "closed 0 4.4.2 connection lost in reply to MAIL FROM;"
                                        : "temporary 421 4.7.0 one is enough;");
        assert_false(attempt_usable(t));
        end(t);
    }
}

/* One that ends every connection is not connected to again and again. */
static void test_no_second_chance(void **state)
{
    char got[512];
    (void)state;
    struct attempt *t = open_to("1.1.1.1 never\n");
    send_to(t, 1, one, got, sizeof got);
    assert_string_equal(got, "closed 0 4.4.2 connection lost in reply to MAIL FROM;");
    assert_true(str_eq(buf_str(&w.connects), STR("1.1.1.1 ")));
    end(t);
}

/* What may have been taken is not sent again here. */
static void test_lost_after_the_dot(void **state)
{
    char got[512];
    (void)state;
    struct attempt *t = open_to("1.1.1.1 drop\n");
    send_to(t, 2, mixed, got, sizeof got);
    assert_string_equal(got, "closed 0 4.4.2 connection lost in reply to the end of the "
                             "message;permanent 550 5.1.1 no such user;");
    assert_true(str_eq(buf_str(&w.connects), STR("1.1.1.1 ")));
    assert_false(attempt_usable(t));
    end(t);
}

static void check_given_up(enum rc chunk_is, enum rc dot_is, const char *want)
{
    char got[512];
    struct attempt *t = open_to("1.1.1.1 ok\n");
    chunk_rc = chunk_is;
    dot_rc = dot_is;
    send_to(t, 1, one, got, sizeof got);
    assert_string_equal(got, want);
    assert_false(attempt_usable(t));
    assert_false(str_contains(buf_str(&w.heard), STR("\r\n.\r\n")));
    end(t);
}

static void test_given_up(void **state)
{
    (void)state;
    check_given_up(RC_TEMP, RC_OK, "temporary 0 4.3.0 the stored message cannot be read now;");
    check_given_up(RC_PERM, RC_OK, "permanent 0 5.3.0 the stored message is damaged;");
    check_given_up(RC_OK, RC_TEMP, "temporary 0 4.3.0 given up before the message was complete;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_time_is_bounded),
        cmocka_unit_test(test_equals_are_shuffled),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_lost_after_the_dot),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_no_second_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
