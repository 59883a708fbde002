/* logins.c: who asks to log in is answered, now or by the pool; sessions of accounts.
 *
 * A login names an account by the directory's row login/NAME (the account's id as u64, see
 * post/directory.h). Nobody learns whether the name or the password was wrong: both cost the same
 * reads and the same hash, and get the same answer.
 *
 * In this order: what was verified a moment ago is answered at once (verified.h); who has used up a
 * budget is told "later" at once, before anything is hashed (budgets.h); the rest waits in a bounded
 * queue, those first who come from where the account has logged in before. A failed answer names how
 * long it is to be held back (delays.h): the role that asked holds it, where that takes no thread.
 * The machine itself, and networks the operator trusts, have no budgets: whoever sits in front of us
 * is everybody.
 *
 * A session is a random token that is good on the channel it was made on, for one use, until a
 * password of the account is changed or taken away. */
#include <stdlib.h>

#include "roles/core/login_impl.h"

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a session's map holds account ids as pointers");

enum {
    BUSY_HOLD_MS = 2000, /* "later" for strangers: they would come again at once */
    USE_BITS = 2,        /* a session in the map: account << USE_BITS | use */
};

/* ---- sessions ---- */

static bool session_add(struct core_server *cs, const struct login_job *j,
                        uint8_t token[static STORE_TOKEN_LEN])
{
    struct core_client *c = j->client;
    void *session = (void *)(uintptr_t)(j->account << USE_BITS | (unsigned)j->login.use);
    cs->env->random(cs->env, token, STORE_TOKEN_LEN);
    pthread_mutex_lock(&c->lock);
    if (c->sessions == NULL && !c->closed)
        c->sessions = map_new(cs->map_key, CORE_SESSIONS);
    bool added = c->sessions != NULL && !c->closed &&
                 map_put(c->sessions, str_of(token, STORE_TOKEN_LEN), session);
    pthread_mutex_unlock(&c->lock);
    return added;
}

static void session_drop(struct core_client *c, const uint8_t token[static STORE_TOKEN_LEN])
{
    pthread_mutex_lock(&c->lock);
    if (c->sessions != NULL)
        map_del(c->sessions, str_of(token, STORE_TOKEN_LEN));
    pthread_mutex_unlock(&c->lock);
}

/* False: the account has lost something since the record was read, which may be what this login is
 * by. After session_add, so that either login_revoke finds the session or this the change. */
static bool still_good(struct login_pool *p, const struct login_job *j)
{
    return atomic_load(&p->changed[j->account % CHANGED_SLOTS]) <= j->begun;
}

static bool is_of(str_t key, void *value, void *user)
{
    (void)key;
    return (uint64_t)(uintptr_t)value >> USE_BITS == *(const uint64_t *)user;
}

void login_revoke(struct login_pool *p, uint64_t account)
{
    struct core_server *cs = p->server;
    pthread_mutex_lock(&cs->lock);
    atomic_store(&p->changed[account % CHANGED_SLOTS], atomic_fetch_add(&p->changes, 1) + 1);
    for (struct list *l = cs->clients.next; l != &cs->clients; l = l->next) {
        struct core_client *c = list_entry(l, struct core_client, link);
        pthread_mutex_lock(&c->lock);
        if (c->sessions != NULL)
            map_each(c->sessions, is_of, &account);
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&cs->lock);
}

bool client_session(struct core_client *c, const uint8_t token[static STORE_TOKEN_LEN],
                    struct grant *out)
{
    pthread_mutex_lock(&c->lock);
    void *session =
        c->sessions != NULL ? map_get(c->sessions, str_of(token, STORE_TOKEN_LEN)) : NULL;
    pthread_mutex_unlock(&c->lock);
    uint64_t bits = (uint64_t)(uintptr_t)session;
    *out = (struct grant){.table = (bits & STORE_USE_SEND) != 0 ? &permissions_sender
                                                                : &permissions_session,
                          .account = bits >> USE_BITS};
    return session != NULL;
}

bool core_logout(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct cursor in = cursor_of(payload);
    struct store_head head;
    store_head_decode(&in, &head);
    if (!cursor_end(&in) || !head.has_token)
        return false;
    pthread_mutex_lock(&c->lock);
    void *session =
        c->sessions != NULL ? map_del(c->sessions, str_of(head.token, STORE_TOKEN_LEN)) : NULL;
    pthread_mutex_unlock(&c->lock);
    client_reply_rc(p, id, STORE_MSG_LOGOUT, session != NULL ? STORE_OK : STORE_EXPIRED);
    return true;
}

