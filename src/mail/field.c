/* field.c: see field.h. Everything passes clean_char, which leaves no byte that some reader takes
 * for a line end: no control bytes (C0, DEL, C1), no U+2028 and U+2029, no broken UTF-8. */
#include "mail/field.h"

#include <assert.h>
#include <stdio.h>

#include "base/utf8.h"

static_assert(sizeof "Original-Recipient: utf-8; " + sizeof((struct field_clean){0}.bytes) <
                  FIELD_LINE_MAX,
              "an address fits a line with the longest field name before it");

void field_begin(struct field *f, struct buf *out, str_t name)
{
    *f = (struct field){.out = out, .indent = STR(" "), .column = name.len + 1};
    buf_add(out, name);
    buf_addc(out, ':');
}

void field_paragraph(struct field *f, struct buf *out, str_t indent)
{
    *f = (struct field){.out = out, .indent = indent, .column = indent.len, .fresh = true};
    buf_add(out, indent);
}

void field_add(struct field *f, str_t unit)
{
    if (!f->fresh && f->column + 1 + unit.len > FIELD_FOLD_AT) {
        buf_add(f->out, STR("\r\n"));
        buf_add(f->out, f->indent);
        f->column = f->indent.len;
    } else if (!f->fresh) {
        buf_addc(f->out, ' ');
        f->column++;
    }
    buf_add(f->out, unit);
    f->column += unit.len;
    f->fresh = false;
}

void field_end(struct field *f)
{
    buf_add(f->out, STR("\r\n"));
}

void field_write(struct buf *out, str_t name, str_t unit)
{
    struct field f;
    field_begin(&f, out, name);
    field_add(&f, unit);
    field_end(&f);
}

static bool keeps(uint32_t codepoint)
{
    return codepoint >= 0xa0 && codepoint != 0x2028 && codepoint != 0x2029;
}

/* Takes one character from *in; writes it, or '?', to `to`. Returns the bytes written. */
static size_t clean_char(str_t *in, bool utf8, char to[static 4])
{
    if (in->ptr[0] >= ' ' && in->ptr[0] < 0x7f) { /* nearly always */
        to[0] = in->ptr[0];
        *in = str_from(*in, 1);
        return 1;
    }
    str_t from = *in;
    uint32_t codepoint;
    if (!utf8_next(in, &codepoint)) {
        *in = str_from(*in, 1);
        codepoint = 0;
    }
    size_t n = from.len - in->len;
    if (utf8 && keeps(codepoint)) {
        memcpy(to, from.ptr, n);
        return n;
    }
    to[0] = '?';
    return 1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void field_text(struct field *f, str_t text, bool utf8)
{
    char word[FIELD_WORD_MAX];
    size_t len = 0;
    while (text.len > 0) {
        bool space = is_space(text.ptr[0]);
        if (len > 0 && (space || sizeof word - len < 4)) {
            field_add(f, str_of(word, len));
            len = 0;
        }
        if (space)
            text = str_from(text, 1);
        else
            len += clean_char(&text, utf8, word + len);
    }
    if (len > 0)
        field_add(f, str_of(word, len));
}

str_t field_clean_name(struct field_clean *c, str_t in)
{
    if (in.len == 0)
        return STR("unknown");
    for (c->len = 0; c->len < FIELD_NAME_MAX && c->len < in.len; c->len++) {
        char b = in.ptr[c->len];
        bool ok = ascii_alpha(b) || ascii_digit(b) || (b != '\0' && memchr(".-_:[]", b, 6) != NULL);
        c->bytes[c->len] = ok ? b : '?'; /* also an atom, RFC 5322 3.2.3 */
    }
    return str_of(c->bytes, c->len);
}

static void clean_add(struct field_clean *c, str_t *in, bool utf8)
{
    c->len += clean_char(in, utf8, c->bytes + c->len);
}

/* Needs quotes in a local part and has no place in a domain: RFC 5321 4.1.2. */
static bool is_special(char c)
{
    return c == ' ' || c == '(' || c == ')' || c == '<' || c == '>' || c == ',' || c == ';';
}

str_t field_clean_address(struct field_clean *c, str_t in, bool utf8)
{
    bool quoted = false;
    c->len = 0;
    while (in.len > 0 && c->len < FIELD_ADDRESS_MAX) {
        char *at = c->bytes + c->len;
        clean_add(c, &in, utf8);
        /* a quoted pair, RFC 5321 4.1.2 */
        if (quoted && *at == '\\' && in.len > 0)
            clean_add(c, &in, utf8);
        else if (*at == '\\' || (!quoted && is_special(*at)))
            *at = '?';
        else if (*at == '"')
            quoted = !quoted;
    }
    if (quoted)
        c->bytes[c->len++] = '"';
    return str_of(c->bytes, c->len);
}

str_t field_clean_address_7bit(struct field_clean *c, str_t in)
{
    c->len = 0;
    while (in.len > 0 && c->len < FIELD_ADDRESS_MAX) {
        uint32_t codepoint = '?';
        if (!utf8_next(&in, &codepoint))
            in = str_from(in, 1);
        else if (codepoint < ' ' || codepoint == 0x7f)
            codepoint = '?';
        char *at = c->bytes + c->len;
        bool escape = codepoint > 0x7f || memchr(" \\+=", (int)codepoint, 4) != NULL;
        if (escape)
            c->len += (size_t)snprintf(at, sizeof c->bytes - c->len, "\\x{%02X}", codepoint);
        else
            c->bytes[c->len++] = (char)codepoint;
    }
    return str_of(c->bytes, c->len);
}
