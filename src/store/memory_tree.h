/* memory_tree.h: an ordered map that never changes: each change makes a new root that shares what
 * is unchanged with the old one. So a snapshot, the state before a batch and the state on the
 * imagined disk are each just a root that is held. A treap; the priority is a hash of the key, so
 * the shape depends on the keys alone. Not thread-safe. */
#ifndef STORE_MEMORY_TREE_H
#define STORE_MEMORY_TREE_H

#include "base/str.h"

struct tree; /* a root; NULL is the empty map */

struct tree *tree_hold(struct tree *t);
void tree_drop(struct tree *t);
/* A new root, held by the caller; `t` stays as it is. `sum` is kept beside the value. */
struct tree *tree_put(struct tree *t, str_t key, str_t value, uint32_t sum);
struct tree *tree_del(struct tree *t, str_t key);

struct tree_row {
    str_t key, value; /* valid while a root that has the row is held */
    uint32_t sum;
};
bool tree_get(const struct tree *t, str_t key, struct tree_row *out);
/* the first >= key, or > key if `after` */
bool tree_from(const struct tree *t, str_t key, bool after, struct tree_row *out);
bool tree_below(const struct tree *t, str_t key, struct tree_row *out); /* the last < key */

#endif
