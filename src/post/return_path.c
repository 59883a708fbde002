/* return_path.c: see return_path.h. */
#include "post/return_path.h"

#include "post/directory_row.h"

#define SECRET_PART ((part_t){PART_SECRET, 0})
#define HMAC_KEY    STR("hmac/key")

enum { KEY_ARENA = 4096 };

void return_path_init(struct return_path *r, struct directory_cache *directory, bool srs, bool batv,
                      str_t srs_domain)
{
    *r = (struct return_path){
        .directory = directory, .srs = srs, .batv = batv, .srs_domain = srs_domain};
    pthread_mutex_init(&r->lock, NULL);
}

void return_path_free(struct return_path *r)
{
    explicit_bzero(&r->key, sizeof r->key);
    pthread_mutex_destroy(&r->lock);
}

/* ---- the key ---- */

enum store_rc return_path_key_make(struct store *s, struct env *env)
{
    struct arena a;
    struct store_batch b;
    struct srs_key key;
    bool present;
    str_t value;
    arena_init(&a, KEY_ARENA);
    enum store_rc rc = store_get1(s, SECRET_PART, HMAC_KEY, &a, &present, &value);
    if (rc == STORE_OK && !present) {
        env->random(env, key.bytes, sizeof key.bytes);
        store_batch_init(&b, SECRET_PART, &a);
        store_put_new(&b, HMAC_KEY, str_of(key.bytes, sizeof key.bytes));
        rc = store_commit(s, &b);
        explicit_bzero(&key, sizeof key);
        if (rc == STORE_CONFLICT)
            rc = STORE_OK; /* another one made it */
    }
    arena_free(&a);
    return rc;
}

/* STORE_OK and *have false: there is none. */
static enum store_rc key_get(struct return_path *r, struct env *env, struct srs_key *out,
                             bool *have)
{
    struct arena a;
    str_t value = STR_NONE;
    pthread_mutex_lock(&r->lock);
    *have = r->known;
    *out = r->key;
    pthread_mutex_unlock(&r->lock);
    if (*have)
        return STORE_OK;
    arena_init(&a, KEY_ARENA);
    enum store_rc rc = store_get1(env->store, SECRET_PART, HMAC_KEY, &a, have, &value);
    if (rc == STORE_OK && *have && value.len != sizeof out->bytes)
        rc = STORE_DAMAGED;
    if (rc == STORE_OK && *have) {
        memcpy(out->bytes, value.ptr, sizeof out->bytes);
        pthread_mutex_lock(&r->lock);
        r->key = *out;
        r->known = true;
        pthread_mutex_unlock(&r->lock);
    }
    arena_free(&a);
    return rc;
}

/* ---- leaving ---- */

/* The local part as it is, not as it is written; its case stays. */
static bool split(str_t address, struct arena *a, str_t *local, str_t *domain)
{
    size_t at;
    if (!str_rfind(address, '@', &at) || at == 0)
        return false;
    *domain = str_from(address, at + 1);
    *local = directory_unquoted(str_first(address, at), a);
    return domain->len > 0 && local->len > 0;
}

static enum store_rc tagged(struct return_path *r, struct env *env, str_t local, str_t domain,
                            struct arena *a, str_t *out, bool *changed)
{
    struct srs_key key;
    bool have;
    str_t with_tag;
    if (!r->batv || str_istarts(local, STR("prvs=")) || str_istarts(local, STR("SRS")))
        return STORE_OK;
    enum store_rc rc = key_get(r, env, &key, &have);
    if (rc != STORE_OK || !have ||
        batv_sign(&key, env->wall_ms(env), local, domain, a, &with_tag) != SRS_OK)
        return rc; /* too long: it goes as it is */
    *out = directory_address_text(with_tag, domain, a);
    *changed = out->len > 0;
    return *changed ? STORE_OK : STORE_LIMIT;
}

enum store_rc return_path_leaving(struct return_path *r, struct env *env, str_t sender,
                                  str_t forwarder, struct arena *a, str_t *out, bool *changed)
{
    struct srs_key key;
    bool have;
    str_t local, domain, other;
    enum directory_kind kind;
    *out = sender;
    *changed = false;
    if (sender.len == 0 || !(r->batv || (r->srs && forwarder.len > 0)) ||
        !split(sender, a, &local, &domain))
        return STORE_OK;
    enum store_rc rc = directory_cache_kind(r->directory, STR_NONE, domain, &kind);
    if (rc != STORE_OK)
        return rc;
    if (kind != DIRECTORY_NOT_OURS)
        return tagged(r, env, local, domain, a, out, changed);
    if (!r->srs || forwarder.len == 0)
        return STORE_OK;
    rc = key_get(r, env, &key, &have);
    if (rc != STORE_OK || !have)
        return rc;
    enum srs_result got = srs_forward(&key, env->wall_ms(env), local, domain,
                                      r->srs_domain.len > 0 ? r->srs_domain : forwarder, a, &other);
    if (got != SRS_OK)
        return STORE_OK; /* too long */
    *changed = split(other, a, &local, &domain);
    *out = *changed ? directory_address_text(local, domain, a) : sender;
    return a->failed ? STORE_LIMIT : STORE_OK;
}

/* ---- coming back ---- */

/* prvs=0123abcdef=local: what stands after the tag. */
static bool after_tag(str_t local, str_t *out)
{
    str_t rest = str_from(local, 5), tag;
    bool good = str_istarts(local, STR("prvs=")) && str_cut(&rest, '=', &tag) && rest.len > 0;
    *out = good ? rest : STR_NONE;
    return good;
}

enum store_rc return_path_read(struct return_path *r, struct env *env, str_t local, str_t domain,
                               struct arena *a, enum return_path_kind *kind, str_t *out)
{
    struct srs_key key;
    bool have;
    str_t plain;
    *kind = RETURN_PATH_PLAIN;
    bool tag = after_tag(local, &plain);
    if (!tag && !str_istarts(local, STR("SRS0=")) && !str_istarts(local, STR("SRS1=")))
        return STORE_OK;
    enum store_rc rc = key_get(r, env, &key, &have);
    if (rc != STORE_OK)
        return rc;
    int64_t now = env->wall_ms(env);
    if (tag) {
        str_t checked;
        *kind = have && batv_check(&key, now, local, domain, a, &checked) == SRS_OK
                    ? RETURN_PATH_TAGGED
                    : RETURN_PATH_STALE;
        *out = arena_dup(a, plain);
    } else {
        *kind = have && srs_reverse(&key, now, local, a, out) == SRS_OK ? RETURN_PATH_FORWARD
                                                                        : RETURN_PATH_WRONG;
    }
    return a->failed ? STORE_LIMIT : STORE_OK;
}
