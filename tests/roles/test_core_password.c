/* test_core_password.c: Password records, and how long the answer to a wrong one is held back. */
#include "roles/core/delays.h"
#include "roles/core/password.h"
#include "roles/core_fixture.h"

static void only_the_password_fits_its_record(void **state)
{
    (void)state;
    struct env env;
    uint8_t record[PASSWORD_RECORD], other[PASSWORD_RECORD];
    sys_env_init(&env);
    assert_int_equal(password_hash(&env, STR("right"), record), RC_OK);
    assert_int_equal(password_hash(&env, STR("right"), other), RC_OK);
    assert_memory_not_equal(record, other, PASSWORD_RECORD); /* a salt each */
    str_t r = str_of(record, PASSWORD_RECORD);
    assert_int_equal(password_check(r, STR("right")), RC_OK);
    assert_int_equal(password_check(r, STR("Right")), RC_PERM);
    assert_int_equal(password_check(r, STR("right\0")), RC_PERM);
    assert_int_equal(password_check(r, STR_NONE), RC_PERM);
}

static void no_record_fits_no_password(void **state)
{
    (void)state;
    struct env env;
    uint8_t record[PASSWORD_RECORD];
    sys_env_init(&env);
    assert_int_equal(password_check(STR_NONE, STR("right")), RC_PERM);
    assert_int_equal(password_check(STR_NONE, STR_NONE), RC_PERM);
    assert_int_equal(password_hash(&env, STR("right"), record), RC_OK);
    assert_int_equal(password_check(str_of(record, PASSWORD_RECORD - 1), STR("right")), RC_PERM);
    record[PASSWORD_RECORD - 1] ^= 1; /* the last byte counts */
    assert_int_equal(password_check(str_of(record, PASSWORD_RECORD), STR("right")), RC_PERM);
    record[PASSWORD_RECORD - 1] ^= 1;
    record[1] = 0xff; /* asks for more memory than any record of ours */
    assert_int_equal(password_check(str_of(record, PASSWORD_RECORD), STR("right")), RC_PERM);
}

static struct netaddr addr(const char *text)
{
    struct netaddr a;
    assert_true(netaddr_parse(str_c(text), &a));
    return a;
}

static void delays_grow_and_are_forgotten(void **state)
{
    (void)state;
    static struct delays d = {.key = "0123456789abcde"};
    struct netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
    const int64_t expected[] = {2000, 4000, 8000, 15000, 15000, 15000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(delays_failed(&d, &a, 1000), expected[i]);
    assert_int_equal(delays_failed(&d, &b, 1000), 2000); /* each its own */
    delays_succeeded(&d, &a);
    assert_int_equal(delays_failed(&d, &a, 1000), 2000);
    assert_int_equal(delays_failed(&d, &a, 1000 + DELAYS_FORGET_MS), 4000);
    assert_int_equal(delays_failed(&d, &a, 1001 + 2 * DELAYS_FORGET_MS), 2000);
}

static void one_ipv6_customer_is_one(void **state)
{
    (void)state;
    static struct delays d;
    struct netaddr a = addr("2001:db8::1"), b = addr("2001:db8::ffff:2"),
                   c = addr("2001:db8:0:1::1");
    assert_int_equal(delays_failed(&d, &a, 0), 2000);
    assert_int_equal(delays_failed(&d, &b, 0), 4000);
    assert_int_equal(delays_failed(&d, &c, 0), 2000);
}

static void the_owner_is_never_held_back(void **state)
{
    (void)state;
    static struct delays d;
    struct netaddr v4 = addr("127.0.0.1"), v6 = addr("::1"), none = {.family = NETADDR_NONE};
    for (int i = 0; i < 10; i++) {
        assert_int_equal(delays_failed(&d, &v4, 0), 0);
        assert_int_equal(delays_failed(&d, &v6, 0), 0);
        assert_int_equal(delays_failed(&d, &none, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_password_fits_its_record),
        cmocka_unit_test(no_record_fits_no_password),
        cmocka_unit_test(delays_grow_and_are_forgotten),
        cmocka_unit_test(one_ipv6_customer_is_one),
        cmocka_unit_test(the_owner_is_never_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
