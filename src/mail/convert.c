/* convert.c: see convert.h. The first pass decides for each entity by its number what is to be done;
 * the second does it. */
#include "mail/convert.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/err.h"
#include "mail/convert_walk.h"

enum action {
    KEEP,
    RELABEL, /* its label says 8bit or binary, and it is not (any more) */
    TO_QP,
    TO_BASE64,
    MEND, /* encoded already, but with bytes that do not belong there */
};

enum {
    QP_COLUMNS = 75,    /* and the "=" of a soft break: RFC 2045 6.7 (5) */
    BASE64_BYTES = 57,  /* a line of 76 characters: RFC 2045 6.8 */
    ACTIONS_FIRST = 16, /* most mail has fewer parts */
};

struct mail_convert {
    enum mail_convert_to to;
    struct walk walk;
    bool second, failed;
    uint8_t *actions; /* enum action, by entity */
    size_t n, cap;
    /* first pass: of the leaf under way */
    bool has_8bit, has_bad;
    size_t line_length;
    /* and of the message */
    bool needed, seals, header_bad;
    /* second pass */
    struct buf *out;
    size_t column;
    char blank; /* QP: one that waits for what follows it; 0: none */
    char group[BASE64_BYTES];
    size_t grouped;
};

/* ---- first pass ---- */

static void set_action(struct mail_convert *c, uint32_t entity, enum action what)
{
    if (what == KEEP)
        return;
    if (entity >= c->cap) {
        size_t cap = c->cap > 0 ? c->cap : ACTIONS_FIRST;
        while (cap <= entity)
            cap *= 2;
        uint8_t *more = realloc(c->actions, cap);
        if (more == NULL) {
            c->failed = true;
            return;
        }
        memset(more + c->cap, KEEP, cap - c->cap);
        c->actions = more;
        c->cap = cap;
    }
    c->actions[entity] = (uint8_t)what;
    c->needed = true;
}

static enum action action_of(const struct mail_convert *c, uint32_t entity)
{
    return entity < c->cap ? (enum action)c->actions[entity] : KEEP;
}

static bool any_8bit(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return true;
    return false;
}

/* NUL, or CR or LF that are not a line end: BINARYMIME allows them in content, nobody in a header. */
static bool any_stray(str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        char b = s.ptr[i];
        if (b == 0 || (b == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n')) ||
            (b == '\n' && (i == 0 || s.ptr[i - 1] != '\r')))
            return true;
    }
    return false;
}

static bool mislabelled(const struct mail_convert *c, enum walk_encoding e)
{
    return e == WALK_BINARY || (e == WALK_8BIT && c->to == MAIL_CONVERT_7BIT);
}

static void look_field(void *user, const struct walk_entity *e, str_t name, str_t raw)
{
    struct mail_convert *c = user;
    (void)e;
    (void)name;
    c->header_bad |= (c->to == MAIL_CONVERT_7BIT && any_8bit(raw)) || any_stray(raw);
}

static void look_header_end(void *user, const struct walk_entity *e, str_t blank)
{
    struct mail_convert *c = user;
    (void)blank;
    c->has_8bit = c->has_bad = false;
    c->line_length = 0;
    if ((e->type == WALK_MULTIPART || e->type == WALK_MESSAGE) && mislabelled(c, e->encoding) &&
        !e->sealed)
        set_action(c, e->number, RELABEL);
}

static void look_content(void *user, const struct walk_entity *e, str_t text)
{
    struct mail_convert *c = user;
    if (str_eq(text, STR("\r\n"))) {
        c->line_length = 0;
        return;
    }
    bool has_8bit = false, has_bad = false;
    c->line_length += text.len;
    has_bad |= c->line_length > MAIL_CONVERT_LINE;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.ptr[i];
        has_8bit |= b >= 0x80;
        has_bad |= b == 0 || b == '\r' || b == '\n';
    }
    c->has_8bit |= has_8bit;
    c->has_bad |= has_bad;
    if (e->type == WALK_MULTIPART) /* between parts, where nobody reads: mended */
        c->needed |= has_bad || (has_8bit && c->to == MAIL_CONVERT_7BIT);
}

