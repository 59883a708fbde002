/* server_rig.h: a server with real loopback sockets for tests, and a protocol of lines made to be
 * awkward: one line, one answer. `block` waits for the gate, `big` sends BIG bytes piece by piece,
 * `hold` holds its answer back, `who` names peer and local address, `starttls` shakes hands. */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

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
#include <sys/time.h>
#include <unistd.h>

#include "base/blocking.h"
#include "base/buf.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "sys/server.h"

#define BIG      (8 << 20) /* more than loopback sockets hold */
#define PIECE    65536
#define GREETING "hello\n"
#define REFUSED  "421 full\n"
#define LONG_MS  60000

static bool tell; /* every test runs both ways: server_limits.handlers_tell */

/* ---- the session ---- */

struct world {
    _Atomic int open, goodbyes, early_sends;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int blocked, gate; /* `block` waits until so many are blocked */
    int idle_ms, hold_ms;
    bool silent; /* `block` does not tell the server */
    struct tls_service *tls;
    _Atomic int tls_failures;
    char why[64]; /* the last of them; under lock */
    struct server *_Atomic server;
    int stress_ms; /* deadlines under stress, if not 0 */
};

struct session {
    struct world *w;
    struct buf out;
    size_t big_left;
    bool done, wants_tls;
    int64_t since_ms, deadline_ms, hold_until_ms;
    struct netaddr peer, local;
};

static void *on_open(void *user, const struct netaddr *peer, const struct netaddr *local,
                     int64_t now_ms)
{
    struct session *s = calloc(1, sizeof *s);
    s->w = user;
    s->peer = *peer;
    s->local = *local;
    s->since_ms = now_ms;
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

static void tell_who(struct session *s)
{
    char peer[NETADDR_TEXT], local[NETADDR_TEXT];
    buf_addf(&s->out, "%s %s\n", netaddr_text_port(&s->peer, peer),
             netaddr_text_port(&s->local, local));
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
    s->wants_tls |= str_eq(line, STR("starttls"));
    if (str_eq(line, STR("big")))
        s->big_left = BIG;
    else if (str_eq(line, STR("who")))
        tell_who(s);
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
    struct session *s = session;
    struct server *server = atomic_load(&s->w->server);
    int64_t hurried = s->since_ms + s->w->stress_ms;
    if (s->w->stress_ms > 0 && server_stressed(server) && hurried < s->deadline_ms)
        s->deadline_ms = hurried;
    return s->deadline_ms;
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

static struct tls_service *on_start_tls(void *session)
{
    struct session *s = session;
    return s->wants_tls ? s->w->tls : NULL;
}

static void on_tls_started(void *session, const struct tls_info *info, const char *why,
                           int64_t now_ms)
{
    struct session *s = session;
    (void)now_ms;
    s->wants_tls = false;
    if (info != NULL) {
        buf_addf(&s->out, "%s\n", info->version);
        return;
    }
    pthread_mutex_lock(&s->w->lock);
    snprintf(s->w->why, sizeof s->w->why, "%s", why);
    pthread_mutex_unlock(&s->w->lock);
    atomic_fetch_add(&s->w->tls_failures, 1);
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
    .start_tls = on_start_tls,
    .tls_started = on_tls_started,
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

static inline void start_with(struct rig *r, struct server_limits l, int idle_ms,
                              struct tls_service *tls, bool at_once)
{
    *r = (struct rig){.w = {.idle_ms = idle_ms, .gate = 1, .hold_ms = 40}};
    pthread_mutex_init(&r->w.lock, NULL);
    pthread_cond_init(&r->w.changed, NULL);
    l.refuse_text = REFUSED;
    l.exempt = exempt_9;
    r->server = server_new(&ops, &r->w, &l);
    assert_non_null(r->server);
    r->w.tls = tls;
    atomic_store(&r->w.server, r->server);
    struct netaddr any;
    assert_true(netaddr_parse(STR("127.0.0.1"), &any));
    int fd = net_listen(&any, NULL);
    assert_true(fd >= 0);
    r->at = net_local(fd);
    struct server_listener from = {.fd = fd, .tls = at_once ? tls : NULL};
    assert_true(server_listen_on(r->server, &from));
}

static inline void start(struct rig *r, struct server_limits l, int idle_ms)
{
    start_with(r, l, idle_ms, NULL, false);
}

static inline void finish(struct rig *r)
{
    server_stop(r->server);
    assert_int_equal(server_connections(r->server), 0);
    assert_int_equal(r->w.open, 0);
    server_free(r->server);
}

static inline int dial_from(struct rig *r, const char *source)
{
    struct sockaddr_storage s;
    struct netaddr from;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && netaddr_parse(str_c(source), &from));
    struct timeval patience = {.tv_sec = 20}; /* a test that waits in vain fails */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    socklen_t len = net_to_sockaddr(&from, &s);
    assert_int_equal(bind(fd, (struct sockaddr *)&s, len), 0);
    len = net_to_sockaddr(&r->at, &s);
    assert_int_equal(connect(fd, (struct sockaddr *)&s, len), 0);
    return fd;
}

static inline int dial(struct rig *r)
{
    return dial_from(r, "127.0.0.1");
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Exactly these bytes come next. */
static inline void hear(int fd, const char *want)
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

static inline void hear_end(int fd)
{
    char c;
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
}

/* At most so many workers, connections in all, connections from one address. */
static inline struct server_limits limits(int workers, int connections, int per_address)
{
    return (struct server_limits){.workers_max = workers,
                                  .connections_max = connections,
                                  .per_address_max = per_address,
                                  .output_stall_ms = LONG_MS,
                                  .handlers_tell = tell};
}

#endif
