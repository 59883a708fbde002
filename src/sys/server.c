/* server.c: life of a server, and what an event means: see server_internal.h.
 *
 * A worker takes one event at a time, because its turn may wait for long, and events it had taken
 * along would wait with it. */
#include "sys/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/err.h"
#include "sys/clock.h"
#include "sys/server_internal.h"

#define TIMER_BATCH  64   /* connections whose time is up, served by one worker in a row */
#define STOP_WAIT_MS 5000 /* then connections are shut down under the workers' hands */

static void arm_timer_event(struct server *s, int op)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = EVENT_TIMER};
    must(epoll_ctl(s->epoll_fd, op, s->timer_fd, &e) == 0);
}

static void timer_turn(struct server *s, char *buffer)
{
    struct served *due[TIMER_BATCH];
    bool resume;
    size_t n = timers_due(s, due, TIMER_BATCH, &resume);
    arm_timer_event(s, EPOLL_CTL_MOD);
    if (resume)
        listeners_resume(s);
    for (size_t i = 0; i < n; i++)
        served_turn(s, due[i], false, buffer);
}

void server_dispatch(struct server *s, const struct epoll_event *e, char *buffer)
{
    uint32_t index = (uint32_t)e->data.u64;
    if (index == EVENT_STOP)
        return;
    stress_look_at_memory(s);
    if (index == EVENT_TIMER) {
        timer_turn(s, buffer);
        return;
    }
    if (index >= EVENT_LISTENERS) {
        listener_turn(s->listeners[index - EVENT_LISTENERS], buffer);
        return;
    }
    struct served *c = served_at(s, index);
    if (!served_claim(c, (uint32_t)(e->data.u64 >> 32)))
        return;
    /* error or hang-up, with output held back and nothing to read */
    if (!(e->events & (EPOLLIN | EPOLLOUT)))
        served_hang_up(s, c);
    else
        served_turn(s, c, true, buffer);
}

/* ---- life ---- */

static bool make_table(struct server *s)
{
    uint8_t key[16];
    sys_random(key, sizeof key);
    s->slabs_max = (uint32_t)s->limits.connections_max / SERVER_SLAB + 1;
    s->slabs = calloc(s->slabs_max, sizeof *s->slabs);
    s->counts = map_new(key, 2 * (size_t)s->limits.connections_max + 1);
    s->first_free = UINT32_MAX;
    if (s->limits.per_minute_max > 0)
        s->rate = rate_new();
    return s->slabs != NULL && s->counts != NULL &&
           (s->limits.per_minute_max <= 0 || s->rate != NULL);
}

static bool make_events(struct server *s)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* level: wakes every worker */
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = EVENT_STOP};
    if (s->epoll_fd < 0 || s->timer_fd < 0 || s->stop_fd < 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->stop_fd, &e) != 0)
        return false;
    arm_timer_event(s, EPOLL_CTL_ADD);
    return true;
}

struct server *server_new(const struct server_session_ops *ops, void *user,
                          const struct server_limits *limits)
{
    must(limits->workers_max > 0 && limits->connections_max > 0);
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->ops = ops;
    s->user = user;
    s->limits = *limits;
    s->epoll_fd = s->timer_fd = s->stop_fd = -1;
    s->resume_ms = s->wake_ms = INT64_MAX;
    heap_init(&s->timers);
    stress_init(s);
    pthread_mutex_init(&s->workers_lock, NULL);
    pthread_cond_init(&s->workers_gone, NULL);
    pthread_mutex_init(&s->table_lock, NULL);
    pthread_mutex_init(&s->timers_lock, NULL);
    sem_init(&s->places, 0, 0);
    sem_init(&s->watch_stop, 0, 0);
    if (make_table(s) && make_events(s) && workers_start(s))
        return s;
    server_free(s);
    return NULL;
}

size_t server_connections(struct server *s)
{
    return atomic_load(&s->connections);
}

static void each_open(struct server *s, void (*visit)(struct server *s, struct served *c))
{
    for (uint32_t i = 0; i < s->n_slabs * SERVER_SLAB; i++) {
        struct served *c = served_at(s, i);
        if ((atomic_load(&c->word) & 3) != SERVED_FREE)
            visit(s, c);
    }
}

static void shut(struct server *s, struct served *c)
{
    (void)s;
    shutdown(c->fd, SHUT_RDWR);
}

void server_stop(struct server *s)
{
    if (atomic_exchange(&s->stopping, true))
        return;
    const uint64_t one = 1;
    must(write(s->stop_fd, &one, sizeof one) == sizeof one);
    if (!workers_stop(s, sys_mono_ms() + STOP_WAIT_MS)) {
        /* served_free takes it before the number is another's */
        pthread_mutex_lock(&s->table_lock);
        each_open(s, shut);
        pthread_mutex_unlock(&s->table_lock);
        (void)workers_stop(s, INT64_MAX);
    }
    each_open(s, served_goodbye); /* no other thread is left */
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    if (s->stop_fd >= 0)
        server_stop(s);
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        close(s->listeners[i]->fd);
        free(s->listeners[i]);
    }
    for (uint32_t i = 0; i < s->n_slabs; i++)
        free(s->slabs[i]);
    free(s->slabs);
    map_free(s->counts);
    rate_free(s->rate);
    heap_free(&s->timers);
    int fds[] = {s->epoll_fd, s->timer_fd, s->stop_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    sem_destroy(&s->places);
    sem_destroy(&s->watch_stop);
    pthread_mutex_destroy(&s->workers_lock);
    pthread_cond_destroy(&s->workers_gone);
    pthread_mutex_destroy(&s->table_lock);
    pthread_mutex_destroy(&s->timers_lock);
    free(s);
}
