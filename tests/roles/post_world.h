/* post_world.h: courier and local on the memory store, with a virtual clock, made-up DNS and
 * scripted servers. One thread; every network operation is a step, and the world can end at any of
 * them. For tests/roles/test_courier.c and test_crash.c. */
#ifndef TESTS_POST_WORLD_H
#define TESTS_POST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/directory.h"
#include "post/mailbox.h"
#include "post/queue_admin.h"
#include "roles/courier/courier.h"
#include "roles/local/local.h"
#include "roles/log.h"
#include "store/engines.h"

#define WORLD_MAIL_MAX 4096

/* Servers: NAME.test has the address 192.0.2.K. */
enum { AT_ONE = 1, AT_TWO, AT_DOWN, AT_SENDER, AT_DROP, AT_GREY };

struct got {                         /* a message a server said 250 to, for one recipient */
    char to[64], tag[32], text[400]; /* tag: X-Test of its header */
};

static struct world {
    struct fake_env fe; /* first */
    struct settings set;
    struct courier *courier;
    struct local *local;
    uint64_t steps, end_at; /* network operations so far; the one that never returns (0: none) */
    bool ended;
    bool down, grey;      /* AT_DOWN refuses connections; AT_GREY says 450 */
    bool one_each;        /* servers take one recipient in a transaction (RFC 9422) */
    size_t dots, drop_at; /* whole messages so far; the one at which the connection is lost */
    void (*at_dot)(void); /* called when a server has a whole message, before it answers */
    size_t ngot, connections, max_connections;
    struct got got[WORLD_MAIL_MAX];
} w;

/* With threads (test_threads.c) the servers are one big lock. */
static pthread_mutex_t world_lock = PTHREAD_MUTEX_INITIALIZER;

static void world_random(struct env *e, void *to, size_t n)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    fake_random(e, to, n);
    pthread_mutex_unlock(&lock);
}

/* ---- servers ---- */

struct peer {
    struct conn base;
    int at;
    struct buf in, out;
    bool data, closed;
    size_t nrcpt;
    char rcpt[100][64];
    struct buf mail;
};

static bool world_step(void)
{
    w.steps++;
    if (!w.ended && w.end_at != 0 && w.steps >= w.end_at) {
        w.ended = true;
        store_memory_fail(w.fe.env.store, STORE_UNKNOWN); /* nothing after this happens */
    }
    return !w.ended;
}

static void peer_mail(struct peer *p)
{
    char tag[32] = "";
    str_t text = buf_str(&p->mail), rest = text, line;
    while (str_cut(&rest, '\n', &line) && line.len > 1)
        if (str_starts(line, STR("X-Test: ")))
            str_toc(str_trim(str_from(line, 8)), tag, sizeof tag);
    for (size_t i = 0; i < p->nrcpt; i++) {
        assert_in_range(w.ngot, 0, WORLD_MAIL_MAX - 1);
        struct got *g = &w.got[w.ngot++];
        snprintf(g->to, sizeof g->to, "%s", p->rcpt[i]);
        snprintf(g->tag, sizeof g->tag, "%s", tag);
        str_toc(text, g->text, sizeof g->text);
    }
    p->nrcpt = 0;
    buf_clear(&p->mail);
}

static void peer_rcpt(struct peer *p, str_t line)
{
    str_t addr = str_from(line, strlen("RCPT TO:<"));
    size_t end;
    if (str_find(addr, '>', &end))
        addr = str_first(addr, end);
    if (str_starts(addr, STR("bad-long"))) { /* as many words as a server may say */
        for (int i = 0; i < 20; i++)
            buf_add(&p->out, STR("550-5.1.1 there is nobody of this name here, there never was, "
                                 "and whoever told you so was wrong\r\n"));
        buf_add(&p->out, STR("550 5.1.1 no such user\r\n"));
    } else if (str_starts(addr, STR("bad"))) {
        buf_add(&p->out, STR("550 5.1.1 no such user\r\n"));
    } else if (str_starts(addr, STR("grey")) && w.grey) {
        buf_add(&p->out, STR("450 4.7.1 come back later\r\n"));
    } else {
        str_toc(addr, p->rcpt[p->nrcpt++], sizeof p->rcpt[0]);
        buf_add(&p->out, STR("250 2.1.5 ok\r\n"));
    }
}

