/* smtp_in.h: SMTP as mail comes in by it: from other servers (25, LMTP), from people's programs
 * (587, 465) and from the users of this machine (a Unix socket). What the parts share.
 *
 *     common.c    what all services of a role share, what each kind offers
 *     session.c   one connection: sys/server.h on one side, the engine (proto/smtp/server.h) on the
 *                 other; TLS; what is logged of it
 *     auth.c      AUTH: who may, the exchange, what a login gives (roles/sasl_driver.h does the
 *                 work)
 *     policy.c    who is refused before the content: MAIL and RCPT
 *     submit.c    as whom a person may send: MAIL FROM, and From: when the header is there
 *     returned.c  recipients that are reverse-paths of ours: SRS, BATV
 *     params.c    the ESMTP parameters, as the queue keeps them
 *     message.c   the content on its way into the queue, and the answer to the final dot
 *     fixup.c     what happens to a header on submission (mail/edit.h), address rewriting
 *     origin.c    addresses at our own host name, as a part of that rewriting
 *     hops.c      counts Received fields in passing, sees Delivered-To
 *     limits.c    how much an account may send, and that it and the postmaster are told
 *     extra.c     XCLIENT, ETRN, VRFY, EXPN
 *
 * The roles set it up: roles/mx/mx.c has MX, LMTP and LOCAL; roles/user has SUBMISSION and
 * SUBMISSIONS.
 *
 *                 who may relay              sender                     header
 *     MX, LMTP    relay_networks             any                        as it comes
 *     SUBMISSION  who has logged in          an address of theirs       checked, completed
 *     LOCAL       every user of the machine  any (as sendmail has it)   completed
 *
 * A session is owned by one worker at a time; struct smtp_common and struct smtp_service are shared
 * by all and change only in their atomics and behind locks. */
#ifndef ROLES_SMTP_SMTP_IN_H
#define ROLES_SMTP_SMTP_IN_H

#include <stdatomic.h>

#include "mail/edit.h"
#include "post/directory.h"
#include "post/queue.h"
#include "post/return_path.h"
#include "post/table.h"
#include "proto/smtp/server.h"
#include "roles/log_gate.h"
#include "roles/sasl_driver.h"
#include "roles/settings.h"
#include "roles/smtp/hops.h"
#include "sys/server.h"

/* Who speaks at a listener. */
enum smtp_kind {
    SMTP_IN_MX,
    SMTP_IN_LMTP,
    SMTP_IN_SUBMISSION,  /* STARTTLS */
    SMTP_IN_SUBMISSIONS, /* TLS from the first byte (RFC 8314) */
    SMTP_IN_LOCAL,       /* known by the kernel */
};

/* What the services of one role share. */
struct smtp_common {
    struct env *env;
    const struct settings *settings;
    const char *role; /* in the log: "mx", "user" */
    struct directory_cache *directory;
    struct tables *tables;
    struct return_path paths;
    struct login_desk desk;
    struct rate_memory *rates;     /* see limits.c */
    struct server *server;         /* for its stress; NULL: none (tests) */
    struct log_gate gate;          /* before lines that a stranger causes at will */
    _Atomic bool stopping;         /* sessions say 421 instead of taking the next command */
    _Atomic uint32_t next_session; /* number of the next session, for the log */
    _Atomic uint64_t in_flight;    /* bytes of content that was begun and not yet accepted */
    _Atomic uint32_t contents;     /* sessions that send content just now */
};
/* Fills *c; everything is borrowed. False: no memory. */
bool smtp_common_init(struct smtp_common *c, const char *role, struct env *env,
                      const struct settings *settings);
void smtp_common_free(struct smtp_common *c);

/* One kind of listener: the tag of its sockets. */
struct smtp_service {
    struct smtp_common *common;
    enum smtp_kind kind;
    struct smtps_config config;
    struct smtps_config plain; /* the same without STARTTLS */
    struct tls_vault *vault;
    struct tls_service *tls; /* NULL: this kind never has it */
};
/* `vault` NULL: no TLS. Empty: none until it has a certificate, which may be at any time. */
void smtp_service_init(struct smtp_service *v, enum smtp_kind kind, struct smtp_common *common,
                       struct tls_vault *vault);
void smtp_service_free(struct smtp_service *v);
/* For a session that begins now: `config` or `plain`. */
const struct smtps_config *smtp_service_config(const struct smtp_service *v);
/* from people, whose mail is completed: SUBMISSION, SUBMISSIONS, LOCAL */
bool smtp_service_submits(const struct smtp_service *v);
/* SUBMISSION, SUBMISSIONS */
bool smtp_service_logs_in(const struct smtp_service *v);

