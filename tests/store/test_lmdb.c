/* test_lmdb.c: the LMDB engine: conformance, damage and what is logged of it, opening again, other
 * people's files. */
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/conformance.h"
#include "store/lmdb_dir.h"

static struct lmdb_dir dir;

static struct store *open_fresh(void)
{
    return lmdb_dir_make(&dir) ? lmdb_dir_open(&dir) : NULL;
}

static void close_all(struct store *s)
{
    store_close(s);
    lmdb_dir_remove(&dir);
}

static struct store *damage(struct store *s, part_t part, str_t key, str_t value)
{
    (void)part;
    (void)key;
    store_close(s);
    return lmdb_dir_damage(&dir, value) ? lmdb_dir_open(&dir) : NULL;
}

static const struct conformance suite = {.name = "store/lmdb",
                                         .open = open_fresh,
                                         .close = close_all,
                                         .damage = damage,
                                         .age_snapshots = store_lmdb_age_snapshots};

static void test_reopen(void **state)
{
    struct fixture *f = *state;
    fixture_put(f, Q, "queue", "1");
    fixture_put(f, U(1), "user", "2");
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = true;
    store_put(&b, STR("lazy"), STR("3"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    store_close(f->s);
    f->s = lmdb_dir_open(&dir);
    assert_non_null(f->s);
    fixture_expect(f, Q, "queue", "1");
    fixture_expect(f, U(1), "user", "2");
    fixture_expect(f, Q, "lazy", "3"); /* an orderly end loses nothing */
}

static void test_lazy_becomes_durable_by_itself(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = true;
    store_put(&b, STR("lazy"), STR("1"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    bool present = false;
    str_t v;
    for (int i = 0; i < 500 && !present;
         i++) { /* reads see what is committed: 100 ms, longer on a busy machine */
        usleep(10000);
        assert_int_equal(store_get1(f->s, Q, STR("lazy"), &f->a, &present, &v), STORE_OK);
    }
    assert_true(present);
}

static void test_damage_is_logged(void **state)
{
    struct fixture *f = *state;
    str_t value = STR("a value that will be damaged on the disk");
    fixture_put(f, U(17),
                "b/\x01"
                "key",
                "a value that will be damaged on the disk");
    f->s = damage(f->s, U(17),
                  STR("b/\x01"
                      "key"),
                  value);
    bool present;
    str_t v;
    assert_int_equal(store_get1(f->s, U(17),
                                STR("b/\x01"
                                    "key"),
                                &f->a, &present, &v),
                     STORE_DAMAGED);
    assert_non_null(strstr(dir.log, "damaged value in mail.mdb: user/17 b/\\x01key"));
}

static void test_moved_value_is_damage(void **state)
{
    /* The checksum covers partition and key: a row under another name is not believed. Both keys
     * are 8 long and the name of the first is changed in the file into that of the second. */
    struct fixture *f = *state;
    fixture_put(f, Q, "wasknown", "right value, wrong key");
    store_close(f->s);
    assert_true(lmdb_dir_damage(&dir, STR("wasknown"))); /* flips one bit of the key */
    f->s = lmdb_dir_open(&dir);
    struct store_page page;
    assert_int_equal(store_scan(f->s, &(struct store_scan){.part = Q}, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, 1);
    assert_true(page.rows[0].damaged);
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    (void)f;
    struct stat st;
    assert_int_equal(fstatat(dir.fd, "queue.mdb", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fstatat(dir.fd, "mail.mdb", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_refuses_what_is_no_store(void **state)
{
    struct fixture *f = *state;
    store_close(f->s);
    int fd = openat(dir.fd, "mail.mdb", O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "this is a text file, and not a short one at all", 47), 47);
    close(fd);
    struct err err = {0};
    assert_null(store_lmdb_open(dir.fd, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "mail.mdb"));
    unlinkat(dir.fd, "mail.mdb", 0);
    f->s = lmdb_dir_open(&dir);
    assert_non_null(f->s);
}

static void test_shared_board(void **state)
{
    struct fixture *f = *state;
    static struct store_board shared;
    fixture_put(f, D, "a", "1");
    uint64_t before = atomic_load(&store_board(f->s)->generation[PART_DIRECTORY]);
    store_lmdb_set_board(f->s, &shared);
    assert_ptr_equal(store_board(f->s), &shared);
    assert_true(atomic_load(&shared.generation[PART_DIRECTORY]) == before);
    assert_true(atomic_load(&shared.free_bytes) > 0);
    fixture_put(f, D, "a", "2");
    assert_true(atomic_load(&shared.generation[PART_DIRECTORY]) > before);
}

/* A file never shrinks: what was deleted in it is room again, or a disk that was full once would be
 * full for ever. */
static void test_room_inside_counts(void **state)
{
    struct fixture *f = *state;
    static char value[STORE_CHUNK];
    char key[8];
    for (int i = 0; i < 64; i++) {
        struct store_batch b = fixture_batch(f, Q);
        snprintf(key, sizeof key, "c%02d", i);
        store_put(&b, str_c(key), str_of(value, sizeof value));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
    }
    struct store_batch b = fixture_batch(f, Q);
    store_delete_range(&b, STR("c"), STR("d"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    const struct store_board *board = store_board(f->s);
    uint64_t inside = 0;
    for (int i = 0; i < 5000 && inside == 0; i++) { /* what is free on the disk is in both */
        uint64_t mail = atomic_load(&board->free_bytes),
                 queue = atomic_load(&board->free_queue_bytes);
        inside = queue >= mail + 3 * 1024 * 1024 ? queue - mail : 0;
        usleep(1000);
    }
    assert_true(inside >= 3 * 1024 * 1024);
}

static void count_hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    (void)part, (void)key, (void)value;
    atomic_fetch_add((_Atomic int *)user, deleted ? 100 : 1);
}

static void await_hints(_Atomic int *hints, int want)
{
    for (int i = 0; i < 2000 && atomic_load(hints) != want; i++)
        usleep(1000);
    assert_int_equal(atomic_load(hints), want);
}

/* Who hears of a row, looks, and finds none takes it for gone: courier forgot deliveries that
 * way. */
static void test_hint_of_lazy_is_readable(void **state)
{
    struct fixture *f = *state;
    static _Atomic int hints;
    atomic_store(&hints, 0);
    assert_int_equal(store_watch(f->s, Q, STR("d/"), count_hint, &hints), STORE_OK);
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = true;
    store_put(&b, STR("d/1"), STR("lazy"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    await_hints(&hints, 1);
    fixture_expect(f, Q, "d/1", "lazy");
    b = fixture_batch(f, Q);
    b.lazy = true;
    store_delete_range(&b, STR("d/"), STR("d0"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    await_hints(&hints, 101);
    fixture_expect(f, Q, "d/1", NULL);
}

/* A check that is killed in the middle of a read must not keep what is freed later from reuse. */
static void test_killed_reader(void **state)
{
    struct fixture *f = *state;
    static char value[STORE_CHUNK];
    char path[96];
    snprintf(path, sizeof path, "%s/queue.mdb", dir.path);
    fixture_put(f, Q, "before", "1");
    pid_t child = fork();
    if (child == 0) {
        MDB_env *env;
        MDB_txn *txn;
        if (mdb_env_create(&env) == 0 &&
            mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0) == 0 &&
            mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0)
            raise(SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    usleep(1200000);                /* over two ticks */
    for (int i = 0; i < 100; i++) { /* 64 MiB through a file that holds nothing */
        char key[8];
        struct store_batch b = fixture_batch(f, Q);
        for (int k = 0; k < 10; k++) {
            snprintf(key, sizeof key, "c%d", k);
            store_put(&b, arena_dup(&f->a, str_c(key)), str_of(value, sizeof value));
        }
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
        b = fixture_batch(f, Q);
        store_delete_range(&b, STR("c"), STR("d"));
        assert_int_equal(store_commit(f->s, &b), STORE_OK);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 48 << 20);
}

static void submit_done(struct store_commit *c)
{
    atomic_fetch_add((_Atomic int *)c->user, 1);
}

static void test_deadline_passed(void **state)
{
    struct fixture *f = *state;
    struct store_batch b = fixture_batch(f, Q);
    _Atomic int done = 0;
    store_put(&b, STR("late"), STR("v"));
    struct store_commit c = {
        .batch = &b, .deadline_ms = 1, .done = submit_done, .user = (void *)&done};
    store_submit(f->s, &c);
    while (!atomic_load(&done))
        usleep(1000);
    assert_int_equal(c.rc, STORE_DOWN);
    fixture_expect(f, Q, "late", NULL);
}

static void flushed(void *user, bool queue)
{
    atomic_fetch_add((_Atomic int *)user + queue, 1);
}

static void test_flush(void **state)
{
    struct fixture *f = *state;
    static _Atomic int flushes[2];
    store_lmdb_set_flush(f->s, flushed, (void *)flushes);
    fixture_put(f, Q, "a", "1");
    for (int i = 0; i < 5000 && atomic_load(&flushes[true]) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&flushes[true]), 1);
    assert_int_equal(atomic_load(&flushes[false]), 0);
    fixture_put(f, D, "a", "1");
    for (int i = 0; i < 5000 && atomic_load(&flushes[false]) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&flushes[false]), 1);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        CASE(test_reopen),
        CASE(test_lazy_becomes_durable_by_itself),
        CASE(test_damage_is_logged),
        CASE(test_moved_value_is_damage),
        CASE(test_files),
        CASE(test_refuses_what_is_no_store),
        CASE(test_shared_board),
        CASE(test_room_inside_counts),
        CASE(test_hint_of_lazy_is_readable),
        CASE(test_killed_reader),
        CASE(test_deadline_passed),
        CASE(test_flush),
    };
    int failed = conformance_run(&suite);
    return failed + cmocka_run_group_tests_name("store/lmdb files", own, NULL, NULL);
}
