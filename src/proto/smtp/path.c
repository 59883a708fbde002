/* path.c: see path.h. One pass from left to right over the bytes, no recursion; what was understood
 * is copied to the arena, unquoted. */
#include "proto/smtp/path.h"

#include <stdio.h>

#include "base/utf8.h"

enum { LABEL_MAX = 63 }; /* RFC 1035 2.3.4 */

bool smtp_atext(char c)
{
    return ascii_alpha(c) || ascii_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool take(str_t *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    *rest = str_from(*rest, 1);
    return true;
}

/* One non-ASCII character (RFC 6531 3.3, UTF8-non-ascii). C1 controls are refused: they are
 * controls to whoever prints them. */
static bool take_utf8(str_t *rest)
{
    uint32_t cp;
    str_t after = *rest;
    if (!utf8_next(&after, &cp) || cp < 0xa0)
        return false;
    *rest = after;
    return true;
}

/* Dot-string: atoms with single dots between them. */
static bool take_dot_string(str_t *rest, str_t *out)
{
    str_t p = *rest;
    bool atom = false; /* the byte before belongs to an atom */
    while (p.len > 0) {
        if (p.ptr[0] == '.' && atom) {
            p = str_from(p, 1);
            atom = false;
        } else if (smtp_atext(p.ptr[0])) {
            p = str_from(p, 1);
            atom = true;
        } else if ((unsigned char)p.ptr[0] >= 0x80 && take_utf8(&p)) {
            atom = true;
        } else {
            break;
        }
    }
    *out = str_first(*rest, rest->len - p.len);
    *rest = p;
    return atom;
}

/* Quoted-string of 4.1.2: any graphic or space, a backslash before any of them. Unquoted into the
 * arena. */
static bool take_quoted(str_t *rest, struct arena *a, str_t *out)
{
    str_t p = str_from(*rest, 1);
    char *to = arena_alloc(a, p.len + 1);
    size_t n = 0;
    if (to == NULL)
        return false;
    while (p.len > 0 && p.ptr[0] != '"') {
        str_t before = p;
        if ((unsigned char)p.ptr[0] >= 0x80) {
            if (!take_utf8(&p))
                return false;
        } else {
            if (take(&p, '\\') && p.len == 0)
                return false;
            if (p.ptr[0] < ' ' || p.ptr[0] >= 0x7f)
                return false;
            before = str_first(p, 1);
            p = str_from(p, 1);
        }
        size_t len = (size_t)(p.ptr - before.ptr);
        memcpy(to + n, before.ptr, len);
        n += len;
    }
    if (!take(&p, '"'))
        return false;
    *out = str_of(to, n);
    *rest = p;
    return true;
}

/* What may stand in a label: letters, digits, hyphens inside, and characters of U-labels. The full
 * stops that IDNA 2003 took for dots are refused, so that no two readers cut the name
 * differently. */
static bool label_char(str_t *p, bool *hyphen)
{
    char c = p->ptr[0];
    *hyphen = c == '-';
    if (ascii_alpha(c) || ascii_digit(c) || c == '-') {
        *p = str_from(*p, 1);
        return true;
    }
    uint32_t cp;
    str_t after = *p;
    if ((unsigned char)c < 0x80 || !utf8_next(&after, &cp) || cp <= 0xa0 || cp == 0x3002 ||
        cp == 0xff0e || cp == 0xff61 || cp == 0xff20)
        return false;
    *p = after;
    return true;
}

static bool take_label(str_t *rest)
{
    str_t p = *rest;
    bool hyphen = true; /* a label starts and ends with a letter or digit */
    while (p.len > 0 && p.ptr[0] != '.') {
        bool first = p.ptr == rest->ptr;
        if (!label_char(&p, &hyphen) || (first && hyphen))
            return false;
    }
    if (hyphen || (size_t)(p.ptr - rest->ptr) > LABEL_MAX)
        return false;
    *rest = p;
    return true;
}

bool smtp_domain_valid(str_t s)
{
    if (s.len == 0 || s.len > SMTP_DOMAIN_MAX)
        return false;
    do {
        if (!take_label(&s))
            return false;
    } while (take(&s, '.'));
    return s.len == 0;
}

/* The bytes up to the first of the characters that can follow a domain. */
static str_t take_until(str_t *rest, const char *stops)
{
    size_t n = 0;
    while (n < rest->len && (rest->ptr[n] == '\0' || strchr(stops, rest->ptr[n]) == NULL))
        n++;
    str_t head = str_first(*rest, n);
    *rest = str_from(*rest, n);
    return head;
}

/* "@one,@two:" — must be accepted, should be ignored (RFC 5321 4.1.2, 4.1.1.3, appendix C). */
static bool skip_route(str_t *rest)
{
    if (rest->len == 0 || rest->ptr[0] != '@')
        return true;
    do {
        if (!take(rest, '@') || !smtp_domain_valid(take_until(rest, ",:>")))
            return false;
    } while (take(rest, ','));
    return take(rest, ':');
}

/* General-address-literal: a tag, a colon, printable bytes without brackets and backslash. */
static bool general_literal(str_t s)
{
    str_t tag;
    if (!str_cut(&s, ':', &tag) || s.len == 0 || tag.len == 0 || !smtp_domain_valid(tag) ||
        memchr(tag.ptr, '.', tag.len) != NULL || !str_ascii(tag))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || (s.ptr[i] >= '[' && s.ptr[i] <= ']'))
            return false;
    return true;
}

/* RFC 5321 4.1.3. Known forms are kept as netaddr writes them, so that equal addresses are equal
 * texts. */