/* Who has logged in. */
struct smtp_login {
    /* The common's, with the store of this login: what it puts in is put in by it. */
    struct env env;
    struct store_login_answer is;
    enum sasl_mech mech;
};

/* What the handler holds of a transaction; lives in the engine's transaction arena. */
struct smtp_transaction {
    str_t reverse_path;
    struct queue_in_rcpt *rcpt;
    size_t n, cap;
    struct queue_in *in; /* from DATA on; NULL once it was given up */
    const struct smtp_given_up *why;
    uint64_t in_flight; /* of common->in_flight */
    int64_t began_ms;   /* wall clock of MAIL: what DELIVERBY and FUTURERELEASE count from */
    bool counted;       /* in common->contents */
    /* All of it, by a rule, or over a limit; with `reason`: the operator's own words, which the log and
     * the queue show, and nobody outside. `held_as` is what the client is told. */
    bool hold;
    bool over_limit;
    str_t reason;
    const char *held_as;
    /* recipients held by a rule of their own, with their reasons in rcpt */
    size_t nruled;
    struct mail_edit *edit; /* submissions: see fixup.c; else NULL */
    struct buf edited;
    bool edit_failed; /* memory, or an address that could not be looked up */
    struct hops hops;
    struct hops_lines lines; /* BINARYMIME only */
};

/* Content that is read on, but no more stored, and what its end is answered. */
struct smtp_given_up {
    int code;
    const char *status, *text, *log;
};

struct smtp_session {
    struct smtp_service *service;
    struct smtp_common *common; /* the service's */
    struct smtps *smtps;
    struct smtp_transaction *t;
    const struct tls_info *tls; /* the connection's; NULL: in the clear */
    struct sasl_driver *sasl;   /* an exchange under way */
    struct smtp_login *login;   /* after AUTH */
    char *mechs;                /* as offered; what the engine borrows */
    char *helo;                 /* by XCLIENT; or NULL: as the client said */
    char *client_name;          /* by XCLIENT; or NULL */
    unsigned mech_set;
    struct netaddr peer, local;
    int64_t now_ms; /* of the last event */
    /* tarpit: the server sends no output and reads no input before; 0: not held */
    int64_t hold_until_ms;
    uint32_t hold_ms; /* what a refused login adds to it */
    uint32_t number;
    bool trusted;    /* from relay_networks, or a user of this machine */
    bool tls_wanted; /* 220 to STARTTLS was said */
    bool hurried;
};

extern const struct server_session_ops smtp_in_ops; /* open() gets a struct smtp_service */
/* From relay_networks, or of this machine: connects without limit. */
bool smtp_in_trusted(void *service, const struct netaddr *peer);
/* A proxy of ours: for server_limits.proxied. */
bool smtp_in_proxied(void *service, const struct netaddr *peer);
/* May send to anywhere. */
bool smtp_in_may_relay(const struct smtp_session *s);
/* Where this session's mail is put: the store of who has logged in, else the role's. */
struct env *smtp_in_env(struct smtp_session *s);

/* The client's name as it (or XCLIENT) gave it. */
str_t smtp_in_helo(const struct smtp_session *s);

/* message.c: the memory that is this role's: a half of all for mx, a quarter for user; the rest is for
 * those that no stranger speaks to. Over 80 % of it is stress, and content under way may take a half
 * of it. */
uint64_t smtp_in_memory(const struct smtp_common *c);

/* Handlers of the engine's events; each gives the replies that its event asks for. */
void smtp_in_mail(struct smtp_session *s);
void smtp_in_rcpt(struct smtp_session *s);
void smtp_in_data(struct smtp_session *s);
void smtp_in_content(struct smtp_session *s);
void smtp_in_end(struct smtp_session *s);
void smtp_in_auth(struct smtp_session *s, bool first); /* AUTH, and each response */
void smtp_in_xclient(struct smtp_session *s);
void smtp_in_etrn(struct smtp_session *s);
void smtp_in_vrfy(struct smtp_session *s);
/* The transaction is over: gives up what is not committed. Harmless without one. */
void smtp_in_drop(struct smtp_session *s);

/* auth.c */
/* Offers what this client may use now: after the connection, TLS, and XCLIENT. */
void smtp_in_offer_auth(struct smtp_session *s);
void smtp_in_auth_cancel(struct smtp_session *s);
void smtp_in_logout(struct smtp_session *s); /* and forgets an exchange */
/* Asks core, when something has failed: was the login taken away meanwhile (another password, the
 * account or app password removed)? Then nothing more can be done on this connection. */