static void peer_line(struct peer *p, str_t line)
{
    if (p->data && str_eq(line, STR("."))) {
        p->data = false;
        if (w.at_dot != NULL)
            w.at_dot();
        w.dots++;
        if (p->at == AT_DROP || w.dots == w.drop_at) {
            p->closed = true;
            return;
        }
        peer_mail(p);
        buf_add(&p->out, STR("250 2.0.0 taken\r\n"));
    } else if (p->data) {
        buf_add(&p->mail, line);
        buf_add(&p->mail, STR("\r\n"));
    } else if (str_istarts(line, STR("RCPT"))) {
        peer_rcpt(p, line);
    } else if (str_istarts(line, STR("EHLO"))) {
        buf_add(&p->out, STR("250-peer\r\n250-PIPELINING\r\n"));
        buf_add(&p->out, w.one_each ? STR("250-LIMITS RCPTMAX=1\r\n") : STR_NONE);
        buf_add(&p->out, STR("250 8BITMIME\r\n"));
    } else if (str_eq(line, STR("DATA"))) {
        p->data = p->nrcpt > 0;
        buf_add(&p->out, p->data ? STR("354 go\r\n") : STR("554 5.5.1 no recipients\r\n"));
    } else if (str_eq(line, STR("QUIT"))) {
        buf_add(&p->out, STR("221 2.0.0 bye\r\n"));
        p->closed = true;
    } else {
        if (str_istarts(line, STR("MAIL")) || str_istarts(line, STR("RSET")))
            p->nrcpt = 0;
        buf_add(&p->out, STR("250 2.0.0 ok\r\n"));
    }
}

static enum rc peer_take(struct peer *p, str_t bytes)
{
    if (!world_step() || p->closed)
        return RC_CLOSED;
    buf_add(&p->in, bytes);
    str_t rest = buf_str(&p->in), line;
    while (!p->closed && str_cut(&rest, '\n', &line)) {
        line.len -= line.len > 0;
        peer_line(p, line);
    }
    buf_consume(&p->in, p->in.len - rest.len);
    return RC_OK;
}

static enum rc peer_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    (void)deadline_ms;
    pthread_mutex_lock(&world_lock);
    enum rc rc = peer_take((struct peer *)(void *)c, bytes);
    pthread_mutex_unlock(&world_lock);
    return rc;
}

static enum rc peer_give(struct peer *p, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    *got = 0;
    if (!world_step())
        return RC_CLOSED;
    *got = p->out.len < cap ? p->out.len : cap;
    if (*got == 0 && !p->closed) {
        if (deadline_ms > w.fe.mono)
            fake_env_pass(&w.fe, deadline_ms - w.fe.mono);
        return RC_TEMP;
    }
    if (*got > 0)
        memcpy(to, p->out.ptr, *got);
    buf_consume(&p->out, *got);
    return RC_OK;
}

static enum rc peer_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    pthread_mutex_lock(&world_lock);
    enum rc rc = peer_give((struct peer *)(void *)c, to, cap, got, deadline_ms);
    pthread_mutex_unlock(&world_lock);
    return rc;
}

static void peer_close(struct conn *c)
{
    struct peer *p = (struct peer *)(void *)c;
    pthread_mutex_lock(&world_lock);
    w.connections--;
    pthread_mutex_unlock(&world_lock);
    buf_free(&p->in);
    buf_free(&p->out);
    buf_free(&p->mail);
    free(p);
}

static enum rc world_connect(struct env *e, const struct netaddr *to, const struct netaddr *from,
                             int64_t deadline_ms, struct conn **out, struct err *err)
{
    static const struct conn_ops ops = {peer_read, peer_write, peer_close};
    (void)e;
    (void)from;
    (void)deadline_ms;
    pthread_mutex_lock(&world_lock);
    bool goes = world_step();
    w.connections += goes;
    w.max_connections = w.connections > w.max_connections ? w.connections : w.max_connections;
    pthread_mutex_unlock(&world_lock);
    if (!goes)
        return err_set(err, RC_TEMP, "4.4.1", "the world ended");
    if (to->bytes[3] == AT_DOWN && w.down) {
        pthread_mutex_lock(&world_lock);
        w.connections--;
        pthread_mutex_unlock(&world_lock);
        return err_set(err, RC_TEMP, "4.4.1", "connection refused");
    }
    struct peer *p = calloc(1, sizeof *p);
    must(p != NULL);
    p->base.ops = &ops;
    p->base.peer = *to;
    p->at = to->bytes[3];
    buf_init(&p->in, 1 << 22);
    buf_init(&p->out, 1 << 20);
    buf_init(&p->mail, 1 << 22);
    buf_add(&p->out, STR("220 peer\r\n"));
    *out = &p->base;
    return RC_OK;
}

