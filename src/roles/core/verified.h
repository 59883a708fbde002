/* verified.h: passwords that were checked a moment ago, so that a program that logs in for each of
 * its messages costs one argon2id and not a hundred; and wrong ones, so that a program with an old
 * password costs one as well.
 *
 * An entry is a keyed hash (HMAC-SHA-256, the key random for each process) of account, generation of
 * its record and password, and lives for the setting auth_cache. A change of the account's passwords
 * changes the generation: then no entry fits any more. Whoever reads this process's memory can try
 * passwords fast against what is here, for as long as it is here: hence short, and 0 switches it off.
 * Fixed tables; not thread-safe. */
#ifndef ROLES_CORE_VERIFIED_H
#define ROLES_CORE_VERIFIED_H

#include "base/str.h"

#define VERIFIED_SLOTS 4096 /* 32 bytes each, of right ones and of wrong ones */

struct verified {
    uint8_t key[32];
    struct verified_slot {
        uint8_t mac[16];
        int64_t until_ms;
        int which;
    } right[VERIFIED_SLOTS], wrong[VERIFIED_SLOTS];
    uint64_t hits, misses;
};

/* What is looked up: made outside the lock. False: no memory. */
struct verified_mark {
    uint8_t mac[16];
};
bool verified_mark(const uint8_t key[static 32], str_t name, uint64_t generation, str_t password,
                   struct verified_mark *out);

enum verified_result { VERIFIED_UNKNOWN, VERIFIED_RIGHT, VERIFIED_WRONG };
/* RIGHT: *which is the entry of the record. Counts. */
enum verified_result verified_find(struct verified *v, const struct verified_mark *m,
                                   int64_t now_ms, int *which);
/* which -1: wrong. */
void verified_put(struct verified *v, const struct verified_mark *m, int which, int64_t until_ms);

#endif
