/* trace.c: see trace.h. Written for every message: parts are added as they are, nothing is
 * formatted twice. */
#include "mail/trace.h"

#include <stdio.h>

#include "mail/date.h"
#include "mail/field.h"

/* A clause: its words joined by `field_add`'s blank or fold, kept in one line. */
static void add_clause(struct field *f, str_t keyword, str_t value, str_t tail)
{
    char unit[FIELD_ADDRESS_MAX + NETADDR_TEXT + 32];
    size_t len = 0;
    str_t parts[] = {keyword, value, tail};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len > 0)
            memcpy(unit + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    field_add(f, str_of(unit, len));
}

/* RFC 5321 4.4: what the client called itself, then what we know. Without a client (our own mail)
 * there is no such clause. */
static void add_from(struct field *f, const struct trace_received *t)
{
    if (t->client.family == NETADDR_NONE || t->client.family == NETADDR_UNIX)
        return;
    struct field_clean clean, name;
    char literal[NETADDR_TEXT], known[FIELD_NAME_MAX + NETADDR_TEXT + 5];
    str_t address = str_c(netaddr_literal(&t->client, literal));
    str_t helo = t->helo.len > 0 ? field_clean_name(&clean, t->helo) : address;
    str_t parts[] = {STR(" ("), t->client_name, STR(" "), address, STR(")")};
    size_t len = 0, n = sizeof parts / sizeof *parts;
    if (t->client_name.len > 0)
        parts[1] = str_first(field_clean_name(&name, t->client_name), FIELD_NAME_MAX);
    else
        parts[2] = parts[1] = STR("");
    for (size_t i = 0; i < n; i++) {
        memcpy(known + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    add_clause(f, STR("from "), helo, str_of(known, len));
}

/* Users of this machine are known by number alone. */
static void add_by(struct field *f, const struct trace_received *t)
{
    struct field_clean clean;
    char uid[NETADDR_TEXT + 16] = "";
    if (t->client.family == NETADDR_UNIX)
        snprintf(uid, sizeof uid, " (from uid %u)", (unsigned)netaddr_uid(&t->client));
    add_clause(f, STR("by "), field_clean_name(&clean, t->by), str_c(uid));
}

bool trace_received_write(const struct trace_received *t, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    char date[MAIL_DATE_MAX];
    field_begin(&f, out, STR("Received"));
    add_from(&f, t);
    add_by(&f, t);
    add_clause(&f, STR("with "), field_clean_name(&clean, t->protocol), STR_NONE); /* RFC 3848 */
    bool with_for = t->recipient.len > 0, with_tls = t->tls.len > 0;
    str_t last = STR(";");
    add_clause(&f, STR("id "), field_clean_name(&clean, t->id),
               with_for || with_tls ? STR_NONE : last);
    if (with_for)
        add_clause(&f, STR("for <"), field_clean_address(&clean, t->recipient, true),
                   with_tls ? STR(">") : STR(">;"));
    if (with_tls) /* RFC 8314 4.3 */
        add_clause(&f, STR("tls "), field_clean_name(&clean, t->tls), last);
    field_add(&f, str_c(mail_date(t->wall_ms, date)));
    field_end(&f);
    return !out->failed;
}

bool trace_return_path_write(str_t reverse_path, struct buf *out)
{
    struct field f;
    struct field_clean clean;
    field_begin(&f, out, STR("Return-Path"));
    add_clause(&f, STR("<"), field_clean_address(&clean, reverse_path, true), STR(">"));
    field_end(&f);
    return !out->failed;
}

bool trace_delivered_to_write(str_t address, struct buf *out)
{
    struct field_clean clean;
    /* RFC 9228 4 */
    field_write(out, STR("Delivered-To"), field_clean_address(&clean, address, true));
    return !out->failed;
}
