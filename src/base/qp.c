/* qp.c: quoted-printable, RFC 2045 6.7; the numbers in parentheses are its rules. */
#include "base/codec.h"

enum { LINE_MAX_CHARS = 76 }; /* (5), with the '=' of a soft break, without CRLF */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static bool is_crlf(str_t s)
{
    return s.len >= 2 && s.ptr[0] == '\r' && s.ptr[1] == '\n';
}
static bool is_literal(char c)
{
    return c >= '!' && c <= '~' && c != '=';
} /* (2) */

bool qp_encode(struct buf *out, str_t in)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t line = 0; in.len > 0; in = str_from(in, 1)) {
        if (is_crlf(in)) { /* (4) */
            buf_add(out, STR("\r\n"));
            in = str_from(in, 1);
            line = 0;
            continue;
        }
        char c = in.ptr[0];
        str_t next = str_from(in, 1);
        bool line_ends = next.len == 0 || is_crlf(next);
        bool literal = is_literal(c) || (is_blank(c) && !line_ends); /* (3) */
        size_t width = literal ? 1 : 3;
        if (line + width > LINE_MAX_CHARS - (line_ends ? 0 : 1)) { /* else no room for the '=' */
            buf_add(out, STR("=\r\n"));
            line = 0;
        }
        if (literal)
            buf_addc(out, c);
        else
            buf_add(out,
                    str_of((char[3]){'=', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]}, 3));
        line += width;
    }
    return !out->failed;
}

/* The length of blanks followed by a CRLF or the end, or 0 with `ends` false. */
static size_t padding(str_t s, bool *ends)
{
    size_t n = 0;
    while (n < s.len && is_blank(s.ptr[n]))
        n++;
    *ends = n == s.len || is_crlf(str_from(s, n));
    return n;
}

/* What follows '=': a soft break or two hex digits. Lower case is taken, as RFC 2045 6.7
 * suggests. */
static bool decode_escape(struct buf *out, str_t *s)
{
    bool ends;
    size_t n = padding(*s, &ends);
    if (ends && n < s->len) {
        *s = str_from(*s, n + 2);
        return true;
    }
    if (s->len < 2 || !hex_decode(out, str_first(*s, 2)))
        return false;
    *s = str_from(*s, 2);
    return true;
}

/* Blanks: kept inside a line, dropped at its end (3). All at once, so that long runs cost linear
 * time. */
static void decode_blanks(struct buf *out, str_t *s)
{
    bool ends;
    size_t n = padding(*s, &ends);
    if (!ends)
        buf_add(out, str_first(*s, n));
    *s = str_from(*s, n);
}

bool qp_decode(struct buf *out, str_t in)
{
    while (in.len > 0 && !out->failed) {
        char c = in.ptr[0];
        if (is_blank(c)) {
            decode_blanks(out, &in);
        } else if (is_crlf(in)) {
            buf_add(out, STR("\r\n"));
            in = str_from(in, 2);
        } else if (c == '=') {
            in = str_from(in, 1);
            if (!decode_escape(out, &in))
                return false;
        } else if (is_literal(c)) {
            buf_addc(out, c);
            in = str_from(in, 1);
        } else {
            return false;
        }
    }
    return !out->failed;
}
