/* token_jwt.c: tokens that are signed, under the keys that their issuer publishes. See
 * token_check.h. */
#include "roles/courier/token_impl.h"

enum { ROUNDS = 2 }; /* with the keys we have; with those that were fetched then */

struct look { /* at the keys we have */
    bool fresh;
    bool may_again; /* they may be asked for although they are fresh */
    enum jwks_verdict verdict;
    uint64_t generation;
};

static struct look look(struct token_endpoint *e, const struct jwt *t)
{
    int64_t now = e->env->mono_ms(e->env);
    struct look l = {.verdict = JWKS_NO_KEY};
    pthread_rwlock_rdlock(&e->keys_lock);
    l.generation = e->generation;
    l.may_again = now >= e->again_ms;
    l.fresh = e->keys != NULL && now - e->fetched_ms < TOKEN_KEYS_MS;
    if (l.fresh)
        l.verdict = jwt_verify(t, e->keys);
    pthread_rwlock_unlock(&e->keys_lock);
    return l;
}

static void put(struct token_endpoint *e, struct jwks *keys)
{
    pthread_rwlock_wrlock(&e->keys_lock);
    struct jwks *old = e->keys;
    e->keys = keys;
    e->fetched_ms = e->env->mono_ms(e->env);
    e->generation++;
    pthread_rwlock_unlock(&e->keys_lock);
    jwks_free(old);
}

/* With `fetching` held. */
static enum rc fetch(struct token_endpoint *e, struct token_http *h, int64_t deadline_ms,
                     struct err *err)
{
    str_t body;
    enum rc rc = token_endpoint_ask(e, h, STR_NONE, STR_NONE, deadline_ms, &body, err);
    if (rc != RC_OK)
        return rc;
    struct jwks *keys = jwks_parse(body, err);
    if (keys == NULL)
        return RC_TEMP;
    put(e, keys);
    return RC_OK;
}

static enum rc refresh(struct token_endpoint *e, struct token_http *h, const struct look *seen,
                       int64_t deadline_ms, struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&e->fetching);
    pthread_rwlock_rdlock(&e->keys_lock);
    bool newer = e->generation != seen->generation;
    pthread_rwlock_unlock(&e->keys_lock);
    if (!newer && seen->fresh) {
        pthread_rwlock_wrlock(&e->keys_lock);
        e->again_ms = e->env->mono_ms(e->env) + TOKEN_KEYS_AGAIN_MS;
        pthread_rwlock_unlock(&e->keys_lock);
    }
    if (!newer)
        rc = fetch(e, h, deadline_ms, err);
    pthread_mutex_unlock(&e->fetching);
    return rc;
}

static enum rc verify(struct token_endpoint *e, struct token_http *h, const struct jwt *t,
                      int64_t deadline_ms, struct err *err)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct look l = look(e, t);
        if (l.fresh && l.verdict == JWKS_GOOD)
            return RC_OK;
        if (l.fresh && l.verdict == JWKS_BAD)
            return err_set(err, RC_PERM, "", "its signature is wrong");
        if (l.fresh && (round > 0 || !l.may_again))
            break;
        enum rc rc = refresh(e, h, &l, deadline_ms, err);
        if (rc != RC_OK)
            return rc;
    }
    return err_set(err, RC_PERM, "", "it is signed with a key that its issuer does not publish");
}

enum rc token_by_keys(struct token_endpoint *e, struct token_http *h, str_t token,
                      int64_t deadline_ms, struct oauth_identity *who, struct err *err)
{
    struct arena a;
    struct jwt t;
    arena_init(&a, JWT_ARENA_MAX);
    enum rc rc = jwt_open(token, e->algorithms, &a, &t, err);
    rc = rc == RC_OK ? verify(e, h, &t, deadline_ms, err) : rc;
    if (rc == RC_OK)
        rc = jwt_claims(&t, &e->rules, e->env->wall_ms(e->env) / 1000, who, err);
    arena_free(&a);
    return rc;
}
