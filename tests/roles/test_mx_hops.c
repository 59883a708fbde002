/* test_mx_hops.c: counting Received fields in a stream, whole and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "roles/mx/hops.h"

static const struct {
    const char *message;
    uint32_t count;
} rows[] = {
    {"", 0},
    {"Received: a\r\n", 1},
    {"received : a\r\nRECEIVED\t:\r\n b\r\n", 2},
    {"Subject: x\r\nReceived: a\r\n\r\nReceived: in the body\r\n", 1},
    {"\r\nReceived: x\r\n", 0},
    {" Received: folded\r\nX: Received: no\r\n", 0},
    {"Received-SPF: no\r\nRreceived: no\r\nReceivedx: no\r\nReceive: no\r\n", 0},
    {"Received: 1\r\nReceived: 2\r\nTo: x,\r\n y\r\nReceived: 3\r\n\r\n\r\n", 3},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str_t m = str_c(rows[i].message);
        for (size_t cut = 0; cut <= m.len; cut++) {
            struct hops h = {0};
            hops_feed(&h, str_first(m, cut));
            hops_feed(&h, str_from(m, cut));
            assert_int_equal(h.count, rows[i].count);
        }
        struct hops h = {0};
        for (size_t k = 0; k < m.len; k++)
            hops_feed(&h, str_of(m.ptr + k, 1));
        assert_int_equal(h.count, rows[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
