/* message.c: the content on its way into the queue, and what the final dot is answered.
 *
 * Our Received field is the first bytes of what is stored (RFC 5321 4.4); Return-Path is written at
 * final delivery, not here. 250 is said after queue_in_commit gave STORE_OK and never otherwise:
 * from then on the message is our responsibility. If the client is gone by then it will send the
 * message again, which is the lesser evil (RFC 1047). */
#include "mail/trace.h"
#include "roles/log.h"
#include "roles/mx/mx.h"

enum { RECEIVED_MAX = 2048 }; /* a name and an address of at most 255 octets, folded */

/* RFC 3848, RFC 6531 3.7.3 */
static str_t protocol(const struct mx_session *s)
{
    bool utf8 = smtps_mail_params(s->smtps)->smtputf8;
    if (s->lmtp)
        return utf8 ? STR("UTF8LMTP") : STR("LMTP");
    return utf8 ? STR("UTF8SMTP") : smtps_esmtp(s->smtps) ? STR("ESMTP") : STR("SMTP");
}

static bool write_received(struct mx_session *s)
{
    const struct mx_transaction *t = s->t;
    char id[QUEUE_ID_TEXT];
    struct trace_received r = {
        .helo = smtps_helo_name(s->smtps),
        .client = s->peer,
        .by = s->mx->settings->hostname,
        .protocol = protocol(s),
        .id = str_c(queue_id_text(queue_in_id(t->in), id)),
        /* of several, none may learn of the others */
        .recipient = t->n == 1 ? t->rcpt[0].address : STR(""),
        .wall_ms = s->mx->env->wall_ms(s->mx->env),
    };
    struct buf field;
    buf_init(&field, RECEIVED_MAX);
    bool ok =
        trace_received_write(&r, &field) && queue_in_write(t->in, buf_str(&field)) == STORE_OK;
    buf_free(&field);
    return ok;
}

void mx_on_data(struct mx_session *s)
{
    struct mx_transaction *t = s->t;
    t->in = queue_in_begin(s->mx->env);
    if (t->in == NULL || !write_received(s))
        smtps_reply(s->smtps, 451, "4.3.0", "out of memory");
    else
        smtps_reply(s->smtps, 354, "", "go on, end with <CRLF>.<CRLF>");
}

static void landed(struct mx_session *s)
{
    atomic_fetch_sub(&s->mx->in_flight, s->t->in_flight);
    s->t->in_flight = 0;
}

void mx_drop(struct mx_session *s)
{
    if (s->t != NULL && s->t->in != NULL)
        queue_in_abort(s->t->in);
    if (s->t != NULL)
        landed(s);
    s->t = NULL; /* its memory is the engine's */
}

static const struct mx_given_up too_many_hops = {
    554, "5.4.6", "too many Received fields: the message is looping", "too many Received fields"};
static const struct mx_given_up delivered_before = {
    554, "5.4.6", "the message was delivered to this address before: it is looping",
    "delivered before"};
static const struct mx_given_up no_space = {452, "4.3.1", "not enough space, try later",
                                            "no space in the store"};

static void give_up(struct mx_session *s, const struct mx_given_up *why)
{
    struct mx_transaction *t = s->t;
    queue_in_abort(t->in);
    t->in = NULL;
    t->why = why;
    landed(s);
}

/* Content under way may take an eighth of what is free, and always two messages. The queue's file
 * does not shrink: many large messages begun at once would else take the disk for good. */
static bool take_off(struct mx_session *s, size_t len)
{
    const struct store_board *board = store_board(s->mx->env->store);
    uint64_t all = atomic_fetch_add(&s->mx->in_flight, len) + len;
    s->t->in_flight += len;
    return board == NULL || all <= 2 * s->mx->settings->message_size_max ||
           all <= atomic_load(&board->free_queue_bytes) / 8;
}

static bool for_again(const struct mx_transaction *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rcpt[i].local && hops_is(&t->hops, t->rcpt[i].address))
            return true;
    return false;
}

