/* cursor.c: see cursor.h. */
#include "base/cursor.h"

str_t cursor_bytes(struct cursor *c, size_t n)
{
    if (c->failed || n > c->rest.len) {
        c->failed = true;
        return STR_NONE;
    }
    str_t s = str_first(c->rest, n);
    c->rest = str_from(c->rest, n);
    return s;
}

static uint64_t take_be(struct cursor *c, size_t n)
{
    str_t s = cursor_bytes(c, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | (uint8_t)s.ptr[i];
    return v;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)take_be(c, 1);
}
uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)take_be(c, 2);
}
uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)take_be(c, 4);
}
uint64_t cursor_u64(struct cursor *c)
{
    return take_be(c, 8);
}
str_t cursor_str16(struct cursor *c)
{
    return cursor_bytes(c, cursor_u16(c));
}
str_t cursor_str32(struct cursor *c)
{
    return cursor_bytes(c, cursor_u32(c));
}
