/* schedule.h: which delivery is due, in memory: a million of them in well under 256 MiB, none found
 * by scanning.
 *
 * Deliveries (10 + 2 bytes of id and number) are kept by destination, each destination's in a
 * pairing heap by due time; destinations in a heap by when they next have something to do. The rows
 * in the store are the truth: the schedule is filled from them at start, kept up by hints, and
 * whoever takes an entry reads the row before acting on it.
 *
 * A destination has a number of connections it may have at once: it starts at concurrency_start,
 * grows by one after as many successes as it is, to concurrency_max; a failure to connect halves it
 * (never below 1) and makes the whole destination wait.
 *
 * Times are env's mono clock: jumps of the wall clock do not reach in here. Not thread-safe: the
 * owner has a lock. */
#ifndef POST_SCHEDULE_H
#define POST_SCHEDULE_H

#include "post/queue.h"

struct schedule_policy {
    uint32_t retry_first_s, retry_max_s;         /* 300, 14400 */
    uint32_t concurrency_start, concurrency_max; /* 5, 20 */
};

/* How long to wait after the n-th failed attempt (1 is the first): first × 1, 3, 6, 12, 24, 48 …,
 * capped, ±20 %. */
int64_t schedule_retry_ms(const struct schedule_policy *p, struct env *env, uint32_t attempts);
/* A row's next_ms as a delay from now; may be negative (overdue). One further away than any retry
 * can be is due now: the clock has jumped. */
int64_t schedule_delay_ms(const struct schedule_policy *p, int64_t next_ms, int64_t wall_now_ms);

struct schedule;
struct schedule_dest; /* lives while it has entries or workers */

struct schedule *schedule_new(struct env *env, const struct schedule_policy *p);
void schedule_free(struct schedule *s);
size_t schedule_count(const struct schedule *s); /* deliveries, waiting and taken */
size_t schedule_bytes(const struct schedule *s); /* memory in use, without malloc's own overhead */

/* Adds a delivery or moves it. One that is taken is noted: schedule_done will then use this time.
 * Moving one that waited to now or earlier (retry by hand) also ends its destination's wait. False:
 * out of memory. */
bool schedule_put(struct schedule *s, queue_id_t id, uint16_t n, str_t domain, int64_t due_ms);
/* The row is gone or held. One that is taken stays so; schedule_done then forgets it unless told
 * otherwise by a later put. */
void schedule_remove(struct schedule *s, queue_id_t id, uint16_t n);

struct schedule_entry {
    queue_id_t id;
    uint16_t n;
};
/* The next destination that has something due and a free slot, with its first entry: both are now
 * the caller's. NULL: none. */
struct schedule_dest *schedule_take(struct schedule *s, int64_t now_ms,
                                    struct schedule_entry *first);
/* Another due entry of a destination the caller has. */
bool schedule_take_more(struct schedule *s, struct schedule_dest *d, int64_t now_ms,
                        struct schedule_entry *e);
/* A taken entry is dealt with: SCHEDULE_GONE, or the time it is due again. */
#define SCHEDULE_GONE INT64_MAX
void schedule_done(struct schedule *s, struct schedule_entry e, int64_t due_ms);
void schedule_good(struct schedule *s, struct schedule_dest *d); /* a message went through */
/* could not be reached */
void schedule_bad(struct schedule *s, struct schedule_dest *d, int64_t now_ms);
/* the caller's slot is free again; d may be gone */
void schedule_leave(struct schedule *s, struct schedule_dest *d, int64_t now_ms);
/* When schedule_take will next find something; INT64_MAX: nothing waits. */
int64_t schedule_next_ms(const struct schedule *s);

str_t schedule_dest_domain(const struct schedule_dest *d);
unsigned schedule_dest_limit(const struct schedule_dest *d);
unsigned schedule_dest_running(const struct schedule_dest *d);
struct schedule_dest *schedule_dest_find(struct schedule *s, str_t domain); /* NULL: not known */

#endif
