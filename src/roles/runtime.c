/* runtime.c: see role.h and runtime.h.
 *
 * The first set of messages is read on the role's own thread, before anything else; then the
 * sandbox is entered, while there is one thread; then the channels (each with a reader thread) and
 * the control thread start, and the role's entry point runs. */
#include "roles/runtime.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "roles/control.h"
#include "roles/courier/token_check.h"
#include "roles/log.h"
#include "roles/resolver/client.h"
#include "roles/role_table.h"
#include "roles/tls_parcel.h"
#include "store/remote.h"
#include "sys/clock.h"
#include "sys/env.h"

#define FIRST_SET_MAX 32 /* channels of the first set: each other role twice at most */
/* how often it is looked whether the channels still stand; at the second time one asks for
 * another */
#define LOOK_MS       500
#define ORPHAN_END_MS 15000 /* a role whose supervisor is gone ends by itself, or is ended */

struct waiting_channel {
    enum role_id peer;
    bool tokens; /* CONTROL_TOKENS */
    int fd;
};

struct runtime {
    struct role role;
    struct settings settings;
    struct arena arena;
    const struct role_row *row;
    int control;
    bool process;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, ready, ended;
    /* until channels exist, or for core and resolver until they are ready */
    struct waiting_channel waiting[FIRST_SET_MAX];
    size_t n_waiting;
};

static struct runtime *runtime_of(struct role *r)
{
    return r->internal;
}

/* ---- what the role calls ---- */

/* A channel's end: to the client object, or to the role that serves. */
static void connect_peer(struct runtime *rt, enum role_id peer, int fd)
{
    struct role *r = &rt->role;
    if (r->id == ROLE_CORE)
        core_serve(r, fd, peer);
    else if (r->id == ROLE_RESOLVER)
        resolver_serve(r, fd, peer);
    else if (peer == ROLE_CORE && r->core != NULL)
        channel_attach(r->core, fd);
    else if (peer == ROLE_RESOLVER && r->resolver != NULL)
        channel_attach(r->resolver, fd);
    else
        close(fd);
}

/* The channel for bearer tokens: core asks, courier answers. */
static void connect_tokens(struct runtime *rt, int fd)
{
    struct role *r = &rt->role;
    if (r->id == ROLE_CORE && r->courier != NULL)
        channel_attach(r->courier, fd);
    else if (r->id == ROLE_COURIER)
        token_check_serve(fd);
    else
        close(fd);
}

/* Hands over what has waited. */
static void connect_waiting(struct runtime *rt)
{
    struct waiting_channel c;
    for (;;) {
        pthread_mutex_lock(&rt->lock);
        bool some = rt->n_waiting > 0;
        if (some) {
            c = rt->waiting[0];
            rt->n_waiting--;
            memmove(rt->waiting, rt->waiting + 1, rt->n_waiting * sizeof c);
        }
        pthread_mutex_unlock(&rt->lock);
        if (!some)
            return;
        if (c.tokens)
            connect_tokens(rt, c.fd);
        else
            connect_peer(rt, c.peer, c.fd);
    }
}

void role_wait_stop(struct role *r)
{
    struct runtime *rt = runtime_of(r);
    pthread_mutex_lock(&rt->lock);
    rt->ready = true;
    pthread_mutex_unlock(&rt->lock);
    connect_waiting(rt);
    (void)control_send(rt->control, CONTROL_READY, 0, -1);
    pthread_mutex_lock(&rt->lock);
    while (!rt->stop)
        pthread_cond_wait(&rt->changed, &rt->lock);
    pthread_mutex_unlock(&rt->lock);
}

bool role_stopping(struct role *r)
{
    struct runtime *rt = runtime_of(r);
    pthread_mutex_lock(&rt->lock);
    bool stop = rt->stop;
    pthread_mutex_unlock(&rt->lock);
    return stop;
}

/* ---- the control thread ---- */

static bool is_server(const struct runtime *rt)
{
    return rt->role.id == ROLE_CORE || rt->role.id == ROLE_RESOLVER;
}

