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
#include "store/login.h"

#define CORE_PENDING_COMMITS 4096 /* of one channel; then it is not read until some are done */
#define CORE_PENDING_BYTES   (64 << 20) /* likewise */
#define CORE_SNAPSHOTS       32         /* open at once, of one channel */
#define CORE_SESSIONS        16384 /* logins of one channel: more than connections it may have */
/* password checks at once: one processor less than there are, and no more than this: 19 MiB each */
#define CORE_LOGIN_THREADS_MAX 4
/* waiting for one, of those known where they come from, and of strangers: a second or two; then "try
 * later" */
#define CORE_LOGIN_QUEUE 64
#define CORE_TOKENS      256 /* bearer tokens that somebody else is asked about at once */

struct core_server;

/* `engine` and `env` (mono_ms, random) are borrowed. Makes the shared board. NULL and *err on
 * failure. */
struct core_server *core_server_new(struct store *engine, struct env *env, struct err *err);
/* Before the first channel, if at all: whom the operator trusts (relay_networks, proxy_networks …),
 * auth_cache. Borrowed. Without: this machine alone, and nothing is cached. */
void core_server_settings(struct core_server *cs, const struct settings *settings);

/* Bearer tokens (OAUTHBEARER, XOAUTH2) are checked by whoever sets this, before the first channel;
 * without, none is good. `check` is called on a thread of the pool and must not wait: it says later,
 * or at once, from any thread, exactly once, what came of it by core_token_done(ticket, …): RC_OK and
 * the login name of the account it is for; RC_PERM; RC_TEMP. `what` and its strings stay until then.
 * All tickets must be back before core_server_free returns: it waits for them. */
struct core_token {
    str_t name; /* as the client gave it; may be empty */
    str_t token;
    struct netaddr from;
    enum store_use use;
};
typedef void core_token_check(void *user, const struct core_token *what, void *ticket);
void core_server_token_check(struct core_server *cs, core_token_check *check, void *user);
void core_token_done(void *ticket, enum rc rc, str_t name);

/* So far: for tests and benchmarks. */
struct core_login_counts {
    uint64_t logins, refused;          /* succeeded; told "later" before any work */
    uint64_t cache_hits, cache_misses; /* verified.h */
    uint64_t argon2;                   /* of the whole process */
};
void core_server_login_counts(struct core_server *cs, struct core_login_counts *out);

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
