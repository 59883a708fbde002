/* server_workers.c: how many threads run: see server_internal.h.
 *
 * Where nothing is known of the handlers there is always one more worker than there are turns under
 * way: the last to wait for an event starts the next before it begins.
 *
 * Where they tell when they sleep (limits.handlers_tell), no more workers than processors are
 * active, that is: in a turn or waiting for an event. The others are parked. When an active one
 * goes to sleep in its handler and nobody waits for events, a parked one takes its place; when it
 * wakes up it goes on at once, and whoever ends a turn while there are too many parks itself. So as
 * long as handlers do not wait, a few threads take event after event without a switch between them,
 * and sixty that one commit wakes do their last steps and lie down again. A handler that sleeps
 * without saying so would take a place with it: the watch notices when nothing moves, and lets one
 * more run. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/blocking.h"
#include "base/err.h"
#include "sys/clock.h"
#include "sys/server_internal.h"

#define ACTIVE_MAX 8   /* enough to keep the others busy that do the rest of the work */
#define WATCH_MS   100 /* the longest that silent sleepers hold up the others */

static void *worker_main(void *arg);

/* Starts one more, active from the beginning, unless there are workers_max. */
static void worker_start(struct server *s)
{
    int n = atomic_load(&s->workers);
    do {
        if (n >= s->limits.workers_max)
            return;
    } while (!atomic_compare_exchange_weak(&s->workers, &n, n + 1));
    atomic_fetch_add(&s->active, 1);
    pthread_t t;
    if (pthread_create(&t, NULL, worker_main, s) == 0) {
        pthread_detach(t);
        return;
    }
    atomic_fetch_sub(&s->active, 1); /* those there are go on */
    atomic_fetch_sub(&s->workers, 1);
}

/* Counts this worker out, unless that would leave fewer than `keep`. */
static bool worker_leave(struct server *s, int keep)
{
    pthread_mutex_lock(&s->workers_lock);
    int n = atomic_load(&s->workers);
    while (n > keep && !atomic_compare_exchange_weak(&s->workers, &n, n - 1))
        ;
    pthread_cond_broadcast(&s->workers_gone);
    pthread_mutex_unlock(&s->workers_lock);
    return n > keep;
}

/* ---- places ---- */

static bool take_one(_Atomic int *n)
{
    int v = atomic_load(n);
    while (v > 0)
        if (atomic_compare_exchange_weak(n, &v, v - 1))
            return true;
    return false;
}

/* One more may be active: a parked one, or a new one. */
static void release_one(struct server *s)
{
    if (!take_one(&s->parked)) {
        worker_start(s);
        return;
    }
    atomic_fetch_add(&s->active, 1);
    sem_post(&s->places);
}

/* Nobody waits for events, and there is a place for one who would. */
static bool place_free(struct server *s)
{
    return atomic_load(&s->waiting) == 0 && atomic_load(&s->active) < s->active_max &&
           !atomic_load(&s->stopping);
}

static void on_block(void *user)
{
    struct server *s = user;
    atomic_fetch_sub(&s->active, 1);
    if (place_free(s))
        release_one(s);
}

static void on_unblock(void *user)
{
    atomic_fetch_add(&((struct server *)user)->active, 1);
}

/* Gives the place up if there are too many. */
static bool must_park(struct server *s)
{
    if (!s->limits.handlers_tell)
        return false;
    int n = atomic_load(&s->active);
    while (n > s->active_max + atomic_load(&s->extra))
        if (atomic_compare_exchange_weak(&s->active, &n, n - 1))
            return true;
    return false;
}

/* Until there is a place; false: none for a long time. */
static bool park(struct server *s)
{
    struct timespec until = sys_timespec(sys_mono_ms() + SERVER_IDLE_MS);
    atomic_fetch_add(&s->parked, 1);
    /* Whoever looked for one between our leaving the place and this line has not found us. */
    if ((atomic_load(&s->stopping) || place_free(s)) && take_one(&s->parked)) {
        atomic_fetch_add(&s->active, 1);
        return true;
    }
    for (;;) {
        if (sem_clockwait(&s->places, CLOCK_MONOTONIC, &until) == 0)
            return true;
        if (errno == ETIMEDOUT && take_one(&s->parked))
            return false;
        if (errno == ETIMEDOUT) /* somebody has just counted on us */
            until = sys_timespec(sys_mono_ms() + SERVER_IDLE_MS);
    }
}

