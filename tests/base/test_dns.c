/* test_dns.c: record data from strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/dns.h"

static void names(void **state)
{
    (void)state;
    char out[256];
    str_t wire = STR("\2mx\7example\4test\0rest");
    assert_true(dns_name(&wire, out));
    assert_string_equal(out, "mx.example.test");
    assert_true(str_eq(wire, STR("rest")));
    wire = STR("\0");
    assert_true(dns_name(&wire, out));
    assert_string_equal(out, "");
}

static void bad_names(void **state)
{
    (void)state;
    static const str_t bad[] = {STR(""),
                                STR("\3ab"),
                                STR("\2ab"),
                                STR("\xc0\x0c\0"),
                                STR("\x40"
                                    "a\0"),
                                STR("\3a.b\0"),
                                STR("\3a\0b\0"),
                                STR("\3a b\0"),
                                STR("\3a\nb\0"),
                                STR("\2\xc3\xa4\0"),
                                STR("\3a\\b\0"),
                                STR("\1\x7f\0")};
    char out[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        str_t wire = bad[i];
        assert_false(dns_name(&wire, out));
        assert_true(wire.ptr == bad[i].ptr && wire.len == bad[i].len);
    }
}

/* A wire name of `total` octets: labels of 63, then what is left. */
static size_t long_name(char *wire, size_t total)
{
    size_t at = 0, left = total - 1;
    while (left > 0) {
        size_t n = left > 64 ? 63 : left - 1;
        wire[at++] = (char)n;
        memset(wire + at, 'x', n);
        at += n;
        left -= n + 1;
    }
    wire[at++] = '\0';
    return at;
}

static void name_limit(void **state)
{
    (void)state;
    char wire[300], out[256];
    for (size_t total = 254; total <= 256; total++) {
        str_t s = str_of(wire, long_name(wire, total));
        assert_int_equal(s.len, total);
        assert_int_equal(dns_name(&s, out), total <= 255);
        if (total <= 255)
            assert_int_equal(strlen(out), total - 2);
    }
    char label[66] = {63};
    memset(label + 1, 'y', 64);
    label[64] = 0;
    str_t s = str_of(label, 65);
    assert_true(dns_name(&s, out)); /* 63 */
    label[0] = 64;
    label[64] = 'y';
    label[65] = 0;
    s = str_of(label, 66);
    assert_false(dns_name(&s, out)); /* 64 */
}

static void mx(void **state)
{
    (void)state;
    uint16_t preference = 0;
    char host[256];
    assert_true(dns_mx(STR("\1\2\1a\1b\0"), &preference, host));
    assert_int_equal(preference, 258);
    assert_string_equal(host, "a.b");
    assert_true(dns_mx(STR("\0\0\0"), &preference, host)); /* null MX, RFC 7505 */
    assert_string_equal(host, "");
    preference = 9;
    assert_false(dns_mx(STR("\0"), &preference, host));
    assert_false(dns_mx(STR("\0\1"), &preference, host));
    assert_false(dns_mx(STR("\0\1\1a\0x"), &preference, host)); /* something after the name */
    assert_int_equal(preference, 9);
}

static void addresses(void **state)
{
    (void)state;
    struct netaddr a;
    char text[NETADDR_TEXT];
    assert_true(dns_addr(DNS_A, STR("\xc0\0\2\1"), &a));
    assert_string_equal(netaddr_text(&a, text), "192.0.2.1");
    assert_true(dns_addr(DNS_AAAA, STR("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &a));
    assert_string_equal(netaddr_text_port(&a, text), "[2001:db8::1]:0");
    assert_false(dns_addr(DNS_A, STR("\xc0\0\2"), &a));
    assert_false(dns_addr(DNS_A, STR("\xc0\0\2\1\1"), &a));
    assert_false(dns_addr(DNS_AAAA, STR("\xc0\0\2\1"), &a));
    assert_false(dns_addr(DNS_MX, STR("\xc0\0\2\1"), &a));
}

static void texts(void **state)
{
    (void)state;
    struct arena a;
    str_t out;
    arena_init(&a, 256);
    assert_true(dns_txt(STR("\4v=sp\3"
                            "f1 \0"),
                        &a, &out));
    assert_true(str_eq(out, STR("v=spf1 ")));
    assert_true(dns_txt(STR("\0"), &a, &out));
    assert_int_equal(out.len, 0);
    assert_false(dns_txt(STR(""), &a, &out));
    assert_false(dns_txt(STR("\5abc"), &a, &out));
    assert_false(dns_txt(STR("\1a\1"), &a, &out));
    a.max = a.used;
    assert_false(dns_txt(STR("\1a"), &a, &out)); /* no memory */
    arena_free(&a);
    assert_string_equal(dns_status_name(DNS_NXDOMAIN), "NXDOMAIN");
    assert_string_equal(dns_status_name(DNS_BOGUS), "BOGUS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),      cmocka_unit_test(bad_names),
                                       cmocka_unit_test(name_limit), cmocka_unit_test(mx),
                                       cmocka_unit_test(addresses),  cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
