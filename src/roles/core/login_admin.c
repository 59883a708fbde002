/* login_admin.c: passwords and client certificates are set and taken away, for the administration.
 *
 * Each change is one durable batch that requires the record as it was read; whoever loses that race
 * reads again. A locked account keeps its passwords, which fit no more until it has a new main one.
 * When the account itself is gone from the directory, all that is here of it goes. */
#include "roles/core/login_impl.h"

#include "base/digest.h"

enum { ADMIN_ARENA = 512 << 10, TRIES = 3, PURGE_ROWS = 200 };

struct change {
    struct login_pool *pool;
    const struct login_job *job;
    struct arena arena;
    struct password_record record;
    str_t old;    /* the row as it was; empty: none */
    bool damaged; /* it is there but cannot be read: a new main password is the way out */
    bool deletes; /* the row goes */
};

static void fresh(struct env *env, struct password_record *r)
{
    env->random(env, &r->generation, sizeof r->generation);
}

/* For SCRAM the one that was shown before there was a record. */
static enum rc scram_salt(const struct change *c, uint8_t salt[static STORE_SCRAM_SALT])
{
    char name[STORE_ADDRESS_MAX + 1];
    struct env *env = c->pool->server->env;
    enum rc rc = login_account_name(c->pool, c->job->account, name);
    if (rc == RC_OK)
        return login_salt(c->pool, str_c(name), salt);
    if (rc == RC_PERM) /* no such account; then nobody asks for its salt either */
        env->random(env, salt, STORE_SCRAM_SALT);
    return rc == RC_PERM ? RC_OK : rc;
}

/* Salts for a record that has none. */
static enum rc begin_record(struct change *c)
{
    uint8_t salt[STORE_SCRAM_SALT];
    enum rc rc = scram_salt(c, salt);
    if (rc == RC_OK)
        password_init(&c->record, c->pool->server->env, salt);
    return rc;
}

/* For one more password: a record of version 1 has no salt for SCRAM yet. */
static enum rc complete_record(struct change *c)
{
    struct password_record *r = &c->record;
    if (c->old.len == 0)
        return begin_record(c);
    for (size_t i = 0; i < r->n; i++)
        if (r->entries[i].scram)
            return RC_OK;
    return scram_salt(c, r->scram_salt);
}

/* ---- passwords ---- */

static struct password *place(struct password_record *r, str_t name)
{
    int at = password_find(r, name);
    if (at >= 0)
        return &r->entries[at];
    /* the last place is the main password's */
    bool main = str_eq(name, STORE_PASSWORD_MAIN);
    bool has_main = password_find(r, STORE_PASSWORD_MAIN) >= 0;
    size_t max = (size_t)STORE_PASSWORDS_MAX - (main || has_main ? 0U : 1U);
    return r->n < max ? &r->entries[r->n++] : NULL;
}

static enum rc put(struct change *c, str_t name, unsigned uses)
{
    const struct store_password_req *q = &c->job->request;
    struct password_record *r = &c->record;
    struct password *e = place(r, name);
    if (e == NULL)
        return RC_PERM;
    *e = (struct password){.uses = uses, .made_day = login_today(c->pool)};
    memcpy(e->name, name.ptr, name.len);
    fresh(c->pool->server->env, r);
    return password_make(r, q->password, e);
}

/* Alone in its record it gets new salts, and what a hash costs today. */
static bool alone(const struct password_record *r)
{
    return r->n == 0 || (r->n == 1 && str_eq(str_c(r->entries[0].name), STORE_PASSWORD_MAIN));
}

static enum rc set_main(struct change *c)
{
    enum rc rc = alone(&c->record) ? begin_record(c) : RC_OK;
    c->record.locked = false;
    return rc == RC_OK ? put(c, STORE_PASSWORD_MAIN, STORE_USES_ALL) : rc;
}

static enum rc add(struct change *c)
{
    const struct store_password_req *q = &c->job->request;
    if (c->record.locked || q->uses == 0 || q->name.len == 0 || q->password.len == 0 ||
        memchr(q->name.ptr, 0, q->name.len) != NULL)
        return RC_PERM;
    enum rc rc = complete_record(c);
    return rc == RC_OK ? put(c, q->name, q->uses) : rc;
}

static enum rc take_away(struct change *c)
{
    struct password_record *r = &c->record;
    int at = password_find(r, c->job->request.name);
    if (at < 0)
        return RC_PERM;
    r->n--;
    memmove(&r->entries[at], &r->entries[at + 1], (r->n - (size_t)at) * sizeof *r->entries);
    digest_wipe(&r->entries[r->n], sizeof *r->entries);
    fresh(c->pool->server->env, r);
    return RC_OK;
}

/* An empty password: the account is locked, or gone. */
static enum rc lock(struct change *c)
{
    char name[STORE_ADDRESS_MAX + 1];
    enum rc rc = login_account_name(c->pool, c->job->account, name);
    c->deletes = rc == RC_PERM;
    if (rc == RC_OK && c->old.len == 0)
        rc = begin_record(c);
    c->record.locked = true;
    fresh(c->pool->server->env, &c->record);
    return rc == RC_TEMP ? RC_TEMP : RC_OK;
}

