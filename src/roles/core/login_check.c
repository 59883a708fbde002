/* login_check.c: who is it that wants to log in, and is the proof right? See logins.c.
 *
 * Core computes on bytes it does not look into: a password, or a SCRAM proof and the message it is
 * about. What they are part of (RFC 5802's messages) was taken apart by the role that asks. */
#include "roles/core/login_impl.h"

#include "base/digest.h"
#include "post/directory_row.h"

enum { READ_ARENA = 64 << 10, FAKE_SALT = 32 };

#define LOGIN_PREFIX "login/"
_Static_assert(sizeof LOGIN_PREFIX - 1 + STORE_NAME_MAX <= STORE_KEY_MAX,
               "a login's row has a key");

/* ---- rows ---- */

static struct buf key_buf(char out[static SECRET_KEY_MAX])
{
    return (struct buf){.ptr = out, .cap = SECRET_KEY_MAX, .max = SECRET_KEY_MAX};
}

str_t secret_key(const char *prefix, uint64_t account, char out[static SECRET_KEY_MAX])
{
    struct buf b = key_buf(out);
    buf_add(&b, str_c(prefix));
    buf_u64(&b, account);
    return buf_str(&b);
}

str_t known_key(uint64_t account, const struct netaddr *from, char out[static SECRET_KEY_MAX])
{
    char network[BUDGETS_NETWORK_MAX];
    struct buf b = key_buf(out);
    buf_add(&b, STR("known/"));
    buf_u64(&b, account);
    buf_add(&b, budgets_network(from, network));
    return buf_str(&b);
}

str_t cert_key(str_t sha256, char out[static SECRET_KEY_MAX])
{
    struct buf b = key_buf(out);
    buf_add(&b, STR("cert/"));
    buf_add(&b, sha256);
    return buf_str(&b);
}

uint32_t login_today(struct login_pool *p)
{
    return (uint32_t)(p->server->env->wall_ms(p->server->env) / (24 * 3600 * 1000));
}

static enum store_rc get_u64(struct login_pool *p, part_t part, str_t key, struct arena *a,
                             uint64_t *out)
{
    bool present;
    str_t value;
    *out = 0;
    enum store_rc rc = store_get1(p->server->engine, part, key, a, &present, &value);
    if (rc != STORE_OK || !present)
        return rc;
    return directory_u64_decode(value, out) ? STORE_OK : STORE_DAMAGED;
}

enum store_rc login_account(struct login_pool *p, str_t name, struct arena *a, uint64_t *account)
{
    char key[STORE_KEY_MAX];
    size_t prefix = sizeof LOGIN_PREFIX - 1;
    memcpy(key, LOGIN_PREFIX, prefix);
    memcpy(key + prefix, name.len > 0 ? name.ptr : "", name.len);
    return get_u64(p, DIRECTORY_PART, str_of(key, prefix + name.len), a, account);
}

enum store_rc login_record(struct login_pool *p, uint64_t account, const struct netaddr *from,
                           struct arena *a, struct password_record *record, str_t *old,
                           enum budgets_place *place)
{
    static const struct netaddr nowhere;
    char secret[SECRET_KEY_MAX], network[SECRET_KEY_MAX];
    str_t keys[] = {secret_key("pw/", account, secret),
                    known_key(account, from != NULL ? from : &nowhere, network)};
    struct store_value values[2];
    if (old != NULL)
        *old = STR_NONE;
    enum store_rc rc = store_get(p->server->engine, SECRET_PART, keys, 2, a, values);
    rc = rc == STORE_OK ? values[0].rc : rc;
    rc = rc == STORE_OK ? values[1].rc : rc;
    if (rc != STORE_OK)
        return rc;
    bool there = password_decode(values[0].present ? values[0].value : STR_NONE, record);
    str_t seen = account != 0 && values[1].present ? values[1].value : STR_NONE;
    *place = known_place(seen, from != NULL ? from : &nowhere, login_today(p));
    if (old != NULL)
        *old = values[0].present ? values[0].value : STR_NONE;
    return values[0].present && !there ? STORE_DAMAGED : STORE_OK;
}

enum rc login_account_name(struct login_pool *p, uint64_t account, char out[STORE_ADDRESS_MAX + 1])
{
    struct arena a;
    bool present = false;
    str_t value, name = STR_NONE;
    arena_init(&a, READ_ARENA);
    enum store_rc rc = store_get1(p->server->engine, DIRECTORY_PART,
                                  directory_key_account(account, &a), &a, &present, &value);
    bool there = rc == STORE_OK && present && directory_account_decode(value, &name) &&
                 name.len <= STORE_ADDRESS_MAX;
    if (there) {
        memcpy(out, name.ptr, name.len);
        out[name.len] = '\0';
    }
    arena_free(&a);
    return there ? RC_OK : rc == STORE_OK ? RC_PERM : RC_TEMP;
}

/* ---- salts ---- */

/* Made the first time anybody asks. */
static enum rc fake_salt(struct login_pool *p)
{
    struct env *env = p->server->env;
    struct arena a;
    struct store_batch b;
    bool present;
    str_t value;
    uint8_t fresh[FAKE_SALT];
    arena_init(&a, READ_ARENA);
    enum store_rc rc =
        store_get1(p->server->engine, SECRET_PART, STR("fake-salt"), &a, &present, &value);
    if (rc == STORE_OK && !present) {
        env->random(env, fresh, sizeof fresh);
        value = str_of(fresh, sizeof fresh);
        store_batch_init(&b, SECRET_PART, &a);
        store_put_new(&b, STR("fake-salt"), value);
        rc = store_commit(p->server->engine, &b);
    }
    if (rc == STORE_OK && value.len == FAKE_SALT) {
        memcpy(p->salt, value.ptr, FAKE_SALT);
        p->have_salt = true;
    }
    arena_free(&a);
    return p->have_salt ? RC_OK : RC_TEMP;
}

