/* test_smtp_path.c: the path grammar of RFC 5321 4.1.2, case by case, and writing back what was
 * read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/smtp/path.h"

#define L64 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg"
#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define D189        \
    L63 "." L63 "." \
        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"

struct row {
    const char *in; /* with brackets */
    enum smtp_path_result result;
    const char *local, *domain;
    const char *text; /* written again; NULL: as `in` without brackets */
};

static const struct row rows[] = {
    {"<a@example.org>", SMTP_PATH_OK, "a", "example.org", NULL},
    {"<A.B+c@EXAMPLE.Org>", SMTP_PATH_OK, "A.B+c", "example.org", "A.B+c@example.org"},
    {"<!#$%&'*+-/=?^_`{|}~@x>", SMTP_PATH_OK, "!#$%&'*+-/=?^_`{|}~", "x", NULL},
    {"<\"a b\"@x.org>", SMTP_PATH_OK, "a b", "x.org", NULL},
    {"<\"a\\\"b\\\\c\"@x.org>", SMTP_PATH_OK, "a\"b\\c", "x.org", NULL},
    {"<\"Joe\\,Smith\"@x.org>", SMTP_PATH_OK, "Joe,Smith", "x.org", "\"Joe,Smith\"@x.org"},
    {"<\"plain\"@x.org>", SMTP_PATH_OK, "plain", "x.org", "plain@x.org"}, /* least quoting */
    {"<\"\"@x.org>", SMTP_PATH_OK, "", "x.org", NULL},
    {"<\"u@v\"@us.org>", SMTP_PATH_OK, "u@v", "us.org", NULL},
    {"<\"a..b\"@x.org>", SMTP_PATH_OK, "a..b", "x.org", NULL},
    {"<u%v@us.org>", SMTP_PATH_OK, "u%v", "us.org", NULL},
    {"<v!u@us.org>", SMTP_PATH_OK, "v!u", "us.org", NULL},
    {"<@one.org:u@v.org>", SMTP_PATH_OK, "u", "v.org", "u@v.org"}, /* source routes are dropped */
    {"<@one.org,@two.org:u@v.org>", SMTP_PATH_OK, "u", "v.org", "u@v.org"},
    {"<postmaster>", SMTP_PATH_OK, "postmaster", "", NULL},
    {"<PostMaster>", SMTP_PATH_OK, "PostMaster", "", NULL},
    {"<u@[192.0.2.1]>", SMTP_PATH_OK, "u", "192.0.2.1", NULL},
    {"<u@[IPv6:2001:DB8:0::1]>", SMTP_PATH_OK, "u", "IPv6:2001:db8::1", "u@[IPv6:2001:db8::1]"},
    {"<u@[ipv6:::1]>", SMTP_PATH_OK, "u", "IPv6:::1", "u@[IPv6:::1]"},
    {"<u@[x-tag:any~thing]>", SMTP_PATH_OK, "u", "x-tag:any~thing", NULL},
    {"<u@a-b.c0>", SMTP_PATH_OK, "u", "a-b.c0", NULL},
    {"<\xc3\xbc@b\xc3\xbc.example>", SMTP_PATH_OK, "\xc3\xbc", "b\xc3\xbc.example", NULL},
    {"<\"\xc3\xbc x\"@x.org>", SMTP_PATH_OK, "\xc3\xbc x", "x.org", NULL},
    {"<" L64 "@x.org>", SMTP_PATH_OK, L64, "x.org", NULL},
    {"<" L64 "z@x.org>", SMTP_PATH_OK, L64 "z", "x.org", NULL}, /* 4.5.3.1: no limit of 64 */
    {"<" L63 L63 L63 L63 "@x>", SMTP_PATH_OK, L63 L63 L63 L63, "x", NULL},
    {"<" L63 L63 L63 L63 "@xy>", SMTP_PATH_LONG, NULL, NULL, NULL},
    {"<" L63 L63 L63 L64 "@x>", SMTP_PATH_LOCAL_LONG, NULL, NULL, NULL},
    {"<" L64 "@" D189 ">", SMTP_PATH_OK, L64, D189, NULL}, /* 256 with the brackets */
    {"<" L64 "@" D189 "z>", SMTP_PATH_LONG, NULL, NULL, NULL},
    /* 255 octets: a domain, but no path */
    {"<a@" L63 "." L63 "." L63 "." L63 ">", SMTP_PATH_LONG, NULL, NULL, NULL},
    {"<a@" L63 "." L63 "." L63 "." L64 ">", SMTP_PATH_DOMAIN_LONG, NULL, NULL, NULL},
    {"<a@" L64 ".org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL}, /* a label of 64 */
    {"<a>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\"postmaster\">", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a b@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"< a@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x.org >", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x.org", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"a@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@b@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<<a@x.org>>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<.a@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a.@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a..b@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@.x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x.org.>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x..org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@-x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x-.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    /* 4.1.2: the underscore is not permitted */
    {"<a@x_y.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<a@x(us).org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@v%us>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u\xef\xbc\xa0v@x>", SMTP_PATH_OK, "u\xef\xbc\xa0v", "x", NULL}, /* U+FF20 is no @ */
    {"<u@v\xef\xbc\xa0x>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@v\xe3\x80\x82x>", SMTP_PATH_SYNTAX, NULL, NULL, NULL}, /* U+3002 is no dot */
    {"<\xff@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\xc0\xae@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL}, /* overlong */
    {"<\xc2\x85@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL}, /* a C1 control */
    {"<\"a\x01\"@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\"a\x7f\"@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\"a@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\"a\\", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<\"a\"b@x.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@one.org,two.org:u@v.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@one.org,@two.org,:u@v.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@one.org u@v.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<@[1.2.3.4]:u@v.org>", SMTP_PATH_SYNTAX, NULL, NULL, NULL}, /* At-domain is a domain */
    {"<@one.org:>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[192.0.2.256]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[192.0.2]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    /* by the grammar a General-address-literal, of no known form */
    {"<u@[2001:db8::1]>", SMTP_PATH_OK, "u", "2001:db8::1", NULL},
    {"<u@[IPv6:192.0.2.1]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[IPv6:]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[x:]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[x:a\\b]>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[1.2.3.4>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<u@[1.2.3.4]x>", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
    {"<", SMTP_PATH_SYNTAX, NULL, NULL, NULL},
};

static void expect(str_t got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr ? got.ptr : "", want, got.len);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct arena a;
        struct smtp_path p;
        str_t rest = str_c(r->in);
        arena_init(&a, 65536);
        enum smtp_path_result result = smtp_path_parse(&rest, &a, &p);
        if (result != r->result)
            print_error("row %zu: %s gives %d\n", i, r->in, (int)result);
        assert_int_equal(result, r->result);
        if (result == SMTP_PATH_OK) {
            assert_int_equal(rest.len, 0);
            expect(p.local, r->local);
            expect(p.domain, r->domain);
            str_t text = smtp_path_text(&p, &a);
            str_t want = r->text ? str_c(r->text) : str_of(r->in + 1, strlen(r->in) - 2);
            assert_true(str_eq(text, want));
            /* What was written means the same when it is read again. */
            struct smtp_path again;
            assert_int_equal(smtp_address_parse(text, &a, &again), SMTP_PATH_OK);
            assert_true(str_eq(again.local, p.local) && str_eq(again.domain, p.domain) &&
                        again.kind == p.kind);
        } else {
            assert_int_equal(rest.len, strlen(r->in)); /* nothing was taken */
        }
        arena_free(&a);
    }
}

static void test_null_and_rest(void **state)
{
    (void)state;
    struct arena a;
    struct smtp_path p;
    arena_init(&a, 65536);
    str_t rest = STR("<> SIZE=1");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_OK);
    assert_true(p.null);
    expect(rest, " SIZE=1");
    expect(smtp_path_text(&p, &a), "");
    rest = STR("<a@b> BODY=7BIT");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_OK);
    assert_false(p.null || p.utf8);
    expect(rest, " BODY=7BIT");
    rest = STR("<\"a\0b\"@x>");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_SYNTAX);
    rest = STR("<a@x\0y>");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_SYNTAX);
    rest = STR("<\xc3\xa9@x>");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_OK);
    assert_true(p.utf8);
    arena_free(&a);
}

