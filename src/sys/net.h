/* net.h: TCP: listening sockets, and connections out whose every wait has a deadline.
 *
 * Descriptors are close-on-exec. Reasons in *err (may be NULL) are sentences for a log line or a
 * bounce. */
#ifndef SYS_NET_H
#define SYS_NET_H

#include <sys/socket.h>

#include "base/env.h"
#include "base/netaddr.h"

#define NET_BACKLOG 1024 /* connections that wait while a role is restarted */

/* A listening socket on the address and port (0: any). IPv6 sockets take IPv6 only. -1 and *err on
 * failure. */
int net_listen(const struct netaddr *at, struct err *err);
/* The address a socket is bound to (port too); family NONE if it has none. */
struct netaddr net_local(int fd);

/* As env.connect: RC_OK and *out, or RC_TEMP with a status and a reason (no connection failure
 * lasts for ever). */
enum rc net_connect(const struct netaddr *to, const struct netaddr *from, int64_t deadline_ms,
                    struct conn **out, struct err *err);
/* A connection over a connected stream socket (taken; on failure closed). NULL: out of memory. */
struct conn *net_conn_new(int fd, const struct netaddr *peer, const struct netaddr *local);

/* 0: family NONE */
socklen_t net_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *out);
struct netaddr net_from_sockaddr(const struct sockaddr_storage *s);

#endif
