/* session.c: one connection. The server (sys/server.h) brings bytes, the engine
 * (proto/smtp/server.h) makes events of them, the handlers in the other files answer. After too many
 * errors the engine wants its output held for a second, and core that of a wrong password: the
 * server does that, without a thread. */
#include <stdio.h>
#include <stdlib.h>

#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum { HURRY_IDLE_S = 10, HURRY_ERRORS = 1 }; /* under stress */

static bool in_one_of(const struct netaddr_net *nets, size_t n, const struct netaddr *peer)
{
    for (size_t i = 0; i < n; i++)
        if (netaddr_in(&nets[i], peer))
            return true;
    return false;
}

bool smtp_in_trusted(void *service, const struct netaddr *peer)
{
    const struct settings *set = ((const struct smtp_service *)service)->common->settings;
    return peer->family == NETADDR_UNIX ||
           in_one_of(set->relay_networks, set->n_relay_networks, peer);
}

bool smtp_in_proxied(void *service, const struct netaddr *peer)
{
    const struct settings *set = ((const struct smtp_service *)service)->common->settings;
    return in_one_of(set->proxy_networks, set->n_proxy_networks, peer);
}

bool smtp_in_may_relay(const struct smtp_session *s)
{
    return smtp_service_logs_in(s->service) ? s->login != NULL : s->trusted;
}

struct env *smtp_in_env(struct smtp_session *s)
{
    return s->login != NULL ? &s->login->env : s->common->env;
}

str_t smtp_in_helo(const struct smtp_session *s)
{
    return s->helo != NULL ? str_c(s->helo) : smtps_helo_name(s->smtps);
}

static void *session_open(void *user, const struct netaddr *peer, const struct netaddr *local,
                          int64_t now_ms)
{
    struct smtp_service *v = user;
    struct smtp_common *c = v->common;
    struct smtp_session *s = malloc(sizeof *s);
    struct smtps *smtps = smtps_new(smtp_service_config(v), now_ms);
    if (s == NULL || smtps == NULL) {
        free(s);
        smtps_free(smtps);
        return NULL;
    }
    *s = (struct smtp_session){.service = v,
                               .common = c,
                               .smtps = smtps,
                               .peer = *peer,
                               .local = *local,
                               .now_ms = now_ms};
    s->number = atomic_fetch_add_explicit(&c->next_session, 1, memory_order_relaxed);
    s->trusted = smtp_in_trusted(user, peer);
    /* By the address that connected: what XCLIENT says later makes nobody more trusted here. */
    if (in_one_of(c->settings->xclient_networks, c->settings->n_xclient_networks, peer))
        smtps_allow_xclient(smtps);
    smtps_set_wall_clock(smtps, c->env->wall_ms(c->env) - now_ms);
    smtp_in_offer_auth(s);
    return s;
}

/* ---- events ---- */

/* Content was under way. */
static void log_abort(struct smtp_session *s)
{
    if (s->t != NULL && s->t->in != NULL)
        smtp_in_log_reject(s, "abort", 0, STR(""), smtps_why(s->smtps));
}

/* Runs the engine until it has no more to tell, or wants its output sent. */
static void pump(struct smtp_session *s)
{
    for (;;) {
        switch (smtps_next(s->smtps)) {
        case SMTPS_IDLE:
        case SMTPS_FLUSH:
        case SMTPS_CLOSE: return;
        case SMTPS_HELO: break;
        case SMTPS_MAIL: smtp_in_mail(s); break;
        case SMTPS_RCPT: smtp_in_rcpt(s); break;
        case SMTPS_DATA: smtp_in_data(s); break;
        case SMTPS_CONTENT: smtp_in_content(s); break;
        case SMTPS_END: smtp_in_end(s); break;
        case SMTPS_ABORT:
            log_abort(s);
            smtp_in_drop(s);
            break;
        case SMTPS_STARTTLS: s->tls_wanted = true; return;
        case SMTPS_AUTH: smtp_in_auth(s, true); break;
        case SMTPS_AUTH_RESPONSE: smtp_in_auth(s, false); break;
        case SMTPS_AUTH_CANCEL: smtp_in_auth_cancel(s); break;
        case SMTPS_ETRN: smtp_in_etrn(s); break;
        case SMTPS_XCLIENT: smtp_in_xclient(s); break;
        case SMTPS_VRFY: smtp_in_vrfy(s); break;
        }
    }
}

/* While there is too much to do strangers are to be quick, and nobody keeps memory that is not in
 * use. */
static void hurry(struct smtp_session *s)
{
    if (s->common->server == NULL || !server_stressed(s->common->server))
        return;
    if (s->t != NULL && s->t->in != NULL)
        queue_in_give_back(s->t->in);
    if (s->hurried || smtp_in_may_relay(s))
        return;
    s->hurried = true;
    smtps_hurry(s->smtps, HURRY_IDLE_S, HURRY_ERRORS);
}

