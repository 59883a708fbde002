/* attempt.h: one attempt to hand messages to a destination: who is asked (MX, address), the
 * connection, the transactions.
 *
 * Straight-line blocking code with a deadline on every wait; all of the world comes through
 * struct env. Used by the courier's delivery threads: open a session to a destination, send it
 * one or more messages, close it. RFC 5321 5.1 (location), 7505 (null MX). */
#ifndef ROLES_COURIER_ATTEMPT_H
#define ROLES_COURIER_ATTEMPT_H

#include "base/env.h"
#include "post/queue.h"
#include "roles/delivery/verdict.h"
#include "roles/settings.h"

#define ATTEMPT_ADDRESSES 5 /* addresses tried: mail waits, nobody else does */
#define ATTEMPT_SESSIONS  2 /* of them, those that greeted us and then would not have us */
/* a live host answers in one; the kernel's own limit is over two minutes */
#define ATTEMPT_CONNECT_MS (30 * 1000)
#define ATTEMPT_CLOSE_MS   (5 * 1000) /* for the reply to QUIT */

struct attempt;

/* Finds where `domain` is served (routes table, MX, A/AAAA), connects to the hosts in order and
 * greets. On success *out is ready for attempt_send. On failure *err is RC_TEMP (DNS not known
 * now, nobody answers …) or RC_PERM (NXDOMAIN 5.1.2, null MX 5.1.10, no host has an address
 * 5.4.4, only ourselves 5.4.6) and counts for all recipients; its text begins with the last host
 * and address tried. At most ATTEMPT_ADDRESSES addresses are tried, and ATTEMPT_SESSIONS that
 * answered. A failure of a destination that the routes table names is never permanent (4.3.5).
 * `a` holds what is looked up; *out does not depend on it. */
enum rc attempt_open(struct env *env, const struct settings *set, str_t domain, struct arena *a,
                     struct attempt **out, struct err *err);

/* The content of the message, piece by piece: chunk k, 0 <= k < m->chunks, in the arena. */
typedef enum rc attempt_chunk_fn(void *user, uint32_t k, struct arena *a, str_t *out);

/* One transaction: fills verdicts[i] for d->rcpt[i]. before_dot (may be NULL) is called just
 * before the final dot is sent: returning other than RC_OK gives the transaction up (nothing
 * delivered). Where the peer ended a kept connection before it answered anything of this
 * transaction, it is opened again, once. */
void attempt_send(struct attempt *t, const struct queue_message *m, const struct queue_delivery *d,
                  attempt_chunk_fn *chunk, enum rc (*before_dot)(void *user), void *user,
                  struct arena *a, struct attempt_verdict *verdicts);
bool attempt_usable(const struct attempt *t); /* another message may follow */
str_t attempt_host(const struct attempt *t);  /* "mx.example.org" */
const struct netaddr *attempt_addr(const struct attempt *t);
void attempt_close(struct attempt *t); /* QUIT, waiting at most 5 s */

#endif
