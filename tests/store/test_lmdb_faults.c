/* test_lmdb_faults.c: what the LMDB engine does when the disk fails: each system call of a commit
 * in turn, and a full disk.
 *
 * Calls are made to fail by a seccomp filter in a child process, which is what the engine sees of a
 * broken disk. The full disk is a small tmpfs in a mount namespace of our own (skipped where that
 * is not allowed). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/conformance.h"
#include "store/lmdb_dir.h"

static struct lmdb_dir dir;

/* cmocka's asserts do not reach the parent: these do. */
#define expect(cond) ((cond) ? (void)0 : unexpected(#cond, __LINE__))
_Noreturn static void unexpected(const char *what, int line)
{
    fprintf(stderr, "line %d: not so: %s\nlog: %s\n", line, what, dir.log);
    _exit(1);
}

static enum store_rc put(struct store *s, const char *key, bool lazy, size_t size)
{
    static char value[STORE_VALUE_MAX];
    struct arena a;
    struct store_batch b;
    arena_init(&a, 1 << 16);
    store_batch_init(&b, Q, &a);
    b.lazy = lazy;
    store_put(&b, str_c(key), str_of(value, size));
    enum store_rc rc = store_commit(s, &b);
    arena_free(&a);
    return rc;
}

static enum store_rc del(struct store *s, const char *key)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 1 << 16);
    store_batch_init(&b, Q, &a);
    store_require_present(&b, str_c(key));
    store_delete(&b, str_c(key));
    enum store_rc rc = store_commit(s, &b);
    arena_free(&a);
    return rc;
}

static bool has(struct store *s, const char *key)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    bool present;
    str_t v;
    expect(store_get1(s, Q, str_c(key), &a, &present, &v) == STORE_OK);
    arena_free(&a);
    return present;
}

/* ---- failing system calls ---- */

struct fault {
    int call, error;
    int fd; /* only on this descriptor; -1: any */
};

static void inject(const struct fault *v, size_t n)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    expect(ctx && seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0);
    for (size_t i = 0; i < n; i++) {
        uint32_t act = SCMP_ACT_ERRNO((uint32_t)v[i].error);
        int rc = v[i].fd < 0 ? seccomp_rule_add(ctx, act, v[i].call, 0)
                             : seccomp_rule_add(ctx, act, v[i].call, 1,
                                                SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)v[i].fd, 0));
        expect(rc == 0);
    }
    expect(seccomp_load(ctx) == 0);
    seccomp_release(ctx);
}

/* LMDB's two descriptors of a file: the second, for the meta page, syncs each write. */
static int find_fd(const char *name, bool syncing)
{
    for (int fd = 3; fd < 64; fd++) {
        char link[64], path[256];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n <= 0)
            continue;
        path[n] = 0;
        int flags = fcntl(fd, F_GETFL);
        if (str_ends(str_c(path), str_c(name)) && ((flags & O_DSYNC) != 0) == syncing)
            return fd;
    }
    unexpected("the descriptor is there", __LINE__);
}

static void expect_stopped(struct store *s, const char *unknown)
{
    const struct store_board *board = store_board(s);
    expect(put(s, unknown, false, 100) == STORE_UNKNOWN);
    expect(atomic_load(&board->writes_stopped) == 1);
    expect(put(s, "later", false, 100) == STORE_STOPPED);
    expect(put(s, "later", true, 100) == STORE_STOPPED);
    expect(del(s, "before") == STORE_STOPPED);
    expect(has(s, "before")); /* reads go on */
    expect(!has(s, "later"));
    expect(strstr(dir.log, "STOPPED") != NULL);
    uint64_t id;
    expect(store_snapshot_open(s, Q, &id) == STORE_OK);
    struct arena a;
    struct store_page page;
    arena_init(&a, 1 << 20);
    struct store_scan q = {.part = Q, .end = STR("c"), .snapshot = id};
    expect(store_scan(s, &q, &a, &page) == STORE_OK && page.n == 1);
    arena_free(&a);
    store_snapshot_close(s, id);
}

static void child_sync_fails(void)
{
    struct store *s = lmdb_dir_open(&dir);
    expect(s && put(s, "before", false, 100) == STORE_OK);
    expect(put(s, "lazy", true, 100) == STORE_OK);
    inject(&(struct fault){SCMP_SYS(fdatasync), EIO, -1}, 1);
    expect_stopped(s, "unknown");
    expect(!has(s, "unknown")); /* nothing of a group whose sync failed is shown */
    expect(strstr(dir.log, "cannot sync in queue.mdb") != NULL);
    store_close(s);
}

static void child_sync_has_no_space(void)
{
    struct store *s = lmdb_dir_open(&dir);
    expect(s && put(s, "before", false, 100) == STORE_OK);
    inject(&(struct fault){SCMP_SYS(fdatasync), ENOSPC, -1}, 1);
    expect_stopped(s, "unknown");
    store_close(s);
}

static void child_meta_fails(void)
{
    struct store *s = lmdb_dir_open(&dir);
    expect(s && put(s, "before", false, 100) == STORE_OK);
    inject(&(struct fault){SCMP_SYS(pwrite64), EIO, find_fd("queue.mdb", true)}, 1);
    expect_stopped(s, "unknown");
    expect(strstr(dir.log, "cannot sync or write the meta page in queue.mdb") != NULL);
    store_close(s);
}

