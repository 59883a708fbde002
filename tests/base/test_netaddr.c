/* test_netaddr.c: addresses, ports and networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/netaddr.h"

static struct netaddr addr(const char *text)
{
    struct netaddr a;
    assert_true(netaddr_parse(str_c(text), &a));
    return a;
}

static void parses(void **state)
{
    (void)state;
    static const char *const good[] = {
        "192.0.2.1", "0.0.0.0",     "255.255.255.255",  "::",
        "::1",       "2001:db8::1", "::ffff:192.0.2.1", "2001:db8:1:2:3:4:5:6"};
    static const char *const bad[] = {"",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.1.1.1",
                                      "01.2.3.4",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1",
                                      "0x7f.0.0.1",
                                      ":::",
                                      "1::2::3",
                                      "2001:db8::1%eth0",
                                      "12345::",
                                      "[::1]",
                                      "1.2.3.4:25",
                                      "localhost",
                                      "2001:db8:1:2:3:4:5:6:7",
                                      "1111:2222:3333:4444:5555:6666:255.255.255.2555"};
    struct netaddr a;
    char text[NETADDR_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        a = addr(good[i]);
        assert_int_equal(a.port, 0);
        assert_string_equal(netaddr_text(&a, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(netaddr_parse(str_c(bad[i]), &a));
    assert_false(netaddr_parse(STR("1.2.3.4\0"), &a));
    assert_false(netaddr_parse(STR_NONE, &a));
}

static void ports(void **state)
{
    (void)state;
    static const char *const good[] = {"192.0.2.1:25", "[2001:db8::1]:65535", "127.0.0.1:0"};
    static const char *const bad[] = {
        "192.0.2.1",      "192.0.2.1:", "192.0.2.1:65536", "[192.0.2.1]:25",
        "2001:db8::1:25", "[::1]",      "[::1]:",          "[::1:25",
        "::1]:25",        ":25",        "[]:25",           "[",
        "[:25",           "1.2.3.4:-1"};
    struct netaddr a;
    char text[NETADDR_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(netaddr_parse_port(str_c(good[i]), &a));
        assert_string_equal(netaddr_text_port(&a, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(netaddr_parse_port(str_c(bad[i]), &a));
}

static void check_in(const char *net, const char *in, const char *out)
{
    struct netaddr_net n;
    struct netaddr a = addr(in), b = addr(out);
    assert_true(netaddr_parse_net(str_c(net), &n));
    assert_true(netaddr_in(&n, &a));
    assert_false(netaddr_in(&n, &b));
}

static void networks(void **state)
{
    (void)state;
    struct netaddr_net n;
    check_in("10.0.0.0/8", "10.255.255.255", "11.0.0.0");
    check_in("10.1.2.3/8", "10.0.0.1", "9.255.255.255"); /* host bits do not matter */
    check_in("192.0.2.128/25", "192.0.2.128", "192.0.2.127");
    check_in("192.0.2.1", "192.0.2.1", "192.0.2.2");
    check_in("0.0.0.0/0", "255.255.255.255", "::");
    check_in("2001:db8::/32", "2001:db8:ffff::", "2001:db9::");
    check_in("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::");
    check_in("::1/128", "::1", "::2");
    check_in("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"); /* v4-mapped */
    check_in("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3");
    check_in("::/0", "2001:db8::", "10.0.0.1");
    assert_false(netaddr_parse_net(STR("10.0.0.0/33"), &n));
    assert_true(netaddr_parse_net(STR("::/128"), &n));
    assert_false(netaddr_parse_net(STR("::/129"), &n));
    assert_false(netaddr_parse_net(STR("10.0.0.0/"), &n));
    assert_false(netaddr_parse_net(STR("/8"), &n));
    assert_false(netaddr_parse_net(STR("10.0.0.0/8/8"), &n));
    assert_true(netaddr_parse_net(STR("0.0.0.0/0"), &n));
    assert_false(netaddr_in(&n, &(struct netaddr){.family = NETADDR_NONE}));
}

static void compares(void **state)
{
    (void)state;
    struct netaddr a = addr("192.0.2.1"), b = a, mapped = addr("::ffff:192.0.2.1"), none = {0};
    b.port = 25;
    b.bytes[9] = 1; /* beyond an IPv4 address */
    assert_true(netaddr_eq(&a, &b));
    assert_true(netaddr_eq(&a, &mapped));
    assert_false(netaddr_eq(&a, &none));
    assert_true(netaddr_eq(&none, &none));
    assert_false(netaddr_eq(&a, &(struct netaddr){.family = NETADDR_V4}));
}

static void loopback(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"};
    static const char *const no[] = {
        "128.0.0.1", "126.0.0.1", "::", "::2", "::ffff:1.2.3.4", "7f00:1::"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        struct netaddr a = addr(yes[i]);
        assert_true(netaddr_loopback(&a));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        struct netaddr a = addr(no[i]);
        assert_false(netaddr_loopback(&a));
    }
}

static void literals(void **state)
{
    (void)state;
    char text[NETADDR_TEXT];
    struct netaddr a = addr("192.0.2.1"), b = addr("2001:db8:1111:2222:3333:4444:5555:6666"),
                   none = {0};
    assert_string_equal(netaddr_literal(&a, text), "[192.0.2.1]");
    assert_string_equal(netaddr_literal(&b, text), "[IPv6:2001:db8:1111:2222:3333:4444:5555:6666]");
    b.port = 65535;
    assert_string_equal(netaddr_text_port(&b, text),
                        "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
    assert_string_equal(netaddr_text(&none, text), "none");
}

/* A process of this machine: compared by its user, in no network. */
static void users(void **state)
{
    (void)state;
    char text[NETADDR_TEXT];
    struct netaddr a = netaddr_of_uid(1000), b = netaddr_of_uid(UINT32_MAX);
    struct netaddr ip = addr("0.0.3.232"); /* the same bytes */
    struct netaddr_net net;
    assert_int_equal(netaddr_uid(&a), 1000);
    assert_int_equal(netaddr_uid(&b), UINT32_MAX);
    assert_string_equal(netaddr_text(&a, text), "uid=1000");
    assert_string_equal(netaddr_text(&b, text), "uid=4294967295");
    assert_string_equal(netaddr_text_port(&a, text), "uid=1000");
    assert_string_equal(netaddr_literal(&a, text), "[uid=1000]");
    struct netaddr same = a;
    same.bytes[15] = 1; /* not his */
    same.port = 7;
    assert_true(netaddr_eq(&a, &same));
    assert_false(netaddr_eq(&a, &b));
    assert_false(netaddr_eq(&a, &ip));
    assert_false(netaddr_loopback(&a));
    assert_true(netaddr_parse_net(STR("0.0.0.0/0"), &net));
    assert_false(netaddr_in(&net, &a));
    assert_true(netaddr_parse_net(STR("::/0"), &net));
    assert_false(netaddr_in(&net, &a));
    net = (struct netaddr_net){.addr = a, .bits = 0};
    assert_false(netaddr_in(&net, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses),   cmocka_unit_test(ports),
                                       cmocka_unit_test(networks), cmocka_unit_test(compares),
                                       cmocka_unit_test(loopback), cmocka_unit_test(literals),
                                       cmocka_unit_test(users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
