/* str.c: see str.h. */
#include "base/str.h"

int str_cmp(str_t a, str_t b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static bool same_but_case(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

bool str_ieq(str_t a, str_t b)
{
    return a.len == b.len && same_but_case(a.ptr, b.ptr, a.len);
}
bool str_starts(str_t s, str_t p)
{
    return s.len >= p.len && str_eq(str_first(s, p.len), p);
}
bool str_istarts(str_t s, str_t p)
{
    return s.len >= p.len && same_but_case(s.ptr, p.ptr, p.len);
}
bool str_ends(str_t s, str_t x)
{
    return s.len >= x.len && str_eq(str_from(s, s.len - x.len), x);
}

bool str_find(str_t s, char c, size_t *at)
{
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    if (p == NULL)
        return false;
    *at = (size_t)(p - s.ptr);
    return true;
}

bool str_rfind(str_t s, char c, size_t *at)
{
    for (size_t i = s.len; i > 0; i--)
        if (s.ptr[i - 1] == c) {
            *at = i - 1;
            return true;
        }
    return false;
}

bool str_contains(str_t s, str_t what)
{
    return what.len == 0 || (s.len >= what.len && memmem(s.ptr, s.len, what.ptr, what.len) != NULL);
}

bool str_cut(str_t *rest, char sep, str_t *head)
{
    size_t at;
    if (!str_find(*rest, sep, &at))
        return false;
    *head = str_first(*rest, at);
    *rest = str_from(*rest, at + 1);
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

str_t str_trim(str_t s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = str_from(s, 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_u64(str_t s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_digit(s.ptr[i]) || __builtin_mul_overflow(v, 10U, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    if (v > max)
        return false;
    *out = v;
    return true;
}

void str_lower(char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ptr[i] = ascii_lower(ptr[i]);
}

char *str_toc(str_t s, char *dst, size_t cap)
{
    size_t n = s.len < cap - 1 ? s.len : cap - 1;
    for (size_t i = 0; i < n; i++)
        dst[i] = s.ptr[i] != '\0' ? s.ptr[i] : '?';
    dst[n] = '\0';
    return dst;
}
