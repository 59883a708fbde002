/* token_endpoint.c: what the threads know of the endpoint together. See token_check.h. */
#include "roles/courier/token_impl.h"

static unsigned algorithms_of(const struct settings *set)
{
    unsigned all = 0;
    enum jwt_alg alg;
    for (size_t i = 0; i < set->n_oauth_algorithms; i++)
        if (jwt_alg_find(set->oauth_algorithms[i], &alg))
            all |= 1u << alg;
    return all;
}

bool token_endpoint_init(struct token_endpoint *e, struct env *env, const struct settings *set)
{
    *e = (struct token_endpoint){.env = env,
                                 .set = set,
                                 .algorithms = algorithms_of(set),
                                 .rules = {.issuer = set->oauth_issuer,
                                           .audience = set->oauth_audience,
                                           .scope = set->oauth_scope,
                                           .claim = set->oauth_claim}};
    return pthread_mutex_init(&e->lock, NULL) == 0 && pthread_mutex_init(&e->fetching, NULL) == 0 &&
           pthread_rwlock_init(&e->keys_lock, NULL) == 0;
}

void token_endpoint_free(struct token_endpoint *e)
{
    jwks_free(e->keys);
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_destroy(&e->fetching);
    pthread_rwlock_destroy(&e->keys_lock);
}

enum rc token_endpoint_ask(struct token_endpoint *e, struct token_http *h, str_t form,
                           str_t authorization, int64_t deadline_ms, str_t *body, struct err *err)
{
    pthread_mutex_lock(&e->lock);
    bool down = e->env->mono_ms(e->env) < e->down_until_ms;
    pthread_mutex_unlock(&e->lock);
    if (down)
        return err_set(err, RC_TEMP, "", "it has just failed, and is left alone for some seconds");
    enum rc rc = token_http_ask(h, form, authorization, deadline_ms, body, err);
    pthread_mutex_lock(&e->lock);
    e->failures = rc == RC_OK ? 0 : e->failures + 1;
    if (e->failures >= TOKEN_FAILURES)
        e->down_until_ms = e->env->mono_ms(e->env) + TOKEN_DOWN_MS;
    pthread_mutex_unlock(&e->lock);
    return rc;
}
