/* base64.c: RFC 4648 4 and 5. */
#include "base/codec.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_encode(struct buf *out, str_t in)
{
    size_t groups = in.len / 3 + (in.len % 3 != 0);
    if (groups > SIZE_MAX / 4) {
        out->failed = true;
        return false;
    }
    char *p = buf_room(out, groups * 4);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (uint8_t)in.ptr[i + k] : 0);
        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *p++ = n > 2 ? alphabet[v & 63] : '=';
    }
    out->len += groups * 4;
    return true;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters, of which `pad` at the end are '='. Unused bits must be zero (RFC 4648 3.5). */
static bool decode_group(const char *in, size_t pad, char *out)
{
    uint32_t v = 0;
    for (size_t k = 0; k < 4; k++) {
        int d = k < 4 - pad ? value_of(in[k]) : 0;
        if (d < 0)
            return false;
        v = v << 6 | (uint32_t)d;
    }
    if (v & ((1U << (8 * pad)) - 1))
        return false;
    for (size_t k = 0; k < 3 - pad; k++)
        out[k] = (char)(uint8_t)(v >> (16 - 8 * k));
    return true;
}

bool base64_decode(struct buf *out, str_t in)
{
    if (in.len % 4 != 0)
        return false;
    size_t pad = str_ends(in, STR("==")) ? 2 : str_ends(in, STR("=")) ? 1 : 0;
    size_t len = in.len / 4 * 3 - pad;
    char *p = buf_room(out, len);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < in.len; i += 4, p += 3)
        if (!decode_group(in.ptr + i, in.len - i == 4 ? pad : 0, p))
            return false;
    out->len += len;
    return true;
}

/* The same value in the other alphabet; what is not in that one decodes to nothing. */
static char from_url(char c)
{
    return c == '-' ? '+' : c == '_' ? '/' : c == '+' || c == '/' ? ' ' : c;
}

bool base64url_decode(struct buf *out, str_t in)
{
    size_t over = in.len % 4;
    if (over == 1)
        return false;
    size_t pad = over > 0 ? 4 - over : 0, len = in.len / 4 * 3 + (over > 0 ? over - 1 : 0);
    char *p = buf_room(out, len);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < in.len; i += 4, p += 3) {
        size_t n = in.len - i < 4 ? in.len - i : 4;
        char group[4] = {'A', 'A', 'A', 'A'};
        for (size_t k = 0; k < n; k++)
            group[k] = from_url(in.ptr[i + k]);
        if (!decode_group(group, n < 4 ? pad : 0, p))
            return false;
    }
    out->len += len;
    return true;
}
