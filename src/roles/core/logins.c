/* logins.c: sessions of accounts, and the pool that checks and sets passwords.
 *
 * A login names an account by the directory's row login/NAME (the account's id as u64, see
 * post/directory.h); its hash is the row pw/ID of PART_SECRET, which only this file reads. Nobody
 * learns whether the name or the password was wrong: both cost the same two reads and one hash, and
 * get the same answer.
 *
 * A session is a random token that is good on the channel it was made on. Checks wait in a bounded
 * queue; what does not fit is told to come again. A failed answer names how long it is to be held
 * back (delays.h): the role that asked holds it, where that takes no thread. */
#include <stdlib.h>

#include "roles/core/client.h"
#include "roles/core/delays.h"
#include "roles/core/password.h"
#include "roles/log.h"
#include "roles/log_gate.h"

#define SECRET_PART    ((part_t){PART_SECRET, 0})
#define DIRECTORY_PART ((part_t){PART_DIRECTORY, 0})
#define LOGIN_PREFIX   "login/"
#define SECRET_PREFIX  "pw/"
_Static_assert(sizeof LOGIN_PREFIX - 1 + STORE_NAME_MAX <= STORE_KEY_MAX,
               "a login's row has a key");
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a session's map holds account ids as pointers");

enum { READ_ARENA = 4096, ACCOUNT_LEN = 8 };

struct login_job {
    struct list link;
    struct core_client *client;
    struct channel_peer *peer;
    uint64_t id;
    enum store_msg type; /* LOGIN or SET_PASSWORD */
    int64_t deadline_ms;
    struct netaddr from;
    uint64_t account;
    size_t name_len, password_len;
    char name[STORE_NAME_MAX], password[STORE_PASSWORD_MAX];
};

struct login_pool {
    struct core_server *server;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list waiting;
    size_t n_waiting;
    bool stop;
    struct delays delays;
    struct log_gate gate;
    int n_threads;
    pthread_t threads[CORE_LOGIN_THREADS];
};

/* ---- answers ---- */

static void job_free(struct login_job *j)
{
    channel_peer_release(j->peer);
    client_release(j->client);
    explicit_bzero(j, sizeof *j);
    free(j);
}

/* RC_OK comes with a token, RC_PERM with the ms to hold it back. */
static void answer(struct login_job *j, enum rc rc, const uint8_t *token, uint32_t hold_ms)
{
    char bytes[1 + ACCOUNT_LEN + STORE_TOKEN_LEN];
    struct buf out = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    buf_u8(&out, (uint8_t)rc);
    if (token != NULL) {
        buf_u64(&out, j->account);
        buf_add(&out, str_of(token, STORE_TOKEN_LEN));
    } else if (rc == RC_PERM && j->type == STORE_MSG_LOGIN) {
        buf_u32(&out, hold_ms);
    }
    struct iovec iov = {.iov_base = out.ptr, .iov_len = out.len};
    channel_reply(j->peer, j->id, (uint8_t)(j->type | STORE_MSG_REPLY), &iov, 1, -1);
    job_free(j);
}

static void log_failed(struct login_pool *p, const struct login_job *j, int64_t now_ms)
{
    char from[NETADDR_TEXT];
    uint64_t left_out;
    if (log_gate_pass(&p->gate, &j->from, now_ms, &left_out))
        log_event(
            "core", STR_NONE, "login-failed", log_str("name", str_of(j->name, j->name_len)),
            log_cstr("from", j->from.family == NETADDR_NONE ? "-" : netaddr_text(&j->from, from)),
            log_u64("more_before", left_out), log_end);
}

static void answer_failed(struct login_pool *p, struct login_job *j)
{
    int64_t now = p->server->env->mono_ms(p->server->env);
    log_failed(p, j, now);
    pthread_mutex_lock(&p->lock);
    int64_t hold_ms = delays_failed(&p->delays, &j->from, now);
    pthread_mutex_unlock(&p->lock);
    answer(j, RC_PERM, NULL, (uint32_t)hold_ms);
}

/* ---- the work ---- */

static str_t secret_key(uint64_t account, char out[static sizeof SECRET_PREFIX + ACCOUNT_LEN])
{
    struct buf b = {.ptr = out,
                    .cap = sizeof SECRET_PREFIX + ACCOUNT_LEN,
                    .max = sizeof SECRET_PREFIX + ACCOUNT_LEN};
    buf_add(&b, STR(SECRET_PREFIX));
    buf_u64(&b, account);
    return buf_str(&b);
}

