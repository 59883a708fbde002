/* test_origin.c: Addresses at the host's own name: whose they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_env.h"
#include "roles/smtp/smtp_in.h"
#include "store/engines.h"

static struct fake_env fe;
static struct settings set;
static struct smtp_common common;
static struct arena a;

static int setup(void **state)
{
    struct err err;
    (void)state;
    fake_env_init(&fe, 9);
    fe.env.store = store_memory_new();
    arena_init(&a, 1 << 20);
    set = (struct settings){.hostname = STR("box.example.test"), .subaddress_separator = '+'};
    common = (struct smtp_common){.env = &fe.env, .settings = &set};
    common.directory = directory_cache_new(&fe.env, '+', 64);
    assert_int_equal(directory_domain_add(fe.env.store, STR("example.test"), &err), RC_OK);
    assert_int_equal(directory_domain_add(fe.env.store, STR("another.test"), &err), RC_OK);
    return common.directory == NULL;
}

static int teardown(void **state)
{
    (void)state;
    directory_cache_free(common.directory);
    store_close(fe.env.store);
    arena_free(&a);
    return 0;
}

static void becomes(const char *given, const char *want)
{
    str_t address = str_c(given);
    assert_true(smtp_in_origin(&common, &address, &a));
    if (!str_eq(address, str_c(want)))
        fail_msg("%s became " STR_FMT, given, STR_ARG(address));
}

static void of_the_host(void **state)
{
    (void)state;
    struct err err;
    becomes("root@box.example.test", "root@example.test");
    becomes("Root+x@BOX.Example.test", "Root+x@example.test");
    becomes("root@example.test", "root@example.test");
    becomes("root@box.example.test.far.test", "root@box.example.test.far.test");
    becomes("root", "root");
    becomes("", "");
    /* the first goes: the next by name takes its place */
    assert_int_equal(directory_domain_remove(fe.env.store, STR("example.test"), &err), RC_OK);
    becomes("root@box.example.test", "root@another.test");
    assert_int_equal(directory_domain_remove(fe.env.store, STR("another.test"), &err), RC_OK);
    becomes("root@box.example.test", "root@box.example.test"); /* nobody's */
}

/* Where the host's name is a domain of ours there is nothing to put right. */
static void served(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(directory_domain_add(fe.env.store, STR("box.example.test"), &err), RC_OK);
    becomes("root@box.example.test", "root@box.example.test");
}

/* Not known now: the caller says 451, and nothing is taken for another's. */
static void store_down(void **state)
{
    (void)state;
    struct err err;
    str_t address = STR("root@box.example.test");
    store_memory_crash_after(fe.env.store, 1, false);
    assert_int_not_equal(directory_domain_add(fe.env.store, STR("x.test"), &err), RC_OK);
    assert_false(smtp_in_origin(&common, &address, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(served, setup, teardown),
        cmocka_unit_test_setup_teardown(store_down, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
