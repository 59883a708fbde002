/* client_content.h: message content as it goes over the wire after DATA: dots stuffed (RFC 5321
 * 4.5.2), lines ended by CRLF and nothing else. */
#ifndef PROTO_SMTP_CLIENT_CONTENT_H
#define PROTO_SMTP_CLIENT_CONTENT_H

#include "base/buf.h"

/* Where in a line the content stands: zero at its start. */
enum smtpc_line { SMTPC_LINE_START, SMTPC_LINE_INSIDE, SMTPC_LINE_CR };

enum smtpc_stuff {
    SMTPC_STUFF_OK,
    SMTPC_STUFF_BARE /* bare CR, bare LF or NUL */,
    SMTPC_STUFF_FULL /* no room in *out */
};

/* Adds the bytes, stuffed, to *out. Cut the content anywhere; *at carries over. Unless OK, what
 * *out holds is not to be sent. */
enum smtpc_stuff smtpc_stuff(enum smtpc_line *at, str_t bytes, struct buf *out);
/* The end of the content: CRLF if the last line lacks it, and the dot. */
enum smtpc_stuff smtpc_stuff_end(enum smtpc_line at, struct buf *out);

#endif
