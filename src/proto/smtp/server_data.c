/* server_data.c: the content: DATA (RFC 5321 4.1.1.4, 4.5.2) and BDAT (RFC 3030).
 *
 * The scanner goes from line to line with memchr and gives the owner slices of what was fed. Where
 * it stands between two feeds:
 *
 *              CR                LF
 *     MID ───────────▶ CR ──────────────▶ LINE ── '.' ──▶ DOT ── CR ──▶ DOT_CR ── LF ──▶ end
 *      ▲  other: bare  │                    │              │               │
 *      └───────────────┴────── other ───────┴──────────────┴── other: bare ┘
 *
 * A dot at the start of a line is cut out (4.5.2); it and a CR behind it are held back, which costs
 * nothing: if they turn out to be no end of data, either the dot was stuffing, or the CR is bare
 * and the message is refused anyway.
 *
 * What makes content bad: a CR without LF, a LF without CR, a NUL (RFC 5321 2.3.8, 4.1.1.4; SMTP
 * smuggling lives on servers that forgive them), a line over SMTPS_TEXT_LINE_MAX, more than
 * size_max. From then on nothing is given to the owner, and reading goes on to the true end, where
 * the verdict is said: the client is never out of step with us about where its message ends. Only
 * content that is sent on long past size_max (config.excess_max) ends the session where it stands,
 * with the verdict and a 421 (RFC 5321 3.8, 7.8): whoever still reads is told that it is of no use.
 *
 * Under BODY=BINARYMIME (RFC 3030 3; only BDAT then) any byte is content and nothing is looked at.
 *
 * A refused chunk (BDAT) is read away too (RFC 3030 2), and the transaction stays refused until
 * BDAT LAST or RSET, so that each pipelined chunk gets its reply, and in LMTP the last one gets one
 * for each recipient (RFC 2033 4.3). A chunk whose declared size is more than would be read away is
 * answered, and ends the session, at once. */
#include "proto/smtp/server_internal.h"

#include <stdio.h>

static const struct verdict bad_bytes = {3, 554, "5.6.0", "bare CR, bare LF or NUL in the message",
                                         "bad bytes"};
static const struct verdict long_line = {2, 554, "5.6.0", "a line of the message is too long",
                                         "line too long"};
/* RFC 1870 6.3 */
static const struct verdict too_big = {1, 552, "5.3.4", "message too big", "too big"};
static const struct verdict too_many_chunks = {1, 554, "5.6.0", "too many chunks",
                                               "too many chunks"};
static const struct verdict no_memory = {4, 451, "4.3.0", "out of memory", "out of memory"};

static void refuse(struct transaction *t, const struct verdict *v)
{
    if (t->verdict == NULL || t->verdict->rank < v->rank)
        t->verdict = v;
}

/* Goes over the rest of a line, from p to its LF or to the end. */
static const char *scan_line(struct transaction *t, const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *stop = lf != NULL ? lf + 1 : end;
    /* The one CR that may be here is the last byte before the LF, or the last there is. */
    const char *tail = lf != NULL ? lf : end;
    bool cr = tail > p && tail[-1] == '\r';
    if (t->verdict != &bad_bytes && memchr(p, '\r', (size_t)(tail - p) - (cr ? 1 : 0)) != NULL)
        refuse(t, &bad_bytes);
    t->line_length += (uint64_t)(stop - p);
    if (t->line_length > SMTPS_TEXT_LINE_MAX)
        refuse(t, &long_line);
    if (lf == NULL) {
        t->at = cr ? AT_CR : AT_MID;
    } else if (cr) {
        t->at = AT_LINE;
        t->line_length = 0;
    } else {
        refuse(t, &bad_bytes); /* LF without CR: no line end */
        t->at = AT_MID;
    }
    return stop;
}

/* Consumes from *in up to where the content must be cut: at a dot, at the end of data (returns
 * true), or at the end of *in. *content is the piece of the message in what was consumed. `dots`:
 * DATA; without, BDAT. */