static void on_channel(struct runtime *rt, enum role_id peer, int fd)
{
    pthread_mutex_lock(&rt->lock);
    bool now = rt->ready || !is_server(rt);
    bool wait = !now && rt->n_waiting < FIRST_SET_MAX;
    if (wait)
        rt->waiting[rt->n_waiting++] = (struct waiting_channel){.peer = peer, .fd = fd};
    pthread_mutex_unlock(&rt->lock);
    if (now)
        connect_peer(rt, peer, fd);
    else if (!wait)
        close(fd);
}

/* The supervisor is gone: nobody is left to end us if we hang. */
static void end_orphan(struct runtime *rt)
{
    struct timespec until = sys_timespec(sys_mono_ms() + ORPHAN_END_MS);
    pthread_mutex_lock(&rt->lock);
    int late = 0;
    while (!rt->ended && late == 0)
        late = pthread_cond_clockwait(&rt->changed, &rt->lock, CLOCK_MONOTONIC, &until);
    bool ended = rt->ended;
    pthread_mutex_unlock(&rt->lock);
    if (!ended)
        _exit(1);
}

/* A channel that its server ended (it saw something it did not like) while both live: without a new
 * one we would wait for ever. */
static void look_after(struct runtime *rt, struct channel *ch, enum role_id peer, int *missing)
{
    if (ch == NULL || channel_connected(ch)) {
        *missing = 0;
        return;
    }
    if (++*missing >= 2)
        (void)control_send(rt->control, CONTROL_CHANNEL, (uint8_t)peer, -1);
}

/* As control_receive. */
static int next_message(struct runtime *rt, struct control_message *m)
{
    int missing_core = 0, missing_resolver = 0, missing_courier = 0;
    struct pollfd p = {.fd = rt->control, .events = POLLIN};
    while (poll(&p, 1, LOOK_MS) == 0) {
        look_after(rt, rt->role.core, ROLE_CORE, &missing_core);
        look_after(rt, rt->role.resolver, ROLE_RESOLVER, &missing_resolver);
        look_after(rt, rt->role.courier, ROLE_COURIER, &missing_courier);
    }
    return control_receive(rt->control, m);
}

/* Certificates or authorities: what cannot be used leaves those before. The supervisor has tried
 * them. */
static void on_tls(struct runtime *rt, const struct control_message *m)
{
    struct err err = {0};
    struct tls_vault *v = rt->role.tls;
    if (v == NULL || m->fd < 0)
        return;
    enum rc rc = m->kind == CONTROL_TLS_PAIRS ? tls_parcel_take_pairs(v, m->fd, &err)
                                              : tls_parcel_take_authorities(v, m->fd, &err);
    if (rc != RC_OK)
        log_event(rt->row->name, STR_NONE, "certificates-refused", log_cstr("reason", err.text),
                  log_end);
}

static void *control_main(void *arg)
{
    struct runtime *rt = arg;
    struct control_message m;
    int got;
    while ((got = next_message(rt, &m)) == 1) {
        if (m.kind == CONTROL_CHANNEL && m.fd >= 0)
            on_channel(rt, (enum role_id)m.arg, m.fd);
        else if (m.kind == CONTROL_TLS_PAIRS || m.kind == CONTROL_TLS_AUTHORITIES)
            on_tls(rt, &m);
        else if (m.kind == CONTROL_TOKENS && m.fd >= 0)
            connect_tokens(rt, m.fd);
        else if (m.kind == CONTROL_TOKEN_SECRET && m.fd >= 0)
            token_check_secret(m.fd);
        if (m.kind != CONTROL_CHANNEL && m.kind != CONTROL_TOKENS && m.fd >= 0)
            close(m.fd);
        if (m.kind == CONTROL_STOP)
            break;
    }
    pthread_mutex_lock(&rt->lock);
    rt->stop = true;
    pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
    if (got != 1 && rt->process)
        end_orphan(rt);
    return NULL;
}

/* ---- the first set ---- */

