/* schedule.h: which delivery is due, in memory: a million of them in well under 256 MiB, none found
 * by scanning.
 *
 * Deliveries (10 + 2 bytes of id and number) are kept by destination: a domain, or a domain with a
 * route of its own (`via`). Destinations that the same host serves share a site. The rows in the
 * store are the truth: the schedule is filled from them at start, kept up by hints, and whoever
 * takes an entry reads the row before acting on it.
 *
 * Who comes next. Everybody's mail belongs to a source (struct queue_message). What is due is taken
 * in turns over sources, wherever it goes: a source's second thing waits behind the first of every
 * other. This is start-time fair queueing: each destination that becomes due gets a number, one
 * above the last of its source, never below the number served last; the lowest is next. So one
 * message of B is next but few behind a hundred thousand of A, in the same destination or in
 * others. Of each source, mail of a higher priority class (RFC 6710; below, at, above 0) is
 * numbered by itself, and a class counts as SCHEDULE_CLASS_LEAD numbers: it overtakes, and does not
 * starve the lower. Sources are hashed into SCHEDULE_SOURCES places with a secret key, so this costs
 * the same however many there are; two that share a place share their turns.
 *
 * With `workers` set, one source has at most half of them while others have any, and never the last
 * eighth: whoever comes new finds one free.
 *
 * How much at once. A site (or a destination without one) has a number of connections it may have:
 * it starts at concurrency_start, grows by one after as many successes as it is, to
 * concurrency_max; a failure to connect halves it (never below 1) and makes all of the site wait:
 * retry_first_s, then twice as long each time, at most SCHEDULE_BAD_MAX_S (and retry_max_s). Rules
 * (schedule_rules) limit destinations and sites further, or suspend them.
 *
 * Times are env's mono clock: jumps of the wall clock do not reach in here. Not thread-safe: the
 * owner has a lock. */
#ifndef POST_SCHEDULE_H
#define POST_SCHEDULE_H

#include "post/queue.h"

#define SCHEDULE_SOURCES    16384
#define SCHEDULE_CLASS_LEAD 1000
#define SCHEDULE_BAD_MAX_S  1800 /* a destination finds out within half an hour that it is back */

struct schedule_policy {
    uint32_t retry_first_s, retry_max_s;         /* 300, 14400 */
    uint32_t concurrency_start, concurrency_max; /* 5, 20 */
    uint32_t workers; /* the most that can be under way; 0: sources are not held to a share */
};

/* How long to wait after the n-th failed attempt (1 is the first): first × 1, 3, 6, 12, 24, 48 …,
 * capped, ±20 %. */
int64_t schedule_retry_ms(const struct schedule_policy *p, struct env *env, uint32_t attempts);
/* A row's next_ms as a delay from now; may be negative (overdue). One further away than any retry
 * can be is due now: the clock has jumped, or it is one that is released later (whoever reads the
 * row sees that). */
int64_t schedule_delay_ms(const struct schedule_policy *p, int64_t next_ms, int64_t wall_now_ms);
/* Any wall-clock time as a delay from now, negative if it has passed: exact within 68 years. */
int64_t schedule_until_ms(int64_t wall_ms, int64_t wall_now_ms);
/* The longest time that schedule_delay_ms takes for a retry's. */
int64_t schedule_delay_max_ms(const struct schedule_policy *p);

struct schedule;
struct schedule_dest; /* lives while it has entries or workers */

struct schedule *schedule_new(struct env *env, const struct schedule_policy *p);
void schedule_free(struct schedule *s);
void schedule_workers(struct schedule *s, uint32_t workers); /* sets policy.workers */
size_t schedule_count(const struct schedule *s);             /* deliveries, waiting and taken */
size_t schedule_bytes(const struct schedule *s); /* memory in use, without malloc's own overhead */

struct schedule_item {
    queue_id_t id;
    uint16_t n;
    str_t domain, via, source; /* as in the row */
    int8_t priority;
    int64_t due_ms;
    bool asked; /* by hand: the wait of its destination and site is over */
    bool by;    /* at by_ms it comes up, whatever its destination waits for (RFC 2852) */
    int64_t by_ms;
};
/* Adds a delivery or moves it. One that is taken is noted: schedule_done will then use this time (and
 * end the wait, if it is asked for). False: out of memory. */