/* RFC 5321 6.3 */
static bool loops(struct mx_session *s, str_t content)
{
    struct mx_transaction *t = s->t;
    while (t->in != NULL && hops_next(&t->hops, &content))
        if (for_again(t))
            give_up(s, &delivered_before);
    if (t->in != NULL && t->hops.count > s->mx->settings->hops_max)
        give_up(s, &too_many_hops);
    return t->in == NULL;
}

void mx_on_content(struct mx_session *s)
{
    struct mx_transaction *t = s->t;
    if (t->in == NULL || loops(s, smtps_content(s->smtps)))
        return; /* answered at the end */
    /* Who said no SIZE, and who was let in with MAIL together with many others, must not use up
     * what deliveries need. */
    if (!take_off(s, smtps_content(s->smtps).len) ||
        !mx_space_for(s->mx, queue_in_size(t->in), s->mx->settings->reserve_bytes / 2)) {
        give_up(s, &no_space);
        return;
    }
    enum store_rc rc = queue_in_write(t->in, smtps_content(s->smtps));
    (void)rc; /* sticks in the queue_in: the commit says it */
}

static void reply_all(struct mx_session *s, int code, const char *status, const char *text)
{
    size_t n = s->lmtp ? smtps_recipients(s->smtps) : 1; /* RFC 2033 4.2 */
    while (n-- > 0)
        smtps_reply(s->smtps, code, status, "%s", text);
}

static void accepted(struct mx_session *s, const struct queue_message *m)
{
    char id[QUEUE_ID_TEXT], number[MX_SESSION_TEXT], text[64] = "queued as ";
    queue_id_text(m->id, id);
    memcpy(text + strlen(text), id, sizeof id);
    reply_all(s, 250, "2.0.0", text);
    log_event("mx", str_c(id), "accept", log_cstr("session", mx_session_text(s, number)),
              log_str("client", m->client), log_str("helo", m->helo), log_str("proto", m->protocol),
              log_str("from", m->reverse_path), log_u64("nrcpt", s->t->n), log_u64("size", m->size),
              log_end);
}

static void not_stored(struct mx_session *s, enum store_rc rc)
{
    if (rc == STORE_FULL) {
        mx_log_reject(s, "defer", 452, STR(""), "no space in the store");
        reply_all(s, 452, "4.3.1", "not enough space, try later");
    } else if (rc == STORE_STOPPED) {
        mx_log_reject(s, "defer", 451, STR(""), "the store takes no writes");
        reply_all(s, 451, "4.3.5", "the store takes no writes now, try later");
    } else { /* also when the outcome is unknown: it may come twice then, but it is not lost */
        mx_log_reject(s, "defer", 451, STR(""), store_rc_name(rc));
        reply_all(s, 451, "4.3.0", "cannot store the message now, try later");
    }
}

void mx_on_end(struct mx_session *s)
{
    struct mx_transaction *t = s->t;
    char client[NETADDR_TEXT];
    if (t->in != NULL && hops_end(&t->hops) && for_again(t))
        give_up(s, &delivered_before);
    if (t->in == NULL) {
        mx_log_reject(s, t->why->code < 500 ? "defer" : "reject", t->why->code, STR(""),
                      t->why->log);
        reply_all(s, t->why->code, t->why->status, t->why->text);
        s->t = NULL;
        return;
    }
    const struct smtps_mail_params *p = smtps_mail_params(s->smtps);
    struct queue_message m = {
        .body_8bit = p->body_8bit,
        .smtputf8 = p->smtputf8,
        .reverse_path = t->reverse_path,
        .client = str_c(netaddr_text_port(&s->peer, client)),
        .helo = smtps_helo_name(s->smtps),
        .protocol = protocol(s),
    };
    enum store_rc rc = queue_in_commit(t->in, &m, t->rcpt, t->n);
    t->in = NULL;
    landed(s);
    if (rc == STORE_OK)
        accepted(s, &m);
    else
        not_stored(s, rc);
    s->t = NULL;
}
