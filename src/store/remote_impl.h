/* remote_impl.h: what the files of the remote store share. remote.c: commits and reads;
 * remote_watch.c: what happens when the socket is new (the board, watches) and hints;
 * remote_login.c: sessions and passwords. */
#ifndef STORE_REMOTE_IMPL_H
#define STORE_REMOTE_IMPL_H

#include <pthread.h>

#include "store/protocol.h"
#include "store/remote.h"

struct remote;

/* One store as its user sees it: the channel's own, or that of a login. */
struct remote_view {
    struct store store; /* first: a struct store * is a struct remote_view * */
    struct remote *remote;
    bool session;
    uint64_t attach; /* of a session: the socket it was made on; it ends with that */
    uint8_t token[STORE_TOKEN_LEN];
};

struct remote_watch {
    _Atomic bool active; /* set last: then the rest does not change */
    part_t part;
    size_t prefix_len;
    char prefix[STORE_KEY_MAX];
    store_hint_fn *fn;
    void *user;
};

struct remote {
    struct remote_view view; /* first: see store_remote_new */
    struct env *env;
    struct channel *ch;
    _Atomic uint64_t attaches; /* sockets so far */
    _Atomic size_t commits;    /* under way */
    /* a page of ours; core's board is mapped over it whenever there is a new one */
    struct store_board *board;
    _Atomic bool board_lost;    /* core's could not be mapped */
    struct store_board unknown; /* given out then */
    pthread_mutex_t watch_lock; /* of adding a watch */
    struct remote_watch watches[STORE_WATCHES];
    size_t hints_unacked; /* reader thread only */
};

struct store_head remote_head(const struct remote_view *v, int64_t timeout_ms);
/* Sends and waits; repeated over a new socket if core died meanwhile, so only for what can be
 * repeated. The reply, whose type is right, lies in the arena. STORE_DOWN, or STORE_LIMIT if the
 * arena is full. */
enum store_rc remote_call(struct remote_view *v, enum store_msg type, const struct buf *request,
                          int64_t timeout_ms, struct arena *a, str_t *reply);
/* Sends and forgets; the answer does not matter. */
void remote_post(struct remote *r, enum store_msg type, const struct buf *request,
                 int64_t deadline_ms);

void remote_attached(void *remote);
void remote_notice(void *remote, uint8_t type, str_t payload, int fd);
const struct store_board *remote_board(struct store *s);
enum store_rc remote_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                           void *user);
bool remote_board_init(struct remote *r);
void remote_board_free(struct remote *r);

extern const struct store_ops remote_ops;

#endif
