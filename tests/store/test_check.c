/* test_check.c: store_check counts what is there and names what is damaged, beside a running server
 * too. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/check.h"
#include "store/conformance.h"
#include "store/lmdb_dir.h"

struct found {
    size_t parts, damages;
    uint64_t rows;
    struct store_check_part part[8];
    char name[256];
};

static void take_part(void *user, const struct store_check_part *p)
{
    struct found *f = user;
    if (f->parts < 8)
        f->part[f->parts] = *p;
    f->parts++;
    f->rows += p->rows;
}

static void take_damage(void *user, part_t part, str_t key, const char *name)
{
    struct found *f = user;
    (void)part;
    (void)key;
    f->damages++;
    snprintf(f->name, sizeof f->name, "%s", name);
}

static enum store_check_rc run(struct lmdb_dir *dir, struct found *f)
{
    struct err err = {0};
    struct store_check c = {take_part, take_damage, f};
    memset(f, 0, sizeof *f);
    enum store_check_rc rc = store_check(dir->fd, &c, &err);
    if (rc == STORE_CHECK_FAILED)
        fprintf(stderr, "%s\n", err.text);
    return rc;
}

static void fill(struct store *s)
{
    struct fixture f = {.s = s};
    arena_init(&f.a, 8u << 20);
    fixture_put(&f, D, "domain", "example.test");
    fixture_put(&f, U(7), "b/1", "the content of a message that is worth keeping");
    fixture_put(&f, U(8), "b/1", "another");
    for (int r = 0; r < 20; r++) { /* more rows than one turn */
        struct store_batch b = fixture_batch(&f, Q);
        for (int i = 0; i < 500; i++)
            store_put(&b, arena_fmt(&f.a, "m/%02d/%03d", r, i), STR("row"));
        assert_int_equal(store_commit(s, &b), STORE_OK);
    }
    arena_free(&f.a);
}

static void test_check(void **state)
{
    (void)state;
    struct lmdb_dir dir;
    struct found f;
    assert_true(lmdb_dir_make(&dir));
    struct store *s = lmdb_dir_open(&dir);
    assert_non_null(s);
    fill(s);
    pid_t pid = fork(); /* another process, while the store is open here */
    if (pid == 0)
        _exit(run(&dir, &f) == STORE_CHECK_OK && f.rows == 10003 ? 0 : 1);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    store_close(s);

    assert_int_equal(run(&dir, &f), STORE_CHECK_OK);
    assert_int_equal(f.parts, 4);
    assert_int_equal(f.part[0].part.kind, PART_QUEUE);
    assert_int_equal(f.part[0].rows, 10000);
    assert_int_equal(f.part[0].bytes, 10000 * (8 + 3));
    assert_int_equal(f.part[2].part.id, 7);

    assert_true(lmdb_dir_damage(&dir, STR("the content of a message that is worth keeping")));
    assert_int_equal(run(&dir, &f), STORE_CHECK_DAMAGED);
    assert_int_equal(f.damages, 1);
    assert_string_equal(f.name, "user/7 b/1");
    assert_int_equal(f.rows, 10003);
    assert_int_equal(f.part[2].damaged, 1);
    lmdb_dir_remove(&dir);
}

static void test_check_without_files(void **state)
{
    (void)state;
    struct lmdb_dir dir;
    struct err err = {0};
    assert_true(lmdb_dir_make(&dir));
    assert_int_equal(store_check(dir.fd, &(struct store_check){0}, &err), STORE_CHECK_FAILED);
    assert_non_null(strstr(err.text, ".mdb cannot be opened"));
    assert_int_equal(faccessat(dir.fd, "queue.mdb", F_OK, 0), -1); /* and it made none */
    lmdb_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_check_without_files)};
    return cmocka_run_group_tests_name("store/check", tests, NULL, NULL);
}
