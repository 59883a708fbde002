/* server_misc.c: the commands that carry no mail: RSET NOOP VRFY EXPN HELP QUIT. */
#include "proto/smtp/server_internal.h"

enum smtps_event smtps_cmd_rset(struct smtps *s, str_t arg)
{
    (void)arg;
    smtps_say(s, 250, "2.0.0", "forgotten");
    smtps_transaction_abort(s, "reset");
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_noop(struct smtps *s, str_t arg)
{
    (void)arg; /* 4.1.1.9: ignored */
    smtps_say(s, 250, "2.0.0", "ok");
    return SMTPS_IDLE;
}

/* Who has a mailbox here is told by RCPT alone, where it costs a sender something to ask (RFC 5321
 * 7.3 allows 252). */
enum smtps_event smtps_cmd_vrfy(struct smtps *s, str_t arg)
{
    if (arg.len == 0)
        smtps_fault(s, 501, "5.5.4", "VRFY needs an address");
    else
        smtps_say(s, 252, "2.5.1", "not told; send mail and see"); /* 3.5.3 */
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_expn(struct smtps *s, str_t arg)
{
    (void)arg;
    smtps_fault(s, 502, "5.5.1", "lists are not told"); /* 3.5.2, 7.3 */
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_help(struct smtps *s, str_t arg)
{
    (void)arg;
    smtps_say(s, 214, "2.0.0",
              s->config->lmtp ? "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"
                              : "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_quit(struct smtps *s, str_t arg)
{
    (void)arg;
    smtps_say(s, 221, "2.0.0", "goodbye");
    smtps_finish(s, "quit");
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_absent(struct smtps *s, str_t arg)
{
    (void)arg;
    smtps_fault(s, 502, "5.5.1", "command not implemented");
    return SMTPS_IDLE;
}
