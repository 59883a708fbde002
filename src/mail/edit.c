/* edit.c: see edit.h. Bytes are gathered to lines, lines to fields; a field is complete when a line
 * that does not continue it has come. */
#include "mail/edit.h"

#include <stdlib.h>

#include "base/codec.h"
#include "mail/address.h"
#include "mail/date.h"

enum {
    SEEN_ARENA = 64 * 1024, /* 100 addresses */
    /* one field's addresses: a field of 64 KiB, each a copy and a longer replacement */
    FIELD_ARENA = 1 << 20,
};

/* What becomes of the rest of a field that is too long to be kept. */
enum edit_through { THROUGH_NOT, THROUGH_PASS, THROUGH_DROP };

struct mail_edit {
    struct mail_edit_rules rules;
    struct mail_edit_seen seen;
    struct arena arena, field_arena;
    struct buf line;  /* one that is not complete yet */
    struct buf field; /* complete lines of the field under way */
    enum edit_through through;
    bool mid_line; /* a line too long to be kept: up to its end it is the field's */
    bool body, any_line, date, message_id;
};

struct mail_edit *mail_edit_new(const struct mail_edit_rules *rules)
{
    struct mail_edit *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->rules = *rules;
    arena_init(&e->arena, SEEN_ARENA);
    arena_init(&e->field_arena, FIELD_ARENA);
    buf_init(&e->line, MAIL_EDIT_FIELD_MAX);
    buf_init(&e->field, MAIL_EDIT_FIELD_MAX);
    return e;
}

void mail_edit_free(struct mail_edit *e)
{
    if (e == NULL)
        return;
    arena_free(&e->arena);
    arena_free(&e->field_arena);
    buf_free(&e->line);
    buf_free(&e->field);
    free(e);
}

/* ---- one field ---- */

enum field_is {
    FIELD_OTHER,
    FIELD_FROM, /* From, Sender: whoever sends as them must be allowed to */
    FIELD_SENDER_SIDE,
    FIELD_RECIPIENT_SIDE,
    FIELD_REMOVED, /* if the rules say so */
    FIELD_DATE,
    FIELD_MESSAGE_ID,
    FIELD_AUTO,
};

static const struct {
    str_t name;
    enum field_is is;
} fields[] = {
    {STR("From"), FIELD_FROM},
    {STR("Sender"), FIELD_FROM},
    {STR("Resent-From"), FIELD_FROM},
    {STR("Resent-Sender"), FIELD_FROM},
    {STR("Reply-To"), FIELD_SENDER_SIDE},
    {STR("To"), FIELD_RECIPIENT_SIDE},
    {STR("Cc"), FIELD_RECIPIENT_SIDE},
    {STR("Resent-To"), FIELD_RECIPIENT_SIDE},
    {STR("Resent-Cc"), FIELD_RECIPIENT_SIDE},
    {STR("Bcc"), FIELD_REMOVED},
    {STR("Resent-Bcc"), FIELD_REMOVED},
    {STR("Return-Path"), FIELD_REMOVED},
    {STR("Date"), FIELD_DATE},
    {STR("Message-ID"), FIELD_MESSAGE_ID},
    {STR("Auto-Submitted"), FIELD_AUTO},
};

static enum field_is field_kind(str_t name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (str_ieq(fields[i].name, name))
            return fields[i].is;
    return FIELD_OTHER;
}

static void note_from(struct mail_edit *e, str_t address, bool sound)
{
    struct mail_edit_seen *s = &e->seen;
    if (!sound || s->n_from == MAIL_EDIT_FROMS_MAX) {
        s->from_unclear = true;
        return;
    }
    str_t copy = arena_dup(&e->arena, address);
    if (e->arena.failed)
        s->from_unclear = true;
    else
        s->from[s->n_from++] = copy;
}

/* Whose name the field may be taken to be in: after rewriting, as it goes out. */
static void note_found(struct mail_edit *e, const struct mail_address *found, str_t other)
{
    str_t shown = STR_NONE;
    note_from(e, other.ptr != NULL ? other : found->text, found->sound);
    if (found->in_name.len == 0)
        return;
    if (e->rules.address != NULL)
        shown = e->rules.address(e->rules.user, MAIL_EDIT_SENDER, found->in_name, &e->field_arena);
    note_from(e, shown.ptr != NULL ? shown : found->in_name, true);
}

