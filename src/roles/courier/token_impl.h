/* token_impl.h: what the files of token_check.h share. */
#ifndef ROLES_COURIER_TOKEN_IMPL_H
#define ROLES_COURIER_TOKEN_IMPL_H

#include <pthread.h>

#include "proto/oauth/jwt.h"
#include "roles/courier/token_check.h"
#include "roles/courier/token_http.h"

#define TOKEN_SECRET_MAX 1024

/* Keys are asked for again after so long: one that was taken out of the set is good no longer. */
#define TOKEN_KEYS_MS (10 * 60 * 1000)
/* A token that names an unknown key has the set asked for before its time, this often at most: such
 * a token is quickly made up. */
#define TOKEN_KEYS_AGAIN_MS (30 * 1000)
#define TOKEN_FAILURES      3
#define TOKEN_DOWN_MS       10000

/* What is known of the endpoint; shared by the threads. */
struct token_endpoint {
    struct env *env;
    const struct settings *set;
    struct oauth_rules rules;
    unsigned algorithms;
    pthread_mutex_t lock; /* failures, down_until_ms */
    int failures;
    int64_t down_until_ms;
    /* token_jwt.c */
    pthread_mutex_t fetching;   /* one asks for the keys, the others wait for what comes */
    pthread_rwlock_t keys_lock; /* those below */
    struct jwks *keys;          /* or NULL */
    int64_t fetched_ms;
    int64_t again_ms; /* when they may be asked for before their time */
    uint64_t generation;
};

bool token_endpoint_init(struct token_endpoint *e, struct env *env, const struct settings *set);
void token_endpoint_free(struct token_endpoint *e);
/* token_http_ask, unless the endpoint is down; and notes what came of it. */
enum rc token_endpoint_ask(struct token_endpoint *e, struct token_http *h, str_t form,
                           str_t authorization, int64_t deadline_ms, str_t *body, struct err *err);
/* "" : there is none */
size_t token_secret(char out[static TOKEN_SECRET_MAX + 1]);

/* RC_OK and *who; RC_PERM: the token is not good; RC_TEMP: cannot be told now. *err says why. */
enum rc token_by_introspection(struct token_endpoint *e, struct token_http *h, str_t token,
                               int64_t deadline_ms, struct oauth_identity *who, struct err *err);
enum rc token_by_keys(struct token_endpoint *e, struct token_http *h, str_t token,
                      int64_t deadline_ms, struct oauth_identity *who, struct err *err);

#endif
