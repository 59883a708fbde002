/* attempt_internal.h: the inside of struct attempt, shared by attempt.c (opening) and
 * attempt_send.c. */
#ifndef ROLES_COURIER_ATTEMPT_INTERNAL_H
#define ROLES_COURIER_ATTEMPT_INTERNAL_H

#include "proto/smtp/client.h"
#include "roles/courier/attempt.h"

#define ATTEMPT_CHUNK_ARENA (4 << 20) /* one chunk at a time and what fetching it takes */

struct attempt {
    struct env *env;
    struct smtpc_config config;
    struct netaddr source;
    struct conn *conn;
    struct smtpc *smtp;
    char host[256], hostname[256];
    struct netaddr addr;
    struct arena chunk;
    uint64_t transactions; /* on this connection */
};

/* The same address again. If that fails the old engine stays: it has the reason. */
bool attempt_reconnect(struct attempt *t);

#endif
