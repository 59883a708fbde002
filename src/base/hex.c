/* hex.c: RFC 4648 8. */
#include "base/codec.h"

bool hex_encode(struct buf *out, str_t in)
{
    static const char digits[] = "0123456789abcdef";
    char *p = in.len <= SIZE_MAX / 2 ? buf_room(out, in.len * 2) : NULL;
    if (p == NULL) {
        out->failed = true;
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        *p++ = digits[(uint8_t)in.ptr[i] >> 4];
        *p++ = digits[(uint8_t)in.ptr[i] & 15];
    }
    out->len += in.len * 2;
    return true;
}

static int value_of(char c)
{
    c = ascii_lower(c);
    if (ascii_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct buf *out, str_t in)
{
    if (in.len % 2 != 0)
        return false;
    char *p = buf_room(out, in.len / 2);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < in.len; i += 2) {
        int high = value_of(in.ptr[i]), low = value_of(in.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        *p++ = (char)(uint8_t)(high * 16 + low);
    }
    out->len += in.len / 2;
    return true;
}
