/* server_reply.c: everything that is said, and what it counts for.
 *
 * A reply is one line of at most 512 octets (RFC 5321 4.5.3.1.5). What the client sent is never
 * repeated in it. Each 5xx counts as an error: over errors_soft the output is held for a second
 * (the owner asks smtps_delay_ms), at errors_hard the session ends. An accepted message clears the
 * count, so that a list with old addresses is not mistaken for an attack. */
#include "proto/smtp/server_internal.h"

#include <stdio.h>

enum { REPLY_LINE_MAX = 512 };

static void clean(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' ||
            (unsigned char)*p >= 0x7f) /* non-ASCII: only to who asked, RFC 6531 3.7.4 */
            *p = '?';
}

void smtps_say(struct smtps *s, int code, const char *status, const char *text)
{
    char line[REPLY_LINE_MAX + 1];
    if (s->shaking_hands)
        return; /* what is not encrypted would not be understood */
    must(code >= 200 && code <= 599 && (status[0] == '\0' || status[0] - '0' == code / 100));
    int n = snprintf(line, sizeof line - 2, "%03d %s%s%s", code, status, *status ? " " : "", text);
    must(n > 0);
    clean(line);
    buf_add(&s->out, str_c(line));
    buf_add(&s->out, STR("\r\n"));
}

static void count_error(struct smtps *s)
{
    s->errors_all++;
    if (++s->errors > s->config->errors_soft)
        s->delayed = true;
    if (s->errors >= s->errors_hard && !s->closing && s->await == AWAIT_NOTHING) {
        smtps_close_with(s, 421, "4.7.0", "too many errors", "too many errors");
    }
}

void smtps_fault(struct smtps *s, int code, const char *status, const char *text)
{
    smtps_say(s, code, status, text);
    count_error(s);
}

/* Past junk_max every further idle command is an error; the commands themselves are still
 * answered. */
void smtps_junk(struct smtps *s)
{
    if (++s->junk > s->config->junk_max)
        count_error(s);
}

void smtps_close_with(struct smtps *s, int code, const char *status, const char *text,
                      const char *why)
{
    smtps_say(s, code, status, text);
    smtps_finish(s, why);
}

void smtps_finish(struct smtps *s, const char *why)
{
    if (s->closing)
        return;
    s->closing = true;
    smtps_transaction_abort(s, why);
    s->why = why;
    buf_free(&s->line);
}

/* Tells the part that asked. */
static void answered(struct smtps *s, enum smtps_await asked, int code)
{
    switch (asked) {
    case AWAIT_MAIL: smtps_mail_answered(s, code); break;
    case AWAIT_RCPT: smtps_rcpt_answered(s, code); break;
    case AWAIT_DATA: smtps_data_answered(s, code); break;
    case AWAIT_END: smtps_end_answered(s, code); break;
    case AWAIT_XCLIENT:
    case AWAIT_SIMPLE: s->reset_due |= !s->t.open; break; /* the argument goes */
    case AWAIT_AUTH:                                      /* after the error was counted */
    case AWAIT_BDAT:
    case AWAIT_NOTHING: break;
    }
}

void smtps_reply(struct smtps *s, int code, const char *status, const char *fmt, ...)
{
    char text[REPLY_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    enum smtps_await asked = s->await;
    must(asked != AWAIT_NOTHING);
    s->await = AWAIT_NOTHING;
    if (asked == AWAIT_BDAT) {
        smtps_bdat_answered(s, code, status, text); /* nothing is said before the chunk was read */
        return;
    }
    if (asked == AWAIT_XCLIENT && code == 220) {
        smtps_xclient_accepted(s); /* says the greeting */
        return;
    }
    smtps_say(s, code, status, text);
    answered(s, asked, code);
    if (code >= 500)
        count_error(s);
    if (asked == AWAIT_AUTH)
        smtps_auth_answered(s, code);
    if (code == 421 && s->await == AWAIT_NOTHING)
        smtps_finish(s, "refused");
}

void smtps_restart_deadline(struct smtps *s)
{
    s->deadline_ms = s->now_ms + (int64_t)s->idle_s * 1000;
}

void smtps_restart_session(struct smtps *s)
{
    uint32_t seconds = s->config->session_s;
    s->session_ms = seconds > 0 ? s->now_ms + (int64_t)seconds * 1000 : INT64_MAX;
}

void smtps_content_begins(struct smtps *s)
{
    smtps_restart_deadline(s);
    if (s->session_ms < s->deadline_ms)
        s->session_ms = s->deadline_ms;
}

/* `due` moved on by ms, but not further than patience_s ahead. */
static int64_t later(const struct smtps *s, int64_t due, int64_t ms, uint32_t patience_s)
{
    int64_t most = s->now_ms + (int64_t)patience_s * 1000;
    return due < most - ms ? due + ms : most;
}

/* A byte of content buys its time at the slowest rate that is let go on. */
void smtps_buy_time(struct smtps *s, size_t content_bytes)
{
    uint32_t floor_bps = s->config->data_floor_bps ? s->config->data_floor_bps : 1;
    int64_t ms = (int64_t)(content_bytes * 1000 / floor_bps);
    s->deadline_ms = later(s, s->deadline_ms, ms, s->idle_s);
    if (s->session_ms != INT64_MAX)
        s->session_ms = later(s, s->session_ms, ms, s->config->session_s);
}

int64_t smtps_deadline_ms(const struct smtps *s)
{
    return s->session_ms < s->deadline_ms ? s->session_ms : s->deadline_ms;
}

void smtps_expire(struct smtps *s, int64_t now_ms)
{
    bool idle = s->deadline_ms <= s->session_ms;
    s->now_ms = now_ms;
    if (s->closing)
        return;
    smtps_close_with(s, 421, "4.4.2", idle ? "timeout" : "connected for too long without mail",
                     idle ? "timeout" : "no mail for too long");
}

void smtps_eof(struct smtps *s)
{
    smtps_finish(s, "client gone");
}

void smtps_shutdown(struct smtps *s, const char *why)
{
    s->shutdown_why = why;
}

str_t smtps_output(const struct smtps *s)
{
    return buf_str(&s->out);
}

void smtps_sent(struct smtps *s, size_t n)
{
    buf_consume(&s->out, n);
    if (s->out.len > 0)
        return;
    buf_free(&s->out); /* an idle session holds no buffer */
    s->greeted = true;
    s->flush = s->delayed = false;
}

int64_t smtps_delay_ms(const struct smtps *s)
{
    return s->delayed && s->out.len > 0 ? SMTPS_TARPIT_MS : 0;
}
