/* arena.c: see arena.h. Blocks grow by doubling from half a page; a large request gets a block of
 * its own, behind the newest, whose room stays in use. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum { BLOCK_FIRST = 2048, BLOCK_MOST = 65536, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data */
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_free(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    arena_init(a, a->max);
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;
    if (keep != NULL && keep->size <= BLOCK_MOST) {
        a->blocks = keep->next;
        keep->next = NULL;
        keep->used = 0;
    } else {
        keep = NULL;
    }
    arena_free(a);
    a->blocks = keep;
}

static struct arena_block *block_add(struct arena *a, size_t need)
{
    size_t size = a->blocks != NULL ? a->blocks->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_MOST)
        size = BLOCK_MOST;
    bool own = need > size;
    if (own)
        size = need;
    size_t total;
    if (__builtin_add_overflow(sizeof(struct arena_block), size, &total))
        return NULL;
    struct arena_block *b = malloc(total);
    if (b == NULL)
        return NULL;
    struct arena_block **at = own && a->blocks != NULL ? &a->blocks->next : &a->blocks;
    *b = (struct arena_block){.next = *at, .size = size};
    *at = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (a->failed || need < size || need > a->max - a->used) {
        a->failed = true;
        return NULL;
    }
    struct arena_block *b = a->blocks;
    if (b == NULL || b->size - b->used < need)
        b = block_add(a, need);
    if (b == NULL) {
        a->failed = true;
        return NULL;
    }
    void *p = b->data + b->used;
    b->used += need;
    a->used += need;
    return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        a->failed = true;
        return NULL;
    }
    return arena_alloc(a, total);
}

char *arena_cstr(struct arena *a, str_t s)
{
    char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
    if (p != NULL && s.len > 0)
        memcpy(p, s.ptr, s.len);
    return p;
}

str_t arena_dup(struct arena *a, str_t s)
{
    char *p = arena_cstr(a, s);
    return p != NULL ? str_of(p, s.len) : STR_NONE;
}

str_t arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    must(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    if (p != NULL)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p != NULL ? str_of(p, (size_t)n) : STR_NONE;
}
