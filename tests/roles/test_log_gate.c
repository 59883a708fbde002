/* test_log_gate.c: how many lines an address, and all of them, can cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "roles/log_gate.h"

static struct log_gate gate;
static const uint8_t key[16] = "a key, not known";

static struct netaddr v4(uint32_t n)
{
    struct netaddr a = {.family = NETADDR_V4};
    for (int i = 0; i < 4; i++)
        a.bytes[i] = (uint8_t)(n >> (24 - 8 * i));
    return a;
}

static int lines(const struct netaddr *from, int tries, int64_t now_ms)
{
    int n = 0;
    uint64_t left_out;
    for (int i = 0; i < tries; i++)
        n += log_gate_pass(&gate, from, now_ms, &left_out);
    return n;
}

static int setup(void **state)
{
    (void)state;
    log_gate_init(&gate, key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_gate_free(&gate);
    return 0;
}

static void test_one_address(void **state)
{
    (void)state;
    struct netaddr eve = v4(1), other = v4(2);
    assert_int_equal(lines(&eve, 1000000, 5000), LOG_GATE_BURST);
    assert_int_equal(lines(&eve, 1000, 5999), 0);
    uint64_t left_out;
    assert_true(log_gate_pass(&gate, &eve, 6000, &left_out));
    assert_int_equal(left_out, 1000000 - LOG_GATE_BURST + 1000);
    assert_false(log_gate_pass(&gate, &eve, 6000, &left_out));
    assert_true(log_gate_pass(&gate, &other, 6000, &left_out)); /* others are heard */
    assert_int_equal(left_out, 0);
    assert_int_equal(lines(&eve, 1000000, 6000 + 3600000), LOG_GATE_BURST); /* forgotten in time */
}

static void test_all_addresses(void **state)
{
    (void)state;
    int n = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        struct netaddr a = v4(i);
        n += lines(&a, 1, 5000);
    }
    assert_int_equal(n, LOG_GATE_BURST_ALL);
    n = 0;
    for (uint32_t i = 0; i < 100000; i++) { /* ten seconds */
        struct netaddr a = v4(i);
        n += lines(&a, 1, 5000 + i / 10);
    }
    assert_in_range(n, 10 * LOG_GATE_PER_S_ALL, 11 * LOG_GATE_PER_S_ALL);
}

static void test_a_network_is_one(void **state)
{
    (void)state;
    struct netaddr a = {.family = NETADDR_V6, .bytes = {0x20, 1, 0xd, 0xb8}}, b = a, c = a;
    b.bytes[15] = 1; /* of the same /64 */
    c.bytes[7] = 1;
    assert_int_equal(lines(&a, 1000, 0), LOG_GATE_BURST);
    assert_int_equal(lines(&b, 1000, 0), 0);
    assert_int_equal(lines(&c, 1000, 0), LOG_GATE_BURST);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_one_address), T(test_all_addresses),
                                       T(test_a_network_is_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