/* ---- answers ---- */

void login_job_free(struct login_job *j)
{
    channel_peer_release(j->peer);
    client_release(j->client);
    explicit_bzero(j, sizeof *j + j->len);
    free(j);
}

void login_answer_plain(struct login_job *j, enum rc rc)
{
    client_reply_rc(j->peer, j->id, j->type, (uint8_t)rc);
    login_job_free(j);
}

static void reply(const struct login_job *j, const struct store_login_reply *r)
{
    char bytes[STORE_LOGIN_REPLY_MAX];
    struct buf out = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    store_login_reply_encode(&out, r);
    struct iovec iov = {.iov_base = out.ptr, .iov_len = out.len};
    channel_reply(j->peer, j->id, (uint8_t)(j->type | STORE_MSG_REPLY), &iov, 1, -1);
}

static void log_refused(struct login_pool *p, const struct login_job *j, const char *event,
                        const char *why, int64_t now_ms)
{
    char from[NETADDR_TEXT];
    uint64_t left_out;
    const struct netaddr *a = &j->login.from;
    if (log_gate_pass(&p->gate, a, now_ms, &left_out))
        log_event("core", STR_NONE, event, log_str("name", j->login.name),
                  log_cstr("from", a->family == NETADDR_NONE ? "-" : netaddr_text(a, from)),
                  log_cstr("use", j->login.use == STORE_USE_SEND ? "send" : "read"),
                  log_cstr("reason", why), log_u64("more_before", left_out), log_end);
}

/* How long this failure is held back; wrong ones stay paid for. */
static uint32_t settle_failed(struct login_pool *p, struct login_job *j, enum rc rc, int64_t now_ms)
{
    int64_t hold_ms = 0;
    pthread_mutex_lock(&p->lock);
    if (rc == RC_PERM)
        hold_ms = delays_failed(&p->delays, &j->login.from, now_ms);
    else if (j->stranger)
        hold_ms = BUSY_HOLD_MS;
    if (rc != RC_PERM && j->paid)
        budgets_give_back(&p->budgets, &j->budget, now_ms);
    pthread_mutex_unlock(&p->lock);
    return (uint32_t)hold_ms;
}

static void settle_good(struct login_pool *p, struct login_job *j, int64_t now_ms)
{
    pthread_mutex_lock(&p->lock);
    p->logins++;
    delays_succeeded(&p->delays, &j->login.from);
    if (j->paid)
        budgets_give_back(&p->budgets, &j->budget, now_ms);
    pthread_mutex_unlock(&p->lock);
}

/* Without freeing the job: what is to be noted of a success comes after the answer. */
static void answer(struct login_pool *p, struct login_job *j, enum rc rc)
{
    struct store_login_reply r = {.account = j->account,
                                  .address = str_c(j->address),
                                  .password_name = str_c(j->password_name),
                                  .signature = str_of(j->signature, j->signature_len)};
    int64_t now = p->server->env->mono_ms(p->server->env);
    if (rc == RC_OK && !session_add(p->server, j, r.token))
        rc = RC_TEMP;
    if (rc == RC_OK && !still_good(p, j)) {
        session_drop(j->client, r.token);
        rc = RC_TEMP;
    }
    r.rc = rc;
    if (rc == RC_OK)
        settle_good(p, j, now);
    else
        r.hold_ms = settle_failed(p, j, rc, now);
    if (rc == RC_PERM)
        log_refused(p, j, "login-failed", j->which >= 0 ? "not for this use" : "wrong", now);
    reply(j, &r);
}

void login_answer(struct login_pool *p, struct login_job *j, enum rc rc)
{
    answer(p, j, rc);
    login_job_free(j);
}

/* Pool thread: the whole of a login. */
void login_run(struct login_pool *p, struct login_job *j)
{
    struct password_record record;
    enum rc rc = login_check(p, j, &record);
    answer(p, j, rc);
    if (rc == RC_OK)
        login_note(p, j, &record);
    digest_wipe(&record, sizeof record);
    login_job_free(j);
}

/* ---- what needs no hash ---- */

