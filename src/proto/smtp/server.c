/* server.c: the session: from bytes to lines.
 *
 * smtps_next is a pull loop without recursion: it consumes what was fed until there is something
 * the owner must know. Lines are slices of what was fed; only a line cut by the end of the input is
 * copied, to `line`.
 *
 * Pipelining (RFC 2920). Input that waits behind a command is harmless where that command may stand
 * inside a group. It is not where the client had to see the reply first: it did not speak to us
 * then but guesses, or somebody else's bytes are replayed through it (a web browser, a smuggled
 * second message, plaintext injected before TLS). Such a session ends with 554 5.5.0, as it does in
 * Postfix since 3.9 and Exim for 20 years, so real clients do not meet it:
 *   - any command of a client that was not offered PIPELINING (before the hello, or after HELO);
 *   - a command that can only be the last of its group (RFC 2920 3.1): EHLO, DATA, VRFY, EXPN,
 *   NOOP, and those of extensions;
 *   - anything sent before our greeting (RFC 5321 4.3.1: the client waits for it).
 * QUIT is last as well, but what follows it is never read. RSET, MAIL, RCPT, BDAT (RFC 3030 4.2)
 * and the content itself may be followed by more. Unknown commands are answered and flushed (RFC
 * 2920 3.2 (6)), no more: the client may know an extension that we do not. */
#include "proto/smtp/server_internal.h"

#include <stdlib.h>

struct smtps *smtps_new(const struct smtps_config *c, int64_t now_ms)
{
    struct smtps *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->config = c;
    s->state = ST_START;
    s->now_ms = now_ms;
    s->idle_s = c->idle_s;
    s->errors_hard = c->errors_hard;
    /* LMTP answers the data once per recipient, 512 octets each. */
    buf_init(&s->out, 4 * SMTPS_FLUSH_AT + (c->lmtp ? (size_t)c->recipients_max * 512 : 0));
    buf_init(&s->line, SMTPS_AUTH_LINE_MAX);
    smtps_transaction_init(s);
    smtps_restart_deadline(s);
    smtps_restart_session(s);
    smtps_greeting(s);
    return s;
}

void smtps_free(struct smtps *s)
{
    if (s == NULL)
        return;
    arena_free(&s->t.arena);
    smtps_auth_free(s);
    buf_free(&s->line);
    buf_free(&s->out);
    free(s->helo);
    free(s);
}

void smtps_out_of_sync(struct smtps *s)
{
    smtps_close_with(s, 554, "5.5.0", "input was sent before the reply it depends on",
                     "pipelining");
}

void smtps_feed(struct smtps *s, str_t bytes, int64_t now_ms)
{
    s->in = bytes;
    s->now_ms = now_ms;
    if (bytes.len > 0 && !s->greeted && !s->closing)
        smtps_out_of_sync(s); /* RFC 5321 4.3.1 */
    if (bytes.len > 0 && s->shaking_hands)
        smtps_finish(s, "plaintext after STARTTLS"); /* silent: there is no one to understand it */
}

/* The next command line without its line end, valid until the line buffer is freed. */
static enum line take_line(struct smtps *s, str_t *line)
{
    size_t at = 0;
    bool whole = str_find(s->in, '\n', &at);
    str_t part = whole ? str_first(s->in, at + 1) : s->in;
    s->in = str_from(s->in, part.len);
    if (s->discarded > 0 || s->line.len + part.len > smtps_auth_line_max(s, part)) {
        size_t more = part.len + (s->discarded == 0 ? s->line.len : 0);
        if (s->discarded == 0)
            s->discards_auth = smtps_auth_line_max(s, part) == SMTPS_AUTH_LINE_MAX;
        s->discarded += (uint32_t)(more <= SMTPS_DISCARD_MAX ? more : SMTPS_DISCARD_MAX + 1);
        if (s->discarded > SMTPS_DISCARD_MAX)
            return LINE_ENDLESS;
        if (whole)
            s->discarded = 0;
        return whole ? LINE_LONG : LINE_NONE;
    }
    if (s->line.len > 0 || !whole) {
        if (!buf_add(&s->line, part))
            return LINE_ENDLESS; /* out of memory */
        part = buf_str(&s->line);
    }
    if (!whole)
        return LINE_NONE;
    if (part.len < 2 || part.ptr[part.len - 2] != '\r')
        return LINE_NO_CR;
    *line = str_first(part, part.len - 2);
    return LINE_WHOLE;
}

