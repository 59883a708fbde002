/* mx.h: the mx role: SMTP and LMTP sessions from the network into the queue. What its parts share.
 *
 *     mx.c        the role: listeners, limits, start and stop
 *     session.c   one connection: sys/server.h on one side, the engine (proto/smtp/server.h) on the
 *                 other
 *     policy.c    what is taken from whom, for whom: MAIL and RCPT
 *     message.c   the content on its way into the queue, and the answer to the final dot
 *     hops.c      counts Received fields in passing, sees Delivered-To
 *
 * A session is owned by one worker at a time; struct mx is shared by all and changes only in its
 * atomics and behind locks. */
#ifndef ROLES_MX_MX_H
#define ROLES_MX_MX_H

#include <stdatomic.h>

#include "post/directory.h"
#include "post/queue.h"
#include "proto/smtp/server.h"
#include "roles/log_gate.h"
#include "roles/mx/hops.h"
#include "roles/settings.h"
#include "sys/server.h"

struct mx {
    struct env *env;
    const struct settings *settings;
    struct directory_cache *directory;
    struct smtps_config smtp, lmtp;
    struct log_gate gate;          /* before lines that a stranger causes at will */
    _Atomic bool stopping;         /* sessions say 421 instead of taking the next command */
    _Atomic uint32_t next_session; /* number of the next session, for the log */
    _Atomic uint64_t in_flight;    /* bytes of content that was begun and not yet accepted */
};

/* Fills *mx; everything is borrowed. False: no memory. */
bool mx_init(struct mx *mx, struct env *env, const struct settings *settings);
void mx_free(struct mx *mx);

struct mx_listener { /* the tag of a listening socket */
    struct mx *mx;
    bool lmtp;
};

/* What the handler holds of a transaction; lives in the engine's transaction arena. */
struct mx_transaction {
    str_t reverse_path;
    struct queue_in_rcpt *rcpt;
    size_t n, cap;
    struct queue_in *in; /* from DATA on; NULL once it was given up */
    const struct mx_given_up *why;
    uint64_t in_flight; /* of mx->in_flight */
    struct hops hops;
};

/* Content that is read on, but no more stored, and what its end is answered. */
struct mx_given_up {
    int code;
    const char *status, *text, *log;
};

struct mx_session {
    struct mx *mx;
    struct smtps *smtps;
    struct mx_transaction *t;
    struct netaddr peer, local;
    int64_t now_ms; /* of the last event */
    /* tarpit: the server sends no output and reads no input before; 0: not held */
    int64_t hold_until_ms;
    uint32_t number;
    bool lmtp;
    bool trusted; /* from relay_networks */
};

extern const struct server_session_ops mx_session_ops; /* open() gets a struct mx_listener */
/* from relay_networks: may relay, and connect without limit */
bool mx_trusted(void *listener, const struct netaddr *peer);

/* Handlers of the engine's events; each gives the replies that its event asks for. */
void mx_on_mail(struct mx_session *s);
void mx_on_rcpt(struct mx_session *s);
void mx_on_data(struct mx_session *s);
void mx_on_content(struct mx_session *s);
void mx_on_end(struct mx_session *s);
/* Whether the store has room for that much, and leaves the reserve alone. */
bool mx_space_for(const struct mx *mx, uint64_t size, uint64_t reserve);
/* The transaction is over: gives up what is not committed. Harmless without one. */
void mx_drop(struct mx_session *s);

#define MX_SESSION_TEXT 9
char *mx_session_text(const struct mx_session *s, char out[static MX_SESSION_TEXT]);
/* One line at most for what was refused: code as replied, why in a few words. `to` may be empty. */
void mx_log_reject(const struct mx_session *s, const char *event, int code, str_t to,
                   const char *why);

#endif
