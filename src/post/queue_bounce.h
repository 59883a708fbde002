/* queue_bounce.h: telling the sender: a delivery status notification as a new message in the queue.
 *
 * The rows go into the batch that takes the failed recipients out of their delivery, so a failure
 * and its bounce are one event. RFC 5321 6.1, RFC 3464 2: from <>, to the reverse-path. Mail that
 * has no sender itself (a bounce) and fails goes to our postmaster instead, once; if that fails as
 * well it is dropped, and the caller logs it loudly. Delay and success are never told to <>.
 *
 * Who of the recipients is to be in it is the caller's matter (NOTIFY). The message's envelope id and
 * its recipients' ORCPT are in it (RFC 3461 6.3); it counts for the source of the message it is
 * about, and needs TLS where that did (RFC 8689 5).
 *
 * Bounces are `dl` deliveries whoever they are for: the makers cannot look into the directory; the
 * local role can, and passes on what is not ours. */
#ifndef POST_QUEUE_BOUNCE_H
#define POST_QUEUE_BOUNCE_H

#include "mail/dsn.h"
#include "post/queue.h"

/* bytes of one recipient's diagnostic: 100 of them fit two chunks */
#define QUEUE_BOUNCE_DIAGNOSTIC_MAX 1024

struct queue_bounce {
    enum dsn_action action;
    str_t hostname;                /* ours */
    const struct queue_message *m; /* what could not be delivered */
    const struct dsn_recipient *recipients;
    size_t n;
    str_t header;       /* the first chunk of the content, or empty if it is lost */
    bool whole;         /* it is all of the content, and goes back as such (RFC 3461 4.3) */
    int64_t give_up_ms; /* DSN_DELAYED */
};

enum [[nodiscard]] queue_bounce_rc{
    QUEUE_BOUNCE_MADE,    /* *id is the new message, its rows are in the batch */
    QUEUE_BOUNCE_NONE,    /* nobody to tell of a delay or of success */
    QUEUE_BOUNCE_DROPPED, /* the postmaster's own notice failed: log it */
    QUEUE_BOUNCE_FAILED,  /* no memory */
};
/* What would become of it: MADE, NONE or DROPPED. */
enum queue_bounce_rc queue_bounce_kind(const struct queue_message *m, enum dsn_action action);
enum queue_bounce_rc queue_bounce_add(struct env *env, const struct queue_bounce *q,
                                      struct store_batch *b, struct arena *a, queue_id_t *id);

#endif