/* A byte that starts no command and no slip of one: a TLS ClientHello, a binary protocol, "." or
 * JSON. */
static bool alien(char c)
{
    return !ascii_alpha(c) && c != '\r' && c != '\n' && c != ' ' && c != '\t';
}

/* Commands and arguments are printable; non-ASCII is for the path parser to judge (RFC 6531). */
static bool has_control(str_t line)
{
    for (size_t i = 0; i < line.len; i++)
        if (((unsigned char)line.ptr[i] < ' ' && line.ptr[i] != '\t') || line.ptr[i] == 0x7f)
            return true;
    return false;
}

static enum smtps_event command_line(struct smtps *s, enum line kind, str_t line)
{
    switch (kind) {
    case LINE_WHOLE:
        if (!has_control(line))
            return smtps_run_command(s, line);
        smtps_fault(s, 500, "5.5.2", "control characters in a command");
        break;
    case LINE_LONG: /* RFC 4954 4 has a status of its own */
        smtps_fault(s, 500, s->discards_auth ? "5.5.6" : "5.5.2", "line too long");
        break;
    case LINE_NO_CR: /* RFC 5321 2.3.8: LF alone ends no line */
        smtps_fault(s, 500, "5.5.2", "lines end with CR LF, not with LF alone");
        break;
    case LINE_NONE:
    case LINE_ENDLESS: break;
    }
    return SMTPS_IDLE;
}

static enum smtps_event next_line(struct smtps *s)
{
    str_t line = STR_NONE;
    bool secret = s->state == ST_AUTH;
    if (s->line.len == 0 && s->discarded == 0 && !secret && alien(s->in.ptr[0])) {
        smtps_not_smtp(s);
        return SMTPS_IDLE;
    }
    enum line kind = take_line(s, &line);
    if (kind == LINE_NONE)
        return SMTPS_IDLE;
    enum smtps_event ev = SMTPS_IDLE;
    if (kind == LINE_ENDLESS) {
        smtps_close_with(s, 500, "5.5.2", "line too long", "endless line");
    } else {
        if (kind == LINE_WHOLE)
            smtps_restart_deadline(s);
        ev = secret ? smtps_auth_line(s, kind, line) : command_line(s, kind, line);
    }
    if (s->line.len > 0)
        explicit_bzero(s->line.ptr, s->line.len); /* it may hold a password */
    buf_free(&s->line);                           /* what is kept of it was copied */
    return ev;
}

enum smtps_event smtps_next(struct smtps *s)
{
    must(s->await == AWAIT_NOTHING); /* every event marked (reply) was answered */
    for (;;) {
        if (s->reset_due)
            smtps_transaction_reset(s);
        if (s->auth != NULL && s->state != ST_AUTH)
            smtps_auth_free(s);
        /* a reply was lost: no further one may be taken for it */
        if (s->out.failed)
            smtps_finish(s, "out of memory");
        if (s->abort_due) {
            s->abort_due = false;
            s->reset_due = true;
            return SMTPS_ABORT;
        }
        bool in_content = s->state & (ST_DATA | ST_CHUNK);
        if (s->shutdown_why != NULL && !in_content && !s->closing) {
            smtps_close_with(s, 421, "4.3.2", "the service is shutting down", s->shutdown_why);
            continue;
        }
        if (s->closing) {
            s->in = STR_NONE;
            bool told = s->close_told;
            s->close_told = true;
            return told ? SMTPS_IDLE : SMTPS_CLOSE;
        }
        enum smtps_event ev = SMTPS_IDLE;
        if (in_content) {
            ev = smtps_content_next(s);
            if (ev == SMTPS_IDLE && s->in.len == 0 && !s->abort_due && !s->closing && !s->reset_due)
                return SMTPS_IDLE;
        } else if (s->in.len == 0) {
            return SMTPS_IDLE;
        } else if (s->out.len >= SMTPS_FLUSH_AT || (s->out.len > 0 && s->flush && !s->delayed)) {
            return SMTPS_FLUSH;
        } else {
            ev = next_line(s);
        }
        if (ev != SMTPS_IDLE)
            return ev;
    }
}

str_t smtps_rest(const struct smtps *s)
{
    return s->in;
}
