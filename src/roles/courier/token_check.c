/* token_check.c: see token_check.h. Questions of core's channel wait in a short queue for one of a
 * few threads, each with a connection of its own to the endpoint. */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/list.h"
#include "roles/courier/curl_library.h"
#include "roles/courier/token_impl.h"
#include "roles/log.h"
#include "roles/log_gate.h"
#include "roles/sasl_driver.h"
#include "roles/sealed.h"
#include "roles/token_protocol.h"
#include "sys/channel.h"
#include "sys/clock.h"

_Static_assert(OAUTH_NAME_MAX == STORE_ADDRESS_MAX, "a login's name is an address");
_Static_assert(JWT_MAX == STORE_BEARER_MAX, "a token is as long as one may be");

enum { NAME_ARENA = 8192, GOOD_MAX_S = 86400 };

struct question {
    struct list link;
    struct channel_peer *peer;
    uint64_t id;
    int64_t deadline_ms;
    size_t len;
    char token[];
};

struct checker {
    struct token_endpoint endpoint;
    struct tls_vault *tls;
    atomic_bool stop;
    pthread_cond_t more;
    struct list queue; /* under state.lock */
    size_t n_queue;
    struct log_gate gate;
    int n_threads;
    pthread_t threads[TOKEN_THREADS];
};

