/* proxy.h: the header with which a proxy says whose connection it brings: the PROXY protocol of
 * HAProxy (proxy-protocol.txt, "2.1 Human-readable header format", "2.2 Binary header format").
 *
 * Only for peers that are known to be our proxies: anybody can write such a header. */
#ifndef BASE_PROXY_H
#define BASE_PROXY_H

#include "base/netaddr.h"

#define PROXY_V1_MAX 107 /* with its CRLF: the longest line of two IPv6 addresses (2.1) */
#define PROXY_HEADER_MAX \
    536 /* what any TCP carries in one segment, as 2.2 wants it: more is refused */

enum proxy_rc {
    PROXY_MORE, /* a header so far; never with PROXY_HEADER_MAX bytes or more */
    PROXY_OK,
    PROXY_BAD, /* none, or not one for a stream: close the connection (2) */
};

struct proxy_header {
    size_t size; /* of the header: what follows is the client's */
    /* The proxy speaks for itself (LOCAL: it asks whether we live), or does not know whom it speaks
     * for (UNKNOWN, AF_UNSPEC), or for a Unix socket of its own: the addresses of the socket count
     * (2.2), those below are none. */
    bool local;
    struct netaddr from, to; /* the client, and the address it called; v4-mapped: as IPv4 */
};

/* Looks at the first bytes of a connection; *out is set on PROXY_OK. */
enum proxy_rc proxy_parse(str_t bytes, struct proxy_header *out);

#endif
