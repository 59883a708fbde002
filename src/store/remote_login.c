/* remote_login.c: logins and passwords, as a client of core has them. See remote.h. */
#include <stdio.h>
#include <stdlib.h>

#include "store/remote_impl.h"
#include "sys/clock.h"

enum {
    LOGIN_MS = 40000, /* a full queue of checks passes within it, on a busy machine too */
    REPLY_ARENA = 16384,
};
_Static_assert(sizeof(((struct store_login_answer *)0)->address) > STORE_ADDRESS_MAX,
               "an address fits");
_Static_assert(sizeof(((struct store_login_answer *)0)->signature) >= STORE_DIGEST_MAX,
               "a signature fits");

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

/* Room from the start: growing would leave copies of the password behind. */
static struct buf request_buf(size_t room)
{
    struct buf b;
    buf_init(&b, room);
    buf_room(&b, room);
    return b;
}

/* ---- logins ---- */

static enum rc refused(enum rc rc, struct err *err)
{
    if (rc == RC_PERM)
        return err_set(err, RC_PERM, "5.7.8", "name or password wrong");
    return err_set(err, RC_TEMP, "4.7.0", "cannot check passwords now, try again later");
}

static struct store *session_new(struct remote *r, uint64_t attach,
                                 const uint8_t token[static STORE_TOKEN_LEN])
{
    struct remote_view *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    *v = (struct remote_view){
        .store.ops = &remote_ops, .remote = r, .session = true, .attach = attach};
    memcpy(v->token, token, STORE_TOKEN_LEN);
    return &v->store;
}

static void text_copy(char *to, str_t from)
{
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
}

static enum rc login_answer(struct remote *r, str_t reply, struct store_login_answer *out)
{
    /* The socket the answer came through, or (core died this moment) the next one, where core will
     * not know the session. */
    uint64_t attach = atomic_load(&r->attaches);
    struct store_login_reply a;
    if (!store_login_reply_decode(reply, &a))
        return RC_TEMP;
    out->hold_ms = a.hold_ms;
    if (a.rc != RC_OK)
        return a.rc;
    out->account = a.account;
    text_copy(out->address, a.address);
    text_copy(out->password_name, a.password_name);
    memcpy(out->signature, a.signature.len > 0 ? a.signature.ptr : "", a.signature.len);
    out->signature_len = a.signature.len;
    out->session = session_new(r, attach, a.token);
    return out->session != NULL ? RC_OK : RC_TEMP;
}

enum rc store_remote_login(struct store *remote, const struct store_login *login,
                           struct store_login_answer *out, struct err *err)
{
    struct remote *r = ((struct remote_view *)(void *)remote)->remote;
    struct store_login_req q = {.head = remote_head(&r->view, LOGIN_MS), .login = *login};
    *out = (struct store_login_answer){0};
    if (!store_login_valid(login))
        return refused(RC_PERM, err); /* nobody has such a one */
    struct buf request = request_buf(STORE_LOGIN_MAX);
    struct arena a;
    str_t reply;
    arena_init(&a, REPLY_ARENA);
    store_login_encode(&request, &q);
    enum rc rc =
        ask(r, STORE_MSG_LOGIN, &request, &a, &reply) ? login_answer(r, reply, out) : RC_TEMP;
    arena_free(&a);
    return rc == RC_OK ? RC_OK : refused(rc, err);
}

enum rc store_remote_login_password(struct store *remote, str_t name, str_t password,
                                    const struct netaddr *from, uint64_t *account,
                                    struct store **session, uint32_t *hold_ms, struct err *err)
{
    struct store_login login = {
        .use = STORE_USE_READ, .proof = STORE_PROOF_PASSWORD, .name = name, .password = password};
    struct store_login_answer answer;
    if (from != NULL)
        login.from = *from;
    enum rc rc = store_remote_login(remote, &login, &answer, err);
    *account = answer.account;
    *session = answer.session;
    *hold_ms = answer.hold_ms;
    return rc;
}

enum rc store_remote_scram(struct store *remote, str_t name, uint8_t salt[static STORE_SCRAM_SALT],
                           uint32_t *iterations, struct err *err)
{
    struct remote *r = ((struct remote_view *)(void *)remote)->remote;
    struct store_password_req q = {.head = remote_head(&r->view, LOGIN_MS), .name = name};
    if (name.len > STORE_NAME_MAX)
        return refused(RC_PERM, err);
    struct buf request = request_buf(STORE_LOGIN_MAX);
    struct arena a;
    str_t reply;
    arena_init(&a, REPLY_ARENA);
    store_password_encode(&request, STORE_MSG_SCRAM, &q);
    bool ok = ask(r, STORE_MSG_SCRAM, &request, &a, &reply);
    struct cursor c = cursor_of(ok ? reply : STR_NONE);
    ok = cursor_u8(&c) == RC_OK && !c.failed;
    str_t bytes = cursor_bytes(&c, STORE_SCRAM_SALT);
    *iterations = cursor_u32(&c);
    ok = ok && cursor_end(&c);
    if (ok)
        memcpy(salt, bytes.ptr, STORE_SCRAM_SALT);
    arena_free(&a);
    return ok ? RC_OK : refused(RC_TEMP, err);
}