static enum rc edit(struct change *c)
{
    switch (c->job->type) {
    case STORE_MSG_SET_PASSWORD: return c->job->request.password.len > 0 ? set_main(c) : lock(c);
    case STORE_MSG_ADD_PASSWORD: return add(c);
    case STORE_MSG_REMOVE_PASSWORD: return take_away(c);
    case STORE_MSG_HELLO:
    case STORE_MSG_COMMIT:
    case STORE_MSG_GET:
    case STORE_MSG_SCAN:
    case STORE_MSG_SNAPSHOT_OPEN:
    case STORE_MSG_SNAPSHOT_CLOSE:
    case STORE_MSG_WATCH:
    case STORE_MSG_HINT_ACK:
    case STORE_MSG_LOGIN:
    case STORE_MSG_LOGOUT:
    case STORE_MSG_SCRAM:
    case STORE_MSG_LIST_PASSWORDS:
    case STORE_MSG_CERTIFICATE:
    case STORE_MSG_REQUESTS:
    case STORE_MSG_HINTS:
    case STORE_MSG_REPLY: break;
    }
    return RC_PERM;
}

static enum store_rc write_record(struct change *c)
{
    struct store_batch b;
    struct buf bytes;
    char key[SECRET_KEY_MAX];
    str_t k = secret_key("pw/", c->job->account, key);
    buf_init(&bytes, PASSWORD_RECORD_MAX);
    buf_room(&bytes, PASSWORD_RECORD_MAX);
    store_batch_init(&b, SECRET_PART, &c->arena);
    if (c->old.len > 0)
        store_require_equal(&b, k, c->old);
    else if (!c->damaged)
        store_require_absent(&b, k);
    if (c->deletes)
        store_delete(&b, k);
    else if (password_encode(&c->record, &bytes))
        store_put(&b, k, buf_str(&bytes));
    enum store_rc rc = bytes.failed ? STORE_LIMIT : store_commit(c->pool->server->engine, &b);
    if (bytes.ptr != NULL)
        explicit_bzero(bytes.ptr, bytes.cap);
    buf_free(&bytes);
    return rc;
}

static enum rc change_once(struct login_pool *p, const struct login_job *j, enum store_rc *done)
{
    struct change c = {.pool = p, .job = j};
    enum budgets_place place;
    arena_init(&c.arena, ADMIN_ARENA);
    *done = login_record(p, j->account, NULL, &c.arena, &c.record, &c.old, &place);
    if (*done == STORE_DAMAGED && j->type == STORE_MSG_SET_PASSWORD) {
        (void)password_decode(STR_NONE, &c.record);
        c.damaged = true;
        *done = STORE_OK;
    }
    enum rc rc = *done == STORE_OK ? edit(&c) : RC_TEMP;
    if (rc == RC_OK)
        *done = write_record(&c);
    digest_wipe(&c.record, sizeof c.record);
    arena_free(&c.arena);
    return rc == RC_OK && *done != STORE_OK ? RC_TEMP : rc;
}

/* ---- an account that is gone ---- */

/* One page of rows: where they are all of this account, or where their value says whose they are. */
struct purge {
    struct login_pool *pool;
    str_t prefix, owner; /* owner empty: all rows below the prefix */
    char from[STORE_KEY_MAX + 1];
    size_t from_len;
    bool more;
};

static enum store_rc purge_page(struct purge *u, struct arena *a)
{
    struct store_batch b;
    struct store_page page;
    struct store_scan q = {.part = SECRET_PART,
                           .from = str_of(u->from, u->from_len),
                           .end = store_prefix_end(a, u->prefix),
                           .rows_max = PURGE_ROWS};
    enum store_rc rc = store_scan(u->pool->server->engine, &q, a, &page);
    u->more = rc == STORE_OK && page.more && page.n > 0;
    if (rc != STORE_OK || page.n == 0)
        return rc;
    store_batch_init(&b, SECRET_PART, a);
    for (size_t i = 0; i < page.n; i++)
        if (u->owner.len == 0 || str_eq(page.rows[i].value, u->owner))
            store_delete(&b, page.rows[i].key);
    str_t last = page.rows[page.n - 1].key;
    memcpy(u->from, last.ptr, last.len);
    u->from[last.len] = '\0'; /* the first key after it */
    u->from_len = last.len + 1;
    u->more = u->more && u->from_len <= STORE_KEY_MAX;
    return b.n > 0 ? store_commit(u->pool->server->engine, &b) : STORE_OK;
}

static enum store_rc purge(struct login_pool *p, str_t prefix, str_t owner)
{
    struct purge u = {
        .pool = p, .prefix = prefix, .owner = owner, .from_len = prefix.len, .more = true};
    enum store_rc rc = STORE_OK;
    memcpy(u.from, prefix.ptr, prefix.len);
    while (rc == STORE_OK && u.more) {
        struct arena a;
        arena_init(&a, ADMIN_ARENA);
        rc = purge_page(&u, &a);
        arena_free(&a);
    }
    return rc;
}

