/* test_return_path.c: under which sender mail leaves, and what comes back to it. (The formats of SRS
 * and BATV: tests/mail/test_srs.c; mail by them: tests/scenarios/mail.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/return_path.h"
#include "store/engines.h"

static struct fake_env fe;
static struct arena a;
static struct directory_cache *directory;

static int setup(void **state)
{
    (void)state;
    struct err err;
    fake_env_init(&fe, 1);
    fe.env.store = store_memory_new();
    arena_init(&a, 1 << 20);
    directory = directory_cache_new(&fe.env, '+', 64);
    assert_int_equal(directory_domain_add(fe.env.store, STR("us.test"), &err), RC_OK);
    assert_int_equal(return_path_key_make(fe.env.store, &fe.env), STORE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    directory_cache_free(directory);
    store_close(fe.env.store);
    arena_free(&a);
    return 0;
}

/* Empty: it stays as it is. */
static str_t leaving(bool srs, bool batv, const char *srs_domain, const char *sender,
                     const char *forwarder)
{
    struct return_path r;
    str_t out;
    bool changed;
    return_path_init(&r, directory, srs, batv, str_c(srs_domain));
    assert_int_equal(
        return_path_leaving(&r, &fe.env, str_c(sender), str_c(forwarder), &a, &out, &changed),
        STORE_OK);
    return_path_free(&r);
    if (!changed)
        assert_true(str_eq(out, str_c(sender)));
    return changed ? out : STR_NONE;
}

static enum return_path_kind back(str_t address, str_t *out)
{
    struct return_path r;
    enum return_path_kind kind;
    size_t at;
    assert_true(str_rfind(address, '@', &at));
    return_path_init(&r, directory, false, false, STR_NONE);
    assert_int_equal(return_path_read(&r, &fe.env, str_first(address, at),
                                      str_from(address, at + 1), &a, &kind, out),
                     STORE_OK);
    return_path_free(&r);
    return kind;
}

static void who_gets_another(void **state)
{
    (void)state;
    assert_int_equal(leaving(true, true, "", "", "us.test").len, 0); /* <> */
    assert_int_equal(leaving(true, true, "", "x@far.test", "").len, 0);
    assert_int_equal(leaving(false, true, "", "x@far.test", "us.test").len, 0);
    assert_int_equal(leaving(true, false, "", "anna@us.test", "us.test").len, 0);
    str_t srs = leaving(true, false, "", "x@far.test", "us.test");
    assert_true(str_starts(srs, STR("SRS0=")) && str_ends(srs, STR("=far.test=x@us.test")));
    srs = leaving(true, false, "fwd.us.test", "x@far.test", "us.test");
    assert_true(str_ends(srs, STR("=far.test=x@fwd.us.test")));
    str_t tag = leaving(false, true, "", "Anna@US.test", "");
    assert_true(str_starts(tag, STR("prvs=0")) && str_ends(tag, STR("=Anna@US.test")));
    assert_int_equal(leaving(false, true, "", "prvs=0000000000=anna@us.test", "").len, 0);
    /* quoted local parts are signed as what they are */
    tag = leaving(false, true, "", "\"a b\"@us.test", "");
    assert_true(str_starts(tag, STR("\"prvs=0")) && str_ends(tag, STR("=a b\"@us.test")));
}

static void it_comes_back(void **state)
{
    (void)state;
    str_t out, srs = leaving(true, false, "", "Bob.X@far.test", "us.test");
    str_t tag = leaving(false, true, "", "Anna@us.test", "");
    assert_int_equal(back(srs, &out), RETURN_PATH_FORWARD);
    assert_true(str_eq(out, STR("Bob.X@far.test")));
    assert_int_equal(back(tag, &out), RETURN_PATH_TAGGED);
    assert_true(str_eq(out, STR("Anna")));
    assert_int_equal(back(STR("anna@us.test"), &out), RETURN_PATH_PLAIN);
    assert_int_equal(back(STR("prvs=anna@us.test"), &out), RETURN_PATH_PLAIN);
    assert_int_equal(back(STR("prvs=0123abcdef=anna@us.test"), &out), RETURN_PATH_STALE);
    assert_true(str_eq(out, STR("anna")));
    assert_int_equal(back(STR("SRS0=aaaaaa=aa=far.test=bob@us.test"), &out), RETURN_PATH_WRONG);
    assert_int_equal(back(STR("srs0=@us.test"), &out), RETURN_PATH_WRONG);
    fake_env_pass(&fe, (SRS_DAYS + 1) * (int64_t)SRS_DAY_MS);
    assert_int_equal(back(srs, &out), RETURN_PATH_WRONG);
    assert_int_equal(back(tag, &out), RETURN_PATH_STALE);
}

/* Without a key nothing is changed, and nothing of it is good. */
static void no_key(void **state)
{
    (void)state;
    struct store_batch b;
    str_t out, srs = leaving(true, false, "", "x@far.test", "us.test");
    store_batch_init(&b, (part_t){PART_SECRET, 0}, &a);
    store_delete(&b, STR("hmac/key"));
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
    assert_int_equal(leaving(true, true, "", "x@far.test", "us.test").len, 0);
    assert_int_equal(leaving(true, true, "", "anna@us.test", "").len, 0);
    assert_int_equal(back(srs, &out), RETURN_PATH_WRONG);
    assert_int_equal(return_path_key_make(fe.env.store, &fe.env), STORE_OK);
    assert_int_equal(back(srs, &out), RETURN_PATH_WRONG); /* another key */
    srs = leaving(true, false, "", "x@far.test", "us.test");
    assert_int_equal(return_path_key_make(fe.env.store, &fe.env), STORE_OK); /* it stays */
    assert_int_equal(back(srs, &out), RETURN_PATH_FORWARD);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(who_gets_another), T(it_comes_back), T(no_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