static void child_write_fails(int error, void (*then)(struct store *s))
{
    struct store *s = lmdb_dir_open(&dir);
    expect(s && put(s, "before", false, 100) == STORE_OK);
    int fd = find_fd("queue.mdb", false);
    const struct fault v[] = {{SCMP_SYS(pwrite64), error, fd},
                              {SCMP_SYS(writev), error, fd},
                              {SCMP_SYS(pwritev), error, fd}};
    inject(v, 3);
    then(s);
    store_close(s);
}

static void then_full(struct store *s)
{
    const struct store_board *board = store_board(s);
    for (int i = 0; i < 3; i++)
        expect(put(s, "unwritten", false, 100) == STORE_FULL);
    expect(put(s, "lazy", true, 100) == STORE_OK); /* promised, kept by us */
    expect(put(s, "unwritten", false, 100) == STORE_FULL);
    /* no more promises until that one is kept */
    expect(put(s, "lazy too", true, 100) == STORE_FULL);
    expect(atomic_load(&board->writes_stopped) == 0);
    expect(has(s, "before") && !has(s, "unwritten"));
    expect(strstr(dir.log, "STOPPED") == NULL);
}

static void child_write_has_no_space(void)
{
    child_write_fails(ENOSPC, then_full);
}

static void then_stopped(struct store *s)
{
    expect_stopped(s, "unknown");
}

static void child_write_is_broken(void)
{
    child_write_fails(EIO, then_stopped);
}

static void run_child(void (*fn)(void))
{
    assert_true(lmdb_dir_make(&dir));
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on in the child */
        fn();
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == 77;
    if (!skipped) {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        /* the restart: what was acknowledged is there, and it writes again */
        struct store *s = lmdb_dir_open(&dir);
        assert_non_null(s);
        assert_true(has(s, "before"));
        assert_int_equal(put(s, "after", false, 100), STORE_OK);
        store_close(s);
    }
    lmdb_dir_remove(&dir);
    if (skipped)
        skip();
}

static void test_sync_fails(void **state)
{
    (void)state;
    run_child(child_sync_fails);
}
static void test_sync_has_no_space(void **state)
{
    (void)state;
    run_child(child_sync_has_no_space);
}
static void test_meta_fails(void **state)
{
    (void)state;
    run_child(child_meta_fails);
}
static void test_write_has_no_space(void **state)
{
    (void)state;
    run_child(child_write_has_no_space);
}
static void test_write_is_broken(void **state)
{
    (void)state;
    run_child(child_write_is_broken);
}

/* ---- a full disk ---- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

static bool small_disk(void)
{
    uid_t uid = geteuid();
    if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0)
        return false;
    if (uid != 0) {
        char map[32];
        snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
        write_file("/proc/self/uid_map", map);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", dir.path, "tmpfs", 0, "size=80m") != 0)
        return false;
    close(dir.fd);
    dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir.fd >= 0;
}

static unsigned fill(struct store *s, bool lazy, unsigned from)
{
    char key[16];
    for (unsigned n = from;; n++) {
        snprintf(key, sizeof key, "k%06u", n);
        enum store_rc rc = put(s, key, lazy, 60000);
        expect(rc == STORE_OK || rc == STORE_FULL);
        expect(n < 10000);
        if (rc == STORE_FULL)
            return n;
    }
}

static void hog_the_rest(void)
{
    static const char zeros[65536];
    int fd = openat(dir.fd, "hog", O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    close(fd);
}

static void child_full_disk(void)
{
    if (!small_disk())
        _exit(77);
    struct store *s = lmdb_dir_open(&dir);
    expect(s && put(s, "before", false, 100) == STORE_OK);
    unsigned n = fill(s, false, 0);
    expect(n > 100);
    hog_the_rest(); /* not a byte is left outside our own reserve */
    expect(put(s, "no", false, 60000) == STORE_FULL);
    expect(put(s, "no", true, 60000) == STORE_FULL);
    char key[16];
    /* a reader pins what the first deletes free: they need new pages, from the reserve */
    uint64_t reader;
    expect(store_snapshot_open(s, Q, &reader) == STORE_OK);
    for (unsigned i = 0; i < n; i++) { /* every delete works */
        snprintf(key, sizeof key, "k%06u", i);
        expect(has(s, key));
        expect(del(s, key) == STORE_OK);
        if (i == n / 2)
            store_snapshot_close(s, reader);
    }
    usleep(1100000); /* free pages are counted once a second */
    /* what they freed is used again, though the disk is still full */
    expect(put(s, "reuse", false, 60000) == STORE_OK);
    expect(unlinkat(dir.fd, "hog", 0) == 0);
    unsigned again = fill(s, false, 0); /* and with space outside, all of it */
    expect(again >= n * 9 / 10);
    expect(atomic_load(&store_board(s)->writes_stopped) == 0);
    for (unsigned i = 0; i < again; i += 3) {
        snprintf(key, sizeof key, "k%06u", i);
        expect(del(s, key) == STORE_OK);
    }
    expect(has(s, "before"));
    store_close(s);
    _exit(0);
}

static void test_full_disk(void **state)
{
    (void)state;
    assert_true(lmdb_dir_make(&dir));
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        child_full_disk();
    }
    int status;
    waitpid(pid, &status, 0);
    lmdb_dir_remove(&dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_fails),      cmocka_unit_test(test_sync_has_no_space),
        cmocka_unit_test(test_meta_fails),      cmocka_unit_test(test_write_has_no_space),
        cmocka_unit_test(test_write_is_broken), cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests_name("store/lmdb faults", tests, NULL, NULL);
}
