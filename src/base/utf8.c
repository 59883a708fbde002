/* utf8.c: see utf8.h. */
#include "base/utf8.h"

#define HIGH_BITS 0x8080808080808080U

bool str_ascii(str_t s)
{
    size_t i = 0;
    for (uint64_t word; s.len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, s.ptr + i, sizeof word);
        if (word & HIGH_BITS)
            return false;
    }
    for (; i < s.len; i++)
        if ((uint8_t)s.ptr[i] > 0x7f)
            return false;
    return true;
}

/* Length of the sequence that a first byte begins, 0 if none begins with it (RFC 3629 4). */
static size_t sequence_len(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2)
        return 0; /* a continuation, or an overlong form of ASCII */
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

bool utf8_next(str_t *s, uint32_t *codepoint)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms exist below */
    if (s->len == 0)
        return false;
    uint8_t first = (uint8_t)s->ptr[0];
    size_t n = sequence_len(first);
    if (n == 0 || n > s->len)
        return false;
    uint32_t c = n == 1 ? first : first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        uint8_t b = (uint8_t)s->ptr[i];
        if ((b & 0xc0) != 0x80)
            return false;
        c = c << 6 | (b & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return false;
    *s = str_from(*s, n);
    *codepoint = c;
    return true;
}

bool utf8_valid(str_t s)
{
    uint32_t c;
    if (str_ascii(s))
        return true;
    while (utf8_next(&s, &c))
        ;
    return s.len == 0;
}
