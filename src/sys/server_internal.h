/* server_internal.h: what the files of server.h share.
 *
 *     server.c          life, events
 *     server_workers.c  how many threads run
 *     server_accept.c   listeners, limits
 *     server_turn.c     one turn of one connection: flush, feed, park
 *     server_table.c    the table of connections, who owns one, timers
 *
 * Who owns a connection is one atomic word, generation and state:
 *
 *     FREE ──accept──▶ OWNED ──park──▶ PARKED ──event or timer──▶ OWNED ──close──▶ FREE (generation
 *                        │  ▲                                                           + 1)
 *        event or timer  ▼  │ the owner looks again instead of parking
 *                      PENDING
 *
 * Only the owner touches the rest of the struct, but for the timer, which has a lock. The memory of
 * the table is never given back while the server lives, so an event that comes late finds a word
 * with another generation and is dropped. */
#ifndef SYS_SERVER_INTERNAL_H
#define SYS_SERVER_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/map.h"
#include "sys/server.h"

/* a worker's buffer: the largest segment the loopback delivers */
#define SERVER_READ_SIZE    (64 << 10)
#define SERVER_TURN_READS   16        /* then the connection goes to the end of the line: 1 MiB */
#define SERVER_TURN_SENT    (1 << 20) /* likewise, bytes */
#define SERVER_ACCEPTS      16        /* connections taken in one turn of a listener */
#define SERVER_PAUSE_MS     100       /* accepting rests so long when descriptors are out */
#define SERVER_LISTENERS    256
#define SERVER_SLAB         256   /* connections allocated at once */
#define SERVER_IDLE_MS      60000 /* a worker with nothing to do for so long ends, but for two */
#define SERVER_WORKERS_KEPT 2

enum served_state { SERVED_FREE, SERVED_PARKED, SERVED_OWNED, SERVED_PENDING };

struct listener {
    struct server *server;
    int fd;
    uint32_t index;
    bool paused; /* under timers_lock */
    bool wildcard;
    struct netaddr local;
    void *user; /* for open() */
};

struct served {
    _Atomic uint64_t word; /* generation << 2 | state */
    uint32_t index, next_free;
    int fd;
    bool registered, eof, counted;
    uint8_t address_len;
    char address[9]; /* key of the count per address: family, IPv4 or IPv6 /64 */
    void *session;
    char *held; /* input not used yet while output waits */
    uint32_t held_at, held_len;
    int64_t stalled_ms;      /* since when output waits for room; 0: it does not */
    struct heap_entry timer; /* under timers_lock */
    /* when the timer will fire, INT64_MAX: not set; may be earlier than needed */
    _Atomic int64_t armed_ms;
};

struct server {
    const struct server_session_ops *ops;
    struct server_limits limits;
    void *user;
    int epoll_fd, timer_fd, stop_fd;
    _Atomic bool stopping;
    /* all; in a turn or waiting; waiting for an event; neither */
    _Atomic int workers, active, waiting, parked;
    _Atomic uint64_t turns;
    int active_max;
    /* more than active_max may be active: for those that sleep without saying so */
    _Atomic int extra;
    sem_t places, watch_stop;
    pthread_t watch;
    bool watching;
    pthread_mutex_t workers_lock;
    pthread_cond_t workers_gone;

    struct listener *listeners[SERVER_LISTENERS];
    uint32_t n_listeners;

    pthread_mutex_t table_lock; /* free list, slabs, counts per address */
    struct served **slabs;
    uint32_t n_slabs, slabs_max, first_free;
    struct map *addresses;
    _Atomic size_t connections;

    pthread_mutex_t timers_lock;
    struct heap timers;
    int64_t resume_ms; /* when paused listeners go on; INT64_MAX: none is */
    int64_t wake_ms;   /* when timer_fd fires; INT64_MAX: never */
};

/* Events carry generation << 32 | index; the highest indexes are not connections. */
#define EVENT_STOP      UINT32_MAX
#define EVENT_TIMER     (UINT32_MAX - 1)
#define EVENT_LISTENERS (UINT32_MAX - 2 * SERVER_LISTENERS)

/* server.c */
struct epoll_event;
void server_dispatch(struct server *s, const struct epoll_event *e, char *buffer);

/* server_workers.c */
bool workers_start(struct server *s);
/* after `stopping` is set; false: not all have ended by then */
bool workers_stop(struct server *s, int64_t deadline_ms);

/* server_table.c */
struct served *served_at(struct server *s, uint32_t index);
/* A connection owned by the caller; NULL: a limit is reached. `exempt` from the limit per
 * address. */
struct served *served_new(struct server *s, int fd, const struct netaddr *peer, bool exempt);
void served_free(struct server *s, struct served *c);
uint64_t served_event(const struct served *c);
bool served_claim(struct served *c, uint32_t generation); /* true: the caller owns it now */
bool served_yield(struct served *c); /* OWNED to PARKED; false: something happened, still owned */
void timers_arm(struct server *s, struct served *c, int64_t due_ms);
/* Claims due connections, at most n; how many. Sets paused listeners free (*resume). */
size_t timers_due(struct server *s, struct served **out, size_t n, bool *resume);
void timers_pause(struct server *s, struct listener *l);

/* server_accept.c */
void listener_turn(struct listener *l, char *buffer);
void listener_arm(struct listener *l);
void listeners_resume(struct server *s);

/* server_turn.c */
void served_turn(struct server *s, struct served *c, bool may_read, char *buffer);
void served_hang_up(struct server *s, struct served *c); /* a parked event said the peer is gone */
void served_goodbye(struct server *s, struct served *c); /* the server stops */

#endif
