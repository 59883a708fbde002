/* id32.c: base32 for identifiers, as Crockford's but in lower case: the letters that look like
 * digits are left out, and since the alphabet ascends, texts of equal length sort as their bytes.
 * First byte first, high bits first; the last character is filled with zero bits. */
#include "base/codec.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

bool id32_encode(struct buf *out, str_t in)
{
    if (in.len > SIZE_MAX / 8) {
        out->failed = true;
        return false;
    }
    size_t len = (in.len * 8 + 4) / 5;
    char *p = buf_room(out, len);
    if (p == NULL)
        return false;
    uint32_t v = 0;
    int bits = 0;
    for (size_t i = 0; i < in.len; i++) {
        v = v << 8 | (uint8_t)in.ptr[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *p++ = alphabet[v >> (bits - 5) & 31];
    }
    if (bits > 0)
        *p = alphabet[v << (5 - bits) & 31];
    out->len += len;
    return true;
}

bool id32_decode(struct buf *out, str_t in, size_t want_bytes)
{
    if (want_bytes > SIZE_MAX / 8 - 1 || in.len != (want_bytes * 8 + 4) / 5)
        return false;
    char *p = buf_room(out, want_bytes);
    if (p == NULL)
        return false;
    uint32_t v = 0;
    int bits = 0;
    for (size_t i = 0; i < in.len; i++) {
        const char *at = memchr(alphabet, ascii_lower(in.ptr[i]), sizeof alphabet - 1);
        if (at == NULL)
            return false;
        v = v << 5 | (uint32_t)(at - alphabet);
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            *p++ = (char)(uint8_t)(v >> bits);
        }
    }
    if (v & ((1U << bits) - 1)) /* one text for each value */
        return false;
    out->len += want_bytes;
    return true;
}
