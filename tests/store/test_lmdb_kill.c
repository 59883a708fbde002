/* test_lmdb_kill.c: a process that writes is killed at any moment, several times over the same
 * files. An outside witness (this process, at the other end of a pipe) knows what was acknowledged:
 * all of that must be there, and nothing may be half there. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/check.h"
#include "store/conformance.h"
#include "store/lmdb_dir.h"

#define KILLS    6
#define WRITERS  8
#define MAX_SEEN 200000

struct message {
    uint32_t round, writer, n;
};

static struct message seen[MAX_SEEN];

struct writer {
    struct store *s;
    uint32_t round, id;
    int witness;
};

static str_t message_key(struct arena *a, const char *kind, struct message m)
{
    return arena_fmt(a, "%s/%02u/%02u/%06u", kind, m.round, m.writer, m.n);
}

static str_t message_content(struct arena *a, struct message m)
{
    size_t n = 100 + m.n * 7919 % 30000;
    char *p = arena_alloc(a, n);
    assert_non_null(p);
    memset(p, (int)('a' + (m.round + m.writer + m.n) % 26), n);
    return str_of(p, n);
}

/* Like a message on its way in: content in a lazy batch, then the rest in a durable one. */
static enum store_rc write_message(struct store *s, struct arena *a, struct message m)
{
    struct store_batch b;
    store_batch_init(&b, Q, a);
    b.lazy = true;
    store_put(&b, message_key(a, "c0", m), message_content(a, m));
    enum store_rc rc = store_commit(s, &b);
    if (rc != STORE_OK)
        return rc;
    store_batch_init(&b, Q, a);
    store_put_new(&b, message_key(a, "c1", m), message_content(a, m));
    store_put_new(&b, message_key(a, "m", m), STR("message"));
    store_put_new(&b, message_key(a, "d", m), STR("delivery"));
    store_add(&b, STR("total"), 1);
    if (m.n >= 10) { /* pages are freed and used again */
        struct message old = {m.round, m.writer, m.n - 10};
        store_put(&b, message_key(a, "gone", old), STR("1"));
        store_delete(&b, message_key(a, "c0", old));
        store_delete(&b, message_key(a, "c1", old));
    }
    return store_commit(s, &b);
}

static void *write_all(void *arg)
{
    struct writer *w = arg;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (uint32_t n = 0;; n++) {
        struct message m = {w->round, w->id, n};
        if (write_message(w->s, &a, m) != STORE_OK || write(w->witness, &m, sizeof m) != sizeof m)
            _exit(3);
        arena_reset(&a);
    }
    return NULL;
}

static void child(struct lmdb_dir *dir, uint32_t round, int witness)
{
    static struct writer w[WRITERS];
    pthread_t t;
    struct store *s = lmdb_dir_open(dir);
    if (!s)
        _exit(2);
    for (uint32_t i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){s, round, i, witness};
        if (pthread_create(&t, NULL, write_all, &w[i]) != 0)
            _exit(2);
    }
    pause();
    _exit(4);
}

static size_t run_and_kill(struct lmdb_dir *dir, uint32_t round, size_t n)
{
    int p[2];
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0)
        child(dir, round, p[1]);
    close(p[1]);
    size_t enough = n + 20 + round * 37; /* a different moment each time */
    bool killed = false;
    while (n < MAX_SEEN && read(p[0], &seen[n], sizeof seen[0]) == sizeof seen[0])
        if (++n >= enough && !killed) {
            kill(pid, SIGKILL);
            killed = true; /* what was acknowledged before is still in the pipe */
        }
    close(p[0]);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return n;
}

static bool present(struct fixture *f, const char *kind, struct message m, str_t want)
{
    bool there;
    str_t value;
    assert_int_equal(store_get1(f->s, Q, message_key(&f->a, kind, m), &f->a, &there, &value),
                     STORE_OK);
    assert_true(!there || want.len == 0 || str_eq(value, want));
    return there;
}

/* Whether the message is there; if so, all of it must be. */
static bool whole(struct fixture *f, struct message m)
{
    bool there = present(f, "m", m, STR("message"));
    assert_int_equal(present(f, "d", m, STR("delivery")), there);
    bool gone = present(f, "gone", m, STR("1"));
    assert_true(there || !gone);
    bool c0 = present(f, "c0", m, message_content(&f->a, m)),
         c1 = present(f, "c1", m, message_content(&f->a, m));
    assert_int_equal(c1, there && !gone);
    /* a lazy chunk may be there without its message, not the other way round */
    assert_true(!there || c0 == !gone);
    return there;
}

static void verify(struct lmdb_dir *dir, size_t n)
{
    struct fixture f = {.s = lmdb_dir_open(dir)};
    assert_non_null(f.s);
    arena_init(&f.a, 1 << 22);
    uint32_t last[KILLS][WRITERS] = {0};
    for (size_t i = 0; i < n; i++) {
        assert_true(whole(&f, seen[i]));
        if (seen[i].n > last[seen[i].round][seen[i].writer])
            last[seen[i].round][seen[i].writer] = seen[i].n;
        arena_reset(&f.a);
    }
    for (uint32_t r = 0; r < KILLS; r++)
        for (uint32_t w = 0; w < WRITERS;
             w++) { /* those under way when it was killed: there or not, but whole */
            (void)whole(&f, (struct message){r, w, last[r][w] + 1});
            arena_reset(&f.a);
        }
    store_close(f.s);
    arena_free(&f.a);
}

static void test_killed(void **state)
{
    (void)state;
    struct lmdb_dir dir;
    size_t n = 0;
    assert_true(lmdb_dir_make(&dir));
    for (uint32_t round = 0; round < KILLS; round++) {
        n = run_and_kill(&dir, round, n);
        verify(&dir, n);
    }
    struct err err = {0};
    assert_int_equal(store_check(dir.fd, &(struct store_check){0}, &err), STORE_CHECK_OK);
    assert_true(n > KILLS * 20);
    lmdb_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};
    return cmocka_run_group_tests_name("store/lmdb killed", tests, NULL, NULL);
}