static size_t session_input(void *session, str_t bytes, int64_t now_ms)
{
    struct smtp_session *s = session;
    if (atomic_load_explicit(&s->common->stopping, memory_order_relaxed))
        smtps_shutdown(s->smtps, "shutdown");
    s->now_ms = now_ms;
    s->hold_ms = 0;
    hurry(s);
    smtps_feed(s->smtps, bytes, now_ms);
    pump(s);
    int64_t delay = smtps_delay_ms(s->smtps);
    delay = delay > s->hold_ms ? delay : s->hold_ms;
    s->hold_until_ms = delay > 0 ? now_ms + delay : 0;
    return bytes.len - smtps_rest(s->smtps).len;
}

/* ---- TLS ---- */

static struct tls_service *session_start_tls(void *session)
{
    struct smtp_session *s = session;
    return s->tls_wanted ? s->service->tls : NULL;
}

static void session_tls_started(void *session, const struct tls_info *info, const char *why,
                                int64_t now_ms)
{
    struct smtp_session *s = session;
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    s->now_ms = now_ms;
    s->tls_wanted = false;
    if (info == NULL) {
        if (smtp_in_may_log(s))
            log_event(s->common->role, str_c(smtp_session_text(s, number)), "tls-failed",
                      log_cstr("client", netaddr_text_port(&s->peer, client)), log_cstr("why", why),
                      log_end);
        return;
    }
    s->tls = info;
    /* RFC 3207 4.2: what was known before is forgotten. */
    smtp_in_logout(s);
    smtps_tls_started(s->smtps, now_ms);
    smtp_in_offer_auth(s);
}

static void session_eof(void *session, int64_t now_ms)
{
    struct smtp_session *s = session;
    s->now_ms = now_ms;
    smtps_eof(s->smtps);
    pump(s);
}

static void session_expire(void *session, int64_t now_ms)
{
    struct smtp_session *s = session;
    s->now_ms = now_ms;
    smtps_expire(s->smtps, now_ms);
    pump(s);
}

static void session_goodbye(void *session)
{
    struct smtp_session *s = session;
    smtps_shutdown(s->smtps, "shutdown");
    pump(s);
}

static str_t session_output(void *session)
{
    return smtps_output(((struct smtp_session *)session)->smtps);
}
static void session_sent(void *session, size_t n)
{
    smtps_sent(((struct smtp_session *)session)->smtps, n);
}
static bool session_finished(void *session)
{
    return smtps_closing(((struct smtp_session *)session)->smtps);
}
static int64_t session_hold_until_ms(void *session)
{
    return ((struct smtp_session *)session)->hold_until_ms;
}
static int64_t session_deadline_ms(void *session)
{
    struct smtp_session *s = session;
    hurry(s); /* who is parked when stress begins is asked again */
    return smtps_deadline_ms(s->smtps);
}

bool smtp_in_may_log(const struct smtp_session *s)
{
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    uint64_t left_out;
    if (!log_gate_pass(&s->common->gate, &s->peer, s->now_ms, &left_out))
        return false;
    if (left_out > 0)
        log_event(s->common->role, str_c(smtp_session_text(s, number)), "left-out",
                  log_cstr("client", netaddr_text(&s->peer, client)), log_u64("lines", left_out),
                  log_end);
    return true;
}

static void log_disconnect(const struct smtp_session *s)
{
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    if (smtps_messages(s->smtps) == 0 && !smtp_in_may_log(s))
        return;
    const char *why = smtps_closing(s->smtps) ? smtps_why(s->smtps) : "connection lost";
    log_event(
        s->common->role, str_c(smtp_session_text(s, number)), "disconnect",
        log_cstr("client", netaddr_text_port(&s->peer, client)), log_str("helo", smtp_in_helo(s)),
        log_u64("messages", smtps_messages(s->smtps)), log_u64("errors", smtps_errors(s->smtps)),
        log_cstr("tls", s->tls != NULL ? s->tls->version : "none"), log_cstr("why", why), log_end);
}

static void session_close(void *session)
{
    struct smtp_session *s = session;
    smtp_in_drop(s);
    log_disconnect(s);
    smtp_in_logout(s);
    smtps_free(s->smtps);
    free(s->mechs);
    free(s->helo);
    free(s->client_name);
    free(s);
}

char *smtp_session_text(const struct smtp_session *s, char out[static SMTP_SESSION_TEXT])
{
    snprintf(out, SMTP_SESSION_TEXT, "%08x", s->number);
    return out;
}

void smtp_in_log_reject(const struct smtp_session *s, const char *event, int code, str_t to,
                        const char *why)
{
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    if (!smtp_in_may_log(s))
        return;
    log_event(s->common->role, str_c(smtp_session_text(s, number)), event,
              log_cstr("client", netaddr_text_port(&s->peer, client)),
              log_str("helo", smtp_in_helo(s)),
              log_str("from", s->t ? s->t->reverse_path : STR("")), log_str("to", to),
              log_u64("code", code), log_cstr("why", why), log_end);
}

const struct server_session_ops smtp_in_ops = {
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
    .start_tls = session_start_tls,
    .tls_started = session_tls_started,
};
