/* remote.h: the store as the other roles have it: a client of the core role over a channel. The
 * messages both sides speak are protocol.h's.
 *
 * Passes the same conformance suite as the engines. Requests carry a deadline. When core dies,
 * commits sent but not answered are STORE_UNKNOWN; watches are set again by themselves and followed
 * by a "hints were lost" hint. */
#ifndef STORE_REMOTE_H
#define STORE_REMOTE_H

#include "base/env.h"
#include "store/login.h"
#include "store/store.h"
#include "sys/channel.h"

/* Takes no ownership of `env`; makes and owns the channel, which the caller attaches sockets to
 * (*ch). */
struct store *store_remote_new(struct env *env, struct channel **ch);

struct store_login_answer {
    uint64_t account;
    /* A store that may touch PART_USER of that account (use READ), or put messages of that account
     * into the queue and look addresses up (use SEND), and nothing else: core/permissions.c. Close
     * it with store_close; it ends with that or with the channel. */
    struct store *session;
    char address[321];      /* the account's own address: its name in the directory */
    char password_name[65]; /* which of its passwords: "main" or an application's */
    uint8_t signature[32];  /* SCRAM: ServerSignature */
    size_t signature_len;
    /* RC_PERM, RC_TEMP: so long whoever asked is kept waiting (without a thread) */
    uint32_t hold_ms;
};
/* RC_OK; RC_PERM: name or proof wrong, which of them is not told, and took the same time; also for a
 * right password that may not be used for this (then the log says so). RC_TEMP: core is not there,
 * or its checking pool is full, or this address has used up its budget. */
enum rc store_remote_login(struct store *remote, const struct store_login *login,
                           struct store_login_answer *out, struct err *err);
/* Salt and iterations of an account's SCRAM secrets; for a name that does not exist ones that look
 * just like it and stay the same. */
enum rc store_remote_scram(struct store *remote, str_t name, uint8_t salt[static 16],
                           uint32_t *iterations, struct err *err);
/* As store_remote_login with a password for STORE_USE_READ. */
enum rc store_remote_login_password(struct store *remote, str_t name, str_t password,
                                    const struct netaddr *from, uint64_t *account,
                                    struct store **session, uint32_t *hold_ms, struct err *err);

/* One more password of an account: `name` as its owner calls it, `uses` of enum store_use. Replaces
 * the one of that name. Only for the administration channel. */
enum rc store_remote_add_password(struct store *remote, uint64_t account, str_t name, unsigned uses,
                                  str_t password, struct err *err);
enum rc store_remote_remove_password(struct store *remote, uint64_t account, str_t name,
                                     struct err *err); /* RC_PERM: there is none of that name */
enum rc store_remote_list_passwords(struct store *remote, uint64_t account,
                                    struct store_password_info out[static STORE_PASSWORDS_MAX],
                                    size_t *n, struct err *err);
/* A client certificate (its SHA-256) that is good for SASL EXTERNAL; remove: takes it away. */
enum rc store_remote_certificate(struct store *remote, uint64_t account,
                                 const uint8_t sha256[static 32], bool remove, struct err *err);

/* Sets an account's password; core hashes it (argon2id). Only for the administration channel. An
 * empty password locks the account. */
enum rc store_remote_set_password(struct store *remote, uint64_t account, str_t password,
                                  struct err *err);

#endif
