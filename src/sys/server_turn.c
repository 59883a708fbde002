/* server_turn.c: one turn of one connection: send what waits, feed what came, and park it: see
 * server_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "sys/clock.h"
#include "sys/server_internal.h"

enum step {
    STEP_ON,   /* no output waits: read on */
    STEP_IN,   /* park until there is input */
    STEP_OUT,  /* park until there is room for output */
    STEP_HELD, /* park until the time the session named */
    STEP_CLOSE,
};

/* Sends output until there is none. *sent is the number of bytes sent in this turn. */
static enum step flush(struct server *s, struct served *c, size_t *sent)
{
    const struct server_session_ops *ops = s->ops;
    for (;;) {
        str_t out = ops->output(c->session);
        if (out.len == 0) {
            if (ops->finished(c->session))
                return STEP_CLOSE;
            if (ops->more == NULL || !ops->more(c->session, sys_mono_ms()))
                return STEP_ON;
            continue;
        }
        if (ops->hold_until_ms != NULL && ops->hold_until_ms(c->session) > sys_mono_ms())
            return STEP_HELD;
        if (*sent >= SERVER_TURN_SENT)
            return STEP_OUT;
        ssize_t n = send(c->fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? STEP_OUT : STEP_CLOSE;
        ops->sent(c->session, (size_t)n);
        *sent += (size_t)n;
        c->stalled_ms = 0;
    }
}

/* Reads once. STEP_ON: *rest has come, or the end was noted. */
static enum step receive(struct server *s, struct served *c, char *buffer, str_t *rest)
{
    for (;;) {
        ssize_t n = recv(c->fd, buffer, SERVER_READ_SIZE, MSG_DONTWAIT);
        if (n > 0) {
            *rest = str_of(buffer, (size_t)n);
            return STEP_ON;
        }
        if (n == 0) {
            c->eof = true;
            s->ops->eof(c->session, sys_mono_ms());
            return STEP_ON;
        }
        if (errno != EINTR)
            return errno == EAGAIN ? STEP_IN : STEP_CLOSE;
    }
}

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

/* Flushes, feeds and reads until it has to wait; never STEP_ON. */
static enum step run(struct server *s, struct served *c, bool may_read, char *buffer)
{
    size_t sent = 0, sent_before = SIZE_MAX;
    int reads = 0;
    str_t rest = str_of(c->held != NULL ? c->held + c->held_at : NULL, c->held_len - c->held_at);
    for (;;) {
        enum step step = flush(s, c, &sent);
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
        if (!may_read || reads++ == SERVER_TURN_READS)
            return STEP_IN;
        step = receive(s, c, buffer, &rest);
        if (step != STEP_ON)
            return step;
        /* the socket is empty: park after this */
        if (rest.len < SERVER_READ_SIZE)
            may_read = false;
    }
}

/* Unread input would make the kernel send a reset, which can overtake our last reply. */
static void drain(struct served *c, char *buffer)
{
    for (int i = 0; i < SERVER_TURN_READS; i++)
        if (recv(c->fd, buffer, SERVER_READ_SIZE, MSG_DONTWAIT) < SERVER_READ_SIZE)
            return;
}

static void finish(struct server *s, struct served *c, char *buffer)
{
    int fd = c->fd;
    s->ops->close(c->session);
    if (!c->eof && buffer != NULL)
        drain(c, buffer);
    served_free(s, c);
    close(fd);
}

/* When the parked connection must be looked at next; *close: it is over now, *again: its session
 * has something to say. */
static int64_t next_due(struct server *s, struct served *c, enum step step, bool *close_it,
                        bool *again)
{
    int64_t now = sys_mono_ms();
    if (step == STEP_HELD)
        return s->ops->hold_until_ms(c->session);
    if (step == STEP_OUT) {
        if (c->stalled_ms == 0)
            c->stalled_ms = now;
        *close_it = now - c->stalled_ms >= s->limits.output_stall_ms;
        return c->stalled_ms + s->limits.output_stall_ms;
    }
    int64_t due = s->ops->deadline_ms(c->session);
    if (due > now)
        return due;
    s->ops->expire(c->session, now);
    *again = true;
    *close_it = !s->ops->finished(c->session) && s->ops->deadline_ms(c->session) <= now;
    return due;
}

/* False: something happened meanwhile, it is still ours. */
static bool park(struct server *s, struct served *c, enum step step, int64_t due_ms)
{
    uint32_t events = step == STEP_IN ? EPOLLIN : step == STEP_OUT ? EPOLLOUT : 0;
    struct epoll_event e = {.events = events | EPOLLONESHOT, .data.u64 = served_event(c)};
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
            finish(s, c, buffer);
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
    finish(s, c, NULL);
}

void served_goodbye(struct server *s, struct served *c)
{
    size_t sent = 0;
    if (s->ops->goodbye != NULL) {
        s->ops->goodbye(c->session);
        (void)flush(s, c, &sent);
    }
    finish(s, c, NULL);
}