static void look_entity_end(void *user, const struct walk_entity *e)
{
    struct mail_convert *c = user;
    bool bad = c->has_bad || (c->has_8bit && c->to == MAIL_CONVERT_7BIT);
    enum action what = KEEP;
    if (bad && (e->encoding == WALK_QP || e->encoding == WALK_BASE64 || e->encoding == WALK_OTHER))
        what = MEND;
    else if (bad)
        what = e->type == WALK_TEXT ? TO_QP : TO_BASE64;
    else if (mislabelled(c, e->encoding) && !e->sealed)
        what = RELABEL;
    c->seals |= bad && e->sealed;
    set_action(c, e->number, what);
}

static void look_delimiter(void *user, str_t line)
{
    struct mail_convert *c = user;
    (void)line;
    c->line_length = 0;
}

static const struct walk_ops look_ops = {look_field, look_header_end, look_content, look_delimiter,
                                         look_entity_end};

/* ---- writing an encoded part ---- */

static void qp_unit(struct mail_convert *c, const char *unit, size_t n)
{
    if (c->column + n > QP_COLUMNS) {
        buf_add(c->out, STR("=\r\n"));
        c->column = 0;
    }
    buf_add(c->out, str_of(unit, n));
    c->column += n;
}

static void qp_byte(struct mail_convert *c, char byte, bool plain)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char b = (unsigned char)byte;
    const char escaped[3] = {'=', hex[b >> 4], hex[b & 15]};
    /* a "-" where a line begins could make a delimiter of what was none */
    if (plain && !(byte == '-' && (c->column == 0 || c->column == QP_COLUMNS)))
        qp_unit(c, &byte, 1);
    else
        qp_unit(c, escaped, sizeof escaped);
}

static void qp_blank(struct mail_convert *c, bool line_ends) /* RFC 2045 6.7 (3) */
{
    if (c->blank != 0)
        qp_byte(c, c->blank, !line_ends);
    c->blank = 0;
}

static void to_qp(struct mail_convert *c, str_t text)
{
    if (str_eq(text, STR("\r\n"))) {
        qp_blank(c, true);
        buf_add(c->out, text);
        c->column = 0;
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        char b = text.ptr[i];
        qp_blank(c, false);
        if (b == ' ' || b == '\t')
            c->blank = b;
        else
            qp_byte(c, b, b > ' ' && b <= '~' && b != '=');
    }
}

static void base64_line(struct mail_convert *c)
{
    if (c->grouped > 0) {
        base64_encode(c->out, str_of(c->group, c->grouped));
        buf_add(c->out, STR("\r\n"));
    }
    c->grouped = 0;
}

static void to_base64(struct mail_convert *c, str_t text)
{
    while (text.len > 0) {
        size_t n = BASE64_BYTES - c->grouped;
        n = n < text.len ? n : text.len;
        memcpy(c->group + c->grouped, text.ptr, n);
        c->grouped += n;
        text = str_from(text, n);
        if (c->grouped == BASE64_BYTES)
            base64_line(c);
    }
}

/* Bytes that have no business in an encoded part, or between parts: '?', and no line too long. */
static void mend(struct mail_convert *c, str_t text)
{
    if (str_eq(text, STR("\r\n"))) {
        buf_add(c->out, text);
        c->column = 0;
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.ptr[i];
        bool bad = b == 0 || b == '\r' || b == '\n' || (b >= 0x80 && c->to == MAIL_CONVERT_7BIT);
        if (c->column == MAIL_CONVERT_LINE) {
            buf_add(c->out, STR("\r\n"));
            c->column = 0;
        }
        buf_addc(c->out, bad ? '?' : (char)b);
        c->column++;
    }
}

