/* client.h: what the files of core/ share: the server and its channels.
 *
 *     server.c    channels come and go; which request goes where
 *     commits.c   batches, on their way to the engine and back; the hot path
 *     reads.c     gets, scans, snapshots
 *     watches.c   who is told of what, and what happens to who does not listen
 *     logins.c    sessions, logins, passwords; with login_*.c (login_impl.h)
 *     board.c     the memory all roles look at
 *     burst.c     replies gathered per channel
 *
 * A channel's struct lives until its socket is gone and nothing in the engine or the pool refers to
 * it (refs). Lock order: watch_add_lock, watch_lock, client.hint_lock; server.lock, client.lock; the
 * others are taken alone.
 * Done and hints come from inside the engine, which may hold locks of its own then: so none of ours
 * that they take is held over a call into the engine. */
#ifndef ROLES_CORE_CLIENT_H
#define ROLES_CORE_CLIENT_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "roles/core/server.h"
#include "store/protocol.h"
#include "sys/channel.h"

#define CORE_HINT_BUFFER (256 << 10) /* hints gathered for one write */

struct core_board;
struct login_pool;

/* a channel knows its snapshots by ids of ours, so that it can name no others */
struct snapshot_slot {
    uint64_t id; /* 0: free */
    uint64_t engine_id, account;
    int64_t opened_ms;
};

struct client_watch {
    struct list link; /* in its engine_watch, when active */
    struct core_client *client;
    uint8_t index;
    bool active;
    part_t part;
    size_t prefix_len;
    char prefix[STORE_KEY_MAX];
};

/* One watch in the engine, for a row of a permission table; channels' watches hang on it. So a peer
 * cannot use up the engine's. */
struct engine_watch {
    struct core_server *server;
    bool used;
    part_t part;
    str_t prefix; /* of the table's row */
    struct list clients;
};

struct core_server {
    struct store *engine;
    struct env *env;
    struct core_board *board;
    struct login_pool *pool;
    core_token_check *token_check;
    void *token_user;
    pthread_mutex_t lock;
    pthread_cond_t gone; /* a channel was freed */
    struct list clients;
    size_t n_clients;
    bool closing;
    bool gathers; /* core_server_gather was called: before the first channel */
    bool ticking; /* the thread below is there */
    pthread_t ticker;
    pthread_cond_t tick;
    uint8_t map_key[16];
    pthread_mutex_t watch_add_lock; /* held while the engine is asked for one more */
    pthread_mutex_t watch_lock;     /* engine watches, and which channels hang on them */
    struct engine_watch watches[STORE_WATCHES];
};

struct core_client {
    struct list link;
    struct core_server *server;
    const struct permissions *table;
    struct channel_peer *peer; /* held */
    _Atomic unsigned refs;

    /* the channel's reader thread alone */
    bool ready, greeted;
    struct arena arena; /* of one request */
    struct buf out;
    struct snapshot_slot snapshots[CORE_SNAPSHOTS];
    uint64_t next_snapshot;
    int64_t logged_ms;
    uint64_t unlogged;

    pthread_mutex_t lock;
    pthread_cond_t room;
    size_t commits, commit_bytes; /* in the engine */
    struct map *sessions;         /* token -> account and use: logins.c */
    bool closed;

    struct client_watch watches[STORE_WATCHES]; /* under server->watch_lock */

    pthread_mutex_t hint_lock;
    struct buf hints;     /* to be sent */
    size_t hints_unacked; /* sent */
    uint32_t hints_lost;  /* bit per watch: its client is to be told */
};

/* server.c */
void client_hold(struct core_client *c);
void client_release(struct core_client *c);
/* What a request may do; false: its session is unknown. */
bool client_grant(struct core_client *c, const struct store_head *h, struct grant *out);
/* Reader thread. One line at most each minute; returns STORE_DENIED. */
enum store_rc client_denied(struct core_client *c, const char *what, part_t part, str_t key);
void client_reply(struct core_client *c, struct channel_peer *p, uint64_t id, enum store_msg type,
                  struct buf *payload);
void client_reply_rc(struct channel_peer *p, uint64_t id, enum store_msg type, uint8_t rc);

/* Handlers of requests, on the reader thread. False: malformed. */
typedef bool core_handler(struct core_client *c, struct channel_peer *p, uint64_t id,
                          str_t payload);
core_handler core_hello, core_commit, core_get, core_scan, core_snapshot_open, core_snapshot_close,
    core_watch, core_hint_ack, core_login, core_logout, core_set_password, core_scram,
    core_add_password, core_remove_password, core_list_passwords, core_certificate;

/* reads.c */
void client_close_snapshots(struct core_client *c);
/* watches.c */
void client_unwatch(struct core_client *c);
void client_flush_hints(struct core_client *c);
/* logins.c, login_pool.c */
/* What the session of this token may do; false: there is none. */
bool client_session(struct core_client *c, const uint8_t token[static STORE_TOKEN_LEN],
                    struct grant *out);
struct login_pool *login_pool_new(struct core_server *cs);
void login_pool_free(struct login_pool *p); /* answers what waits with "try later" */
/* board.c */
struct core_board *core_board_new(struct core_server *cs, struct err *err);
void core_board_free(struct core_board *b);
void core_board_publish(struct core_board *b);
int core_board_fd(const struct core_board *b);
/* burst.c: store_submit; and, on an engine's thread: true if what this client gets will go out with
 * core_server_flush */
void burst_submit(struct store *engine, struct store_commit *c);
bool burst_touch(struct core_client *c);

#endif
