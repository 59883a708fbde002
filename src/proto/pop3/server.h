/* server.h: the POP3 server engine. RFC 1939 with TOP and UIDL; 2449 CAPA, response codes,
 * PIPELINING; 3206 SYS and AUTH codes.
 *
 * Bytes in, events and bytes out; it knows no socket and no clock. Use:
 *
 *     pop3s_feed(s, bytes, now_ms);
 *     while ((ev = pop3s_next(s)) != POP3S_IDLE)
 *         handle it; events marked (answer) must be answered by exactly one call of a function
 *         named there before the next pop3s_next;
 *     write pop3s_output(s), then pop3s_sent(s, n)
 *
 * Bytes fed are borrowed until pop3s_next gives POP3S_IDLE (all consumed; an incomplete line was
 * copied aside) or POP3S_FLUSH (send the output first; pop3s_rest is what was not consumed, feed it
 * again later; to go on with an answer that is produced piece by piece, feed nothing and call
 * pop3s_next).
 *
 *     AUTHORIZATION ──USER──▶ (name given) ──PASS, pop3s_login──▶ TRANSACTION ──QUIT──▶ UPDATE
 *           ▲                       │                                  │                  └▶ closed
 *           └────pop3s_refuse───────┘                                  └── connection lost, idle:
 *                                                                         closed, nothing deleted
 *
 * Memory: an idle session has no buffers. A long answer never takes more than a piece of content,
 * stuffed (POP3S_PIECE_MAX). */
#ifndef PROTO_POP3_SERVER_H
#define PROTO_POP3_SERVER_H

#include "base/buf.h"

#define POP3S_LINE_MAX  255   /* octets of a command with its CRLF, RFC 2449 4 */
#define POP3S_PIECE_MAX 65536 /* most content in one answer to POP3S_CONTENT */
#define POP3S_LOGIN_S   60    /* time for a login */
#define POP3S_IDLE_S    600   /* RFC 1939 3: at least 10 minutes */

struct pop3s_config {
    str_t implementation; /* for CAPA, as in "postrider-0.1.0" (RFC 2449 6.9) */
    bool plaintext;       /* passwords may be sent over this connection (loopback, later TLS) */
};

/* A message of the maildrop as the engine needs it; the array is the caller's and lives as long as
 * the session. */
struct pop3s_message {
    uint64_t size; /* octets with CRLF */
    uint64_t uid;
    bool deleted; /* marked by DELE; to be acted on in POP3S_UPDATE alone */
};

struct pop3s;
enum pop3s_event {
    POP3S_IDLE,  /* nothing more until more is fed */
    POP3S_FLUSH, /* output is over its watermark: send it before going on */
    /* (answer: pop3s_login, pop3s_refuse) Check pop3s_name and pop3s_password. */
    POP3S_LOGIN,
    /* (answer: pop3s_content, pop3s_content_failed, pop3s_login_over) Piece pop3s_piece of message
     * pop3s_index is wanted. */
    POP3S_CONTENT,
    /* (answer: pop3s_updated, pop3s_login_over) QUIT: remove the messages marked deleted. Only if
     * there are any. */
    POP3S_UPDATE,
    POP3S_CLOSE, /* the session is over: send the output, then close */
};

/* The greeting is queued. config is borrowed. NULL: no memory. */
struct pop3s *pop3s_new(const struct pop3s_config *c, int64_t now_ms);
void pop3s_free(struct pop3s *s);
void pop3s_feed(struct pop3s *s, str_t bytes, int64_t now_ms);
enum pop3s_event pop3s_next(struct pop3s *s);
str_t pop3s_rest(const struct pop3s *s);
str_t pop3s_output(const struct pop3s *s);
void pop3s_sent(struct pop3s *s, size_t n);
bool pop3s_closing(const struct pop3s *s);
int64_t pop3s_deadline_ms(const struct pop3s *s);
/* The deadline has passed: closed without a word (RFC 1939 3), unless an answer is under way. */
void pop3s_expire(struct pop3s *s, int64_t now_ms);

/* What the client gave; valid during POP3S_LOGIN. */
str_t pop3s_name(const struct pop3s *s);
str_t pop3s_password(const struct pop3s *s);
/* It is right: the maildrop, as it stays for the whole session. uidvalidity and uid make the
 * UIDL. */
void pop3s_login(struct pop3s *s, struct pop3s_message *messages, size_t n, uint32_t uidvalidity);
enum pop3s_refusal {
    POP3S_AUTH,   /* RFC 3206: name or password */
    POP3S_IN_USE, /* RFC 2449 8.1.2: another session has the maildrop */
    POP3S_TEMP,   /* RFC 3206: not now */
    POP3S_PERM,   /* RFC 3206: needs somebody's help */
};
void pop3s_refuse(struct pop3s *s, enum pop3s_refusal why, const char *text);

size_t pop3s_index(const struct pop3s *s);   /* 0 is the first message */
uint32_t pop3s_piece(const struct pop3s *s); /* 0, 1, 2 … */
/* The next piece, at most POP3S_PIECE_MAX; `last`: there are no more. After TOP the engine may stop
 * asking earlier. */
void pop3s_content(struct pop3s *s, str_t bytes, bool last);
/* It cannot be read. Before anything of it was sent: -ERR; else the connection is closed, which the
 * client cannot mistake for the end of the message. */
void pop3s_content_failed(struct pop3s *s, enum pop3s_refusal why, const char *text);
void pop3s_updated(struct pop3s *s, bool all); /* all: every marked message is gone, durably */
/* Instead of an answer to POP3S_CONTENT or POP3S_UPDATE: the login is good no more. -ERR [AUTH]
 * (RFC 3206 5), unless a message is under way, and the connection is closed. */
void pop3s_login_over(struct pop3s *s, const char *text);

#endif
