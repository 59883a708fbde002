/* dsn.h: delivery status notifications. RFC 3464 (message/delivery-status), 3462/6522 (multipart/report), 3463 (status codes), 6533 (SMTPUTF8).
 *
 * Makes the whole message, header and body with CRLF, for failure or delay. At most the original's header (64 KiB of it) is returned. */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED };

struct dsn_recipient {
    str_t final;      /* local@domain */
    str_t original;   /* or empty */
    str_t status;     /* "5.1.1" */
    str_t diagnostic; /* what the peer said, "550 5.1.1 no such user"; or empty */
    str_t remote_mta; /* host that said it, or empty: then the diagnostic is our own */
};

struct dsn {
    enum dsn_action action;
    str_t hostname;       /* Reporting-MTA and From: MAILER-DAEMON@hostname */
    str_t to;             /* the reverse-path */
    str_t queue_id, message_id_unique; /* Message-ID: <unique@hostname> */
    int64_t now_ms, arrived_ms, give_up_ms; /* give_up_ms: will-retry-until, for DSN_DELAYED */
    const struct dsn_recipient *recipients;
    size_t n;
    str_t original_header; /* the first bytes of the message; cut at the end of its header, and at 64 KiB */
    bool utf8;
};

bool dsn_write(const struct dsn *d, struct buf *out);

#endif
