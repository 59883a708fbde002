/* server.h: the SMTP and LMTP server engine. RFC 5321; 1652/6152 8BITMIME, 1870 SIZE, 2033 LMTP, 2034 and 3463 enhanced status
 * codes, 2920 PIPELINING, 3030 CHUNKING, 6531 SMTPUTF8.
 *
 * Bytes in, events and bytes out; it knows no socket and no clock. Use:
 *
 *     smtps_feed(s, bytes, now_ms);
 *     while ((ev = smtps_next(s)) != SMTPS_IDLE)
 *         handle it; events marked (reply) must be answered by exactly one smtps_reply before the next smtps_next;
 *     write smtps_output(s), then smtps_sent(s, n)
 *
 * Bytes fed are borrowed until smtps_next gives SMTPS_IDLE (all consumed; an incomplete line was copied aside) or
 * SMTPS_FLUSH (output is to be sent first: call smtps_rest for what was not consumed, feed it again later).
 *
 * States (each command's table row says where it is legal):
 *
 *     START ──EHLO/HELO/LHLO──▶ READY ──MAIL──▶ MAIL ──RCPT──▶ RCPT ──DATA──▶ DATA ──CRLF.CRLF──▶ READY
 *                                 ▲                              └──BDAT──▶ BDAT ──LAST────▶ READY
 *                                 └───── RSET, EHLO, end of data: one function resets the one transaction ─────┘
 *
 * End of data is CRLF.CRLF and nothing else. After a bare CR, bare LF or NUL in DATA the engine keeps consuming to the true end
 * and then answers 554 5.6.0 itself (SMTPS_ABORT to the handler). In BDAT the same bytes are refused the same way. */
#ifndef PROTO_SMTP_SERVER_H
#define PROTO_SMTP_SERVER_H

#include "base/buf.h"
#include "proto/smtp/path.h"

struct smtps_config {
    str_t hostname;          /* in the greeting and EHLO */
    bool lmtp;               /* LHLO, a reply for each recipient after the data */
    uint64_t size_max;       /* bytes; declared as SIZE */
    uint32_t recipients_max; /* per transaction, at least 100 */
    uint32_t messages_max;   /* per session, 1000: then 421 */
    uint32_t errors_soft, errors_hard; /* over soft each reply waits 1 s (smtps_delay_ms), at hard 421 4.7.0 and close */
    uint32_t junk_max;       /* NOOP, RSET, VRFY, HELP, EHLO in a row without a message: 50 */
    uint32_t idle_s;         /* deadline while waiting for a command or data */
    uint32_t data_floor_bps; /* a data phase slower than this over 60 s is cut off (421 4.4.2) */
};

struct smtps;
enum smtps_event {
    SMTPS_IDLE,    /* nothing more until more is fed */
    SMTPS_FLUSH,   /* output is over its watermark: send it before going on */
    SMTPS_HELO,    /* client said hello (smtps_helo_name, smtps_esmtp); the engine has answered */
    SMTPS_MAIL,    /* (reply) smtps_sender, smtps_mail_params */
    SMTPS_RCPT,    /* (reply) smtps_recipient: the path; 250 adds it (with the slot number smtps_recipients - 1) */
    SMTPS_DATA,    /* (reply) 354 to go on (for BDAT too, where nothing is sent unless it is refused); else the reply refuses */
    SMTPS_CONTENT, /* smtps_content: bytes of the message, dots unstuffed, in order; valid until the next call */
    SMTPS_END,     /* (reply; LMTP: smtps_reply once per accepted recipient, in order) the content is complete and clean */
    SMTPS_ABORT,   /* the transaction ended otherwise (RSET, EHLO, too big, bad bytes, refused): drop what was stored. Given
                      exactly once for each accepted SMTPS_MAIL that saw no SMTPS_END */
    SMTPS_CLOSE,   /* the session is over (QUIT, errors, timeout): send the output, then close */
};

struct smtps_mail_params {
    bool body_8bit;     /* BODY=8BITMIME */
    bool smtputf8;
    bool has_size;
    uint64_t size;      /* SIZE= as declared */
};

struct smtps *smtps_new(const struct smtps_config *c, int64_t now_ms); /* config is borrowed; NULL: no memory. Greeting queued. */
void smtps_free(struct smtps *s);
void smtps_feed(struct smtps *s, str_t bytes, int64_t now_ms);
enum smtps_event smtps_next(struct smtps *s);
str_t smtps_rest(const struct smtps *s);
/* code 200 to 599 and an enhanced status ("2.1.0" or "" for none; sent only to those who said EHLO/LHLO… see RFC 2034), text without
 * CR LF; long text is cut. */
void smtps_reply(struct smtps *s, int code, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void smtps_shutdown(struct smtps *s, const char *why); /* 421 4.3.2 and SMTPS_CLOSE, now or after the command under way */
str_t smtps_output(const struct smtps *s);
void smtps_sent(struct smtps *s, size_t n);
int64_t smtps_deadline_ms(const struct smtps *s);
void smtps_expire(struct smtps *s, int64_t now_ms); /* the deadline has passed: 421 4.4.2 */
int64_t smtps_delay_ms(const struct smtps *s); /* hold the output so long (tarpit after errors_soft); 0 mostly */

/* What the client said; valid during the event that brought it, helo until the next hello. */
str_t smtps_helo_name(const struct smtps *s);
bool smtps_esmtp(const struct smtps *s);
bool smtps_closing(const struct smtps *s);
const struct smtp_path *smtps_sender(const struct smtps *s);
const struct smtps_mail_params *smtps_mail_params(const struct smtps *s);
const struct smtp_path *smtps_recipient(const struct smtps *s);
size_t smtps_recipients(const struct smtps *s); /* accepted so far in this transaction */
str_t smtps_content(const struct smtps *s);
struct arena *smtps_transaction_arena(struct smtps *s); /* for the handler's own things of this transaction; at most 512 KiB */

#endif
