/* mask.h: masked addresses: one that a person gives to a shop and drops when spam comes to it. It
 * leads to their account alone, and they may send as it (roles/smtp/submit.c: an alias with one
 * target).
 *
 * In the directory an alias (addr/), and beside it a row with when it was made and what for:
 *
 *     mask/ID/ADDRESS     version, wall-clock ms, note
 *
 * Both come and go in one batch; with the account they go too. */
#ifndef POST_MASK_H
#define POST_MASK_H

#include "base/env.h"
#include "post/directory.h"

/* of one account: what goes with it in one batch (STORE_BATCH_OPS) */
#define MASKS_MAX     200
#define MASK_NOTE_MAX 200 /* bytes */

/* Makes one for the account of exactly this address, in its domain: *out is in the arena. */
enum rc mask_add(struct env *env, str_t account, str_t note, struct arena *a, str_t *out,
                 struct err *err);
enum rc mask_remove(struct store *s, str_t address, struct err *err);

struct mask {
    uint64_t account;
    str_t address, note;
    int64_t made_ms;
};
/* Those of one account (0: of all), account by account. */
enum store_rc mask_list(struct store *s, uint64_t account,
                        bool (*row)(void *user, const struct mask *m), void *user);

#endif