/* The one courier of this process. */
static struct {
    pthread_mutex_t lock;
    struct checker *checker; /* NULL: not yet, or no more, or no endpoint */
    char secret[TOKEN_SECRET_MAX + 1];
    size_t secret_len;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- before the start ---- */

void token_check_prepare(const struct settings *set)
{
    struct err err = {0};
    size_t seed = 0;
    if (settings_oauth_url(set).len == 0)
        return;
    sys_random(&seed, sizeof seed);
    json_object_seed(seed | 1); /* 0 would have it look for a file */
    if (curl_library_open(&err) != RC_OK)
        log_event("courier", STR_NONE, "no-tokens", log_cstr("reason", err.text), log_end);
}

void token_check_secret(int fd)
{
    str_t text, rest, line;
    if (!sealed_map(fd, TOKEN_SECRET_MAX, &text))
        return;
    rest = text;
    line = str_trim(str_cut(&rest, '\n', &line) ? line : text);
    pthread_mutex_lock(&state.lock);
    digest_wipe(state.secret, sizeof state.secret);
    str_toc(line, state.secret, sizeof state.secret);
    state.secret_len = line.len;
    pthread_mutex_unlock(&state.lock);
    sealed_unmap(text);
}

size_t token_secret(char out[static TOKEN_SECRET_MAX + 1])
{
    pthread_mutex_lock(&state.lock);
    memcpy(out, state.secret, sizeof state.secret);
    size_t n = state.secret_len;
    pthread_mutex_unlock(&state.lock);
    return n;
}

/* ---- answers ---- */

static void answer(struct channel_peer *peer, uint64_t id, const struct token_verdict *v)
{
    char bytes[TOKEN_VERDICT_MAX];
    struct buf b = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    must(token_verdict_encode(v, &b));
    struct iovec iov = {.iov_base = b.ptr, .iov_len = b.len};
    channel_reply(peer, id, TOKEN_VERDICT, &iov, 1, -1);
}

static void later(struct channel_peer *peer, uint64_t id)
{
    answer(peer, id, &(struct token_verdict){.rc = RC_TEMP});
}

static void question_free(struct question *q)
{
    channel_peer_release(q->peer);
    digest_wipe(q, sizeof *q + q->len);
    free(q);
}

static void log_no(struct checker *k, enum rc rc, const char *why)
{
    static const struct netaddr nobody;
    uint64_t left_out;
    if (log_gate_pass(&k->gate, &nobody, sys_mono_ms(), &left_out))
        log_event("courier", STR_NONE, rc == RC_PERM ? "token-refused" : "token-endpoint",
                  log_cstr("reason", why), log_u64("more_before", left_out), log_end);
}

/* As accounts are called: its domain in A-labels. */
static void say_good(struct checker *k, const struct question *q, const struct oauth_identity *who)
{
    struct env *env = k->endpoint.env;
    struct token_verdict v = {.rc = RC_OK};
    struct arena a;
    arena_init(&a, NAME_ARENA);
    v.name = login_stored_name(str_c(who->name), &a);
    int64_t left = who->expires_s - env->wall_ms(env) / 1000;
    v.good_s = left < 0 ? 0 : left < GOOD_MAX_S ? (uint32_t)left : GOOD_MAX_S;
    if (v.name.len > STORE_ADDRESS_MAX) {
        log_no(k, RC_PERM, "it names no account");
        v = (struct token_verdict){.rc = RC_PERM};
    }
    answer(q->peer, q->id, &v);
    arena_free(&a);
}

static void check(struct checker *k, struct token_http *h, const struct question *q)
{
    struct token_endpoint *e = &k->endpoint;
    struct oauth_identity who = {0};
    struct err err = {0};
    str_t token = str_of(q->token, q->len);
    enum rc rc;
    if (e->env->mono_ms(e->env) >= q->deadline_ms)
        rc = err_set(&err, RC_TEMP, "", "too many tokens wait for it");
    else if (h == NULL)
        rc = err_set(&err, RC_TEMP, "", "libcurl cannot be used");
    else if (e->set->oauth_jwks_url.len > 0)
        rc = token_by_keys(e, h, token, q->deadline_ms, &who, &err);
    else
        rc = token_by_introspection(e, h, token, q->deadline_ms, &who, &err);
    if (rc == RC_OK) {
        say_good(k, q, &who);
        return;
    }
    log_no(k, rc, err.text);
    answer(q->peer, q->id, &(struct token_verdict){.rc = rc == RC_PERM ? RC_PERM : RC_TEMP});
}

/* ---- threads ---- */

static struct question *next(struct checker *k)
{
    pthread_mutex_lock(&state.lock);
    while (!atomic_load(&k->stop) && list_empty(&k->queue))
        pthread_cond_wait(&k->more, &state.lock);
    struct list *l = atomic_load(&k->stop) ? NULL : list_pop(&k->queue);
    k->n_queue -= l != NULL;
    pthread_mutex_unlock(&state.lock);
    return l != NULL ? list_entry(l, struct question, link) : NULL;
}

static void *thread_main(void *user)
{
    struct checker *k = user;
    const struct token_http_config config = {.env = k->endpoint.env,
                                             .tls = k->tls,
                                             .url = settings_oauth_url(k->endpoint.set),
                                             .stop = &k->stop};
    struct err err;
    struct token_http *h = token_http_new(&config, &err);
    for (struct question *q; (q = next(k)) != NULL;) {
        check(k, h, q);
        question_free(q);
    }
    token_http_free(h);
    return NULL;
}

static void end(struct checker *k)
{
    for (int i = 0; i < k->n_threads; i++)
        pthread_join(k->threads[i], NULL);
    for (struct list *l; (l = list_pop(&k->queue)) != NULL;) {
        struct question *q = list_entry(l, struct question, link);
        later(q->peer, q->id);
        question_free(q);
    }
    token_endpoint_free(&k->endpoint);
    log_gate_free(&k->gate);
    pthread_cond_destroy(&k->more);
    free(k);
}

bool token_check_start(struct env *env, const struct settings *set, struct tls_vault *tls)
{
    uint8_t key[16];
    struct checker *k;
    if (settings_oauth_url(set).len == 0)
        return true;
    if ((k = calloc(1, sizeof *k)) == NULL || !token_endpoint_init(&k->endpoint, env, set)) {
        free(k);
        return false;
    }
    k->tls = tls;
    list_init(&k->queue);
    pthread_cond_init(&k->more, NULL);
    env->random(env, key, sizeof key);
    log_gate_init(&k->gate, key);
    while (k->n_threads < TOKEN_THREADS &&
           pthread_create(&k->threads[k->n_threads], NULL, thread_main, k) == 0)
        k->n_threads++;
    if (k->n_threads == 0) {
        end(k);
        return false;
    }
    pthread_mutex_lock(&state.lock);
    state.checker = k;
    pthread_mutex_unlock(&state.lock);
    return true;
}

void token_check_stop(void)
{
    pthread_mutex_lock(&state.lock);
    struct checker *k = state.checker;
    state.checker = NULL;
    if (k != NULL) {
        atomic_store(&k->stop, true);
        pthread_cond_broadcast(&k->more);
    }
    pthread_mutex_unlock(&state.lock);
    if (k != NULL)
        end(k);
}

/* ---- the channel ---- */

static bool add(struct question *q)
{
    pthread_mutex_lock(&state.lock);
    struct checker *k = state.checker;
    bool room = k != NULL && k->n_queue < TOKEN_QUEUE;
    if (room) {
        list_push(&k->queue, &q->link);
        k->n_queue++;
        pthread_cond_signal(&k->more);
    }
    pthread_mutex_unlock(&state.lock);
    return room;
}

static bool on_request(void *user, struct channel_peer *peer, uint8_t type, uint64_t id,
                       str_t payload, int fd)
{
    struct token_check ask;
    (void)user;
    if (fd >= 0)
        close(fd);
    if (type != TOKEN_CHECK || id == 0 || fd >= 0 || !token_check_decode(payload, &ask))
        return false;
    struct question *q = malloc(sizeof *q + ask.token.len);
    if (q == NULL) {
        later(peer, id);
        return true;
    }
    *q = (struct question){
        .peer = peer, .id = id, .deadline_ms = sys_mono_ms() + ask.wait_ms, .len = ask.token.len};
    list_init(&q->link);
    memcpy(q->token, ask.token.ptr, ask.token.len);
    channel_peer_hold(peer);
    if (!add(q)) {
        later(peer, id);
        question_free(q);
    }
    return true;
}

static const struct channel_server_ops channel_ops = {.request = on_request};

void token_check_serve(int fd)
{
    (void)channel_serve(fd, &channel_ops, NULL);
}
