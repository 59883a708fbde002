/* server_internal.h: what the parts of the SMTP server engine share. Include only from server*.c.
 *
 *     server.c           the session: bytes to lines
 *     server_command.c   lines to commands: the command table
 *     server_reply.c     everything that is said: replies, error counting, the end of the session
 *     server_hello.c     greeting, HELO, EHLO, LHLO
 *     server_extension.c the table of extensions: EHLO's lines, the parameters of MAIL and RCPT
 *     server_param.c     the values of parameters
 *     server_mail.c      MAIL, RCPT, the transaction
 *     server_data.c      DATA and BDAT: the content
 *     server_tls.c       STARTTLS
 *     server_auth.c      AUTH
 *     server_xclient.c   XCLIENT
 *     server_misc.c      RSET NOOP VRFY EXPN ETRN HELP QUIT
 *     server_get.c       what the owner asks and sets
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
    ST_AUTH = 128, /* the next line answers a challenge */
};
enum { ST_HELLO_DONE = ST_READY | ST_MAIL | ST_RCPT | ST_BDAT, ST_ANY = ST_START | ST_HELLO_DONE };

enum smtps_await {
    AWAIT_NOTHING,
    AWAIT_MAIL,
    AWAIT_RCPT,
    AWAIT_DATA,
    AWAIT_BDAT,
    AWAIT_END,
    AWAIT_AUTH,
    AWAIT_XCLIENT,
    AWAIT_SIMPLE, /* ETRN, VRFY, EXPN: nothing follows from the answer */
};

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
    struct smtps_mail_params *params;      /* of the MAIL that was or is being taken */
    struct smtps_rcpt_params *rcpt_params; /* of the RCPT at hand; NULL: none */
    struct smtps_xclient *xclient;
    str_t argument;
    uint32_t recipients;  /* accepted */
    uint32_t refused;     /* recipients refused */
    uint32_t replies_due; /* AWAIT_END: how many smtps_reply are still to come */
    uint32_t chunks;
    uint64_t size;        /* of the content so far */
    uint64_t octets;      /* as they came */
    uint64_t line_length; /* of its last line so far */
    enum scan_at at;
    bool open;                     /* the owner accepted MAIL and has seen neither END nor ABORT */
    const struct verdict *verdict; /* NULL: clean so far */
};

struct auth; /* an AUTH exchange under way: server_auth.c */

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
    struct auth *auth;
    str_t mechs; /* borrowed */
    uint64_t chunk_left;
    uint64_t stray_octets; /* of chunks outside transactions, since the last accepted message */
    int64_t now_ms, deadline_ms;
    int64_t session_ms; /* when a session without mail ends, or INT64_MAX */
    int64_t wall_minus_now_ms;
    uint32_t idle_s, errors_hard; /* as in the config, or less */
    uint32_t auth_failures;
    uint32_t errors, errors_all, junk, messages;
    uint32_t discarded; /* bytes of an over-long command line */
    bool discards_auth; /* it is one of AUTH */
    enum smtps_state state;
    enum smtps_await await;
    bool esmtp;
    bool greeted; /* the greeting was sent */
    bool delayed; /* the output holds the reply to one error too many */
    bool flush;   /* the output must not wait for more commands */
    /* SMTPS_ABORT is the next event; the transaction is cleared before the one after */
    bool abort_due, reset_due;
    bool closing, close_told;
    bool tls, authenticated, has_wall, xclient_allowed, is_expn;
    bool shaking_hands; /* 220 to STARTTLS was said, the connection is not encrypted yet */
    bool chunk_last, chunk_stray; /* BDAT LAST; a chunk outside a transaction: read away */
};
_Static_assert(sizeof(struct smtps) <= 448, "10,000 idle sessions in few MiB");

/* server.c */
enum line { LINE_NONE, LINE_WHOLE, LINE_LONG, LINE_NO_CR, LINE_ENDLESS };
void smtps_out_of_sync(struct smtps *s); /* 554 and the end: pipelined where that is not allowed */

/* server_command.c */
enum smtps_event smtps_run_command(struct smtps *s, str_t line);
void smtps_not_smtp(struct smtps *s);                             /* 500 and the end */
void smtps_command_names(const struct smtps *s, struct buf *out); /* for HELP */

