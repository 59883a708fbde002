/* bench_logins.c: what logins cost core, and what an attack on them costs the mail.
 *
 *     bench_logins DIR
 *
 * A core over LMDB in DIR (empty, on the disk to be measured), asked over channels as by its roles:
 *   - one known program that logs in for each message, with auth_cache and without
 *   - answers to an unknown name, a wrong password, a wrong use: mean times and their differences,
 *     and the Kolmogorov-Smirnov statistic against its critical value at p = 0.01
 *   - durable batches of an accepted message a second, alone and while a thousand logins with wrong
 *     passwords are asked for at once, again and again, from
 *     many addresses for many names (for one, its budget ends it)
 *
 * Built by  ninja -C BUILD bench/bench_logins  in a release build. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "post/directory_row.h"
#include "roles/core/server.h"
#include "roles/log.h"
#include "store/engines.h"
#include "store/remote.h"
#include "sys/env.h"

enum { SAMPLES = 300, FLOOD = 1000, ACCOUNT = 17 };

static struct env env;
static struct core_server *cs;
static struct settings settings;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct store *client(enum role_id role)
{
    int sv[2];
    struct channel *ch;
    struct store *s = store_remote_new(&env, &ch);
    must(s != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
    must(core_server_serve(cs, sv[1], permissions_of(role)));
    channel_attach(ch, sv[0]);
    return s;
}

static enum rc try(struct store *user, const struct netaddr *from, const char *name,
                   const char *password, enum store_use use)
{
    struct store_login l = {.use = use, .name = str_c(name), .password = str_c(password)};
    struct store_login_answer a;
    struct err err;
    if (from != NULL)
        l.from = *from;
    enum rc rc = store_remote_login(user, &l, &a, &err);
    if (a.session != NULL)
        store_close(a.session);
    return rc;
}

static void make_account(struct store *admin)
{
    struct arena a;
    struct store_batch b;
    struct buf row;
    struct err err;
    char id[8] = {[7] = ACCOUNT};
    arena_init(&a, 65536);
    buf_init(&row, 512);
    directory_account_encode(STR("me@example.org"), &row);
    store_batch_init(&b, (part_t){PART_DIRECTORY, 0}, &a);
    store_put(&b, directory_key_account(ACCOUNT, &a), buf_str(&row));
    store_put(&b, STR("login/me@example.org"), str_of(id, 8));
    must(store_commit(admin, &b) == STORE_OK);
    must(store_remote_set_password(admin, ACCOUNT, STR("right"), &err) == RC_OK);
    must(store_remote_add_password(admin, ACCOUNT, STR("reader"), STORE_USE_READ, STR("app"),
                                   &err) == RC_OK);
    buf_free(&row);
    arena_free(&a);
}

/* ---- one program, a login for each message ---- */

static void repeated(struct store *user, uint32_t cache_s)
{
    int n = 0;
    settings.auth_cache_s = cache_s;
    core_server_settings(cs, &settings);
    must(try(user, NULL, "me@example.org", "right", STORE_USE_SEND) == RC_OK);
    double began = now_s();
    for (; now_s() - began < 2; n++)
        must(try(user, NULL, "me@example.org", "right", STORE_USE_SEND) == RC_OK);
    printf("logins one after another, auth_cache %3us: %8.0f/s\n", cache_s, n / (now_s() - began));
}

/* ---- does the time tell? ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double mean(const double *v)
{
    double sum = 0;
    for (int i = 0; i < SAMPLES; i++)
        sum += v[i];
    return sum / SAMPLES;
}

/* The largest distance of two samples' distributions. */
static double ks(const double *a, const double *b)
{
    double most = 0;
    for (int i = 0, k = 0; i < SAMPLES && k < SAMPLES;) {
        if (a[i] <= b[k])
            i++;
        else
            k++;
        double d = fabs((double)(i - k)) / SAMPLES;
        most = d > most ? d : most;
    }
    return most;
}

static void times(struct store *user)
{
    static double v[3][SAMPLES];
    static const struct {
        const char *what, *name, *password;
    } tries[] = {{"unknown name", "nobody@example.org", "wrong"},
                 {"wrong password", "me@example.org", "wrong"},
                 {"not for this use", "me@example.org", "app"}};
    settings.auth_cache_s = 0;
    core_server_settings(cs, &settings);
    for (int i = 0; i < SAMPLES; i++)
        for (int k = 0; k < 3; k++) { /* in turn: what else the machine does falls on all */
            double began = now_s();
            must(try(user, NULL, tries[k].name, tries[k].password, STORE_USE_SEND) == RC_PERM);
            v[k][i] = (now_s() - began) * 1e3;
        }
    for (int k = 0; k < 3; k++)
        qsort(v[k], SAMPLES, sizeof v[k][0], by_value);
    for (int k = 0; k < 3; k++)
        printf("%-18s mean %7.3f ms, median %7.3f ms, from the first %+7.3f ms, KS %.3f (over %.3f "
               "is a difference)\n",
               tries[k].what, mean(v[k]), v[k][SAMPLES / 2], mean(v[k]) - mean(v[0]),
               ks(v[0], v[k]), 1.63 * sqrt(2.0 / SAMPLES));
}

