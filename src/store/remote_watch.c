/* remote_watch.c: what a remote store keeps across sockets: core's board, and the watches. See
 * remote.h.
 *
 * The board is a page of ours over which core's memory is mapped, read-only, each time a socket is
 * new: its address never changes, so nobody can hold a board that was unmapped. HELLO is the first
 * request on every socket and core answers in order, so whatever is read through a socket is read
 * with that core's board in place; a new core begins with generations of its own, far from all
 * former ones. So nothing that was cached under another core, or before there was one, ever
 * matches. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/remote_impl.h"
#include "sys/clock.h"

enum { HELLO_MS = 30000, WATCH_MS = 10000, SMALL_MAX = 1024 };

/* ---- the board ---- */

static size_t board_len(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (sizeof(struct store_board) + page - 1) / page * page;
}

bool remote_board_init(struct remote *r)
{
    void *p = mmap(NULL, board_len(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    r->board = p;
    /* Unknown is not "full": whoever asks finds out by the commit itself. */
    atomic_store(&r->board->free_bytes, UINT64_MAX);
    atomic_store(&r->board->free_queue_bytes, UINT64_MAX);
    return true;
}

void remote_board_free(struct remote *r)
{
    if (r->board != NULL)
        munmap(r->board, board_len());
}

const struct store_board *remote_board(struct store *s)
{
    struct remote *r = ((struct remote_view *)(void *)s)->remote;
    if (!atomic_load_explicit(&r->board_lost, memory_order_acquire))
        return r->board;
    /* Core has one and we could not map it. No two looks agree: no cache is ever valid. */
    atomic_store(&r->unknown.free_bytes, UINT64_MAX);
    atomic_store(&r->unknown.free_queue_bytes, UINT64_MAX);
    for (int i = 0; i < PART_KINDS; i++)
        atomic_fetch_add(&r->unknown.generation[i], 1);
    return &r->unknown;
}

/* A board shorter than our page would be a bus error waiting to happen. */
static bool board_map(struct remote *r, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size >= (off_t)board_len() &&
           mmap(r->board, board_len(), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
}

struct greeting {
    struct channel_call call;
    struct remote *remote;
    struct remote_watch *watch; /* NULL: HELLO; else the watch that is set again */
};

static void hello_done(struct channel_call *call)
{
    struct greeting *g = call->user;
    if (call->rc == RC_OK && call->reply_type == (STORE_MSG_HELLO | STORE_MSG_REPLY)) {
        struct cursor c = cursor_of(call->reply);
        bool agreed =
            cursor_u8(&c) == STORE_OK && cursor_u16(&c) == STORE_PROTOCOL_VERSION && cursor_end(&c);
        bool mapped = agreed && call->reply_fd >= 0 && board_map(g->remote, call->reply_fd);
        atomic_store_explicit(&g->remote->board_lost, !mapped, memory_order_release);
    }
    if (call->rc == RC_OK && call->reply_fd >= 0)
        close(call->reply_fd);
    free(g);
}

static void rewatch_done(struct channel_call *call)
{
    struct greeting *g = call->user;
    /* Also if core refused: then nothing more will come, and who scans again learns why. */
    if (call->rc == RC_OK && atomic_load(&g->watch->active))
        g->watch->fn(g->watch->user, g->watch->part, STR_NONE, STR_NONE, false);
    free(g);
}

static void greet(struct remote *r, enum store_msg type, const struct buf *request,
                  struct remote_watch *watch)
{
    struct greeting *g = malloc(sizeof *g);
    if (g == NULL)
        return;
    *g = (struct greeting){.remote = r, .watch = watch};
    g->call = (struct channel_call){.done = watch == NULL ? hello_done : rewatch_done,
                                    .user = g,
                                    .deadline_ms = sys_mono_ms() + HELLO_MS};
    struct iovec iov = {.iov_base = request->ptr, .iov_len = request->len};
    channel_send(r->ch, (uint8_t)type, &iov, 1, &g->call);
}

/* ---- watches ---- */

static void watch_request(const struct remote *r, const struct remote_watch *w, struct buf *out)
{
    struct store_watch_req q = {
        .head = remote_head(&r->view, WATCH_MS),
        .watch = (uint8_t)(w - r->watches),
        .part = w->part,
        .prefix = str_of(w->prefix, w->prefix_len),
    };
    buf_clear(out);
    store_watch_encode(out, &q);
}

void remote_attached(void *remote)
{
    struct remote *r = remote;
    struct buf request;
    buf_init(&request, SMALL_MAX);
    atomic_fetch_add(&r->attaches, 1);
    r->hints_unacked = 0; /* a new core has sent none yet */
    buf_u16(&request, STORE_PROTOCOL_VERSION);
    greet(r, STORE_MSG_HELLO, &request, NULL);
    for (size_t i = 0; i < STORE_WATCHES; i++) {
        if (!atomic_load(&r->watches[i].active))
            continue;
        watch_request(r, &r->watches[i], &request);
        greet(r, STORE_MSG_WATCH, &request, &r->watches[i]);
    }
    buf_free(&request);
}

static struct remote_watch *watch_new(struct remote *r, part_t part, str_t prefix,
                                      store_hint_fn *fn, void *user)
{
    struct remote_watch *w = NULL;
    pthread_mutex_lock(&r->watch_lock);
    for (size_t i = 0; i < STORE_WATCHES && w == NULL; i++)
        if (!atomic_load(&r->watches[i].active))
            w = &r->watches[i];
    if (w != NULL) {
        w->part = part;
        w->prefix_len = prefix.len;
        if (prefix.len > 0)
            memcpy(w->prefix, prefix.ptr, prefix.len);
        w->fn = fn;
        w->user = user;
        atomic_store(&w->active, true);
    }
    pthread_mutex_unlock(&r->watch_lock);
    return w;
}

enum store_rc remote_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn,
                           void *user)
{
    struct remote_view *v = (struct remote_view *)(void *)s;
    /* core says the same; a session ends, and watches are for the life of a store */
    if (v->session)
        return STORE_DENIED;
    struct remote_watch *w = watch_new(v->remote, part, prefix, fn, user);
    if (w == NULL)
        return STORE_LIMIT;
    struct buf request;
    struct arena a;
    str_t reply;
    buf_init(&request, SMALL_MAX);
    arena_init(&a, SMALL_MAX);
    watch_request(v->remote, w, &request);
    enum store_rc rc = remote_call(v, STORE_MSG_WATCH, &request, WATCH_MS, &a, &reply);
    if (rc == STORE_OK)
        rc = reply.len == 1 && (uint8_t)reply.ptr[0] <= STORE_UNKNOWN ? (enum store_rc)reply.ptr[0]
                                                                      : STORE_DOWN;
    if (rc != STORE_OK)
        atomic_store(&w->active, false);
    arena_free(&a);
    buf_free(&request);
    return rc;
}

static void hint_ack(struct remote *r, size_t bytes)
{
    struct buf request;
    r->hints_unacked += bytes;
    if (r->hints_unacked < STORE_HINTS_ACK)
        return;
    buf_init(&request, SMALL_MAX);
    buf_u32(&request, (uint32_t)r->hints_unacked);
    /* to the core that sent them, or to none */
    remote_post(r, STORE_MSG_HINT_ACK, &request, sys_mono_ms());
    buf_free(&request);
    r->hints_unacked = 0;
}

void remote_notice(void *remote, uint8_t type, str_t payload, int fd)
{
    struct remote *r = remote;
    struct cursor c = cursor_of(payload);
    struct store_hint h;
    if (fd >= 0)
        close(fd);
    if (type != STORE_MSG_HINTS)
        return;
    while (store_hint_decode(&c, &h)) {
        struct remote_watch *w = &r->watches[h.watch];
        if (!atomic_load(&w->active))
            continue;
        str_t key = h.kind == STORE_HINT_LOST ? STR_NONE : h.key;
        w->fn(w->user, w->part, key, h.value, h.kind == STORE_HINT_DELETED);
    }
    hint_ack(r, payload.len);
}
