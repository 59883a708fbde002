/* server_turn.c: one turn of one connection: send what waits, feed what came, and park it: see
 * server_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/proxy.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "sys/server_internal.h"

/* ---- input not used yet ---- */

/* Keeps what was not used until output has gone. */
static bool keep(struct served *c, str_t rest)
{
    if (c->held != NULL) { /* rest is its end */
        c->held_at = c->held_len - (uint32_t)rest.len;
        return true;
    }
    c->held = malloc(rest.len);
    if (c->held == NULL)
        return false;
    memcpy(c->held, rest.ptr, rest.len);
    c->held_at = 0;
    c->held_len = (uint32_t)rest.len;
    return true;
}

static void drop_held(struct served *c)
{
    free(c->held);
    c->held = NULL;
    c->held_at = c->held_len = 0;
}

/* ---- the header of a proxy ---- */

static bool begin_proxied(struct server *s, struct served *c, const struct proxy_header *h)
{
    if (!h->local) {
        bool exempt = s->limits.exempt != NULL && s->limits.exempt(c->listener->user, &h->from);
        return served_begin(s, c, &h->from, &h->to, exempt);
    }
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    if (getpeername(c->fd, (struct sockaddr *)&from, &len) != 0)
        return false;
    /* The proxy itself, asking whether we live: never refused for what others do through it. */
    struct netaddr peer = net_from_sockaddr(&from), local = net_local(c->fd);
    return served_begin(s, c, &peer, &local, true);
}

