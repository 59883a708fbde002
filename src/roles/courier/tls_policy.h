/* tls_policy.h: what is asked of a host's TLS: the one place where it is decided.
 *
 *     a message with REQUIRETLS                      VERIFY (RFC 8689 4.2.1)
 *     the route's tls=                               as it says
 *     the route's auth=, and no tls=                 VERIFY: a password goes to nobody else
 *     TABLE_TLS: domain, host, *                     as the row says
 *     otherwise                                      MAY (RFC 7435)
 *
 * The first that applies. DANE (RFC 7672) and MTA-STS (RFC 8461) belong here. */
#ifndef ROLES_COURIER_TLS_POLICY_H
#define ROLES_COURIER_TLS_POLICY_H

#include "base/arena.h"
#include "base/err.h"
#include "post/route.h"

struct tls_ask {
    struct tables *tables;     /* or NULL */
    const struct route *route; /* which way; ROUTE_MX: by the domain's own records */
    str_t domain, host;        /* A-labels, lower case */
    bool requiretls;
    bool mx_secure; /* that `host` serves `domain` is validated by DNSSEC */
};

struct tls_demand {
    enum tls_policy policy;
    bool requiretls; /* the host has to offer REQUIRETLS too */
    char why[160];   /* where it comes from, for whoever reads why mail waits */
};

/* RC_TEMP 4.3.0: a table cannot be read now (nothing is sent: the policy is not known), 4.3.5: its
 * row says nothing known. RC_PERM 5.7.10: what is demanded cannot be had from this host. */
enum rc tls_policy_find(const struct tls_ask *q, struct arena *a, struct tls_demand *out,
                        struct err *err);

#endif
