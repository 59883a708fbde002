/* convert_walk.c: see convert_walk.h. Bytes to lines (CRLF alone ends one), lines to fields,
 * delimiters and content. A line too long to be looked at is given in pieces. */
#include "mail/convert_walk.h"

#include <stdlib.h>

#define CRLF STR("\r\n")

void walk_init(struct walk *w, const struct walk_ops *ops, void *user)
{
    *w = (struct walk){.ops = ops, .user = user, .in_header = true, .entities = 1};
    w->entity.message = true;
    buf_init(&w->line, WALK_LINE_MAX);
    buf_init(&w->field, WALK_FIELD_MAX);
}

void walk_free(struct walk *w)
{
    buf_free(&w->line);
    buf_free(&w->field);
    free(w->levels);
    w->levels = NULL;
}

/* ---- Content-Type and Content-Transfer-Encoding ---- */

static str_t without_comment(str_t s)
{
    size_t at;
    return str_trim(str_find(s, '(', &at) ? str_first(s, at) : s);
}

static enum walk_encoding encoding_of(str_t value)
{
    static const struct {
        str_t name;
        enum walk_encoding e;
    } known[] = {{STR("7bit"), WALK_7BIT},
                 {STR("8bit"), WALK_8BIT},
                 {STR("binary"), WALK_BINARY},
                 {STR("quoted-printable"), WALK_QP},
                 {STR("base64"), WALK_BASE64}};
    value = without_comment(value);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_ieq(value, known[i].name))
            return known[i].e;
    return WALK_OTHER;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(str_t *s)
{
    while (s->len > 0 && is_blank(s->ptr[0]))
        *s = str_from(*s, 1);
}

/* A quoted string or a word, up to the next ';'. */
static size_t take_value(str_t *rest, char *out, size_t cap)
{
    size_t n = 0;
    bool quoted = rest->len > 0 && rest->ptr[0] == '"';
    if (quoted)
        *rest = str_from(*rest, 1);
    while (rest->len > 0) {
        char c = rest->ptr[0];
        if (quoted ? c == '"' : (c == ';' || is_blank(c) || c == '('))
            break;
        *rest = str_from(*rest, 1);
        if (quoted && c == '\\' && rest->len > 0) {
            c = rest->ptr[0];
            *rest = str_from(*rest, 1);
        }
        if (n == cap)
            return 0; /* too long to be a boundary */
        out[n++] = c;
    }
    return n;
}

/* To behind the next ';' that is not within quotes. */
static void next_param(str_t *rest)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ';' && !quoted)
            break;
    }
    *rest = str_from(*rest, i + 1);
    skip_blanks(rest);
}

static void find_boundary(struct walk *w, str_t params)
{
    w->boundary = STR_NONE;
    for (next_param(&params); params.len > 0; next_param(&params)) {
        if (!str_istarts(params, STR("boundary")))
            continue;
        str_t rest = str_from(params, strlen("boundary"));
        skip_blanks(&rest);
        if (!str_starts(rest, STR("=")))
            continue;
        rest = str_from(rest, 1);
        skip_blanks(&rest);
        size_t n = take_value(&rest, w->boundary_room, sizeof w->boundary_room);
        while (n > 0 && w->boundary_room[n - 1] == ' ')
            n--;
        w->boundary = str_of(w->boundary_room, n);
        return;
    }
}

static void content_type(struct walk *w, str_t value)
{
    str_t type = value;
    size_t at;
    if (str_find(type, ';', &at))
        type = str_first(type, at);
    type = without_comment(type);
    struct walk_entity *e = &w->entity;
    if (str_istarts(type, STR("multipart/"))) {
        e->type = WALK_MULTIPART;
        find_boundary(w, value);
        e->sealed |=
            str_ieq(type, STR("multipart/signed")) || str_ieq(type, STR("multipart/encrypted"));
    } else if (str_ieq(type, STR("message/rfc822")) || str_ieq(type, STR("message/global"))) {
        e->type = WALK_MESSAGE;
    } else if (type.len == 0 || str_istarts(type, STR("text/"))) {
        e->type = WALK_TEXT;
    } else {
        e->type = WALK_DATA;
    }
}

