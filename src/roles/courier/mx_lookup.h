/* mx_lookup.h: which hosts take mail for a domain, in the order to be tried, and their
 * addresses. RFC 5321 5.1, RFC 7505.
 *
 * What is absent (NXDOMAIN, no data) and what is not known now (SERVFAIL, timeout, bogus) are
 * told apart all the way: only absence is ever permanent.
 *
 *     MX answer            result
 *     records              the hosts, lowest preference first, random among equals
 *     one record "."       RC_PERM 5.1.10 (null MX)
 *     no data              the domain itself (implicit MX)
 *     NXDOMAIN             RC_PERM 5.1.2
 *     anything else        RC_TEMP 4.4.3
 */
#ifndef ROLES_COURIER_MX_LOOKUP_H
#define ROLES_COURIER_MX_LOOKUP_H

#include "base/env.h"
#include "post/route.h"
#include "roles/settings.h"

/* Hosts considered: with both families 20 lookups; no more than 5 addresses are tried anyway. */
#define MX_HOSTS_MAX     10
#define MX_ADDRESSES_MAX 8     /* of one host */
#define MX_DNS_MS        30000 /* spent on all lookups of one attempt */
/* On one: a server that is silent about AAAA must not cost the A records their turn. */
#define MX_QUERY_MS 10000

struct mx_host {
    str_t name;
    struct netaddr literal; /* given as an address: nothing to look up; else family NONE */
    uint16_t preference;
};

struct mx_hosts {
    struct mx_host host[MX_HOSTS_MAX];
    size_t n;
    uint16_t port;
    /* Named by a route: what is wrong is our own configuration, never the recipient's address. */
    bool route;
    bool secure; /* the MX records (or that there are none) are validated by DNSSEC */
    bool self;   /* records were left out because they name us, or are less preferred than us */
};

struct mx_addresses {
    enum rc rc; /* RC_OK: some; RC_PERM: the name has none; RC_TEMP: not known now */
    struct netaddr addr[2 * MX_ADDRESSES_MAX]; /* IPv6 and IPv4 by turns, with the port */
    size_t n;
};

struct mx_lookup {
    struct env *env;
    const struct settings *set;
    struct arena *arena;
    int64_t left_ms; /* of MX_DNS_MS */
};

/* By the route's host, or by the domain's MX (`domain` in A-labels, RFC 6531 3.2). */
enum rc mx_hosts_find(struct mx_lookup *l, str_t domain, const struct route *route,
                      struct mx_hosts *out, struct err *err);
void mx_addresses_find(struct mx_lookup *l, const struct mx_host *h, uint16_t port,
                       struct mx_addresses *out);
/* The address (with port) is one we listen on for SMTP: by itself, or any loopback address where
 * we listen on the wildcard. */
bool mx_self_address(const struct settings *set, const struct netaddr *a);
/* A connection that came out where it went in, at a port we listen on: ourselves behind a
 * wildcard. */
bool mx_self_connection(const struct settings *set, const struct conn *c);

#endif