/* Takes the header off the socket and no byte more: what follows may be TLS. */
static enum step read_proxy_header(struct server *s, struct served *c, char *buffer)
{
    struct proxy_header h;
    size_t had = c->held_len;
    if (had > 0)
        memcpy(buffer, c->held, had);
    ssize_t n = recv(c->fd, buffer + had, PROXY_HEADER_MAX - had, MSG_PEEK | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? STEP_IN : STEP_CLOSE;
    enum proxy_rc rc = proxy_parse(str_of(buffer, had + (size_t)n), &h);
    if (rc == PROXY_BAD)
        return STEP_CLOSE;
    size_t take = rc == PROXY_OK ? h.size - had : (size_t)n;
    if (recv(c->fd, buffer + had, take, MSG_DONTWAIT) != (ssize_t)take)
        return STEP_CLOSE;
    drop_held(c);
    if (rc == PROXY_MORE)
        return keep(c, str_of(buffer, had + take)) ? STEP_IN : STEP_CLOSE;
    return begin_proxied(s, c, &h) ? STEP_ON : STEP_CLOSE;
}

/* ---- the turn ---- */

/* What comes before the session is fed. STEP_ON: it may be. */
static enum step prepare(struct server *s, struct served *c, bool may_read, char *buffer)
{
    if (c->phase == PHASE_PROXY) {
        enum step step = may_read ? read_proxy_header(s, c, buffer) : STEP_IN;
        if (step != STEP_ON)
            return step;
    }
    if (c->phase == PHASE_TLS)
        return handshake_turn(s, c, may_read);
    return STEP_ON;
}

/* All output is sent. STEP_ON: the session does not want TLS now. */
static enum step ask_for_tls(struct server *s, struct served *c, str_t rest)
{
    struct tls_service *service =
        s->ops->start_tls != NULL && c->tls == NULL ? s->ops->start_tls(c->session) : NULL;
    if (service == NULL)
        return STEP_ON;
    if (rest.len > 0) {
        /* Commands sent in the clear would be obeyed as if they were the encrypted client's (RFC
         * 3207 6, CVE-2011-0411). */
        handshake_failed(s, c, "bytes before the handshake");
        return STEP_CLOSE;
    }
    handshake_begin(c, service);
    return STEP_IN;
}

/* Nothing more is read in this turn. */
static enum step wait_for_input(const struct served *c)
{
    return c->tls != NULL && tls_pending(c->tls) ? STEP_AGAIN : STEP_IN;
}

/* Flushes, feeds and reads until it has to wait; never STEP_ON. */
static enum step talk(struct server *s, struct served *c, bool may_read, char *buffer)
{
    size_t sent = 0, sent_before = SIZE_MAX;
    int reads = 0;
    bool empty = false;
    str_t rest = str_of(c->held != NULL ? c->held + c->held_at : NULL, c->held_len - c->held_at);
    for (;;) {
        enum step step = bytes_flush(s, c, &sent);
        if (step == STEP_ON)
            step = ask_for_tls(s, c, rest);
        if (step != STEP_ON) {
            if (rest.len > 0 && step != STEP_CLOSE && !keep(c, rest))
                return STEP_CLOSE;
            return step;
        }
        if (rest.len > 0) {
            size_t used = s->ops->input(c->session, rest, sys_mono_ms());
            must(used <= rest.len);
            if (used == 0 && sent == sent_before)
                return STEP_CLOSE; /* twice no step forward */
            sent_before = used == 0 ? sent : SIZE_MAX;
            rest = str_from(rest, used);
            if (rest.len == 0 && c->held != NULL)
                drop_held(c);
            continue;
        }
        if (c->eof)
            return STEP_CLOSE;
        if (!may_read || empty || reads++ == SERVER_TURN_READS)
            return wait_for_input(c);
        step = bytes_receive(s, c, buffer, &rest, &empty);
        if (step != STEP_ON)
            return step;
    }
}

static enum step run(struct server *s, struct served *c, bool may_read, char *buffer)
{
    enum step step = prepare(s, c, may_read, buffer);
    return step == STEP_ON ? talk(s, c, may_read, buffer) : step;
}

/* ---- the end ---- */

/* Unread input would make the kernel send a reset, which can overtake our last reply. */
static void drain(struct served *c, char *buffer)
{
    for (int i = 0; i < SERVER_TURN_READS; i++)
        if (recv(c->fd, buffer, SERVER_READ_SIZE, MSG_DONTWAIT) < SERVER_READ_SIZE)
            return;
}

void served_drop(struct server *s, struct served *c, char *buffer)
{
    int fd = c->fd;
    if (c->session != NULL)
        s->ops->close(c->session);
    handshake_drop(s, c);
    if (c->tls != NULL)
        tls_close(c->tls);
    c->tls = NULL;
    if (!c->eof && buffer != NULL)
        drain(c, buffer);
    served_free(s, c);
    close(fd);
}

/* ---- parking ---- */

/* When the parked connection must be looked at next; *close_it: it is over now, *again: its session
 * has something to say. */
static int64_t next_due(struct server *s, struct served *c, enum step step, bool *close_it,
                        bool *again)
{
    int64_t now = sys_mono_ms();
    if (c->phase == PHASE_TLS)
        return handshake_due(s, c, now, close_it);
    if (c->phase == PHASE_PROXY) {
        *close_it = now - c->since_ms >= SERVER_PROXY_MS;
        return c->since_ms + SERVER_PROXY_MS;
    }
    if (step == STEP_HELD)
        return s->ops->hold_until_ms(c->session);
    if (step == STEP_OUT || step == STEP_OUT_IN) {
        if (c->stalled_ms == 0)
            c->stalled_ms = now;
        int64_t stall = stress_patience(s, s->limits.output_stall_ms);
        *close_it = now - c->stalled_ms >= stall;
        return c->stalled_ms + stall;
    }
    int64_t due = s->ops->deadline_ms(c->session);
    if (due > now)
        return due;
    s->ops->expire(c->session, now);
    *again = true;
    *close_it = !s->ops->finished(c->session) && s->ops->deadline_ms(c->session) <= now;
    return due;
}

static uint32_t events_of(enum step step)
{
    switch (step) {
    case STEP_IN:
    case STEP_OUT_IN: return EPOLLIN;
    case STEP_OUT:
    case STEP_ROOM: return EPOLLOUT;
    /* There is room mostly: it comes at once, behind those that wait already. A peer that takes no
     * output has it come when that changes. */
    case STEP_AGAIN: return EPOLLIN | EPOLLOUT;
    case STEP_ON:
    case STEP_HELD:
    case STEP_CLOSE: break;
    }
    return 0;
}

/* False: something happened meanwhile, it is still ours. */
static bool park(struct server *s, struct served *c, enum step step, int64_t due_ms)
{
    struct epoll_event e = {.events = events_of(step) | EPOLLONESHOT, .data.u64 = served_event(c)};
    timers_arm(s, c, due_ms);
    int op = c->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int rc = epoll_ctl(s->epoll_fd, op, c->fd, &e);
    must(rc == 0 || op == EPOLL_CTL_ADD);
    c->registered = rc == 0; /* no memory for it: its timer tries again */
    return served_yield(c);
}

void served_turn(struct server *s, struct served *c, bool may_read, char *buffer)
{
    for (;;) {
        bool close_it = false, again = false;
        enum step step = run(s, c, may_read, buffer);
        int64_t due = 0;
        if (step != STEP_CLOSE)
            due = next_due(s, c, step, &close_it, &again);
        if (step == STEP_CLOSE || close_it) {
            served_drop(s, c, buffer);
            return;
        }
        if (again)
            continue;
        if (park(s, c, step, due))
            return;
        /* Again, with the event armed again. Who may not read (an accept, a timer) leaves the input
         * to another worker: its handler may sleep for long, and the listener, or others whose time
         * is up, wait for us. */
    }
}

void served_hang_up(struct server *s, struct served *c)
{
    c->eof = true;
    served_drop(s, c, NULL);
}

void served_goodbye(struct server *s, struct served *c)
{
    size_t sent = 0;
    if (s->ops->goodbye != NULL && c->phase == PHASE_SESSION) {
        s->ops->goodbye(c->session);
        (void)bytes_flush(s, c, &sent);
    }
    served_drop(s, c, NULL);
}