/* The account of a login name; 0: there is none. */
static enum store_rc find_account(struct login_pool *p, const struct login_job *j, struct arena *a,
                                  uint64_t *account)
{
    char key[STORE_KEY_MAX];
    size_t prefix = sizeof LOGIN_PREFIX - 1;
    bool present;
    str_t value;
    memcpy(key, LOGIN_PREFIX, prefix);
    memcpy(key + prefix, j->name, j->name_len);
    str_lower(key + prefix, j->name_len);
    *account = 0;
    enum store_rc rc = store_get1(p->server->engine, DIRECTORY_PART,
                                  str_of(key, prefix + j->name_len), a, &present, &value);
    if (rc != STORE_OK || !present)
        return rc;
    struct cursor c = cursor_of(value);
    *account = cursor_u64(&c);
    return cursor_end(&c) ? STORE_OK : STORE_DAMAGED;
}

static enum rc check(struct login_pool *p, struct login_job *j)
{
    struct arena a;
    char key[sizeof SECRET_PREFIX + ACCOUNT_LEN];
    bool present;
    str_t record = STR_NONE;
    arena_init(&a, READ_ARENA);
    enum store_rc rc = find_account(p, j, &a, &j->account);
    if (rc ==
        STORE_OK) /* also for account 0, which has no row: the same work for an unknown name */
        rc = store_get1(p->server->engine, SECRET_PART, secret_key(j->account, key), &a, &present,
                        &record);
    enum rc result = RC_TEMP;
    if (rc == STORE_OK)
        result = password_check(record, str_of(j->password, j->password_len));
    else
        log_event("core", STR_NONE, "login-error", log_cstr("store", store_rc_name(rc)),
                  log_str("name", str_of(j->name, j->name_len)), log_end);
    arena_free(&a);
    return result == RC_OK && j->account == 0 ? RC_PERM : result;
}

static bool session_add(struct core_server *cs, struct login_job *j,
                        uint8_t token[static STORE_TOKEN_LEN])
{
    struct core_client *c = j->client;
    cs->env->random(cs->env, token, STORE_TOKEN_LEN);
    pthread_mutex_lock(&c->lock);
    if (c->sessions == NULL && !c->closed)
        c->sessions = map_new(cs->map_key, CORE_SESSIONS);
    bool added =
        c->sessions != NULL && !c->closed &&
        map_put(c->sessions, str_of(token, STORE_TOKEN_LEN), (void *)(uintptr_t)j->account);
    pthread_mutex_unlock(&c->lock);
    return added;
}

static void run_login(struct login_pool *p, struct login_job *j)
{
    uint8_t token[STORE_TOKEN_LEN];
    enum rc rc = check(p, j);
    if (rc == RC_PERM) {
        answer_failed(p, j);
        return;
    }
    if (rc == RC_OK && !session_add(p->server, j, token))
        rc = RC_TEMP;
    if (rc == RC_OK) {
        pthread_mutex_lock(&p->lock);
        delays_succeeded(&p->delays, &j->from);
        pthread_mutex_unlock(&p->lock);
    }
    answer(j, rc, rc == RC_OK ? token : NULL, 0);
}

static void run_set_password(struct login_pool *p, struct login_job *j)
{
    uint8_t record[PASSWORD_RECORD];
    char key[sizeof SECRET_PREFIX + ACCOUNT_LEN];
    struct arena a;
    struct store_batch b;
    arena_init(&a, READ_ARENA);
    store_batch_init(&b, SECRET_PART, &a);
    enum rc rc = RC_OK;
    if (j->password_len == 0) {
        store_delete(&b, secret_key(j->account, key)); /* no record: no password fits */
    } else {
        rc = password_hash(p->server->env, str_of(j->password, j->password_len), record);
        store_put(&b, secret_key(j->account, key), str_of(record, sizeof record));
    }
    enum store_rc done = rc == RC_OK ? store_commit(p->server->engine, &b) : STORE_LIMIT;
    log_event("core", STR_NONE, "password-set", log_u64("account", j->account),
              log_cstr("result", store_rc_name(done)), log_end);
    arena_free(&a);
    answer(j, done == STORE_OK ? RC_OK : RC_TEMP, NULL, 0);
}

static struct login_job *next_job(struct login_pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->stop && list_empty(&p->waiting))
        pthread_cond_wait(&p->work, &p->lock);
    struct list *l = p->stop ? NULL : list_pop(&p->waiting);
    if (l != NULL)
        p->n_waiting--;
    pthread_mutex_unlock(&p->lock);
    return l != NULL ? list_entry(l, struct login_job, link) : NULL;
}

