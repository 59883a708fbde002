/* buf.c: see buf.h. Capacity doubles; the maximum is checked before any growth. One byte more than
 * the capacity is allocated: there vsnprintf's NUL goes when a text exactly fills the buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum { BUF_FIRST = 256 }; /* the first allocation: one command or reply line mostly fits */

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < PTRDIFF_MAX ? max : PTRDIFF_MAX - 1};
}

void buf_free(struct buf *b)
{
    free(b->ptr);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need && cap <= b->max / 2)
        cap *= 2;
    if (cap < need || cap > b->max)
        cap = b->max;
    char *p = realloc(b->ptr, cap + 1);
    if (p == NULL)
        return false;
    b->ptr = p;
    b->cap = cap;
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->len ||
        ((b->ptr == NULL || n > b->cap - b->len) && !grow(b, b->len + n))) {
        b->failed = true;
        return NULL;
    }
    return b->ptr + b->len;
}

bool buf_add(struct buf *b, str_t s)
{
    if (s.len == 0)
        return !b->failed;
    char *p = buf_room(b, s.len);
    if (p == NULL)
        return false;
    memcpy(p, s.ptr, s.len);
    b->len += s.len;
    return true;
}

bool buf_addc(struct buf *b, char c)
{
    return buf_add(b, str_of(&c, 1));
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    must(n >= 0);
    char *p = buf_room(b, (size_t)n);
    if (p != NULL) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return p != NULL;
}

static bool add_be(struct buf *b, uint64_t v, size_t n)
{
    char out[8];
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(uint8_t)(v >> (8 * (n - 1 - i)));
    return buf_add(b, str_of(out, n));
}

bool buf_u8(struct buf *b, uint8_t v)
{
    return add_be(b, v, 1);
}
bool buf_u16(struct buf *b, uint16_t v)
{
    return add_be(b, v, 2);
}
bool buf_u32(struct buf *b, uint32_t v)
{
    return add_be(b, v, 4);
}
bool buf_u64(struct buf *b, uint64_t v)
{
    return add_be(b, v, 8);
}

static bool add_sized(struct buf *b, str_t s, size_t width)
{
    size_t before = b->len;
    if (s.len >> (8 * width) != 0)
        b->failed = true;
    if (add_be(b, s.len, width) && buf_add(b, s))
        return true;
    b->len = before; /* no length without its bytes */
    return false;
}

bool buf_str16(struct buf *b, str_t s)
{
    return add_sized(b, s, 2);
}
bool buf_str32(struct buf *b, str_t s)
{
    return add_sized(b, s, 4);
}

void buf_consume(struct buf *b, size_t n)
{
    must(n <= b->len);
    b->len -= n;
    if (b->len > 0)
        memmove(b->ptr, b->ptr + n, b->len);
}
