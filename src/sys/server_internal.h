/* server_internal.h: what the files of server.h share.
 *
 *     server.c            life, events
 *     server_workers.c    how many threads run
 *     server_accept.c     listeners, new connections
 *     server_limits.c     whom a limit refuses: per address, per network, per minute, in all
 *     server_rate.c       how many came from an address in the last minute
 *     server_stress.c     how busy the server is
 *     server_turn.c       one turn of one connection: PROXY header, flush, feed, park
 *     server_bytes.c      bytes to and from a connection, encrypted or not
 *     server_handshake.c  how it comes to be encrypted
 *     server_table.c      the table of connections, who owns one, timers
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
 * with another generation and is dropped.
 *
 * What a connection is about is its phase, the owner's business:
 *
 *     PROXY ──header──▶ SESSION ──start_tls()──▶ TLS ──handshake done──▶ SESSION
 *
 * It begins with PROXY where the peer is a proxy of ours, else with SESSION; where the listener has
 * TLS from the start, the session is opened and the phase is TLS at once. */
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
#define SERVER_PROXY_MS     5000  /* our own proxy sends its header at once, in one segment */
#define SERVER_HANDSHAKE_MS 60000 /* limits.handshake_ms of 0 */
/* Under stress neither a handshake nor a peer that takes no output has longer: as Postfix. */
#define SERVER_HURRY_MS 10000
/* Handshakes under way: each holds some 60 KiB in OpenSSL until it is done, and is begun when the
 * client's hello is there. Further ones wait, and those that have taken a place for long lose it
 * when half of the places are taken: so strangers who never end theirs cost 60 MiB at most. */
#define SERVER_HANDSHAKES 1024
#define SERVER_CROWDED_MS 3000 /* a round trip to the other side of the world, three times lost */
#define SERVER_HELLO_MS   500  /* who waits for a place looks so often */

enum served_state { SERVED_FREE, SERVED_PARKED, SERVED_OWNED, SERVED_PENDING };
enum served_phase { PHASE_PROXY, PHASE_TLS, PHASE_SESSION };

struct listener {
    struct server *server;
    int fd;
    uint32_t index;
    bool paused; /* under timers_lock */
    bool wildcard, is_unix;
    struct netaddr local;
    void *user;              /* for open() */
    struct tls_service *tls; /* from the first byte, or NULL */
};

struct served {
    _Atomic uint64_t word; /* generation << 2 | state */
    uint32_t index, next_free;
    int fd;
    enum served_phase phase;
    bool registered, eof;
    bool wants_room;  /* a handshake waits until it can send */
    bool wants_place; /* it waits until another ends */
    uint16_t hello;   /* bytes of it to wait for (SO_RCVLOWAT); 0: not asked yet */
    bool counted;     /* for its address and its network */
    uint8_t address_len;
    char address[9]; /* family, and IPv4, or IPv6 /64, or user id: see server_limits.c */
    struct listener *listener;
    void *session;               /* NULL before it is known who it is */
    struct tls_service *service; /* of the phase TLS */
    struct tls *tls;             /* NULL before the client's hello */
    char *held; /* input not used yet while output waits; the beginning of a PROXY header */
    uint32_t held_at, held_len;
    int64_t since_ms; /* when the phase began, if it has a deadline */
    /* since when output waits for room, moved on by what was sent since; 0: none waits */
    int64_t stalled_ms;
    struct heap_entry timer; /* under timers_lock */
    /* when the timer will fire, INT64_MAX: not set; may be earlier than needed */
    _Atomic int64_t armed_ms;
};

