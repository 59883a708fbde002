/* server.h: serves many connections with few threads: park idle, block when active.
 *
 * Workers share one epoll set (EPOLLONESHOT). A readable connection is owned by exactly one worker,
 * which feeds its bytes to the session, flushes what it answers and parks it again. A session's
 * input() is plain straight-line code that may wait (for core, the resolver). An idle connection
 * has no thread and no buffer: bytes are read into the worker's own. A peer that does not read its
 * answers is parked until it does: unprocessed input is kept (bounded by one read) and input() is
 * not called while output waits. Accept survives EMFILE and ENFILE (pauses 100 ms, keeps the
 * listener). */
#ifndef SYS_SERVER_H
#define SYS_SERVER_H

#include "base/netaddr.h"
#include "base/str.h"
#include "sys/tls.h"

struct server_session_ops {
    /* A new connection; returns the session, or NULL to close at once. It may have output waiting
     * (a greeting). */
    void *(*open)(void *user, const struct netaddr *peer, const struct netaddr *local,
                  int64_t now_ms);
    /* Processes bytes; returns how many were used. Less than all: it stopped to have its output
     * flushed, and is called again with the rest afterwards. A session that uses nothing and has no
     * output either is broken, and closed. */
    size_t (*input)(void *session, str_t bytes, int64_t now_ms);
    void (*eof)(void *session, int64_t now_ms); /* the peer will send no more */
    str_t (*output)(void *session);             /* bytes to send now */
    void (*sent)(void *session, size_t n);      /* n of them were sent */
    /* output is empty: produce the next piece of a large answer; false: none */
    bool (*more)(void *session, int64_t now_ms);
    bool (*finished)(void *session); /* close when the output is sent */
    /* When expire() is due if nothing happens. Asked after each turn, and of all that are parked
     * when stress begins: a session that looks at server_stressed here has it shortened. */
    int64_t (*deadline_ms)(void *session);
    /* it was: say goodbye and be finished, or set a later deadline */
    void (*expire)(void *session, int64_t now_ms);
    void (*close)(void *session); /* frees it; the connection is about to be closed */
    /* The rest may be NULL. */
    /* output waits until then, and no input is read; 0: send now */
    int64_t (*hold_until_ms)(void *session);
    /* the server stops: last output (421), sent if there is room for it */
    void (*goodbye)(void *session);
    /* The session wants TLS from here on (STARTTLS was answered): asked after each turn, once its
     * output is sent; the service to use, or NULL: no. What was read of the socket and not used is
     * never handed to TLS: a session that has such bytes is closed (command injection). */
    struct tls_service *(*start_tls)(void *session);
    /* The handshake is done (also that of a listener with TLS from the start, after open and before
     * any input). A handshake that fails ends the connection: `why` then, info NULL; close
     * follows. */
    void (*tls_started)(void *session, const struct tls_info *info, const char *why,
                        int64_t now_ms);
};

#define SERVER_OUTPUT_FLOOR 500 /* bytes a second: as for what comes in (data_floor_bps) */

struct server_limits {
    int workers_max; /* threads; grows on demand when all are blocked */
    /* Over it: refuse_text is sent (to a client that expects TLS: nothing) and the connection
     * closed. The last twentieth is for exempt peers, that before it for them and for networks with
     * no other connection. */
    int connections_max;
    int per_address_max; /* likewise; an IPv6 /64 counts as one address, as it is one customer */
    /* true: no limit but connections_max holds; NULL: for nobody */
    bool (*exempt)(void *user, const struct netaddr *peer);
    /* Handlers say when they sleep (base/blocking.h), in store calls too: then no more workers run
     * at once than there are processors, with less than half the switches between threads. False: a
     * worker more than there are turns, whatever they do. */
    bool handlers_tell;
    const char *refuse_text; /* "421 4.3.2 too many connections\r\n" */
    /* For a client whose first byte, where a listener has TLS from the start, is not that of TLS: a
     * browser, or a program set up for another port. NULL: it is closed without a word. */
    const char *plain_text;
    /* A peer that takes nothing of its output for so long is cut off; each byte it takes buys
     * 1/output_floor_bps seconds, at most so much ahead. It starts anew with the next output. */
    int output_stall_ms;
    uint32_t output_floor_bps; /* 0: SERVER_OUTPUT_FLOOR */
    int per_network_max;       /* of an IPv4 /24 or an IPv6 /56; 0: no limit */
    int per_minute_max;        /* new connections from one address in a minute; 0: no limit */
    /* For a TLS handshake, from its start; 0: 60 s. Less when too many are under way, and neither
     * this nor output_stall_ms is more than 10 s under stress. */
    int handshake_ms;
    /* true: the peer is a proxy of ours, and says in a PROXY header (version 1 or 2) whose
     * connection it is, before all else (before TLS too); without one it is closed. open() is given
     * the real peer, and limits hold for that. NULL: nobody is. */
    bool (*proxied)(void *user, const struct netaddr *peer);
};

/* How busy it is: under stress (80 % of connections, descriptors or memory in use, until it is below
 * 60 %) sessions are to be short and patience small. One atomic read. */
struct server;
bool server_stressed(const struct server *s);
/* Bytes of memory this process may use before it counts as stress; 0: not looked at. */
void server_stress_memory(struct server *s, uint64_t bytes);

struct server_listener {
    /* Bound and listening, taken also on failure; made non-blocking. A Unix socket's peers are
     * NETADDR_UNIX. */
    int fd;
    void *tag;               /* open() is called with user = tag if it is not NULL */
    struct tls_service *tls; /* TLS from the first byte, or NULL */
};
bool server_listen_on(struct server *s, const struct server_listener *l);

/* NULL: out of memory or descriptors. ops and the texts must outlive it. */
struct server *server_new(const struct server_session_ops *ops, void *user,
                          const struct server_limits *limits);
/* Adds a listening socket (taken also on failure), already bound and listening, made non-blocking
 * here. `tag` is passed on: open() is called with user = tag if tag is not NULL (a listener with
 * its own settings). */
bool server_listen(struct server *s, int fd, void *tag);
size_t server_connections(struct server *s);
/* no new connections; closes the idle, waits up to 5 s for the active; joins */
void server_stop(struct server *s);
void server_free(struct server *s);

#endif
