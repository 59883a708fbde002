/* test_url.c: addresses of services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/url.h"

static void good(void **state)
{
    (void)state;
    static const struct {
        str_t text, host;
        uint16_t port;
        bool https, literal, loopback;
    } v[] = {
        {STR("https://id.example.org"), STR("id.example.org"), 443, true, false, false},
        {STR("HTTPS://id.example.org/a/b?c=d"), STR("id.example.org"), 443, true, false, false},
        {STR("https://id.example.org:8443/x"), STR("id.example.org"), 8443, true, false, false},
        {STR("https://id.example.org?x=@"), STR("id.example.org"), 443, true, false, false},
        {STR("http://127.0.0.1:80/"), STR("127.0.0.1"), 80, false, true, true},
        {STR("http://localhost"), STR("localhost"), 80, false, false, true},
        {STR("http://[::1]:8080/x"), STR("::1"), 8080, false, true, true},
        {STR("https://192.0.2.1"), STR("192.0.2.1"), 443, true, true, false},
        {STR("https://[2001:db8::1]"), STR("2001:db8::1"), 443, true, true, false},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct url u;
        assert_true(url_parse(v[i].text, &u));
        assert_true(str_eq(u.host, v[i].host));
        assert_int_equal(u.port, v[i].port);
        assert_int_equal(u.https, v[i].https);
        assert_int_equal(u.literal, v[i].literal);
        assert_int_equal(u.loopback, v[i].loopback);
    }
}

static void bad(void **state)
{
    (void)state;
    static const str_t v[] = {
        STR(""),
        STR("id.example.org"),
        STR("ftp://id.example.org/"),
        STR("https:/id.example.org"),
        STR("https://"),
        STR("https:///x"),
        STR("https://user@id.example.org/"),
        STR("https://a:b@id.example.org/"),
        STR("https://id.example.org:0/"),
        STR("https://id.example.org:65536/"),
        STR("https://id.example.org:/"),
        STR("https://id.example.org:+1/"),
        STR("https://id example.org/"),
        STR("https://id.example.org/a b"),
        STR("https://id.example.org/\n"),
        STR("https://id.example.org/#x"),
        STR("https://id..example.org/"),
        STR("https://id.example.org./"),
        STR("https://-id.example.org/"),
        STR("https://2130706433/"),
        STR("https://127.1/"),
        STR("https://[::1/"),
        STR("https://[::1]x/"),
        STR("https://[127.0.0.1]/"),
        STR("https://[id.example.org]/"),
        STR("https://::1/"),
        STR("https://id.example.org\\@evil.example/"),
        STR("https://id\0.example.org/"),
        STR("https://\xc3\xa4.example.org/"),
    };
    struct url u;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        if (url_parse(v[i], &u))
            fail_msg("taken: " STR_FMT, STR_ARG(v[i]));
    char text[URL_MAX + 2];
    memset(text, 'a', sizeof text);
    memcpy(text, "https://a/", 10);
    assert_true(url_parse(str_of(text, URL_MAX), &u));
    assert_false(url_parse(str_of(text, URL_MAX + 1), &u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
