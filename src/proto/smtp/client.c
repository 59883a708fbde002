/* client.c: the connection of the SMTP client engine: bytes in and out, which step a reply belongs
 * to, its end. See client.h.
 *
 * One reply is awaited at a time (c->await); in a pipelined group the transaction moves it on
 * from reply to reply. A reply that nothing awaits means that the two sides no longer agree on
 * what was said: the connection is given up (RFC 2920 3.1: statuses are coordinated by
 * counting). */
#include "proto/smtp/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct smtpc *smtpc_new(const struct smtpc_config *config)
{
    struct smtpc *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->config = config;
    c->await = AWAIT_GREETING;
    smtpc_reader_init(&c->reader);
    buf_init(&c->out, SMTPC_OUTPUT_MAX);
    return c;
}

void smtpc_free(struct smtpc *c)
{
    if (c == NULL)
        return;
    arena_free(&c->t.arena);
    buf_free(&c->out);
    free(c);
}

enum smtpc_want smtpc_want(const struct smtpc *c)
{
    if (c->dead)
        return SMTPC_DEAD;
    if (c->out_at < c->out.len)
        return SMTPC_OUTPUT;
    return c->await == AWAIT_NONE ? SMTPC_READY : SMTPC_INPUT;
}

const struct err *smtpc_error(const struct smtpc *c)
{
    return &c->error;
}
uint64_t smtpc_replies(const struct smtpc *c)
{
    return c->replies;
}
const struct smtpc_features *smtpc_features(const struct smtpc *c)
{
    return &c->features;
}
str_t smtpc_peer_name(const struct smtpc *c)
{
    return str_c(c->peer_name);
}
str_t smtpc_output(const struct smtpc *c)
{
    return str_from(buf_str(&c->out), c->out_at);
}

void smtpc_sent(struct smtpc *c, size_t n)
{
    must(n <= c->out.len - c->out_at);
    c->out_at += n;
    if (c->out_at == c->out.len) {
        if (c->await == AWAIT_AUTH && n > 0)
            explicit_bzero(c->out.ptr, c->out.len); /* a password may be in it */
        buf_clear(&c->out);
        c->out_at = 0;
        if (!c->dead && c->t.write.kind != AWAIT_NONE)
            smtpc_transaction_fill(c);
    }
}

void smtpc_put(struct smtpc *c, str_t s)
{
    if (!buf_add(&c->out, s))
        smtpc_fail(c, RC_TEMP, "4.3.0", "out of memory for output");
}

void smtpc_putf(struct smtpc *c, const char *fmt, ...)
{
    enum { TEXT_MAX = 256 }; /* numbers and words of ours */
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    must(n >= 0 && n < TEXT_MAX);
    smtpc_put(c, str_of(text, (size_t)n));
}

void smtpc_fail(struct smtpc *c, enum rc rc, const char *status, const char *fmt, ...)
{
    if (c->dead)
        return;
    va_list ap;
    char text[2 * sizeof c->error.text]; /* more than fits, so that err_set does the cutting */
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->dead = true;
    (void)err_set(&c->error, rc, status, "%s", text);
}

void smtpc_abort(struct smtpc *c, enum rc rc, const char *status, const char *text)
{
    if (c->await == AWAIT_QUIT) /* it ended as we wished: that is a reason for nobody */
        c->dead = false;
    smtpc_fail(c, rc, status, "%s", text);
}

void smtpc_fail_by_reply(struct smtpc *c, const char *when)
{
    const char *status =
        c->reader.status[0] != '\0' && c->reader.code / 100 != 2 ? c->reader.status : "4.3.2";
    smtpc_fail(c, RC_TEMP, status, "%s: %d %s%s" STR_FMT, when, c->reader.code, c->reader.status,
               c->reader.status[0] != '\0' ? " " : "", STR_ARG(smtpc_reader_text(&c->reader)));
}

static const char *await_name(const struct smtpc *c)
{
    switch (c->await) {
    case AWAIT_NONE: return c->t.content ? "while sending the message" : "between commands";
    case AWAIT_GREETING: return "waiting for the greeting";
    case AWAIT_EHLO: return c->config->lmtp ? "in reply to LHLO" : "in reply to EHLO";
    case AWAIT_HELO: return "in reply to HELO";
    case AWAIT_STARTTLS: return "in reply to STARTTLS";
    case AWAIT_AUTH: return "in reply to AUTH";
    case AWAIT_RSET: return "in reply to RSET";
    case AWAIT_MAIL: return "in reply to MAIL FROM";
    case AWAIT_RCPT: return "in reply to RCPT TO";
    case AWAIT_DATA: return "in reply to DATA";
    case AWAIT_CHUNK: return "in reply to BDAT";
    case AWAIT_BODY:
    case AWAIT_VOID: return "in reply to the end of the message";
    case AWAIT_QUIT: return "in reply to QUIT";
    }
    return "";
}