struct rate;

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
    _Atomic uint32_t n_listeners;

    pthread_mutex_t table_lock; /* free list, slabs, counts */
    struct served **slabs;
    uint32_t n_slabs, slabs_max, first_free;
    struct map *counts; /* connections of each address and each network */
    struct rate *rate;  /* NULL: no limit per minute */
    _Atomic size_t connections;
    _Atomic int handshakes; /* under way */

    pthread_mutex_t timers_lock;
    struct heap timers;
    int64_t resume_ms; /* when paused listeners go on; INT64_MAX: none is */
    int64_t wake_ms;   /* when timer_fd fires; INT64_MAX: never */
    /* Stress has begun, and all parked connections from this index on are to look at their
     * deadlines again; UINT32_MAX: none. */
    uint32_t sweep_at;

    _Atomic bool stressed;
    size_t descriptors_max;
    _Atomic uint64_t memory_max; /* bytes; 0: not looked at */
    _Atomic unsigned memory_percent;
    _Atomic int64_t memory_look_ms; /* when it is looked at next */
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
/* A connection owned by the caller, not counted yet; NULL: there are connections_max. */
struct served *served_new(struct server *s, int fd, struct listener *l);
void served_free(struct server *s, struct served *c);
uint64_t served_event(const struct served *c);
bool served_claim(struct served *c, uint32_t generation); /* true: the caller owns it now */
bool served_yield(struct served *c); /* OWNED to PARKED; false: something happened, still owned */
void timers_arm(struct server *s, struct served *c, int64_t due_ms);
/* Claims due connections, and those a sweep comes by, at most n; how many. Sets paused listeners
 * free (*resume). */
size_t timers_due(struct server *s, struct served **out, size_t n, bool *resume);
void timers_pause(struct server *s, struct listener *l);
void timers_sweep(struct server *s); /* all parked connections are to look at their deadlines */

/* server_limits.c */
/* Counts the connection as its peer's; false: a limit is reached. `exempt` from all but the number
 * of connections. */
bool limits_admit(struct server *s, struct served *c, const struct netaddr *peer, bool exempt);
void limits_leave(struct server *s, struct served *c); /* under table_lock */

/* server_rate.c: not thread-safe. One more from `key`, if there were less than `max` in the last
 * minute. */
struct rate *rate_new(void);
void rate_free(struct rate *r);
bool rate_pass(struct rate *r, str_t key, unsigned max, int64_t now_ms);

/* server_stress.c */
void stress_init(struct server *s);
void stress_look(struct server *s); /* the number of connections has changed */
void stress_look_at_memory(struct server *s);
int64_t stress_patience(const struct server *s, int64_t ms); /* less of it under stress */

/* server_accept.c */
void listener_turn(struct listener *l, char *buffer);
void listeners_resume(struct server *s);
/* It is known who the peer is: the session begins, or TLS before it. False: refused, and told so. */
bool served_begin(struct server *s, struct served *c, const struct netaddr *peer,
                  const struct netaddr *local, bool exempt);

/* server_turn.c */
void served_turn(struct server *s, struct served *c, bool may_read, char *buffer);
void served_drop(struct server *s, struct served *c, char *buffer); /* closes and frees it */
void served_hang_up(struct server *s, struct served *c); /* a parked event said the peer is gone */
void served_goodbye(struct server *s, struct served *c); /* the server stops */

/* server_bytes.c */
enum step {
    STEP_ON,     /* no output waits: read on */
    STEP_IN,     /* park until there is input */
    STEP_ROOM,   /* likewise, but TLS must send something before */
    STEP_AGAIN,  /* to the end of the line: there is more in TLS that no readiness will tell of */
    STEP_OUT,    /* park until there is room for output */
    STEP_OUT_IN, /* output waits, but TLS must receive something before */
    STEP_HELD,   /* park until the time the session named */
    STEP_CLOSE,
};
/* Sends output until there is none. *sent is the number of bytes sent in this turn. */
enum step bytes_flush(struct server *s, struct served *c, size_t *sent);
/* Where output waits since `since_ms`, and so many bytes of it were sent now: since when it waits
 * then. */
int64_t bytes_stalled_since(const struct server *s, int64_t since_ms, size_t sent, int64_t now_ms);
/* Reads once. STEP_ON: *rest has come, or the end was noted; *empty: nothing is left to read. */
enum step bytes_receive(struct server *s, struct served *c, char *buffer, str_t *rest, bool *empty);

/* server_handshake.c */
void handshake_begin(struct served *c,
                     struct tls_service *service); /* the phase is PHASE_TLS now */
/* One step of it; STEP_ON: done, the phase is PHASE_SESSION. */
enum step handshake_turn(struct server *s, struct served *c, bool may_read);
/* When to look at it again; *over: it has taken too long. */
int64_t handshake_due(struct server *s, struct served *c, int64_t now_ms, bool *over);
void handshake_failed(struct server *s, struct served *c, const char *why);
void handshake_drop(struct server *s, struct served *c); /* the connection is closed */

#endif
