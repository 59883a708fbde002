/* server.h: the SMTP and LMTP server engine. RFC 5321; 2033 LMTP, 4954 AUTH, 3207 STARTTLS, 2034 and
 * 3463 enhanced status codes; the extensions with their RFCs are the table in server_extension.c.
 *
 * Bytes in, events and bytes out; it knows no socket and no clock. One owner at a time. Use:
 *
 *     smtps_feed(s, bytes, now_ms);
 *     while ((ev = smtps_next(s)) != SMTPS_IDLE && ev != SMTPS_FLUSH && ev != SMTPS_CLOSE)
 *         handle it; events marked (reply) must be answered by smtps_reply before the next
 *         smtps_next;
 *     write smtps_output(s), then smtps_sent(s, n); after SMTPS_FLUSH feed smtps_rest(s) again;
 *     smtps_closing(s): close
 *
 * Bytes fed are borrowed until smtps_next gives SMTPS_IDLE (all consumed; an incomplete line was
 * copied aside) or SMTPS_FLUSH (output is to be sent first: what smtps_rest gives was not consumed,
 * feed it again afterwards). After smtps_expire, smtps_shutdown and smtps_eof call smtps_next as
 * after smtps_feed.
 *
 * States (each command's table row in server_command.c says where it is legal):
 *
 *  START ──EHLO/HELO/LHLO─▶ READY ──MAIL─▶ MAIL ──RCPT─▶ RCPT ──DATA─▶ DATA ──CRLF.CRLF─▶ READY
 *                             ▲                            └──BDAT─▶ CHUNK ⇄ BDAT ──LAST─▶ READY
 *                             └── RSET, EHLO, end of data: one function resets the transaction ──┘
 *
 * End of data is CRLF.CRLF and nothing else. After a bare CR, bare LF or NUL in DATA the engine
 * keeps consuming to the true end and then answers 554 5.6.0 itself (SMTPS_ABORT to the handler).
 * In BDAT the same bytes are refused the same way. A last chunk that lacks its line end gets one,
 * so content given as complete is always whole lines.
 *
 * Memory: a session that waits for a command outside a transaction holds this struct and the
 * client's name, nothing else. */
#ifndef PROTO_SMTP_SERVER_H
#define PROTO_SMTP_SERVER_H

#include "base/buf.h"
#include "proto/smtp/path.h"

/* octets of a command line with CRLF: RFC 5321 4.5.3.1.4 asks for 512 and more with parameters */
#define SMTPS_COMMAND_MAX 2048
#define SMTPS_DISCARD_MAX 65536 /* of a longer line so much is read away, then the session ends */
/* octets of AUTH and its responses with CRLF: RFC 4954 4 */
#define SMTPS_AUTH_LINE_MAX 12288
/* AUTH commands that may fail in a session: enough for a client that tries its mechanisms in turn */
#define SMTPS_AUTH_FAILURES_MAX 3
/* A message over size_max is read on, so that its sender is told at its end; but not for ever: past
 * the limit so many octets more and the limit again (a client that knows no SIZE may well send twice
 * of what we take), then the session ends. As much is read of chunks that belong to no transaction,
 * all together until a message is accepted. */
#define SMTPS_EXCESS_MIN (1 << 20)
/* octets of one line of content; the RFC asks for 1000, nothing honest needs more than this */
#define SMTPS_TEXT_LINE_MAX (1 << 20)
/* bytes of the transaction's arena: 1000 recipients of 256 octets and their ORCPT of 500, twice,
 * with room */
#define SMTPS_TRANSACTION_MAX (2 << 20)
/* waiting output from which SMTPS_FLUSH asks for it to be sent */
#define SMTPS_FLUSH_AT   16384
#define SMTPS_CHUNKS_MAX 16384 /* BDAT commands in one message: 50 MiB in chunks of 3 KiB */
#define SMTPS_TARPIT_MS  1000  /* how long replies are held once errors_soft is passed */

