/* test_expand.c: domains in U-labels and in A-labels are the same to who follows an address. (What
 * aliases do is in tests/scenarios/mail.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_env.h"
#include "roles/local/expand.h"
#include "store/engines.h"

static struct fake_env fe;
static struct arena a;
static struct directory_cache *directory;
static uint64_t anna;

static int setup(void **state)
{
    (void)state;
    struct err err;
    str_t far[] = {STR("u@straße.example"), STR("anna@bücher.example")};
    fake_env_init(&fe, 1);
    fe.env.store = store_memory_new();
    arena_init(&a, 1 << 20);
    directory = directory_cache_new(&fe.env, '+', 64);
    assert_int_equal(directory_domain_add(fe.env.store, STR("bücher.example"), &err), RC_OK);
    assert_int_equal(directory_account_add(fe.env.store, STR("anna@bücher.example"), &anna, &err),
                     RC_OK);
    assert_int_equal(directory_alias_set(fe.env.store, STR("all@bücher.example"), far, 2, &err),
                     RC_OK);
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

static void add(struct expansion *x, const char *address)
{
    struct queue_rcpt r = {.address = str_c(address)};
    const struct expander with = {.env = &fe.env, .directory = directory};
    assert_int_equal(expand(&with, &r, &a, x), STORE_OK);
}

static void ours(void **state)
{
    (void)state;
    struct expansion x = {0};
    add(&x, "anna@BÜCHER.example");
    add(&x, "Anna@xn--bcher-kva.Example");
    assert_int_equal(x.n, 1);
    assert_true(x.v[0].kind == LEAF_ACCOUNT && x.v[0].account == anna);
    add(&x, "nobody@bücher.example");
    assert_int_equal(x.v[1].kind, LEAF_UNKNOWN);
}

/* An alias all of whose addresses are there by another recipient is no loop. */
static void twice(void **state)
{
    (void)state;
    struct expansion x = {0};
    add(&x, "all@bücher.example");
    add(&x, "ALL@bücher.example");
    add(&x, "anna@bücher.example");
    add(&x, "all+detail@bücher.example");
    assert_int_equal(x.n, 2);
    assert_int_equal(x.v[0].kind, LEAF_REMOTE);
    assert_int_equal(x.v[1].kind, LEAF_ACCOUNT);
}

static void elsewhere(void **state)
{
    (void)state;
    struct expansion x = {0};
    add(&x, "u@STRAßE.example");
    add(&x, "u@xn--strae-oqa.example");
    add(&x, "all@bücher.example");
    assert_int_equal(x.n, 2);
    assert_int_equal(x.v[0].kind, LEAF_REMOTE);
    assert_true(str_eq(x.v[0].address, STR("u@STRAßE.example"))); /* as it was given */
    assert_true(str_eq(x.v[0].domain, STR("xn--strae-oqa.example")));
    assert_int_equal(x.v[1].kind, LEAF_ACCOUNT);
    add(&x, "U@straße.example");  /* local parts elsewhere have case */
    add(&x, "u@strasse.example"); /* and ß is not ss */
    assert_int_equal(x.n, 4);
}

static void no_domain(void **state)
{
    (void)state;
    struct expansion x = {0};
    add(&x, "u@💩.example");
    assert_int_equal(x.n, 1);
    assert_int_equal(x.v[0].kind, LEAF_REMOTE); /* courier says what is wrong with it */
    assert_true(str_eq(x.v[0].domain, STR("💩.example")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ours, setup, teardown),
        cmocka_unit_test_setup_teardown(twice, setup, teardown),
        cmocka_unit_test_setup_teardown(elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(no_domain, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
