/* server_hello.c: the greeting, and EHLO, HELO, LHLO (RFC 5321 4.1.1.1, RFC 2033 4.1). */
#include "proto/smtp/server_internal.h"

#include <stdlib.h>

void smtps_greeting(struct smtps *s)
{
    buf_addf(&s->out, "220 " STR_FMT " %s postrider\r\n", STR_ARG(s->config->hostname),
             s->config->lmtp ? "LMTP" : "ESMTP");
}

/* The first word, which should be a domain or an address literal. Clients call themselves all sorts
 * of things, and RFC 5321 4.1.4 forbids to refuse mail because the name does not fit the address:
 * printable ASCII is enough. */
static bool name_ok(str_t name)
{
    if (name.len == 0 || name.len > SMTP_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
            return false;
    return true;
}

/* Clears everything as RSET does (4.1.4), or answers why not and changes nothing. */
static bool hello(struct smtps *s, str_t arg, bool esmtp)
{
    str_t name = arg, rest = arg;
    if (str_cut(&rest, ' ', &name)) /* 4.1.1.1: something may follow the literal */
        (void)rest;
    if (!name_ok(name)) {
        smtps_fault(s, 501, "5.5.4", "hello needs your name");
        return false;
    }
    char *copy = malloc(name.len + 1);
    if (copy == NULL) {
        smtps_close_with(s, 421, "4.3.0", "out of memory", "out of memory");
        return false;
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    free(s->helo);
    s->helo = copy;
    s->esmtp = esmtp;
    smtps_transaction_abort(s, "hello");
    s->state = ST_READY;
    return true;
}

void smtps_forget_hello(struct smtps *s)
{
    smtps_transaction_abort(s, "hello");
    free(s->helo);
    s->helo = NULL;
    s->esmtp = s->authenticated = false;
    s->state = ST_START;
}

enum smtps_event smtps_cmd_ehlo(struct smtps *s, str_t arg)
{
    if (!hello(s, arg, true))
        return SMTPS_IDLE;
    smtps_say_extensions(s);
    return SMTPS_HELO;
}

enum smtps_event smtps_cmd_helo(struct smtps *s, str_t arg)
{
    if (!hello(s, arg, false))
        return SMTPS_IDLE;
    buf_addf(&s->out, "250 " STR_FMT "\r\n", STR_ARG(s->config->hostname));
    return SMTPS_HELO;
}
