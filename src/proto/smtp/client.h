/* client.h: the SMTP and LMTP client engine.
 *
 * RFC 5321; 1870 SIZE, 2033 LMTP, 2034 ENHANCEDSTATUSCODES, 2852 DELIVERBY, 2920 PIPELINING, 3030
 * CHUNKING and BINARYMIME, 3207 STARTTLS, 3461 DSN, 4954 AUTH, 6152 8BITMIME, 6531 SMTPUTF8, 6710
 * MT-PRIORITY, 8689 REQUIRETLS, 9422 LIMITS.
 *
 * An engine: bytes in (smtpc_feed), bytes out (smtpc_output, smtpc_sent), no socket, no clock.
 * Commands are asked for in order and their outcome is kept: errors stick, so that a sequence
 * reads as a sequence. smtpc_pump (roles/courier/client_io.h) moves its bytes over a struct
 * conn.
 *
 *     smtpc_hello … smtpc_starttls … (TLS by the caller) smtpc_tls_started … smtpc_hello …
 *     smtpc_auth … smtpc_begin(c, &envelope) … smtpc_content repeatedly … smtpc_end …
 *     smtpc_verdict(c, i)
 *
 *     GREETING ─▶ ready ─hello─▶ EHLO (─▶ HELO) ─▶ ready
 *     ready ─starttls─▶ STARTTLS ─220─▶ granted (a byte more is an attack: dead) ─tls_started─▶ ready
 *                          └─ refused ─▶ ready
 *     ready ─auth─▶ AUTH ⇄ 334 ─▶ ready
 *     ready ─begin─▶ (RSET) MAIL RCPT… DATA ─354─▶ content ─end─▶ BODY ─▶ ready
 *                                       └─ refused ─▶ ready
 *     binary content: … RCPT… ─▶ content (BDAT n ⇄ 250) ─end─▶ BDAT 0 LAST ─▶ BODY ─▶ ready
 *     anywhere: 421, lost, timed out, a reply nobody asked for, nonsense ─▶ dead
 *
 * Never emits a bare CR, a bare LF or a NUL after DATA: such bytes in the content end the attempt
 * with RC_PERM 5.6.0 before anything was completed. Content said to be binary goes by BDAT as it
 * is, or not at all. A transaction that failed in any part is followed
 * by RSET in the next group; after success there is none. Replies are bounded: 512 bytes of a
 * line are kept and 100 lines taken (more lines, or a line over 4096 bytes, is RC_TEMP and the
 * connection is given up); kept text is printable ASCII or valid UTF-8. Not thread-safe: one
 * owner. */
#ifndef PROTO_SMTP_CLIENT_H
#define PROTO_SMTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct saslc; /* proto/sasl/client.h */

/* RFC 5321 4.5.3.1.5. What is longer is cut, for a verdict matters more than its tail … */
#define SMTPC_REPLY_LINE     512
#define SMTPC_REPLY_LINE_BAD 4096 /* … but a line longer than this is no reply */
/* … but for challenges of AUTH, where all of a line counts: those of SCRAM have some 200. */
#define SMTPC_CHALLENGE_LINE 2048
#define SMTPC_REPLY_LINES    100   /* EHLO has some 20; rejections a few */
#define SMTPC_REPLY_TEXT     4096  /* kept of one reply, as much as the queue keeps */
#define SMTPC_CONTENT_MAX    65536 /* most bytes of content a call: a chunk of the store */
/* Output waiting: a chunk in which every line is a dot grows by a third; and a group of
 * commands. */
#define SMTPC_OUTPUT_MAX 131072
/* A local part of 64 all quoted, @, a domain of 255; commands stay under 512. */
#define SMTPC_ADDRESS_MAX 400
#define SMTPC_ENVID_MAX   100 /* characters of xtext, RFC 3461 4.4; longer ones are not passed on */
#define SMTPC_ORCPT_MAX   500 /* RFC 3461 4.2 */
#define SMTPC_AUTH_LINE   12288 /* RFC 4954 4: of a response */
#define SMTPC_AUTH_STEPS  10    /* challenges; SCRAM has two, LOGIN too */
/* BDAT chunks sent and not answered yet, where PIPELINING is offered: a quarter MiB under way */
#define SMTPC_CHUNKS_AHEAD 4

