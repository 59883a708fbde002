/* client_internal.h: the inside of struct smtpc, shared by client.c (connection), client_hello.c,
 * client_secure.c (STARTTLS, AUTH), client_begin.c, client_command.c (what MAIL and RCPT say),
 * client_transaction.c and client_send.c (content). */
#ifndef PROTO_SMTP_CLIENT_INTERNAL_H
#define PROTO_SMTP_CLIENT_INTERNAL_H

#include "proto/smtp/client_content.h"
#include "proto/smtp/client_reply.h"

/* Which reply comes next. From RSET to DATA also: which command of a transaction is written
 * next. */
enum smtpc_await {
    AWAIT_NONE,
    AWAIT_GREETING,
    AWAIT_EHLO,
    AWAIT_HELO,
    AWAIT_STARTTLS,
    AWAIT_AUTH,
    AWAIT_RSET,
    AWAIT_MAIL,
    AWAIT_RCPT,
    AWAIT_DATA,
    AWAIT_CHUNK, /* BDAT but the last, as many as may be under way */
    AWAIT_BODY,  /* after the final dot; LMTP: the next recipient's */
    AWAIT_VOID,  /* after the dot that ends a DATA granted for nobody */
    AWAIT_QUIT,
};

enum slot_state { SLOT_OPEN, SLOT_ACCEPTED /* RCPT was */, SLOT_DONE };

struct slot {
    enum slot_state state;
    bool unsent; /* refused by ourselves: no RCPT */
    enum rc rc;
    struct smtpc_reply reply;
};

/* A place in RSET, MAIL, RCPT 0, …, RCPT n-1, DATA, end (AWAIT_NONE). */
struct step {
    enum smtpc_await kind;
    size_t rcpt;
};

/* One transaction; transaction_reset is the only way it is cleared. */
struct transaction {
    struct arena arena; /* slots and reply texts */
    struct smtpc_envelope envelope;
    bool smtputf8; /* to be said at MAIL */
    struct slot *slots;
    size_t n;
    struct step write, read; /* next to be written, next to be answered */
    size_t outstanding;      /* written, not answered */
    size_t accepted;         /* recipients */
    size_t body_at;          /* LMTP: whose reply after the dot is next */
    size_t chunks;           /* BDAT sent, not answered */
    bool touched;            /* some command was answered */
    bool mail_refused, mail_put_off, content, ended, chunk_refused;
    enum smtpc_line line;
};

struct smtpc {
    const struct smtpc_config *config;
    enum smtpc_await await;
    bool dead, dirty; /* dirty: the peer may hold half a transaction: RSET before the next */
    bool closing;     /* it said 421 */
    enum smtpc_tls tls;
    struct {
        struct saslc *sasl; /* NULL: no exchange is under way */
        bool done;          /* and went well */
        bool cancelled;
        unsigned steps;
    } auth;
    struct err error, refusal;
    struct smtpc_features features;
    char peer_name[256];
    uint64_t replies;
    struct smtpc_reader reader;
    struct buf out;
    size_t out_at;
    struct transaction t;
};

/* Ends the connection; the first reason stays. Open recipients get it as their verdict. */
void smtpc_fail(struct smtpc *c, enum rc rc, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void smtpc_put(struct smtpc *c, str_t s); /* adds to the output; a full buffer is a failure */
void smtpc_putf(struct smtpc *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Fails with the words of the peer, as they stand in the reader. */
void smtpc_fail_by_reply(struct smtpc *c, const char *when);
/* ---- client_hello.c ---- */
void smtpc_greeting(struct smtpc *c, int code);
void smtpc_feature(struct smtpc *c, str_t line); /* one of EHLO's, after the first */
void smtpc_hello_reply(struct smtpc *c, int code);
/* ---- client_secure.c ---- */
void smtpc_starttls_reply(struct smtpc *c, int code);
void smtpc_auth_reply(struct smtpc *c, int code);
/* ---- client_command.c ---- */
void smtpc_put_mail(struct smtpc *c);
void smtpc_put_rcpt(struct smtpc *c, size_t i);
/* ---- client_transaction.c, client_send.c ---- */
/* The reply just read decides for all recipients that are still accepted, or open too. */
void smtpc_decide_all(struct smtpc *c, bool accepted_only, enum rc rc);
enum rc smtpc_class_rc(int code);
void smtpc_chunk_reply(struct smtpc *c, int code);
void smtpc_slot_done(struct slot *s, enum rc rc, const struct smtpc_reply *r);
/* The next recipient, from this on, that has an RCPT: all but those refused by ourselves. n:
 * none. */
size_t smtpc_next_sent(const struct transaction *t, size_t from);
void smtpc_transaction_reply(struct smtpc *c, int code);
/* The peer gives up (421): its words become the verdict of all that have none. */
void smtpc_transaction_lost(struct smtpc *c);
void smtpc_transaction_fill(struct smtpc *c); /* writes the commands that may be written now */

#endif
