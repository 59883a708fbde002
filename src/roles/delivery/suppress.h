/* suppress.h: which addresses are left alone (post/queue_suppress.h), as courier asks for it with
 * every delivery: a set of hashes in memory, so that the usual "no" costs no question to the store.
 *
 * Kept up by hints. A "yes" of the set is looked up in the store before anybody acts on it.
 * Thread-safe. */
#ifndef ROLES_DELIVERY_SUPPRESS_H
#define ROLES_DELIVERY_SUPPRESS_H

#include "base/env.h"
#include "post/queue_suppress.h"

/* Addresses that are known by heart: 4 MiB. With more in the store every address is looked up
 * there. */
#define SUPPRESS_MAX 262144

struct suppress;
/* keep_s: rows that are older mean nothing, and are removed. NULL: no memory. */
struct suppress *suppress_new(struct env *env, uint32_t keep_s);
void suppress_free(struct suppress *s);
/* Asks for hints and reads all rows; again is harmless. */
enum store_rc suppress_attach(struct suppress *s);
/* False: it is not suppressed. True: *out is the row, in the arena. Cannot be read: false. */
bool suppress_find(struct suppress *s, str_t address, struct arena *a,
                   struct queue_suppressed *out);

#endif
