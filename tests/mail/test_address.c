/* test_address.c: addresses found in header fields, sound ones and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mail/address.h"

/* All that is found, "?" before what is not sound. */
static void finds(const char *field, const char *expected)
{
    struct arena a;
    struct buf got;
    struct mail_address m;
    struct mail_addresses w = {.rest = str_c(field)};
    arena_init(&a, 1 << 20);
    buf_init(&got, 1 << 16);
    while (mail_address_next(&w, &a, &m)) {
        if (got.len > 0)
            buf_addc(&got, ' ');
        if (!m.sound)
            buf_addc(&got, '?');
        buf_add(&got, m.text);
        assert_true(m.raw.ptr == NULL ||
                    (m.raw.ptr >= field && m.raw.ptr <= field + strlen(field)));
    }
    buf_addc(&got, '\0');
    assert_string_equal(got.ptr, expected);
    buf_free(&got);
    arena_free(&a);
}

static void sound_lists(void **state)
{
    (void)state;
    finds(" ann@example.org", "ann@example.org");
    finds(" Ann <ann@example.org>", "ann@example.org");
    finds(" \"Ann, B.\" <ann@example.org>, bob@example.org", "ann@example.org bob@example.org");
    finds("a@b.c,\r\n d@e.f", "a@b.c d@e.f");
    finds("Ann (ann@wrong.org) <ann@example.org>", "ann@example.org");
    finds("Friends: a@b.c, D <d@e.f>;, g@h.i", "a@b.c d@e.f g@h.i");
    finds("undisclosed-recipients:;", "");
    finds("<@x.org,@y.org:ann@example.org>", "ann@example.org");
    finds("\"a@b,c\"@example.org", "\"a@b,c\"@example.org");
    finds("ann . smith @ example.org", "ann.smith@example.org");
    finds("a(c (nested \\) ) )@b.c", "a@b.c");
    finds("ann@[192.0.2.1]", "ann@[192.0.2.1]");
    finds("j\xc3\xb6rg@b\xc3\xbc.example", "j\xc3\xb6rg@b\xc3\xbc.example");
    finds("", "");
    finds(",,a@b.c,,", "a@b.c");
    finds("\"<evil@x.org>\" <ann@example.org>", "ann@example.org");
}

static void broken_lists(void **state)
{
    (void)state;
    finds("ann", "?ann");
    finds("ann@", "?ann@");
    finds("@example.org", "?@example.org");
    finds("a@b@c", "?a@b@c");
    finds("a b@c.d", "?ab@c.d");
    finds("<ann@example.org", "?ann@example.org");
    finds("<a@b.c> x@y.z", "?a@b.c");
    finds("a..b@c.d", "?a..b@c.d");
    finds("\"open@example.org", "?\"open@example.org");
    finds("(open ann@example.org", "");
    finds("<>", "?");
    finds("Ann <ann@example.org> <bob@example.org>", "?ann@example.org");
}

/* What some program could take for another address than we do. */
static void two_readings(void **state)
{
    (void)state;
    finds("<boss@example.org, ann@example.org>", "?ann@example.org");
    finds("<boss@example.org:ann@example.org>", "?ann@example.org");
    finds("<a<ann@example.org>", "?a<ann@example.org");
    finds("ann@example.org>", "?ann@example.org");
    finds("<ann@example.org>>", "?ann@example.org");
    finds("<boss@example.org>: ann@example.org;", "?");
}

static void addresses_in_names(void **state)
{
    static const struct {
        const char *field, *text, *in_name;
    } cases[] = {
        {"boss@example.org <ann@example.org>", "ann@example.org", "boss@example.org"},
        {"boss@example.org: ann@example.org;", "ann@example.org", "boss@example.org"},
        {"boss (b) @ example.org <ann@example.org>", "ann@example.org", "boss@example.org"},
        {"boss@example.org:;", "", "boss@example.org"},
        {"\"boss@example.org\" <ann@example.org>", "ann@example.org", ""},
        {"(boss@example.org) <ann@example.org>", "ann@example.org", ""},
        {"Ann <@boss.org:ann@example.org>", "ann@example.org", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct mail_address m;
        struct mail_addresses w = {.rest = str_c(cases[i].field)};
        arena_init(&a, 1 << 16);
        assert_true(mail_address_next(&w, &a, &m));
        assert_true(str_eq(m.text, str_c(cases[i].text)));
        assert_true(str_eq(m.in_name, str_c(cases[i].in_name)));
        assert_false(mail_address_next(&w, &a, &m));
        arena_free(&a);
    }
}

static void many_are_bounded(void **state)
{
    struct arena a;
    struct buf list;
    struct mail_address m;
    size_t n = 0;
    (void)state;
    buf_init(&list, 1 << 20);
    arena_init(&a, 1 << 22);
    for (int i = 0; i < MAIL_ADDRESSES_MAX + 1; i++)
        buf_add(&list, STR("a@b.c,"));
    struct mail_addresses w = {.rest = buf_str(&list)};
    while (mail_address_next(&w, &a, &m))
        n++;
    assert_int_equal(n, MAIL_ADDRESSES_MAX);
    assert_true(w.rest.len > 0); /* the caller sees that there was more */
    buf_free(&list);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_lists),      cmocka_unit_test(broken_lists),
        cmocka_unit_test(two_readings),     cmocka_unit_test(addresses_in_names),
        cmocka_unit_test(many_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