/* ---- fields ---- */

static void field_done(struct walk *w)
{
    str_t raw = buf_str(&w->field), name = raw;
    size_t colon;
    if (raw.len > 0 && !w->field_long) {
        if (str_find(raw, ':', &colon)) {
            name = str_trim(str_first(raw, colon));
            str_t value = str_from(raw, colon + 1);
            if (str_ieq(name, STR("Content-Type")))
                content_type(w, value);
            else if (str_ieq(name, STR("Content-Transfer-Encoding")))
                w->entity.encoding = encoding_of(value);
            w->entity.mime |=
                str_ieq(name, STR("Content-Type")) || str_ieq(name, STR("MIME-Version"));
        }
        w->ops->field(w->user, &w->entity, name, raw);
    }
    buf_clear(&w->field);
    w->field_long = false;
}

static void field_piece(struct walk *w, str_t text)
{
    if (!w->field_long && w->field.len + text.len <= WALK_FIELD_MAX) {
        w->failed |= !buf_add(&w->field, text);
        return;
    }
    if (!w->field_long) {
        w->field_long = true;
        w->ops->field(w->user, &w->entity, STR(""), buf_str(&w->field));
        w->field.len = 1; /* there is a field under way */
    }
    w->ops->field(w->user, &w->entity, STR(""), text);
}

/* ---- entities ---- */

static void header_begin(struct walk *w, bool message, bool sealed)
{
    w->entity = (struct walk_entity){.number = w->entities++, .message = message, .sealed = sealed};
    w->boundary = STR_NONE;
    w->in_header = true;
}

static bool push_level(struct walk *w)
{
    if (w->depth == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 4;
        struct walk_level *more = realloc(w->levels, cap * sizeof *more);
        if (more == NULL) {
            w->failed = true;
            return false;
        }
        w->levels = more;
        w->cap = cap;
    }
    struct walk_level *l = &w->levels[w->depth++];
    l->entity = w->entity;
    l->boundary_len = w->boundary.len;
    memcpy(l->boundary, w->boundary.ptr, w->boundary.len);
    return true;
}

static void header_over(struct walk *w, str_t blank)
{
    struct walk_entity *e = &w->entity;
    field_done(w);
    if (e->message && !e->mime)
        e->type = WALK_TEXT;
    bool room = w->depth < MAIL_CONVERT_DEPTH && w->entities < MAIL_CONVERT_PARTS;
    if (e->type == WALK_MULTIPART && (w->boundary.len == 0 || !room))
        e->type = WALK_DATA; /* no parts to be found: one part */
    if (e->type == WALK_MESSAGE && !room)
        e->type = WALK_DATA;
    w->in_header = false;
    w->ops->header_end(w->user, e, blank);
    if (e->type == WALK_MULTIPART)
        push_level(w);
    else if (e->type == WALK_MESSAGE)
        header_begin(w, true, e->sealed);
}

static void content(struct walk *w, str_t text)
{
    if (text.len > 0)
        w->ops->content(w->user, &w->entity, text);
}

static void leaf_over(struct walk *w)
{
    if (w->in_header)
        header_over(w, STR(""));
    if (w->in_header) /* of a message within that has nothing */
        header_over(w, STR(""));
    if (w->entity.type != WALK_MULTIPART)
        w->ops->entity_end(w->user, &w->entity);
}

/* Whether the line is a delimiter of the level: 1; its close: 2. RFC 2046 5.1.1: blanks may
 * follow. */
