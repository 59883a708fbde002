/* password.h: an account's passwords as core keeps them: for each both an argon2id hash (RFC 9106),
 * which PLAIN and LOGIN are checked with, and SCRAM keys (RFC 5802 3).
 *
 * All passwords of an account share one salt for argon2id and one for SCRAM: so a login costs one
 * argon2id whatever their number, and one SCRAM exchange serves them all. Every check does the same
 * work, for an empty record too: one argon2id, or STORE_PASSWORDS_MAX SCRAM checks.
 *
 * SCRAM keys are weaker against whoever has stolen the store than argon2id is, so as many iterations
 * as clients in use can take: Cyrus SASL refuses over 65,536, RFC 7677 4 asks for at least 4096 and
 * "significantly higher" where no mobile device suffers; it is the client that pays (some 20 ms),
 * and we only when a password is set. Pure but for that work. */
#ifndef ROLES_CORE_PASSWORD_H
#define ROLES_CORE_PASSWORD_H

#include "base/buf.h"
#include "base/env.h"
#include "store/login.h"

#define PASSWORD_SALT 16
#define PASSWORD_HASH 32

/* What a new record costs. A constant of the program (password_cost.c), alone in its file: a test
 * that checks many passwords, and not what they cost, is linked with a cheaper one of its own. */
struct password_cost {
    uint32_t memory_kib, passes, lanes; /* of argon2id */
    uint32_t iterations;                /* of SCRAM */
};
extern const struct password_cost password_cost;

struct password {
    char name[STORE_PASSWORD_NAME_MAX + 1];
    unsigned uses;               /* of enum store_use */
    uint32_t made_day, used_day; /* since 1970; 0: not known, never */
    uint8_t hash[PASSWORD_HASH]; /* argon2id */
    /* A record of version 1 has no SCRAM keys: they are made at the next login with the password. */
    bool scram;
    uint8_t stored_1[20], server_1[20], stored_256[32], server_256[32];
};

struct password_record {
    bool locked; /* nobody logs in, by whatever proof */
    /* Another with each change of a password: random, or, of a record of version 1, from what it
     * holds. 0: there is no record. */
    uint64_t generation;
    uint32_t memory_kib, passes, lanes, iterations;
    uint8_t salt[PASSWORD_SALT], scram_salt[STORE_SCRAM_SALT];
    size_t n;
    struct password entries[STORE_PASSWORDS_MAX];
};
#define PASSWORD_RECORD_MAX 8192 /* bytes of one, encoded */

/* Reads a row of either version. False: there is none, or it is none; then *out is an empty record
 * that costs as much to check against. */
bool password_decode(str_t bytes, struct password_record *out);
bool password_encode(const struct password_record *r, struct buf *out);
/* An empty one; a new salt for argon2id, `scram_salt` for SCRAM. */
void password_init(struct password_record *r, struct env *env,
                   const uint8_t scram_salt[static STORE_SCRAM_SALT]);

/* Hash and keys of a password with the record's salts, into *p. RC_TEMP: out of memory. */
enum rc password_make(const struct password_record *r, str_t password, struct password *p);
/* The SCRAM keys alone. */
enum rc password_make_scram(const struct password_record *r, str_t password, struct password *p);
/* The entry of that name; -1: none. */
int password_find(const struct password_record *r, str_t name);

/* RC_OK: *which is one that fits, one that may be used for `use` if there is such. RC_PERM: none
 * fits. RC_TEMP: out of memory. */
enum rc password_check(const struct password_record *r, str_t password, enum store_use use,
                       int *which);
/* The same with a SCRAM proof; `signature`: digest_size bytes. */
enum rc password_check_scram(const struct password_record *r, const struct store_login *login,
                             int *which, uint8_t signature[static 32]);

/* How much work was done so far, for tests that hold the work for one login against another's. */
struct password_work {
    uint64_t argon2, scram;
};
struct password_work password_work_done(void);

#endif
