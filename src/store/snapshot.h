/* snapshot.h: the open snapshots of an engine by id, each with what the engine reads through.
 *
 * A snapshot is used by one thread at a time: snapshots_take waits for its turn. Ids are not
 * reused. One that is too old is gone for new uses at once, and let go of as soon as its last use
 * ends. Thread-safe. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <pthread.h>

#include "store/store.h"

/* open at once: some for each worker that lists a mailbox; one costs a slot of LMDB's reader
 * table */
#define SNAPSHOTS_MAX 128

struct snapshot {
    uint64_t id; /* 0: free */
    part_t part;
    void *what;
    int64_t opened_ms;
    bool busy, closing;
};

typedef void snapshot_drop_fn(void *what, void *user);

struct snapshots {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    uint64_t next_id;
    snapshot_drop_fn *drop;
    void *user;
    struct snapshot v[SNAPSHOTS_MAX];
};

void snapshots_init(struct snapshots *s, snapshot_drop_fn *drop, void *user);
void snapshots_free(struct snapshots *s); /* drops all; nobody uses one any more */
/* false: too many */
bool snapshots_add(struct snapshots *s, part_t part, void *what, uint64_t *id);
/* False: unknown, too old, or of another partition. */
bool snapshots_take(struct snapshots *s, uint64_t id, part_t part, void **what);
void snapshots_give(struct snapshots *s, uint64_t id);
void snapshots_remove(struct snapshots *s, uint64_t id);
void snapshots_expire(struct snapshots *s);             /* drops those that are too old */
void snapshots_clear(struct snapshots *s);              /* drops all that are not in use */
void snapshots_age(struct snapshots *s, int64_t by_ms); /* for tests */

#endif
