/* password_cost.c: what a password costs to check, and to try. Nothing else belongs in this file: see
 * password.h. */
#include "roles/core/password.h"

/* argon2id: OWASP Password Storage Cheat Sheet, the first of its choices of equal strength that fits a
 * small machine: several checks at once still take less than 64 MiB. One thread a check: the pool is
 * what is parallel. */
const struct password_cost password_cost = {
    .memory_kib = 19 * 1024,
    .passes = 2,
    .lanes = 1,
    .iterations = 50000,
};