static int delimits(const struct walk_level *l, str_t line)
{
    if (line.len < 2 + l->boundary_len || line.ptr[0] != '-' || line.ptr[1] != '-' ||
        memcmp(line.ptr + 2, l->boundary, l->boundary_len) != 0)
        return 0;
    str_t rest = str_from(line, 2 + l->boundary_len);
    bool close = str_starts(rest, STR("--"));
    if (close)
        rest = str_from(rest, 2);
    return str_trim(rest).len == 0 ? 1 + close : 0;
}

static bool take_delimiter(struct walk *w, str_t line)
{
    if (!str_starts(line, STR("--")))
        return false;
    for (size_t k = w->depth; k-- > 0;) {
        int kind = delimits(&w->levels[k], line);
        if (kind == 0)
            continue;
        leaf_over(w);
        if (w->held_crlf)
            w->ops->delimiter(w->user, CRLF);
        w->held_crlf = false;
        w->ops->delimiter(w->user, line);
        w->entity = w->levels[k].entity;
        w->depth = k + 1;
        if (kind == 2)
            w->depth = k; /* what follows is the multipart's own: nobody reads it */
        else if (w->entities < MAIL_CONVERT_PARTS)
            header_begin(w, false, w->entity.sealed);
        return true;
    }
    return false;
}

/* ---- lines ---- */

static bool is_field(str_t line)
{
    size_t i = 0;
    while (i < line.len && line.ptr[i] > ' ' && line.ptr[i] != ':' && line.ptr[i] != 0x7f)
        i++;
    size_t name = i;
    while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t'))
        i++;
    return name > 0 && i < line.len && line.ptr[i] == ':';
}

static void body_line(struct walk *w, str_t line, bool ends)
{
    if (w->held_crlf)
        content(w, CRLF);
    w->held_crlf = ends;
    content(w, ends ? str_first(line, line.len - 2) : line);
}

/* False: the line is no part of a header; the body begins with it. */
static bool header_line(struct walk *w, str_t line, bool starts, bool ends)
{
    if (!starts || (w->field.len > 0 && is_blank(line.ptr[0]) && !str_eq(line, CRLF))) {
        field_piece(w, line);
        return true;
    }
    if (str_eq(line, CRLF)) {
        header_over(w, line);
        return true;
    }
    (void)ends;
    if (!is_field(line)) {
        header_over(w, STR(""));
        return w->in_header && header_line(w, line, true, ends);
    }
    field_done(w);
    field_piece(w, line);
    return true;
}

static void take_line(struct walk *w, str_t line)
{
    bool starts = !w->mid_line, ends = str_ends(line, CRLF);
    w->mid_line = !ends;
    if (starts && take_delimiter(w, line))
        return;
    if (w->in_header) {
        if (header_line(w, line, starts, ends))
            return;
        if (take_delimiter(w, line)) /* of the multipart whose header has just ended */
            return;
    }
    body_line(w, line, ends);
}

void walk_feed(struct walk *w, str_t bytes)
{
    while (bytes.len > 0 && !w->failed) {
        size_t at, n = str_find(bytes, '\n', &at) ? at + 1 : bytes.len;
        size_t room = WALK_LINE_MAX - w->line.len;
        str_t piece = str_first(bytes, n < room ? n : room);
        w->failed |= !buf_add(&w->line, piece);
        bytes = str_from(bytes, piece.len);
        str_t line = buf_str(&w->line);
        if (str_ends(line, CRLF)) {
            take_line(w, line);
            buf_clear(&w->line);
        } else if (line.len == WALK_LINE_MAX) { /* a CR may belong to the next byte */
            bool cr = line.ptr[line.len - 1] == '\r';
            take_line(w, str_first(line, line.len - cr));
            buf_clear(&w->line);
            if (cr)
                w->failed |= !buf_addc(&w->line, '\r');
        }
    }
}

void walk_end(struct walk *w)
{
    if (w->line.len > 0)
        take_line(w, buf_str(&w->line));
    buf_clear(&w->line);
    if (w->held_crlf)
        content(w, CRLF);
    w->held_crlf = false;
    leaf_over(w);
}
