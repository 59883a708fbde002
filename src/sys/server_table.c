/* server_table.c: the table of connections, who owns one, and their timers: see server_internal.h.
 *
 * Timers are lazy: a connection that moves its deadline later, as each command does, leaves the
 * heap alone; the entry fires early once, and is set again to what is right then. */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "sys/clock.h"
#include "sys/server_internal.h"

#define NO_INDEX UINT32_MAX

struct served *served_at(struct server *s, uint32_t index)
{
    return &s->slabs[index / SERVER_SLAB][index % SERVER_SLAB];
}

static bool grow(struct server *s)
{
    struct served *slab = s->n_slabs < s->slabs_max ? calloc(SERVER_SLAB, sizeof *slab) : NULL;
    if (slab == NULL)
        return false;
    for (uint32_t i = SERVER_SLAB; i-- > 0;) {
        slab[i].index = s->n_slabs * SERVER_SLAB + i;
        slab[i].next_free = s->first_free;
        s->first_free = slab[i].index;
    }
    s->slabs[s->n_slabs++] = slab;
    return true;
}

struct served *served_new(struct server *s, int fd, struct listener *l)
{
    struct served *c = NULL;
    pthread_mutex_lock(&s->table_lock);
    bool room = atomic_load(&s->connections) < (size_t)s->limits.connections_max;
    if (room && (s->first_free != NO_INDEX || grow(s))) {
        c = served_at(s, s->first_free);
        s->first_free = c->next_free;
        atomic_fetch_add(&s->connections, 1);
    }
    pthread_mutex_unlock(&s->table_lock);
    if (c == NULL)
        return NULL;
    c->fd = fd;
    c->listener = l;
    c->phase = PHASE_SESSION;
    c->registered = c->eof = c->wants_room = c->wants_place = c->counted = false;
    c->session = NULL;
    c->tls = NULL;
    c->held = NULL;
    c->held_at = c->held_len = 0;
    c->since_ms = c->stalled_ms = 0;
    atomic_store(&c->armed_ms, INT64_MAX);
    atomic_store(&c->word, (atomic_load(&c->word) & ~UINT64_C(3)) | SERVED_OWNED);
    stress_look(s);
    return c;
}

void served_free(struct server *s, struct served *c)
{
    pthread_mutex_lock(&s->timers_lock);
    heap_remove(&s->timers, &c->timer);
    pthread_mutex_unlock(&s->timers_lock);
    free(c->held);
    c->held = NULL;
    uint64_t next = ((atomic_load(&c->word) >> 2) + 1) & UINT32_MAX;
    atomic_store(&c->word, next << 2 | SERVED_FREE);
    pthread_mutex_lock(&s->table_lock);
    limits_leave(s, c);
    c->next_free = s->first_free;
    s->first_free = c->index;
    pthread_mutex_unlock(&s->table_lock);
    atomic_fetch_sub(&s->connections, 1);
    stress_look(s);
}

/* ---- ownership ---- */

uint64_t served_event(const struct served *c)
{
    return (atomic_load(&c->word) >> 2) << 32 | c->index;
}

bool served_claim(struct served *c, uint32_t generation)
{
    uint64_t word = atomic_load(&c->word);
    while (word >> 2 == generation) {
        enum served_state state = (enum served_state)(word & 3);
        if (state == SERVED_FREE || state == SERVED_PENDING)
            return false;
        uint64_t next =
            (word & ~UINT64_C(3)) | (state == SERVED_PARKED ? SERVED_OWNED : SERVED_PENDING);
        if (atomic_compare_exchange_weak(&c->word, &word, next))
            return state == SERVED_PARKED;
    }
    return false;
}

