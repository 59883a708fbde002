/* test_srs.c: forwarded and signed senders: there and back, changed, old, too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/srs.h"

#define NOW 1795303200000

static const struct srs_key key = {{1, 2, 3}}, other = {{9}};
static struct arena a;

static int setup(void **state)
{
    (void)state;
    arena_init(&a, 1 << 20);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    arena_free(&a);
    return 0;
}

static str_t local_of(str_t address)
{
    size_t at = 0;
    assert_true(str_rfind(address, '@', &at));
    return str_first(address, at);
}

static str_t forwarded(str_t local, str_t domain)
{
    str_t out;
    assert_int_equal(srs_forward(&key, NOW, local, domain, STR("us.example"), &a, &out), SRS_OK);
    assert_true(str_ends(out, STR("@us.example")));
    return local_of(out);
}

static void comes_back(str_t local, str_t domain, const char *address)
{
    str_t out, srs = forwarded(local, domain);
    assert_int_equal(srs_reverse(&key, NOW, srs, &a, &out), SRS_OK);
    assert_string_equal(arena_cstr(&a, out), address);
}

static void there_and_back(void **state)
{
    (void)state;
    comes_back(STR("ann"), STR("example.org"), "ann@example.org");
    comes_back(STR("a=b=c"), STR("x.org"), "a=b=c@x.org");
    comes_back(STR("two words"), STR("x.org"), "\"two words\"@x.org");
    comes_back(STR("a\"b\\"), STR("x.org"), "\"a\\\"b\\\\\"@x.org");
    comes_back(STR("SRS0"), STR("x.org"), "SRS0@x.org");
}

static void case_is_lost_on_the_way(void **state)
{
    (void)state;
    str_t out, srs = forwarded(STR("Ann"), STR("Example.org"));
    char *low = arena_cstr(&a, srs);
    str_lower(low, srs.len);
    assert_int_equal(srs_reverse(&key, NOW, str_c(low), &a, &out), SRS_OK);
    assert_string_equal(arena_cstr(&a, out), "ann@example.org");
}

static void anything_else_is_wrong(void **state)
{
    (void)state;
    str_t out, srs = forwarded(STR("ann"), STR("example.org"));
    for (size_t i = 5; i < srs.len; i++) {
        char *bad = arena_cstr(&a, srs);
        bad[i] = bad[i] == 'q' ? 'r' : 'q';
        assert_int_equal(srs_reverse(&key, NOW, str_c(bad), &a, &out), SRS_WRONG);
    }
    for (size_t n = 5; n < srs.len; n++)
        assert_int_equal(srs_reverse(&key, NOW, str_first(srs, n), &a, &out), SRS_WRONG);
    assert_int_equal(srs_reverse(&other, NOW, srs, &a, &out), SRS_WRONG);
    assert_int_equal(srs_reverse(&key, NOW, STR("ann"), &a, &out), SRS_NOT);
    assert_int_equal(srs_reverse(&key, NOW, STR("SRS1=aaaaaa=x.org=="), &a, &out), SRS_WRONG);
}

static void it_has_a_time(void **state)
{
    (void)state;
    str_t out, srs = forwarded(STR("ann"), STR("example.org"));
    int64_t last = NOW + (int64_t)SRS_DAYS * SRS_DAY_MS;
    assert_int_equal(srs_reverse(&key, last, srs, &a, &out), SRS_OK);
    assert_int_equal(srs_reverse(&key, last + SRS_DAY_MS, srs, &a, &out), SRS_WRONG);
    assert_int_equal(srs_reverse(&key, NOW - SRS_DAY_MS, srs, &a, &out), SRS_WRONG);
}

/* We are the second hop, and the third; the way back goes to the first. */
static void again_and_again(void **state)
{
    (void)state;
    str_t out, first = STR("SRS0=abcd=xy=example.org=ann");
    str_t second = forwarded(first, STR("hop1.example"));
    assert_true(str_starts(second, STR("SRS1=")));
    assert_int_equal(srs_reverse(&key, NOW, second, &a, &out), SRS_OK);
    assert_string_equal(arena_cstr(&a, out), "SRS0=abcd=xy=example.org=ann@hop1.example");
    str_t third =
        forwarded(STR("SRS1=wxyz=hop1.example==abcd=xy=example.org=ann"), STR("hop2.example"));
    assert_int_equal(srs_reverse(&key, NOW, third, &a, &out), SRS_OK);
    assert_string_equal(arena_cstr(&a, out), "SRS0=abcd=xy=example.org=ann@hop1.example");
}

/* What could not be read back is not made. */
static void odd_domains(void **state)
{
    (void)state;
    str_t out;
    assert_int_equal(
        srs_forward(&key, NOW, STR("eve"), STR("[192.0.2.1]"), STR("us.example"), &a, &out),
        SRS_NOT);
    comes_back(STR("SRS1=abcd=no?name==ef=gh=x.example=bob"), STR("far.example"),
               "SRS1=abcd=no?name==ef=gh=x.example=bob@far.example");
    comes_back(STR("SRS0="), STR("far.example"), "SRS0=@far.example");
}

static void too_long(void **state)
{
    str_t out;
    (void)state;
    /* SRS0= 6 = 2 = domain = local @us.example */
    size_t fits = SRS_PATH_MAX - (5 + 6 + 1 + 2 + 1 + 1 + strlen("ann") + strlen("@us.example"));
    char long_domain[300];
    memset(long_domain, 'd', sizeof long_domain);
    assert_int_equal(
        srs_forward(&key, NOW, STR("ann"), str_of(long_domain, fits), STR("us.example"), &a, &out),
        SRS_OK);
    assert_int_equal(srs_forward(&key, NOW, STR("ann"), str_of(long_domain, fits + 1),
                                 STR("us.example"), &a, &out),
                     SRS_LONG);
}

static void batv(void **state)
{
    str_t tagged, out;
    (void)state;
    assert_int_equal(batv_sign(&key, NOW, STR("ann=x"), STR("us.example"), &a, &tagged), SRS_OK);
    assert_int_equal(batv_check(&key, NOW, tagged, STR("us.example"), &a, &out), SRS_OK);
    assert_string_equal(arena_cstr(&a, out), "ann=x");
    int64_t last = NOW + (int64_t)BATV_DAYS * SRS_DAY_MS;
    assert_int_equal(batv_check(&key, last, tagged, STR("us.example"), &a, &out), SRS_OK);
    assert_int_equal(batv_check(&key, last + SRS_DAY_MS, tagged, STR("us.example"), &a, &out),
                     SRS_WRONG);
    assert_int_equal(batv_check(&key, NOW, tagged, STR("them.example"), &a, &out), SRS_WRONG);
    assert_int_equal(batv_check(&other, NOW, tagged, STR("us.example"), &a, &out), SRS_WRONG);
    assert_int_equal(batv_check(&key, NOW, STR("ann"), STR("us.example"), &a, &out), SRS_NOT);
    for (size_t n = 5; n < tagged.len - 1; n++)
        assert_int_equal(batv_check(&key, NOW, str_first(tagged, n), STR("us.example"), &a, &out),
                         SRS_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(case_is_lost_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(anything_else_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(it_has_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_domains, setup, teardown),
        cmocka_unit_test_setup_teardown(too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(batv, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
