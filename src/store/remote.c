/* remote.c: commits and reads over a channel. See remote.h.
 *
 * What can happen to a request, and what it becomes:
 *     not sent before its deadline           STORE_DOWN      nothing happened
 *     sent, then core died or was too slow   a commit: STORE_UNKNOWN; a read is sent again until
 *                                            its deadline, then STORE_DOWN
 *     an answer that does not decode         the same as no answer
 * A login's session lives in core's memory: with a new socket it is gone, and everything on it is
 * STORE_DOWN. */
#include <stdlib.h>
#include <time.h>

#include "store/remote_impl.h"
#include "sys/clock.h"

enum {
    COMMIT_MS = 30000, /* store.h promises it */
    /* a restart of core takes less than a second; who reads has a person or an SMTP peer waiting */
    READ_MS = 10000,
    POST_MS = 5000,
    CLOSE_MS = 5000, /* how long a store being closed waits for commits under way */
};

static struct remote_view *view_of(struct store *s)
{
    return (struct remote_view *)(void *)s;
}

struct store_head remote_head(const struct remote_view *v, int64_t timeout_ms)
{
    struct store_head h = {.has_token = v->session};
    if (v->session)
        memcpy(h.token, v->token, STORE_TOKEN_LEN);
    int64_t ms = timeout_ms < 1                      ? 1
                 : timeout_ms > STORE_TIMEOUT_MAX_MS ? STORE_TIMEOUT_MAX_MS
                                                     : timeout_ms;
    h.timeout_ms = (uint32_t)ms;
    return h;
}

static bool session_over(const struct remote_view *v)
{
    return v->session && v->attach != atomic_load(&v->remote->attaches);
}

/* ---- commits ---- */

/* Freed when both the sending and the answer are over: the answer may overtake channel_send, which
 * still looks at its pieces. */
struct remote_commit {
    struct channel_call call;
    _Atomic int parts;
    struct remote *remote;
    struct store_commit *commit;
    char fields[];
};

static void part_over(struct remote_commit *rc)
{
    if (atomic_fetch_sub(&rc->parts, 1) == 1)
        free(rc);
}

static void commit_end(struct store_commit *c, enum store_rc rc)
{
    c->rc = rc;
    c->done(c);
}

static void commit_done(struct channel_call *call)
{
    struct remote_commit *rc = call->user;
    struct remote *r = rc->remote;
    struct store_commit *c = rc->commit;
    bool answered = call->rc == RC_OK && call->reply_type == (STORE_MSG_COMMIT | STORE_MSG_REPLY) &&
                    store_commit_reply_decode(call->reply, c);
    if (!answered)
        c->rc = call->rc == RC_TEMP ? STORE_DOWN : STORE_UNKNOWN;
    part_over(rc);
    c->done(c);
    atomic_fetch_sub(&r->commits, 1);
}

static void remote_submit(struct store *s, struct store_commit *c)
{
    struct remote_view *v = view_of(s);
    if (session_over(v)) {
        commit_end(c, STORE_DOWN);
        return;
    }
    size_t size = store_commit_size(c->batch);
    struct remote_commit *rc = malloc(sizeof *rc + size);
    if (rc == NULL) {
        commit_end(c, STORE_DOWN);
        return;
    }
    int64_t left = COMMIT_MS;
    if (c->deadline_ms != 0)
        left = c->deadline_ms - v->remote->env->mono_ms(v->remote->env);
    struct store_head head = remote_head(v, left);
    struct iovec iov[STORE_COMMIT_IOV];
    int n = store_commit_encode(c->batch, &head, rc->fields, size, iov);
    rc->call =
        (struct channel_call){.done = commit_done, .user = rc, .deadline_ms = sys_mono_ms() + left};
    atomic_init(&rc->parts, 2);
    rc->remote = v->remote;
    rc->commit = c;
    atomic_fetch_add(&v->remote->commits, 1);
    channel_send(v->remote->ch, STORE_MSG_COMMIT, iov, n, &rc->call);
    part_over(rc);
}

/* ---- reads ---- */

enum store_rc remote_call(struct remote_view *v, enum store_msg type, const struct buf *request,
                          int64_t timeout_ms, struct arena *a, str_t *reply)
{
    struct iovec iov = {.iov_base = request->ptr, .iov_len = request->len};
    int64_t deadline = sys_mono_ms() + timeout_ms;
    if (request->failed)
        return STORE_LIMIT;
    do {
        uint8_t reply_type = 0;
        int fd = -1;
        if (session_over(v))
            return STORE_DOWN;
        enum rc rc = channel_call(v->remote->ch, (uint8_t)type, &iov, 1, deadline, a, &reply_type,
                                  reply, &fd);
        if (rc == RC_OK && reply_type == (type | STORE_MSG_REPLY))
            return STORE_OK;
        if (a->failed || rc == RC_PERM)
            return STORE_LIMIT;
        if (rc != RC_CLOSED)
            return STORE_DOWN;
    } while (sys_mono_ms() < deadline);
    return STORE_DOWN;
}

enum { REQUEST_MAX = STORE_GET_KEYS * (STORE_KEY_MAX + 2) + 64 };