/* The scanner below settings_parse is not made for threads, and with `serve --single` all roles
 * start at once. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;

static enum rc read_settings(struct runtime *rt, int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size > SETTINGS_TEXT_MAX)
        return err_set(err, RC_PERM, "", "the settings cannot be read");
    size_t size = (size_t)st.st_size;
    char *text = arena_alloc(&rt->arena, size + 1);
    for (size_t at = 0; text != NULL && at < size;) {
        ssize_t n = pread(fd, text + at, size - at, (off_t)at);
        if (n <= 0)
            return err_set(err, RC_PERM, "", "the settings cannot be read");
        at += (size_t)n;
    }
    if (text == NULL)
        return err_set(err, RC_TEMP, "", "out of memory");
    pthread_mutex_lock(&parsing);
    enum rc rc = settings_parse(str_of(text, size), "settings", &rt->arena, &rt->settings, err);
    pthread_mutex_unlock(&parsing);
    return rc;
}

static bool add_listener(struct role *r, uint8_t kind, int fd)
{
    struct role_listener *v = realloc(r->listeners, (r->n_listeners + 1) * sizeof *v);
    if (v == NULL || fd < 0)
        return false;
    r->listeners = v;
    v[r->n_listeners++] = (struct role_listener){.kind = (enum listener_kind)kind, .fd = fd};
    return true;
}

static enum rc receive_first_set(struct runtime *rt, struct err *err)
{
    struct role *r = &rt->role;
    enum rc rc = RC_OK;
    struct control_message m;
    while (rc == RC_OK && control_receive(rt->control, &m) == 1) {
        switch (m.kind) {
        case CONTROL_SETTINGS:
            rc = read_settings(rt, m.fd, err);
            close(m.fd);
            break;
        case CONTROL_DATA_DIR: r->data_dir_fd = m.fd; break;
        case CONTROL_LISTENER:
            if (!add_listener(r, m.arg, m.fd))
                rc = err_set(err, RC_TEMP, "", "out of memory");
            break;
        case CONTROL_CHANNEL:
        case CONTROL_TOKENS:
            must(rt->n_waiting < FIRST_SET_MAX);
            rt->waiting[rt->n_waiting++] = (struct waiting_channel){
                .peer = (enum role_id)m.arg, .tokens = m.kind == CONTROL_TOKENS, .fd = m.fd};
            break;
        case CONTROL_TOKEN_SECRET:
            token_check_secret(m.fd);
            close(m.fd);
            break;
        case CONTROL_TLS_PAIRS:
        case CONTROL_TLS_AUTHORITIES:
            on_tls(rt, &m);
            close(m.fd);
            break;
        case CONTROL_START: return RC_OK;
        case CONTROL_STOP:
        case CONTROL_READY:
        case CONTROL_KINDS: return err_set(err, RC_CLOSED, "", "told to stop before the start");
        }
    }
    return rc != RC_OK ? rc : err_set(err, RC_CLOSED, "", "the supervisor is gone");
}

static enum rc make_channels(struct runtime *rt, struct err *err)
{
    struct role *r = &rt->role;
    bool good = true;
    if (rt->row->core) {
        r->env.store = store_remote_new(&r->env, &r->core);
        good = r->env.store != NULL;
    }
    if (good && rt->row->resolver) {
        r->resolver = channel_new(NULL, NULL, NULL);
        good = r->resolver != NULL;
        if (good)
            resolver_client_install(&r->env, r->resolver);
    }
    if (good && rt->row->courier && settings_oauth_url(&rt->settings).len > 0) {
        r->courier = channel_new(NULL, NULL, NULL);
        good = r->courier != NULL;
    }
    if (good && pthread_create(&rt->thread, NULL, control_main, rt) != 0)
        good = false;
    return good ? RC_OK : err_set(err, RC_TEMP, "", "out of memory or threads");
}

static enum rc begin(struct runtime *rt, struct err *err)
{
    /* Made before the sandbox is entered: it also sets the TLS library up. */
    if (rt->row->tls != 0 && (rt->role.tls = tls_vault_new()) == NULL)
        return err_set(err, RC_TEMP, "", "out of memory");
    enum rc rc = receive_first_set(rt, err);
    if (rc == RC_OK && rt->role.id == ROLE_COURIER)
        token_check_prepare(&rt->settings);
    if (rc == RC_OK && rt->process) {
        struct sandbox s = role_sandbox(rt->role.id, &rt->settings, rt->role.data_dir_fd);
        rc = sandbox_enter(&s, err);
    }
    if (rc == RC_OK)
        rc = make_channels(rt, err);
    if (rc == RC_OK && !is_server(rt))
        connect_waiting(rt);
    return rc;
}

