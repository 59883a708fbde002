/* server.c: channels come and go, and each request goes to its handler. See server.h and
 * client.h. */
#include "roles/core/server.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "roles/core/client.h"
#include "roles/log.h"

enum {
    /* A page of values and keys, its rows, and what alignment adds. One request at a time of each
     * channel has it. */
    REQUEST_ARENA = 2 * STORE_PAGE_MAX + STORE_SCAN_ROWS * 96,
    REPLY_MAX = CHANNEL_FRAME_MAX - 64,
    REPLY_KEEP = 256 << 10, /* memory of the reply buffer that stays with a channel */
    LOG_EVERY_MS = 60000,
    TICK_S = 1,
};

/* ---- requests ---- */

static core_handler *const handlers[] = {
    [STORE_MSG_HELLO] = core_hello,
    [STORE_MSG_COMMIT] = core_commit,
    [STORE_MSG_GET] = core_get,
    [STORE_MSG_SCAN] = core_scan,
    [STORE_MSG_SNAPSHOT_OPEN] = core_snapshot_open,
    [STORE_MSG_SNAPSHOT_CLOSE] = core_snapshot_close,
    [STORE_MSG_WATCH] = core_watch,
    [STORE_MSG_HINT_ACK] = core_hint_ack,
    [STORE_MSG_LOGIN] = core_login,
    [STORE_MSG_LOGOUT] = core_logout,
    [STORE_MSG_SET_PASSWORD] = core_set_password,
    [STORE_MSG_SCRAM] = core_scram,
    [STORE_MSG_ADD_PASSWORD] = core_add_password,
    [STORE_MSG_REMOVE_PASSWORD] = core_remove_password,
    [STORE_MSG_LIST_PASSWORDS] = core_list_passwords,
    [STORE_MSG_CERTIFICATE] = core_certificate,
};

static void log_offence(struct core_client *c, const char *event, const char *what, part_t part,
                        str_t key)
{
    int64_t now = c->server->env->mono_ms(c->server->env);
    if (c->logged_ms != 0 && now - c->logged_ms < LOG_EVERY_MS) {
        c->unlogged++;
        return;
    }
    log_event("core", STR_NONE, event, log_cstr("peer", c->table->name), log_cstr("request", what),
              log_u64("partition", part.kind), log_u64("partition_id", part.id),
              log_str("key", key), log_u64("more_before", c->unlogged), log_end);
    c->logged_ms = now > 0 ? now : 1;
    c->unlogged = 0;
}

enum store_rc client_denied(struct core_client *c, const char *what, part_t part, str_t key)
{
    log_offence(c, "denied", what, part, key);
    return STORE_DENIED;
}

/* channel_serve has returned and c->peer is set: from then on other threads may use it. */
static void wait_ready(struct core_client *c)
{
    if (c->ready)
        return;
    pthread_mutex_lock(&c->lock);
    pthread_mutex_unlock(&c->lock);
    c->ready = true;
}

static bool on_request(void *user, struct channel_peer *p, uint8_t type, uint64_t id, str_t payload,
                       int fd)
{
    struct core_client *c = user;
    wait_ready(c);
    if (fd >= 0)
        close(fd); /* nothing here takes one */
    core_handler *handler = type < sizeof handlers / sizeof *handlers ? handlers[type] : NULL;
    bool good = fd < 0 && id != 0 && handler != NULL && handler(c, p, id, payload);
    if (!good)
        log_offence(c, "malformed", "channel ends", (part_t){0}, STR_NONE);
    arena_reset(&c->arena);
    buf_clear(&c->out);
    if (c->out.cap > REPLY_KEEP)
        buf_free(&c->out);
    return good;
}

bool core_hello(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    if (cursor_u16(&in) != STORE_PROTOCOL_VERSION || !cursor_end(&in) || c->greeted)
        return false;
    c->greeted =
        true; /* once: each answer takes a descriptor along, and who takes none of them keeps ours */
    char bytes[3];
    struct buf out = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    buf_u8(&out, STORE_OK);
    buf_u16(&out, STORE_PROTOCOL_VERSION);
    struct iovec iov = {.iov_base = out.ptr, .iov_len = out.len};
    channel_reply(p, id, STORE_MSG_HELLO | STORE_MSG_REPLY, &iov, 1,
                  core_board_fd(c->server->board));
    return true;
}