bool smtp_in_login_over(const struct smtp_session *s);
extern const struct smtp_given_up smtp_in_login_is_over; /* what is answered then: 421 */

/* policy.c */
/* Whether the store has room for that much, and leaves the reserve alone. */
bool smtp_in_space(const struct smtp_common *c, uint64_t size, uint64_t reserve);
/* Logs it and answers it; `why` is both. */
void smtp_in_refuse(struct smtp_session *s, int code, const char *status, str_t to,
                    const char *why);

/* returned.c */
enum smtp_in_returned {
    SMTP_IN_RETURNED_NOT,     /* an address like others */
    SMTP_IN_RETURNED_TAGGED,  /* BATV with a good tag: *p and r->address are without it now */
    SMTP_IN_RETURNED_FORWARD, /* SRS: it is to be sent on */
    SMTP_IN_RETURNED_WRONG,   /* SRS that is not ours, or too old */
    SMTP_IN_RETURNED_LATER,   /* cannot be told now */
};
/* r->domain is as it is looked up. A tag that is not good is taken off as well. */
enum smtp_in_returned smtp_in_returned(struct smtp_session *s, const struct smtp_path **p,
                                       struct queue_in_rcpt *r);
/* Whether mail may come to this address of ours that has no tag. */
bool smtp_in_bounce_ok(const struct smtp_session *s, const struct smtp_path *p);
/* Under which sender it leaves. False: cannot be told now. */
bool smtp_in_sign(struct smtp_session *s, struct queue_in_rcpt *r);

/* submit.c */
/* STORE_OK and *theirs: whether this address (local@domain) is one as which who has logged in may
 * send: it leads to them and nobody else, or was granted to them. */
enum store_rc smtp_in_is_theirs(struct smtp_session *s, str_t address, struct arena *a,
                                bool *theirs);
/* From and Sender of the header that has gone by. NULL: they are theirs. */
const struct smtp_given_up *smtp_in_check_from(struct smtp_session *s);

/* fixup.c */
/* Another address in the place of this one, by the operator's tables; `address` itself if there is
 * none. False: it cannot be looked up now. */
bool smtp_in_rewrite(struct smtp_common *c, enum mail_edit_side side, str_t address,
                     struct arena *a, str_t *out);
/* The same for the sender of the envelope; by masquerade too. */
bool smtp_in_rewrite_sender(struct smtp_common *c, str_t address, struct arena *a, str_t *out);
/* origin.c: an address at our own host name, where that is no domain of ours: the same at our first
 * domain; part of smtp_in_rewrite. False: it cannot be looked up now. */
bool smtp_in_origin(struct smtp_common *c, str_t *address, struct arena *a);
/* Nothing to do for mail from other servers. False: no memory. */
bool smtp_in_fixup_begin(struct smtp_session *s);
/* Content as it goes on, into the queue. t->edit_failed: the message cannot be taken. */
void smtp_in_fixup_feed(struct smtp_session *s, str_t content);
void smtp_in_fixup_end(struct smtp_session *s);
void smtp_in_fixup_free(struct smtp_transaction *t);

/* params.c */
/* Parameters of MAIL that cannot be had together, or here. True: they are fine; else it was
 * answered. */
bool smtp_in_params_ok(struct smtp_session *s);
void smtp_in_message_params(struct smtp_session *s, struct queue_message *m);
void smtp_in_rcpt_params(struct smtp_session *s, struct queue_in_rcpt *r);
#define SMTP_SOURCE_TEXT (NETADDR_TEXT + 8)
/* "a/ID", "n/192.0.2.0/24", "u/UID": see struct queue_message */
str_t smtp_in_source(const struct smtp_session *s, char out[static SMTP_SOURCE_TEXT]);

/* limits.c */
/* What accounts sent in the hours before this one. NULL: no memory. */
struct rate_memory *smtp_in_rates_new(void);
void smtp_in_rates_free(struct rate_memory *m);
/* Counts the message under way for its account. STORE_OK: *over says that it is to be held, and
 * t->reason why. */
enum store_rc smtp_in_count(struct smtp_session *s, bool *over);
/* Tells the account and the postmaster, once an hour. */
void smtp_in_tell_over(struct smtp_session *s);

#define SMTP_SESSION_TEXT 9
char *smtp_session_text(const struct smtp_session *s, char out[static SMTP_SESSION_TEXT]);
/* Whether one more line is written for this client: see log_gate.h. */
bool smtp_in_may_log(const struct smtp_session *s);
/* One line at most for what was refused: code as replied, why in a few words. `to` may be empty. */
void smtp_in_log_reject(const struct smtp_session *s, const char *event, int code, str_t to,
                        const char *why);

#endif
