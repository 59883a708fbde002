/* buf.h: growing bytes, born with a maximum.
 *
 * The buffer owns its memory; buf_free releases it. Adding past the maximum, or when memory is out,
 * changes nothing, returns false and sets `failed`, which sticks until buf_clear: add many, ask
 * once at the end. Integers are written big-endian so that encoded numbers sort as bytes (the
 * counterpart is cursor.h). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
    char *ptr;
    size_t len, cap, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max); /* allocates nothing yet */
void buf_free(struct buf *b);             /* back to the state after buf_init */
void buf_clear(struct buf *b);            /* length 0, failed false; keeps the memory */
static inline str_t buf_str(const struct buf *b)
{
    return (str_t){b->ptr, b->len};
}

bool buf_add(struct buf *b, str_t s);
bool buf_addc(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_u8(struct buf *b, uint8_t v);
bool buf_u16(struct buf *b, uint16_t v);
bool buf_u32(struct buf *b, uint32_t v);
bool buf_u64(struct buf *b, uint64_t v);
bool buf_str16(struct buf *b, str_t s); /* u16 length, then the bytes; fails over 65,535 */
bool buf_str32(struct buf *b, str_t s); /* u32 length, then the bytes */
/* Room for n more bytes at the end (the caller writes there, then adds n to len); NULL if over
 * max. */
char *buf_room(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */

#endif
