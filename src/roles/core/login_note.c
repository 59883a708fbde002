/* login_note.c: what a login that succeeded leaves behind, at most once a day for each account and
 * address: that the account was there (so that nobody locks it out from there, see budgets.h), the day
 * the password was used, and SCRAM keys where a record has none yet.
 *
 * It is written after the answer, which does not depend on it; and durably, since reads do not see a
 * lazy batch, and who changes a password the next moment would read the record as it no longer is. */
#include "roles/core/login_impl.h"

#include "base/digest.h"

enum { NOTE_ARENA = 256 << 10, TRIES = 3 };

/* ---- today, in memory ---- */

static uint64_t pair(const struct login_pool *p, uint64_t account, const struct netaddr *from)
{
    char key[SECRET_KEY_MAX];
    size_t n = known_key(account, from, key).len;
    must(n < sizeof key);
    key[n] = (char)budgets_address(from);
    return siphash24(p->server->map_key, str_of(key, n + 1));
}

bool login_noted(struct login_pool *p, uint64_t account, const struct netaddr *from)
{
    uint64_t h = pair(p, account, from);
    return p->known[h % KNOWN_SLOTS].who == h && p->known[h % KNOWN_SLOTS].day == login_today(p);
}

static void set_noted(struct login_pool *p, uint64_t account, const struct netaddr *from)
{
    uint64_t h = pair(p, account, from);
    pthread_mutex_lock(&p->lock);
    p->known[h % KNOWN_SLOTS].who = h;
    p->known[h % KNOWN_SLOTS].day = login_today(p);
    pthread_mutex_unlock(&p->lock);
}

/* ---- networks ---- */

/* With LOGIN_KNOWN_MAX there already, the one not seen for the longest goes. */
static void drop_oldest(struct login_pool *p, uint64_t account, struct arena *a,
                        struct store_batch *b)
{
    char prefix[SECRET_KEY_MAX];
    struct store_page page;
    str_t from = secret_key("known/", account, prefix);
    struct store_scan q = {.part = SECRET_PART, .from = from, .end = store_prefix_end(a, from)};
    if (store_scan(p->server->engine, &q, a, &page) != STORE_OK || page.n < LOGIN_KNOWN_MAX)
        return;
    size_t oldest = 0;
    uint32_t oldest_day = UINT32_MAX;
    for (size_t i = 0; i < page.n; i++) {
        uint32_t day = known_last_day(page.rows[i].value);
        if (day < oldest_day) {
            oldest = i;
            oldest_day = day;
        }
    }
    store_delete(b, page.rows[oldest].key);
}

static void note_network(struct login_pool *p, const struct login_job *j, struct arena *a,
                         struct store_batch *b)
{
    char key[SECRET_KEY_MAX];
    bool present;
    str_t value;
    struct buf row;
    buf_init(&row, KNOWN_ROW_MAX);
    str_t k = arena_dup(a, known_key(j->account, &j->login.from, key));
    enum store_rc rc = store_get1(p->server->engine, SECRET_PART, k, a, &present, &value);
    bool there = rc == STORE_OK && present;
    /* another login from there may be noted just now */
    if (there)
        store_require_equal(b, k, value);
    else if (rc == STORE_OK)
        store_require_absent(b, k);
    if (rc == STORE_OK && !present)
        drop_oldest(p, j->account, a, b);
    if (known_note(there ? value : STR_NONE, &j->login.from, login_today(p), &row))
        store_put(b, k, arena_dup(a, buf_str(&row)));
    buf_free(&row);
}

/* ---- the record ---- */

static bool give_scram(struct login_pool *p, const struct login_job *j, struct password_record *r)
{
    struct password *e = &r->entries[j->which];
    if (e->scram || j->login.proof != STORE_PROOF_PASSWORD ||
        login_salt(p, j->login.name, r->scram_salt) != RC_OK ||
        password_make_scram(r, j->login.password, e) != RC_OK)
        return false;
    p->server->env->random(p->server->env, &r->generation, sizeof r->generation);
    return true;
}

/* Puts the record with what has changed into the batch, if anything has. */
static void note_record(struct login_pool *p, const struct login_job *j, struct password_record *r,
                        str_t old, str_t key, struct arena *a, struct store_batch *b)
{
    struct password *e = &r->entries[j->which];
    struct buf bytes;
    bool dated = e->used_day != login_today(p);
    if (!give_scram(p, j, r) && !dated)
        return;
    e->used_day = login_today(p);
    buf_init(&bytes, PASSWORD_RECORD_MAX);
    password_encode(r, &bytes);
    store_require_equal(b, key, old);
    store_put(b, key, arena_dup(a, buf_str(&bytes)));
    explicit_bzero(bytes.ptr, bytes.cap);
    buf_free(&bytes);
}

/* It is still the record that was checked against. */
static bool same(const struct password_record *now, const struct password_record *checked)
{
    return now->generation == checked->generation && now->n == checked->n;
}

/* What is to be written; STORE_DENIED: nothing, since the account was removed meanwhile: nothing of it
 * is to be left, and its record is the first that goes (login_admin.c). */
static enum store_rc fill(struct login_pool *p, const struct login_job *j,
                          const struct password_record *checked, struct arena *a,
                          struct store_batch *b)
{
    struct password_record now;
    enum budgets_place place;
    char key[SECRET_KEY_MAX], name[STORE_ADDRESS_MAX + 1];
    str_t old, k = arena_dup(a, secret_key("pw/", j->account, key));
    enum store_rc rc = login_record(p, j->account, &j->login.from, a, &now, &old, &place);
    if (rc == STORE_OK && old.len == 0 && login_account_name(p, j->account, name) == RC_PERM)
        rc = STORE_DENIED;
    if (rc == STORE_OK && old.len > 0)
        store_require_present(b, k);
    if (rc == STORE_OK)
        note_network(p, j, a, b);
    if (rc == STORE_OK && j->which >= 0 && old.len > 0 && same(&now, checked))
        note_record(p, j, &now, old, k, a, b);
    digest_wipe(&now, sizeof now);
    return rc;
}

void login_note(struct login_pool *p, const struct login_job *j,
                const struct password_record *record)
{
    enum store_rc rc = STORE_CONFLICT;
    pthread_mutex_lock(&p->lock);
    bool noted = login_noted(p, j->account, &j->login.from);
    pthread_mutex_unlock(&p->lock);
    bool complete = j->which < 0 || record->entries[j->which].scram;
    if (noted && complete)
        return;
    for (int i = 0; i < TRIES && rc == STORE_CONFLICT; i++) {
        struct arena a;
        struct store_batch b;
        arena_init(&a, NOTE_ARENA);
        store_batch_init(&b, SECRET_PART, &a);
        rc = fill(p, j, record, &a, &b);
        rc = rc == STORE_OK ? store_commit(p->server->engine, &b) : rc;
        arena_free(&a);
    }
    if (rc == STORE_OK)
        set_noted(p, j->account, &j->login.from);
    else if (rc != STORE_DENIED)
        log_event("core", STR_NONE, "login-not-noted", log_u64("account", j->account),
                  log_cstr("store", store_rc_name(rc)), log_end);
}
