/* client_reply.h: takes bytes from a server apart into replies. RFC 5321 4.2; enhanced status
 * RFC 2034, 3463.
 *
 * Strict about what decides (codes, their class, the line structure), tolerant about the rest:
 * bare LF ends a line, control characters, NUL and invalid UTF-8 in the text become '?', long
 * lines are cut. Fixed memory, no allocation. */
#ifndef PROTO_SMTP_CLIENT_REPLY_H
#define PROTO_SMTP_CLIENT_REPLY_H

#include "proto/smtp/client.h"

enum smtpc_read {
    SMTPC_READ_MORE,  /* all bytes are used, the line is not complete */
    SMTPC_READ_LINE,  /* a line with more to follow */
    SMTPC_READ_REPLY, /* the last line: code, status and text are complete */
    SMTPC_READ_BAD,   /* not a reply, or over the limits; nothing after it can be trusted */
};

struct smtpc_reader {
    int code; /* of the reply, from its first line on; the last line's when complete */
    char status[12];
    char text[SMTPC_REPLY_TEXT];
    size_t text_len;
    unsigned lines;
    bool complete; /* the next byte starts a new reply */
    char line[SMTPC_CHALLENGE_LINE];
    size_t line_len, line_seen; /* kept, and seen in all */
    size_t line_max;            /* kept at most; SMTPC_REPLY_LINE unless set */
};

void smtpc_reader_init(struct smtpc_reader *r);
/* Uses bytes from the front of *bytes up to the end of one line. *line is that line's text
 * without its code (as sent, enhanced status included), valid until the next call. */
enum smtpc_read smtpc_reader_next(struct smtpc_reader *r, str_t *bytes, str_t *line);
static inline str_t smtpc_reader_text(const struct smtpc_reader *r)
{
    return str_of(r->text, r->text_len);
}
bool smtpc_reader_idle(const struct smtpc_reader *r); /* no byte of an incomplete reply was seen */

#endif