void client_reply(struct core_client *c, struct channel_peer *p, uint64_t id, enum store_msg type,
                  struct buf *payload)
{
    (void)c;
    if (payload->failed) { /* no memory, or more than a frame holds */
        client_reply_rc(p, id, type, STORE_LIMIT);
        return;
    }
    struct iovec iov = {.iov_base = payload->ptr, .iov_len = payload->len};
    channel_reply(p, id, (uint8_t)(type | STORE_MSG_REPLY), &iov, 1, -1);
}

void client_reply_rc(struct channel_peer *p, uint64_t id, enum store_msg type, uint8_t rc)
{
    struct iovec iov = {.iov_base = &rc, .iov_len = 1};
    channel_reply(p, id, (uint8_t)(type | STORE_MSG_REPLY), &iov, 1, -1);
}

bool client_grant(struct core_client *c, const struct store_head *h, struct grant *out)
{
    *out = (struct grant){.table = c->table};
    if (!h->has_token)
        return true;
    return client_session(c, h->token, out);
}

/* ---- channels ---- */

void client_hold(struct core_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

static void client_free(struct core_client *c)
{
    if (c->peer != NULL)
        channel_peer_release(c->peer);
    map_free(c->sessions);
    arena_free(&c->arena);
    buf_free(&c->out);
    buf_free(&c->hints);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->hint_lock);
    pthread_cond_destroy(&c->room);
    free(c);
}

void client_release(struct core_client *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct core_server *cs = c->server;
    pthread_mutex_lock(&cs->lock);
    list_remove(&c->link);
    pthread_mutex_unlock(&cs->lock);
    client_free(c);
    pthread_mutex_lock(&cs->lock);
    cs->n_clients--;
    pthread_cond_broadcast(&cs->gone);
    pthread_mutex_unlock(&cs->lock);
}

static void on_closed(void *user, struct channel_peer *p)
{
    struct core_client *c = user;
    (void)p;
    wait_ready(c);
    client_close_snapshots(c);
    client_unwatch(c);
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    map_free(c->sessions); /* a session ends with its channel */
    c->sessions = NULL;
    pthread_mutex_unlock(&c->lock);
    client_release(c);
}

static const struct channel_server_ops channel_ops = {.request = on_request, .closed = on_closed};

static struct core_client *client_new(struct core_server *cs, const struct permissions *table)
{
    struct core_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->server = cs;
    c->table = table;
    atomic_init(&c->refs, 1); /* the channel's */
    arena_init(&c->arena, REQUEST_ARENA);
    buf_init(&c->out, REPLY_MAX);
    buf_init(&c->hints, CORE_HINT_BUFFER);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->hint_lock, NULL);
    pthread_cond_init(&c->room, NULL);
    list_init(&c->link);
    return c;
}

/* Takes the client among the served, unless there are too many of its kind. */
static bool admit(struct core_server *cs, struct core_client *c)
{
    int same = 0;
    pthread_mutex_lock(&cs->lock);
    for (struct list *l = cs->clients.next; l != &cs->clients; l = l->next)
        same += list_entry(l, struct core_client, link)->table == c->table;
    bool ok = !cs->closing && same < c->table->clients_max;
    if (ok) {
        list_push(&cs->clients, &c->link);
        cs->n_clients++;
    }
    pthread_mutex_unlock(&cs->lock);
    return ok;
}

