/* server_misc.c: the commands that carry no mail: RSET NOOP VRFY EXPN ETRN HELP QUIT. */
#include "base/utf8.h"
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
 * 7.3 allows 252), unless the owner wants to answer. */
static enum smtps_event ask_owner(struct smtps *s, str_t arg, bool is_expn)
{
    str_t utf8 = STR(" SMTPUTF8"); /* RFC 6531 3.7.4.2: the answer is in ASCII anyhow */
    if (arg.len > utf8.len && str_ieq(str_from(arg, arg.len - utf8.len), utf8))
        arg = str_trim(str_first(arg, arg.len - utf8.len));
    if (smtps_auth_lacking(s) || !smtps_keep_argument(s, arg))
        return SMTPS_IDLE;
    s->is_expn = is_expn;
    s->await = AWAIT_SIMPLE;
    return SMTPS_VRFY;
}

enum smtps_event smtps_cmd_vrfy(struct smtps *s, str_t arg)
{
    if (arg.len == 0)
        smtps_fault(s, 501, "5.5.4", "VRFY needs an address");
    else if (s->config->offer & SMTPS_OFFER_VRFY)
        return ask_owner(s, arg, false);
    else
        smtps_say(s, 252, "2.5.1", "not told; send mail and see"); /* 3.5.3 */
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_expn(struct smtps *s, str_t arg)
{
    if (!(s->config->offer & SMTPS_OFFER_VRFY))
        smtps_fault(s, 502, "5.5.1", "lists are not told"); /* 3.5.2, 7.3 */
    else if (arg.len == 0)
        smtps_fault(s, 501, "5.5.4", "EXPN needs a list");
    else
        return ask_owner(s, arg, true);
    return SMTPS_IDLE;
}

/* RFC 1985 5: "@domain" and "#queue" are names as well; what they mean is the owner's. */
enum smtps_event smtps_cmd_etrn(struct smtps *s, str_t arg)
{
    size_t blank;
    if (!s->esmtp) {
        smtps_fault(s, 503, "5.5.1", "say EHLO first");
    } else if (arg.len == 0 || str_find(arg, ' ', &blank) || !str_ascii(arg)) {
        smtps_fault(s, 501, "5.5.4", "ETRN needs one name");
    } else if (!smtps_auth_lacking(s) && smtps_keep_argument(s, arg)) {
        s->await = AWAIT_SIMPLE;
        return SMTPS_ETRN;
    }
    return SMTPS_IDLE;
}

enum smtps_event smtps_cmd_help(struct smtps *s, str_t arg)
{
    (void)arg;
    struct buf names;
    char end = '\0';
    buf_init(&names, SMTPS_COMMAND_MAX);
    smtps_command_names(s, &names);
    buf_add(&names, str_of(&end, 1));
    smtps_say(s, 214, "2.0.0", names.failed ? "" : names.ptr);
    buf_free(&names);
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
