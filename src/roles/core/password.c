/* password.c: see password.h. */
#include "roles/core/password.h"

#include <argon2.h>

#include "base/buf.h"
#include "base/cursor.h"

enum {
    RECORD_VERSION = 1,
    MEMORY_MAX_KIB = 256 * 1024, /* of a record, should the constants grow one day */
    PASSES_MAX = 16,
    LANES_MAX = 4,
};

struct record {
    uint32_t memory_kib, passes, lanes;
    uint8_t salt[PASSWORD_SALT], hash[PASSWORD_HASH];
};

static bool record_decode(str_t bytes, struct record *out)
{
    struct cursor c = cursor_of(bytes);
    bool known = cursor_u8(&c) == RECORD_VERSION;
    out->memory_kib = cursor_u32(&c);
    out->passes = cursor_u32(&c);
    out->lanes = cursor_u8(&c);
    str_t salt = cursor_bytes(&c, PASSWORD_SALT), hash = cursor_bytes(&c, PASSWORD_HASH);
    if (!known || !cursor_end(&c) || out->memory_kib > MEMORY_MAX_KIB || out->passes > PASSES_MAX ||
        out->lanes > LANES_MAX)
        return false;
    memcpy(out->salt, salt.ptr, PASSWORD_SALT);
    memcpy(out->hash, hash.ptr, PASSWORD_HASH);
    return true;
}

static enum rc run(const struct record *r, str_t password, uint8_t hash[static PASSWORD_HASH])
{
    int rc =
        argon2id_hash_raw(r->passes, r->memory_kib, r->lanes, password.len > 0 ? password.ptr : "",
                          password.len, r->salt, PASSWORD_SALT, hash, PASSWORD_HASH);
    return rc == ARGON2_OK ? RC_OK : RC_TEMP;
}

enum rc password_hash(struct env *env, str_t password, uint8_t out[static PASSWORD_RECORD])
{
    struct record r = {
        .memory_kib = PASSWORD_MEMORY_KIB, .passes = PASSWORD_PASSES, .lanes = PASSWORD_LANES};
    env->random(env, r.salt, PASSWORD_SALT);
    if (run(&r, password, r.hash) != RC_OK)
        return RC_TEMP;
    struct buf b = {.ptr = (char *)out, .cap = PASSWORD_RECORD, .max = PASSWORD_RECORD};
    buf_u8(&b, RECORD_VERSION);
    buf_u32(&b, r.memory_kib);
    buf_u32(&b, r.passes);
    buf_u8(&b, (uint8_t)r.lanes);
    buf_add(&b, str_of(r.salt, PASSWORD_SALT));
    buf_add(&b, str_of(r.hash, PASSWORD_HASH));
    return RC_OK;
}

/* Looks at every byte whatever it finds. */
static bool equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    volatile uint8_t differ = 0;
    for (size_t i = 0; i < n; i++)
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

enum rc password_check(str_t record, str_t password)
{
    struct record r = {0};
    uint8_t hash[PASSWORD_HASH];
    bool there = record_decode(record, &r);
    if (!there)
        r = (struct record){
            .memory_kib = PASSWORD_MEMORY_KIB, .passes = PASSWORD_PASSES, .lanes = PASSWORD_LANES};
    enum rc rc = run(&r, password, hash);
    if (rc != RC_OK)
        return rc;
    bool same = equal(hash, r.hash, PASSWORD_HASH);
    explicit_bzero(hash, sizeof hash);
    return same && there ? RC_OK : RC_PERM;
}