/* ---- administration ---- */

/* Asks, and keeps the answer in `a`; RC_OK if it begins so. */
static enum rc administer(struct store *remote, enum store_msg type, struct store_password_req *q,
                          struct arena *a, str_t *reply)
{
    struct remote_view *v = (struct remote_view *)(void *)remote;
    struct buf request = request_buf(STORE_LOGIN_MAX);
    q->head = remote_head(v, LOGIN_MS);
    store_password_encode(&request, type, q);
    bool answered = ask(v->remote, type, &request, a, reply) && reply->len >= 1;
    uint8_t rc = answered ? (uint8_t)reply->ptr[0] : RC_TEMP;
    return rc == RC_OK ? RC_OK : rc == RC_PERM ? RC_PERM : RC_TEMP;
}

static enum rc answer_of(enum rc rc, const char *refusal, struct err *err)
{
    if (rc == RC_OK)
        return RC_OK;
    if (rc == RC_PERM)
        return err_set(err, RC_PERM, "", "%s", refusal);
    return err_set(err, RC_TEMP, "",
                   "nothing was changed: the server did not answer or could not write; see its "
                   "log");
}

/* The same for answers that are no more than yes or no. */
static enum rc change(struct store *remote, enum store_msg type, struct store_password_req *q,
                      const char *refusal, struct err *err)
{
    struct arena a;
    str_t reply;
    arena_init(&a, REPLY_ARENA);
    enum rc rc = administer(remote, type, q, &a, &reply);
    arena_free(&a);
    return answer_of(rc, refusal, err);
}

static enum rc too_long(struct err *err)
{
    return err_set(err, RC_PERM, "", "a password has at most %d bytes", STORE_PASSWORD_MAX);
}

enum rc store_remote_set_password(struct store *remote, uint64_t account, str_t password,
                                  struct err *err)
{
    struct store_password_req q = {.account = account, .password = password};
    if (password.len > STORE_PASSWORD_MAX)
        return too_long(err);
    return change(remote, STORE_MSG_SET_PASSWORD, &q,
                  "the server does not let us set passwords; run this as the user that owns the "
                  "data folder",
                  err);
}

enum rc store_remote_add_password(struct store *remote, uint64_t account, str_t name, unsigned uses,
                                  str_t password, struct err *err)
{
    struct store_password_req q = {
        .account = account, .name = name, .uses = uses, .password = password};
    if (password.len > STORE_PASSWORD_MAX)
        return too_long(err);
    if (name.len == 0 || name.len > STORE_PASSWORD_NAME_MAX || password.len == 0)
        return err_set(err, RC_PERM, "", "a password needs a name of at most %d bytes",
                       STORE_PASSWORD_NAME_MAX);
    char refusal[128];
    snprintf(refusal, sizeof refusal,
             "the server refused: the account is locked, or has %d passwords already",
             STORE_PASSWORDS_MAX);
    return change(remote, STORE_MSG_ADD_PASSWORD, &q, refusal, err);
}

enum rc store_remote_remove_password(struct store *remote, uint64_t account, str_t name,
                                     struct err *err)
{
    struct store_password_req q = {.account = account, .name = name};
    if (name.len > STORE_PASSWORD_NAME_MAX)
        return answer_of(RC_PERM, "the account has no password of that name", err);
    return change(remote, STORE_MSG_REMOVE_PASSWORD, &q, "the account has no password of that name",
                  err);
}

enum rc store_remote_list_passwords(struct store *remote, uint64_t account,
                                    struct store_password_info out[static STORE_PASSWORDS_MAX],
                                    size_t *n, struct err *err)
{
    struct store_password_req q = {.account = account};
    struct arena a;
    str_t reply;
    *n = 0;
    arena_init(&a, REPLY_ARENA);
    enum rc rc = administer(remote, STORE_MSG_LIST_PASSWORDS, &q, &a, &reply);
    if (rc == RC_OK && !store_password_list_decode(reply, out, n))
        rc = RC_TEMP;
    arena_free(&a);
    return answer_of(rc, "the server does not show passwords to us", err);
}

enum rc store_remote_certificate(struct store *remote, uint64_t account,
                                 const uint8_t sha256[static 32], bool remove, struct err *err)
{
    struct store_password_req q = {
        .account = account, .remove = remove, .password = str_of(sha256, STORE_DIGEST_MAX)};
    return change(remote, STORE_MSG_CERTIFICATE, &q,
                  remove ? "the account has no such certificate"
                         : "this certificate belongs to another account",
                  err);
}