static bool scan(struct transaction *t, str_t *in, bool dots, str_t *content)
{
    const char *p = in->ptr, *end = p + in->len, *from = p;
    *content = STR_NONE;
    while (p < end) {
        switch (t->at) {
        case AT_LINE:
            if (dots && *p == '.') {
                *content = str_of(from, (size_t)(p - from));
                t->at = AT_DOT;
                *in = str_of(p + 1, (size_t)(end - p - 1));
                return false;
            }
            p = scan_line(t, p, end);
            break;
        case AT_MID: p = scan_line(t, p, end); break;
        case AT_CR:
            if (*p != '\n') {
                refuse(t, &bad_bytes);
                t->at = AT_MID;
                break;
            }
            t->at = AT_LINE;
            t->line_length = 0;
            p++;
            break;
        case AT_DOT:
            t->at = *p == '\r' ? AT_DOT_CR : AT_MID;
            if (*p == '\r')
                from = ++p;
            break;
        case AT_DOT_CR:
            if (*p == '\n') {
                *in = str_of(p + 1, (size_t)(end - p - 1));
                return true;
            }
            refuse(t, &bad_bytes);
            t->at = AT_MID;
            break;
        }
    }
    *content = str_of(from, (size_t)(p - from));
    *in = str_of(end, 0);
    return false;
}

/* One scan over *in with everything that is checked on the way. Gives what the owner may have, or
 * nothing. */
static bool take_content(struct smtps *s, str_t *in, bool dots)
{
    struct transaction *t = &s->t;
    str_t before = *in;
    bool ended = false;
    if (t->params->body_binary) { /* RFC 3030 3: all bits of each octet are kept */
        s->content = *in;
        *in = str_from(*in, in->len);
    } else {
        ended = scan(t, in, dots, &s->content);
    }
    if (!t->params->body_binary && t->verdict != &bad_bytes &&
        memchr(before.ptr, '\0', before.len - in->len) != NULL)
        refuse(t, &bad_bytes);
    t->size += s->content.len;
    if (t->size > s->config->size_max)
        refuse(t, &too_big);
    if (t->verdict != NULL)
        s->content = STR_NONE;
    return ended;
}

/* The verdict on refused content, once; in LMTP once for each recipient (RFC 2033 4.2). */
static void say_verdict(struct smtps *s, bool final)
{
    const struct verdict *v = s->t.verdict;
    uint32_t n = final && s->config->lmtp ? s->t.recipients : 1;
    while (--n > 0)
        smtps_say(s, v->code, v->status, v->text);
    if (v->code >= 500)
        smtps_fault(s, v->code, v->status, v->text);
    else
        smtps_say(s, v->code, v->status, v->text);
    if (v->code == 421)
        smtps_finish(s, v->why);
}

/* Octets of content, or of chunks without a transaction, that are read. */
static uint64_t octets_max(const struct smtps *s)
{
    uint64_t limit = s->config->size_max, excess = s->config->excess_max;
    if (excess == 0)
        excess = limit < UINT64_MAX / 2 ? limit + SMTPS_EXCESS_MIN : limit;
    return limit <= UINT64_MAX - excess ? limit + excess : UINT64_MAX;
}

/* The verdict was said; what would follow of this content is not read any more. */
static enum smtps_event hang_up(struct smtps *s)
{
    if (!s->closing) /* by too many errors, which said its own 421 */
        smtps_close_with(s, 421, "4.7.0", "closing: more is sent than is read",
                         "sent on past the limit");
    return SMTPS_IDLE;
}

static enum smtps_event sent_on(struct smtps *s, bool final)
{
    refuse(&s->t, &too_big);
    say_verdict(s, final);
    return hang_up(s);
}

/* The content is complete, good or bad. */
static enum smtps_event content_ended(struct smtps *s)
{
    smtps_restart_deadline(s);
    smtps_restart_session(s);
    if (s->t.verdict != NULL) {
        say_verdict(s, true);
        smtps_transaction_abort(s, s->t.verdict->why);
        return SMTPS_IDLE;
    }
    s->state = ST_READY;
    s->t.open = false;
    s->t.replies_due = s->config->lmtp ? s->t.recipients : 1;
    s->await = AWAIT_END;
    return SMTPS_END;
}