/* ---- second pass ---- */

static void write_field(void *user, const struct walk_entity *e, str_t name, str_t raw)
{
    struct mail_convert *c = user;
    enum action what = action_of(c, e->number);
    if (what == KEEP || what == MEND || !str_ieq(name, STR("Content-Transfer-Encoding")))
        buf_add(c->out, raw);
}

static void write_header_end(void *user, const struct walk_entity *e, str_t blank)
{
    struct mail_convert *c = user;
    enum action what = action_of(c, e->number);
    bool adds = what == TO_QP || what == TO_BASE64 || what == RELABEL;
    if (adds && e->message && !e->mime) /* RFC 1428: of a charset nobody told */
        buf_add(c->out, STR("MIME-Version: 1.0\r\n"
                            "Content-Type: text/plain; charset=unknown-8bit\r\n"));
    if (adds)
        buf_addf(c->out, "Content-Transfer-Encoding: %s\r\n",
                 what == TO_QP                ? "quoted-printable"
                 : what == TO_BASE64          ? "base64"
                 : c->to == MAIL_CONVERT_7BIT ? "7bit"
                                              : "8bit");
    /* a body that begins without an empty line gets one: mended it might look like a field */
    buf_add(c->out, c->needed && blank.len == 0 ? STR("\r\n") : blank);
    c->column = 0;
}

static void write_content(void *user, const struct walk_entity *e, str_t text)
{
    struct mail_convert *c = user;
    if (e->type == WALK_MULTIPART) {
        mend(c, text);
        return;
    }
    switch (action_of(c, e->number)) {
    case KEEP:
    case RELABEL: buf_add(c->out, text); break;
    case TO_QP: to_qp(c, text); break;
    case TO_BASE64: to_base64(c, text); break;
    case MEND: mend(c, text); break;
    }
}

static void write_delimiter(void *user, str_t line)
{
    struct mail_convert *c = user;
    buf_add(c->out, line);
    c->column = 0;
}

static void write_entity_end(void *user, const struct walk_entity *e)
{
    struct mail_convert *c = user;
    (void)e;
    qp_blank(c, true);
    base64_line(c);
}

static const struct walk_ops write_ops = {write_field, write_header_end, write_content,
                                          write_delimiter, write_entity_end};

/* ---- the whole ---- */

struct mail_convert *mail_convert_new(enum mail_convert_to to)
{
    struct mail_convert *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->to = to;
    walk_init(&c->walk, &look_ops, c);
    return c;
}

void mail_convert_free(struct mail_convert *c)
{
    if (c == NULL)
        return;
    walk_free(&c->walk);
    free(c->actions);
    free(c);
}

void mail_convert_look(struct mail_convert *c, str_t bytes)
{
    walk_feed(&c->walk, bytes);
}

enum mail_convert_result mail_convert_looked(struct mail_convert *c, bool *needed)
{
    walk_end(&c->walk);
    bool failed = c->failed || c->walk.failed;
    mail_convert_again(c);
    *needed = c->needed;
    return failed          ? MAIL_CONVERT_MEMORY
           : c->header_bad ? MAIL_CONVERT_HEADER
           : c->seals      ? MAIL_CONVERT_SIGNED
                           : MAIL_CONVERT_OK;
}

void mail_convert_again(struct mail_convert *c)
{
    walk_free(&c->walk);
    walk_init(&c->walk, &write_ops, c);
    c->second = true;
    c->column = c->grouped = 0;
    c->blank = 0;
}

bool mail_convert_feed(struct mail_convert *c, str_t bytes, struct buf *out)
{
    must(c->second);
    c->out = out;
    walk_feed(&c->walk, bytes);
    return !out->failed && !c->walk.failed;
}

bool mail_convert_end(struct mail_convert *c, struct buf *out)
{
    c->out = out;
    walk_end(&c->walk);
    return !out->failed && !c->walk.failed;
}
