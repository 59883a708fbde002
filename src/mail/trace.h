/* trace.h: trace fields. RFC 5321 4.4 (Received, Return-Path), RFC 3848 (with protocol), RFC 9228
 * (Delivered-To). */
#ifndef MAIL_TRACE_H
#define MAIL_TRACE_H

#include "base/buf.h"
#include "base/netaddr.h"

struct trace_received {
    str_t helo;
    str_t client_name;      /* as a proxy told it; or empty */
    struct netaddr client;  /* NETADDR_NONE: our own; NETADDR_UNIX: a user of this machine */
    str_t by, protocol, id; /* "ESMTP", queue id */
    str_t tls;              /* the registered name of the cipher suite (RFC 8314 4.3); or empty */
    str_t recipient;        /* `for`, only when there is one recipient; else empty */
    int64_t wall_ms;
};
/* Folded, lines at most 78 where possible, ends with CRLF. What the client said is cut and cleaned
 * of anything that could end the field. */
bool trace_received_write(const struct trace_received *t, struct buf *out);
bool trace_return_path_write(str_t reverse_path, struct buf *out);
bool trace_delivered_to_write(str_t address, struct buf *out);

#endif