/* Writes the field with its addresses replaced. */
static bool write_addresses(struct mail_edit *e, str_t field, size_t colon, enum field_is kind,
                            struct buf *out)
{
    struct mail_addresses walk = {.rest = str_from(field, colon + 1)};
    struct mail_address found;
    const char *done = field.ptr;
    enum mail_edit_side side =
        kind == FIELD_RECIPIENT_SIDE ? MAIL_EDIT_RECIPIENT : MAIL_EDIT_SENDER;
    size_t n = 0;
    arena_reset(&e->field_arena);
    while (mail_address_next(&walk, &e->field_arena, &found)) {
        str_t other = STR_NONE;
        n++;
        if (found.sound && e->rules.address != NULL)
            other = e->rules.address(e->rules.user, side, found.text, &e->field_arena);
        if (kind == FIELD_FROM)
            note_found(e, &found, other);
        if (other.ptr != NULL) {
            buf_add(out, str_of(done, (size_t)(found.raw.ptr - done)));
            buf_add(out, other);
            done = found.raw.ptr + found.raw.len;
        }
    }
    if (kind == FIELD_FROM && (n == 0 || walk.rest.len > 0 || e->field_arena.failed))
        e->seen.from_unclear = true;
    return buf_add(out, str_of(done, (size_t)(field.ptr + field.len - done)));
}

static bool is_auto(str_t value) /* RFC 3834 5: "no", or a keyword with parameters */
{
    str_t word = str_trim(value);
    size_t at;
    if (str_find(word, ';', &at))
        word = str_trim(str_first(word, at));
    if (str_find(word, '(', &at))
        word = str_trim(str_first(word, at));
    return word.len > 0 && !str_ieq(word, STR("no"));
}

/* The field that was gathered is complete. */
static bool field_done(struct mail_edit *e, struct buf *out)
{
    str_t field = buf_str(&e->field);
    size_t colon;
    if (field.len == 0)
        return true;
    bool ok = true;
    enum field_is kind =
        str_find(field, ':', &colon) ? field_kind(str_trim(str_first(field, colon))) : FIELD_OTHER;
    switch (kind) {
    case FIELD_FROM:
        e->seen.from_fields += str_ieq(str_trim(str_first(field, colon)), STR("From"));
        ok = write_addresses(e, field, colon, kind, out);
        break;
    case FIELD_SENDER_SIDE:
    case FIELD_RECIPIENT_SIDE: ok = write_addresses(e, field, colon, kind, out); break;
    case FIELD_REMOVED: ok = e->rules.remove_bcc || buf_add(out, field); break;
    case FIELD_DATE:
        e->date = true;
        ok = buf_add(out, field);
        break;
    case FIELD_MESSAGE_ID:
        e->message_id = true;
        ok = buf_add(out, field);
        break;
    case FIELD_AUTO:
        e->seen.auto_submitted |= is_auto(str_from(field, colon + 1));
        ok = buf_add(out, field);
        break;
    case FIELD_OTHER: ok = buf_add(out, field); break;
    }
    buf_clear(&e->field);
    return ok;
}

/* The field is too long to be kept. It is not looked into, so where that matters it counts as
 * unclear; one that is to be removed is removed whole. */
static bool let_through(struct mail_edit *e, struct buf *out)
{
    str_t field = buf_str(&e->field);
    size_t colon;
    enum field_is kind =
        str_find(field, ':', &colon) ? field_kind(str_trim(str_first(field, colon))) : FIELD_OTHER;
    if (kind == FIELD_FROM)
        e->seen.from_unclear = true;
    e->date |= kind == FIELD_DATE;
    e->message_id |= kind == FIELD_MESSAGE_ID;
    e->through = kind == FIELD_REMOVED && e->rules.remove_bcc ? THROUGH_DROP : THROUGH_PASS;
    bool ok = e->through == THROUGH_DROP || buf_add(out, field);
    buf_clear(&e->field);
    return ok;
}

static bool field_append(struct mail_edit *e, str_t piece, struct buf *out)
{
    if (e->through == THROUGH_NOT && e->field.len + piece.len > MAIL_EDIT_FIELD_MAX &&
        !let_through(e, out))
        return false;
    switch (e->through) {
    case THROUGH_NOT: return buf_add(&e->field, piece);
    case THROUGH_PASS: return buf_add(out, piece);
    case THROUGH_DROP: return true;
    }
    return false;
}

/* ---- the end of the header ---- */

