/* xtext.c: see xtext.h. */
#include "proto/smtp/xtext.h"

static bool is_xchar(char c)
{
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

/* Upper case only: RFC 3461 4, hexchar. */
static int hex_value(char c)
{
    return ascii_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool xtext_decode(str_t in, struct arena *a, str_t *out)
{
    char *to = arena_alloc(a, in.len + 1);
    size_t n = 0;
    if (to == NULL)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        if (is_xchar(in.ptr[i])) {
            to[n++] = in.ptr[i];
            continue;
        }
        if (in.ptr[i] != '+' || in.len - i < 3)
            return false;
        int high = hex_value(in.ptr[i + 1]), low = hex_value(in.ptr[i + 2]);
        if (high < 0 || low < 0)
            return false;
        to[n++] = (char)(16 * high + low);
        i += 2;
    }
    *out = str_of(to, n);
    return true;
}

bool xtext_encode(struct buf *out, str_t in)
{
    static const char hex[] = "0123456789ABCDEF";
    bool ok = true;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];
        if (is_xchar(in.ptr[i]))
            ok = buf_addc(out, in.ptr[i]);
        else
            ok = buf_addc(out, '+') && buf_addc(out, hex[c >> 4]) && buf_addc(out, hex[c & 15]);
    }
    return ok;
}
