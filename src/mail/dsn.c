/* dsn.c: see dsn.h. A report has three parts: words for a human, fields for a program
 * (dsn_status.c), and the header that came back (here).
 *
 * Why no part can end early: the boundary begins with "=_". Lines of the first two parts begin with
 * our words or a blank, never with "--"; a returned header that holds "--=_" anywhere is sent as
 * quoted-printable, where "=_" cannot occur (RFC 2045 6.7). So the boundary needs no search and no
 * luck. */
#include "mail/dsn.h"

#include "base/codec.h"
#include "base/utf8.h"
#include "mail/date.h"
#include "mail/dsn_parts.h"
#include "mail/field.h"
#include "mail/header.h"

enum { BOUNDARY_UNIQUE_MAX = 60, BOUNDARY_ROOM = 72 }; /* RFC 2046 5.1.1: at most 70 */
enum { MESSAGE_ID_MAX = 500 };                         /* a longer one is not repeated */

static str_t make_boundary(str_t unique, char out[static BOUNDARY_ROOM])
{
    size_t len = 0;
    out[len++] = '=';
    out[len++] = '_';
    for (size_t i = 0; i < unique.len && len < BOUNDARY_UNIQUE_MAX; i++)
        if (ascii_alpha(unique.ptr[i]) || ascii_digit(unique.ptr[i]))
            out[len++] = unique.ptr[i];
    return str_of(out, len);
}

/* ---- the header of the report ---- */

static void write_angle(struct buf *out, str_t name, str_t phrase, str_t left, str_t right)
{
    struct field_clean clean;
    char unit[FIELD_ADDRESS_MAX + 64];
    struct buf b = {
        .ptr = unit, .cap = sizeof unit - 1, .max = sizeof unit - 1}; /* never grows: all fits */
    buf_addc(&b, '<');
    buf_add(&b, left);
    if (right.len > 0) {
        buf_addc(&b, '@');
        buf_add(&b, field_clean_name(&clean, right));
    }
    buf_addc(&b, '>');
    struct field f;
    field_begin(&f, out, name);
    if (phrase.len > 0)
        field_add(&f, phrase);
    field_add(&f, buf_str(&b));
    field_end(&f);
}

/* RFC 3834 3.1.6: the report answers the original. Only an id that needs no cleaning is
 * repeated. */
static void write_references(struct buf *out, str_t original_header)
{
    struct header_field f;
    while (header_next(&original_header, &f)) {
        if (!str_ieq(f.name, STR("Message-ID")))
            continue;
        str_t id = str_trim(f.value);
        bool plain = id.len > 2 && id.len <= MESSAGE_ID_MAX && str_starts(id, STR("<")) &&
                     str_ends(id, STR(">"));
        for (size_t i = 0; plain && i < id.len; i++)
            plain = id.ptr[i] > ' ' && id.ptr[i] < 0x7f;
        if (plain) {
            field_write(out, STR("In-Reply-To"), id);
            field_write(out, STR("References"), id);
        }
        return;
    }
}

static void write_header(const struct dsn *d, struct buf *out, str_t boundary)
{
    struct field_clean clean, unique;
    struct field f;
    char date[MAIL_DATE_MAX], quoted[BOUNDARY_ROOM + 16];
    struct buf b = {.ptr = quoted, .cap = sizeof quoted - 1, .max = sizeof quoted - 1};
    write_angle(out, STR("From"), STR("Mail Delivery System"), STR("MAILER-DAEMON"), d->hostname);
    write_angle(out, STR("To"), STR_NONE, field_clean_address(&clean, d->to, d->utf8), STR_NONE);
    field_write(out, STR("Subject"),
                d->action == DSN_FAILED    ? STR("Your message could not be delivered")
                : d->action == DSN_DELAYED ? STR("Your message is delayed")
                                           : STR("Your message was delivered"));
    field_write(out, STR("Date"), str_c(mail_date(d->now_ms, date)));
    write_angle(out, STR("Message-ID"), STR_NONE, field_clean_name(&unique, d->message_id_unique),
                d->hostname);
    write_references(out, d->original_header);
    field_write(out, STR("Auto-Submitted"), STR("auto-replied")); /* RFC 3834 5 */
    field_write(out, STR("MIME-Version"), STR("1.0"));
    buf_add(&b, STR("boundary=\""));
    buf_add(&b, boundary);
    buf_addc(&b, '"');
    field_begin(&f, out, STR("Content-Type"));
    field_add(&f, STR("multipart/report;"));
    field_add(&f, STR("report-type=delivery-status;")); /* RFC 6522 3 */
    field_add(&f, buf_str(&b));
    field_end(&f);
    if (dsn_is_8bit(d))
        field_write(out, STR("Content-Transfer-Encoding"), STR("8bit"));
    buf_add(out, STR("\r\n"));
}

