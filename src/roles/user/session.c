/* session.c: one POP3 connection: the engine between sys/server.h and the mailbox. See user.h. */
#include <stdio.h>
#include <stdlib.h>

#include "roles/log.h"
#include "roles/user/session.h"

static void *open_session(void *user, const struct netaddr *peer, const struct netaddr *local,
                          int64_t now_ms)
{
    struct user *u = user;
    struct user_session *s = calloc(1, sizeof *s);
    (void)local;
    if (s == NULL)
        return NULL;
    s->user = u;
    s->peer = *peer;
    snprintf(s->id, sizeof s->id, "p%llx",
             (unsigned long long)atomic_fetch_add(&u->next_session, 1));
    s->pop3 = pop3s_new(netaddr_loopback(peer) ? &u->plain : &u->closed, now_ms);
    if (s->pop3 == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

/* The mailbox is free again before the client hears "bye": it may come back at once. */
static void leave(struct user_session *s)
{
    if (s->store != NULL)
        log_event("user", str_c(s->id), "logout", log_u64("account", s->account),
                  log_u64("retrieved", s->retrieved), log_u64("removed", s->removed), log_end);
    maildrop_close(s);
}

/* Runs the engine until it wants input, or its output sent, or the end. */
static void run(struct user_session *s)
{
    for (;;) {
        switch (pop3s_next(s->pop3)) {
        case POP3S_LOGIN: maildrop_login(s); break;
        case POP3S_CONTENT: maildrop_content(s); break;
        case POP3S_UPDATE: maildrop_update(s); break;
        case POP3S_CLOSE: leave(s); return;
        case POP3S_IDLE:
        case POP3S_FLUSH: return;
        }
    }
}

static size_t input(void *session, str_t bytes, int64_t now_ms)
{
    struct user_session *s = session;
    s->now_ms = now_ms;
    pop3s_feed(s->pop3, bytes, now_ms);
    run(s);
    size_t left = pop3s_closing(s->pop3) ? 0 : pop3s_rest(s->pop3).len;
    return bytes.len - left;
}

static bool more(void *session, int64_t now_ms)
{
    struct user_session *s = session;
    pop3s_feed(s->pop3, STR_NONE, now_ms);
    run(s);
    return pop3s_output(s->pop3).len > 0 || pop3s_closing(s->pop3);
}

/* What came before is answered by then; a connection that ends without QUIT removes nothing (RFC
 * 1939 6). */
static void eof(void *session, int64_t now_ms)
{
    (void)session;
    (void)now_ms;
}

static str_t output(void *session)
{
    return pop3s_output(((struct user_session *)session)->pop3);
}
static void sent(void *session, size_t n)
{
    pop3s_sent(((struct user_session *)session)->pop3, n);
}
static int64_t hold_until_ms(void *session)
{
    return ((struct user_session *)session)->hold_until_ms;
}
static bool finished(void *session)
{
    return pop3s_closing(((struct user_session *)session)->pop3);
}
static int64_t deadline_ms(void *session)
{
    return pop3s_deadline_ms(((struct user_session *)session)->pop3);
}

static void expire(void *session, int64_t now_ms)
{
    pop3s_expire(((struct user_session *)session)->pop3, now_ms);
}

static void close_session(void *session)
{
    struct user_session *s = session;
    leave(s);
    pop3s_free(s->pop3);
    free(s);
}

const struct server_session_ops user_session_ops = {
    .open = open_session,
    .input = input,
    .eof = eof,
    .output = output,
    .sent = sent,
    .more = more,
    .finished = finished,
    .deadline_ms = deadline_ms,
    .expire = expire,
    .close = close_session,
    .hold_until_ms = hold_until_ms,
};
