/* lock.c: one session a mailbox. See user.h. */
#include "roles/user/user.h"

/* Keys of the map are the accounts' bytes; only whether they are there counts. */
static str_t key(const uint64_t *account)
{
    return str_of(account, sizeof *account);
}

bool user_locks_init(struct user_locks *l, struct env *env, size_t max)
{
    uint8_t secret[16];
    env->random(env, secret, sizeof secret);
    l->taken = map_new(secret, max);
    return l->taken != NULL && pthread_mutex_init(&l->mutex, NULL) == 0;
}

void user_locks_free(struct user_locks *l)
{
    if (l->taken == NULL)
        return;
    map_free(l->taken);
    l->taken = NULL;
    pthread_mutex_destroy(&l->mutex);
}

bool user_lock(struct user_locks *l, uint64_t account)
{
    pthread_mutex_lock(&l->mutex);
    bool ok = map_get(l->taken, key(&account)) == NULL && map_put(l->taken, key(&account), l);
    pthread_mutex_unlock(&l->mutex);
    return ok;
}

void user_unlock(struct user_locks *l, uint64_t account)
{
    pthread_mutex_lock(&l->mutex);
    map_del(l->taken, key(&account));
    pthread_mutex_unlock(&l->mutex);
}