static enum smtps_event data_next(struct smtps *s)
{
    while (s->in.len > 0) {
        uint64_t left = octets_max(s) - s->t.octets;
        if (left == 0)
            return sent_on(s, true);
        str_t part = str_first(s->in, left < s->in.len ? (size_t)left : s->in.len), rest = part;
        bool ended = take_content(s, &rest, true);
        s->in = str_from(s->in, part.len - rest.len);
        s->t.octets += part.len - rest.len;
        smtps_buy_time(s, part.len - rest.len);
        if (ended)
            return content_ended(s);
        if (s->content.len > 0)
            return SMTPS_CONTENT;
    }
    return SMTPS_IDLE;
}

static enum smtps_event chunk_ended(struct smtps *s)
{
    struct transaction *t = &s->t;
    if (s->chunk_last && t->verdict == NULL && t->at == AT_MID) {
        /* The last line lacks its end: it gets one, since all content is whole lines from here
         * on. */
        t->at = AT_LINE;
        t->size += 2;
        s->content = STR("\r\n");
        return SMTPS_CONTENT;
    }
    if (s->chunk_last && t->at == AT_CR)
        refuse(t, &bad_bytes);
    if (s->chunk_last)
        return content_ended(s);
    smtps_restart_deadline(s);
    s->state = ST_BDAT;
    if (t->verdict != NULL)
        say_verdict(s, false);
    else
        smtps_say(s, 250, "2.0.0", "chunk taken"); /* RFC 3030 2: each chunk is answered */
    return SMTPS_IDLE;
}

static void say_stray(struct smtps *s)
{
    /* pipelined behind refused RCPTs: no further error, unless it never ends */
    if (s->t.refused > 0) {
        smtps_say(s, 554, "5.5.1", "no valid recipients");
        smtps_junk(s);
    } else {
        smtps_fault(s, 503, "5.5.1", "BDAT needs a sender and a recipient");
    }
}

/* A chunk that belongs to no transaction is read away before it is answered. The state was left as
 * it is but for ST_CHUNK. */
static enum smtps_event stray_ended(struct smtps *s)
{
    smtps_restart_deadline(s);
    s->chunk_stray = false;
    s->state = s->helo == NULL ? ST_START : s->t.open ? ST_MAIL : ST_READY;
    if (s->config->lmtp && s->chunk_last && s->t.open) {
        smtps_transaction_abort(s, "no recipients"); /* RFC 2033 4.3: one reply for each of none */
        smtps_junk(s);
        return SMTPS_IDLE;
    }
    say_stray(s);
    return SMTPS_IDLE;
}

static enum smtps_event chunk_next(struct smtps *s)
{
    if (s->chunk_left == 0)
        return s->chunk_stray ? stray_ended(s) : chunk_ended(s);
    str_t part = str_first(s->in, s->chunk_left < s->in.len ? (size_t)s->chunk_left : s->in.len);
    if (part.len == 0)
        return SMTPS_IDLE;
    s->in = str_from(s->in, part.len);
    s->chunk_left -= part.len;
    smtps_buy_time(s, part.len);
    s->content = STR_NONE;
    if (!s->chunk_stray)
        take_content(s, &part, false);
    if (s->content.len > 0)
        return SMTPS_CONTENT;
    if (s->chunk_left > 0)
        return SMTPS_IDLE;
    return s->chunk_stray ? stray_ended(s) : chunk_ended(s);
}

enum smtps_event smtps_content_next(struct smtps *s)
{
    return s->state == ST_DATA ? data_next(s) : chunk_next(s);
}