/* server_reply.c */
void smtps_say(struct smtps *s, int code, const char *status, const char *text);
/* Says it and counts an error: tarpit, then the end. */
void smtps_fault(struct smtps *s, int code, const char *status, const char *text);
void smtps_junk(struct smtps *s); /* counts a command that does no work */
/* The session is over once the output is sent; `why` is a literal. */
void smtps_finish(struct smtps *s, const char *why);
void smtps_restart_deadline(struct smtps *s);
void smtps_restart_session(struct smtps *s); /* that of the whole session: mail was sent */
void smtps_content_begins(struct smtps *s);  /* it has idle_s, however old the session is */
void smtps_buy_time(struct smtps *s, size_t content_bytes);

/* Says it before the session ends. */
void smtps_close_with(struct smtps *s, int code, const char *status, const char *text,
                      const char *why);

/* server_hello.c */
void smtps_greeting(struct smtps *s);
void smtps_forget_hello(struct smtps *s); /* and all that came after it: as after the greeting */
enum smtps_event smtps_cmd_ehlo(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_helo(struct smtps *s, str_t arg);

/* server_extension.c */
void smtps_say_extensions(struct smtps *s); /* EHLO's reply */
/* All of them understood, into s->t.params or s->t.rcpt_params; otherwise it has answered. */
bool smtps_take_mail_params(struct smtps *s, str_t rest);
bool smtps_take_rcpt_params(struct smtps *s, str_t rest);

/* server_param.c: one reader for each parameter. `value` is not empty (but for those without a
 * value); what it gives lives in the transaction's arena. */
enum param_result {
    PARAM_OK,
    PARAM_BAD,  /* 501 */
    PARAM_SAID, /* it has answered itself */
};
enum param_result smtps_param_size(struct smtps *s, str_t value);
enum param_result smtps_param_body(struct smtps *s, str_t value);
enum param_result smtps_param_smtputf8(struct smtps *s, str_t value);
enum param_result smtps_param_ret(struct smtps *s, str_t value);
enum param_result smtps_param_envid(struct smtps *s, str_t value);
enum param_result smtps_param_auth(struct smtps *s, str_t value);
enum param_result smtps_param_by(struct smtps *s, str_t value);
enum param_result smtps_param_holdfor(struct smtps *s, str_t value);
enum param_result smtps_param_holduntil(struct smtps *s, str_t value);
enum param_result smtps_param_mt_priority(struct smtps *s, str_t value);
enum param_result smtps_param_requiretls(struct smtps *s, str_t value);
enum param_result smtps_param_notify(struct smtps *s, str_t value);
enum param_result smtps_param_orcpt(struct smtps *s, str_t value);
int64_t smtps_wall_ms(const struct smtps *s);

/* server_mail.c */
void smtps_transaction_init(struct smtps *s);
void smtps_transaction_reset(struct smtps *s);
/* Ends the transaction without END: SMTPS_ABORT follows if the owner knows of it. */
void smtps_transaction_abort(struct smtps *s, const char *why);
/* Keeps the argument for the owner; false: no memory, answered. */
bool smtps_keep_argument(struct smtps *s, str_t arg);
/* Says 530 where the client must first authenticate (RFC 4954 6, RFC 3207 4). */
bool smtps_auth_lacking(struct smtps *s);
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

/* server_tls.c */
enum smtps_event smtps_cmd_starttls(struct smtps *s, str_t arg);

/* server_auth.c */
enum smtps_event smtps_cmd_auth(struct smtps *s, str_t arg);
enum smtps_event smtps_auth_line(struct smtps *s, enum line kind, str_t line); /* in ST_AUTH */
void smtps_auth_answered(struct smtps *s, int code);
void smtps_auth_free(struct smtps *s);
size_t smtps_auth_line_max(const struct smtps *s,
                           str_t more); /* of the line that `more` is added to */

/* server_xclient.c */
enum smtps_event smtps_cmd_xclient(struct smtps *s, str_t arg);
void smtps_xclient_accepted(struct smtps *s);

/* server_misc.c */
enum smtps_event smtps_cmd_rset(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_noop(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_vrfy(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_expn(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_etrn(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_help(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_quit(struct smtps *s, str_t arg);
enum smtps_event smtps_cmd_absent(struct smtps *s, str_t arg); /* known, not implemented */

#endif
