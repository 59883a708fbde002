/* dsn_human.c: the part of a report that people read. Our sentences are wrapped by hand; what
 * others said is indented below them, cleaned and wrapped. */
#include "mail/date.h"
#include "mail/dsn_parts.h"
#include "mail/field.h"

#include "base/utf8.h"

static void write_paragraph(struct buf *out, str_t text)
{
    struct field f;
    field_paragraph(&f, out, STR_NONE);
    field_text(&f, text, false);
    field_end(&f);
    buf_add(out, STR("\r\n"));
}

static void write_intro(const struct dsn *d, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    field_paragraph(&f, out, STR_NONE);
    field_text(&f, STR("This is the mail system at"), false);
    field_add(&f, field_clean_name(&clean, d->hostname));
    field_text(&f, STR("with a report about a message you sent."), false);
    field_end(&f);
    buf_add(out, STR("\r\n"));
    if (d->action == DSN_FAILED)
        write_paragraph(out, d->n == 1 ? STR("It could not be delivered to the address below, and "
                                             "will not be tried again.")
                                       : STR("It could not be delivered to the addresses below, "
                                             "and will not be tried again."));
    else if (d->action != DSN_DELAYED)
        write_paragraph(out, STR("You asked to be told when it is delivered."));
    else
        write_paragraph(
            out, STR("It has not been delivered to everybody yet. You need not send it again: "
                     "we keep trying, and will tell you if we have to give up."));
}

static void write_said(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    if (r->diagnostic.len == 0)
        return;
    field_paragraph(&f, out, STR("    "));
    if (r->remote_mta.len > 0)
        field_add(&f, field_clean_name(&clean, r->remote_mta));
    field_add(&f, r->remote_mta.len > 0 ? STR("said:") : STR("Details:"));
    field_text(&f, str_first(r->diagnostic, DSN_DIAGNOSTIC_MAX), d->utf8);
    field_end(&f);
}

/* What became of it, in a sentence. */
static str_t became(const struct dsn *d, const struct dsn_recipient *r)
{
    if (d->action == DSN_FAILED || d->action == DSN_DELAYED)
        return dsn_explain(r->status);
    if (r->action == DSN_RELAYED)
        return STR("The message was handed on to a server that does not report about delivery. "
                   "You will hear of it again only if it fails.");
    if (r->action == DSN_EXPANDED)
        return STR("The message was passed on to the addresses that this one stands for.");
    return STR("The message is in the mailbox.");
}

static void write_recipient(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    field_paragraph(&f, out, STR("  "));
    field_add(&f, d->utf8 || str_ascii(r->final) ? field_clean_address(&clean, r->final, d->utf8)
                                                 : field_clean_address_7bit(&clean, r->final));
    field_end(&f);
    field_paragraph(&f, out, STR("    "));
    field_text(&f, became(d, r), false);
    field_end(&f);
    write_said(d, r, out);
    buf_add(out, STR("\r\n"));
}

static void write_when(struct buf *out, str_t what, int64_t wall_ms)
{
    char date[MAIL_DATE_MAX];
    if (wall_ms == 0)
        return;
    buf_add(out, what);
    buf_add(out, str_c(mail_date(wall_ms, date)));
    buf_add(out, STR("\r\n"));
}

void dsn_human_write(const struct dsn *d, struct buf *out)
{
    struct field_clean clean;
    write_intro(d, out);
    for (size_t i = 0; i < d->n; i++)
        write_recipient(d, &d->recipients[i], out);
    write_when(out, STR("It reached us on "), d->arrived_ms);
    if (d->action == DSN_DELAYED)
        write_when(out, STR("We keep trying until "), d->give_up_ms);
    buf_add(out, STR("Please name this number if you ask the postmaster for help: "));
    buf_add(out, field_clean_name(&clean, d->queue_id));
    buf_add(out, STR("\r\n"));
}
