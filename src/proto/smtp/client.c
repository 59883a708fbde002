/* client.c: the connection of the SMTP client engine: greeting, hello, quit, bytes in and out,
 * its end. See client.h.
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
    smtpc_fail(c, rc, status, "%s", text);
}

/* Fails with the words of the peer, as they stand in the reader. */
static void fail_by_reply(struct smtpc *c, const char *when)
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
    case AWAIT_RSET: return "in reply to RSET";
    case AWAIT_MAIL: return "in reply to MAIL FROM";
    case AWAIT_RCPT: return "in reply to RCPT TO";
    case AWAIT_DATA: return "in reply to DATA";
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
    case AWAIT_RSET: return SMTPC_RSET_MS;
    case AWAIT_MAIL: return SMTPC_MAIL_MS;
    case AWAIT_RCPT: return SMTPC_RCPT_MS;
    case AWAIT_DATA: return SMTPC_DATA_MS;
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

/* ---- greeting and hello ---- */

static void greeting(struct smtpc *c, int code)
{
    c->await = AWAIT_NONE;
    if (code / 100 != 2) { /* RFC 5321 3.1: 554, no SMTP service here */
        fail_by_reply(c, "greeting");
        return;
    }
    str_t name = smtpc_reader_text(&c->reader);
    size_t at;
    if (str_find(name, ' ', &at))
        name = str_first(name, at);
    str_toc(name, c->peer_name, sizeof c->peer_name);
}

static void say_hello(struct smtpc *c, str_t verb, enum smtpc_await await)
{
    smtpc_put(c, verb);
    smtpc_put(c, STR(" "));
    smtpc_put(c, c->config->hostname);
    smtpc_put(c, STR("\r\n"));
    c->await = await;
}

void smtpc_hello(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY);
    c->features = (struct smtpc_features){.esmtp = true};
    say_hello(c, c->config->lmtp ? STR("LHLO") : STR("EHLO"), AWAIT_EHLO);
}

/* One line of the reply to EHLO after its first: a keyword, perhaps with parameters. RFC 5321
 * 4.1.1.1 */
static void feature(struct smtpc *c, str_t line)
{
    struct smtpc_features *f = &c->features;
    str_t word = str_trim(line), param = STR_NONE;
    if (str_cut(&word, ' ', &param)) {
        str_t keyword = param;
        param = word;
        word = keyword;
    }
    if (str_ieq(word, STR("PIPELINING")))
        f->pipelining = true;
    else if (str_ieq(word, STR("8BITMIME")))
        f->body_8bit = true;
    else if (str_ieq(word, STR("SMTPUTF8")))
        f->smtputf8 = true;
    else if (str_ieq(word, STR("ENHANCEDSTATUSCODES")))
        f->enhanced = true;
    else if (str_ieq(word, STR("CHUNKING")))
        f->chunking = true;
    else if (str_ieq(word, STR("STARTTLS")))
        f->starttls = true;
    else if (str_ieq(word, STR("SIZE"))) {
        f->size = true;
        if (!str_u64(str_trim(param), UINT64_MAX,
                     &f->size_max)) /* RFC 1870 3: none, or 0: no fixed maximum */
            f->size_max = 0;
    }
}

static void hello_reply(struct smtpc *c, int code)
{
    bool ehlo = c->await == AWAIT_EHLO;
    c->await = AWAIT_NONE;
    if (code / 100 == 2)
        return;
    c->features = (struct smtpc_features){0};
    if (ehlo && code / 100 == 5 && !c->config->lmtp) /* RFC 5321 3.2: not known there: fall back */
        say_hello(c, STR("HELO"), AWAIT_HELO);
    else
        fail_by_reply(c, ehlo ? "EHLO" : "HELO");
}

void smtpc_rset(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && !c->t.content);
    smtpc_put(c, STR("RSET\r\n"));
    c->t.read.kind = AWAIT_NONE;
    c->await = AWAIT_RSET;
}

void smtpc_quit(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && !c->t.content);
    smtpc_put(c, STR("QUIT\r\n"));
    c->await = AWAIT_QUIT;
}

/* ---- input ---- */

static void reply(struct smtpc *c, int code)
{
    c->replies++;
    if (code == 421 && c->await != AWAIT_QUIT) { /* RFC 5321 3.8: at any time; the peer closes */
        smtpc_transaction_lost(c);
        fail_by_reply(c, "closed by the peer");
        return;
    }
    switch (c->await) {
    case AWAIT_NONE: fail_by_reply(c, "a reply nobody asked for"); break;
    case AWAIT_GREETING: greeting(c, code); break;
    case AWAIT_EHLO:
    case AWAIT_HELO: hello_reply(c, code); break;
    case AWAIT_RSET:
    case AWAIT_MAIL:
    case AWAIT_RCPT:
    case AWAIT_DATA:
    case AWAIT_BODY:
    case AWAIT_VOID: smtpc_transaction_reply(c, code); break;
    case AWAIT_QUIT: smtpc_fail(c, RC_OK, "", "closed"); break;
    }
}

/* An answer to what has not left yet answers nothing; but in a group the first commands are
 * answered while the last wait here. */
static bool premature(const struct smtpc *c)
{
    bool group = c->features.pipelining && c->t.outstanding > 0;
    return c->out_at < c->out.len && !group && c->await != AWAIT_NONE && c->await != AWAIT_QUIT;
}

void smtpc_feed(struct smtpc *c, str_t bytes)
{
    while (bytes.len > 0 && !c->dead) {
        if (premature(c)) {
            smtpc_fail(c, RC_TEMP, "4.5.0", "a reply came before its command");
            return;
        }
        str_t line;
        unsigned before = c->reader.complete ? 0 : c->reader.lines;
        enum smtpc_read got = smtpc_reader_next(&c->reader, &bytes, &line);
        if (got == SMTPC_READ_BAD)
            smtpc_fail(c, RC_TEMP, "4.5.0", "no valid SMTP reply %s", await_name(c));
        if ((got == SMTPC_READ_LINE || got == SMTPC_READ_REPLY) && c->await == AWAIT_EHLO &&
            before > 0)
            feature(c, line);
        if (got == SMTPC_READ_REPLY)
            reply(c, c->reader.code);
    }
}
