/* auth.c: AUTH (RFC 4954) on submission. Never on port 25: who sends mail there needs no name, and
 * passwords tried there would only be guesses.
 *
 * Mechanisms are offered under TLS, or to who is on this machine. Wrong name and wrong password get
 * the same words after the same time; core says how long the answer waits.
 *
 * A login ends in core when its password is changed or taken away, or its account removed. What
 * then cannot be done for it is answered with 421 (RFC 5321 3.8). */
#include <stdlib.h>

#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum { LIST_ARENA = 1024 };

void smtp_in_offer_auth(struct smtp_session *s)
{
    struct arena a;
    unsigned set = 0;
    if (smtp_service_logs_in(s->service))
        set = sasl_driver_mechs(s->tls, netaddr_loopback(&s->peer),
                                settings_oauth_url(s->common->settings).len > 0);
    arena_init(&a, LIST_ARENA);
    str_t list = set != 0 ? sasl_mech_list(set, &a) : STR_NONE;
    char *copy = list.len > 0 ? strndup(list.ptr, list.len) : NULL;
    arena_free(&a);
    s->mech_set = copy != NULL ? set : 0;
    smtps_set_mechs(s->smtps, str_c(copy));
    free(s->mechs);
    s->mechs = copy;
}

static void exchange_end(struct smtp_session *s)
{
    sasl_driver_end(s->sasl);
    s->sasl = NULL;
}

void smtp_in_auth_cancel(struct smtp_session *s)
{
    exchange_end(s);
}

void smtp_in_logout(struct smtp_session *s)
{
    exchange_end(s);
    if (s->login == NULL)
        return;
    s->common->desk.logout(&s->common->desk, s->login->is.session);
    explicit_bzero(s->login, sizeof *s->login);
    free(s->login);
    s->login = NULL;
}

const struct smtp_given_up smtp_in_login_is_over = {
    421, "4.7.0", "your login is good no more: its password was changed or taken away; log in again",
    "the login is over"};

bool smtp_in_login_over(const struct smtp_session *s)
{
    struct arena a;
    bool present;
    str_t value;
    if (s->login == NULL)
        return false;
    arena_init(&a, LIST_ARENA);
    /* any key that a login for sending may read: core knows the session, or it does not */
    enum store_rc rc = store_get1(s->login->env.store, (part_t){PART_USER, s->login->is.account},
                                  STR("rate/"), &a, &present, &value);
    arena_free(&a);
    return rc == STORE_DENIED;
}

/* ---- what comes of it ---- */

static void log_refused(struct smtp_session *s, const char *why)
{
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    if (smtp_in_may_log(s))
        log_event(s->common->role, str_c(smtp_session_text(s, number)), "login-failed",
                  log_str("name", sasl_driver_name(s->sasl)),
                  log_cstr("from", netaddr_text(&s->peer, client)),
                  log_cstr("mech", sasl_mech_name(sasl_driver_mech(s->sasl))), log_cstr("why", why),
                  log_end);
}

static void refused(struct smtp_session *s, int code, const char *status, const char *text)
{
    log_refused(s, sasl_driver_why(s->sasl));
    s->hold_ms = sasl_driver_hold_ms(s->sasl);
    exchange_end(s);
    smtps_reply(s->smtps, code, status, "%s", text);
}

static void logged_in(struct smtp_session *s)
{
    char number[SMTP_SESSION_TEXT], client[NETADDR_TEXT];
    struct smtp_login *l = calloc(1, sizeof *l);
    if (l == NULL) {
        refused(s, 454, "4.7.0", "out of memory");
        return;
    }
    sasl_driver_take(s->sasl, &l->is);
    l->env = *s->common->env;
    l->env.store = l->is.session;
    l->mech = sasl_driver_mech(s->sasl);
    log_event(s->common->role, str_c(smtp_session_text(s, number)), "login",
              log_cstr("name", l->is.address), log_u64("account", l->is.account),
              log_cstr("from", netaddr_text(&s->peer, client)),
              log_cstr("sasl", sasl_mech_name(l->mech)), log_cstr("password", l->is.password_name),
              log_cstr("tls", s->tls != NULL ? s->tls->version : "none"), log_end);
    s->login = l;
    exchange_end(s);
    smtps_reply(s->smtps, 235, "2.7.0", "logged in");
}

static void turn(struct smtp_session *s, str_t response)
{
    switch (sasl_driver_step(s->sasl, response)) {
    case SASL_TURN_CHALLENGE:
        smtps_auth_challenge(s->smtps, sasl_driver_challenge(s->sasl));
        return;
    case SASL_TURN_DONE: logged_in(s); return;
    case SASL_TURN_WRONG: /* RFC 4954 6 */
        refused(s, 535, "5.7.8", "name or password is wrong");
        return;
    case SASL_TURN_LATER:
        refused(s, 454, "4.7.0", "logins cannot be checked now, try again later");
        return;
    case SASL_TURN_MALFORMED:
        refused(s, 501, "5.5.2", "that is not how this mechanism works");
        return;
    }
}

void smtp_in_auth(struct smtp_session *s, bool first)
{
    enum sasl_mech mech;
    if (!first && s->sasl != NULL) {
        turn(s, smtps_auth_response(s->smtps));
        return;
    }
    smtp_in_logout(s);
    if (!sasl_mech_find(smtps_auth_mech(s->smtps), &mech) || (s->mech_set >> mech & 1) == 0) {
        smtps_reply(s->smtps, 504, "5.5.4", "this mechanism is not offered here");
        return;
    }
    const struct sasl_driver_who who = {.use = STORE_USE_SEND,
                                        .from = &s->peer,
                                        .tls = s->tls,
                                        .hostname = s->common->settings->hostname,
                                        .local = &s->local};
    s->sasl = sasl_driver_begin(&s->common->desk, &who, mech);
    if (s->sasl == NULL)
        smtps_reply(s->smtps, 454, "4.7.0", "out of memory");
    else
        turn(s, smtps_auth_response(s->smtps));
}
