/* attempt.h: one attempt to hand messages to a destination: who is asked (route, MX, address), the
 * connection with its TLS and AUTH, the transactions.
 *
 * Straight-line blocking code with a deadline on every wait; all of the world comes through
 * struct env. Used by the courier's delivery threads: open a session to a destination, send it
 * one or more messages, close it. RFC 5321 5.1 (location), 7505 (null MX), 3207 (STARTTLS), 7435
 * (opportunistic security), 8689 (REQUIRETLS), 4954 (AUTH).
 *
 * What is asked of a host's TLS (roles/courier/tls_policy.h) holds for the whole session:
 *
 *     policy     not offered, or refused       handshake fails
 *     NONE       not asked for                 –
 *     MAY        plaintext                     the same address again, in plaintext, once
 *     ENCRYPT    the next host; deferred       the next host; deferred
 *     VERIFY     likewise                      likewise; also where the name or its trust is wrong
 *
 * Under ENCRYPT and VERIFY no MAIL is ever said in plaintext, and no password under any policy. */
#ifndef ROLES_COURIER_ATTEMPT_H
#define ROLES_COURIER_ATTEMPT_H

#include "base/env.h"
#include "post/queue.h"
#include "post/table.h"
#include "roles/delivery/verdict.h"
#include "roles/settings.h"
#include "sys/tls.h"

#define ATTEMPT_ADDRESSES 5 /* addresses tried: mail waits, nobody else does */
#define ATTEMPT_SESSIONS  2 /* of them, those that greeted us and then would not have us */
/* a live host answers in one; the kernel's own limit is over two minutes */
#define ATTEMPT_CONNECT_MS (30 * 1000)
#define ATTEMPT_TLS_MS     (60 * 1000) /* for a handshake */
#define ATTEMPT_CLOSE_MS   (5 * 1000)  /* for the reply to QUIT */

/* What the role has; the same for all attempts. */
struct attempt_setup {
    struct env *env;
    const struct settings *set;
    struct tables *tables;  /* NULL: there are none */
    struct tls_client *tls; /* NULL: this server cannot do TLS */
};

/* Where to, and under which conditions. Two deliveries with the same can share a connection. */
struct attempt_target {
    str_t domain;
    str_t via;       /* a route in the words of post/route.h; empty: by the domain */
    bool requiretls; /* RFC 8689 4.2.1: every host verified, and it promises the same */
    struct netaddr from_v4, from_v6; /* addresses to send from; NONE: the system's choice */
    bool pool; /* they come from TABLE_SOURCE: no other is used where one family lacks */
};
/* Of one delivery. RC_TEMP: a table cannot be read now, or says what cannot be. */
enum rc attempt_target_of(const struct attempt_setup *s, const struct queue_message *m,
                          const struct queue_delivery *d, struct arena *a,
                          struct attempt_target *out, struct err *err);
/* True: what holds for one (that it cannot be reached) holds for the other. */
bool attempt_target_same(const struct attempt_target *a, const struct attempt_target *b);

struct attempt;

/* Finds where the target is served (route: via, TABLE_TRANSPORT, settings; else MX, A/AAAA),
 * connects to the hosts in order, greets, and does what the policy and the route ask for. On success
 * *out is ready for attempt_send. On failure *err is RC_TEMP (DNS not known now, nobody answers,
 * TLS not as demanded 4.7.x, credentials refused 4.7.8 …) or RC_PERM (NXDOMAIN 5.1.2, null MX
 * 5.1.10, no host has an address 5.4.4, only ourselves 5.4.6, an `error` route; for requiretls also
 * 5.7.10 and 5.7.30) and counts for all recipients; its text begins with the last host and address
 * tried. At most ATTEMPT_ADDRESSES addresses are tried, and ATTEMPT_SESSIONS that answered. A
 * failure of a destination that a route names is never permanent (4.3.5), and that we are the best
 * host of a domain we are a backup of (TABLE_BACKUP) is not either (4.4.6).
 * `site` (may be NULL) hears the name of the best host, with ":PORT" where the route has one, before
 * any is connected to; false: it is not to be (RC_TEMP, and *err says no more than that).
 * `a` holds what is looked up; *out does not depend on it. */
typedef bool attempt_site_fn(void *user, str_t host);
enum rc attempt_open(const struct attempt_setup *s, const struct attempt_target *to,
                     attempt_site_fn *site, void *user, struct arena *a, struct attempt **out,
                     struct err *err);
/* The open session will do for this target too. */
bool attempt_fits(const struct attempt *t, const struct attempt_target *to);

/* The content of the message, piece by piece: chunk k, 0 <= k < m->chunks, in the arena. */
typedef enum rc attempt_chunk_fn(void *user, uint32_t k, struct arena *a, str_t *out);

/* Fills verdicts[i] for d->rcpt[i]: one transaction, or several where the peer takes fewer
 * recipients in one (RFC 9422). before_dot (may be NULL) is called just before the end of each is
 * sent: returning other than RC_OK gives the transaction up (nothing delivered). Where the peer
 * ended a kept connection before it answered anything of this transaction, it is opened again,
 * once. */
void attempt_send(struct attempt *t, const struct queue_message *m, const struct queue_delivery *d,
                  attempt_chunk_fn *chunk, enum rc (*before_dot)(void *user), void *user,
                  struct arena *a, struct attempt_verdict *verdicts);
bool attempt_usable(const struct attempt *t); /* another message may follow */
/* The peer wants to be left alone for a while: 421, or 4xx to MAIL. */
bool attempt_put_off(const struct attempt *t);
str_t attempt_host(const struct attempt *t); /* "mx.example.org" */
const struct netaddr *attempt_addr(const struct attempt *t);
/* How it is protected, for log and trace: "TLSv1.3 TLS_AES_256_GCM_SHA384 verified",
 * "… unverified" or "plaintext"; lives as long as t. */
str_t attempt_tls(const struct attempt *t);
void attempt_close(struct attempt *t); /* QUIT, waiting at most 5 s */

#endif
