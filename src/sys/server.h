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
    bool (*finished)(void *session);       /* close when the output is sent */
    int64_t (*deadline_ms)(void *session); /* when expire() is due if nothing happens */
    /* it was: say goodbye and be finished, or set a later deadline */
    void (*expire)(void *session, int64_t now_ms);
    void (*close)(void *session); /* frees it; the connection is about to be closed */
    /* The rest may be NULL. */
    /* output waits until then, and no input is read; 0: send now */
    int64_t (*hold_until_ms)(void *session);
    /* the server stops: last output (421), sent if there is room for it */
    void (*goodbye)(void *session);
};

struct server_limits {
    int workers_max;     /* threads; grows on demand when all are blocked */
    int connections_max; /* over it: refuse_text is sent and the connection closed */
    int per_address_max; /* likewise; an IPv6 /64 counts as one address, as it is one customer */
    /* true: per_address_max does not hold; NULL: for nobody */
    bool (*exempt)(void *user, const struct netaddr *peer);
    /* Handlers say when they sleep (sys/blocking.h), in store calls too: then no more workers run
     * at once than there are processors, with less than half the switches between threads. False: a
     * worker more than there are turns, whatever they do. */
    bool handlers_tell;
    const char *refuse_text; /* "421 4.3.2 too many connections\r\n" */
    int output_stall_ms;     /* a peer that takes nothing of its output for so long is cut off */
};

struct server;
/* NULL: out of memory or descriptors. ops and refuse_text must outlive it. */
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
