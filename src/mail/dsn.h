/* dsn.h: delivery status notifications. RFC 3464 (message/delivery-status), 3462/6522
 * (multipart/report), 3463 (status codes), 6533 (SMTPUTF8).
 *
 * Makes the whole message, header and body with CRLF, for failure or delay. At most the original's
 * header (64 KiB of it) is returned.
 *
 * Everything in a struct dsn but the numbers may come from strangers: no field or part ends early,
 * no line is over 998 characters, and without `utf8` the message is pure ASCII (addresses in the
 * form of RFC 6533 3, a header with 8-bit bytes as quoted-printable). */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buf.h"

#define DSN_HEADER_MAX     65536 /* returned of the original: a report must stay small */
#define DSN_DIAGNOSTIC_MAX 2000  /* shown of what a peer said, as often as there are recipients */

enum dsn_action { DSN_FAILED, DSN_DELAYED };

struct dsn_recipient {
    str_t final;             /* local@domain */
    str_t original;          /* or empty */
    str_t status;            /* "5.1.1" */
    str_t diagnostic;        /* what the peer said, "550 5.1.1 no such user"; or empty */
    str_t remote_mta;        /* host that said it, or empty: then the diagnostic is our own */
    int64_t last_attempt_ms; /* or 0: not known */
};

struct dsn {
    enum dsn_action action;
    str_t hostname;                         /* Reporting-MTA and From: MAILER-DAEMON@hostname */
    str_t to;                               /* the reverse-path */
    str_t queue_id, message_id_unique;      /* Message-ID: <unique@hostname> */
    int64_t now_ms, arrived_ms, give_up_ms; /* give_up_ms: will-retry-until, for DSN_DELAYED */
    const struct dsn_recipient *recipients;
    size_t n;
    str_t original_header; /* the message's first bytes; cut where its header ends, and at 64 KiB */
    bool utf8;
};

/* False: `out` is full, or there is nobody to write to (`to` empty: a report about a report is
 * never made) or about (n = 0). */
bool dsn_write(const struct dsn *d, struct buf *out);
/* What an enhanced status code means (RFC 3463), as a sentence for the sender: "5.1.1" gives "There
 * is no such …". */
str_t dsn_explain(str_t status);

#endif
