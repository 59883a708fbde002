/* outcome_tell.h: between outcome.c, outcome_tell.c and outcome_log.c. */
#ifndef ROLES_DELIVERY_OUTCOME_TELL_H
#define ROLES_DELIVERY_OUTCOME_TELL_H

#include "roles/delivery/job.h"

struct fate { /* what became of one recipient */
    enum queue_outcome outcome;
    str_t status, diagnostic; /* of a failure, for its report */
    bool given_up;            /* a failure for its age: `diagnostic` says so, `status` too */
};

struct split { /* the recipients by what became of them */
    struct fate *fate;
    struct queue_rcpt *keep; /* those that wait, and which they are */
    size_t *kept;
    size_t nkeep, nfail;
    str_t reason; /* of the first that is kept */
};

/* Adds the reports that are due to the batch, and says so in the event and the row. False: no
 * memory. */
bool outcome_tell(struct job *j, struct split *s, struct queue_delivery *d, struct queue_event *e);

#endif