bool served_yield(struct served *c)
{
    uint64_t word = atomic_load(&c->word);
    uint64_t owned = (word & ~UINT64_C(3)) | SERVED_OWNED;
    word = owned;
    if (atomic_compare_exchange_strong(&c->word, &word, (owned & ~UINT64_C(3)) | SERVED_PARKED))
        return true;
    atomic_store(&c->word, owned); /* it was PENDING, and nobody changes that but the owner */
    return false;
}

/* ---- timers ---- */

/* Under timers_lock. */
static void set_timer_fd(struct server *s)
{
    struct heap_entry *first = heap_first(&s->timers);
    int64_t due = first != NULL && first->due_ms < s->resume_ms ? first->due_ms : s->resume_ms;
    if (s->sweep_at != NO_INDEX)
        due = 1; /* at once */
    if (due >= s->wake_ms || due == INT64_MAX)
        return; /* it fires earlier, and looks again then */
    s->wake_ms = due;
    struct itimerspec at = {.it_value = sys_timespec(due > 0 ? due : 1)};
    must(timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

void timers_arm(struct server *s, struct served *c, int64_t due_ms)
{
    if (due_ms >= atomic_load(&c->armed_ms))
        return;
    pthread_mutex_lock(&s->timers_lock);
    if (heap_set(&s->timers, &c->timer,
                 due_ms)) { /* out of memory: this one has no timer until its next turn */
        atomic_store(&c->armed_ms, due_ms);
        set_timer_fd(s);
    }
    pthread_mutex_unlock(&s->timers_lock);
}

void timers_pause(struct server *s, struct listener *l)
{
    pthread_mutex_lock(&s->timers_lock);
    l->paused = true;
    if (s->resume_ms == INT64_MAX)
        s->resume_ms = sys_mono_ms() + SERVER_PAUSE_MS;
    set_timer_fd(s);
    pthread_mutex_unlock(&s->timers_lock);
}

void timers_sweep(struct server *s)
{
    pthread_mutex_lock(&s->timers_lock);
    s->sweep_at = 0;
    set_timer_fd(s);
    pthread_mutex_unlock(&s->timers_lock);
}

static uint32_t generation(const struct served *c)
{
    return (uint32_t)(atomic_load(&c->word) >> 2);
}

/* The next n of the table at most; who is not parked looks at its deadline anyway. */
static size_t sweep(struct server *s, struct served **out, size_t n)
{
    size_t claimed = 0;
    pthread_mutex_lock(&s->table_lock);
    uint32_t end = s->n_slabs * SERVER_SLAB;
    pthread_mutex_unlock(&s->table_lock);
    for (; claimed < n && s->sweep_at < end; s->sweep_at++) {
        struct served *c = served_at(s, s->sweep_at);
        if ((atomic_load(&c->word) & 3) == SERVED_PARKED && served_claim(c, generation(c)))
            out[claimed++] = c;
    }
    if (s->sweep_at >= end)
        s->sweep_at = NO_INDEX;
    return claimed;
}

size_t timers_due(struct server *s, struct served **out, size_t n, bool *resume)
{
    size_t claimed = 0;
    uint64_t fired;
    int64_t now = sys_mono_ms();
    pthread_mutex_lock(&s->timers_lock);
    (void)!read(s->timer_fd, &fired, sizeof fired);
    for (struct heap_entry *e;
         claimed < n && (e = heap_first(&s->timers)) != NULL && e->due_ms <= now;) {
        struct served *c = list_entry((void *)e, struct served, timer);
        heap_remove(&s->timers, e);
        atomic_store(&c->armed_ms, INT64_MAX);
        if (served_claim(c, generation(c))) /* else its owner looks again before it parks */
            out[claimed++] = c;
    }
    if (s->sweep_at != NO_INDEX)
        claimed += sweep(s, out + claimed, n - claimed);
    *resume = s->resume_ms <= now;
    if (*resume)
        s->resume_ms = INT64_MAX;
    s->wake_ms = INT64_MAX;
    set_timer_fd(s);
    pthread_mutex_unlock(&s->timers_lock);
    return claimed;
}
