/* server_command.c: from lines to rows of the command table. What may be pipelined is told in
 * server.c. A command that the configuration does not offer is answered as one that was never
 * written (502), so that its absence has one face. */
#include "proto/smtp/server_internal.h"

enum command_flags {
    CMD_LAST_IN_GROUP = 1, /* RFC 2920 3.1 */
    CMD_NO_ARG = 2,        /* 501 if one is given */
    CMD_JUNK = 4,          /* does no work: counted against junk_max */
    CMD_SMTP = 8,          /* not in LMTP */
    CMD_LMTP = 16,         /* only in LMTP */
    CMD_HELLO = CMD_LAST_IN_GROUP | CMD_JUNK,
};

struct command {
    str_t verb;
    unsigned states; /* where it is legal; elsewhere 503 */
    unsigned flags;
    unsigned offer; /* the bit of the config without which it is not there; 0: always */
    enum smtps_event (*run)(struct smtps *s, str_t arg);
};

static const struct command commands[] = {
    {STR("EHLO"), ST_ANY, CMD_HELLO | CMD_SMTP, 0, smtps_cmd_ehlo}, /* 4.1.1.1, 4.1.4 */
    {STR("HELO"), ST_ANY, CMD_HELLO | CMD_SMTP, 0, smtps_cmd_helo}, /* 4.1.1.1 */
    {STR("LHLO"), ST_ANY, CMD_HELLO | CMD_LMTP, 0, smtps_cmd_ehlo}, /* RFC 2033 4.1 */
    {STR("MAIL"), ST_READY, 0, 0, smtps_cmd_mail},                  /* RFC 5321 4.1.1.2 */
    {STR("RCPT"), ST_MAIL | ST_RCPT, 0, 0, smtps_cmd_rcpt},         /* 4.1.1.3 */
    /* DATA says itself why not; BDAT must read its bytes away even where it is illegal. */
    {STR("DATA"), ST_HELLO_DONE, CMD_LAST_IN_GROUP | CMD_NO_ARG, 0, smtps_cmd_data}, /* 4.1.1.4 */
    {STR("BDAT"), ST_ANY, 0, 0, smtps_cmd_bdat},                            /* RFC 3030 2 */
    {STR("RSET"), ST_ANY, CMD_NO_ARG | CMD_JUNK, 0, smtps_cmd_rset},        /* RFC 5321 4.1.1.5 */
    {STR("NOOP"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, 0, smtps_cmd_noop}, /* 4.1.1.9 */
    {STR("VRFY"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, 0, smtps_cmd_vrfy}, /* 4.1.1.6 */
    {STR("EXPN"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, 0, smtps_cmd_expn}, /* 4.1.1.7 */
    {STR("STARTTLS"), ST_READY, CMD_LAST_IN_GROUP | CMD_NO_ARG, SMTPS_OFFER_STARTTLS,
     smtps_cmd_starttls},                                                         /* RFC 3207 4 */
    {STR("AUTH"), ST_READY, CMD_LAST_IN_GROUP, SMTPS_OFFER_AUTH, smtps_cmd_auth}, /* RFC 4954 4 */
    {STR("ETRN"), ST_READY, CMD_LAST_IN_GROUP | CMD_JUNK, SMTPS_OFFER_ETRN,
     smtps_cmd_etrn}, /* RFC 1985 5 */
    {STR("XCLIENT"), ST_START | ST_READY, CMD_LAST_IN_GROUP | CMD_JUNK, SMTPS_OFFER_XCLIENT,
     smtps_cmd_xclient},
    {STR("HELP"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, 0, smtps_cmd_help}, /* 4.1.1.8 */
    {STR("QUIT"), ST_ANY, CMD_NO_ARG, 0, smtps_cmd_quit},                   /* 4.1.1.10 */
    /* 502: RFC 5321 4.2.4 */
    {STR("TURN"), ST_ANY, CMD_LAST_IN_GROUP, 0, smtps_cmd_absent},
    {STR("SEND"), ST_ANY, 0, 0, smtps_cmd_absent}, /* appendix F.6: obsolete */
    {STR("SOML"), ST_ANY, 0, 0, smtps_cmd_absent},
    {STR("SAML"), ST_ANY, 0, 0, smtps_cmd_absent},
};

/* What a web browser says when it is made to talk to a mail server. */
static const str_t forbidden[] = {STR("GET"),  STR("POST"), STR("CONNECT"),
                                  STR("HEAD"), STR("PUT"),  STR("OPTIONS")};

static bool there(const struct smtps *s, const struct command *c)
{
    return c->run != smtps_cmd_absent && (c->offer == 0 || (s->config->offer & c->offer)) &&
           !(c->flags & (s->config->lmtp ? CMD_SMTP : CMD_LMTP));
}

static const struct command *command_find(const struct smtps *s, str_t verb)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        if (str_ieq(c->verb, verb) && !(c->flags & (s->config->lmtp ? CMD_SMTP : CMD_LMTP)))
            return c;
    }
    return NULL;
}

void smtps_command_names(const struct smtps *s, struct buf *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        /* EXPN answers always, but with 502 mostly. */
        if (!there(s, c) || (c->run == smtps_cmd_expn && !(s->config->offer & SMTPS_OFFER_VRFY)))
            continue;
        if (out->len > 0)
            buf_addc(out, ' ');
        buf_add(out, c->verb);
    }
}

static bool is_forbidden(str_t verb)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (str_ieq(verb, forbidden[i]))
            return true;
    return false;
}

/* The client's bytes are not those of SMTP: answered once, nothing of it repeated, closed. */
void smtps_not_smtp(struct smtps *s)
{
    smtps_close_with(s, 500, "5.5.2", "this is a mail server", "not smtp");
}

/* A command that is known, in its turn. */
static enum smtps_event run(struct smtps *s, const struct command *c, str_t arg)
{
    if (s->in.len > 0 && c->run != smtps_cmd_quit &&
        (!s->esmtp || (c->flags & CMD_LAST_IN_GROUP))) {
        smtps_out_of_sync(s);
    } else if (!there(s, c)) {
        return smtps_cmd_absent(s, arg);
    } else if ((c->flags & CMD_NO_ARG) && arg.len > 0) {
        smtps_fault(s, 501, "5.5.4", "this command takes no argument");
    } else if (!(s->state & c->states)) {
        smtps_fault(s, 503, "5.5.1",
                    s->state == ST_START ? "say hello first" : "not now: RSET starts over");
    } else {
        if (c->flags & CMD_JUNK)
            smtps_junk(s);
        if (c->flags & CMD_LAST_IN_GROUP)
            s->flush = true; /* RFC 2920 3.2 (5) */
        return s->closing ? SMTPS_IDLE : c->run(s, arg);
    }
    return SMTPS_IDLE;
}

enum smtps_event smtps_run_command(struct smtps *s, str_t line)
{
    str_t verb = line, arg = STR("");
    size_t blank;
    if (str_find(line, ' ', &blank)) {
        verb = str_first(line, blank);
        arg = str_trim(str_from(line, blank + 1)); /* trailing blanks: RFC 5321 4.1.1 */
    }
    const struct command *c = command_find(s, verb);
    if (c != NULL)
        return run(s, c, arg);
    if (is_forbidden(verb)) {
        smtps_not_smtp(s);
    } else {
        smtps_fault(s, 500, "5.5.2", "command not recognized");
        s->flush = true; /* RFC 2920 3.2 (6) */
    }
    return SMTPS_IDLE;
}
