/* next_hop.h: which way mail for a domain goes, and from which addresses.
 *
 *     the delivery's own route (via: TABLE_TRANSPORT of its address, TABLE_RELAY of its sender,
 *     the operator's word), else
 *     TABLE_TRANSPORT of the domain, else
 *     the settings' routes (this domain, then "*"), else
 *     the domain's MX
 *
 * A way of `mx` ends the search: by the domain's MX, whatever comes below. */
#ifndef ROLES_COURIER_NEXT_HOP_H
#define ROLES_COURIER_NEXT_HOP_H

#include "post/route.h"
#include "roles/courier/attempt.h"

/* `domain` in A-labels. RC_TEMP: a table cannot be read now (4.3.0) or says what is no route
 * (4.3.5). Slices point into the words, the settings or the arena. */
enum rc next_hop_find(const struct attempt_setup *s, str_t domain, str_t via, struct arena *a,
                      struct route *out, struct err *err);

/* We take this domain's mail as a backup: only better hosts get it (RFC 5321 5.1). */
bool next_hop_backup(const struct attempt_setup *s, str_t domain, struct arena *a);

/* Addresses to send from: those of TABLE_SOURCE for the sender, one of each family, always the same
 * for a domain (so that what a receiver learned of us stays true); else the settings'. */
enum rc next_hop_source(const struct attempt_setup *s, str_t sender, str_t domain, struct arena *a,
                        struct attempt_target *out, struct err *err);

#endif
