/* token_ask.c: see token_ask.h. */
#include "roles/core/token_ask.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "roles/core/token_cache.h"
#include "roles/log.h"
#include "roles/token_protocol.h"

enum { MARGIN_MS = 2000 }; /* courier gives up that much earlier, so that its answer still comes */

struct token_ask {
    struct env *env;
    struct channel *courier;
    int64_t cache_ms; /* 0: nothing is kept */
    _Atomic int asked;
    struct token_cache cache;
};

struct asked {
    struct channel_call call;
    struct token_ask *ask;
    struct token_mark mark;
    void *ticket;
};

struct token_ask *token_ask_new(struct env *env, const struct settings *set,
                                struct channel *courier)
{
    uint8_t key[32];
    struct token_ask *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->env = env;
    t->courier = courier;
    t->cache_ms = (int64_t)set->auth_cache_s * 1000;
    if (t->cache_ms > TOKEN_CACHE_MAX_MS)
        t->cache_ms = TOKEN_CACHE_MAX_MS;
    env->random(env, key, sizeof key);
    token_cache_init(&t->cache, key);
    digest_wipe(key, sizeof key);
    return t;
}

void token_ask_free(struct token_ask *t)
{
    if (t == NULL)
        return;
    token_cache_free(&t->cache);
    free(t);
}

/* ---- what comes back ---- */

static void keep(struct token_ask *t, const struct token_mark *m, const struct token_verdict *v)
{
    int64_t ms = (int64_t)v->good_s * 1000;
    ms = ms < t->cache_ms ? ms : t->cache_ms;
    if (ms > 0)
        token_cache_put(&t->cache, m, v->name, t->env->mono_ms(t->env) + ms);
}

/* On the channel's reader thread. */
static void done(struct channel_call *c)
{
    struct asked *a = c->user;
    struct token_ask *t = a->ask;
    struct token_verdict v = {.rc = RC_TEMP};
    bool answered = c->rc == RC_OK;
    if (answered && c->reply_fd >= 0)
        close(c->reply_fd); /* nobody asked for one */
    if (answered && (c->reply_type != TOKEN_VERDICT || !token_verdict_decode(c->reply, &v))) {
        log_event("core", STR_NONE, "malformed", log_cstr("peer", "courier"),
                  log_cstr("request", "token verdict"), log_end);
        v = (struct token_verdict){.rc = RC_TEMP};
    }
    if (v.rc == RC_OK)
        keep(t, &a->mark, &v);
    atomic_fetch_sub(&t->asked, 1);
    core_token_done(a->ticket, v.rc, v.name);
    free(a);
}

/* ---- asking ---- */

static bool send(struct token_ask *t, struct asked *a, str_t token)
{
    struct buf b;
    const struct token_check q = {.wait_ms = TOKEN_WAIT_MAX_MS, .token = token};
    buf_init(&b, TOKEN_CHECK_MAX);
    bool good = buf_room(&b, TOKEN_CHECK_MAX) != NULL && token_check_encode(&q, &b);
    if (good) {
        struct iovec iov = {.iov_base = b.ptr, .iov_len = b.len};
        a->call.done = done;
        a->call.user = a;
        a->call.deadline_ms = t->env->mono_ms(t->env) + TOKEN_WAIT_MAX_MS + MARGIN_MS;
        channel_send(t->courier, TOKEN_CHECK, &iov, 1, &a->call);
    }
    digest_wipe(b.ptr, b.cap);
    buf_free(&b);
    return good;
}

static void ask(struct token_ask *t, const struct token_mark *m, str_t token, void *ticket)
{
    struct asked *a = NULL;
    bool room = atomic_fetch_add(&t->asked, 1) < TOKEN_ASK_MAX;
    if (room && (a = calloc(1, sizeof *a)) != NULL) {
        a->ask = t;
        a->mark = *m;
        a->ticket = ticket;
        if (send(t, a, token))
            return;
    }
    free(a);
    atomic_fetch_sub(&t->asked, 1);
    core_token_done(ticket, RC_TEMP, STR_NONE);
}

void token_ask_check(void *user, const struct core_token *what, void *ticket)
{
    struct token_ask *t = user;
    struct token_mark m;
    char name[STORE_ADDRESS_MAX + 1];
    if (!token_cache_mark(&t->cache, what->token, &m))
        core_token_done(ticket, RC_TEMP, STR_NONE);
    else if (token_cache_find(&t->cache, &m, t->env->mono_ms(t->env), name))
        core_token_done(ticket, RC_OK, str_c(name));
    else
        ask(t, &m, what->token, ticket);
}