struct smtps_config {
    str_t hostname;    /* in the greeting and EHLO */
    bool lmtp;         /* LHLO, a reply for each recipient after the data */
    uint64_t size_max; /* bytes; declared as SIZE */
    /* octets read past it; 0: size_max again and SMTPS_EXCESS_MIN */
    uint64_t excess_max;
    uint32_t recipients_max; /* per transaction, at least 100 */
    uint32_t messages_max;   /* per session, 1000: then 421 */
    /* over soft each reply waits 1 s (smtps_delay_ms), at hard 421 4.7.0 and close */
    uint32_t errors_soft, errors_hard;
    /* NOOP, RSET, VRFY, HELP, EHLO without a message: 50; each more is an error */
    uint32_t junk_max;
    uint32_t idle_s; /* for a whole command line, and at most so long without progress in content */
    /* content: each byte buys 1/floor seconds, at most idle_s ahead: slower is cut off (421
     * 4.4.2) */
    uint32_t data_floor_bps;
    /* For a session without mail; content buys time as above, its end all of it. 0: no bound. */
    uint32_t session_s;
    /* What is offered. A keyword that is not is unknown: its parameters are refused (555). */
    unsigned offer;        /* set of enum smtps_offer */
    bool auth_needed;      /* submission: MAIL before AUTH is 530 5.7.0 (RFC 6409 4.3, 4954 6) */
    uint32_t future_max_s; /* FUTURERELEASE: longest interval (RFC 4865 4) */
    uint32_t by_min_s;     /* DELIVERBY: least by-time for mode R (RFC 2852 4) */
};
enum smtps_offer {
    SMTPS_OFFER_STARTTLS = 1 << 0, /* while smtps_tls(s) is not set */
    SMTPS_OFFER_AUTH = 1 << 1,     /* with the mechanisms of smtps_set_mechs, if any */
    SMTPS_OFFER_DSN = 1 << 2,
    SMTPS_OFFER_BINARYMIME = 1 << 3,
    SMTPS_OFFER_REQUIRETLS = 1 << 4, /* under TLS only (RFC 8689 2) */
    SMTPS_OFFER_DELIVERBY = 1 << 5,
    /* submission only (RFC 4865 3), and where smtps_set_wall_clock was called */
    SMTPS_OFFER_FUTURERELEASE = 1 << 6,
    SMTPS_OFFER_MT_PRIORITY = 1 << 7,
    SMTPS_OFFER_LIMITS = 1 << 8, /* MAILMAX and RCPTMAX, RFC 9422 */
    SMTPS_OFFER_ETRN = 1 << 9,
    SMTPS_OFFER_XCLIENT = 1 << 10, /* see smtps_allow_xclient: per session */
    SMTPS_OFFER_VRFY = 1 << 11,    /* VRFY and EXPN give SMTPS_VRFY; else 252 and 502 as before */
};

