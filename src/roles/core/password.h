/* password.h: argon2id (RFC 9106) as core keeps it. Pure but for the work: each check costs
 * PASSWORD_MEMORY_KIB and some 20 ms. */
#ifndef ROLES_CORE_PASSWORD_H
#define ROLES_CORE_PASSWORD_H

#include "base/env.h"

/* OWASP Password Storage Cheat Sheet, the first of its argon2id choices of equal strength that fits
 * a small machine: several checks at once still take less than 64 MiB. */
#define PASSWORD_MEMORY_KIB (19 * 1024)
#define PASSWORD_PASSES     2
#define PASSWORD_LANES      1 /* one thread a check: the pool is what is parallel */
#define PASSWORD_SALT       16
#define PASSWORD_HASH       32
/* u8 version, memory, passes, lanes, salt, hash */
#define PASSWORD_RECORD (1 + 4 + 4 + 1 + PASSWORD_SALT + PASSWORD_HASH)

/* A record for the password, with a new salt. RC_TEMP: out of memory. */
enum rc password_hash(struct env *env, str_t password, uint8_t out[static PASSWORD_RECORD]);
/* RC_OK: it is the record's. RC_PERM: it is not, or there is no record (empty): takes the same
 * time. RC_TEMP: out of memory. */
enum rc password_check(str_t record, str_t password);

#endif
