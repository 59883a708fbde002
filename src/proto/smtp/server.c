/* server.c: the session: from bytes to command lines, from lines to rows of the command table.
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
    enum smtps_event (*run)(struct smtps *s, str_t arg);
};

static const struct command commands[] = {
    {STR("MAIL"), ST_READY, 0, smtps_cmd_mail},          /* RFC 5321 4.1.1.2 */
    {STR("RCPT"), ST_MAIL | ST_RCPT, 0, smtps_cmd_rcpt}, /* 4.1.1.3 */
    /* DATA says itself why not; BDAT must read its bytes away even where it is illegal. */
    {STR("DATA"), ST_HELLO_DONE, CMD_LAST_IN_GROUP | CMD_NO_ARG, smtps_cmd_data}, /* 4.1.1.4 */
    {STR("BDAT"), ST_ANY, 0, smtps_cmd_bdat},                                     /* RFC 3030 2 */
    {STR("RSET"), ST_ANY, CMD_NO_ARG | CMD_JUNK, smtps_cmd_rset},        /* RFC 5321 4.1.1.5 */
    {STR("EHLO"), ST_ANY, CMD_HELLO | CMD_SMTP, smtps_cmd_ehlo},         /* 4.1.1.1, 4.1.4 */
    {STR("HELO"), ST_ANY, CMD_HELLO | CMD_SMTP, smtps_cmd_helo},         /* 4.1.1.1 */
    {STR("LHLO"), ST_ANY, CMD_HELLO | CMD_LMTP, smtps_cmd_ehlo},         /* RFC 2033 4.1 */
    {STR("NOOP"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, smtps_cmd_noop}, /* RFC 5321 4.1.1.9 */
    {STR("VRFY"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, smtps_cmd_vrfy}, /* 4.1.1.6 */
    {STR("EXPN"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, smtps_cmd_expn}, /* 4.1.1.7 */
    {STR("HELP"), ST_ANY, CMD_LAST_IN_GROUP | CMD_JUNK, smtps_cmd_help}, /* 4.1.1.8 */
    {STR("QUIT"), ST_ANY, CMD_NO_ARG, smtps_cmd_quit},                   /* 4.1.1.10 */
    {STR("STARTTLS"), ST_ANY, CMD_LAST_IN_GROUP, smtps_cmd_absent},      /* 502, RFC 5321 4.2.4 */
    {STR("AUTH"), ST_ANY, CMD_LAST_IN_GROUP, smtps_cmd_absent},
    {STR("ETRN"), ST_ANY, CMD_LAST_IN_GROUP, smtps_cmd_absent},
    {STR("TURN"), ST_ANY, CMD_LAST_IN_GROUP, smtps_cmd_absent},
    {STR("SEND"), ST_ANY, 0, smtps_cmd_absent}, /* appendix F.6: obsolete */
    {STR("SOML"), ST_ANY, 0, smtps_cmd_absent},
    {STR("SAML"), ST_ANY, 0, smtps_cmd_absent},
};

/* What a web browser says when it is made to talk to a mail server. */
static const str_t forbidden[] = {STR("GET"),  STR("POST"), STR("CONNECT"),
                                  STR("HEAD"), STR("PUT"),  STR("OPTIONS")};

enum line { LINE_NONE, LINE_WHOLE, LINE_LONG, LINE_NO_CR, LINE_ENDLESS };

struct smtps *smtps_new(const struct smtps_config *c, int64_t now_ms)
{
    struct smtps *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->config = c;
    s->state = ST_START;
    s->now_ms = now_ms;
    /* LMTP answers the data once per recipient, 512 octets each. */
    buf_init(&s->out, 4 * SMTPS_FLUSH_AT + (c->lmtp ? (size_t)c->recipients_max * 512 : 0));
    buf_init(&s->line, SMTPS_COMMAND_MAX);
    smtps_transaction_init(s);
    smtps_restart_deadline(s);
    smtps_greeting(s);
    return s;
}

void smtps_free(struct smtps *s)
{
    if (s == NULL)
        return;
    arena_free(&s->t.arena);
    buf_free(&s->line);
    buf_free(&s->out);
    free(s->helo);
    free(s);
}

static void out_of_sync(struct smtps *s)
{
    smtps_say(s, 554, "5.5.0", "input was sent before the reply it depends on");
    smtps_finish(s, "pipelining");
}

void smtps_feed(struct smtps *s, str_t bytes, int64_t now_ms)
{
    s->in = bytes;
    s->now_ms = now_ms;
    if (bytes.len > 0 && !s->greeted && !s->closing)
        out_of_sync(s); /* RFC 5321 4.3.1 */
    if (s->state & (ST_DATA | ST_CHUNK)) {
        /* A byte of content buys its time at the slowest rate that is let go on, but not more than
         * idle_s ahead. */
        uint32_t floor_bps = s->config->data_floor_bps ? s->config->data_floor_bps : 1;
        int64_t bought = s->deadline_ms + (int64_t)(bytes.len * 1000 / floor_bps);
        int64_t most = now_ms + (int64_t)s->config->idle_s * 1000;
        s->deadline_ms = bought < most ? bought : most;
    }
}

/* The next command line without its line end, valid until the line buffer is freed. */
static enum line take_line(struct smtps *s, str_t *line)
{
    size_t at = 0;
    bool whole = str_find(s->in, '\n', &at);
    str_t part = whole ? str_first(s->in, at + 1) : s->in;
    s->in = str_from(s->in, part.len);
    if (s->discarded > 0 || s->line.len + part.len > SMTPS_COMMAND_MAX) {
        size_t more = part.len + (s->discarded == 0 ? s->line.len : 0);
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

static const struct command *command_find(const struct smtps *s, str_t verb)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        if (str_ieq(c->verb, verb) && !(c->flags & (s->config->lmtp ? CMD_SMTP : CMD_LMTP)))
            return c;
    }
    return NULL;
}

static bool is_forbidden(str_t verb)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (str_ieq(verb, forbidden[i]))
            return true;
    return false;
}

/* The client's bytes are not those of SMTP: answered once, nothing of it repeated, closed. */
static void not_smtp(struct smtps *s)
{
    smtps_say(s, 500, "5.5.2", "this is a mail server");
    smtps_finish(s, "not smtp");
}

static enum smtps_event run_command(struct smtps *s, str_t line)
{
    str_t verb = line, arg = STR("");
    size_t blank;
    if (str_find(line, ' ', &blank)) {
        verb = str_first(line, blank);
        arg = str_trim(str_from(line, blank + 1)); /* trailing blanks: RFC 5321 4.1.1 */
    }
    const struct command *c = command_find(s, verb);
    if (c == NULL && is_forbidden(verb)) {
        not_smtp(s);
    } else if (c == NULL) {
        smtps_fault(s, 500, "5.5.2", "command not recognized");
        s->flush = true; /* RFC 2920 3.2 (6) */
    } else if (s->in.len > 0 && c->run != smtps_cmd_quit &&
               (!s->esmtp || (c->flags & CMD_LAST_IN_GROUP))) {
        out_of_sync(s);
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

static enum smtps_event next_line(struct smtps *s)
{
    str_t line = STR_NONE;
    if (s->line.len == 0 && s->discarded == 0 && alien(s->in.ptr[0])) {
        not_smtp(s);
        return SMTPS_IDLE;
    }
    enum smtps_event ev = SMTPS_IDLE;
    switch (take_line(s, &line)) {
    case LINE_NONE: return SMTPS_IDLE;
    case LINE_WHOLE:
        smtps_restart_deadline(s);
        if (has_control(line))
            smtps_fault(s, 500, "5.5.2", "control characters in a command");
        else
            ev = run_command(s, line);
        break;
    case LINE_LONG: smtps_fault(s, 500, "5.5.2", "line too long"); break;
    case LINE_NO_CR: /* RFC 5321 2.3.8: LF alone ends no line */
        smtps_fault(s, 500, "5.5.2", "lines end with CR LF, not with LF alone");
        break;
    case LINE_ENDLESS:
        smtps_say(s, 500, "5.5.2", "line too long");
        smtps_finish(s, "endless line");
        break;
    }
    buf_free(&s->line); /* what is kept of it was copied */
    return ev;
}

enum smtps_event smtps_next(struct smtps *s)
{
    must(s->await == AWAIT_NOTHING); /* every event marked (reply) was answered */
    for (;;) {
        if (s->reset_due)
            smtps_transaction_reset(s);
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
            smtps_say(s, 421, "4.3.2", "the service is shutting down");
            smtps_finish(s, s->shutdown_why);
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
    return &s->t.params;
}
const struct smtp_path *smtps_recipient(const struct smtps *s)
{
    return s->t.recipient;
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
