/* server_internal.h: what the parts of the SMTP server engine share. Include only from server*.c.
 *
 *     server.c        the session: bytes to lines, lines to commands, the command table
 *     server_reply.c  everything that is said: replies, error counting, the end of the session
 *     server_hello.c  greeting, HELO, EHLO, LHLO
 *     server_mail.c   MAIL, RCPT and their parameters, the transaction
 *     server_data.c   DATA and BDAT: the content
 *     server_misc.c   RSET NOOP VRFY EXPN HELP QUIT
 *
 * Commands are `enum smtps_event smtps_cmd_x(s, arg)`: they answer themselves (SMTPS_IDLE) or give
 * the event that the owner answers; then `await` says which, and smtps_reply hands the answer to
 * the part that asked. */
#ifndef PROTO_SMTP_SERVER_INTERNAL_H
#define PROTO_SMTP_SERVER_INTERNAL_H

#include "base/err.h"
#include "proto/smtp/server.h"

/* A set of them stands in each row of the command table. */
enum smtps_state {
    ST_START = 1,  /* no hello yet */
    ST_READY = 2,  /* no transaction */
    ST_MAIL = 4,   /* a sender, no recipient */
    ST_RCPT = 8,   /* at least one recipient */
    ST_BDAT = 16,  /* between two chunks */
    ST_DATA = 32,  /* content up to CRLF.CRLF */
    ST_CHUNK = 64, /* content of known length */
};
enum { ST_HELLO_DONE = ST_READY | ST_MAIL | ST_RCPT | ST_BDAT, ST_ANY = ST_START | ST_HELLO_DONE };

enum smtps_await { AWAIT_NOTHING, AWAIT_MAIL, AWAIT_RCPT, AWAIT_DATA, AWAIT_BDAT, AWAIT_END };

/* Where the content scanner stands; drawn in server_data.c. */
enum scan_at { AT_LINE, AT_MID, AT_CR, AT_DOT, AT_DOT_CR };

struct verdict { /* why the content is refused: said when it is complete */
    /* of several reasons the highest is said, so that it does not depend on how the input was
     * cut */
    int rank;
    int code;
    const char *status, *text, *why;
};

/* All of one mail transaction; smtps_transaction_reset (server_mail.c) is the only function that
 * clears it. */
struct transaction {
    struct arena arena;
    struct smtp_path *sender, *recipient;
    struct smtps_mail_params params;
    uint32_t recipients;  /* accepted */
    uint32_t refused;     /* recipients refused */
    uint32_t replies_due; /* AWAIT_END: how many smtps_reply are still to come */
    uint32_t chunks;
    uint64_t size;        /* of the content so far */
    uint64_t line_length; /* of its last line so far */
    enum scan_at at;
    bool open;                     /* the owner accepted MAIL and has seen neither END nor ABORT */
    const struct verdict *verdict; /* NULL: clean so far */
};

struct smtps {
    const struct smtps_config *config;
    str_t in;        /* fed and not consumed */
    struct buf line; /* an incomplete command line */
    struct buf out;
    str_t content;
    char *helo;
    const char *why;
    const char *shutdown_why; /* set: 421 before the next command */
    struct transaction t;
    uint64_t chunk_left;
    int64_t now_ms, deadline_ms;
    uint32_t errors, errors_all, junk, messages;
    uint32_t discarded; /* bytes of an over-long command line */
    enum smtps_state state;
    enum smtps_await await;
    bool esmtp;
    bool greeted; /* the greeting was sent */
    bool delayed; /* the output holds the reply to one error too many */
    bool flush;   /* the output must not wait for more commands */
    /* SMTPS_ABORT is the next event; the transaction is cleared before the one after */
    bool abort_due, reset_due;
    bool closing, close_told;
    bool chunk_last, chunk_stray; /* BDAT LAST; a chunk outside a transaction: read away */
};
_Static_assert(sizeof(struct smtps) < 640, "10,000 idle sessions in few MiB");

/* server_reply.c */
void smtps_say(struct smtps *s, int code, const char *status, const char *text);
/* Says it and counts an error: tarpit, then the end. */
void smtps_fault(struct smtps *s, int code, const char *status, const char *text);
void smtps_junk(struct smtps *s); /* counts a command that does no work */
/* The session is over once the output is sent; `why` is a literal. */
void smtps_finish(struct smtps *s, const char *why);
void smtps_restart_deadline(struct smtps *s);

/* server_hello.c */
void smtps_greeting(struct smtps *s);
enum smtps_event smtps_cmd_ehlo(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_helo(struct smtps *s, str_t arg);

/* server_mail.c */
void smtps_transaction_init(struct smtps *s);
void smtps_transaction_reset(struct smtps *s);
/* Ends the transaction without END: SMTPS_ABORT follows if the owner knows of it. */
void smtps_transaction_abort(struct smtps *s, const char *why);
enum smtps_event smtps_cmd_mail(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_rcpt(struct smtps *s, str_t arg);
void smtps_mail_answered(struct smtps *s, int code);
void smtps_rcpt_answered(struct smtps *s, int code);

/* server_data.c */
enum smtps_event smtps_cmd_data(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_bdat(struct smtps *s, str_t arg);
enum smtps_event smtps_content_next(struct smtps *s); /* in ST_DATA and ST_CHUNK */
void smtps_data_answered(struct smtps *s, int code);
void smtps_bdat_answered(struct smtps *s, int code, const char *status, const char *text);
void smtps_end_answered(struct smtps *s, int code);

/* server_misc.c */
enum smtps_event smtps_cmd_rset(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_noop(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_vrfy(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_expn(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_help(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_quit(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_absent(struct smtps *s, str_t arg); /* known, not implemented */

#endif