/* ---- from beginning to end ---- */

static int enter(struct role *r)
{
    switch (r->id) {
    case ROLE_CORE: return role_core(r);
    case ROLE_RESOLVER: return role_resolver(r);
    case ROLE_MX: return role_mx(r);
    case ROLE_USER: return role_user(r);
    case ROLE_COURIER: return role_courier(r);
    case ROLE_LOCAL: return role_local(r);
    case ROLE_SUPERVISOR:
    case ROLE_COUNT: break;
    }
    return ROLE_EXIT_CONFIG;
}

static void finish(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    rt->ended = true;
    pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
    shutdown(rt->control, SHUT_RD);
    pthread_join(rt->thread, NULL);
    if (rt->role.env.store != NULL && rt->row->core)
        store_close(rt->role.env.store);
    channel_free(rt->role.resolver);
    channel_free(rt->role.courier);
    if (rt->role.free_late != NULL)
        rt->role.free_late(rt->role.kept);
}

static void release(struct runtime *rt)
{
    for (size_t i = 0; i < rt->n_waiting; i++)
        close(rt->waiting[i].fd);
    if (rt->role.data_dir_fd >= 0)
        close(rt->role.data_dir_fd);
    tls_vault_free(rt->role.tls);
    free(rt->role.listeners); /* the descriptors are the role's */
    arena_free(&rt->arena);
    close(rt->control);
    pthread_mutex_destroy(&rt->lock);
    pthread_cond_destroy(&rt->changed);
    free(rt);
}

int role_run(enum role_id id, int control, bool process)
{
    struct runtime *rt = calloc(1, sizeof *rt);
    must(rt != NULL);
    rt->role =
        (struct role){.id = id, .settings = &rt->settings, .data_dir_fd = -1, .internal = rt};
    rt->row = &role_table[id];
    rt->control = control;
    rt->process = process;
    arena_init(&rt->arena, 4 * SETTINGS_TEXT_MAX);
    pthread_mutex_init(&rt->lock, NULL);
    pthread_cond_init(&rt->changed, NULL);
    sys_env_init(&rt->role.env);
    struct err err = {0};
    int status = ROLE_EXIT_CONFIG;
    enum rc rc = begin(rt, &err);
    if (rc == RC_OK) {
        status = enter(&rt->role);
        finish(rt);
    } else if (rc != RC_CLOSED) {
        log_event(rt->row->name, STR_NONE, "start-failed", log_cstr("reason", err.text), log_end);
    }
    release(rt);
    return status;
}

int role_main(const char *name)
{
    enum role_id id;
    int type = 0;
    socklen_t len = sizeof type;
    if (!role_by_name(name, &id) ||
        getsockopt(ROLE_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
        type != SOCK_SEQPACKET) {
        static const char why[] = "postrider: roles are started by `postrider serve`\n";
        (void)!write(2, why, sizeof why - 1);
        return 64; /* EX_USAGE */
    }
    (void)close_range(ROLE_CONTROL_FD + 1, ~0u, 0);
    /* A signal to the whole group, from a terminal or an init, is the supervisor's affair: it stops
     * us in order. */
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    /* A commit or a message allocates and frees the same megabytes again and again: giving them
     * back to the kernel in between costs more than all else that malloc does. Core's are LMDB's
     * dirty pages. */
    (void)mallopt(M_TRIM_THRESHOLD, id == ROLE_CORE ? 64 << 20 : 8 << 20);
    return role_run(id, ROLE_CONTROL_FD, true);
}
