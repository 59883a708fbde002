/* netaddr.h: an IPv4 or IPv6 address with a port, and networks. Pure: no lookups.
 *
 * A v4-mapped IPv6 address (::ffff:192.0.2.1) counts as the IPv4 address it stands for wherever
 * addresses are compared. */
#ifndef BASE_NETADDR_H
#define BASE_NETADDR_H

#include "base/str.h"

/* UNIX: a process of this machine, on a Unix socket; the first 4 bytes are its user id as the kernel
 * gives it (SO_PEERCRED), in network order. Its text is "uid=1000"; it is in no network. */
enum netaddr_family { NETADDR_NONE, NETADDR_V4, NETADDR_V6, NETADDR_UNIX };

struct netaddr {
    enum netaddr_family family;
    uint16_t port;     /* host order; 0: none */
    uint8_t bytes[16]; /* the first 4 for IPv4; network order */
};

struct netaddr_net {
    struct netaddr addr;
    unsigned bits;
};

#define NETADDR_TEXT 64 /* room for any text form with its NUL */

bool netaddr_parse(str_t s, struct netaddr *out);      /* "192.0.2.1" or "2001:db8::1"; port 0 */
bool netaddr_parse_port(str_t s, struct netaddr *out); /* "192.0.2.1:25" or "[2001:db8::1]:25" */
/* "10.0.0.0/8"; an address alone is /32 or /128 */
bool netaddr_parse_net(str_t s, struct netaddr_net *out);
/* v4-mapped v6 matches v4, never ::/0 */
bool netaddr_in(const struct netaddr_net *net, const struct netaddr *a);
/* A v4-mapped address as the IPv4 address it stands for; any other as it is. */
struct netaddr netaddr_plain(const struct netaddr *a);
bool netaddr_eq(const struct netaddr *a, const struct netaddr *b);          /* address, not port */
bool netaddr_loopback(const struct netaddr *a);                             /* 127/8 and ::1 */
char *netaddr_text(const struct netaddr *a, char out[static NETADDR_TEXT]); /* without port */
/* "1.2.3.4:25", "[::1]:25", "uid=1000" */
char *netaddr_text_port(const struct netaddr *a, char out[static NETADDR_TEXT]);
/* As in EHLO, Received and address literals (RFC 5321 4.1.3): "[192.0.2.1]",
 * "[IPv6:2001:db8::1]". */
char *netaddr_literal(const struct netaddr *a, char out[static NETADDR_TEXT]);

struct netaddr netaddr_of_uid(uint32_t uid);   /* family UNIX */
uint32_t netaddr_uid(const struct netaddr *a); /* of family UNIX */

#endif