enum smtps_event smtps_cmd_data(struct smtps *s, str_t arg)
{
    (void)arg;
    if (s->state == ST_RCPT && !s->t.params->body_binary) {
        s->await = AWAIT_DATA;
        return SMTPS_DATA;
    }
    if (s->state == ST_RCPT) {
        smtps_fault(s, 503, "5.5.1", "BODY=BINARYMIME needs BDAT"); /* RFC 3030 3 */
        return SMTPS_IDLE;
    }
    /* RFC 5321 3.3: 503 or 554; LMTP wants 503 (RFC 2033 4.2). DATA after BDAT: RFC 3030 2. */
    if (s->state == ST_MAIL && s->t.refused > 0 && !s->config->lmtp) {
        smtps_say(s, 554, "5.5.1", "no valid recipients");
        smtps_junk(s);
        return SMTPS_IDLE;
    }
    smtps_fault(s, 503, "5.5.1", "DATA needs a sender and a recipient");
    return SMTPS_IDLE;
}

void smtps_data_answered(struct smtps *s, int code)
{
    if (code == 354) {
        s->state = ST_DATA;
        s->t.at = AT_LINE; /* the CRLF of the command counts as the one before the dot (4.1.1.4) */
        smtps_content_begins(s);
    } else {
        smtps_transaction_abort(s, "refused");
    }
}

/* "size [LAST]" */
static bool bdat_args(str_t arg, uint64_t *size, bool *last)
{
    str_t number = arg;
    *last = str_cut(&arg, ' ', &number);
    return str_u64(number, UINT64_MAX / 2, size) && (!*last || str_ieq(str_trim(arg), STR("LAST")));
}

/* More than is read away. */
static enum smtps_event chunk_too_big(struct smtps *s)
{
    if (!s->chunk_stray)
        return sent_on(s, s->chunk_last);
    say_stray(s);
    return hang_up(s);
}

enum smtps_event smtps_cmd_bdat(struct smtps *s, str_t arg)
{
    if (!bdat_args(arg, &s->chunk_left, &s->chunk_last)) {
        /* Where the chunk ends is not known, so no byte after it can be told from a command. */
        smtps_say(s, 501, "5.5.4", "the syntax is BDAT size [LAST]; closing");
        smtps_finish(s, "bad BDAT");
        return SMTPS_IDLE;
    }
    enum smtps_state before = s->state;
    s->chunk_stray = !(before & (ST_RCPT | ST_BDAT));
    uint64_t *octets = s->chunk_stray ? &s->stray_octets : &s->t.octets;
    if (s->chunk_left > octets_max(s) - *octets)
        return chunk_too_big(s);
    *octets += s->chunk_left;
    s->state = ST_CHUNK;
    smtps_restart_deadline(s);
    if (s->chunk_stray)
        return smtps_content_next(s);
    if (++s->t.chunks > SMTPS_CHUNKS_MAX)
        refuse(&s->t, &too_many_chunks);
    uint64_t room =
        s->config->size_max - (s->t.size < s->config->size_max ? s->t.size : s->config->size_max);
    if (s->chunk_left > room)
        refuse(&s->t, &too_big); /* known before its first byte */
    if (before == ST_BDAT)
        return smtps_content_next(s);
    s->t.at = AT_LINE;
    smtps_content_begins(s);
    s->await = AWAIT_BDAT;
    return SMTPS_DATA;
}

void smtps_bdat_answered(struct smtps *s, int code, const char *status, const char *text)
{
    if (code == 354)
        return;
    struct verdict *v = arena_alloc(&s->t.arena, sizeof *v);
    char *kept_status = arena_cstr(&s->t.arena, str_c(status));
    char *kept_text = arena_cstr(&s->t.arena, str_c(text));
    s->t.verdict = &no_memory;
    if (v == NULL || kept_status == NULL || kept_text == NULL)
        return;
    *v = (struct verdict){4, code, kept_status, kept_text, "refused"};
    s->t.verdict = v; /* the owner's words before ours */
}

void smtps_end_answered(struct smtps *s, int code)
{
    if (code < 300) {
        s->messages++;
        s->errors = s->junk = 0;
        s->stray_octets = 0;
    }
    if (--s->t.replies_due > 0)
        s->await = AWAIT_END;
    else
        s->reset_due = true;
}