/* ---- the loop ---- */

/* False: no event for a long time. */
static bool one_turn(struct server *s, char *buffer)
{
    struct epoll_event e;
    atomic_fetch_add(&s->waiting, 1);
    int n = epoll_wait(s->epoll_fd, &e, 1, s->limits.handlers_tell ? -1 : SERVER_IDLE_MS);
    int waiting = atomic_fetch_sub(&s->waiting, 1) - 1;
    must(n >= 0 || errno == EINTR);
    if (n != 1 || atomic_load(&s->stopping))
        return n != 0;
    if (!s->limits.handlers_tell && waiting == 0)
        release_one(s);
    atomic_fetch_add_explicit(&s->turns, 1, memory_order_relaxed);
    server_dispatch(s, &e, buffer);
    return true;
}

static void *worker_main(void *arg)
{
    struct server *s = arg;
    const struct blocking listener = {.begin = on_block, .end = on_unblock, .user = s};
    char *buffer = malloc(SERVER_READ_SIZE);
    bool left = false;
    if (s->limits.handlers_tell)
        blocking_listener = &listener;
    while (buffer != NULL && !left && !atomic_load(&s->stopping)) {
        bool parked = must_park(s);
        if (parked ? park(s) : one_turn(s, buffer))
            continue;
        left = worker_leave(s, SERVER_WORKERS_KEPT);
        if (left != parked) /* who parks has given its place up already; who stays needs one */
            atomic_fetch_add(&s->active, left ? -1 : 1);
    }
    free(buffer);
    if (!left)
        (void)worker_leave(s, 0);
    return NULL;
}

/* Nothing moves, and nobody waits for events: all active ones must be asleep. */
static void *watch_main(void *arg)
{
    struct server *s = arg;
    uint64_t before = 0;
    for (;;) {
        struct timespec until = sys_timespec(sys_mono_ms() + WATCH_MS);
        if (sem_clockwait(&s->watch_stop, CLOCK_MONOTONIC, &until) == 0)
            return NULL;
        uint64_t turns = atomic_load(&s->turns);
        bool waits = atomic_load(&s->waiting) > 0;
        if (turns == before && !waits) {
            atomic_fetch_add(&s->extra, 1);
            release_one(s);
        } else if (waits) {
            (void)take_one(&s->extra);
        }
        before = turns;
    }
}

/* ---- life ---- */

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool workers_start(struct server *s)
{
    s->active_max = s->limits.workers_max;
    if (s->limits.handlers_tell) {
        s->active_max = processors() < ACTIVE_MAX ? processors() : ACTIVE_MAX;
        s->watching = pthread_create(&s->watch, NULL, watch_main, s) == 0;
        if (!s->watching)
            return false;
    }
    release_one(s);
    return atomic_load(&s->workers) > 0;
}

bool workers_stop(struct server *s, int64_t deadline_ms)
{
    struct timespec until = sys_timespec(deadline_ms);
    if (s->watching) {
        s->watching = false;
        sem_post(&s->watch_stop);
        pthread_join(s->watch, NULL);
    }
    while (take_one(&s->parked))
        sem_post(&s->places);
    int late = 0;
    pthread_mutex_lock(&s->workers_lock);
    while (atomic_load(&s->workers) > 0 && late == 0) {
        late = deadline_ms == INT64_MAX ? pthread_cond_wait(&s->workers_gone, &s->workers_lock)
                                        : pthread_cond_clockwait(&s->workers_gone, &s->workers_lock,
                                                                 CLOCK_MONOTONIC, &until);
    }
    bool gone = atomic_load(&s->workers) == 0;
    pthread_mutex_unlock(&s->workers_lock);
    return gone;
}