/* RFC 5321 4.5.3.2 */
#define SMTPC_GREETING_MS   (5 * 60 * 1000)
#define SMTPC_HELLO_MS      (5 * 60 * 1000)
#define SMTPC_MAIL_MS       (5 * 60 * 1000)
#define SMTPC_RCPT_MS       (5 * 60 * 1000)
#define SMTPC_DATA_MS       (2 * 60 * 1000)
#define SMTPC_DATA_BLOCK_MS (3 * 60 * 1000)
#define SMTPC_DATA_END_MS   (10 * 60 * 1000)
#define SMTPC_RSET_MS       (5 * 60 * 1000)
#define SMTPC_STARTTLS_MS   (5 * 60 * 1000) /* no RFC says; as for other commands */
#define SMTPC_AUTH_MS       (5 * 60 * 1000)
#define SMTPC_QUIT_MS       (5 * 1000) /* nothing depends on the answer */

struct smtpc_reply {
    int code;        /* 200 to 599; 0: none came */
    char status[12]; /* the peer's, if of the class of the code, or ""; ours if code is 0 */
    /* All lines joined by blanks, without codes; at most SMTPC_REPLY_TEXT bytes; in the engine's
     * memory, valid until the next smtpc_begin. */
    str_t text;
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

/* RFC 3461 4.1, as bits; 0: no NOTIFY was given. */
enum smtpc_notify {
    SMTPC_NOTIFY_NEVER = 1,
    SMTPC_NOTIFY_SUCCESS = 2,
    SMTPC_NOTIFY_FAILURE = 4,
    SMTPC_NOTIFY_DELAY = 8,
};
enum smtpc_ret { SMTPC_RET_NONE, SMTPC_RET_FULL, SMTPC_RET_HDRS };

struct smtpc_dsn { /* of one recipient */
    uint8_t notify;
    str_t orcpt; /* "rfc822;user@example.org", xtext decoded; or empty */
};

/* Addresses are local@domain, quoted where needed, borrowed until the engine is ready again. */
struct smtpc_envelope {
    str_t reverse_path; /* "" for <> */
    const str_t *recipients;
    size_t n;
    uint64_t size; /* of the content */
    /* What the message needs; a non-ASCII address asks for SMTPUTF8 by itself. */
    bool body_8bit, smtputf8;
    bool body_binary; /* sent by BDAT, to a peer that offers BINARYMIME and CHUNKING */
    bool requiretls;  /* RFC 8689 4.2.1, unless the reverse-path is null (5): then if offered */
    bool auth_null;   /* after AUTH: nobody vouches for the sender, AUTH=<> (RFC 4954 5) */
    /* Said only to a peer that offers DSN (RFC 3461 5.2.2). */
    const struct smtpc_dsn *dsn; /* n of them, or NULL */
    str_t envid;                 /* xtext decoded, or empty */
    enum smtpc_ret ret;
    /* RFC 2852: 'N', 'R', or 0: no BY; by_s seconds are left (of N: perhaps fewer than none). */
    char by_mode;
    bool by_trace;
    int64_t by_s;
    int8_t priority; /* RFC 6710; told to every peer that offers MT-PRIORITY */
};

struct smtpc;
/* Waits for the greeting. config is borrowed. NULL: no memory. */
struct smtpc *smtpc_new(const struct smtpc_config *c);
void smtpc_free(struct smtpc *c);
enum smtpc_want smtpc_want(const struct smtpc *c);
void smtpc_feed(struct smtpc *c, str_t bytes);
void smtpc_eof(struct smtpc *c);
str_t smtpc_output(const struct smtpc *c);
void smtpc_sent(struct smtpc *c, size_t n);
/* For the reply awaited now, or for the output waiting: RFC 5321 4.5.3.2. */
int64_t smtpc_timeout_ms(const struct smtpc *c);
void smtpc_expire(struct smtpc *c);            /* that time has passed */
uint64_t smtpc_replies(const struct smtpc *c); /* complete ones so far: each starts the time anew */
/* Gives the connection up, with this reason for every recipient still without verdict; also after
 * QUIT, for those who were to come next. */
void smtpc_abort(struct smtpc *c, enum rc rc, const char *status, const char *text);
const struct err *smtpc_error(const struct smtpc *c);

/* What the peer offers, after the hello. */
struct smtpc_features {
    bool esmtp, pipelining, size, body_8bit, smtputf8, enhanced, chunking, starttls;
    bool binarymime, dsn, requiretls, deliverby, mt_priority, auth;
    uint64_t size_max;        /* 0: no fixed maximum (RFC 1870 3) */
    uint32_t deliverby_min_s; /* RFC 2852 2; 0: none */
    /* RFC 9422: transactions of a session, RCPTs of a transaction; 0: no limit was told */
    uint32_t mail_max, rcpt_max;
    char mechanisms[256]; /* of AUTH, by blanks; those that do not fit are left out */
};
const struct smtpc_features *smtpc_features(const struct smtpc *c);
str_t smtpc_peer_name(const struct smtpc *c); /* as in its greeting; "" if it gave none */

/* Steps; each when smtpc_want is SMTPC_READY (after pumping). On a dead connection they do
 * nothing. */
void smtpc_hello(struct smtpc *c); /* EHLO, falling back to HELO; LHLO */
/* RFC 3207 4. After pumping: smtpc_tls says GRANTED (the caller shakes hands over the same
 * connection; then smtpc_tls_started, and smtpc_hello again, for all that was offered before is
 * forgotten: 4.2) or REFUSED (smtpc_refusal says how; the connection stays as it was). */
enum smtpc_tls { SMTPC_TLS_OFF, SMTPC_TLS_REFUSED, SMTPC_TLS_GRANTED, SMTPC_TLS_ON };
void smtpc_starttls(struct smtpc *c);
enum smtpc_tls smtpc_tls(const struct smtpc *c);
/* The connection is encrypted from here on; also right after smtpc_new (implicit TLS). */
void smtpc_tls_started(struct smtpc *c);
/* RFC 4954: the exchange of `s` (borrowed until the engine is ready again), a mechanism that the
 * peer offered. After pumping: smtpc_authenticated, or smtpc_refusal. A peer that says yes without
 * having proved what the mechanism makes it prove is given up (RC_TEMP 4.7.8). */
void smtpc_auth(struct smtpc *c, struct saslc *s);
bool smtpc_authenticated(const struct smtpc *c);
const struct err *smtpc_refusal(const struct smtpc *c); /* of STARTTLS or AUTH, the peer's words */
/* MAIL, RCPTs and DATA, in one group where PIPELINING is offered. A peer that lacks what the
 * message needs (8BITMIME, BINARYMIME, SMTPUTF8, REQUIRETLS, DELIVERBY, SIZE too small) fails all
 * recipients with RC_PERM and 5.6.3 / 5.6.3 / 5.6.7 / 5.7.30 / 5.3.3 / 5.3.4 without sending; the
 * connection stays usable. */
void smtpc_begin(struct smtpc *c, const struct smtpc_envelope *e);
/* After begin: 354 came for at least one recipient (binary: one was accepted): send the
 * content. */
bool smtpc_accepting(const struct smtpc *c);
/* At most SMTPC_CONTENT_MAX bytes, while no other content waits to be sent; cut anywhere; dots
 * are stuffed here. */
void smtpc_content(struct smtpc *c, str_t bytes);
void smtpc_end(struct smtpc *c); /* the final dot (adding CRLF where the last line lacks it) */
/* Binary content: the peer refused a chunk; smtpc_content and smtpc_end do nothing any more. */
bool smtpc_chunk_refused(const struct smtpc *c);
/* After pumping: the outcome of recipient i: RC_OK the peer took it; RC_TEMP, RC_PERM with its
 * reply; RC_CLOSED lost before or after the final dot (then it may have been taken: repeat). */
enum rc smtpc_verdict(const struct smtpc *c, size_t i, struct smtpc_reply *reply);
/* No command of the last transaction was answered but by the end of the connection (also by 421
 * to MAIL): it can be repeated at once on a new connection. So peers end connections that were
 * kept open. */
bool smtpc_untouched(const struct smtpc *c);
/* The peer put us off as a whole, not one recipient: 421 at any time, or 4xx to MAIL. */
bool smtpc_put_off(const struct smtpc *c);
void smtpc_quit(struct smtpc *c);

#endif