static bool trusted(const struct login_pool *p, const struct netaddr *from)
{
    const struct settings *s = p->rules;
    if (from->family == NETADDR_NONE || from->family == NETADDR_UNIX || netaddr_loopback(from))
        return true;
    if (s == NULL)
        return false;
    const struct {
        const struct netaddr_net *nets;
        size_t n;
    } nets[] = {{s->relay_networks, s->n_relay_networks},
                {s->proxy_networks, s->n_proxy_networks},
                {s->xclient_networks, s->n_xclient_networks}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (size_t k = 0; k < nets[i].n; k++)
            if (netaddr_in(&nets[i].nets[k], from))
                return true;
    const struct {
        const struct netaddr *at;
        size_t n;
    } own[] = {{s->listen_smtp, s->n_listen_smtp},
               {s->listen_lmtp, s->n_listen_lmtp},
               {s->listen_pop3, s->n_listen_pop3},
               {s->listen_submission, s->n_listen_submission},
               {s->listen_submissions, s->n_listen_submissions}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        for (size_t k = 0; k < own[i].n; k++)
            if (netaddr_eq(&own[i].at[k], from))
                return true;
    return false;
}

/* Was this very password checked a moment ago? True: the job was answered, and is gone. */
static bool answer_known(struct login_pool *p, struct login_job *j,
                         const struct password_record *record)
{
    struct verified_mark m;
    if (p->cache_ms == 0 || j->login.proof != STORE_PROOF_PASSWORD ||
        !verified_mark(p->verified.key, j->login.name, record->generation, j->login.password, &m))
        return false;
    int which;
    pthread_mutex_lock(&p->lock);
    enum verified_result r =
        verified_find(&p->verified, &m, p->server->env->mono_ms(p->server->env), &which);
    bool noted = login_noted(p, j->account, &j->login.from);
    pthread_mutex_unlock(&p->lock);
    if (r == VERIFIED_WRONG) {
        login_answer(p, j, RC_PERM);
        return true;
    }
    if (r == VERIFIED_UNKNOWN || which < 0 || (size_t)which >= record->n)
        return false;
    j->verified = true;
    j->which = which;
    j->generation = record->generation;
    if (!noted) /* right, but the pool has something to write down */
        return false;
    login_answer(p, j, login_entry(j, record, which));
    return true;
}

/* Takes what the try costs. False: it is used up, and the job was answered and is gone. */
static bool pay(struct login_pool *p, struct login_job *j, enum budgets_place place)
{
    if (!j->stranger || j->verified)
        return true;
    int64_t now = p->server->env->mono_ms(p->server->env);
    enum budget which;
    j->budget = (struct budgets_try){
        .from = j->login.from, .name = j->login.name, .account = j->account, .place = place};
    pthread_mutex_lock(&p->lock);
    j->paid = budgets_take(&p->budgets, &j->budget, now, &which);
    p->refused += !j->paid;
    pthread_mutex_unlock(&p->lock);
    if (j->paid)
        return true;
    log_refused(p, j, "login-later", budget_name(which), now);
    reply(j, &(struct store_login_reply){.rc = RC_TEMP, .hold_ms = DELAYS_MOST_MS});
    login_job_free(j);
    return false;
}

static void start(struct core_client *c, struct login_job *j)
{
    struct login_pool *p = c->server->pool;
    struct password_record record;
    enum budgets_place place = BUDGETS_STRANGE;
    j->stranger = !trusted(p, &j->login.from);
    j->begun = atomic_load(&p->changes);
    enum store_rc rc = login_account(p, j->login.name, &c->arena, &j->account);
    if (rc == STORE_OK)
        rc = login_record(p, j->account, &j->login.from, &c->arena, &record, NULL, &place);
    if (rc != STORE_OK) {
        log_event("core", STR_NONE, "login-error", log_cstr("store", store_rc_name(rc)),
                  log_str("name", j->login.name), log_end);
        login_answer(p, j, RC_TEMP);
        return;
    }
    bool gone = answer_known(p, j, &record) || !pay(p, j, place);
    digest_wipe(&record, sizeof record);
    if (!gone && !login_pool_add(p, j, place != BUDGETS_STRANGE || j->verified))
        login_answer(p, j, RC_TEMP);
}

/* ---- requests ---- */

static str_t keep(struct login_job *j, str_t s)
{
    char *to = j->bytes + j->len;
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    j->len += s.len;
    return str_of(to, s.len);
}

static struct login_job *job_new(struct core_client *c, struct channel_peer *peer, uint64_t id,
                                 enum store_msg type, uint32_t timeout_ms, size_t room)
{
    struct login_job *j = calloc(1, sizeof *j + room);
    if (j == NULL)
        return NULL;
    uint32_t ms = timeout_ms > 0 ? timeout_ms : STORE_TIMEOUT_MAX_MS;
    *j = (struct login_job){.client = c, .peer = peer, .id = id, .type = type, .which = -1};
    j->deadline_ms = c->server->env->mono_ms(c->server->env) + ms;
    list_init(&j->link);
    client_hold(c);
    channel_peer_hold(peer);
    return j;
}

bool core_login(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_login_req q;
    if (!store_login_decode(payload, &q))
        return false;
    if (!c->table->login || q.head.has_token) {
        (void)client_denied(c, "login", DIRECTORY_PART, STR_NONE);
        client_reply_rc(p, id, STORE_MSG_LOGIN, RC_PERM);
        return true;
    }
    struct login_job *j = job_new(c, p, id, STORE_MSG_LOGIN, q.head.timeout_ms, payload.len);
    if (j == NULL) {
        client_reply_rc(p, id, STORE_MSG_LOGIN, RC_TEMP);
        return true;
    }
    j->login = q.login;
    j->login.name = keep(j, q.login.name);
    str_lower(j->bytes, j->login.name.len);
    j->login.password = keep(j, q.login.password);
    j->login.auth_message = keep(j, q.login.auth_message);
    j->login.client_proof = keep(j, q.login.client_proof);
    j->login.cert_sha256 = keep(j, q.login.cert_sha256);
    start(c, j);
    return true;
}

bool core_scram(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    struct store_password_req q;
    if (!store_password_decode(payload, STORE_MSG_SCRAM, &q))
        return false;
    if (!c->table->login || q.head.has_token) {
        (void)client_denied(c, "scram", DIRECTORY_PART, STR_NONE);
        client_reply_rc(p, id, STORE_MSG_SCRAM, RC_PERM);
        return true;
    }
    struct login_pool *pool = c->server->pool;
    struct password_record record;
    uint8_t salt[STORE_SCRAM_SALT];
    char name[STORE_NAME_MAX];
    uint64_t account;
    enum budgets_place place;
    memcpy(name, q.name.len > 0 ? q.name.ptr : "", q.name.len);
    str_lower(name, q.name.len);
    bool ok = login_salt(pool, str_of(name, q.name.len), salt) == RC_OK &&
              login_account(pool, str_of(name, q.name.len), &c->arena, &account) == STORE_OK &&
              login_record(pool, account, NULL, &c->arena, &record, NULL, &place) == STORE_OK;
    if (!ok) {
        client_reply_rc(p, id, STORE_MSG_SCRAM, RC_TEMP);
        return true;
    }
    bool has_keys = record.n > 0 && record.entries[0].scram;
    buf_u8(&c->out, RC_OK);
    buf_add(&c->out, str_of(has_keys ? record.scram_salt : salt, STORE_SCRAM_SALT));
    buf_u32(&c->out, has_keys ? record.iterations : password_cost.iterations);
    digest_wipe(&record, sizeof record);
    client_reply(c, p, id, STORE_MSG_SCRAM, &c->out);
    return true;
}

/* What the administration asks goes to the pool too, before all strangers. */
static bool administer(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload,
                       enum store_msg type)
{
    struct store_password_req q;
    if (!store_password_decode(payload, type, &q))
        return false;
    if (!c->table->set_password || q.head.has_token || q.account == 0) {
        (void)client_denied(c, "set-password", SECRET_PART, STR_NONE);
        client_reply_rc(p, id, type, RC_PERM);
        return true;
    }
    struct login_job *j = job_new(c, p, id, type, q.head.timeout_ms, payload.len);
    if (j == NULL) {
        client_reply_rc(p, id, type, RC_TEMP);
        return true;
    }
    j->account = q.account;
    j->request = q;
    j->request.name = keep(j, q.name);
    j->request.password = keep(j, q.password);
    if (!login_pool_add(c->server->pool, j, true))
        login_answer_plain(j, RC_TEMP);
    return true;
}

bool core_set_password(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    return administer(c, p, id, payload, STORE_MSG_SET_PASSWORD);
}

bool core_add_password(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    return administer(c, p, id, payload, STORE_MSG_ADD_PASSWORD);
}

bool core_remove_password(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    return administer(c, p, id, payload, STORE_MSG_REMOVE_PASSWORD);
}

bool core_list_passwords(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    return administer(c, p, id, payload, STORE_MSG_LIST_PASSWORDS);
}

bool core_certificate(struct core_client *c, struct channel_peer *p, uint64_t id, str_t payload)
{
    return administer(c, p, id, payload, STORE_MSG_CERTIFICATE);
}
