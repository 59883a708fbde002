/* client_reply.c: see client_reply.h.
 *
 * A line that lies whole in the input is read in place; only what is cut by the end of the input
 * is set aside. A reply whose lines differ in their code counts by its last line (RFC 5321 4.2.1
 * wants them equal) as long as the class is the same; a change of class says nothing that could
 * be relied on, and is refused. */
#include "proto/smtp/client_reply.h"

#include <stdio.h>

#include "base/utf8.h"

void smtpc_reader_init(struct smtpc_reader *r)
{
    r->code = 0;
    r->status[0] = '\0';
    r->text_len = 0;
    r->lines = 0;
    r->complete = false;
    r->line_len = r->line_seen = 0;
    r->line_max = SMTPC_REPLY_LINE;
}

bool smtpc_reader_idle(const struct smtpc_reader *r)
{
    return r->line_seen == 0 && (r->lines == 0 || r->complete);
}

/* The length of one component of an enhanced status, 1 to 3 digits; 0 if there is none. */
static size_t digits(str_t s, size_t from)
{
    size_t n = 0;
    while (n < 4 && from + n < s.len && ascii_digit(s.ptr[from + n]))
        n++;
    return n <= 3 ? n : 0;
}

/* The length of "C.S.D" at the front of a line's text, its class being that of the code; 0 if
 * there is none. RFC 2034 4. */
static size_t enhanced_status(str_t s, int code)
{
    if (s.len < 5 || s.ptr[0] != (char)('0' + code / 100) || s.ptr[1] != '.')
        return 0;
    size_t subject = digits(s, 2);
    if (subject == 0 || 2 + subject >= s.len || s.ptr[2 + subject] != '.')
        return 0;
    size_t detail = digits(s, 3 + subject);
    size_t end = 3 + subject + detail;
    return detail > 0 && (end == s.len || s.ptr[end] == ' ') ? end : 0;
}

static void add_bytes(struct smtpc_reader *r, str_t s)
{
    if (s.len <= sizeof r->text - r->text_len) {
        memcpy(r->text + r->text_len, s.ptr, s.len);
        r->text_len += s.len;
    }
}

/* Adds text made printable: nothing of it may act on a terminal, a log line or a header field
 * (RFC 5321 7.9's spirit; C0, DEL, C1). */
static void add_text(struct smtpc_reader *r, str_t s)
{
    while (s.len > 0) {
        str_t at = s;
        uint32_t cp;
        if (!utf8_next(&s, &cp)) {
            s = str_from(s, 1);
            add_bytes(r, STR("?"));
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            add_bytes(r, cp == '\t' ? STR(" ") : STR("?"));
        } else {
            add_bytes(r, str_first(at, at.len - s.len));
        }
    }
}

/* One whole line without its end. */
static enum smtpc_read take_line(struct smtpc_reader *r, str_t s, str_t *line)
{
    if (s.len < 3 || s.ptr[0] < '2' || s.ptr[0] > '5' || !ascii_digit(s.ptr[1]) ||
        !ascii_digit(s.ptr[2]))
        return SMTPC_READ_BAD;
    int code = (s.ptr[0] - '0') * 100 + (s.ptr[1] - '0') * 10 + (s.ptr[2] - '0');
    /* RFC 5321 4.2: a code alone is to be taken as a reply */
    bool last = s.len == 3 || s.ptr[3] == ' ';
    if (!last && s.ptr[3] != '-')
        return SMTPC_READ_BAD;
    if (r->lines > 0 && code / 100 != r->code / 100)
        return SMTPC_READ_BAD;
    if (++r->lines > SMTPC_REPLY_LINES)
        return SMTPC_READ_BAD;
    r->code = code;
    *line = str_from(s, 4);

    str_t text = *line;
    size_t n = enhanced_status(text, code);
    if (n > 0) {
        snprintf(r->status, sizeof r->status, STR_FMT, STR_ARG(str_first(text, n)));
        text = str_from(text, n);
    }
    text = str_trim(text);
    if (text.len > 0 && r->text_len > 0)
        add_bytes(r, STR(" "));
    add_text(r, text);
    r->complete = last;
    return last ? SMTPC_READ_REPLY : SMTPC_READ_LINE;
}

/* Sets bytes of an incomplete line aside, cut at SMTPC_REPLY_LINE. */
static bool keep(struct smtpc_reader *r, str_t s)
{
    r->line_seen += s.len;
    s = str_first(s, r->line_max > r->line_len ? r->line_max - r->line_len : 0);
    if (s.len > 0)
        memcpy(r->line + r->line_len, s.ptr, s.len);
    r->line_len += s.len;
    return r->line_seen <= SMTPC_REPLY_LINE_BAD;
}

enum smtpc_read smtpc_reader_next(struct smtpc_reader *r, str_t *bytes, str_t *line)
{
    size_t lf;
    if (r->complete) {
        size_t line_max = r->line_max;
        smtpc_reader_init(r);
        r->line_max = line_max;
    }
    if (!str_find(*bytes, '\n', &lf)) {
        bool ok = keep(r, *bytes);
        *bytes = str_from(*bytes, bytes->len);
        return ok ? SMTPC_READ_MORE : SMTPC_READ_BAD;
    }
    str_t s = str_first(*bytes, lf);
    *bytes = str_from(*bytes, lf + 1);
    if (r->line_seen + s.len > SMTPC_REPLY_LINE_BAD)
        return SMTPC_READ_BAD;
    if (r->line_seen > 0) {
        if (!keep(r, s))
            return SMTPC_READ_BAD;
        s = str_of(r->line, r->line_len);
    }
    r->line_len = r->line_seen = 0;
    s = str_first(s, r->line_max);
    while (s.len > 0 && s.ptr[s.len - 1] == '\r')
        s.len--;
    return take_line(r, s, line);
}