static void test_literals(void **state)
{
    (void)state;
    struct arena a;
    struct smtp_path p;
    struct netaddr want;
    arena_init(&a, 65536);
    assert_int_equal(smtp_address_parse(STR("u@[192.0.2.1]"), &a, &p), SMTP_PATH_OK);
    assert_int_equal(p.kind, SMTP_DOMAIN_LITERAL);
    assert_true(netaddr_parse(STR("192.0.2.1"), &want) && netaddr_eq(&want, &p.literal));
    assert_int_equal(smtp_address_parse(STR("u@[IPv6:::ffff]"), &a, &p), SMTP_PATH_OK);
    assert_true(netaddr_parse(STR("::ffff"), &want) && netaddr_eq(&want, &p.literal));
    assert_int_equal(smtp_address_parse(STR("u@[tag:x]"), &a, &p), SMTP_PATH_OK);
    assert_int_equal(p.literal.family, NETADDR_NONE);
    assert_int_equal(smtp_address_parse(STR("u@x y"), &a, &p), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_address_parse(STR("<u@x>"), &a, &p), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_address_parse(STR("u"), &a, &p), SMTP_PATH_SYNTAX);
    arena_free(&a);
}

static void test_arena_full(void **state)
{
    (void)state;
    struct arena a;
    struct smtp_path p;
    arena_init(&a, 16);
    str_t rest = STR("<somebody@a-long-name.example.org>");
    assert_int_equal(smtp_path_parse(&rest, &a, &p), SMTP_PATH_SYNTAX);
    assert_true(a.failed);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_null_and_rest),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_arena_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
