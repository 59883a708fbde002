/* address.c: see address.h. One pass over tokens; a mailbox ends at a comma or semicolon outside of
 * everything. What is inside <> wins over what stands before it. */
#include "mail/address.h"

enum token_kind { T_END, T_WORD /* atom or quoted string or literal */, T_SPECIAL, T_BROKEN };

struct token {
    enum token_kind kind;
    str_t text; /* slice of the field */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c == '<' || c == '>' || c == '@' || c == ',' || c == ';' || c == ':' || c == '.';
}

/* The length of what begins at s[0] with `open` and goes to its `close`; all of s if it does
 * not. */
static size_t enclosed(str_t s, char open, char close, bool nests)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == open && (nests || depth == 0))
            depth++;
        else if (s.ptr[i] == close && --depth == 0)
            return i + 1;
    }
    return s.len;
}

static size_t quoted(str_t s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '"')
            return i + 1;
    }
    return s.len;
}

static size_t atom(str_t s)
{
    size_t n = 0;
    while (n < s.len && !is_blank(s.ptr[n]) && !is_special(s.ptr[n]) && s.ptr[n] != '(' &&
           s.ptr[n] != '"' && s.ptr[n] != '[')
        n++;
    return n > 0 ? n : 1;
}

static struct token next_token(str_t *rest)
{
    for (;;) {
        while (rest->len > 0 && is_blank(rest->ptr[0]))
            *rest = str_from(*rest, 1);
        if (rest->len == 0 || rest->ptr[0] != '(')
            break;
        *rest = str_from(*rest, enclosed(*rest, '(', ')', true));
    }
    if (rest->len == 0)
        return (struct token){.kind = T_END, .text = *rest};
    char c = rest->ptr[0];
    size_t n = c == '"'        ? quoted(*rest)
               : c == '['      ? enclosed(*rest, '[', ']', false)
               : is_special(c) ? 1
                               : atom(*rest);
    struct token t = {.kind = is_special(c) ? T_SPECIAL : T_WORD, .text = str_first(*rest, n)};
    if ((c == '"' && (n < 2 || t.text.ptr[n - 1] != '"')) || (c == '[' && t.text.ptr[n - 1] != ']'))
        t.kind = T_BROKEN;
    *rest = str_from(*rest, n);
    return t;
}

/* An address under way. */
struct gathering {
    const char *from, *to; /* in the field */
    size_t len;            /* of its text so far */
    size_t at_signs;
    bool sound, after_word; /* the last token was a word: another one next to it is no address */
    bool empty_part;        /* the last token was "." or "@", or nothing yet */
};

static void gather_begin(struct gathering *g)
{
    *g = (struct gathering){.sound = true, .empty_part = true};
}

static void gather(struct gathering *g, const struct token *t)
{
    if (g->from == NULL)
        g->from = t->text.ptr;
    g->to = t->text.ptr + t->text.len;
    g->len += t->text.len;
    if (t->kind == T_SPECIAL) { /* "." or "@" */
        g->sound = g->sound && !g->empty_part;
        g->at_signs += t->text.ptr[0] == '@';
        g->empty_part = true;
        g->after_word = false;
    } else {
        g->sound = g->sound && !g->after_word && t->kind == T_WORD;
        g->after_word = true;
        g->empty_part = false;
    }
}

/* Its text: the tokens again, without what stands between them. */
static bool given(const struct gathering *g, struct arena *a, struct mail_address *out)
{
    char *text = arena_alloc(a, g->len > 0 ? g->len : 1);
    if (text == NULL)
        return false;
    str_t rest = g->from != NULL ? str_of(g->from, (size_t)(g->to - g->from)) : STR_NONE;
    out->raw = rest;
    size_t n = 0;
    for (struct token t; (t = next_token(&rest)).kind != T_END; n += t.text.len)
        memcpy(text + n, t.text.ptr, t.text.len);
    out->text = str_of(text, n);
    out->sound = g->sound && g->at_signs == 1 && !g->empty_part;
    return true;
}

static bool is(const struct token *t, char c)
{
    return t->kind == T_SPECIAL && t->text.ptr[0] == c;
}

/* One mailbox under way. */
struct mailbox {
    struct gathering g;
    struct gathering name; /* of it or its group, if it could be an address */
    bool angle, closed;    /* seen its "<", its ">" */
    bool odd;              /* a name or a route that is none */
};

/* What was gathered is no address: a name, a group's name, or a route. */
static void pass_by(struct mailbox *m)
{
    if (m->angle) /* a route begins with "@" (RFC 5322 4.4) */
        m->odd = m->odd || m->g.from == NULL || *m->g.from != '@';
    else if (m->g.at_signs > 0 && m->name.from != NULL)
        m->odd = true;
    else if (m->g.at_signs > 0)
        m->name = m->g;
    gather_begin(&m->g);
}

static void take_token(struct mailbox *m, const struct token *t)
{
    if (is(t, '<') && !m->angle) {
        pass_by(m);
        m->angle = true;
    } else if (is(t, '<')) {
        m->odd = true;
    } else if (is(t, '>')) {
        m->odd = m->odd || !m->angle || m->closed;
        m->closed = true;
    } else if (is(t, ':') || is(t, ',')) {
        m->odd = m->odd || m->closed;
        pass_by(m);
    } else if (m->closed) {
        m->odd = true; /* something behind the ">" */
    } else {
        gather(&m->g, t);
    }
}

static bool mailbox_given(const struct mailbox *m, struct arena *a, struct mail_address *out)
{
    struct mail_address name = {.text = STR("")};
    if (m->name.from != NULL && !given(&m->name, a, &name))
        return false;
    if (!given(&m->g, a, out))
        return false;
    out->sound = out->sound && !m->odd && m->angle == m->closed;
    out->in_name = name.text;
    return true;
}

bool mail_address_next(struct mail_addresses *w, struct arena *a, struct mail_address *out)
{
    struct mailbox m = {0};
    gather_begin(&m.g);
    while (w->seen < MAIL_ADDRESSES_MAX) {
        struct token t = next_token(&w->rest);
        bool ends = t.kind == T_END || is(&t, ';') || (is(&t, ',') && (!m.angle || m.closed));
        if (ends && (m.g.from != NULL || m.angle || m.name.from != NULL)) {
            w->seen++;
            return mailbox_given(&m, a, out);
        }
        if (t.kind == T_END)
            return false;
        if (!ends)
            take_token(&m, &t);
    }
    return false;
}
