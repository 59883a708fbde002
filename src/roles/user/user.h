/* user.h: POP3, by which people read their mail: what session.c, maildrop.c, lock.c, user.c and their
 * tests share. user.c runs the whole role, whose other half (they hand mail in) is submission.h.
 *
 * A session runs the engine (proto/pop3/server.h) over a connection of sys/server.h. Nothing of a
 * mailbox is within its reach before core has checked the password; then it holds a store that may
 * touch that one account. */
#ifndef ROLES_USER_USER_H
#define ROLES_USER_USER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/env.h"
#include "base/map.h"
#include "proto/pop3/server.h"
#include "roles/log_gate.h"
#include "roles/settings.h"
#include "store/store.h"
#include "sys/server.h"

/* Which mailboxes have a session: one at a time (RFC 1939 4). Thread-safe. */
struct user_locks {
    pthread_mutex_t mutex;
    struct map *taken;
};
bool user_locks_init(struct user_locks *l, struct env *env, size_t max);
void user_locks_free(struct user_locks *l);
/* false: somebody has it (or there are `max` already) */
bool user_lock(struct user_locks *l, uint64_t account);
void user_unlock(struct user_locks *l, uint64_t account);

/* A check takes tens of milliseconds, and core does a few at a time: with all workers waiting for
 * one, nobody could read mail. */
#define USER_WORKERS_MAX  64
#define USER_LOGINS_MAX   (USER_WORKERS_MAX - 16)
#define USER_BUSY_HOLD_MS 5000 /* so long the others wait before they are told to come again */

struct user {
    struct env *env;
    const struct settings *settings;
    struct pop3s_config plain, closed; /* passwords allowed, or not */
    struct user_locks locks;
    _Atomic int logins_waiting; /* workers that wait for core to check a password */
    struct log_gate gate;
    atomic_uint_fast64_t next_session; /* ids in the log */
    /* As store_remote_login_password; closing is store_close. A test has its own. */
    enum rc (*login)(struct user *u, str_t name, str_t password, const struct netaddr *from,
                     uint64_t *account, struct store **session, uint32_t *hold_ms, struct err *err);
    void (*logout)(struct user *u, struct store *session);
};
bool user_init(struct user *u, struct env *env, const struct settings *settings);
void user_free(struct user *u);

extern const struct server_session_ops user_session_ops; /* open's `user` is a struct user */

#endif
