/* password.c: see password.h.
 *
 *     version 1   u8 1, u32 KiB, u32 passes, u8 lanes, salt, hash: one password, "main"
 *     version 2   u8 2, u8 flags (1: locked), u64 generation, u32 KiB, u32 passes, u8 lanes, salt,
 *                 16 bytes SCRAM salt, u32 iterations, u8 n, n times: name, u8 flags (uses; 128: it
 *                 has SCRAM keys), u32 made, u32 used, hash, four keys */
#include "roles/core/password.h"

#include <argon2.h>
#include <stdatomic.h>

#include "base/cursor.h"
#include "proto/sasl/scram_keys.h"

enum {
    VERSION_1 = 1,
    VERSION_2 = 2,
    FLAG_LOCKED = 1,
    FLAG_SCRAM = 128,
    MEMORY_MAX_KIB = 256 * 1024, /* of a record, should the constants grow one day */
    PASSES_MAX = 16,
    LANES_MAX = 4,
    ITERATIONS_MAX = 10000000,
};

static _Atomic uint64_t argon2_done, scram_done;

/* ---- records ---- */

static void take(struct cursor *c, uint8_t *to, size_t n)
{
    str_t bytes = cursor_bytes(c, n);
    if (bytes.len == n)
        memcpy(to, bytes.ptr, n);
}

static bool cost_valid(const struct password_record *r)
{
    return r->memory_kib > 0 && r->memory_kib <= MEMORY_MAX_KIB && r->passes > 0 &&
           r->passes <= PASSES_MAX && r->lanes > 0 && r->lanes <= LANES_MAX;
}

static void take_cost(struct cursor *c, struct password_record *r)
{
    r->memory_kib = cursor_u32(c);
    r->passes = cursor_u32(c);
    r->lanes = cursor_u8(c);
    take(c, r->salt, PASSWORD_SALT);
}

static bool name_valid(str_t name)
{
    return name.len > 0 && name.len <= STORE_PASSWORD_NAME_MAX &&
           memchr(name.ptr, 0, name.len) == NULL;
}

static void take_entry(struct cursor *c, struct password *p)
{
    str_t name = cursor_str16(c);
    uint8_t flags = cursor_u8(c);
    *p = (struct password){.uses = flags & STORE_USES_ALL, .scram = (flags & FLAG_SCRAM) != 0};
    p->made_day = cursor_u32(c);
    p->used_day = cursor_u32(c);
    take(c, p->hash, sizeof p->hash);
    take(c, p->stored_1, sizeof p->stored_1);
    take(c, p->server_1, sizeof p->server_1);
    take(c, p->stored_256, sizeof p->stored_256);
    take(c, p->server_256, sizeof p->server_256);
    if (!name_valid(name))
        c->failed = true;
    else
        memcpy(p->name, name.ptr, name.len);
}

static bool decode_1(struct cursor *c, struct password_record *r)
{
    struct password *p = &r->entries[0];
    take_cost(c, r);
    take(c, p->hash, PASSWORD_HASH);
    memcpy(p->name, STORE_PASSWORD_MAIN.ptr, STORE_PASSWORD_MAIN.len);
    p->uses = STORE_USES_ALL;
    r->n = 1;
    r->iterations = password_cost.iterations; /* once it has keys */
    return cursor_end(c) && cost_valid(r);
}

static bool decode_2(struct cursor *c, struct password_record *r)
{
    uint8_t flags = cursor_u8(c);
    r->locked = (flags & FLAG_LOCKED) != 0;
    r->generation = cursor_u64(c);
    take_cost(c, r);
    take(c, r->scram_salt, STORE_SCRAM_SALT);
    r->iterations = cursor_u32(c);
    uint8_t n = cursor_u8(c);
    if (flags > FLAG_LOCKED || n > STORE_PASSWORDS_MAX || r->iterations == 0 ||
        r->iterations > ITERATIONS_MAX)
        return false;
    for (r->n = 0; r->n < n && !c->failed; r->n++)
        take_entry(c, &r->entries[r->n]);
    return cursor_end(c) && cost_valid(r);
}

/* For a record that was written without one. False: no memory. */
static bool generation_of(str_t bytes, uint64_t *out)
{
    uint8_t hash[DIGEST_MAX];
    if (!digest_hash(DIGEST_SHA256, bytes, hash))
        return false;
    memcpy(out, hash, sizeof *out);
    *out += *out == 0;
    return true;
}

bool password_decode(str_t bytes, struct password_record *out)
{
    struct cursor c = cursor_of(bytes);
    *out = (struct password_record){0};
    uint8_t version = cursor_u8(&c);
    bool good =
        (version == VERSION_1 && decode_1(&c, out)) || (version == VERSION_2 && decode_2(&c, out));
    if (good && (out->generation != 0 || generation_of(bytes, &out->generation)))
        return true;
    *out = (struct password_record){.memory_kib = password_cost.memory_kib,
                                    .passes = password_cost.passes,
                                    .lanes = password_cost.lanes,
                                    .iterations = password_cost.iterations};
    return false;
}

static void add_entry(struct buf *out, const struct password *p)
{
    buf_str16(out, str_c(p->name));
    buf_u8(out, (uint8_t)(p->uses | (p->scram ? FLAG_SCRAM : 0)));
    buf_u32(out, p->made_day);
    buf_u32(out, p->used_day);
    buf_add(out, str_of(p->hash, sizeof p->hash));
    buf_add(out, str_of(p->stored_1, sizeof p->stored_1));
    buf_add(out, str_of(p->server_1, sizeof p->server_1));
    buf_add(out, str_of(p->stored_256, sizeof p->stored_256));
    buf_add(out, str_of(p->server_256, sizeof p->server_256));
}