static bool take_literal(str_t *rest, struct arena *a, struct smtp_path *out)
{
    if (!take(rest, '['))
        return false;
    str_t s = take_until(rest, "]");
    if (!take(rest, ']'))
        return false;
    out->kind = SMTP_DOMAIN_LITERAL;
    bool v6 = str_istarts(s, STR("IPv6:"));
    if (netaddr_parse(v6 ? str_from(s, 5) : s, &out->literal) &&
        out->literal.family == (v6 ? NETADDR_V6 : NETADDR_V4)) {
        char text[NETADDR_TEXT];
        str_t bracketed = str_c(netaddr_literal(&out->literal, text));
        out->domain = arena_dup(a, str_of(bracketed.ptr + 1, bracketed.len - 2));
        return true;
    }
    out->literal = (struct netaddr){.family = NETADDR_NONE};
    out->domain = arena_dup(a, s);
    return !v6 && general_literal(s);
}

static enum smtp_path_result take_domain(str_t *rest, struct arena *a, struct smtp_path *out)
{
    if (rest->len > 0 && rest->ptr[0] == '[')
        return take_literal(rest, a, out) ? SMTP_PATH_OK : SMTP_PATH_SYNTAX;
    str_t name = take_until(rest, ">, \t");
    if (name.len > SMTP_DOMAIN_MAX)
        return SMTP_PATH_DOMAIN_LONG;
    if (!smtp_domain_valid(name))
        return SMTP_PATH_SYNTAX;
    char *copy = arena_cstr(a, name);
    if (copy == NULL)
        return SMTP_PATH_SYNTAX;
    str_lower(copy, name.len);
    out->kind = SMTP_DOMAIN_NAME;
    out->domain = str_of(copy, name.len);
    return SMTP_PATH_OK;
}

static enum smtp_path_result take_mailbox(str_t *rest, struct arena *a, struct smtp_path *out)
{
    str_t start = *rest;
    bool quoted = rest->len > 0 && rest->ptr[0] == '"';
    if (!(quoted ? take_quoted(rest, a, &out->local) : take_dot_string(rest, &out->local)))
        return SMTP_PATH_SYNTAX;
    if (out->local.len > SMTP_LOCAL_MAX)
        return SMTP_PATH_LOCAL_LONG;
    if (!quoted)
        out->local = arena_dup(a, out->local);
    if (take(rest, '@')) {
        enum smtp_path_result r = take_domain(rest, a, out);
        if (r != SMTP_PATH_OK)
            return r;
    } else if (quoted || !str_ieq(out->local, STR("postmaster"))) { /* 4.1.1.3: any case */
        return SMTP_PATH_SYNTAX;
    }
    out->utf8 = !str_ascii(out->local) || !str_ascii(out->domain);
    /* 4.5.3.1.3 counts the brackets. The route is not counted: it is gone from here on. */
    if ((size_t)(rest->ptr - start.ptr) + 2 > SMTP_PATH_MAX)
        return SMTP_PATH_LONG;
    return a->failed ? SMTP_PATH_SYNTAX : SMTP_PATH_OK;
}

enum smtp_path_result smtp_path_parse(str_t *rest, struct arena *a, struct smtp_path *out)
{
    *out = (struct smtp_path){0};
    str_t p = *rest;
    if (!take(&p, '<'))
        return SMTP_PATH_SYNTAX;
    if (take(&p, '>')) {
        out->null = true;
        *rest = p;
        return SMTP_PATH_OK;
    }
    if (!skip_route(&p))
        return SMTP_PATH_SYNTAX;
    enum smtp_path_result r = take_mailbox(&p, a, out);
    if (r != SMTP_PATH_OK)
        return r;
    if (!take(&p, '>'))
        return SMTP_PATH_SYNTAX;
    *rest = p;
    return SMTP_PATH_OK;
}

enum smtp_path_result smtp_address_parse(str_t s, struct arena *a, struct smtp_path *out)
{
    *out = (struct smtp_path){0};
    enum smtp_path_result r = take_mailbox(&s, a, out);
    return r == SMTP_PATH_OK && s.len > 0 ? SMTP_PATH_SYNTAX : r;
}

/* Written with the least quoting (4.1.2): quoted only what is no Dot-string. */
static str_t local_text(str_t local, struct arena *a)
{
    str_t rest = local, whole;
    if (take_dot_string(&rest, &whole) && rest.len == 0)
        return local;
    char *to = arena_alloc(a, 2 * local.len + 2);
    size_t n = 0;
    if (to == NULL)
        return STR_NONE;
    to[n++] = '"';
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            to[n++] = '\\';
        to[n++] = local.ptr[i];
    }
    to[n++] = '"';
    return str_of(to, n);
}

str_t smtp_path_text(const struct smtp_path *p, struct arena *a)
{
    if (p->null)
        return STR("");
    str_t local = local_text(p->local, a);
    if (p->kind == SMTP_DOMAIN_NONE)
        return local;
    bool literal = p->kind == SMTP_DOMAIN_LITERAL;
    size_t len = local.len + 1 + p->domain.len + (literal ? 2 : 0);
    char *to = arena_alloc(a, len);
    if (to == NULL || local.ptr == NULL)
        return STR_NONE;
    size_t n = local.len;
    memcpy(to, local.ptr, local.len);
    to[n++] = '@';
    if (literal)
        to[n++] = '[';
    memcpy(to + n, p->domain.ptr, p->domain.len);
    if (literal)
        to[len - 1] = ']';
    return str_of(to, len);
}
