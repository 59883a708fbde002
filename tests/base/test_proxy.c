/* test_proxy.c: the PROXY header, both versions, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_BODY   "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x00\x19"
#define V6_BODY                                                                                    \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\x04\x00" \
    "\x19"

static const str_t after = STR("EHLO client\r\n");

/* Complete headers, with what follows them; not one byte less will do. */
static void check(str_t header, const char *from, const char *to)
{
    char bytes[PROXY_HEADER_MAX + 64], text[NETADDR_TEXT];
    struct proxy_header h;
    memcpy(bytes, header.ptr, header.len);
    memcpy(bytes + header.len, after.ptr, after.len);
    for (size_t n = 0; n < header.len; n++)
        assert_int_equal(proxy_parse(str_of(bytes, n), &h), PROXY_MORE);
    for (size_t n = header.len; n <= header.len + after.len; n++) {
        assert_int_equal(proxy_parse(str_of(bytes, n), &h), PROXY_OK);
        assert_int_equal(h.size, header.len);
        assert_int_equal(h.local, from == NULL);
        assert_string_equal(netaddr_text_port(&h.from, text), from != NULL ? from : "none:0");
        assert_string_equal(netaddr_text_port(&h.to, text), to != NULL ? to : "none:0");
    }
}

static void version_1(void **state)
{
    (void)state;
    check(STR("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"), "192.0.2.1:56324",
          "198.51.100.7:25");
    check(STR("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
          "255.255.255.255:65535", "255.255.255.255:65535");
    check(STR("PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n"), "[2001:db8::1]:1", "[2001:db8::2]:0");
    check(STR("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 25\r\n"), "192.0.2.1:1",
          "192.0.2.2:25");
    check(STR("PROXY UNKNOWN\r\n"), NULL, NULL);
    /* the longest of 2.1, 107 bytes */
    check(STR("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          NULL, NULL);
}

static void version_2(void **state)
{
    (void)state;
    check(STR(SIGNATURE "\x21\x11\0\x0c" V4_BODY), "192.0.2.1:56324", "198.51.100.7:25");
    check(STR(SIGNATURE "\x21\x21\0\x24" V6_BODY), "[2001:db8::1]:56324", "[2001:db8::2]:25");
    check(STR(SIGNATURE "\x21\x11\0\x11" V4_BODY "\x04\0\x02xy"), "192.0.2.1:56324",
          "198.51.100.7:25");                             /* a TLV behind */
    check(STR(SIGNATURE "\x20\0\0\0"), NULL, NULL);       /* LOCAL */
    check(STR(SIGNATURE "\x20\x99\0\x02xy"), NULL, NULL); /* whatever it says besides */
    check(STR(SIGNATURE "\x21\0\0\x02xy"), NULL, NULL);   /* UNSPEC */
}

static void v2_of(char *to, char family, size_t body)
{
    memset(to, 0, PROXY_HEADER_MAX + 1);
    memcpy(to, SIGNATURE "\x21", 13);
    to[13] = family;
    to[14] = (char)(body >> 8);
    to[15] = (char)body;
}

static void lengths(void **state)
{
    (void)state;
    static const struct {
        char family;
        size_t least;
    } kind[] = {{0x11, 12}, {0x21, 36}, {0x31, 216}};
    char bytes[PROXY_HEADER_MAX + 1];
    struct proxy_header h;
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        for (size_t n = kind[i].least - 1; n <= kind[i].least + 1; n++) {
            v2_of(bytes, kind[i].family, n);
            assert_int_equal(proxy_parse(str_of(bytes, 16 + n), &h),
                             n < kind[i].least ? PROXY_BAD : PROXY_OK);
        }
    v2_of(bytes, 0x31, 216);
    assert_int_equal(proxy_parse(str_of(bytes, 16 + 216), &h), PROXY_OK);
    assert_true(h.local);
    for (size_t n = PROXY_HEADER_MAX - 1; n <= PROXY_HEADER_MAX + 1; n++) {
        v2_of(bytes, 0x11, n - 16);
        assert_int_equal(proxy_parse(str_of(bytes, 16), &h),
                         n > PROXY_HEADER_MAX ? PROXY_BAD : PROXY_MORE);
        if (n <= PROXY_HEADER_MAX)
            assert_int_equal(proxy_parse(str_of(bytes, n), &h), PROXY_OK);
    }
}

static void line_too_long(void **state)
{
    (void)state;
    char line[PROXY_V1_MAX + 2];
    struct proxy_header h;
    for (size_t n = PROXY_V1_MAX - 1; n <= PROXY_V1_MAX + 1; n++) {
        memset(line, 'x', sizeof line);
        memcpy(line, "PROXY UNKNOWN ", 14);
        assert_int_equal(proxy_parse(str_of(line, n), &h),
                         n < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD);
        memcpy(line + n - 2, "\r\n", 2);
        assert_int_equal(proxy_parse(str_of(line, n), &h),
                         n <= PROXY_V1_MAX ? PROXY_OK : PROXY_BAD);
    }
}

static void no_headers(void **state)
{
    (void)state;
    static const str_t bad[] = {
        STR("EHLO x\r\n"),
        STR("PROXY\r\n"),
        STR("PROXY \r\n"),
        STR("proxy TCP4 192.0.2.1 192.0.2.2 1 25\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n"),
        STR("PROXY TCP4  192.0.2.1 192.0.2.2 1 25\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n"),
        STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 9\r\n"),
        STR("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"),
        STR("PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n"),
        STR("PROXY TCP4 192.0.2.256 192.0.2.2 1 25\r\n"),
        STR("PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n"),
        STR("PROXY UNKNOWNX\r\n"),
        STR("\r\n\r\n\0\r\nQUIX"),
        STR(SIGNATURE "\x11\x11\0\x0c" V4_BODY), /* version 1 */
        STR(SIGNATURE "\x22\x11\0\x0c" V4_BODY), /* no such command */
        STR(SIGNATURE "\x21\x12\0\x0c" V4_BODY), /* datagrams */
        STR(SIGNATURE "\x21\x10\0\x0c" V4_BODY), /* neither stream nor datagrams */
        STR(SIGNATURE "\x21\x41\0\x0c" V4_BODY), /* no such family */
    };
    struct proxy_header h;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(proxy_parse(bad[i], &h), PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),     cmocka_unit_test(version_2),  cmocka_unit_test(lengths),
        cmocka_unit_test(line_too_long), cmocka_unit_test(no_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