struct smtps;
enum smtps_event {
    SMTPS_IDLE,  /* nothing more until more is fed */
    SMTPS_FLUSH, /* output is over its watermark, or must not wait: send it before going on */
    SMTPS_HELO,  /* client said hello (smtps_helo_name, smtps_esmtp); the engine has answered */
    SMTPS_MAIL,  /* (reply) smtps_sender, smtps_mail_params; 250 opens the transaction */
    /* (reply) smtps_recipient: the path; 250 adds it (with the slot number smtps_recipients - 1) */
    SMTPS_RCPT,
    /* (reply) 354 to go on (for BDAT too, where nothing is sent unless it is refused); else the
     * reply refuses */
    SMTPS_DATA,
    /* smtps_content: bytes of the message, dots unstuffed, in order; valid until the next call */
    SMTPS_CONTENT,
    /* (reply; LMTP: smtps_reply once per accepted recipient, in order) the content is complete and
     * clean */
    SMTPS_END,
    /* the transaction ended otherwise (RSET, EHLO, too big, bad bytes, refused; smtps_why): drop
     * what was stored. Given exactly once for each accepted SMTPS_MAIL that saw no SMTPS_END */
    SMTPS_ABORT,
    /* 220 is queued: send the output, then shake hands, then smtps_tls_started; nothing is fed
     * meanwhile. Input that came behind STARTTLS has ended the session already. */
    SMTPS_STARTTLS,
    /* (reply) AUTH: smtps_auth_mech and smtps_auth_response (decoded; NULL ptr: no initial response,
     * "=" is an empty one). Answer by smtps_auth_challenge (then SMTPS_AUTH_RESPONSE follows), or by
     * smtps_reply: 235 is success, anything else failure. */
    SMTPS_AUTH,
    SMTPS_AUTH_RESPONSE, /* (reply, likewise) smtps_auth_response */
    /* the exchange is over (`*`, bad base64, line too long), the engine has answered: forget it. Not
     * given when the session ends in the middle of one: then comes SMTPS_CLOSE */
    SMTPS_AUTH_CANCEL,
    SMTPS_ETRN,    /* (reply) smtps_argument: the node name as given (RFC 1985) */
    SMTPS_XCLIENT, /* (reply: 220 to go on as new) smtps_xclient; all state is then reset */
    SMTPS_VRFY,    /* (reply) smtps_argument; smtps_is_expn */
    /* once: the session is over (QUIT, errors, timeout; smtps_why): send the output, then close */
    SMTPS_CLOSE,
};

struct smtps_mail_params {
    bool body_8bit; /* BODY=8BITMIME */
    bool smtputf8;
    bool has_size;
    uint64_t size;    /* SIZE= as declared */
    bool body_binary; /* BODY=BINARYMIME (RFC 3030): then only BDAT, and any byte is content */
    bool requiretls;  /* RFC 8689 */
    enum { SMTPS_RET_ANY, SMTPS_RET_FULL, SMTPS_RET_HDRS } ret; /* RFC 3461 4.3 */
    str_t envid; /* RFC 3461 4.4, xtext decoded, printable; "" if none */
    /* RFC 2852 4.1: seconds from now (may be <= 0 for N), mode 'N', 'R', or 0: not given; trace */
    int64_t by_s;
    char by_mode;
    bool by_trace;
    int64_t hold_for_s;    /* RFC 4865: HOLDFOR, or 0 */
    int64_t hold_until_ms; /* HOLDUNTIL as wall-clock ms, or 0 */
    int8_t priority;       /* RFC 6710, -9 … 9 */
    bool has_priority;
    str_t auth; /* RFC 4954 5: AUTH=, decoded; "<>" for AUTH=<>; ptr NULL: not given */
};

struct smtps_rcpt_params {               /* RFC 3461 4.1, 4.2 */
    bool never, success, failure, delay; /* NOTIFY; all false: not given */
    str_t orcpt;                         /* "rfc822;user@example.org", xtext decoded; or "" */
};

/* XCLIENT as Postfix documents it, but for PROTO (the client's own hello says it) and LOGIN (who has
 * logged in is known by core alone): these are not offered, and refused. ptr NULL: not given; empty: [UNAVAILABLE] or [TEMPUNAVAIL].
 * Decoded and printable; addresses without the prefix IPV6: as netaddr_parse takes them; ports are
 * 0 to 65535. Valid during the event. */
struct smtps_xclient {
    str_t name, addr, port, helo, destaddr, destport;
};

/* config is borrowed; NULL: no memory. Greeting queued. */
struct smtps *smtps_new(const struct smtps_config *c, int64_t now_ms);
void smtps_free(struct smtps *s); /* gives no SMTPS_ABORT: the owner drops what it holds itself */
void smtps_feed(struct smtps *s, str_t bytes, int64_t now_ms);
enum smtps_event smtps_next(struct smtps *s);
str_t smtps_rest(const struct smtps *s);
/* code 200 to 599 and an enhanced status ("2.1.0", its class that of the code; "" for none), text
 * without CR LF, cut so that the line has at most 512 octets; what is not printable ASCII becomes
 * '?'. Code 421 also ends the session. */
