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
};

#endif