static void world_dns(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms,
                      struct arena *a, struct dns_answer *out)
{
    static const char *const names[] = {NULL,          "one.test",  "two.test", "down.test",
                                        "sender.test", "drop.test", "grey.test"};
    (void)e;
    (void)deadline_ms;
    *out = (struct dns_answer){.status = DNS_NXDOMAIN};
    for (size_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (!str_eq(name, str_c(names[i])))
            continue;
        out->status = DNS_NODATA;
        if (type != DNS_A)
            return;
        char ip[4] = {(char)192, 0, 2, (char)i};
        out->status = DNS_OK;
        out->n = 1;
        out->rdata = arena_alloc(a, sizeof *out->rdata);
        out->rdata[0] = arena_dup(a, str_of(ip, 4));
    }
}

/* ---- its life ---- */

static void world_settings(struct settings *s)
{
    struct err err;
    static struct arena a; /* both as long as the program */
    static struct settings once;
    if (a.max == 0) {
        arena_init(&a, 1 << 20);
        must(settings_parse(STR("hostname = \"us.test\"\n"), "test", &a, &once, &err) == RC_OK);
        once.n_listen_smtp = 0;
    }
    *s = once;
}

static void world_open(void)
{
    w.courier = malloc(sizeof *w.courier);
    w.local = malloc(sizeof *w.local);
    must(w.courier != NULL && w.local != NULL);
    must(courier_init(w.courier, &w.fe.env, &w.set) && local_init(w.local, &w.fe.env, &w.set));
    /* may fail: the world can end in the batch that takes the lease */
    enum store_rc rc = carrier_attach(&w.courier->carrier);
    rc = rc == STORE_OK ? carrier_attach(&w.local->carrier) : rc;
    (void)rc;
}

static void world_close(void)
{
    courier_free(w.courier);
    local_free(w.local);
    free(w.courier);
    free(w.local);
}

/* The machine starts again: what was not durable is lost, as `seed` says. */
[[maybe_unused]] static void world_restart(uint64_t seed)
{
    world_close();
    store_memory_reopen(w.fe.env.store, seed);
    w.ended = false;
    w.end_at = 0;
    world_open();
}

/* Domain us.test: accounts a, b; both@ → a and x@one.test, loop@ → loop2@ → loop@, mixed@ → a,
 * nobody@, y@two.test. */
static void world_begin(uint64_t seed)
{
    struct err err;
    uint64_t id;
    log_quiet(true);
    memset(&w, 0, sizeof w);
    fake_env_init(&w.fe, seed);
    w.fe.env.random = world_random;
    w.fe.env.connect = world_connect;
    w.fe.env.dns = world_dns;
    w.fe.env.store = store_memory_new();
    must(w.fe.env.store != NULL);
    must(return_path_key_make(w.fe.env.store, &w.fe.env) == STORE_OK); /* as core does */
    world_settings(&w.set);
    struct store *s = w.fe.env.store;
    must(directory_domain_add(s, STR("us.test"), &err) == RC_OK);
    must(directory_account_add(s, STR("a@us.test"), &id, &err) == RC_OK && id == 1);
    must(directory_account_add(s, STR("b@us.test"), &id, &err) == RC_OK && id == 2);
    str_t both[] = {STR("a@us.test"), STR("x@one.test")},
          mixed[] = {STR("a@us.test"), STR("nobody@us.test"), STR("y@two.test")};
    str_t loop = STR("loop@us.test"), loop2 = STR("loop2@us.test");
    must(directory_alias_set(s, STR("both@us.test"), both, 2, &err) == RC_OK);
    must(directory_alias_set(s, STR("mixed@us.test"), mixed, 3, &err) == RC_OK);
    must(directory_alias_set(s, loop, &loop2, 1, &err) == RC_OK);
    must(directory_alias_set(s, loop2, &loop, 1, &err) == RC_OK);
    world_open();
}

static void world_finish(void)
{
    world_close();
    store_close(w.fe.env.store);
}