static void *pool_main(void *arg)
{
    struct login_pool *p = arg;
    struct env *env = p->server->env;
    for (struct login_job *j; (j = next_job(p)) != NULL;) {
        /* nobody waits for it any more */
        if (env->mono_ms(env) >= j->deadline_ms)
            answer(j, RC_TEMP, NULL, 0);
        else if (j->type == STORE_MSG_LOGIN)
            run_login(p, j);
        else
            run_set_password(p, j);
    }
    return NULL;
}

/* ---- requests ---- */

/* Queues the job; answers "try later" if the queue is full. */
static void submit(struct core_client *c, struct channel_peer *peer, uint64_t id,
                   enum store_msg type, const struct store_login_req *q, uint64_t account)
{
    struct login_pool *p = c->server->pool;
    struct login_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        client_reply_rc(peer, id, type, RC_TEMP);
        return;
    }
    *j = (struct login_job){
        .client = c, .peer = peer, .id = id, .type = type, .account = account, .from = q->from};
    uint32_t ms = q->head.timeout_ms > 0 ? q->head.timeout_ms : STORE_TIMEOUT_MAX_MS;
    j->deadline_ms = c->server->env->mono_ms(c->server->env) + ms;
    j->name_len = q->name.len;
    j->password_len = q->password.len;
    if (q->name.len > 0)
        memcpy(j->name, q->name.ptr, q->name.len);
    if (q->password.len > 0)
        memcpy(j->password, q->password.ptr, q->password.len);
    client_hold(c);
    channel_peer_hold(peer);
    pthread_mutex_lock(&p->lock);
    bool room = p->n_waiting < CORE_LOGIN_QUEUE && !p->stop;
    if (room) {
        list_push(&p->waiting, &j->link);
        p->n_waiting++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    if (!room)
        answer(j, RC_TEMP, NULL, 0);
}

bool core_login(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_login_req q;
    if (!store_login_decode(payload, &q))
        return false;
    if (c->table->login && !q.head.has_token) {
        submit(c, p, id, STORE_MSG_LOGIN, &q, 0);
        return true;
    }
    (void)client_denied(c, "login", DIRECTORY_PART, STR_NONE);
    client_reply_rc(p, id, STORE_MSG_LOGIN, RC_PERM);
    return true;
}

bool core_set_password(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    struct store_login_req q = {0};
    store_head_decode(&in, &q.head);
    uint64_t account = cursor_u64(&in);
    q.password = cursor_str16(&in);
    if (!cursor_end(&in) || q.password.len > STORE_PASSWORD_MAX)
        return false;
    if (c->table->set_password && !q.head.has_token && account != 0) {
        submit(c, p, id, STORE_MSG_SET_PASSWORD, &q, account);
        return true;
    }
    (void)client_denied(c, "set-password", SECRET_PART, STR_NONE);
    client_reply_rc(p, id, STORE_MSG_SET_PASSWORD, RC_PERM);
    return true;
}

bool core_logout(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    struct store_head head;
    store_head_decode(&in, &head);
    if (!cursor_end(&in) || !head.has_token)
        return false;
    pthread_mutex_lock(&c->lock);
    void *account =
        c->sessions != NULL ? map_del(c->sessions, str_of(head.token, STORE_TOKEN_LEN)) : NULL;
    pthread_mutex_unlock(&c->lock);
    client_reply_rc(p, id, STORE_MSG_LOGOUT, account != NULL ? STORE_OK : STORE_EXPIRED);
    return true;
}

/* ---- life ---- */

struct login_pool *login_pool_new(struct core_server *cs)
{
    struct login_pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->server = cs;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    list_init(&p->waiting);
    cs->env->random(cs->env, p->delays.key, sizeof p->delays.key);
    log_gate_init(&p->gate, p->delays.key);
    while (p->n_threads < CORE_LOGIN_THREADS &&
           pthread_create(&p->threads[p->n_threads], NULL, pool_main, p) == 0)
        p->n_threads++;
    if (p->n_threads > 0)
        return p;
    login_pool_free(p);
    return NULL;
}

void login_pool_free(struct login_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    for (struct list *l; (l = list_pop(&p->waiting)) != NULL;)
        answer(list_entry(l, struct login_job, link), RC_TEMP, NULL, 0);
    log_gate_free(&p->gate);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    explicit_bzero(p, sizeof *p);
    free(p);
}