bool schedule_put(struct schedule *s, const struct schedule_item *i);
/* The row is gone or held. One that is taken stays so; schedule_done then forgets it unless told
 * otherwise by a later put. */
void schedule_remove(struct schedule *s, queue_id_t id, uint16_t n);
/* All of a domain is due now (but what has a route of its own), and its back-off is over, whatever
 * rows say. False: nothing waits for it. */
bool schedule_now(struct schedule *s, str_t domain, int64_t now_ms);

struct schedule_entry {
    queue_id_t id;
    uint16_t n;
    bool asked; /* by schedule_now: whatever time its row says */
    /* Its by_ms has passed: it came up for that, and nobody is to be connected to. Given back with
     * it, it comes up for that again; without, that is done with. */
    bool late;
};
/* The next destination that has something due and a free slot, with its first entry: both are now
 * the caller's. NULL: none. What is late goes first, whatever holds for its destination. */
struct schedule_dest *schedule_take(struct schedule *s, int64_t now_ms,
                                    struct schedule_entry *first);
/* Another due entry of a destination the caller has. False: none, or others are to have their
 * turn. */
bool schedule_take_more(struct schedule *s, struct schedule_dest *d, int64_t now_ms,
                        struct schedule_entry *e);
/* A taken entry is dealt with: SCHEDULE_GONE, or the time it is due again. */
#define SCHEDULE_GONE INT64_MAX
void schedule_done(struct schedule *s, struct schedule_entry e, int64_t due_ms);
/* A message went through. True: that ends a back-off, or what was left of one. */
bool schedule_good(struct schedule *s, struct schedule_dest *d);
/* Could not be reached. The time until which all of its site waits. */
int64_t schedule_bad(struct schedule *s, struct schedule_dest *d, int64_t now_ms);
/* Why d's site waits, if it is known which it is: kept for those who come there later. */
#define SCHEDULE_REASON_MAX 512
void schedule_reason(struct schedule_dest *d, str_t reason);
/* For how long d, or its site, still has to wait after failures; 0: it has not. *reason: as kept. */
int64_t schedule_waits_ms(const struct schedule_dest *d, int64_t now_ms, str_t *reason);
/* the caller's slot is free again; d may be gone */
void schedule_leave(struct schedule *s, struct schedule_dest *d, int64_t now_ms);
/* When schedule_take will next find something: INT64_MIN: at once; INT64_MAX: nothing waits. Not to
 * be subtracted from before it was compared. */
int64_t schedule_next_ms(const struct schedule *s);

/* ---- sites ---- */

#define SCHEDULE_KNOWN    8192 /* domains whose site is remembered without entries … */
#define SCHEDULE_KNOWN_MS (60 * 60 * 1000) /* … for so long: as an MX record often lives */
/* This host serves d, until another call says otherwise. The same again keeps it remembered. */
void schedule_site(struct schedule *s, struct schedule_dest *d, str_t name, int64_t now_ms);
str_t schedule_site_name(const struct schedule_dest *d); /* empty: not known */

/* The operator's rules for a domain or a site (whatever its port). Keys as in post/table.h: NAME,
 * .PARENT for all below, *. The most particular one counts, of suspensions and of limits each. */
#define SCHEDULE_RULES_MAX 10000 /* more are not looked at */
struct schedule_rule {
    str_t key; /* lower case */
    bool suspend;
    uint32_t connections, per_minute; /* limits; 0: none */
};
/* These and no others from now on. Slices are copied. False: no memory, the former ones stay. */
bool schedule_rules(struct schedule *s, const struct schedule_rule *v, size_t n, int64_t now_ms);
bool schedule_suspended(const struct schedule_dest *d);

/* ---- looking ---- */

str_t schedule_dest_domain(const struct schedule_dest *d);
str_t schedule_dest_via(const struct schedule_dest *d);
/* of its site, if it has one */
unsigned schedule_dest_limit(const struct schedule *s, struct schedule_dest *d);
unsigned schedule_dest_running(const struct schedule_dest *d); /* likewise */
/* NULL: not known */
struct schedule_dest *schedule_dest_find(struct schedule *s, str_t domain, str_t via);
struct schedule_dest *schedule_dest_of(struct schedule *s, queue_id_t id, uint16_t n);

#endif
