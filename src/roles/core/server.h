/* server.h: core without the role around it: serves the store protocol (store/protocol.h) for a
 * store to any number of channels.
 *
 * Every peer is hostile. A request that does not decode ends its channel; one that its table does
 * not grant is STORE_DENIED; both are logged, once a minute for each channel. What a peer can make
 * us hold is bounded: see the limits below. */
#ifndef ROLES_CORE_SERVER_H
#define ROLES_CORE_SERVER_H

#include "base/env.h"
#include "roles/core/permissions.h"

#define CORE_PENDING_COMMITS 4096 /* of one channel; then it is not read until some are done */
#define CORE_PENDING_BYTES   (64 << 20) /* likewise */
#define CORE_SNAPSHOTS       32         /* open at once, of one channel */
#define CORE_SESSIONS        16384 /* logins of one channel: more than connections it may have */
#define CORE_LOGIN_THREADS   2     /* password checks at once: 19 MiB and a processor each */
#define CORE_LOGIN_QUEUE     64    /* waiting for one: a second or two; then "try later" */

struct core_server;

/* `engine` and `env` (mono_ms, random) are borrowed. Makes the shared board. NULL and *err on
 * failure. */
struct core_server *core_server_new(struct store *engine, struct env *env, struct err *err);
/* Serves fd (taken) with what the table grants. False: too many channels of this table; fd is
 * closed. */
bool core_server_serve(struct core_server *cs, int fd, const struct permissions *table);
/* For engines that tell when a run of answers on one of their threads is over
 * (store_lmdb_set_flush). After core_server_gather, called before any channel is served, what is
 * answered on such a thread goes out when that thread calls core_server_flush. */
void core_server_gather(struct core_server *cs);
void core_server_flush(void);
/* Ends all channels, waits until nothing of them is left in the engine, frees. Then the engine,
 * whose watches cannot be taken back, may only be closed, by the caller. */
void core_server_free(struct core_server *cs);

#endif
