/* test_date.c: RFC 5322 3.3 and the obsolete forms of 4.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/date.h"

#define S(seconds) ((int64_t)(seconds)*1000)

static void writes(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } v[] = {{0, "Thu, 1 Jan 1970 00:00:00 +0000"},
             {999, "Thu, 1 Jan 1970 00:00:00 +0000"},
             {-1, "Wed, 31 Dec 1969 23:59:59 +0000"},
             {S(951782400), "Tue, 29 Feb 2000 00:00:00 +0000"},
             {S(951868799), "Tue, 29 Feb 2000 23:59:59 +0000"},
             {S(951868800), "Wed, 1 Mar 2000 00:00:00 +0000"},
             {S(1795303201), "Sat, 21 Nov 2026 23:20:01 +0000"},
             {S(2147483648), "Tue, 19 Jan 2038 03:14:08 +0000"},
             {S(4107542400), "Mon, 1 Mar 2100 00:00:00 +0000"}, /* 2100 is no leap year */
             {S(4107542399), "Sun, 28 Feb 2100 23:59:59 +0000"},
             {S(253402300799), "Fri, 31 Dec 9999 23:59:59 +0000"},
             {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000"},
             {INT64_MIN, "Mon, 1 Jan 1900 00:00:00 +0000"}};
    char text[MAIL_DATE_MAX];
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        assert_string_equal(mail_date(v[i].ms, text), v[i].text);
}

static void round_trips(void **state)
{
    (void)state;
    char text[MAIL_DATE_MAX];
    int64_t ms;
    for (int64_t s = -2208988800; s < 253402300800; s += 86399 * 373 + 17) {
        assert_true(mail_date_parse(str_c(mail_date(s * 1000, text)), &ms));
        assert_true(ms == s * 1000);
    }
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } v[] = {{"Fri, 21 Nov 1997 09:55:06 -0600", 880127706}, /* RFC 5322 A.1.1 */
             {"Thu, 13 Feb 1969 23:32:54 -0330", -27723426}, /* A.1.3 */
             {"1 Jul 2003 10:52:37 +0200", 1057049557},
             {"Thu,\r\n 13\r\n  Feb\r\n   1969\r\n  23:32\r\n  -0330 (Newfoundland Time)",
              -27723480},                                                    /* A.5 */
             {"21 Nov 97 09:55:06 GMT", 880106106},                          /* A.6.2 */
             {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706}, /* A.6.3 */
             {"tue, 01 jan 2030 00:00 ut", 1893456000},
             {"1 Jan 49 00:00:00 Z", 2493072000},
             {"1 Jan 50 00:00:00 Z", -631152000},
             {"1 Jan 103 00:00:00 A", 1041379200}, /* three digits: 1900 more; military: -0000 */
             {"31 Dec 2016 23:59:60 +0000", 1483228800},
             {"1 Jan 1970 00:00:00 EST", 5 * 3600},
             {"1 Jan 1970 00:00:00 pdt", 7 * 3600},
             {"1 Jan 1970 00:00:00 CEST", 0},
             {"1 Jan 1970 00:00:00 +0130 (a (nested \\) comment))", -5400},
             {" \t(x) 1 Jan 1970 00:00:00 +0000 ", 0},
             {"1 Jan 1970 00:00:00 +0000 (never ends", 0},
             {"29 Feb 2024 12:00:00 +0000", 1709208000}};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        int64_t ms = 1;
        assert_true(mail_date_parse(str_c(v[i].text), &ms));
        assert_true(ms == S(v[i].seconds));
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const v[] = {"",
                                    " ",
                                    "Fri",
                                    "Fri, ",
                                    "Fri 21 Nov 1997 09:55:06 -0600",
                                    "Foo, 21 Nov 1997 09:55:06 -0600",
                                    "21 Nob 1997 09:55:06 -0600",
                                    "32 Jan 1997 00:00:00 +0000",
                                    "0 Jan 1997 00:00:00 +0000",
                                    "29 Feb 2023 00:00:00 +0000",
                                    "31 Apr 2023 00:00:00 +0000",
                                    "1 Jan 1899 00:00:00 +0000",
                                    "1 Jan 10000 00:00:00 +0000",
                                    "1 Jan 7 00:00:00 +0000",
                                    "1 Jan 2023 24:00:00 +0000",
                                    "1 Jan 2023 00:60:00 +0000",
                                    "1 Jan 2023 00:00:61 +0000",
                                    "1 Jan 2023 0:00:00 +0000",
                                    "1 Jan 2023 00:00:00",
                                    "1 Jan 2023 00:00:00 +000",
                                    "1 Jan 2023 00:00:00 +00000",
                                    "1 Jan 2023 00:00:00 +0060",
                                    "1 Jan 2023 00:00:00 + 0000",
                                    "1 Jan 2023 00:00:00 +0000 x",
                                    "1 Jan 2023 00:00: +0000",
                                    "1 Jan 2023",
                                    "2023-01-01T00:00:00Z",
                                    "001 Jan 2023 00:00:00 +0000"};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        int64_t ms = 77;
        assert_false(mail_date_parse(str_c(v[i]), &ms));
        assert_int_equal(ms, 77);
    }
    int64_t ms;
    assert_false(mail_date_parse(STR("1 Jan 2023 00:00:00 +0000\0"), &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes), cmocka_unit_test(round_trips),
                                       cmocka_unit_test(reads), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
