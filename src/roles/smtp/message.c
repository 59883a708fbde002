/* message.c: the content on its way into the queue, and what the final dot is answered.
 *
 * Our Received field is the first bytes of what is stored (RFC 5321 4.4); Return-Path is written at
 * final delivery, not here. 250 is said after queue_in_commit gave STORE_OK and never otherwise:
 * from then on the message is our responsibility. If the client is gone by then it will send the
 * message again, which is the lesser evil (RFC 1047). */
#include <stdio.h>
#include <string.h>

#include "mail/trace.h"
#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum { RECEIVED_MAX = 2048 }; /* a name and an address of at most 255 octets, folded */

/* RFC 3848, RFC 6531 3.7.3: S for TLS, A for who has logged in */
static str_t protocol(const struct smtp_session *s)
{
    static const char *const smtp[] = {"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"};
    static const char *const lmtp[] = {"LMTP", "LMTPS", "LMTPA", "LMTPSA"};
    static const char *const utf8smtp[] = {"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"};
    static const char *const utf8lmtp[] = {"UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"};
    bool utf8 = smtps_mail_params(s->smtps)->smtputf8;
    int which = (s->tls != NULL ? 1 : 0) + (s->login != NULL ? 2 : 0);
    if (s->service->config.lmtp)
        return str_c((utf8 ? utf8lmtp : lmtp)[which]);
    return str_c(utf8 ? utf8smtp[which] : smtps_esmtp(s->smtps) ? smtp[which] : "SMTP");
}

static bool write_received(struct smtp_session *s)
{
    const struct smtp_transaction *t = s->t;
    char id[QUEUE_ID_TEXT];
    struct trace_received r = {
        .helo = smtp_in_helo(s),
        .client_name = s->client_name != NULL ? str_c(s->client_name) : STR_NONE,
        .client = s->peer,
        .by = s->common->settings->hostname,
        .protocol = protocol(s),
        .tls = s->tls != NULL ? str_c(s->tls->cipher) : STR_NONE,
        .id = str_c(queue_id_text(queue_in_id(t->in), id)),
        /* of several, none may learn of the others */
        .recipient = t->n == 1 ? t->rcpt[0].address : STR(""),
        .wall_ms = s->common->env->wall_ms(s->common->env),
    };
    struct buf field;
    buf_init(&field, RECEIVED_MAX);
    bool ok =
        trace_received_write(&r, &field) && queue_in_write(t->in, buf_str(&field)) == STORE_OK;
    buf_free(&field);
    return ok;
}

uint64_t smtp_in_memory(const struct smtp_common *c)
{
    return c->settings->stress_memory_bytes / (strcmp(c->role, "mx") == 0 ? 2 : 4);
}

/* Content under way holds two chunks of memory: no more of them than a half of what we may have.
 * Who is known comes in all the same. */
static bool memory_for(struct smtp_session *s)
{
    uint64_t all = atomic_fetch_add(&s->common->contents, 1) + 1;
    s->t->counted = true;
    return smtp_in_may_relay(s) || all * 2 * STORE_CHUNK <= smtp_in_memory(s->common) / 2;
}

void smtp_in_data(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    if (!memory_for(s)) {
        smtp_in_refuse(s, 452, "4.3.2", STR_NONE, "too many messages at once, try later");
        return;
    }
    t->in = queue_in_begin(smtp_in_env(s));
    if (t->in == NULL || !write_received(s) || !smtp_in_fixup_begin(s))
        smtps_reply(s->smtps, 451, "4.3.0", "out of memory");
    else
        smtps_reply(s->smtps, 354, "", "go on, end with <CRLF>.<CRLF>");
}

static void landed(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    atomic_fetch_sub(&s->common->in_flight, t->in_flight);
    t->in_flight = 0;
    if (t->counted)
        atomic_fetch_sub(&s->common->contents, 1);
    t->counted = false;
    smtp_in_fixup_free(t);
}

void smtp_in_drop(struct smtp_session *s)
{
    if (s->t != NULL && s->t->in != NULL)
        queue_in_abort(s->t->in);
    if (s->t != NULL)
        landed(s);
    s->t = NULL; /* its memory is the engine's */
}

static const struct smtp_given_up too_many_hops = {
    554, "5.4.6", "too many Received fields: the message is looping", "too many Received fields"};
static const struct smtp_given_up delivered_before = {
    554, "5.4.6", "the message was delivered to this address before: it is looping",
    "delivered before"};
