/* dsn_status.c: message/delivery-status: fields for the message, then a group for each recipient.
 * RFC 3464 2. */
#include "mail/date.h"
#include "mail/dsn_parts.h"
#include "mail/field.h"

#include "base/utf8.h"

static void write_date(struct buf *out, str_t name, int64_t wall_ms)
{
    char date[MAIL_DATE_MAX];
    if (wall_ms != 0)
        field_write(out, name, str_c(mail_date(wall_ms, date)));
}

/* "name: type; value". The type is followed by a fold if need be. */
static void write_typed(struct buf *out, str_t name, str_t type, str_t value)
{
    struct field f;
    field_begin(&f, out, name);
    field_add(&f, type);
    field_add(&f, value);
    field_end(&f);
}

/* RFC 6533 3 and 4.1: an address outside of ASCII is of type utf-8, in a 7-bit report in its 7-bit
 * form. */
static void write_address(struct buf *out, str_t name, str_t address, bool utf8)
{
    struct field_clean clean;
    if (str_ascii(address))
        write_typed(out, name, STR("rfc822;"), field_clean_address(&clean, address, false));
    else if (utf8)
        write_typed(out, name, STR("utf-8;"), field_clean_address(&clean, address, true));
    else
        write_typed(out, name, STR("utf-8;"), field_clean_address_7bit(&clean, address));
}

/* A number of one to three digits without a leading zero. */
static bool is_subcode(str_t s)
{
    uint64_t v;
    return s.len <= 3 && str_u64(s, 999, &v) && (s.len == 1 || s.ptr[0] != '0');
}

/* RFC 3464 2.3.4; what is no code, or claims success, becomes "other" of the class that fits the
 * action. */
static str_t status_code(str_t status, enum dsn_action action)
{
    str_t class, subject, rest = status;
    if (str_cut(&rest, '.', &class) && str_cut(&rest, '.', &subject) && is_subcode(subject) &&
        is_subcode(rest) && (str_eq(class, STR("5")) || str_eq(class, STR("4"))))
        return status;
    return action == DSN_FAILED ? STR("5.0.0") : STR("4.0.0");
}

static void write_diagnostic(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    struct field f;
    if (r->diagnostic.len == 0)
        return;
    field_begin(&f, out, STR("Diagnostic-Code"));
    field_add(&f, r->remote_mta.len > 0 ? STR("smtp;") : STR("x-postrider;")); /* RFC 3464 2.3.6 */
    field_text(&f, str_first(r->diagnostic, DSN_DIAGNOSTIC_MAX), d->utf8);
    field_end(&f);
}

static void write_recipient(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    struct field_clean clean;
    buf_add(out, STR("\r\n"));
    if (r->original.len > 0)
        write_address(out, STR("Original-Recipient"), r->original, d->utf8);
    write_address(out, STR("Final-Recipient"), r->final, d->utf8);
    field_write(out, STR("Action"), d->action == DSN_FAILED ? STR("failed") : STR("delayed"));
    field_write(out, STR("Status"), status_code(r->status, d->action));
    if (r->remote_mta.len > 0)
        write_typed(out, STR("Remote-MTA"), STR("dns;"), field_clean_name(&clean, r->remote_mta));
    write_diagnostic(d, r, out);
    write_date(out, STR("Last-Attempt-Date"), r->last_attempt_ms);
    if (d->action == DSN_DELAYED) /* must not be in others: RFC 3464 2.3.9 */
        write_date(out, STR("Will-Retry-Until"), d->give_up_ms);
}

void dsn_status_write(const struct dsn *d, struct buf *out)
{
    struct field_clean clean;
    write_typed(out, STR("Reporting-MTA"), STR("dns;"), field_clean_name(&clean, d->hostname));
    write_date(out, STR("Arrival-Date"), d->arrived_ms);
    field_write(out, STR("X-Postrider-Queue-ID"), field_clean_name(&clean, d->queue_id)); /* 2.4 */
    for (size_t i = 0; i < d->n; i++)
        write_recipient(d, &d->recipients[i], out);
}
