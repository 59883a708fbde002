/* agenda_run.c: threads for an agenda, or one step without. See agenda.h.
 *
 * An idle worker waits for a token. Whoever makes something due hands one out; a worker that has
 * taken its work hands on another if more is due: so the first hint of a burst costs one wake-up,
 * and the burst spreads by itself. When nobody is idle the main thread is woken and starts a
 * worker. */
#include <time.h>

#include "roles/delivery/agenda_impl.h"

enum {
    TICK_MS = 1000,      /* how often the main thread looks at clocks and sweeps at least */
    STACK_BYTES = 262144 /* of a worker: its content is in arenas */
};

/* Waits use the real monotonic clock: only a process with threads comes here, and there env's clock
 * is that one. */
void agenda_conds_init(struct agenda *g)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->idle_cond, &attr);
    pthread_cond_init(&g->main_cond, &attr);
    pthread_cond_init(&g->stop_cond, &attr);
    pthread_condattr_destroy(&attr);
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool agenda_linger(struct agenda *g, struct schedule_dest *d, int64_t ms, struct schedule_entry *e)
{
    struct agenda_linger me = {.next = g->lingering, .dest = d};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&me.cond, &attr);
    pthread_condattr_destroy(&attr);
    g->lingering = &me;
    struct timespec until = in_ms(ms);
    while (!me.given && !g->stopping && pthread_cond_timedwait(&me.cond, &g->lock, &until) == 0) {
    }
    for (struct agenda_linger **l = &g->lingering; *l != NULL; l = &(*l)->next) {
        if (*l == &me) {
            *l = me.next;
            break;
        }
    }
    pthread_cond_destroy(&me.cond);
    *e = me.entry;
    return me.given;
}

bool agenda_pause(struct agenda *g, int64_t ms)
{
    pthread_mutex_lock(&g->lock);
    struct timespec until = in_ms(ms);
    bool go = g->threaded;
    while (go && !g->stopping && pthread_cond_timedwait(&g->stop_cond, &g->lock, &until) == 0) {
    }
    go = go && !g->stopping;
    pthread_mutex_unlock(&g->lock);
    return go;
}

void agenda_wake(struct agenda *g)
{
    if (!g->threaded || schedule_next_ms(g->schedule) > g->env->mono_ms(g->env))
        return;
    if (g->idle > g->tokens) {
        g->tokens++;
        pthread_cond_signal(&g->idle_cond);
    } else if (g->tokens == 0 && g->threads < g->threads_max) {
        pthread_cond_signal(&g->main_cond);
    }
}

static void *worker(void *user)
{
    struct agenda *g = user;
    pthread_mutex_lock(&g->lock);
    while (!g->stopping) {
        struct schedule_entry first;
        struct schedule_dest *d = schedule_take(g->schedule, g->env->mono_ms(g->env), &first);
        if (d == NULL) {
            g->idle++;
            while (g->tokens == 0 && !g->stopping)
                pthread_cond_wait(&g->idle_cond, &g->lock);
            g->idle--;
            g->tokens -= g->tokens > 0;
            continue;
        }
        agenda_wake(g);
        pthread_mutex_unlock(&g->lock);
        g->work(g->user, d, first);
        pthread_mutex_lock(&g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* One more worker, if something is due and nobody is free. */
static bool spawn(struct agenda *g)
{
    if (g->threads >= g->threads_max || g->idle > 0 ||
        schedule_next_ms(g->schedule) > g->env->mono_ms(g->env))
        return false;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    bool ok = pthread_create(&g->thread[g->threads], &attr, worker, g) == 0;
    pthread_attr_destroy(&attr);
    g->threads += ok;
    return ok;
}

static int64_t main_wait_ms(const struct agenda *g)
{
    int64_t next = schedule_next_ms(g->schedule), now = g->env->mono_ms(g->env);
    /* due already: all workers are busy, one of them will look */
    if (next <= now)
        return TICK_MS;
    return next > now + TICK_MS ? TICK_MS : next - now;
}

static void main_loop(struct agenda *g)
{
    while (!g->stopping) {
        bool read = g->rescan || g->n_unread > 0 || agenda_asked_pending(g);
        agenda_clock(g);
        pthread_mutex_unlock(&g->lock);
        bool ok = !read || agenda_fill(g) == STORE_OK;
        if (g->tick != NULL)
            g->tick(g->user);
        pthread_mutex_lock(&g->lock);
        agenda_wake(g);
        bool spawned = spawn(g);
        if (g->stopping || (spawned && ok) ||
            (ok && (g->rescan || g->n_unread > 0 || agenda_asked_pending(g))))
            continue;
        struct timespec until = in_ms(main_wait_ms(g));
        pthread_cond_timedwait(&g->main_cond, &g->lock, &until);
    }
}

void agenda_threaded(struct agenda *g)
{
    pthread_mutex_lock(&g->lock);
    g->threaded = true;
    pthread_mutex_unlock(&g->lock);
}

void agenda_run(struct agenda *g, unsigned threads_max)
{
    agenda_threaded(g);
    pthread_mutex_lock(&g->lock);
    g->threads_max = threads_max < AGENDA_THREADS_MAX ? threads_max : AGENDA_THREADS_MAX;
    if (!g->local) /* a thread of local's does not wait for anybody outside */
        schedule_workers(g->schedule, g->threads_max);
    main_loop(g);
    unsigned n = g->threads;
    pthread_mutex_unlock(&g->lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(g->thread[i], NULL);
}

void agenda_stop(struct agenda *g)
{
    pthread_mutex_lock(&g->lock);
    g->stopping = true;
    pthread_cond_broadcast(&g->idle_cond);
    pthread_cond_broadcast(&g->main_cond);
    pthread_cond_broadcast(&g->stop_cond);
    for (struct agenda_linger *l = g->lingering; l != NULL; l = l->next)
        pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&g->lock);
}

bool agenda_stopping(struct agenda *g)
{
    pthread_mutex_lock(&g->lock);
    bool stop = g->stopping;
    pthread_mutex_unlock(&g->lock);
    return stop;
}

size_t agenda_step(struct agenda *g)
{
    enum { STEP_MOST = 100000 }; /* what goes on being due at once would never end */
    size_t begun = 0;
    while (begun < STEP_MOST && agenda_fill(g) == STORE_OK) {
        struct schedule_entry first;
        pthread_mutex_lock(&g->lock);
        agenda_clock(g);
        struct schedule_dest *d =
            g->stopping ? NULL : schedule_take(g->schedule, g->env->mono_ms(g->env), &first);
        pthread_mutex_unlock(&g->lock);
        if (d == NULL)
            break;
        begun++;
        g->work(g->user, d, first);
    }
    return begun;
}

int64_t agenda_next_ms(struct agenda *g)
{
    pthread_mutex_lock(&g->lock);
    int64_t next = schedule_next_ms(g->schedule);
    pthread_mutex_unlock(&g->lock);
    return next;
}