enum rc login_salt(struct login_pool *p, str_t name, uint8_t salt[static STORE_SCRAM_SALT])
{
    uint8_t mac[DIGEST_MAX];
    pthread_mutex_lock(&p->salt_lock);
    enum rc rc = p->have_salt ? RC_OK : fake_salt(p);
    pthread_mutex_unlock(&p->salt_lock);
    if (rc != RC_OK || !digest_hmac(DIGEST_SHA256, str_of(p->salt, FAKE_SALT), name, mac))
        return RC_TEMP;
    memcpy(salt, mac, STORE_SCRAM_SALT);
    return RC_OK;
}

/* ---- checks ---- */

enum rc login_entry(struct login_job *j, const struct password_record *record, int which)
{
    const struct password *e = &record->entries[which];
    if (record->locked)
        return RC_PERM;
    j->which = which;
    memcpy(j->password_name, e->name, sizeof j->password_name);
    if (j->login.name.len > STORE_ADDRESS_MAX)
        return RC_PERM; /* no address is so long */
    memcpy(j->address, j->login.name.ptr, j->login.name.len);
    j->address[j->login.name.len] = '\0';
    return (e->uses & (unsigned)j->login.use) != 0 ? RC_OK : RC_PERM;
}

static void remember(struct login_pool *p, const struct login_job *j,
                     const struct password_record *record, int which)
{
    struct verified_mark m;
    if (p->cache_ms == 0 ||
        !verified_mark(p->verified.key, j->login.name, record->generation, j->login.password, &m))
        return;
    pthread_mutex_lock(&p->lock);
    verified_put(&p->verified, &m, which, p->server->env->mono_ms(p->server->env) + p->cache_ms);
    pthread_mutex_unlock(&p->lock);
}

static enum rc by_password(struct login_pool *p, struct login_job *j,
                           const struct password_record *record)
{
    int which = j->which;
    if (j->verified && j->generation == record->generation && which < (int)record->n)
        return login_entry(j, record, which);
    j->which = -1;
    enum rc rc = password_check(record, j->login.password, j->login.use, &which);
    if (rc == RC_OK || rc == RC_PERM)
        remember(p, j, record, which);
    return rc == RC_OK ? login_entry(j, record, which) : rc;
}

static enum rc by_scram(struct login_job *j, const struct password_record *record)
{
    int which;
    enum rc rc = password_check_scram(record, &j->login, &which, j->signature);
    j->signature_len = j->login.hash_bits == 256 ? 32 : 20;
    return rc == RC_OK ? login_entry(j, record, which) : rc;
}

/* The proof says who it is; a name, where one was given, must be the same account's. */
static enum rc by_other(struct login_pool *p, struct login_job *j, uint64_t account,
                        const char *called, struct password_record *record)
{
    struct arena a;
    enum budgets_place place;
    if (account == 0 || (j->login.name.len > 0 && j->account != account))
        return RC_PERM;
    enum rc rc = login_account_name(p, account, j->address);
    if (rc != RC_OK)
        return rc;
    arena_init(&a, READ_ARENA);
    enum store_rc read = login_record(p, account, &j->login.from, &a, record, NULL, &place);
    arena_free(&a);
    if (read != STORE_OK)
        return RC_TEMP;
    j->account = account;
    memcpy(j->password_name, called, strlen(called) + 1);
    return record->locked ? RC_PERM : RC_OK;
}

static enum rc by_certificate(struct login_pool *p, struct login_job *j, struct arena *a,
                              struct password_record *record)
{
    char key[SECRET_KEY_MAX];
    uint64_t account;
    if (get_u64(p, SECRET_PART, cert_key(j->login.cert_sha256, key), a, &account) != STORE_OK)
        return RC_TEMP;
    return by_other(p, j, account, "certificate", record);
}

/* After whoever checks tokens has said whose it is (core_token_done). */
static enum rc by_token(struct login_pool *p, struct login_job *j, struct arena *a,
                        struct password_record *record)
{
    uint64_t account;
    if (!j->token_asked || j->token_rc != RC_OK)
        return j->token_asked ? j->token_rc : RC_PERM;
    if (login_account(p, str_c(j->address), a, &account) != STORE_OK)
        return RC_TEMP;
    return by_other(p, j, account, "token", record);
}

enum rc login_check(struct login_pool *p, struct login_job *j, struct password_record *record)
{
    struct arena a;
    enum budgets_place place;
    enum rc rc = RC_TEMP;
    arena_init(&a, READ_ARENA);
    /* read again: it may have changed while the job waited */
    enum store_rc read = login_record(p, j->account, &j->login.from, &a, record, NULL, &place);
    if (read == STORE_OK)
        switch (j->login.proof) {
        case STORE_PROOF_PASSWORD: rc = by_password(p, j, record); break;
        case STORE_PROOF_SCRAM: rc = by_scram(j, record); break;
        case STORE_PROOF_CERTIFICATE: rc = by_certificate(p, j, &a, record); break;
        case STORE_PROOF_TOKEN: rc = by_token(p, j, &a, record); break;
        }
    arena_free(&a);
    if (rc != RC_OK)
        j->signature_len = 0;
    return rc;
}
