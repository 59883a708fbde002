/* apply.h: what a batch means, once for all engines: preconditions, changes, counters.
 *
 * An engine gives the few calls below on an open transaction; raw keys are as in record.h. */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/record.h"

struct apply_tx {
    /* *present, and if `value` is not NULL the checked value, valid until the next change.
     * STORE_DAMAGED: checksum. */
    enum store_rc (*get)(struct apply_tx *tx, str_t raw, bool *present, str_t *value);
    enum store_rc (*put)(struct apply_tx *tx, str_t raw, str_t value);
    enum store_rc (*del)(struct apply_tx *tx, str_t raw); /* STORE_OK if there was none */
    /* All raw keys from <= k < end; tells hints of each. */
    enum store_rc (*del_range)(struct apply_tx *tx, part_t part, str_t from, str_t end);
};

/* Runs a batch that store_batch_valid accepted. STORE_OK: all done, numbers set. Otherwise *failed
 * is the op, and *dirty tells whether changes were made before it that the engine has to take back
 * (STORE_CONFLICT never leaves any). */
enum store_rc apply_batch(struct apply_tx *tx, struct store_batch *b, size_t *failed, bool *dirty);

/* Only deletes, with any preconditions: what must work on a full disk. */
bool apply_only_deletes(const struct store_batch *b);

#endif
