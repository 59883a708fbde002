/* server_get.c: what the owner asks and sets. */
#include "proto/smtp/server_internal.h"

str_t smtps_helo_name(const struct smtps *s)
{
    return str_c(s->helo);
}
bool smtps_esmtp(const struct smtps *s)
{
    return s->esmtp;
}
bool smtps_closing(const struct smtps *s)
{
    return s->closing;
}
const struct smtp_path *smtps_sender(const struct smtps *s)
{
    return s->t.sender;
}
const struct smtps_mail_params *smtps_mail_params(const struct smtps *s)
{
    static const struct smtps_mail_params none;
    return s->t.params != NULL ? s->t.params : &none;
}
const struct smtp_path *smtps_recipient(const struct smtps *s)
{
    return s->t.recipient;
}
const struct smtps_rcpt_params *smtps_rcpt_params(const struct smtps *s)
{
    static const struct smtps_rcpt_params none = {.orcpt = STR("")};
    return s->t.rcpt_params != NULL ? s->t.rcpt_params : &none;
}
size_t smtps_recipients(const struct smtps *s)
{
    return s->t.recipients;
}
str_t smtps_content(const struct smtps *s)
{
    return s->content;
}
struct arena *smtps_transaction_arena(struct smtps *s)
{
    return &s->t.arena;
}
const char *smtps_why(const struct smtps *s)
{
    return s->why;
}
uint32_t smtps_messages(const struct smtps *s)
{
    return s->messages;
}
uint32_t smtps_errors(const struct smtps *s)
{
    return s->errors_all;
}
bool smtps_tls(const struct smtps *s)
{
    return s->tls;
}
void smtps_set_mechs(struct smtps *s, str_t mechs)
{
    s->mechs = mechs;
}
bool smtps_authenticated(const struct smtps *s)
{
    return s->authenticated;
}
void smtps_allow_xclient(struct smtps *s)
{
    s->xclient_allowed = true;
}
const struct smtps_xclient *smtps_xclient(const struct smtps *s)
{
    static const struct smtps_xclient none;
    return s->t.xclient != NULL ? s->t.xclient : &none;
}
str_t smtps_argument(const struct smtps *s)
{
    return s->t.argument;
}
bool smtps_is_expn(const struct smtps *s)
{
    return s->is_expn;
}
void smtps_set_wall_clock(struct smtps *s, int64_t wall_minus_now_ms)
{
    s->wall_minus_now_ms = wall_minus_now_ms;
    s->has_wall = true;
}
int64_t smtps_wall_ms(const struct smtps *s)
{
    return s->now_ms + s->wall_minus_now_ms;
}

void smtps_hurry(struct smtps *s, uint32_t idle_s, uint32_t errors_hard)
{
    int64_t latest = s->now_ms + (int64_t)idle_s * 1000;
    s->idle_s = idle_s;
    s->errors_hard = errors_hard;
    if (s->deadline_ms > latest)
        s->deadline_ms = latest;
}
