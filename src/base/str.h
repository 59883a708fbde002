/* str.h: a slice of bytes: pointer and length, passed by value, never owned, never NUL-terminated.
 *
 * Functions here allocate nothing and never fail. ASCII case rules only, never the locale. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
    const char *ptr;
    size_t len;
} str_t;

#define STR(lit)   ((str_t){"" lit, sizeof(lit) - 1})
#define STR_NONE   ((str_t){NULL, 0})
#define STR_FMT    "%.*s" /* with STR_ARG, for printf; keep it short */
#define STR_ARG(s) (int)((s).len > 65535 ? 65535 : (s).len), (s).len ? (s).ptr : ""

static inline str_t str_of(const void *ptr, size_t len)
{
    return (str_t){ptr, len};
}
static inline str_t str_c(const char *z)
{
    return (str_t){z, z ? strlen(z) : 0};
}
static inline bool str_eq(str_t a, str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* The bytes from index `from` (clamped) to the end; the first `n` (clamped). */
static inline str_t str_from(str_t s, size_t from)
{
    return from >= s.len ? str_of(s.ptr ? s.ptr + s.len : NULL, 0)
                         : str_of(s.ptr + from, s.len - from);
}
static inline str_t str_first(str_t s, size_t n)
{
    return str_of(s.ptr, n < s.len ? n : s.len);
}

int str_cmp(str_t a, str_t b);  /* bytewise as memcmp, the shorter first */
bool str_ieq(str_t a, str_t b); /* equal but for ASCII case */
bool str_starts(str_t s, str_t prefix);
bool str_istarts(str_t s, str_t prefix); /* ignoring ASCII case */
bool str_ends(str_t s, str_t suffix);
bool str_find(str_t s, char c, size_t *at);  /* the first c */
bool str_rfind(str_t s, char c, size_t *at); /* the last c */
bool str_contains(str_t s, str_t what);
bool str_cut(str_t *rest, char sep, str_t *head);   /* false: no sep; nothing changed */
str_t str_trim(str_t s);                            /* without SP, HT, CR, LF at both ends */
bool str_u64(str_t s, uint64_t max, uint64_t *out); /* all decimal digits, 1 to 20, at most max */
void str_lower(char *ptr, size_t len);              /* ASCII, in place */
/* Copies into a C string of `cap` bytes, truncating; embedded NUL becomes '?'. Returns dst. */
char *str_toc(str_t s, char *dst, size_t cap);

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#endif
