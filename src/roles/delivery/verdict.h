/* verdict.h: how an attempt ended for one recipient: what courier hears from a peer, and what local
 * finds out itself. */
#ifndef ROLES_DELIVERY_VERDICT_H
#define ROLES_DELIVERY_VERDICT_H

#include "base/err.h"
#include "base/str.h"

/* Where one delivery ended for one recipient. */
struct attempt_verdict {
    enum rc rc;      /* RC_OK; RC_TEMP; RC_PERM; RC_CLOSED counts as RC_TEMP for the schedule */
    int code;        /* of the peer, or 0 */
    char status[12]; /* "5.1.1"; ours where the peer gave none */
    str_t text;      /* what the peer said, or our own sentence; in the arena given */
    /* ---- with RC_OK from a peer, for reports of success (RFC 3461 5.2, RFC 2852 4.1.4) ---- */
    bool dsn;      /* it offers DSN and was given NOTIFY: from here on it reports */
    bool by;       /* it offers DELIVERBY and was given it */
    bool in_store; /* by LMTP: it is in the mailbox, not merely relayed */
};

#endif
