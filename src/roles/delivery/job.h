/* job.h: one delivery in a carrier's hands: reading it, and making its outcome durable. Used by
 * courier and local. One owner: the worker that has its schedule entry.
 *
 *     job.c            the rows it consists of
 *     early.c          what is decided before anybody tries it
 *     outcome.c        what its verdicts mean for the rows
 *     outcome_tell.c   who is told
 *     outcome_log.c    its lines in the log
 *     settle.c         the batch with that, until it is durable */
#ifndef ROLES_DELIVERY_JOB_H
#define ROLES_DELIVERY_JOB_H

#include "roles/delivery/carrier.h"
#include "roles/delivery/verdict.h"

/* recipients that an event or a notice names; an alias can become more: then it says how many */
#define JOB_RESULTS_MAX 100

struct fate; /* what became of a recipient: outcome_tell.h */

struct job {
    struct carrier *c;
    struct schedule_entry entry;
    struct arena arena;
    str_t key, value; /* the delivery row as read: what the outcome requires */
    /* the message row as read: required where it changes. Encoded anew it may be of a newer version. */
    str_t m_value;
    struct queue_message m;
    struct queue_delivery d;
    str_t first;       /* chunk 0 */
    bool content_lost; /* a chunk is damaged or missing */
    bool abandoned;    /* before_dot gave it up: nothing happened */

    struct attempt_verdict *verdicts; /* one for each of d.rcpt */
    bool partial; /* only those with RC_PERM count; the others are left as they are, untried */
    bool late;    /* nobody was asked: the sender is told that the time of DELIVERBY has passed */
    bool again;   /* asked for by hand while it was under way: it is tried once more */
    enum queue_outcome *became; /* local: what RC_OK means for each; NULL: delivered */
    /* local: further rows of the outcome (STORE_EQUAL, _PUT, _PUT_NEW), in the arena */
    struct store_op *more;
    size_t nmore;
    /* local: recipients that became several and asked to hear of success */
    struct queue_rcpt *expanded;
    size_t nexpanded;
    str_t host, addr; /* who gave them, or empty */
    str_t tls; /* how that connection was protected, "TLSv1.3 … verified", "plaintext"; or empty */
    int64_t time_ms; /* wall clock of the attempt, and its number: they name its event */
    uint32_t serial;

    /* the outcome */
    bool submitted;
    bool removed; /* by hand, meanwhile: only what happened is recorded */
    bool plain;   /* nobody is told, nothing is added: the deletes alone would say it all … */
    bool minimal; /* … and do, as the disk is full */
    bool brief;   /* what is to be told is more than a batch takes: in few words */
    bool told;    /* of success */
    bool ends;    /* nobody is left to get it */
    bool dropped; /* the postmaster's notice failed */
    const struct fate *fate; /* of each of d.rcpt, as the batch has it */
    bool bounced, warned;    /* the sender is told of failure, of delay: by these messages … */
    queue_id_t bounce, warning, report; /* … and by this one, if `told` */
    int64_t next_ms;
    struct store_batch batch;
    struct store_commit commit;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

void job_init(struct job *j, struct carrier *c);
void job_free(struct job *j);

/* True: it is to be tried now, and j->m, d, first are filled. False: it was put back or is gone. */
bool job_read(struct job *j, struct schedule_entry e);
/* The same for several, with one question to the store. What was read lives in `a`, until all of
 * them are finished. */
#define JOB_TOGETHER 16
void job_read_all(struct job *const *j, const struct schedule_entry *e, size_t n, struct arena *a,
                  bool *ready);
/* One chunk of the content (attempt_chunk_fn). */
enum rc job_chunk(struct job *j, uint32_t k, struct arena *a, str_t *out);
/* Every recipient ended the same way. */
void job_verdict_all(struct job *j, enum rc rc, const char *status, str_t text);
/* "550 5.1.1 no such user", as the peer said it, or our own words. */
str_t outcome_said(struct job *j, const struct attempt_verdict *v);
/* The content is lost: deferred the first time, then failed. Those the peer had already taken it
 * for stay delivered. */
void job_verdict_lost(struct job *j);
/* Begins to make the outcome durable. */
void job_submit(struct job *j);
/* Waits until it is, whatever it takes, and logs it. False: it cannot be (the role stops, or the lease
 * is lost). Nothing to do if not submitted. */
bool job_finish(struct job *j);

/* ---- between the files of this folder ---- */
bool job_early(struct job *j);    /* false: it is dealt with, and not to be tried now */
bool job_too_late(struct job *j); /* its sender wants it no more (RFC 2852) */
/* Its row is held: it is forgotten when the hint of that comes, not before: the operator may have
 * released it since the row was read. */
void job_held(struct job *j);
/* When its age begins: on arrival, or when it was released (RFC 4865). */
static inline int64_t job_born_ms(const struct job *j)
{
    int64_t arrived = agenda_since(&j->c->agenda, j->d.arrived_ms);
    return arrived > j->m.release_ms ? arrived : j->m.release_ms;
}
bool outcome_build(struct job *j);     /* the batch for j as it stands; false: no memory */
void outcome_log(const struct job *j); /* once it is durable: as it was built last */
str_t outcome_event_key(struct job *j);

#endif
