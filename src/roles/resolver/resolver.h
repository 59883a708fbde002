/* resolver.h: DNS answered over channels, by libunbound with one cache for all who ask.
 *
 * Everything is configured without files, so that it works after the sandbox closed. Without
 * settings.dns_servers it asks from the root servers down, otherwise those servers. With
 * settings.dnssec answers are validated from the root's keys: what fails is DNS_BOGUS, never
 * used. Names under test. and localhost. are asked like all others. */
#ifndef ROLES_RESOLVER_RESOLVER_H
#define ROLES_RESOLVER_RESOLVER_H

#include "base/err.h"
#include "roles/settings.h"

#define RESOLVER_IN_FLIGHT 1000 /* queries at once; over it the answer is SERVFAIL: try later */

struct resolver;
/* Starts its thread. NULL and *err. */
struct resolver *resolver_new(const struct settings *set, struct err *err);
/* serves one more client on that socket (taken) */
void resolver_attach(struct resolver *r, int fd);
void resolver_free(struct resolver *r); /* all clients' sockets must be closed; joins */

#endif