void smtps_reply(struct smtps *s, int code, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* 421 4.3.2 and SMTPS_CLOSE: now, or when the content under way has been answered. `why` is a
 * literal. */
void smtps_shutdown(struct smtps *s, const char *why);
str_t smtps_output(const struct smtps *s);
void smtps_sent(struct smtps *s, size_t n);
int64_t smtps_deadline_ms(const struct smtps *s);
void smtps_expire(struct smtps *s, int64_t now_ms); /* the deadline has passed: 421 4.4.2 */
/* the client will send no more: SMTPS_ABORT if due, then SMTPS_CLOSE; output may still be sent */
void smtps_eof(struct smtps *s);
/* hold the output so long (tarpit after errors_soft); 0 mostly */
int64_t smtps_delay_ms(const struct smtps *s);

/* ---- TLS and AUTH ---- */

/* The connection is encrypted: forgets everything that was said before (RFC 3207 4.2): hello, AUTH,
 * transaction. Also to be called before the greeting is sent where TLS was there from the start. */
void smtps_tls_started(struct smtps *s, int64_t now_ms);
bool smtps_tls(const struct smtps *s);
/* The mechanisms offered from now on, by blanks ("PLAIN LOGIN SCRAM-SHA-256"), borrowed; "": AUTH is
 * not offered. Which are allowed depends on TLS and on the client's address: the owner's policy. */
void smtps_set_mechs(struct smtps *s, str_t mechs);
/* 334, encoded here; at most SMTPS_AUTH_LINE_MAX / 2 bytes. May come back in the next call as
 * SMTPS_AUTH_RESPONSE. */
void smtps_auth_challenge(struct smtps *s, str_t challenge);
bool smtps_authenticated(const struct smtps *s); /* after 235; forgotten by TLS and XCLIENT */
/* Wall clock minus the now_ms of smtps_feed: for the dates of FUTURERELEASE, which is offered only
 * if this was called. */
void smtps_set_wall_clock(struct smtps *s, int64_t wall_minus_now_ms);
/* This client (its address is trusted) may use XCLIENT; offered if the config offers it. */
void smtps_allow_xclient(struct smtps *s);
/* Under stress (server_stressed): idle_s and error limits as given, from now on. */
void smtps_hurry(struct smtps *s, uint32_t idle_s, uint32_t errors_hard);
str_t smtps_auth_mech(const struct smtps *s);
str_t smtps_auth_response(const struct smtps *s);
str_t smtps_argument(const struct smtps *s); /* of ETRN, VRFY, EXPN */
bool smtps_is_expn(const struct smtps *s);
const struct smtps_xclient *smtps_xclient(const struct smtps *s);
const struct smtps_rcpt_params *smtps_rcpt_params(const struct smtps *s); /* during SMTPS_RCPT */

/* What the client said. Sender and parameters are valid to the end of the transaction, the
 * recipient during its event, helo until the next hello. */
str_t smtps_helo_name(const struct smtps *s);
bool smtps_esmtp(const struct smtps *s); /* EHLO or LHLO */
bool smtps_closing(const struct smtps *s);
const struct smtp_path *smtps_sender(const struct smtps *s);
const struct smtps_mail_params *smtps_mail_params(const struct smtps *s);
const struct smtp_path *smtps_recipient(const struct smtps *s);
size_t smtps_recipients(const struct smtps *s); /* accepted so far in this transaction */
str_t smtps_content(const struct smtps *s);
/* For the handler's own things of this transaction (from SMTPS_MAIL to SMTPS_END or SMTPS_ABORT),
 * SMTPS_TRANSACTION_MAX. */
struct arena *smtps_transaction_arena(struct smtps *s);
/* For the log: why the last transaction was given up or the session ended ("quit", "timeout", "bad
 * bytes" …), and how much. */
const char *smtps_why(const struct smtps *s);
uint32_t smtps_messages(const struct smtps *s); /* accepted in this session */
uint32_t smtps_errors(const struct smtps *s);   /* all of this session */

#endif
