/* attempt_internal.h: the inside of struct attempt, shared by attempt.c (over all hosts),
 * attempt_connect.c (one address: connection, TLS, AUTH) and attempt_send.c. */
#ifndef ROLES_COURIER_ATTEMPT_INTERNAL_H
#define ROLES_COURIER_ATTEMPT_INTERNAL_H

#include "post/route.h"
#include "proto/smtp/client.h"
#include "roles/courier/attempt.h"
#include "roles/courier/tls_policy.h"

#define ATTEMPT_CHUNK_ARENA (4 << 20)   /* one chunk at a time and what fetching it takes */
#define ATTEMPT_KEEP_ARENA  (64 * 1024) /* names and words of the target and its route */
#define ATTEMPT_TLS_TEXT    128

struct attempt {
    struct attempt_setup setup;
    struct attempt_target target; /* as it was opened for; its words in `keep` */
    struct route route;           /* likewise */
    struct smtpc_config config;
    struct tls_demand demand; /* of this host */
    struct conn *conn;
    struct smtpc *smtp;
    char host[256], hostname[256];
    char tls[ATTEMPT_TLS_TEXT];
    struct tls_info info; /* where smtpc_tls is ON */
    struct netaddr addr;
    struct arena keep, chunk;
    uint64_t transactions; /* on this connection */
    bool policy_failed;    /* the last address tried: TLS was not as demanded, nothing else */
};

/* What came of one address. */
enum tried {
    TRIED_OPEN,    /* greeted, took our hello, and TLS and AUTH are as they have to be */
    TRIED_REFUSED, /* greeted, but would not have us, or not as we want it */
    TRIED_FAILED,  /* no connection, or no greeting */
    /* this machine has no way there (IPv6 mostly): costs nothing and does not count */
    TRIED_NO_WAY,
    TRIED_SELF,   /* it was us */
    TRIED_NO_TLS, /* the handshake failed: under MAY the same again in plaintext */
};

/* t->host, addr and demand are set. *err says why if not TRIED_OPEN (never TRIED_NO_TLS). */
enum tried attempt_connect(struct attempt *t, struct err *err);
/* QUIT, waiting at most ATTEMPT_CLOSE_MS, where the peer waits for a command. */
void attempt_quit(struct attempt *t);
/* The same address again, after QUIT if the connection is of use still (RFC 5321 4.1.1.10). If that
 * fails the old engine stays, dead: it has the reason. */
bool attempt_reconnect(struct attempt *t);
void attempt_hang_up(struct attempt *t);

#endif