/* ---- parts ---- */

static void begin_part(struct buf *out, str_t boundary, str_t type, str_t encoding)
{
    buf_add(out, STR("--"));
    buf_add(out, boundary);
    buf_add(out, STR("\r\n"));
    field_write(out, STR("Content-Type"), type);
    field_write(out, STR("Content-Transfer-Encoding"), encoding);
    buf_add(out, STR("\r\n"));
}

/* The header of the original, whole lines, at most DSN_HEADER_MAX. */
static str_t returned_header(str_t original)
{
    str_t header = str_first(original, header_length(original));
    if (header.len <= DSN_HEADER_MAX)
        return header;
    header = str_first(header, DSN_HEADER_MAX);
    size_t at;
    return str_rfind(header, '\n', &at) ? str_first(header, at + 1) : header;
}

/* Whether these are lines as SMTP carries them: CRLF, within the limit, no NUL. */
static bool lines_sound(str_t s)
{
    str_t rest = s, line;
    if (s.len > 0 && !str_ends(s, STR("\r\n")))
        return false;
    while (str_cut(&rest, '\n', &line)) {
        size_t at;
        if (line.len > FIELD_LINE_MAX + 1 || !str_find(line, '\r', &at) || at + 1 != line.len ||
            memchr(line.ptr, '\0', line.len) != NULL)
            return false;
    }
    return true;
}

/* Whether it can travel as it is. */
static bool travels_plain(str_t s, bool utf8)
{
    return (utf8 ? utf8_valid(s) : str_ascii(s)) && !str_contains(s, STR("--=_")) && lines_sound(s);
}

/* RFC 2046 5.2.1: a message/rfc822 has no encoding of its own, so it goes as it is or not at all.
 * Its sender cannot know our boundary, which is made by chance afterwards. */
static bool returns_whole(const struct dsn *d)
{
    return d->whole && d->action == DSN_FAILED && lines_sound(d->original_header) &&
           (d->may_8bit || str_ascii(d->original_header));
}

bool dsn_is_8bit(const struct dsn *d)
{
    return d->utf8 || (returns_whole(d) && !str_ascii(d->original_header));
}

static void write_whole(const struct dsn *d, struct buf *out, str_t boundary)
{
    begin_part(out, boundary, d->utf8 ? STR("message/global") : STR("message/rfc822"),
               str_ascii(d->original_header) ? STR("7bit") : STR("8bit"));
    buf_add(out, d->original_header);
}

/* RFC 6522 4: a header that is no legal 7-bit content may be sent as quoted-printable. */
static void write_returned(const struct dsn *d, struct buf *out, str_t boundary)
{
    str_t header = returned_header(d->original_header);
    bool plain = travels_plain(header, d->utf8);
    begin_part(out, boundary, d->utf8 ? STR("message/global-headers") : STR("text/rfc822-headers"),
               !plain    ? STR("quoted-printable")
               : d->utf8 ? STR("8bit")
                         : STR("7bit"));
    if (plain)
        buf_add(out, header);
    else
        qp_encode(out, header);
}

bool dsn_write(const struct dsn *d, struct buf *out)
{
    char room[BOUNDARY_ROOM];
    str_t boundary = make_boundary(d->message_id_unique, room);
    str_t encoding = d->utf8 ? STR("8bit") : STR("7bit");
    if (d->to.len == 0 || d->n == 0)
        return false;
    write_header(d, out, boundary);
    begin_part(out, boundary,
               d->utf8 ? STR("text/plain; charset=utf-8") : STR("text/plain; charset=us-ascii"),
               encoding);
    dsn_human_write(d, out);
    buf_add(out, STR("\r\n"));
    begin_part(out, boundary,
               d->utf8 ? STR("message/global-delivery-status") : STR("message/delivery-status"),
               encoding);
    dsn_status_write(d, out);
    buf_add(out, STR("\r\n"));
    if (returns_whole(d))
        write_whole(d, out, boundary);
    else
        write_returned(d, out, boundary);
    buf_add(out, STR("\r\n--"));
    buf_add(out, boundary);
    buf_add(out, STR("--\r\n"));
    return !out->failed;
}
