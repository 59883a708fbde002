/* resolver.c: see resolver.h.
 *
 *     channel reader threads ──ub_resolve_async──▶ libunbound's own thread ──its pipe──▶
 *     our thread: ub_process, timeouts, replies
 *
 * A query is in the list from its start until our thread answers it, either in ub_process (done)
 * or because its time is over (ub_cancel); both happen on that one thread, so each is answered
 * exactly once. r->lock is never held while a reply is written. */
#include "roles/resolver/resolver.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unbound.h>
#include <unistd.h>

#include "base/list.h"
#include "roles/resolver/protocol.h"
#include "roles/resolver/unbound_setup.h"
#include "sys/channel.h"
#include "sys/clock.h"

enum { CLIENTS_MAX = 16 };           /* courier, and new ones beside those just dying */
enum { IDLE_WAKE_MS = 3600 * 1000 }; /* the thread looks for timeouts at least so often */

struct resolver {
    struct ub_ctx *ub;
    pthread_t thread;
    int wake; /* eventfd: look again */
    pthread_mutex_t lock;
    pthread_cond_t gone; /* a client has */
    struct list queries;
    size_t in_flight;
    int64_t next_wake_ms;
    bool stop;
    struct channel_peer *client[CLIENTS_MAX];
    size_t n_clients;
};

struct query {
    struct list link;
    struct resolver *r;
    struct channel_peer *peer;
    uint64_t id;
    int64_t deadline_ms;
    int ub_id;
};

/* ---- answers ---- */

static void answer(struct channel_peer *peer, uint64_t id, const struct dns_answer *a)
{
    struct buf b;
    buf_init(&b, RESOLVER_ANSWER_MAX + 1024);
    if (resolver_answer_encode(a, &b)) {
        struct iovec iov = {b.ptr, b.len};
        channel_reply(peer, id, RESOLVER_ANSWER, &iov, 1, -1);
    } else {
        channel_peer_close(peer); /* no memory: better asked again than waited for */
    }
    buf_free(&b);
}

static void answer_status(struct channel_peer *peer, uint64_t id, enum dns_status status)
{
    answer(peer, id, &(struct dns_answer){.status = status});
}

static void query_free(struct query *q)
{
    channel_peer_release(q->peer);
    free(q);
}

static enum dns_status status_of(int error, const struct ub_result *res)
{
    enum { RCODE_NXDOMAIN = 3 };
    if (error == UB_SYNTAX) /* a label over 63 octets or the like: no such name can exist */
        return DNS_NXDOMAIN;
    if (error != 0 || res == NULL)
        return DNS_SERVFAIL;
    if (res->bogus)
        return DNS_BOGUS;
    if (res->rcode == RCODE_NXDOMAIN && res->nxdomain)
        return DNS_NXDOMAIN;
    if (res->rcode != 0)
        return DNS_SERVFAIL;
    return res->havedata && res->data[0] != NULL ? DNS_OK : DNS_NODATA;
}

static void answer_result(struct query *q, int error, const struct ub_result *res)
{
    str_t rdata[DNS_ANSWER_RECORDS_MAX];
    struct dns_answer a = {.status = status_of(error, res), .rdata = rdata};
    if (res != NULL && (a.status == DNS_OK || a.status == DNS_NODATA || a.status == DNS_NXDOMAIN)) {
        a.secure = res->secure != 0;
        a.ttl_s = res->ttl > 0 ? (uint32_t)res->ttl : 0;
        a.canonical = str_c(res->canonname);
        if (str_ends(a.canonical, STR(".")))
            a.canonical.len--;
        if (a.canonical.len > RESOLVER_NAME_MAX)
            a.canonical = STR_NONE;
    }
    if (a.status == DNS_OK)
        for (; a.n < DNS_ANSWER_RECORDS_MAX && res->data[a.n] != NULL; a.n++)
            rdata[a.n] = str_of(res->data[a.n], (size_t)res->len[a.n]);
    answer(q->peer, q->id, &a);
}

/* libunbound's callback, in ub_process. */
static void done(void *arg, int error, struct ub_result *res)
{
    struct query *q = arg;
    pthread_mutex_lock(&q->r->lock); /* also waits until start_query has filled q */
    list_remove(&q->link);
    q->r->in_flight--;
    pthread_mutex_unlock(&q->r->lock);
    answer_result(q, error, res);
    ub_resolve_free(res);
    query_free(q);
}

/* ---- queries ---- */

