/* remote_login.c: logins and passwords, as a client of core has them. See remote.h. */
#include <stdlib.h>

#include "store/remote_impl.h"
#include "sys/clock.h"

enum {
    LOGIN_MS = 40000, /* a full queue of checks passes within it, on a busy machine too */
    REQUEST_MAX = STORE_NAME_MAX + STORE_PASSWORD_MAX + 64,
    REPLY_ARENA = 4096,
};

/* One question and its answer; not repeated when core dies: a person can. Passwords do not stay in
 * freed memory. */
static bool ask(struct remote *r, enum store_msg type, struct buf *request, struct arena *a,
                str_t *reply)
{
    uint8_t reply_type = 0;
    int fd = -1;
    struct iovec iov = {.iov_base = request->ptr, .iov_len = request->len};
    bool sent =
        !request->failed && channel_call(r->ch, (uint8_t)type, &iov, 1, sys_mono_ms() + LOGIN_MS, a,
                                         &reply_type, reply, &fd) == RC_OK;
    if (request->ptr != NULL)
        explicit_bzero(request->ptr, request->cap);
    buf_free(request);
    return sent && reply_type == (type | STORE_MSG_REPLY);
}

static enum rc refused(enum rc rc, struct err *err)
{
    if (rc == RC_PERM)
        return err_set(err, RC_PERM, "5.7.8", "name or password wrong");
    return err_set(err, RC_TEMP, "4.7.0", "cannot check passwords now, try again later");
}

static struct store *session_new(struct remote *r, uint64_t attach, str_t token)
{
    struct remote_view *v = calloc(1, sizeof *v);
    if (v == NULL || token.len != STORE_TOKEN_LEN) {
        free(v);
        return NULL;
    }
    *v = (struct remote_view){
        .store.ops = &remote_ops, .remote = r, .session = true, .attach = attach};
    memcpy(v->token, token.ptr, STORE_TOKEN_LEN);
    return &v->store;
}

static enum rc login_answer(struct remote *r, str_t reply, uint64_t *account,
                            struct store **session, uint32_t *hold_ms)
{
    /* The socket the answer came through, or (core died this moment) the next one, where core will
     * not know the session. */
    uint64_t attach = atomic_load(&r->attaches);
    struct cursor c = cursor_of(reply);
    uint8_t rc = cursor_u8(&c);
    if (rc == RC_PERM) {
        *hold_ms = cursor_u32(&c);
        return cursor_end(&c) ? RC_PERM : RC_TEMP;
    }
    if (rc != RC_OK)
        return RC_TEMP;
    *account = cursor_u64(&c);
    str_t token = cursor_bytes(&c, STORE_TOKEN_LEN);
    if (!cursor_end(&c))
        return RC_TEMP;
    *session = session_new(r, attach, token);
    return *session != NULL ? RC_OK : RC_TEMP;
}

enum rc store_remote_login(struct store *remote, str_t name, str_t password,
                           const struct netaddr *from, uint64_t *account, struct store **session,
                           uint32_t *hold_ms, struct err *err)
{
    struct remote_view *v = (struct remote_view *)(void *)remote;
    struct remote *r = v->remote;
    struct store_login_req q = {
        .head = remote_head(&r->view, LOGIN_MS),
        .from = from != NULL ? *from : (struct netaddr){.family = NETADDR_NONE},
        .name = name,
        .password = password,
    };
    *account = 0;
    *session = NULL;
    *hold_ms = 0;
    if (name.len > STORE_NAME_MAX || password.len > STORE_PASSWORD_MAX)
        return refused(RC_PERM, err); /* nobody has such a one */
    struct buf request;
    struct arena a;
    str_t reply;
    /* Room from the start: growing would leave copies of the password behind. */
    buf_init(&request, REQUEST_MAX);
    buf_room(&request, REQUEST_MAX);
    arena_init(&a, REPLY_ARENA);
    store_login_encode(&request, &q);
    enum rc rc = ask(r, STORE_MSG_LOGIN, &request, &a, &reply)
                     ? login_answer(r, reply, account, session, hold_ms)
                     : RC_TEMP;
    arena_free(&a);
    return rc == RC_OK ? RC_OK : refused(rc, err);
}

enum rc store_remote_set_password(struct store *remote, uint64_t account, str_t password,
                                  struct err *err)
{
    struct remote_view *v = (struct remote_view *)(void *)remote;
    struct store_head head = remote_head(v, LOGIN_MS);
    if (password.len > STORE_PASSWORD_MAX)
        return err_set(err, RC_PERM, "", "a password has at most %d bytes", STORE_PASSWORD_MAX);
    struct buf request;
    struct arena a;
    str_t reply;
    buf_init(&request, REQUEST_MAX);
    buf_room(&request, REQUEST_MAX);
    arena_init(&a, REPLY_ARENA);
    store_head_encode(&request, &head);
    buf_u64(&request, account);
    buf_str16(&request, password);
    bool answered = ask(v->remote, STORE_MSG_SET_PASSWORD, &request, &a, &reply) && reply.len == 1;
    uint8_t rc = answered ? (uint8_t)reply.ptr[0] : RC_TEMP;
    arena_free(&a);
    if (rc == RC_OK)
        return RC_OK;
    if (rc == RC_PERM)
        return err_set(err, RC_PERM, "",
                       "the server does not let us set passwords; run this as the user that owns "
                       "the data folder");
    return err_set(
        err, RC_TEMP, "",
        "the password was not set: the server did not answer or could not write; see its log");
}