bool core_server_serve(struct core_server *cs, int fd, const struct permissions *table)
{
    struct core_client *c = client_new(cs, table);
    if (c == NULL || !admit(cs, c)) {
        log_event("core", STR_NONE, "refused", log_cstr("peer", table->name),
                  log_cstr("reason", "too many channels"), log_end);
        if (c != NULL)
            client_free(c);
        close(fd);
        return false;
    }
    pthread_mutex_lock(&c->lock); /* the new thread waits for it: see wait_ready */
    struct channel_peer *p = channel_serve(fd, &channel_ops, c);
    if (p != NULL)
        channel_peer_hold(p);
    c->peer = p;
    pthread_mutex_unlock(&c->lock);
    if (p == NULL)
        client_release(c); /* no thread, so no on_closed */
    return p != NULL;
}

/* ---- the server ---- */

/* What changes without a commit: free space in the board. */
static void *ticker_main(void *arg)
{
    struct core_server *cs = arg;
    pthread_mutex_lock(&cs->lock);
    while (!cs->closing) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_S;
        pthread_cond_clockwait(&cs->tick, &cs->lock, CLOCK_MONOTONIC, &until);
        pthread_mutex_unlock(&cs->lock);
        core_board_publish(cs->board);
        pthread_mutex_lock(&cs->lock);
    }
    pthread_mutex_unlock(&cs->lock);
    return NULL;
}

struct core_server *core_server_new(struct store *engine, struct env *env, struct err *err)
{
    struct core_server *cs = calloc(1, sizeof *cs);
    if (cs == NULL) {
        (void)err_set(err, RC_TEMP, "", "out of memory");
        return NULL;
    }
    cs->engine = engine;
    cs->env = env;
    list_init(&cs->clients);
    pthread_mutex_init(&cs->lock, NULL);
    pthread_mutex_init(&cs->watch_lock, NULL);
    pthread_mutex_init(&cs->watch_add_lock, NULL);
    pthread_cond_init(&cs->gone, NULL);
    pthread_cond_init(&cs->tick, NULL);
    env->random(env, cs->map_key, sizeof cs->map_key);
    cs->board = core_board_new(cs, err);
    if (cs->board != NULL) {
        cs->pool = login_pool_new(cs);
        cs->ticking = cs->pool != NULL && pthread_create(&cs->ticker, NULL, ticker_main, cs) == 0;
        if (cs->ticking)
            return cs;
        (void)err_set(err, RC_TEMP, "", "cannot start threads");
    }
    core_server_free(cs);
    return NULL;
}

/* Under lock, let go meanwhile: closes one channel that is not closed yet. */
static bool close_one(struct core_server *cs)
{
    for (struct list *l = cs->clients.next; l != &cs->clients; l = l->next) {
        struct core_client *c = list_entry(l, struct core_client, link);
        unsigned refs = atomic_load(&c->refs);
        while (refs > 0 && !atomic_compare_exchange_weak(&c->refs, &refs, refs + 1))
            ;
        if (refs == 0)
            continue;          /* about to be freed */
        list_remove(&c->link); /* client_release does it again: harmless */
        pthread_mutex_unlock(&cs->lock);
        pthread_mutex_lock(&c->lock);
        struct channel_peer *p = c->peer;
        pthread_mutex_unlock(&c->lock);
        if (p != NULL)
            channel_peer_close(p);
        client_release(c);
        pthread_mutex_lock(&cs->lock);
        return true;
    }
    return false;
}

void core_server_free(struct core_server *cs)
{
    if (cs == NULL)
        return;
    pthread_mutex_lock(&cs->lock);
    cs->closing = true;
    pthread_cond_broadcast(&cs->tick);
    while (close_one(cs))
        ;
    pthread_mutex_unlock(&cs->lock);
    if (cs->ticking)
        pthread_join(cs->ticker, NULL);
    login_pool_free(cs->pool);
    pthread_mutex_lock(&cs->lock);
    while (cs->n_clients > 0)
        pthread_cond_wait(&cs->gone, &cs->lock);
    pthread_mutex_unlock(&cs->lock);
    core_board_free(cs->board);
    pthread_mutex_destroy(&cs->lock);
    pthread_mutex_destroy(&cs->watch_lock);
    pthread_mutex_destroy(&cs->watch_add_lock);
    pthread_cond_destroy(&cs->gone);
    pthread_cond_destroy(&cs->tick);
    free(cs);
}
