/* dsn.h: delivery status notifications. RFC 3464 (message/delivery-status), 3461 6 (what is in
 * them), 3462/6522 (multipart/report), 3463 (status codes), 6533 (SMTPUTF8), 2852 5 (DELIVERBY).
 *
 * Makes the whole message, header and body with CRLF, for failure, delay or success. Of the original
 * its header is returned (64 KiB of it), or, with `whole`, all of it.
 *
 * Everything in a struct dsn but the numbers may come from strangers: no field or part ends early,
 * no line is over 998 characters, and without `utf8` the message is pure ASCII (addresses in the
 * form of RFC 6533 3, a header with 8-bit bytes as quoted-printable). */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buf.h"

#define DSN_HEADER_MAX     65536 /* returned of the original: a report must stay small */
#define DSN_DIAGNOSTIC_MAX 2000  /* shown of what a peer said, as often as there are recipients */

/* RFC 3464 2.3.3. The last three are success, and may stand in one report together: delivered is in
 * the mailbox; relayed went to a server that sends no such reports; expanded went to those behind an
 * alias or a list. */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_recipient {
    str_t final;             /* local@domain */
    str_t original;          /* or empty */
    str_t status;            /* "5.1.1" */
    str_t diagnostic;        /* what the peer said, "550 5.1.1 no such user"; or empty */
    str_t remote_mta;        /* host that said it, or empty: then the diagnostic is our own */
    int64_t last_attempt_ms; /* or 0: not known */
    /* RFC 3461 ORCPT, "rfc822;user@example.org" decoded; wins over `original`; or empty */
    str_t orcpt;
    /* within a report of success: which kind; else the report's action counts */
    enum dsn_action action;
};

struct dsn {
    enum dsn_action action;                 /* DSN_DELIVERED, RELAYED, EXPANDED: success */
    str_t hostname;                         /* Reporting-MTA and From: MAILER-DAEMON@hostname */
    str_t to;                               /* the reverse-path */
    str_t queue_id, message_id_unique;      /* Message-ID: <unique@hostname> */
    int64_t now_ms, arrived_ms, give_up_ms; /* give_up_ms: will-retry-until, for DSN_DELAYED */
    int64_t deliver_by_ms; /* the time its sender had set (RFC 2852), in every report; or 0 */
    const struct dsn_recipient *recipients;
    size_t n;
    str_t original_header; /* the message's first bytes; cut where its header ends, and at 64 KiB */
    bool utf8;
    str_t envelope_id;   /* RFC 3461 ENVID, decoded; or empty */
    str_t received_from; /* whose connection brought it (RFC 3464 2.2.4); or empty */
    /* original_header is the whole message, and goes back as such (RFC 3461 4.3, RET=FULL; failure
     * alone). Where it cannot (lines that are none, 8-bit text in a report that is to be ASCII) its
     * header does. */
    bool whole;
    bool may_8bit; /* with `whole`: the report may hold 8-bit bytes; see dsn_is_8bit */
};

/* False: `out` is full, or there is nobody to write to (`to` empty: a report about a report is
 * never made) or about (n = 0). */
bool dsn_write(const struct dsn *d, struct buf *out);
/* Whether what dsn_write makes holds 8-bit bytes: it then needs 8BITMIME. */
bool dsn_is_8bit(const struct dsn *d);
/* What an enhanced status code means (RFC 3463), as a sentence for the sender: "5.1.1" gives "There
 * is no such …". */
str_t dsn_explain(str_t status);

#endif
