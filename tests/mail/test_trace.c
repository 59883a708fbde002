/* test_trace.c: trace fields as RFC 5321 4.4 writes them, and against what hostile clients say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lines.h"
#include "mail/header.h"
#include "mail/trace.h"

static struct trace_received plain(void)
{
    struct trace_received t = {.helo = STR("client.example"),
                               .by = STR("mx.example.test"),
                               .protocol = STR("ESMTP"),
                               .id = STR("0abc"),
                               .wall_ms = 1795303201000};
    assert_true(netaddr_parse(STR("192.0.2.1"), &t.client));
    return t;
}

static void received(const struct trace_received *t, str_t want)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_true(trace_received_write(t, &out));
    assert_true(lines_clean(buf_str(&out), true));
    if (!str_eq(buf_str(&out), want))
        fail_msg("got: %.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
}

static void received_forms(void **state)
{
    (void)state;
    struct trace_received t = plain();
    received(&t, STR("Received: from client.example ([192.0.2.1]) by mx.example.test with ESMTP\r\n"
                     " id 0abc; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    t.client_name = STR("a_b.proxied.example"); /* RFC 5321 4.4: TCP-info */
    received(&t,
             STR("Received: from client.example (a_b.proxied.example [192.0.2.1])\r\n"
                 " by mx.example.test with ESMTP id 0abc; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    t.client_name = STR("");
    t.recipient = STR("bob@example.test");
    received(&t, STR("Received: from client.example ([192.0.2.1]) by mx.example.test with ESMTP\r\n"
                     " id 0abc for <bob@example.test>; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    assert_true(netaddr_parse(STR("2001:db8::1"), &t.client));
    t.helo = STR("[IPv6:2001:db8::1]");
    received(
        &t, STR("Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by mx.example.test\r\n"
                " with ESMTP id 0abc for <bob@example.test>; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    t.helo = STR("");
    received(
        &t, STR("Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by mx.example.test\r\n"
                " with ESMTP id 0abc for <bob@example.test>; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    t.client.family = NETADDR_NONE; /* our own */
    received(&t, STR("Received: by mx.example.test with ESMTP id 0abc for <bob@example.test>;\r\n"
                     " Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
}

/* One field, whatever is in it. */
static void one_field(str_t text, str_t name)
{
    struct header_field f;
    str_t rest = text;
    assert_true(lines_clean(text, true));
    assert_true(header_next(&rest, &f));
    assert_true(str_eq(f.name, name));
    assert_int_equal(rest.len, 0);
}

static void hostile_helo(void **state)
{
    (void)state;
    struct trace_received t = plain();
    t.helo = STR("a\r\nX-Evil: (b)<c>;\0\xff\xc3\xa4\t\"\\");
    received(&t, STR("Received: from a??X-Evil:??b??c????????? ([192.0.2.1]) by mx.example.test\r\n"
                     " with ESMTP id 0abc; Sat, 21 Nov 2026 23:20:01 +0000\r\n"));
    static char big[5000];
    memset(big, 'x', sizeof big);
    struct buf out;
    buf_init(&out, 4096);
    t.helo = t.client_name = t.by = t.id = t.protocol = t.recipient = str_of(big, sizeof big);
    assert_true(trace_received_write(&t, &out));
    one_field(buf_str(&out), STR("Received"));
    buf_free(&out);
}

static void return_path(str_t address, str_t want)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_true(trace_return_path_write(address, &out));
    one_field(buf_str(&out), STR("Return-Path"));
    if (!str_eq(buf_str(&out), want))
        fail_msg("got: %.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
}

static void return_paths(void **state)
{
    (void)state;
    return_path(STR(""), STR("Return-Path: <>\r\n"));
    return_path(STR("a@b.example"), STR("Return-Path: <a@b.example>\r\n"));
    return_path(STR("a@[IPv6:::1]"), STR("Return-Path: <a@[IPv6:::1]>\r\n"));
    return_path(STR("\"a b\\\"<c>\"@d"), STR("Return-Path: <\"a b\\\"<c>\"@d>\r\n"));
    return_path(STR("b\xc3\xbc"
                    "cher@d"),
                STR("Return-Path: <b\xc3\xbc"
                    "cher@d>\r\n"));
    /* bare specials */
    return_path(STR("a> (b), c;d\\@e"), STR("Return-Path: <a???b???c?d?@e>\r\n"));
    return_path(STR("\"a"), STR("Return-Path: <\"a\">\r\n")); /* a quote that never ends */
    return_path(STR("\"a\\"), STR("Return-Path: <\"a?\">\r\n"));
    return_path(STR("a\r\nX: y\0\x7f\xff\xc2\x85\xe2\x80\xa8"), STR("Return-Path: <a??X:?y????"
                                                                    "?>\r\n"));
    return_path(STR("\"\\\r\\\n\"@x"), STR("Return-Path: <\"\\?\\?\"@x>\r\n"));
}

static void long_addresses(void **state)
{
    (void)state;
    static char big[3000];
    struct buf out;
    buf_init(&out, 4096);
    for (size_t len = 60; len < sizeof big; len += len < 80 || (len > 880 && len < 1010) ? 1 : 13) {
        memset(big, 'x', sizeof big);
        big[0] = '"';
        buf_clear(&out);
        assert_true(trace_return_path_write(str_of(big, len), &out));
        one_field(buf_str(&out), STR("Return-Path"));
        buf_clear(&out);
        for (size_t i = 1; i < len; i++)
            big[i] = '\\';
        assert_true(trace_delivered_to_write(str_of(big, len), &out));
        one_field(buf_str(&out), STR("Delivered-To"));
    }
    buf_free(&out);
}

static void full(void **state)
{
    (void)state;
    struct buf out;
    size_t size = sizeof "Delivered-To: bob@example.test\r\n" - 1;
    for (size_t max = size - 1; max <= size + 1; max++) {
        buf_init(&out, max);
        assert_int_equal(trace_delivered_to_write(STR("bob@example.test"), &out), max >= size);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(received_forms), cmocka_unit_test(hostile_helo),
        cmocka_unit_test(return_paths), cmocka_unit_test(long_addresses), cmocka_unit_test(full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
