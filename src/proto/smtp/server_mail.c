/* server_mail.c: MAIL and RCPT with their parameters (RFC 5321 4.1.1.2, 4.1.1.3, 4.1.1.11), and the
 * one transaction.
 *
 * The paths live in the transaction's arena, which takes no memory outside a transaction. */
#include "proto/smtp/server_internal.h"

void smtps_transaction_init(struct smtps *s)
{
    arena_init(&s->t.arena, SMTPS_TRANSACTION_MAX);
}

void smtps_transaction_reset(struct smtps *s)
{
    arena_free(&s->t.arena); /* not arena_reset: an idle session holds no block */
    s->t = (struct transaction){0};
    smtps_transaction_init(s);
    s->reset_due = false;
}

void smtps_transaction_abort(struct smtps *s, const char *why)
{
    if (s->state != ST_START)
        s->state = ST_READY;
    s->chunk_left = 0;
    if (s->t.open && !s->abort_due) {
        s->abort_due = true;
        s->why = why;
    }
    s->t.open = false;
    if (!s->abort_due)
        s->reset_due = true;
}

bool smtps_keep_argument(struct smtps *s, str_t arg)
{
    s->t.argument = arena_dup(&s->t.arena, arg);
    if (s->t.argument.ptr == NULL)
        smtps_say(s, 452, "4.3.0", "out of memory");
    return s->t.argument.ptr != NULL;
}

bool smtps_auth_lacking(struct smtps *s)
{
    bool lacking = s->config->auth_needed && !s->authenticated;
    if (lacking && s->mechs.len == 0 && !s->tls && (s->config->offer & SMTPS_OFFER_STARTTLS))
        smtps_fault(s, 530, "5.7.0", "say STARTTLS first, then AUTH");
    else if (lacking)
        smtps_fault(s, 530, "5.7.0", "authentication required");
    return lacking;
}

/* Reads `FROM:<…>` or `TO:<…>`; blanks after the colon are forgiven (old Outlooks). Answers if it
 * is wrong. */
static bool take_path(struct smtps *s, str_t *arg, str_t prefix, const char *status,
                      struct smtp_path *out)
{
    if (!str_istarts(*arg, prefix)) {
        smtps_fault(s, 501, "5.5.4", "the syntax is MAIL FROM:<address> and RCPT TO:<address>");
        return false;
    }
    str_t rest = str_trim(str_from(*arg, prefix.len));
    enum smtp_path_result r = smtp_path_parse(&rest, &s->t.arena, out);
    *arg = rest;
    switch (r) {
    case SMTP_PATH_OK:
        if (rest.len == 0 || rest.ptr[0] == ' ')
            return true;
        break;
    case SMTP_PATH_LOCAL_LONG:
    case SMTP_PATH_DOMAIN_LONG:
    case SMTP_PATH_LONG: /* RFC 5321 4.5.3.1: 501 path too long */
        smtps_fault(s, 501, status, "address too long");
        return false;
    case SMTP_PATH_SYNTAX:
        if (s->t.arena.failed) {
            smtps_say(s, 452, "4.5.3", "no memory for more recipients");
            return false;
        }
        break;
    }
    smtps_fault(s, 501, status, "bad address syntax");
    return false;
}

/* RFC 6531 3.5 */
static bool utf8_refused(struct smtps *s, const struct smtp_path *p)
{
    bool refused = p->utf8 && !s->t.params->smtputf8;
    if (refused)
        smtps_fault(s, 553, "5.6.7", "a non-ASCII address needs SMTPUTF8");
    return refused;
}

enum smtps_event smtps_cmd_mail(struct smtps *s, str_t arg)
{
    if (s->messages >= s->config->messages_max) {
        smtps_close_with(s, 421, "4.7.0", "enough messages for one connection",
                         "too many messages");
        return SMTPS_IDLE;
    }
    if (smtps_auth_lacking(s))
        return SMTPS_IDLE;
    s->reset_due = true; /* unless it is accepted */
    struct smtp_path *path = arena_alloc(&s->t.arena, sizeof *path);
    s->t.params = arena_alloc(&s->t.arena, sizeof *s->t.params);
    if (path == NULL || s->t.params == NULL) {
        smtps_say(s, 451, "4.3.0", "out of memory");
        return SMTPS_IDLE;
    }
    if (!take_path(s, &arg, STR("FROM:"), "5.1.7", path) || !smtps_take_mail_params(s, arg))
        return SMTPS_IDLE;
    if (!path->null && path->kind == SMTP_DOMAIN_NONE) { /* <postmaster> is a recipient only */
        smtps_fault(s, 501, "5.1.7", "the sender's address lacks a domain");
        return SMTPS_IDLE;
    }
    if (utf8_refused(s, path))
        return SMTPS_IDLE;
    s->t.sender = path;
    s->reset_due = false;
    s->await = AWAIT_MAIL;
    return SMTPS_MAIL;
}

void smtps_mail_answered(struct smtps *s, int code)
{
    if (code < 300) {
        s->t.open = true;
        s->state = ST_MAIL;
    } else {
        s->reset_due = true;
    }
}

enum smtps_event smtps_cmd_rcpt(struct smtps *s, str_t arg)
{
    if (s->t.recipients >=
        s->config->recipients_max) { /* RFC 5321 4.5.3.1.10: 452, no error of the client */
        smtps_say(s, 452, "4.5.3", "too many recipients");
        return SMTPS_IDLE;
    }
    s->t.refused++; /* unless it is accepted */
    struct smtp_path *path = arena_alloc(&s->t.arena, sizeof *path);
    if (path == NULL) {
        smtps_say(s, 452, "4.5.3", "no memory for more recipients");
        return SMTPS_IDLE;
    }
    if (!take_path(s, &arg, STR("TO:"), "5.1.3", path))
        return SMTPS_IDLE;
    if (path->null) {
        smtps_fault(s, 501, "5.1.3", "the recipient is empty");
        return SMTPS_IDLE;
    }
    if (!smtps_take_rcpt_params(s, arg) || utf8_refused(s, path))
        return SMTPS_IDLE;
    s->t.recipient = path;
    s->await = AWAIT_RCPT;
    return SMTPS_RCPT;
}

void smtps_rcpt_answered(struct smtps *s, int code)
{
    s->t.recipient = NULL;
    if (code >= 300)
        return;
    s->t.refused--;
    s->t.recipients++;
    s->state = ST_RCPT;
}