static bool header_done(struct mail_edit *e, struct buf *out)
{
    if (e->rules.add_missing && !e->date) {
        char date[MAIL_DATE_MAX];
        buf_addf(out, "Date: %s\r\n", mail_date(e->rules.wall_ms, date));
    }
    if (e->rules.add_missing && !e->message_id) {
        struct buf id;
        buf_init(&id, 64);
        hex_encode(&id, str_of(e->rules.unique, sizeof e->rules.unique));
        buf_addf(out, "Message-ID: <" STR_FMT "@" STR_FMT ">\r\n", STR_ARG(buf_str(&id)),
                 STR_ARG(e->rules.hostname));
        buf_free(&id);
    }
    e->body = true;
    return !out->failed;
}

/* ---- the stream ---- */

enum line_is { LINE_FIELD, LINE_EMPTY, LINE_MBOX, LINE_BODY };

static enum line_is line_kind(const struct mail_edit *e, str_t line)
{
    size_t i = 0;
    if (str_eq(line, STR("\r\n")) || str_eq(line, STR("\n")))
        return LINE_EMPTY;
    while (i < line.len && line.ptr[i] > ' ' && line.ptr[i] != ':' && line.ptr[i] != 0x7f)
        i++;
    size_t name = i;
    while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t'))
        i++; /* RFC 5322 4.5: blanks before the colon */
    if (name > 0 && i < line.len && line.ptr[i] == ':')
        return LINE_FIELD;
    /* what programs that think in mbox files put before the header */
    return !e->any_line && str_starts(line, STR("From ")) ? LINE_MBOX : LINE_BODY;
}

/* A whole line, or the first piece of one that is too long to be kept. */
static bool take_line(struct mail_edit *e, str_t line, struct buf *out)
{
    bool under_way = e->field.len > 0 || e->through != THROUGH_NOT;
    bool was_mid_line = e->mid_line;
    e->mid_line = line.ptr[line.len - 1] != '\n';
    if (was_mid_line || (under_way && (line.ptr[0] == ' ' || line.ptr[0] == '\t')))
        return field_append(e, line, out);
    bool ok = field_done(e, out);
    e->through = THROUGH_NOT;
    enum line_is kind = line_kind(e, line);
    e->any_line = true;
    switch (kind) {
    case LINE_FIELD: return field_append(e, line, out) && ok;
    case LINE_MBOX: e->through = e->mid_line ? THROUGH_DROP : THROUGH_NOT; return ok;
    case LINE_EMPTY: return header_done(e, out) && buf_add(out, line) && ok;
    case LINE_BODY:
        return header_done(e, out) && buf_add(out, STR("\r\n")) && buf_add(out, line) && ok;
    }
    return false;
}

/* The next line or piece: of `in` itself where it is there in one, else gathered in e->line. False:
 * it is not complete. */
static bool next_line(struct mail_edit *e, str_t *in, str_t *line, bool *ok)
{
    size_t at, n = str_find(*in, '\n', &at) ? at + 1 : in->len;
    bool whole = n > 0 && in->ptr[n - 1] == '\n';
    if (e->line.len == 0 && (whole || n >= MAIL_EDIT_FIELD_MAX)) {
        *line = str_first(*in, n > MAIL_EDIT_FIELD_MAX ? MAIL_EDIT_FIELD_MAX : n);
        *in = str_from(*in, line->len);
        return true;
    }
    size_t room = MAIL_EDIT_FIELD_MAX - e->line.len;
    str_t piece = str_first(*in, n < room ? n : room);
    *ok = buf_add(&e->line, piece) && *ok;
    *in = str_from(*in, piece.len);
    *line = buf_str(&e->line);
    return *ok && (e->line.len == MAIL_EDIT_FIELD_MAX || line->ptr[line->len - 1] == '\n');
}

str_t mail_edit_feed(struct mail_edit *e, str_t in, struct buf *out, bool *ok)
{
    str_t line;
    *ok = true;
    while (*ok && !e->body && in.len > 0) {
        if (!next_line(e, &in, &line, ok))
            continue;
        *ok = take_line(e, line, out);
        buf_clear(&e->line);
    }
    if (e->body) { /* the rest may take long */
        buf_free(&e->line);
        buf_free(&e->field);
    }
    return in;
}

bool mail_edit_end(struct mail_edit *e, struct buf *out)
{
    if (e->body)
        return true;
    bool ok = e->line.len == 0 || take_line(e, buf_str(&e->line), out);
    return ok && (e->body || (field_done(e, out) && header_done(e, out)));
}

bool mail_edit_done(const struct mail_edit *e)
{
    return e->body;
}

const struct mail_edit_seen *mail_edit_seen(const struct mail_edit *e)
{
    return &e->seen;
}
