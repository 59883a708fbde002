/* session.c: one connection. The server (sys/server.h) brings bytes, the engine
 * (proto/smtp/server.h) makes events of them, the handlers in policy.c and message.c answer. After
 * too many errors the engine wants its output held for a second: the server does that, without a
 * thread. */
#include <stdio.h>
#include <stdlib.h>

#include "roles/log.h"
#include "roles/mx/mx.h"

bool mx_trusted(void *listener, const struct netaddr *peer)
{
    const struct settings *set = ((const struct mx_listener *)listener)->mx->settings;
    for (size_t i = 0; i < set->n_relay_networks; i++)
        if (netaddr_in(&set->relay_networks[i], peer))
            return true;
    return false;
}

static void *session_open(void *user, const struct netaddr *peer, const struct netaddr *local,
                          int64_t now_ms)
{
    const struct mx_listener *l = user;
    struct mx *mx = l->mx;
    struct mx_session *s = malloc(sizeof *s);
    struct smtps *smtps = smtps_new(l->lmtp ? &mx->lmtp : &mx->smtp, now_ms);
    if (s == NULL || smtps == NULL) {
        free(s);
        smtps_free(smtps);
        return NULL;
    }
    *s = (struct mx_session){.mx = mx,
                             .smtps = smtps,
                             .peer = *peer,
                             .local = *local,
                             .lmtp = l->lmtp,
                             .now_ms = now_ms};
    s->number = atomic_fetch_add_explicit(&mx->next_session, 1, memory_order_relaxed);
    s->trusted = mx_trusted(user, peer);
    return s;
}

/* Runs the engine until it has no more to tell, or wants its output sent. */
static void pump(struct mx_session *s)
{
    for (;;) {
        switch (smtps_next(s->smtps)) {
        case SMTPS_IDLE:
        case SMTPS_FLUSH:
        case SMTPS_CLOSE: return;
        case SMTPS_HELO: break;
        case SMTPS_MAIL: mx_on_mail(s); break;
        case SMTPS_RCPT: mx_on_rcpt(s); break;
        case SMTPS_DATA: mx_on_data(s); break;
        case SMTPS_CONTENT: mx_on_content(s); break;
        case SMTPS_END: mx_on_end(s); break;
        case SMTPS_ABORT:
            if (s->t != NULL && s->t->in != NULL) /* it had come as far as content */
                mx_log_reject(s, "abort", 0, STR(""), smtps_why(s->smtps));
            mx_drop(s);
            break;
        }
    }
}

static size_t session_input(void *session, str_t bytes, int64_t now_ms)
{
    struct mx_session *s = session;
    if (atomic_load_explicit(&s->mx->stopping, memory_order_relaxed))
        smtps_shutdown(s->smtps, "shutdown");
    s->now_ms = now_ms;
    smtps_feed(s->smtps, bytes, now_ms);
    pump(s);
    int64_t delay = smtps_delay_ms(s->smtps);
    s->hold_until_ms = delay > 0 ? now_ms + delay : 0;
    return bytes.len - smtps_rest(s->smtps).len;
}

static void session_eof(void *session, int64_t now_ms)
{
    struct mx_session *s = session;
    s->now_ms = now_ms;
    smtps_eof(s->smtps);
    pump(s);
}

static void session_expire(void *session, int64_t now_ms)
{
    struct mx_session *s = session;
    s->now_ms = now_ms;
    smtps_expire(s->smtps, now_ms);
    pump(s);
}

static void session_goodbye(void *session)
{
    struct mx_session *s = session;
    smtps_shutdown(s->smtps, "shutdown");
    pump(s);
}

static str_t session_output(void *session)
{
    return smtps_output(((struct mx_session *)session)->smtps);
}
static void session_sent(void *session, size_t n)
{
    smtps_sent(((struct mx_session *)session)->smtps, n);
}
static bool session_finished(void *session)
{
    return smtps_closing(((struct mx_session *)session)->smtps);
}
static int64_t session_hold_until_ms(void *session)
{
    return ((struct mx_session *)session)->hold_until_ms;
}
static int64_t session_deadline_ms(void *session)
{
    return smtps_deadline_ms(((struct mx_session *)session)->smtps);
}

/* Whether one more line is written for this client: see log_gate.h. */
static bool may_log(const struct mx_session *s)
{
    char number[MX_SESSION_TEXT], client[NETADDR_TEXT];
    uint64_t left_out;
    if (!log_gate_pass(&s->mx->gate, &s->peer, s->now_ms, &left_out))
        return false;
    if (left_out > 0)
        log_event("mx", str_c(mx_session_text(s, number)), "left-out",
                  log_cstr("client", netaddr_text(&s->peer, client)), log_u64("lines", left_out),
                  log_end);
    return true;
}

static void log_disconnect(const struct mx_session *s)
{
    char number[MX_SESSION_TEXT], client[NETADDR_TEXT];
    if (smtps_messages(s->smtps) == 0 && !may_log(s))
        return;
    const char *why = smtps_closing(s->smtps) ? smtps_why(s->smtps) : "connection lost";
    log_event("mx", str_c(mx_session_text(s, number)), "disconnect",
              log_cstr("client", netaddr_text_port(&s->peer, client)),
              log_str("helo", smtps_helo_name(s->smtps)),
              log_u64("messages", smtps_messages(s->smtps)),
              log_u64("errors", smtps_errors(s->smtps)), log_cstr("why", why), log_end);
}

static void session_close(void *session)
{
    struct mx_session *s = session;
    mx_drop(s);
    log_disconnect(s);
    smtps_free(s->smtps);
    free(s);
}

char *mx_session_text(const struct mx_session *s, char out[static MX_SESSION_TEXT])
{
    snprintf(out, MX_SESSION_TEXT, "%08x", s->number);
    return out;
}

void mx_log_reject(const struct mx_session *s, const char *event, int code, str_t to,
                   const char *why)
{
    char number[MX_SESSION_TEXT], client[NETADDR_TEXT];
    if (!may_log(s))
        return;
    log_event("mx", str_c(mx_session_text(s, number)), event,
              log_cstr("client", netaddr_text_port(&s->peer, client)),
              log_str("helo", smtps_helo_name(s->smtps)),
              log_str("from", s->t ? s->t->reverse_path : STR("")), log_str("to", to),
              log_u64("code", code), log_cstr("why", why), log_end);
}

const struct server_session_ops mx_session_ops = {
    .open = session_open,
    .input = session_input,
    .eof = session_eof,
    .output = session_output,
    .sent = session_sent,
    .finished = session_finished,
    .deadline_ms = session_deadline_ms,
    .expire = session_expire,
    .close = session_close,
    .hold_until_ms = session_hold_until_ms,
    .goodbye = session_goodbye,
};