bool password_encode(const struct password_record *r, struct buf *out)
{
    buf_u8(out, VERSION_2);
    buf_u8(out, r->locked ? FLAG_LOCKED : 0);
    buf_u64(out, r->generation);
    buf_u32(out, r->memory_kib);
    buf_u32(out, r->passes);
    buf_u8(out, (uint8_t)r->lanes);
    buf_add(out, str_of(r->salt, PASSWORD_SALT));
    buf_add(out, str_of(r->scram_salt, STORE_SCRAM_SALT));
    buf_u32(out, r->iterations);
    buf_u8(out, (uint8_t)r->n);
    for (size_t i = 0; i < r->n; i++)
        add_entry(out, &r->entries[i]);
    return !out->failed;
}

void password_init(struct password_record *r, struct env *env,
                   const uint8_t scram_salt[static STORE_SCRAM_SALT])
{
    (void)password_decode(STR_NONE, r);
    env->random(env, r->salt, PASSWORD_SALT);
    env->random(env, &r->generation, sizeof r->generation);
    memcpy(r->scram_salt, scram_salt, STORE_SCRAM_SALT);
}

int password_find(const struct password_record *r, str_t name)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(str_c(r->entries[i].name), name))
            return (int)i;
    return -1;
}

/* ---- the work ---- */

static enum rc argon2(const struct password_record *r, str_t password,
                      uint8_t hash[static PASSWORD_HASH])
{
    atomic_fetch_add_explicit(&argon2_done, 1, memory_order_relaxed);
    int rc =
        argon2id_hash_raw(r->passes, r->memory_kib, r->lanes, password.len > 0 ? password.ptr : "",
                          password.len, r->salt, PASSWORD_SALT, hash, PASSWORD_HASH);
    return rc == ARGON2_OK ? RC_OK : RC_TEMP;
}

enum rc password_make_scram(const struct password_record *r, str_t password, struct password *p)
{
    struct scram_keys k1, k256;
    str_t salt = str_of(r->scram_salt, STORE_SCRAM_SALT);
    bool ok = scram_derive(DIGEST_SHA1, password, salt, r->iterations, &k1) &&
              scram_derive(DIGEST_SHA256, password, salt, r->iterations, &k256);
    if (ok) {
        memcpy(p->stored_1, k1.stored, sizeof p->stored_1);
        memcpy(p->server_1, k1.server, sizeof p->server_1);
        memcpy(p->stored_256, k256.stored, sizeof p->stored_256);
        memcpy(p->server_256, k256.server, sizeof p->server_256);
        p->scram = true;
    }
    digest_wipe(&k1, sizeof k1);
    digest_wipe(&k256, sizeof k256);
    return ok ? RC_OK : RC_TEMP;
}

enum rc password_make(const struct password_record *r, str_t password, struct password *p)
{
    enum rc rc = argon2(r, password, p->hash);
    return rc == RC_OK ? password_make_scram(r, password, p) : rc;
}

/* Takes entry i as the one that fits, unless a better one was found. */
static void choose(const struct password_record *r, size_t i, bool fits, enum store_use use,
                   int *which)
{
    bool good = fits && i < r->n;
    if (good &&
        (*which < 0 || ((r->entries[*which].uses & use) == 0 && (r->entries[i].uses & use) != 0)))
        *which = (int)i;
}

/* Looks at every place a password may be in, whatever it finds. */
enum rc password_check(const struct password_record *r, str_t password, enum store_use use,
                       int *which)
{
    uint8_t hash[PASSWORD_HASH];
    *which = -1;
    enum rc rc = argon2(r, password, hash);
    for (size_t i = 0; i < STORE_PASSWORDS_MAX && rc == RC_OK; i++)
        choose(r, i,
               digest_equal(str_of(hash, sizeof hash),
                            str_of(r->entries[i].hash, sizeof r->entries[i].hash)),
               use, which);
    digest_wipe(hash, sizeof hash);
    if (rc != RC_OK)
        return rc;
    return *which >= 0 ? RC_OK : RC_PERM;
}

enum rc password_check_scram(const struct password_record *r, const struct store_login *login,
                             int *which, uint8_t signature[static 32])
{
    enum digest d = login->hash_bits == 256 ? DIGEST_SHA256 : DIGEST_SHA1;
    *which = -1;
    for (size_t i = 0; i < STORE_PASSWORDS_MAX; i++) {
        const struct password *p = &r->entries[i];
        const uint8_t *stored = d == DIGEST_SHA256 ? p->stored_256 : p->stored_1;
        bool fits = scram_check(d, stored, login->auth_message, login->client_proof);
        choose(r, i, fits && p->scram, login->use, which);
        atomic_fetch_add_explicit(&scram_done, 1, memory_order_relaxed);
    }
    const struct password *p = &r->entries[*which >= 0 ? *which : 0];
    if (!scram_signature(d, d == DIGEST_SHA256 ? p->server_256 : p->server_1, login->auth_message,
                         signature))
        return RC_TEMP;
    return *which >= 0 ? RC_OK : RC_PERM;
}

struct password_work password_work_done(void)
{
    return (struct password_work){atomic_load(&argon2_done), atomic_load(&scram_done)};
}
