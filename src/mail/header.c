/* header.c: see header.h. A line ends with LF, with or without a CR before it; whoever stores mail
 * lets no bare LF in, but a reader that knew only CRLF would see another header than the one most
 * readers see. */
#include "mail/header.h"

/* The first line of s with its line end. */
static str_t line_of(str_t s)
{
    size_t at;
    return str_find(s, '\n', &at) ? str_first(s, at + 1) : s;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static str_t without_end(str_t line)
{
    if (str_ends(line, STR("\n")))
        line.len -= str_ends(line, STR("\r\n")) ? 2 : 1;
    return line;
}

/* field-name of RFC 5322 2.2, then blanks (4.5.8, obsolete), then the colon. */
static bool take_name(str_t line, str_t *name, size_t *after_colon)
{
    size_t n = 0;
    while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 0x7f && line.ptr[n] != ':')
        n++;
    *name = str_first(line, n);
    while (n < line.len && is_blank(line.ptr[n]))
        n++;
    *after_colon = n + 1;
    return name->len > 0 && n < line.len && line.ptr[n] == ':';
}

bool header_next(str_t *rest, struct header_field *f)
{
    str_t line = line_of(*rest), name;
    size_t value_at;
    if (without_end(line).len == 0) { /* the empty line, or nothing left */
        *rest = str_from(*rest, line.len);
        return false;
    }
    if (!take_name(line, &name, &value_at))
        return false;
    size_t end = line.len;
    while (end < rest->len && is_blank(rest->ptr[end])) /* folded: RFC 5322 2.2.3 */
        end += line_of(str_from(*rest, end)).len;
    f->name = name;
    f->raw = str_first(*rest, end);
    f->value = str_from(without_end(f->raw), value_at);
    *rest = str_from(*rest, end);
    return true;
}

size_t header_length(str_t message)
{
    struct header_field f;
    size_t len = 0;
    while (header_next(&message, &f))
        len += f.raw.len;
    return len;
}

size_t header_count(str_t message, str_t name)
{
    struct header_field f;
    size_t n = 0;
    while (header_next(&message, &f))
        n += str_ieq(f.name, name);
    return n;
}