static void wake(struct resolver *r)
{
    uint64_t one = 1;
    if (write(r->wake, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake */
}

/* 0 and the query is under way, or why not. */
static int start_query(struct resolver *r, struct query *q, const char *name, enum dns_type type)
{
    enum { CLASS_IN = 1 };
    pthread_mutex_lock(&r->lock);
    int error = UB_SERVFAIL;
    if (r->in_flight < RESOLVER_IN_FLIGHT)
        error = ub_resolve_async(r->ub, name, (int)type, CLASS_IN, q, done, &q->ub_id);
    if (error == 0) {
        list_push(&r->queries, &q->link);
        r->in_flight++;
        if (q->deadline_ms < r->next_wake_ms)
            wake(r);
    }
    pthread_mutex_unlock(&r->lock);
    return error;
}

static bool on_request(void *user, struct channel_peer *peer, uint8_t type, uint64_t id,
                       str_t payload, int fd)
{
    struct resolver *r = user;
    struct resolver_query ask;
    char name[RESOLVER_NAME_MAX + 1];
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || type != RESOLVER_QUERY || !resolver_query_decode(payload, &ask))
        return false;
    struct query *q = calloc(1, sizeof *q);
    if (q == NULL) {
        answer_status(peer, id, DNS_SERVFAIL);
        return true;
    }
    channel_peer_hold(peer);
    q->r = r;
    q->peer = peer;
    q->id = id;
    q->deadline_ms = sys_mono_ms() + ask.wait_ms;
    int error = start_query(r, q, str_toc(ask.name, name, sizeof name), ask.type);
    if (error != 0) {
        answer_status(peer, id, status_of(error, NULL));
        query_free(q);
    }
    return true;
}

/* Takes out what is late, under lock; returns when to look again. */
static int64_t late_queries(struct resolver *r, int64_t now_ms, struct list *late)
{
    int64_t next = now_ms + IDLE_WAKE_MS;
    for (struct list *l = r->queries.next, *after; l != &r->queries; l = after) {
        struct query *q = list_entry(l, struct query, link);
        after = l->next;
        if (q->deadline_ms > now_ms) {
            next = q->deadline_ms < next ? q->deadline_ms : next;
            continue;
        }
        list_remove(l);
        list_push(late, l);
        r->in_flight--;
    }
    return next;
}

static void time_out(struct resolver *r, struct list *late)
{
    for (struct list *l; (l = list_pop(late)) != NULL;) {
        struct query *q = list_entry(l, struct query, link);
        ub_cancel(r->ub, q->ub_id);
        answer_status(q->peer, q->id, DNS_TIMEOUT);
        query_free(q);
    }
}

static void *run(void *arg)
{
    struct resolver *r = arg;
    struct pollfd p[2] = {{.fd = ub_fd(r->ub), .events = POLLIN},
                          {.fd = r->wake, .events = POLLIN}};
    for (;;) {
        struct list late;
        list_init(&late);
        pthread_mutex_lock(&r->lock);
        if (r->stop)
            break;
        r->next_wake_ms = late_queries(r, sys_mono_ms(), &late);
        int64_t next = r->next_wake_ms;
        pthread_mutex_unlock(&r->lock);
        time_out(r, &late);
        uint64_t count;
        if (poll(p, 2, sys_poll_ms(next)) <= 0)
            continue;
        if (p[1].revents != 0 && read(r->wake, &count, sizeof count) < 0)
            continue;
        if (p[0].revents != 0)
            ub_process(r->ub);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- clients ---- */

static void on_closed(void *user, struct channel_peer *peer)
{
    struct resolver *r = user;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_clients; i++)
        if (r->client[i] == peer) {
            r->client[i] = r->client[--r->n_clients];
            break;
        }
    pthread_cond_broadcast(&r->gone);
    pthread_mutex_unlock(&r->lock);
}

void resolver_attach(struct resolver *r, int fd)
{
    static const struct channel_server_ops ops = {.request = on_request, .closed = on_closed};
    pthread_mutex_lock(&r->lock); /* held, so that on_closed finds the peer in the list */
    struct channel_peer *peer = NULL;
    if (r->n_clients == CLIENTS_MAX || r->stop)
        close(fd);
    else if ((peer = channel_serve(fd, &ops, r)) != NULL)
        r->client[r->n_clients++] = peer;
    pthread_mutex_unlock(&r->lock);
}

/* ---- life ---- */

struct resolver *resolver_new(const struct settings *set, struct err *err)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (r == NULL) {
        (void)err_set(err, RC_TEMP, "", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->gone, NULL);
    list_init(&r->queries);
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->ub = r->wake >= 0 ? unbound_setup(set, err) : NULL;
    if (r->ub != NULL && pthread_create(&r->thread, NULL, run, r) == 0)
        return r;
    if (r->ub != NULL || r->wake < 0)
        (void)err_set(err, RC_TEMP, "", "no thread or descriptor for the resolver");
    if (r->ub != NULL)
        ub_ctx_delete(r->ub);
    if (r->wake >= 0)
        close(r->wake);
    free(r);
    return NULL;
}

void resolver_free(struct resolver *r)
{
    struct list late;
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    for (size_t i = 0; i < r->n_clients; i++)
        channel_peer_close(r->client[i]);
    while (r->n_clients > 0)
        pthread_cond_wait(&r->gone, &r->lock);
    pthread_mutex_unlock(&r->lock);
    wake(r);
    pthread_join(r->thread, NULL);
    list_init(&late);
    (void)late_queries(r, INT64_MAX - IDLE_WAKE_MS, &late);
    time_out(r, &late);
    ub_ctx_delete(r->ub);
    close(r->wake);
    pthread_cond_destroy(&r->gone);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