/* One message in, with its tag in the header. `to` is addresses separated by blanks. */
[[maybe_unused]] static enum store_rc world_send(const char *tag, const char *from, const char *to,
                                                 size_t size, queue_id_t *id)
{
    struct queue_in_rcpt r[100];
    size_t n = 0;
    str_t rest = str_c(to), one;
    while (rest.len > 0) {
        if (!str_cut(&rest, ' ', &one)) {
            one = rest;
            rest = STR_NONE;
        }
        size_t at = 0;
        str_rfind(one, '@', &at);
        r[n++] = (struct queue_in_rcpt){.address = one,
                                        .domain = str_from(one, at + 1),
                                        .local = str_eq(str_from(one, at + 1), STR("us.test"))};
    }
    char head[200];
    struct queue_in *in = queue_in_begin(&w.fe.env);
    must(in != NULL);
    queue_id_t mine = queue_in_id(in);
    snprintf(head, sizeof head, "X-Test: %s\r\nSubject: hello\r\n\r\n", tag);
    enum store_rc rc = queue_in_write(in, str_c(head));
    for (size_t k = 0; k < size && rc == STORE_OK; k += 50)
        rc = queue_in_write(in, STR("..This line is fifty bytes with its end of line.\r\n"));
    if (rc != STORE_OK) {
        queue_in_abort(in);
        return rc;
    }
    struct queue_message m = {
        .reverse_path = str_c(from), .client = STR("192.0.2.99:1"), .protocol = STR("ESMTP")};
    rc = queue_in_commit(in, &m, r, n);
    if (id != NULL)
        *id = mine;
    return rc;
}

/* All that is due now, in both roles, until there is no more. */
static size_t world_now(void)
{
    size_t all = 0, n = 1;
    while (!w.ended && n > 0) {
        n = carrier_step(&w.courier->carrier) + carrier_step(&w.local->carrier);
        all += n;
    }
    return all;
}

/* To the next thing that is due, if it is within `ms`. */
static bool world_next(int64_t ms)
{
    int64_t c = agenda_next_ms(&w.courier->carrier.agenda),
            l = agenda_next_ms(&w.local->carrier.agenda);
    int64_t next = c < l ? c : l;
    bool moved = next > w.fe.mono; /* INT64_MIN: at once */
    if (next == INT64_MAX || (moved && next - w.fe.mono > ms))
        return false;
    if (moved)
        fake_env_pass(&w.fe, next - w.fe.mono);
    return world_now() > 0 || moved; /* neither: the store is gone */
}

[[maybe_unused]] static void world_quiet(int64_t ms)
{
    int64_t end = w.fe.mono + ms;
    world_now();
    while (!w.ended && w.fe.mono < end && world_next(end - w.fe.mono)) {
    }
}

/* ---- looking ---- */

static size_t world_rows(const char *prefix)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    struct store_page p;
    struct store_scan q = {.part = QUEUE_PART,
                           .from = str_c(prefix),
                           .end = store_prefix_end(&a, str_c(prefix)),
                           .keys_only = true};
    must(store_scan(w.fe.env.store, &q, &a, &p) == STORE_OK && !p.more);
    size_t n = p.n;
    arena_free(&a);
    return n;
}

/* How many messages with that tag (in their own header) a mailbox has; with NULL, messages from <>
 * whose text contains `has`. */
static size_t world_mailbox(uint64_t account, const char *tag, const char *has)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    struct mailbox_message *m;
    size_t n, found = 0;
    must(mailbox_list(w.fe.env.store, account, MAILBOX_INBOX, &a, &m, &n) == STORE_OK);
    for (size_t i = 0; i < n; i++) {
        str_t text;
        must(mailbox_chunk(w.fe.env.store, account, &m[i], 0, &a, &text) == STORE_OK);
        if (tag != NULL) {
            char want[64];
            snprintf(want, sizeof want, "\r\nX-Test: %s\r\n", tag);
            size_t body = 0;
            while (body + 4 <= text.len && memcmp(text.ptr + body, "\r\n\r\n", 4) != 0)
                body++;
            found += str_contains(str_first(text, body + 2), str_c(want));
        } else {
            found += str_starts(text, STR("Return-Path: <>")) && str_contains(text, str_c(has));
        }
    }
    arena_free(&a);
    return found;
}

static size_t world_got(const char *to, const char *tag)
{
    size_t n = 0;
    for (size_t i = 0; i < w.ngot; i++)
        n += strcmp(w.got[i].to, to) == 0 && (tag == NULL || strcmp(w.got[i].tag, tag) == 0);
    return n;
}

#endif