/* ---- mail under attack ---- */

static _Atomic bool stop;
static _Atomic uint64_t refused, wrong;

static void *attacker(void *arg)
{
    struct store *user = ((struct store **)arg)[0];
    unsigned seed = (unsigned)(uintptr_t)pthread_self();
    while (!stop) {
        char name[32], password[32];
        struct netaddr from = {.family = NETADDR_V4, .bytes = {11}};
        from.bytes[1] = (uint8_t)rand_r(&seed);
        from.bytes[2] = (uint8_t)rand_r(&seed);
        snprintf(name, sizeof name, "n%d@example.org", rand_r(&seed) % 10000);
        snprintf(password, sizeof password, "guess %d", rand_r(&seed));
        if (try(user, &from, name, password, STORE_USE_SEND) == RC_PERM)
            wrong++;
        else
            refused++;
        /* a client is held for two seconds at the least: the connection of a thousand */
        struct timespec pause = {.tv_sec = 2};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *sender(void *arg)
{
    struct store *mx = ((struct store **)arg)[1];
    static _Atomic uint64_t next;
    static char content[10650];
    uintptr_t n = 0;
    for (; !stop; n++) {
        struct arena a;
        struct store_batch b;
        char id[PERMISSIONS_ID + 1];
        arena_init(&a, 65536);
        snprintf(id, sizeof id, "%010llu", (unsigned long long)next++);
        store_batch_init(&b, (part_t){PART_QUEUE, 0}, &a);
        store_put_new(&b, arena_fmt(&a, "c/%s/0", id), str_of(content, sizeof content));
        store_put_new(&b, arena_fmt(&a, "m/%s", id), str_of(content, 400));
        store_put_new(&b, arena_fmt(&a, "dr/%s/0", id), str_of(content, 200));
        must(store_commit(mx, &b) == STORE_OK);
        arena_free(&a);
    }
    return (void *)n;
}

static double mail_rate(struct store *clients[2], int attackers)
{
    enum { SENDERS = 16, SECONDS = 5 };
    pthread_t threads[SENDERS + FLOOD];
    int n = 0;
    uintptr_t sum = 0;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    stop = false;
    for (; n < SENDERS; n++)
        must(pthread_create(&threads[n], &small, sender, clients) == 0);
    for (; n < SENDERS + attackers; n++)
        must(pthread_create(&threads[n], &small, attacker, clients) == 0);
    struct timespec t = {.tv_sec = SECONDS};
    nanosleep(&t, NULL);
    stop = true;
    for (int i = 0; i < n; i++) {
        void *done;
        pthread_join(threads[i], &done);
        sum += i < SENDERS ? (uintptr_t)done : 0;
    }
    return (double)sum / SECONDS;
}

int main(int argc, char **argv)
{
    struct err err;
    int dir = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0) {
        fprintf(stderr, "usage: bench_logins DIR\n");
        return 2;
    }
    log_quiet(true);
    sys_env_init(&env);
    struct store *engine = store_lmdb_open(dir, NULL, NULL, &err);
    must(engine != NULL);
    cs = core_server_new(engine, &env, &err);
    must(cs != NULL);
    struct store *admin = client(ROLE_COUNT);
    struct store *clients[2] = {client(ROLE_USER), client(ROLE_MX)};
    make_account(admin);
    repeated(clients[0], 0);
    repeated(clients[0], 120);
    times(clients[0]);
    double alone = mail_rate(clients, 0);
    double attacked = mail_rate(clients, FLOOD);
    printf("messages: %.0f/s alone, %.0f/s (%.0f %%) with %d attackers; of their tries %llu were "
           "checked, %llu told \"later\"\n",
           alone, attacked, 100 * attacked / alone, FLOOD, (unsigned long long)wrong,
           (unsigned long long)refused);
    store_close(clients[0]);
    store_close(clients[1]);
    store_close(admin);
    core_server_free(cs);
    store_close(engine);
    return 0;
}
