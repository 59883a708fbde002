/* agenda.h: the deliveries of one class (dr: courier, dl: local) with their schedule, kept up by
 * hints, and the threads that work on them.
 *
 * Two ways to run it. With threads (agenda_run): workers are started on demand up to a maximum and
 * wait when idle; the calling thread looks after time, rows that came without a value, and the
 * rescan after lost hints. Without (agenda_step): what is due now is done in the calling thread;
 * nothing waits; for tests with a virtual clock.
 *
 * A worker is given a destination and a first entry of it; it may take more of the same and must
 * leave the destination. Lock order: the agenda's lock is innermost; no store call is made under
 * it. */
#ifndef ROLES_DELIVERY_AGENDA_H
#define ROLES_DELIVERY_AGENDA_H

#include <pthread.h>

#include "post/queue_wait.h"
#include "post/schedule.h"
#include "roles/settings.h"

#define AGENDA_THREADS_MAX 1024 /* worker threads of one agenda, whatever the settings say */
#define AGENDA_UNREAD_MAX  1024 /* hints without a value that wait to be read; more: a rescan */
/* after a start, or a jump of the wall clock, nothing expires so long (THREATS T43) */
#define AGENDA_GRACE_MS 600000

struct agenda;
struct agenda_linger;

typedef void agenda_work_fn(void *user, struct schedule_dest *d, struct schedule_entry first);
typedef void agenda_tick_fn(void *user); /* now and then, on the calling thread of agenda_run */

struct agenda {
    struct env *env;
    const char *role; /* for the log */
    bool local;       /* dl/ rather than dr/ */
    struct schedule_policy policy;
    agenda_work_fn *work;
    agenda_tick_fn *tick;
    void *user;

    pthread_mutex_t lock;
    pthread_cond_t idle_cond, main_cond, stop_cond;
    struct schedule *schedule;
    struct agenda_linger *lingering;
    bool rescan; /* hints were lost, or nothing was read yet */
    /* courier's: the operator's tables, requests for a domain (etrn/) and why destinations wait
     * (b/) are to be read anew */
    bool rules_stale, asked_stale, waits_stale;
    int64_t waits_swept_ms; /* mono */
    bool stopping, threaded, watching;
    unsigned threads, idle, tokens, threads_max;
    pthread_t thread[AGENDA_THREADS_MAX];
    size_t n_unread;
    struct schedule_entry unread[AGENDA_UNREAD_MAX];
    int64_t clock_skew_ms, grace_until_ms; /* wall − mono as last seen */
    int64_t young_until_ms;
    int64_t jumped_ms, jumped_from_ms; /* all jumps; the wall clock before the last */
};

/* Sets it up; asks nothing of the store yet. False: no memory. */
bool agenda_init(struct agenda *g, struct env *env, const struct settings *set, bool local,
                 agenda_work_fn *work, agenda_tick_fn *tick, void *user);
void agenda_free(struct agenda *g);
/* Asks for hints; once it was STORE_OK, again is harmless. */
enum store_rc agenda_watch(struct agenda *g);

/* Reads all delivery rows if that is needed. STORE_OK: the schedule is complete. */
enum store_rc agenda_fill(struct agenda *g);

/* There are threads: agenda_pause may wait. */
void agenda_threaded(struct agenda *g);
/* Runs until agenda_stop; joins the workers. */
void agenda_run(struct agenda *g, unsigned threads_max);
void agenda_stop(struct agenda *g);
bool agenda_stopping(struct agenda *g);
/* Fills if needed and does all that is due now, here. The number of entries begun. */
size_t agenda_step(struct agenda *g);
int64_t agenda_next_ms(struct agenda *g); /* as schedule_next_ms */

/* ---- for workers ---- */

/* Another due entry of d. With linger_ms > 0 (and threads) waits so long for one to come: a
 * connection is open. */
bool agenda_more(struct agenda *g, struct schedule_dest *d, int64_t linger_ms,
                 struct schedule_entry *e);
/* INT64_MAX: gone; else the row's next_ms */
void agenda_done(struct agenda *g, struct schedule_entry e, int64_t wall_next_ms);
/* not the row's doing: again in ms */
void agenda_later(struct agenda *g, struct schedule_entry e, int64_t ms);
/* A message went through: the end of a back-off. */
void agenda_good(struct agenda *g, struct schedule_dest *d);
/* Could not be reached, or said 421 or 4xx to everything: the whole destination waits; the reason is
 * kept and shown with it. */
void agenda_back_off(struct agenda *g, struct schedule_dest *d, str_t reason);
/* What serves d: the name of its best MX, or of its route's host (with ":PORT" where the route has
 * one); told by courier once it has looked it up. Destinations with the same site are one:
 * connections, rate, back-off and suspension are counted for all of them together. */
void agenda_site(struct agenda *g, struct schedule_dest *d, str_t site);
/* Nothing is to be sent there (the operator's TABLE_SUSPEND, by domain or by site): asked after
 * agenda_site and before connecting, as which site it is was not known when d was taken. Then:
 * agenda_later with AGENDA_SUSPENDED_MS for the entry, and agenda_leave. */
bool agenda_suspended(struct agenda *g, struct schedule_dest *d);
/* The site waits, as others there have found out: asked likewise, and nobody is connected to unless
 * the delivery was asked for by hand. Why and until when is kept for d too. Then: agenda_done with the
 * row's own time, and agenda_leave. */
bool agenda_waits(struct agenda *g, struct schedule_dest *d);
#define AGENDA_SUSPENDED_MS 1000 /* it is not tried before the row is gone, whatever this says */
void agenda_leave(struct agenda *g, struct schedule_dest *d);
/* Waits ms, or until the stop. False: do not go on (stopping, or there are no threads to wait
 * with). */
bool agenda_pause(struct agenda *g, int64_t ms);
/* The wall clock jumped not long ago: nothing is to expire by it. */
bool agenda_grace(struct agenda *g);
/* That, or this is the start, and the clock may have been wrong before it: nothing is given up, nor
 * called late, for its age in days. */
bool agenda_young(struct agenda *g);
/* A time that the clock showed before it jumped, as it would show it now; others as they are. */
int64_t agenda_since(struct agenda *g, int64_t wall_ms);

#endif
