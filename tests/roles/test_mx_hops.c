/* test_mx_hops.c: Received and Delivered-To fields in a stream, whole and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "roles/smtp/hops.h"

static const struct {
    const char *message;
    uint32_t count;
    const char *delivered; /* all values, each with a semicolon */
} rows[] = {
    {"", 0, ""},
    {"Received: a\r\n", 1, ""},
    {"received : a\r\nRECEIVED\t:\r\n b\r\n", 2, ""},
    {"Subject: x\r\nReceived: a\r\n\r\nReceived: in the body\r\n", 1, ""},
    {"\r\nReceived: x\r\n", 0, ""},
    {" Received: folded\r\nX: Received: no\r\n", 0, ""},
    {"Received-SPF: no\r\nRreceived: no\r\nReceivedx: no\r\nReceive: no\r\n", 0, ""},
    {"Received: 1\r\nReceived: 2\r\nTo: x,\r\n y\r\nReceived: 3\r\n\r\n\r\n", 3, ""},
    {"Delivered-To: a@b\r\n", 0, "a@b;"},
    {"DELIVERED-TO :\r\n\t a@b \r\n \r\nTo: c\r\ndelivered-to:\"x  y\"@b\r\n\r\nDelivered-To: "
     "body\r\n",
     0, "a@b;\"x y\"@b;"},
    {"Delivered-To: a@b\r\nReceived: x\r\n", 1, "a@b;"},
    {"Delivered-Tox: a\r\nDelivered-T: b\r\n Delivered-To: c\r\nDelivered To: "
     "d\r\nX\r\nDelivered-To\r\n",
     0, ""},
};

static void feed(struct hops *h, str_t content, struct buf *delivered)
{
    while (hops_next(h, &content))
        buf_addf(delivered, STR_FMT ";", (int)h->len, h->value);
    assert_int_equal(content.len, 0);
}

static void expect(size_t row, struct hops *h, struct buf *delivered)
{
    if (hops_end(h))
        buf_addf(delivered, STR_FMT ";", (int)h->len, h->value);
    assert_int_equal(h->count, rows[row].count);
    assert_true(str_eq(buf_str(delivered), str_c(rows[row].delivered)));
    buf_clear(delivered);
}

static void test_rows(void **state)
{
    struct buf delivered;
    (void)state;
    buf_init(&delivered, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str_t m = str_c(rows[i].message);
        for (size_t cut = 0; cut <= m.len; cut++) {
            struct hops h = {0};
            feed(&h, str_first(m, cut), &delivered);
            feed(&h, str_from(m, cut), &delivered);
            expect(i, &h, &delivered);
        }
        struct hops h = {0};
        for (size_t k = 0; k < m.len; k++)
            feed(&h, str_of(m.ptr + k, 1), &delivered);
        expect(i, &h, &delivered);
    }
    buf_free(&delivered);
}

/* As the local role compares, whatever blanks the field was padded with; a value too long for an
 * address is none. */
static void test_is(void **state)
{
    (void)state;
    struct hops h = {0};
    char padded[2000];
    memset(padded, ' ', sizeof padded);
    memcpy(padded, "Delivered-To:", 13);
    memcpy(padded + 1900, "\"A  b\"@c.test\r\n", 15);
    str_t m = str_of(padded, 1915);
    assert_false(hops_next(&h, &m));
    assert_true(hops_end(&h));
    assert_true(hops_is(&h, STR("\"a  b\"@C.test")));
    assert_true(hops_is(&h, STR("\"a b\"@c.test")));
    assert_false(hops_is(&h, STR("\"a b\"@c.tes")));
    assert_false(hops_is(&h, STR("\"a b\"@c.test.x")));
    assert_false(hops_is(&h, STR("")));
    assert_false(hops_end(&h));
    struct hops full = {0};
    memset(padded + 13, 'a', 1900);
    m = str_of(padded, 1915);
    assert_false(hops_next(&full, &m));
    assert_false(hops_end(&full));
}

/* RFC 3834 5 */
static void test_auto_submitted(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        bool is;
    } autos[] = {
        {"Auto-Submitted: auto-generated\r\n\r\n", true},
        {"Subject: x\r\nauto-submitted :\r\n auto-replied; x=y\r\nTo: a@b\r\n\r\n", true},
        {"AUTO-SUBMITTED: auto-notified (by me)", true},
        {"Auto-Submitted: NO\r\n\r\n", false},
        {"Auto-Submitted: no (really); x=auto\r\n\r\n", false},
        {"Auto-Submitted: (by (a) \\) program; x) auto-replied\r\n\r\n", true},
        {"Auto-Submitted: (auto-replied) no\r\n\r\n", false},
        {"Auto-Submitted: (auto-replied\r\n\r\n", false},
        {"Auto-Submitted: no; x=(auto\r\n\r\n", false},
        {"Auto-Submitted:\r\n\r\n", false},
        {"Auto-Submitte: yes\r\n\r\nAuto-Submitted: in the body\r\n", false},
    };
    for (size_t i = 0; i < sizeof autos / sizeof *autos; i++) {
        struct hops h = {0};
        str_t m = str_c(autos[i].message);
        for (size_t k = 0; k < m.len; k++) {
            str_t one = str_of(m.ptr + k, 1);
            assert_false(hops_next(&h, &one));
        }
        assert_false(hops_end(&h));
        assert_int_equal(h.auto_submitted, autos[i].is);
    }
}

/* The header of BINARYMIME content, cut anywhere. */
static void test_lines(void **state)
{
    static const struct {
        str_t content;
        bool good;
    } cases[] = {
        {STR("A: b\r\nC: d\r\n\r\nbody \r \n \0 \r"), true},
        {STR("\r\n\r\r\n\0"), true},
        {STR("A: b\r\n"), true},
        {STR("A: b\rFrom: c@d\r\n\r\n"), false},
        {STR("A: b\nFrom: c@d\r\n\r\n"), false},
        {STR("A: b\r\n\nFrom: c@d\r\n\r\n"), false},
        {STR("A: b\r\r\n\r\n"), false},
        {STR("A: b\r\n\rc\r\n"), false},
        {STR("Fr\0om: c@d\r\n\r\n"), false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= cases[i].content.len; cut++) {
            struct hops_lines l = {0};
            bool good = hops_lines(&l, str_first(cases[i].content, cut)) &&
                        hops_lines(&l, str_from(cases[i].content, cut));
            assert_true(good == cases[i].good);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_is),
                                       cmocka_unit_test(test_auto_submitted),
                                       cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
