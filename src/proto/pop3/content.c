/* content.c: a message on its way out: byte-stuffed (RFC 1939 3), every line ended by CRLF, with
 * TOP cut where it was asked for.
 *
 * What is stored has CRLF line ends already. If it ever has not, a bare CR or LF is made a CRLF
 * here: neither leaves us. */
#include "base/err.h"
#include "proto/pop3/session.h"

size_t pop3s_index(const struct pop3s *s)
{
    return s->content.index;
}
uint32_t pop3s_piece(const struct pop3s *s)
{
    return s->content.piece;
}

void pop3s_content_begin(struct pop3s *s, size_t index, bool top, uint64_t lines)
{
    s->content = (struct pop3s_content_state){
        .index = index, .line_start = true, .top = top, .in_header = true, .lines_left = lines};
    s->producing = POP3S_MESSAGE;
}

/* RFC 1939 7: TOP sends the header, the blank line, then so many lines of the body. */
static void line_end(struct pop3s *s)
{
    struct pop3s_content_state *c = &s->content;
    buf_add(&s->out, STR("\r\n"));
    bool blank = c->line_start;
    c->line_start = true;
    if (!c->top)
        return;
    if (!c->in_header)
        c->lines_left--;
    else if (blank)
        c->in_header = false;
    c->ended = !c->in_header && c->lines_left == 0;
}

/* Bytes of one line, without CR or LF. */
static void line_bytes(struct pop3s *s, str_t bytes)
{
    if (bytes.len == 0)
        return;
    if (s->content.line_start && bytes.ptr[0] == '.')
        buf_addc(&s->out, '.');
    s->content.line_start = false;
    buf_add(&s->out, bytes);
}

static void stuff(struct pop3s *s, str_t bytes)
{
    struct pop3s_content_state *c = &s->content;
    while (bytes.len > 0 && !c->ended) {
        if (c->cr) { /* whatever follows, the CR ends a line; a LF is its second half */
            c->cr = false;
            if (bytes.ptr[0] == '\n')
                bytes = str_from(bytes, 1);
            line_end(s);
            continue;
        }
        size_t lf, cr;
        bool whole = str_find(bytes, '\n', &lf);
        str_t line = whole ? str_first(bytes, lf) : bytes;
        if (str_find(line, '\r', &cr)) {
            line_bytes(s, str_first(line, cr));
            bytes = str_from(bytes, cr + 1);
            c->cr = true;
        } else {
            line_bytes(s, line);
            bytes = str_from(bytes, line.len + 1);
            if (whole)
                line_end(s); /* a bare LF */
        }
    }
}

void pop3s_content(struct pop3s *s, str_t bytes, bool last)
{
    struct pop3s_content_state *c = &s->content;
    must(s->waiting == POP3S_CONTENT && bytes.len <= POP3S_PIECE_MAX);
    s->waiting = POP3S_IDLE;
    if (!c->started && c->top)
        buf_add(&s->out, STR("+OK\r\n"));
    else if (!c->started)
        buf_addf(&s->out, "+OK %llu octets\r\n", (unsigned long long)s->messages[c->index].size);
    c->started = true;
    c->piece++;
    stuff(s, bytes);
    if (last || c->ended) {
        if (c->cr || !c->line_start)
            line_end(s);
        buf_add(&s->out, STR(".\r\n"));
        s->producing = POP3S_NOTHING;
    }
}