static const struct smtp_given_up no_lines = {554, "5.6.0", "bare CR, bare LF or NUL in the header",
                                              "bad bytes in the header"};
static const struct smtp_given_up no_space = {452, "4.3.1", "not enough space, try later",
                                              "no space in the store"};

static const struct smtp_given_up cannot_edit = {
    451, "4.3.0", "cannot take the header now, try later", "the header cannot be edited"};
static const struct smtp_given_up cannot_count = {
    451, "4.3.0", "cannot count the message now, try later", "the account cannot be counted"};

static void give_up(struct smtp_session *s, const struct smtp_given_up *why)
{
    struct smtp_transaction *t = s->t;
    queue_in_abort(t->in);
    t->in = NULL;
    t->why = why;
    landed(s);
}

/* Content under way may take an eighth of what is free, and always two messages. The queue's file
 * does not shrink: many large messages begun at once would else take the disk for good. */
static bool take_off(struct smtp_session *s, size_t len)
{
    const struct store_board *board = store_board(s->common->env->store);
    uint64_t all = atomic_fetch_add(&s->common->in_flight, len) + len;
    s->t->in_flight += len;
    return board == NULL || all <= 2 * s->common->settings->message_size_max ||
           all <= atomic_load(&board->free_queue_bytes) / 8;
}

static bool for_again(const struct smtp_transaction *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rcpt[i].local && hops_is(&t->hops, t->rcpt[i].address))
            return true;
    return false;
}

/* RFC 5321 6.3 */
static bool loops(struct smtp_session *s, str_t content)
{
    struct smtp_transaction *t = s->t;
    while (t->in != NULL && hops_next(&t->hops, &content))
        if (for_again(t))
            give_up(s, &delivered_before);
    if (t->in != NULL && t->hops.count > s->common->settings->hops_max)
        give_up(s, &too_many_hops);
    return t->in == NULL;
}

/* The engine has seen to it but for BINARYMIME. */
static bool header_is_lines(struct smtp_session *s, str_t content)
{
    return !smtps_mail_params(s->smtps)->body_binary || hops_lines(&s->t->lines, content);
}

void smtp_in_content(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    if (t->in == NULL || loops(s, smtps_content(s->smtps)))
        return; /* answered at the end */
    if (!header_is_lines(s, smtps_content(s->smtps))) {
        give_up(s, &no_lines);
        return;
    }
    /* Who said no SIZE, and who was let in with MAIL together with many others, must not use up
     * what deliveries need. */
    if (!take_off(s, smtps_content(s->smtps).len) ||
        !smtp_in_space(s->common, queue_in_size(t->in), s->common->settings->reserve_bytes / 2)) {
        give_up(s, &no_space);
        return;
    }
    smtp_in_fixup_feed(s, smtps_content(s->smtps));
    if (t->edit_failed)
        give_up(s, &cannot_edit);
}

static void reply_all(struct smtp_session *s, int code, const char *status, const char *text)
{
    size_t n = s->service->config.lmtp ? smtps_recipients(s->smtps) : 1; /* RFC 2033 4.2 */
    while (n-- > 0)
        smtps_reply(s->smtps, code, status, "%s", text);
}

/* The reason of the first that is held: the operator's words, for the log alone. */
static size_t held(const struct smtp_transaction *t, str_t *why)
{
    size_t n = 0;
    for (size_t i = t->n; i-- > 0;)
        if (t->rcpt[i].hold) {
            *why = t->rcpt[i].reason;
            n++;
        }
    return n;
}

static void say_queued(struct smtp_session *s, const char *id)
{
    char text[160];
    const struct smtp_transaction *t = s->t;
    int n = snprintf(text, sizeof text, "queued as %s", id);
    must(n > 0);
    char *end = text + n;
    size_t room = sizeof text - (size_t)n;
    if (t->hold)
        snprintf(end, room, ", %s", t->held_as);
    else if (t->nruled > 0 && t->nruled == t->n)
        snprintf(end, room, ", held by a rule");
    else if (t->nruled > 0)
        snprintf(end, room, ", %zu of %zu recipients held by a rule", t->nruled, t->n);
    reply_all(s, 250, "2.0.0", text);
}

