/* login_pool.c: the queue of logins and the few threads that check them. See logins.c.
 *
 * A check is 19 MiB and some 20 ms of a processor: as many threads as there are processors less one,
 * which is for the mail, and at a lower priority than it. Two queues, each bounded: an attack by
 * strangers fills theirs, and whoever is known passes by. */
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "roles/core/login_impl.h"

enum { POOL_NICE = 10, STACK_BYTES = 512 << 10 };

bool login_pool_add(struct login_pool *p, struct login_job *j, bool first)
{
    size_t *n = first ? &p->n_first : &p->n_waiting;
    pthread_mutex_lock(&p->lock);
    bool room = *n < CORE_LOGIN_QUEUE && !p->stop;
    if (room) {
        list_push(first ? &p->first : &p->waiting, &j->link);
        ++*n;
        pthread_cond_signal(&p->work);
    } else {
        p->refused++;
    }
    pthread_mutex_unlock(&p->lock);
    return room;
}

/* Under the lock. */
static struct login_job *pop(struct login_pool *p)
{
    struct list *l = list_pop(&p->first);
    if (l != NULL)
        p->n_first--;
    else if ((l = list_pop(&p->waiting)) != NULL)
        p->n_waiting--;
    return l != NULL ? list_entry(l, struct login_job, link) : NULL;
}

static struct login_job *next_job(struct login_pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->stop && list_empty(&p->first) && list_empty(&p->waiting))
        pthread_cond_wait(&p->work, &p->lock);
    struct login_job *j = p->stop ? NULL : pop(p);
    pthread_mutex_unlock(&p->lock);
    return j;
}

/* ---- tokens: somebody else checks them, meanwhile no thread waits ---- */

static void ask_token(struct login_pool *p, struct login_job *j)
{
    struct core_server *cs = p->server;
    pthread_mutex_lock(&p->lock);
    bool room = cs->token_check != NULL && p->n_tokens < CORE_TOKENS && !p->stop;
    p->n_tokens += room;
    pthread_mutex_unlock(&p->lock);
    j->token_asked = true;
    if (!room) {
        login_answer(p, j, cs->token_check != NULL ? RC_TEMP : RC_PERM);
        return;
    }
    j->token = (struct core_token){.name = j->login.name,
                                   .token = j->login.password,
                                   .from = j->login.from,
                                   .use = j->login.use};
    cs->token_check(cs->token_user, &j->token, j);
}

void core_token_done(void *ticket, enum rc rc, str_t name)
{
    struct login_job *j = ticket;
    struct login_pool *p = j->client->server->pool;
    j->token_rc = rc == RC_OK && (name.len == 0 || name.len > STORE_ADDRESS_MAX) ? RC_PERM : rc;
    if (j->token_rc == RC_OK) {
        memcpy(j->address, name.ptr, name.len);
        j->address[name.len] = '\0';
        str_lower(j->address, name.len);
    }
    if (!login_pool_add(p, j, true))
        login_answer(p, j, RC_TEMP);
    pthread_mutex_lock(&p->lock);
    p->n_tokens--;
    pthread_cond_signal(&p->tokens_back);
    pthread_mutex_unlock(&p->lock);
}

/* ---- threads ---- */

static void run(struct login_pool *p, struct login_job *j)
{
    struct env *env = p->server->env;
    bool late = env->mono_ms(env) >= j->deadline_ms; /* nobody waits for it any more */
    if (j->type != STORE_MSG_LOGIN && late)
        login_answer_plain(j, RC_TEMP);
    else if (j->type != STORE_MSG_LOGIN)
        login_admin(p, j);
    else if (late)
        login_answer(p, j, RC_TEMP);
    else if (j->login.proof == STORE_PROOF_TOKEN && !j->token_asked)
        ask_token(p, j);
    else
        login_run(p, j);
}

static void *pool_main(void *arg)
{
    struct login_pool *p = arg;
    (void)setpriority(PRIO_PROCESS, 0, POOL_NICE); /* of this thread; without it, as well */
    for (struct login_job *j; (j = next_job(p)) != NULL;)
        run(p, j);
    return NULL;
}

static int threads_wanted(void)
{
    cpu_set_t cpus;
    int n = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) - 1 : 1;
    return n < 1 ? 1 : n > CORE_LOGIN_THREADS_MAX ? CORE_LOGIN_THREADS_MAX : n;
}

static void start_threads(struct login_pool *p)
{
    pthread_attr_t attr;
    int wanted = threads_wanted();
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    while (p->n_threads < wanted &&
           pthread_create(&p->threads[p->n_threads], &attr, pool_main, p) == 0)
        p->n_threads++;
    pthread_attr_destroy(&attr);
}

/* ---- life ---- */

struct login_pool *login_pool_new(struct core_server *cs)
{
    struct login_pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->server = cs;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->salt_lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->tokens_back, NULL);
    list_init(&p->first);
    list_init(&p->waiting);
    cs->env->random(cs->env, p->delays.key, sizeof p->delays.key);
    cs->env->random(cs->env, p->budgets.key, sizeof p->budgets.key);
    cs->env->random(cs->env, p->verified.key, sizeof p->verified.key);
    log_gate_init(&p->gate, p->delays.key);
    start_threads(p);
    if (p->n_threads > 0)
        return p;
    login_pool_free(p);
    return NULL;
}

/* What is still out for its token comes back first: see core_server_token_check. */
void login_pool_free(struct login_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    while (p->n_tokens > 0)
        pthread_cond_wait(&p->tokens_back, &p->lock);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    for (struct login_job *j; (j = pop(p)) != NULL;) {
        if (j->type == STORE_MSG_LOGIN)
            login_answer(p, j, RC_TEMP);
        else
            login_answer_plain(j, RC_TEMP);
    }
    log_gate_free(&p->gate);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->salt_lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->tokens_back);
    explicit_bzero(p, sizeof *p);
    free(p);
}

void core_server_settings(struct core_server *cs, const struct settings *settings)
{
    cs->pool->rules = settings;
    cs->pool->cache_ms = (int64_t)settings->auth_cache_s * 1000;
}

void core_server_token_check(struct core_server *cs, core_token_check *check, void *user)
{
    cs->token_user = user;
    cs->token_check = check;
}

void core_server_login_counts(struct core_server *cs, struct core_login_counts *out)
{
    struct login_pool *p = cs->pool;
    pthread_mutex_lock(&p->lock);
    *out = (struct core_login_counts){.logins = p->logins,
                                      .refused = p->refused,
                                      .cache_hits = p->verified.hits,
                                      .cache_misses = p->verified.misses};
    pthread_mutex_unlock(&p->lock);
    out->argon2 = password_work_done().argon2;
}