static void account_bytes(uint64_t account, char out[static 8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(account >> (56 - 8 * i));
}

static enum rc forget(struct login_pool *p, uint64_t account)
{
    char key[SECRET_KEY_MAX], id[8];
    account_bytes(account, id);
    enum store_rc rc = purge(p, secret_key("known/", account, key), STR_NONE);
    if (rc == STORE_OK)
        rc = purge(p, STR("cert/"), str_of(id, sizeof id));
    return rc == STORE_OK ? RC_OK : RC_TEMP;
}

/* ---- certificates, and what there is ---- */

static enum rc certificate(struct login_pool *p, const struct login_job *j)
{
    struct arena a;
    struct store_batch b;
    char key[SECRET_KEY_MAX], id[8];
    bool present;
    str_t value, k = cert_key(j->request.password, key);
    account_bytes(j->account, id);
    arena_init(&a, ADMIN_ARENA);
    store_batch_init(&b, SECRET_PART, &a);
    enum store_rc rc = store_get1(p->server->engine, SECRET_PART, k, &a, &present, &value);
    bool ours = rc == STORE_OK && present && str_eq(value, str_of(id, sizeof id));
    enum rc result = rc != STORE_OK                             ? RC_TEMP
                     : ours || (!present && !j->request.remove) ? RC_OK
                                                                : RC_PERM;
    if (result == RC_OK && ours == j->request.remove) {
        if (j->request.remove)
            store_delete(&b, k);
        else
            store_put_new(&b, k, str_of(id, sizeof id));
        result = store_commit(p->server->engine, &b) == STORE_OK ? RC_OK : RC_TEMP;
    }
    arena_free(&a);
    return result;
}

static int64_t day_ms(uint32_t day)
{
    return (int64_t)day * 24 * 3600 * 1000;
}

static enum rc list(struct login_pool *p, const struct login_job *j, struct buf *out)
{
    struct arena a;
    struct password_record r;
    struct store_password_info info[STORE_PASSWORDS_MAX] = {0};
    enum budgets_place place;
    arena_init(&a, ADMIN_ARENA);
    enum store_rc rc = login_record(p, j->account, NULL, &a, &r, NULL, &place);
    for (size_t i = 0; rc == STORE_OK && i < r.n; i++) {
        memcpy(info[i].name, r.entries[i].name, sizeof info[i].name);
        info[i].uses = r.entries[i].uses;
        info[i].made_ms = day_ms(r.entries[i].made_day);
        info[i].used_ms = day_ms(r.entries[i].used_day);
    }
    bool ok = rc == STORE_OK && store_password_list_encode(out, info, r.n);
    digest_wipe(&r, sizeof r);
    arena_free(&a);
    return ok ? RC_OK : RC_TEMP;
}

static void answer_list(struct login_pool *p, struct login_job *j)
{
    struct buf out;
    buf_init(&out, PASSWORD_RECORD_MAX);
    enum rc rc = list(p, j, &out);
    if (rc == RC_OK) {
        struct iovec iov = {.iov_base = out.ptr, .iov_len = out.len};
        channel_reply(j->peer, j->id, (uint8_t)(j->type | STORE_MSG_REPLY), &iov, 1, -1);
        login_job_free(j);
    } else {
        login_answer_plain(j, rc);
    }
    buf_free(&out);
}

/* By it a login that was good may be none any more. Adding one of a name that is there replaces it. */
static bool takes_away(const struct login_job *j)
{
    return j->type != STORE_MSG_CERTIFICATE || j->request.remove;
}

void login_admin(struct login_pool *p, struct login_job *j)
{
    enum rc rc = RC_TEMP;
    enum store_rc done = STORE_CONFLICT;
    if (j->type == STORE_MSG_LIST_PASSWORDS) {
        answer_list(p, j);
        return;
    }
    if (j->type == STORE_MSG_CERTIFICATE)
        rc = certificate(p, j);
    else
        for (int i = 0; i < TRIES && done == STORE_CONFLICT; i++)
            rc = change_once(p, j, &done);
    if (rc == RC_OK && takes_away(j))
        login_revoke(p, j->account);
    char name[STORE_ADDRESS_MAX + 1];
    if (rc == RC_OK && j->type == STORE_MSG_SET_PASSWORD && j->request.password.len == 0 &&
        login_account_name(p, j->account, name) == RC_PERM)
        rc = forget(p, j->account);
    log_event("core", STR_NONE, "password-change", log_u64("account", j->account),
              log_cstr("what", j->type == STORE_MSG_CERTIFICATE       ? "certificate"
                               : j->type == STORE_MSG_ADD_PASSWORD    ? "add"
                               : j->type == STORE_MSG_REMOVE_PASSWORD ? "remove"
                               : j->request.password.len > 0          ? "set"
                                                                      : "lock"),
              log_cstr("result", rc_name(rc)), log_end);
    login_answer_plain(j, rc);
}
