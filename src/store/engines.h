/* engines.h: how a store comes to be: on the disk (for core), or in memory (for tests alone). The
 * third, a client of core, is remote.h's. Each ends by store_close. */
#ifndef STORE_ENGINES_H
#define STORE_ENGINES_H

#include "base/env.h"
#include "store/store.h"

/* LMDB: two files in the directory `dir_fd` (not closed): queue.mdb (PART_QUEUE) and mail.mdb (the
 * rest), each with a commit thread that drains all that waits into one synced commit. `log` gets
 * one line for each event an operator must see (a failed sync, damage, full disk); called from any
 * thread. NULL and *err on failure. */
struct store *store_lmdb_open(int dir_fd, void (*log)(void *user, const char *line), void *user,
                              struct err *err);

/* Moves the board to memory the caller shares with others, right after store_lmdb_open; it outlives
 * the store. */
void store_lmdb_set_board(struct store *s, struct store_board *shared);
/* For a server: `flush` is called on a commit thread after one or more `done` calls on it, before
 * that thread syncs or sleeps, so that the answers of a group can leave in one write. `queue`:
 * those of PART_QUEUE's batches, else the other file's; the two threads may call at the same time.
 * Set it before the first batch. (What store_submit refuses by itself, STORE_LIMIT, is answered on
 * the submitting thread and is not followed by a flush.) */
void store_lmdb_set_flush(struct store *s, void (*flush)(void *user, bool queue), void *user);
/* for tests: as if opened that much earlier */
void store_lmdb_age_snapshots(struct store *s, int64_t by_ms);

/* In memory, for tests. Reads see a lazy batch only once a durable one followed. After a crash
 * reads get STORE_DOWN. After store_memory_crash_after(n) the n-th batch from now (1 is the next) and
 * everything after it gets STORE_UNKNOWN; whether that n-th batch took effect is decided by `torn`.
 * store_memory_reopen then is the restart: all durable batches are there, of the lazy ones after
 * the last durable one a random prefix (by `seed`); snapshots and watches are gone. Only batches
 * that apply count: one that ends as STORE_CONFLICT does not crash. */
struct store *store_memory_new(void);
void store_memory_crash_after(struct store *s, uint64_t n, bool torn);
/* how many batches were applied so far, lazy ones too */
uint64_t store_memory_batches(struct store *s);
void store_memory_reopen(struct store *s, uint64_t seed);
void store_memory_damage(struct store *s, part_t part, str_t key); /* flips a bit of that value */
/* every batch ends so until STORE_OK is set */
void store_memory_fail(struct store *s, enum store_rc rc);
void store_memory_age_snapshots(struct store *s, int64_t by_ms);

#endif
