/* test_domain.c: names by IDNA2008 with the mapping of UTS 46, and what is no name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mail/domain.h"

static void is_ascii(struct arena *a, str_t domain, const char *want)
{
    str_t out;
    if (!domain_to_ascii(domain, a, &out))
        fail_msg("refused: " STR_FMT, STR_ARG(domain));
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.ptr, want, out.len);
}

static void test_to_ascii(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"example.test", "example.test"},
        {"Example.TEST", "example.test"},
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
        {"bücher.example", "xn--bcher-kva.example"},
        {"BÜCHER.Example", "xn--bcher-kva.example"},
        {"bu\xcc\x88"
         "cher.example",
         "xn--bcher-kva.example"},                     /* decomposed: NFC */
        {"straße.de", "xn--strae-oqa.de"},             /* non-transitional */
        {"ＢＵＥＣＨＥＲ.example", "buecher.example"}, /* widths */
        {"日本語.jp", "xn--wgv71a119e.jp"},
        {"日本語。jp", "xn--wgv71a119e.jp"}, /* the ideographic full stop, from a keyboard */
        {"אבג1.ü", "xn--1-zhcde.xn--tda"},
        {"xn--bcher-kva.ü", "xn--bcher-kva.xn--tda"},
        {"[192.0.2.1]", "[192.0.2.1]"},
        {"[IPv6:2001:DB8::1]", "[IPv6:2001:DB8::1]"},
        {"", ""},
    };
    struct arena a;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        is_ascii(&a, str_c(rows[i].from), rows[i].to);
    arena_free(&a);
}

static void test_no_names(void **state)
{
    (void)state;
    static const str_t bad[] = {
        STR("\xff.example"),
        STR("b\xc3.example"), /* UTF-8 cut off */
        STR("ü..example"),
        STR(".ü"),
        STR("ü."),
        STR("-ü.example"),
        STR("ü-.example"),
        STR("ab--ü.example"),
        STR("ü-.-x.example"),
        STR("ü x.example"),
        STR("ü_x.example"),
        STR("ü@x.example"),
        STR("ü＠x.example"),
        STR("ü／x.example"),
        STR("ü％x.example"),
        STR("[ü]"),
        STR("💩.example"), /* IDNA2008 has no symbols */
        STR("ü\0.example"),
        STR("xn--a.ü"),
        STR("א1a.ü"), /* RFC 5893: both directions in a label */
    };
    struct arena a;
    str_t out;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (domain_to_ascii(bad[i], &a, &out))
            fail_msg("row %zu became " STR_FMT, i, STR_ARG(out));
    arena_free(&a);
}

/* Labels of 63 octets, names of 253 in A-labels, of 255 in UTF-8. */
static void test_lengths(void **state)
{
    (void)state;
    struct arena a;
    str_t out;
    char name[400] = "ü.";
    arena_init(&a, 1 << 16);
    memset(name + 3, 'a', sizeof name - 3);
    assert_true(domain_to_ascii(str_of(name, 3 + 63), &a, &out));
    assert_false(domain_to_ascii(str_of(name, 3 + 64), &a, &out));
    for (size_t i = 52; i < sizeof name; i += 50)
        name[i] = '.';
    /* "ü" is two octets, "xn--tda" seven */
    assert_true(domain_to_ascii(str_of(name, DOMAIN_DNS_MAX - 5), &a, &out));
    assert_int_equal(out.len, DOMAIN_DNS_MAX);
    assert_false(domain_to_ascii(str_of(name, DOMAIN_DNS_MAX - 4), &a, &out));
    for (size_t i = 0; i + 3 < sizeof name; i += 3) /* wide letters are one octet in ASCII */
        memcpy(name + i, i % 150 == 147 ? "a.b" : "\xef\xbd\x81", 3);
    assert_true(domain_to_ascii(str_of(name, DOMAIN_MAX), &a, &out));
    assert_false(domain_to_ascii(str_of(name, DOMAIN_MAX + 3), &a, &out));
    arena_free(&a);
}

static void test_ascii_costs_nothing(void **state)
{
    (void)state;
    struct arena none;
    str_t out, name = STR("plain.example"), mixed = STR("Plain.example");
    arena_init(&none, 0);
    assert_true(domain_to_ascii(name, &none, &out));
    assert_ptr_equal(out.ptr, name.ptr);
    assert_true(domain_to_unicode(name, &none, &out));
    assert_ptr_equal(out.ptr, name.ptr);
    assert_false(none.failed);
    assert_false(domain_to_ascii(mixed, &none, &out)); /* no memory is no name */
    assert_false(domain_to_ascii(STR("ü.example"), &none, &out));
    arena_free(&none);
}

static void test_to_unicode(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; /* NULL: refused */
    } rows[] = {
        {"example.test", "example.test"},
        {"xn--bcher-kva.example", "bücher.example"},
        {"a.XN--BCHER-KVA", "a.bücher"},
        {"xn--wgv71a119e.jp", "日本語.jp"},
        {"axn--b.example", "axn--b.example"},
        {"xn--a.example", NULL},
        {"xn--ls8h.example", NULL}, /* a symbol */
        {"xn--999999999", NULL},
        {"xn--.example", NULL},
    };
    struct arena a;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str_t out;
        bool ok = domain_to_unicode(str_c(rows[i].from), &a, &out);
        if (ok != (rows[i].to != NULL) || (ok && !str_eq(out, str_c(rows[i].to))))
            fail_msg("%s: %d " STR_FMT, rows[i].from, ok, STR_ARG(out));
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_ascii),   cmocka_unit_test(test_no_names),
        cmocka_unit_test(test_lengths),    cmocka_unit_test(test_ascii_costs_nothing),
        cmocka_unit_test(test_to_unicode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