static void accepted(struct smtp_session *s, const struct queue_message *m)
{
    char id[QUEUE_ID_TEXT], number[SMTP_SESSION_TEXT];
    const struct smtp_transaction *t = s->t;
    str_t why = STR_NONE;
    size_t nheld = held(t, &why);
    say_queued(s, queue_id_text(m->id, id));
    log_event(
        s->common->role, str_c(id), "accept", log_cstr("session", smtp_session_text(s, number)),
        log_str("client", m->client), log_str("helo", m->helo), log_str("proto", m->protocol),
        log_str("from", m->reverse_path), log_u64("nrcpt", t->n), log_u64("size", m->size),
        log_cstr("tls", s->tls != NULL ? s->tls->version : "none"),
        log_cstr("sasl", s->login != NULL ? sasl_mech_name(s->login->mech) : "none"),
        log_u64("account", m->account), log_u64("held", nheld), log_str("reason", why), log_end);
}

static void not_stored(struct smtp_session *s, enum store_rc rc)
{
    if (rc == STORE_FULL) {
        smtp_in_log_reject(s, "defer", 452, STR(""), "no space in the store");
        reply_all(s, 452, "4.3.1", "not enough space, try later");
    } else if (rc == STORE_STOPPED) {
        smtp_in_log_reject(s, "defer", 451, STR(""), "the store takes no writes");
        reply_all(s, 451, "4.3.5", "the store takes no writes now, try later");
    } else if (smtp_in_login_over(s)) {
        const struct smtp_given_up *over = &smtp_in_login_is_over;
        smtp_in_log_reject(s, "defer", over->code, STR(""), over->log);
        reply_all(s, over->code, over->status, over->text);
    } else { /* also when the outcome is unknown: it may come twice then, but it is not lost */
        smtp_in_log_reject(s, "defer", 451, STR(""), store_rc_name(rc));
        reply_all(s, 451, "4.3.0", "cannot store the message now, try later");
    }
}

static void say_given_up(struct smtp_session *s)
{
    const struct smtp_given_up *why = s->t->why;
    smtp_in_log_reject(s, why->code < 500 ? "defer" : "reject", why->code, STR(""), why->log);
    reply_all(s, why->code, why->status, why->text);
}

/* The content is complete: is it to be taken, and is it to wait? What is wrong gives it up. */
static void judge(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    const struct smtp_given_up *why = NULL;
    if (hops_end(&t->hops) && for_again(t))
        why = &delivered_before;
    if (why == NULL && !t->lines.over && t->lines.cr)
        why = &no_lines;
    smtp_in_fixup_end(s);
    if (why == NULL && t->edit_failed)
        why = &cannot_edit;
    if (why == NULL && smtp_service_logs_in(s->service))
        why = smtp_in_check_from(s);
    if (why == NULL && smtp_in_count(s, &t->over_limit) != STORE_OK)
        why = &cannot_count;
    if (why != NULL && smtp_in_login_over(s))
        why = &smtp_in_login_is_over;
    if (why != NULL) {
        give_up(s, why);
        return;
    }
    if (t->over_limit)
        t->held_as = "held: over the sending limit";
    t->hold = t->hold || t->over_limit;
    for (size_t i = 0; t->hold && i < t->n; i++) {
        t->rcpt[i].hold = true;
        t->rcpt[i].reason = t->reason;
    }
}

static enum store_rc commit(struct smtp_session *s, struct queue_message *m)
{
    struct smtp_transaction *t = s->t;
    smtp_in_message_params(s, m);
    enum store_rc rc = queue_in_commit(t->in, m, t->rcpt, t->n);
    t->in = NULL;
    landed(s);
    return rc;
}

void smtp_in_end(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    char client[NETADDR_TEXT], source[SMTP_SOURCE_TEXT];
    if (t->in != NULL)
        judge(s);
    if (t->in == NULL) {
        say_given_up(s);
        s->t = NULL;
        return;
    }
    struct queue_message m = {
        .reverse_path = t->reverse_path,
        .client = str_c(netaddr_text_port(&s->peer, client)),
        .helo = smtp_in_helo(s),
        .protocol = protocol(s),
        .source = smtp_in_source(s, source),
        .account = s->login != NULL ? s->login->is.account : 0,
        .auto_submitted = t->hops.auto_submitted,
    };
    enum store_rc rc = commit(s, &m);
    if (rc == STORE_OK)
        accepted(s, &m);
    else
        not_stored(s, rc);
    if (rc == STORE_OK && t->over_limit)
        smtp_in_tell_over(s);
    s->t = NULL;
}
