/* bench_store.c: how many durable batches a second the LMDB engine takes, and what one costs.
 *
 *     bench_store DIR [SUBMITTERS [SECONDS [KEEP]]]
 *
 * Each submitter is a thread that commits a batch like an accepted message (rows of 400 B, 10.4
 * KiB, 200 B) and waits for it. With KEEP > 0, one that has KEEP messages in the store deletes its
 * oldest in a batch of its own before the next (so pages are reused, as in a queue that drains); 0
 * only puts. DIR should be empty and on the disk to be measured. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "store/engines.h"

struct submitter {
    pthread_t thread;
    struct store *s;
    int id;
    unsigned keep;
    uint64_t puts, deletes;
    _Atomic bool *stop;
};

static char content[10650];

static uint64_t scramble(uint64_t x) /* ids are random, as those of messages are */
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ (x >> 33);
}

static void keys(const struct submitter *t, uint64_t n, char k[3][40])
{
    uint64_t id = scramble((uint64_t)t->id << 40 | n), time = n * 1000 + (uint64_t)t->id;
    snprintf(k[0], 40, "c/%012llx%08llx/0", (unsigned long long)time,
             (unsigned long long)id & 0xffffffff);
    snprintf(k[1], 40, "dr/%012llx%08llx/0", (unsigned long long)time,
             (unsigned long long)id & 0xffffffff);
    snprintf(k[2], 40, "m/%012llx%08llx", (unsigned long long)time,
             (unsigned long long)id & 0xffffffff);
}

static void commit(struct submitter *t, struct store_batch *b)
{
    enum store_rc rc = store_commit(t->s, b);
    if (rc != STORE_OK) {
        fprintf(stderr, "commit: %s\n", store_rc_name(rc));
        exit(1);
    }
}

static void *submitter_run(void *arg)
{
    struct submitter *t = arg;
    struct arena a;
    char k[3][40];
    arena_init(&a, 1 << 20);
    while (!atomic_load(t->stop)) {
        struct store_batch b;
        if (t->keep && t->puts - t->deletes >= t->keep) {
            store_batch_init(&b, (part_t){PART_QUEUE, 0}, &a);
            keys(t, t->deletes++, k);
            for (int i = 0; i < 3; i++)
                store_delete(&b, str_c(k[i]));
            commit(t, &b);
        }
        store_batch_init(&b, (part_t){PART_QUEUE, 0}, &a);
        keys(t, t->puts++, k);
        store_put(&b, str_c(k[0]), str_of(content, sizeof content));
        store_put(&b, str_c(k[1]), str_of(content, 200));
        store_put(&b, str_c(k[2]), str_of(content, 400));
        commit(t, &b);
        arena_reset(&a);
    }
    arena_free(&a);
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(double *user, double *sys)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *user = (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec / 1e6;
    *sys = (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec / 1e6;
    return *user + *sys;
}

int main(int argc, char **argv)
{
    int n = argc > 2 ? atoi(argv[2]) : 64, seconds = argc > 3 ? atoi(argv[3]) : 5;
    unsigned keep = argc > 4 ? (unsigned)atoi(argv[4]) : 20;
    int dir = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
    struct err err;
    struct store *s = dir >= 0 ? store_lmdb_open(dir, NULL, NULL, &err) : NULL;
    if (!s || n < 1) {
        fprintf(stderr, "usage: bench_store DIR [SUBMITTERS [SECONDS [KEEP]]]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)('a' + i % 26);
    _Atomic bool stop = false;
    struct submitter *t = calloc((size_t)n, sizeof *t);
    double start = now(), user, sys, used = cpu(&user, &sys);
    for (int i = 0; i < n; i++) {
        t[i] = (struct submitter){.s = s, .id = i, .keep = keep, .stop = &stop};
        pthread_create(&t[i].thread, NULL, submitter_run, &t[i]);
    }
    sleep((unsigned)seconds);
    atomic_store(&stop, true);
    uint64_t puts = 0, deletes = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(t[i].thread, NULL);
        puts += t[i].puts;
        deletes += t[i].deletes;
    }
    double took = now() - start, user0 = user, sys0 = sys;
    used = cpu(&user, &sys) - used;
    double all = (double)(puts + deletes);
    printf("%d submitters, %.1f s: %.0f batches/s (%.0f puts/s, %.0f deletes/s), CPU %.1f us a "
           "batch (user %.1f, kernel %.1f)\n",
           n, took, all / took, (double)puts / took, (double)deletes / took, used / all * 1e6,
           (user - user0) / all * 1e6, (sys - sys0) / all * 1e6);
    store_close(s);
    free(t);
    return 0;
}
