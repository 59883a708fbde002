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
    bool success = action != DSN_FAILED && action != DSN_DELAYED;
    if (str_cut(&rest, '.', &class) && str_cut(&rest, '.', &subject) && is_subcode(subject) &&
        is_subcode(rest) &&
        (success ? str_eq(class, STR("2")) : str_eq(class, STR("5")) || str_eq(class, STR("4"))))
        return status;
    return success ? STR("2.0.0") : action == DSN_FAILED ? STR("5.0.0") : STR("4.0.0");
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

/* RFC 3464 2.3.1: as the sender gave it, type and all. */
static void write_orcpt(const struct dsn *d, str_t orcpt, struct buf *out)
{
    static const str_t name = STR("Original-Recipient");
    struct field_clean type, address;
    char unit[64];
    str_t rest = orcpt, word;
    if (!str_cut(&rest, ';', &word) || str_ieq(word, STR("rfc822")) ||
        str_ieq(word, STR("utf-8")) || word.len + 2 > sizeof unit) {
        write_address(out, name, rest, d->utf8);
        return;
    }
    word = field_clean_name(&type, word);
    memcpy(unit, word.ptr, word.len);
    unit[word.len] = ';';
    write_typed(out, name, str_of(unit, word.len + 1),
                field_clean_address(&address, rest, d->utf8));
}

static str_t action_name(enum dsn_action a)
{
    switch (a) {
    case DSN_FAILED: return STR("failed");
    case DSN_DELAYED: return STR("delayed");
    case DSN_DELIVERED: return STR("delivered");
    case DSN_RELAYED: return STR("relayed");
    case DSN_EXPANDED: return STR("expanded");
    }
    return STR("failed");
}

/* Within a report of success each recipient has its own. */
static enum dsn_action action_of(const struct dsn *d, const struct dsn_recipient *r)
{
    bool success = d->action != DSN_FAILED && d->action != DSN_DELAYED;
    bool its_own = r->action != DSN_FAILED && r->action != DSN_DELAYED;
    return success && its_own ? r->action : d->action;
}

static void write_recipient(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    struct field_clean clean;
    buf_add(out, STR("\r\n"));
    enum dsn_action action = action_of(d, r);
    if (r->orcpt.len > 0)
        write_orcpt(d, r->orcpt, out);
    else if (r->original.len > 0)
        write_address(out, STR("Original-Recipient"), r->original, d->utf8);
    write_address(out, STR("Final-Recipient"), r->final, d->utf8);
    field_write(out, STR("Action"), action_name(action));
    field_write(out, STR("Status"), status_code(r->status, action));
    if (r->remote_mta.len > 0)
        write_typed(out, STR("Remote-MTA"), STR("dns;"), field_clean_name(&clean, r->remote_mta));
    write_diagnostic(d, r, out);
    write_date(out, STR("Last-Attempt-Date"), r->last_attempt_ms);
    field_write(out, STR("Final-Log-ID"), field_clean_name(&clean, d->queue_id)); /* 2.3.8 */
    if (d->action == DSN_DELAYED) /* must not be in others: RFC 3464 2.3.9 */
        write_date(out, STR("Will-Retry-Until"), d->give_up_ms);
}

/* Of the message: RFC 3464 2.2.1 must be there if an ENVID was, 2.2.4 may. */
static void write_origin(const struct dsn *d, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    if (d->envelope_id.len > 0) {
        field_begin(&f, out, STR("Original-Envelope-Id"));
        field_text(&f, d->envelope_id, false);
        field_end(&f);
    }
    if (d->received_from.len > 0)
        write_typed(out, STR("Received-From-MTA"), STR("dns;"),
                    field_clean_name(&clean, d->received_from));
}

void dsn_status_write(const struct dsn *d, struct buf *out)
{
    struct field_clean clean;
    write_origin(d, out);
    write_typed(out, STR("Reporting-MTA"), STR("dns;"), field_clean_name(&clean, d->hostname));
    write_date(out, STR("Arrival-Date"), d->arrived_ms);
    write_date(out, STR("Deliver-By-Date"), d->deliver_by_ms); /* RFC 2852 5: in this place */
    field_write(out, STR("X-Postrider-Queue-ID"), field_clean_name(&clean, d->queue_id)); /* 2.4 */
    for (size_t i = 0; i < d->n; i++)
        write_recipient(d, &d->recipients[i], out);
}