static enum store_rc remote_get(struct store *s, part_t part, const str_t *keys, size_t n,
                                struct arena *a, struct store_value *out)
{
    struct remote_view *v = view_of(s);
    if (n > STORE_GET_KEYS)
        return STORE_LIMIT;
    struct store_head head = remote_head(v, READ_MS);
    struct buf request;
    str_t reply;
    buf_init(&request, REQUEST_MAX);
    store_get_encode(&request, &head, part, keys, n);
    enum store_rc rc = remote_call(v, STORE_MSG_GET, &request, READ_MS, a, &reply);
    if (rc == STORE_OK && !store_get_reply_decode(reply, &rc, out, n))
        rc = STORE_DOWN;
    buf_free(&request);
    return rc;
}

static enum store_rc remote_scan(struct store *s, const struct store_scan *q, struct arena *a,
                                 struct store_page *out)
{
    struct remote_view *v = view_of(s);
    struct store_head head = remote_head(v, READ_MS);
    struct buf request;
    str_t reply;
    buf_init(&request, REQUEST_MAX);
    store_scan_encode(&request, &head, q);
    enum store_rc rc = remote_call(v, STORE_MSG_SCAN, &request, READ_MS, a, &reply);
    if (rc == STORE_OK && !store_scan_reply_decode(reply, a, &rc, out))
        rc = STORE_DOWN;
    if (rc != STORE_OK)
        *out = (struct store_page){0};
    buf_free(&request);
    return rc;
}

static enum store_rc remote_snapshot_open(struct store *s, part_t part, uint64_t *id)
{
    struct remote_view *v = view_of(s);
    struct store_head head = remote_head(v, READ_MS);
    struct buf request;
    struct arena a;
    str_t reply;
    buf_init(&request, REQUEST_MAX);
    arena_init(&a, 4096);
    store_head_encode(&request, &head);
    store_part_encode(&request, part);
    enum store_rc rc = remote_call(v, STORE_MSG_SNAPSHOT_OPEN, &request, READ_MS, &a, &reply);
    if (rc == STORE_OK) {
        struct cursor c = cursor_of(reply);
        rc = (enum store_rc)cursor_u8(&c);
        if (rc == STORE_OK)
            *id = cursor_u64(&c);
        if (!cursor_end(&c) || rc > STORE_UNKNOWN)
            rc = STORE_DOWN;
    }
    arena_free(&a);
    buf_free(&request);
    return rc;
}

static void posted_done(struct channel_call *call)
{
    free(call);
}

void remote_post(struct remote *r, enum store_msg type, const struct buf *request,
                 int64_t deadline_ms)
{
    struct channel_call *call = malloc(sizeof *call);
    if (call == NULL || request->failed) {
        free(call);
        return;
    }
    struct iovec iov = {.iov_base = request->ptr, .iov_len = request->len};
    *call = (struct channel_call){.done = posted_done, .deadline_ms = deadline_ms};
    channel_send(r->ch, (uint8_t)type, &iov, 1, call);
}

static void remote_snapshot_close(struct store *s, uint64_t id)
{
    struct remote_view *v = view_of(s);
    struct store_head head = remote_head(v, POST_MS);
    struct buf request;
    buf_init(&request, REQUEST_MAX);
    store_head_encode(&request, &head);
    buf_u64(&request, id);
    remote_post(v->remote, STORE_MSG_SNAPSHOT_CLOSE, &request, sys_mono_ms() + POST_MS);
    buf_free(&request);
}

/* ---- life ---- */

static void session_close(struct remote_view *v)
{
    struct store_head head = remote_head(v, POST_MS);
    struct buf request;
    buf_init(&request, REQUEST_MAX);
    store_head_encode(&request, &head);
    if (!session_over(v))
        remote_post(v->remote, STORE_MSG_LOGOUT, &request, sys_mono_ms() + POST_MS);
    buf_free(&request);
    explicit_bzero(v, sizeof *v);
    free(v);
}

static void remote_close(struct store *s)
{
    struct remote_view *v = view_of(s);
    if (v->session) {
        session_close(v);
        return;
    }
    struct remote *r = v->remote;
    /* Only at the end of a role: looking every two milliseconds costs less than a lock in every
     * commit. */
    int64_t until = sys_mono_ms() + CLOSE_MS;
    while (atomic_load(&r->commits) > 0 && sys_mono_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    channel_free(r->ch); /* the rest end as STORE_UNKNOWN */
    remote_board_free(r);
    pthread_mutex_destroy(&r->watch_lock);
    free(r);
}

const struct store_ops remote_ops = {
    .submit = remote_submit,
    .get = remote_get,
    .scan = remote_scan,
    .snapshot_open = remote_snapshot_open,
    .snapshot_close = remote_snapshot_close,
    .watch = remote_watch,
    .board = remote_board,
    .close = remote_close,
};

struct store *store_remote_new(struct env *env, struct channel **ch)
{
    struct remote *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->view = (struct remote_view){.store.ops = &remote_ops, .remote = r};
    r->env = env;
    must(pthread_mutex_init(&r->watch_lock, NULL) == 0);
    r->ch = remote_board_init(r) ? channel_new(remote_notice, remote_attached, r) : NULL;
    if (r->ch == NULL) {
        remote_board_free(r);
        pthread_mutex_destroy(&r->watch_lock);
        free(r);
        return NULL;
    }
    *ch = r->ch;
    return &r->view.store;
}
