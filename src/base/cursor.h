/* cursor.h: the one bounded way to take bytes apart. Big-endian integers; counterpart of buf.h.
 *
 * The error sticks: a read past the end gives zeros and sets `failed`; read ten fields, ask once.
 * Slices returned point into the input. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/str.h"

struct cursor {
    str_t rest;
    bool failed;
};

static inline struct cursor cursor_of(str_t s)
{
    return (struct cursor){s, false};
}
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
str_t cursor_bytes(struct cursor *c, size_t n);
str_t cursor_str16(struct cursor *c); /* u16 length, then that many bytes */
str_t cursor_str32(struct cursor *c);
static inline bool cursor_end(const struct cursor *c)
{
    return !c->failed && c->rest.len == 0;
}

#endif
