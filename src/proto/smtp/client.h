/* client.h: the SMTP and LMTP client engine. RFC 5321; 1870 SIZE, 2033 LMTP, 2920 PIPELINING, 6152 8BITMIME, 6531 SMTPUTF8, 2034.
 *
 * An engine: bytes in (smtpc_feed), bytes out (smtpc_output, smtpc_sent), no socket, no clock. Commands are asked for in order and
 * their outcome is kept: errors stick, so that a sequence reads as a sequence. smtpc_wait (client_io.h) pumps it over a struct conn.
 *
 *     smtpc_hello(c) … smtpc_begin(c, &envelope) … smtpc_content(c, bytes) repeatedly … smtpc_end(c) … smtpc_verdict(c, i)
 *
 * Never emits a bare CR or LF: such bytes in the content end the attempt with RC_PERM 5.6.0 before anything was completed.
 * Replies are bounded: 512 bytes a line, 100 lines (more is RC_TEMP and the connection is given up); kept text is printable ASCII/UTF-8. */
#ifndef PROTO_SMTP_CLIENT_H
#define PROTO_SMTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SMTPC_REPLY_LINE 512
#define SMTPC_REPLY_LINES 100

struct smtpc_reply {
    int code;          /* 200 to 599; 0: none came */
    char status[12];   /* enhanced status if the peer gave one, else "" */
    str_t text;        /* all lines joined by blanks, without codes; at most QUEUE_REPLY_MAX bytes; in the engine's memory */
};

enum smtpc_want {
    SMTPC_READY,  /* nothing outstanding: the next step may be asked for */
    SMTPC_INPUT,  /* waiting for a reply: read and feed (by smtpc_timeout_ms) */
    SMTPC_OUTPUT, /* output is waiting: write it */
    SMTPC_DEAD,   /* the connection is of no more use; smtpc_error says why */
};

struct smtpc_config {
    str_t hostname; /* for EHLO */
    bool lmtp;
};

struct smtpc_envelope {
    str_t reverse_path;      /* local@domain, "" for <> */
    const str_t *recipients; /* local@domain, quoted where needed */
    size_t n;
    uint64_t size;           /* of the content */
    bool body_8bit, smtputf8; /* what the message needs */
};

struct smtpc;
struct smtpc *smtpc_new(const struct smtpc_config *c); /* config is borrowed. Waits for the greeting */
void smtpc_free(struct smtpc *c);
enum smtpc_want smtpc_want(const struct smtpc *c);
void smtpc_feed(struct smtpc *c, str_t bytes);
void smtpc_eof(struct smtpc *c);
str_t smtpc_output(const struct smtpc *c);
void smtpc_sent(struct smtpc *c, size_t n);
int64_t smtpc_timeout_ms(const struct smtpc *c); /* for the reply awaited now: RFC 5321 4.5.3.2 */
void smtpc_expire(struct smtpc *c);              /* that time has passed */
const struct err *smtpc_error(const struct smtpc *c);

/* What the peer offers, after the hello. */
struct smtpc_features { bool esmtp, pipelining, size, body_8bit, smtputf8, enhanced, chunking, starttls; uint64_t size_max; };
const struct smtpc_features *smtpc_features(const struct smtpc *c);
str_t smtpc_peer_name(const struct smtpc *c); /* as in its greeting */

/* Steps; each when smtpc_want is SMTPC_READY (after pumping). */
void smtpc_hello(struct smtpc *c);                                        /* EHLO, falling back to HELO */
/* MAIL, RCPTs and DATA, in one group where PIPELINING is offered. A peer that lacks what the message needs (8BITMIME, SMTPUTF8, SIZE too
 * small) fails all recipients with RC_PERM and 5.6.3 / 5.6.7 / 5.3.4 without sending; the connection stays usable. */
void smtpc_begin(struct smtpc *c, const struct smtpc_envelope *e);
bool smtpc_accepting(const struct smtpc *c); /* after begin: 354 came for at least one recipient: send the content */
void smtpc_content(struct smtpc *c, str_t bytes); /* any cuts; dots are stuffed here */
void smtpc_end(struct smtpc *c);                  /* the final dot (adding CRLF where the last line lacks it) */
/* After pumping: the outcome of recipient i: RC_OK the peer took it; RC_TEMP, RC_PERM with its reply; RC_CLOSED lost before or after
 * the final dot (then it may have been taken: repeat). */
enum rc smtpc_verdict(const struct smtpc *c, size_t i, struct smtpc_reply *reply);
void smtpc_rset(struct smtpc *c);
void smtpc_quit(struct smtpc *c);

#endif
