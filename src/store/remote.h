/* remote.h: the store as the other roles have it: a client of the core role over a channel, and the
 * messages both sides speak.
 *
 * Passes the same conformance suite as the engines. Requests carry a deadline. When core dies,
 * commits sent but not answered are STORE_UNKNOWN; watches are set again by themselves and followed
 * by a "hints were lost" hint. */
#ifndef STORE_REMOTE_H
#define STORE_REMOTE_H

#include "base/env.h"
#include "store/store.h"
#include "sys/channel.h"

/* Takes no ownership of `env`; makes and owns the channel, which the caller attaches sockets to
 * (*ch). */
struct store *store_remote_new(struct env *env, struct channel **ch);

/* A login. RC_OK: *account, and *session is a store that may touch PART_USER of that account and
 * nothing else (close it with store_close; the session ends with it or with the channel). RC_PERM:
 * name or password wrong, which of them is not told, and took the same time; *hold_ms: so long
 * whoever asked is kept waiting for this answer (without a thread). RC_TEMP: core is not there, or
 * too busy (its checking pool is full). */
enum rc store_remote_login(struct store *remote, str_t name, str_t password,
                           const struct netaddr *from, uint64_t *account, struct store **session,
                           uint32_t *hold_ms, struct err *err);

/* Sets an account's password; core hashes it (argon2id). Only for the administration channel. An
 * empty password locks the account. */
enum rc store_remote_set_password(struct store *remote, uint64_t account, str_t password,
                                  struct err *err);

#endif