static int64_t await_ms(enum smtpc_await a)
{
    switch (a) {
    case AWAIT_NONE: return SMTPC_DATA_BLOCK_MS;
    case AWAIT_GREETING: return SMTPC_GREETING_MS;
    case AWAIT_EHLO:
    case AWAIT_HELO: return SMTPC_HELLO_MS;
    case AWAIT_STARTTLS: return SMTPC_STARTTLS_MS;
    case AWAIT_AUTH: return SMTPC_AUTH_MS;
    case AWAIT_RSET: return SMTPC_RSET_MS;
    case AWAIT_MAIL: return SMTPC_MAIL_MS;
    case AWAIT_RCPT: return SMTPC_RCPT_MS;
    case AWAIT_DATA: return SMTPC_DATA_MS;
    case AWAIT_CHUNK: return SMTPC_DATA_BLOCK_MS;
    case AWAIT_BODY:
    case AWAIT_VOID: return SMTPC_DATA_END_MS;
    case AWAIT_QUIT: return SMTPC_QUIT_MS;
    }
    return SMTPC_DATA_BLOCK_MS;
}

int64_t smtpc_timeout_ms(const struct smtpc *c)
{
    if (c->await == AWAIT_QUIT)
        return SMTPC_QUIT_MS;
    return smtpc_want(c) == SMTPC_OUTPUT ? SMTPC_DATA_BLOCK_MS : await_ms(c->await);
}

void smtpc_expire(struct smtpc *c)
{
    smtpc_fail(c, RC_TEMP, "4.4.2", "timed out %s", await_name(c));
}

void smtpc_eof(struct smtpc *c)
{
    if (c->await == AWAIT_QUIT)
        smtpc_fail(c, RC_OK, "", "closed");
    smtpc_fail(c, RC_CLOSED, "4.4.2", "connection lost %s", await_name(c));
}

/* ---- leaving ---- */

void smtpc_quit(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && !c->t.content && c->tls != SMTPC_TLS_GRANTED);
    smtpc_put(c, STR("QUIT\r\n"));
    c->await = AWAIT_QUIT;
}

/* ---- input ---- */

static void reply(struct smtpc *c, int code)
{
    c->replies++;
    if (code == 421 && c->await != AWAIT_QUIT) { /* RFC 5321 3.8: at any time; the peer closes */
        c->closing = true;
        smtpc_transaction_lost(c);
        smtpc_fail_by_reply(c, "closed by the peer");
        return;
    }
    switch (c->await) {
    case AWAIT_NONE:
        if (c->t.chunks > 0)
            smtpc_chunk_reply(c, code);
        else
            smtpc_fail_by_reply(c, "a reply nobody asked for");
        break;
    case AWAIT_GREETING: smtpc_greeting(c, code); break;
    case AWAIT_EHLO:
    case AWAIT_HELO: smtpc_hello_reply(c, code); break;
    case AWAIT_STARTTLS: smtpc_starttls_reply(c, code); break;
    case AWAIT_AUTH: smtpc_auth_reply(c, code); break;
    case AWAIT_RSET:
    case AWAIT_MAIL:
    case AWAIT_RCPT:
    case AWAIT_DATA:
    case AWAIT_CHUNK:
    case AWAIT_BODY:
    case AWAIT_VOID: smtpc_transaction_reply(c, code); break;
    case AWAIT_QUIT: smtpc_fail(c, RC_OK, "", "closed"); break;
    }
}

/* An answer to what has not left yet answers nothing; but in a group the first commands are
 * answered while the last wait here. */
static bool premature(const struct smtpc *c)
{
    bool group = c->features.pipelining && (c->t.outstanding > 0 || c->t.chunks > 0);
    return c->out_at < c->out.len && !group && c->await != AWAIT_NONE && c->await != AWAIT_QUIT;
}

void smtpc_feed(struct smtpc *c, str_t bytes)
{
    while (bytes.len > 0 && !c->dead) {
        if (c->tls == SMTPC_TLS_GRANTED) { /* whoever put them there is not under TLS */
            smtpc_fail(c, RC_TEMP, "4.7.0", "bytes came behind the reply to STARTTLS, before TLS");
            return;
        }
        if (premature(c)) {
            smtpc_fail(c, RC_TEMP, "4.5.0", "a reply came before its command");
            return;
        }
        str_t line;
        c->reader.line_max = c->await == AWAIT_AUTH ? SMTPC_CHALLENGE_LINE : SMTPC_REPLY_LINE;
        unsigned before = c->reader.complete ? 0 : c->reader.lines;
        enum smtpc_read got = smtpc_reader_next(&c->reader, &bytes, &line);
        if (got == SMTPC_READ_BAD)
            smtpc_fail(c, RC_TEMP, "4.5.0", "no valid SMTP reply %s", await_name(c));
        if ((got == SMTPC_READ_LINE || got == SMTPC_READ_REPLY) && c->await == AWAIT_EHLO &&
            before > 0)
            smtpc_feature(c, line);
        if (got == SMTPC_READ_REPLY)
            reply(c, c->reader.code);
    }
}
