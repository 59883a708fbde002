/* hops.c: see hops.h. */
#include "roles/smtp/hops.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* At the start of a line. True: the field before it was a Delivered-To, and is complete. */
static bool line_start(struct hops *h, char c)
{
    if (c == ' ' || c == '\t') { /* folded: RFC 5322 2.2.3 */
        h->at = h->delivered || h->automatic ? HOPS_VALUE : HOPS_SKIP;
        return false;
    }
    if (hops_end(h))
        return true;
    h->body = c == '\r'; /* lines end with CRLF here, so an empty one begins with CR */
    h->at = HOPS_NAME;
    h->name_len = 0;
    h->blank = false;
    return false;
}

static void name_ended(struct hops *h)
{
    str_t name = str_of(h->name, h->name_len);
    h->count += str_ieq(name, STR("received"));
    h->delivered = str_ieq(name, STR("delivered-to"));
    h->automatic = str_ieq(name, STR("auto-submitted"));
    h->at = h->delivered || h->automatic ? HOPS_VALUE : HOPS_SKIP;
    h->len = 0;
    h->blank = false;
}

static void name_byte(struct hops *h, char c)
{
    if (c == ':')
        name_ended(h);
    else if (c == ' ' || c == '\t') /* RFC 5322 4.5.8: blanks before the colon */
        h->blank = true;
    else if (c == '\r' || h->blank || h->name_len == HOPS_NAME_MAX)
        h->at = HOPS_SKIP;
    else
        h->name[h->name_len++] = c;
}

static void value_byte(struct hops *h, char c)
{
    bool blank = h->blank && h->len > 0;
    if (is_blank(c)) {
        h->blank = true;
        return;
    }
    if (h->len + (size_t)blank + 1 > HOPS_VALUE_MAX) {
        h->delivered = false;
        h->at = HOPS_SKIP;
        return;
    }
    if (blank)
        h->value[h->len++] = ' ';
    h->value[h->len++] = c;
    h->blank = false;
}

bool hops_next(struct hops *h, str_t *content)
{
    while (content->len > 0 && !h->body) {
        char c = content->ptr[0];
        size_t lf = 0;
        if (h->at == HOPS_LINE) {
            if (line_start(h, c))
                return true;
            continue;
        }
        if (h->at == HOPS_SKIP && !str_find(*content, '\n', &lf))
            lf = content->len;
        else if (h->at != HOPS_SKIP && c != '\n')
            (h->at == HOPS_NAME ? name_byte : value_byte)(h, c);
        else
            h->at = HOPS_LINE;
        *content = str_from(*content, lf + 1);
    }
    *content = STR_NONE;
    return false;
}

/* Blanks and comments (RFC 5322 3.2.2), nested ones too, from the front. */
static str_t after_comments(str_t s)
{
    unsigned depth = 0;
    while (s.len > 0 && (depth > 0 || s.ptr[0] == ' ' || s.ptr[0] == '(')) {
        depth += s.ptr[0] == '(';
        depth -= s.ptr[0] == ')';
        s = str_from(s, s.ptr[0] == '\\' ? 2 : 1);
    }
    return s;
}

/* RFC 3834 5: a keyword, then perhaps comments and parameters; "no" is a person. */
static bool is_auto(const struct hops *h)
{
    str_t word = after_comments(str_of(h->value, h->len));
    size_t n = 0;
    while (n < word.len && word.ptr[n] != ' ' && word.ptr[n] != '(' && word.ptr[n] != ';')
        n++;
    return n > 0 && !str_ieq(str_first(word, n), STR("no"));
}

bool hops_end(struct hops *h)
{
    bool complete = h->delivered;
    if (h->automatic)
        h->auto_submitted |= is_auto(h);
    h->delivered = h->automatic = false;
    return complete;
}

bool hops_is(const struct hops *h, str_t address)
{
    size_t n = 0;
    for (size_t i = 0; i < address.len; i++) {
        bool blank = is_blank(address.ptr[i]);
        if (blank && i > 0 && is_blank(address.ptr[i - 1]))
            continue;
        if (n == h->len || ascii_lower(blank ? ' ' : address.ptr[i]) != ascii_lower(h->value[n++]))
            return false;
    }
    return n == h->len;
}

bool hops_lines(struct hops_lines *l, str_t content)
{
    for (size_t i = 0; i < content.len && !l->over; i++) {
        char c = content.ptr[i];
        if (c == '\0' || l->cr != (c == '\n'))
            return false;
        l->over = l->cr && !l->text;
        l->text = c != '\n' && (l->text || c != '\r');
        l->cr = c == '\r';
    }
    return true;
}
