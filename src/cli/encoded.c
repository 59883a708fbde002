/* encoded.c: see encoded.h. */
#include "cli/encoded.h"

#include "base/codec.h"
#include "base/utf8.h"

enum {
    /* make 60 characters of base64: an encoded word is at most 75 (RFC 2047 2) */
    WORD_BYTES = 45,
    PLAIN_VALUE_MAX = 60, /* the line stays under 78 (RFC 5322 2.1.1) */
    PIECE_CHARACTERS = 54,
};

void encoded_words(struct buf *out, str_t text)
{
    for (bool first = true; text.len > 0; first = false) {
        size_t n = text.len < WORD_BYTES ? text.len : WORD_BYTES;
        /* never inside a character (RFC 2047 5) */
        while (n > 1 && n < text.len && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
            n--;
        buf_add(out, first ? STR("=?utf-8?B?") : STR("\r\n =?utf-8?B?"));
        base64_encode(out, str_first(text, n));
        buf_add(out, STR("?="));
        text = str_from(text, n);
    }
}

void encoded_field(struct buf *out, str_t text)
{
    buf_addc(out, ' ');
    if (!str_ascii(text)) {
        encoded_words(out, text);
    } else {
        for (size_t i = 0; i < text.len; i++)
            buf_addc(out, (unsigned char)text.ptr[i] < ' ' ? ' ' : text.ptr[i]);
    }
    buf_add(out, STR("\r\n"));
}

static bool attribute_char(unsigned char c) /* RFC 2231 7, and not what RFC 2045 5.1 forbids */
{
    return ascii_alpha((char)c) || ascii_digit((char)c) || c == '-' || c == '.' || c == '_';
}

static bool plain(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || (unsigned char)s.ptr[i] >= 0x7f)
            return false;
    return s.len <= PLAIN_VALUE_MAX;
}

static void add_quoted(struct buf *out, str_t s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_addc(out, '\\');
        buf_addc(out, s.ptr[i]);
    }
    buf_addc(out, '"');
}

void encoded_parameter(struct buf *out, const char *name, str_t value)
{
    if (plain(value)) {
        buf_addf(out, ";\r\n %s=", name);
        add_quoted(out, value);
        return;
    }
    size_t encoded = 0;
    for (size_t i = 0; i < value.len; i++)
        encoded += attribute_char((unsigned char)value.ptr[i]) ? 1 : 3;
    bool pieces = encoded > PIECE_CHARACTERS;
    size_t at = 0;
    for (unsigned n = 0; at < value.len; n++) {
        if (pieces)
            buf_addf(out, ";\r\n %s*%u*=%s", name, n, n == 0 ? "utf-8''" : "");
        else
            buf_addf(out, ";\r\n %s*=utf-8''", name);
        for (size_t used = 0; at < value.len && used + 3 <= PIECE_CHARACTERS; at++) {
            unsigned char c = (unsigned char)value.ptr[at];
            if (attribute_char(c))
                buf_addc(out, (char)c);
            else
                buf_addf(out, "%%%02X", c);
            used += attribute_char(c) ? 1 : 3;
        }
    }
}
