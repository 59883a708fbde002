/* test_edit.c: the header edited in passing, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "mail/edit.h"

static str_t elsewhere(void *user, enum mail_edit_side side, str_t address, struct arena *a)
{
    (void)user;
    if (side == MAIL_EDIT_SENDER && str_ends(address, STR("@inner.example.org")))
        return arena_fmt(a, STR_FMT "@example.org",
                         STR_ARG(str_first(address, address.len - strlen("@inner.example.org"))));
    if (side == MAIL_EDIT_RECIPIENT && str_eq(address, STR("old@example.org")))
        return STR("new@example.org");
    return STR_NONE;
}

static const struct mail_edit_rules all = {
    .remove_bcc = true,
    .add_missing = true,
    .hostname = STR("mail.example.org"),
    .wall_ms = 1795217400000,
    .unique = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
    .address = elsewhere,
};
static const struct mail_edit_rules nothing = {.add_missing = false};

static bool feed(struct mail_edit *e, str_t piece, struct buf *out)
{
    bool ok;
    str_t rest = mail_edit_feed(e, piece, out, &ok);
    return ok && buf_add(out, rest);
}

/* Fed as two pieces at each cut, and byte by byte: always the same. What was seen of the last. */
static struct mail_edit_seen edits(const struct mail_edit_rules *rules, str_t in, str_t expected,
                                   size_t step)
{
    struct mail_edit_seen seen = {0};
    for (size_t cut = 0; cut <= in.len + 1; cut += step) {
        struct mail_edit *e = mail_edit_new(rules);
        struct buf out;
        buf_init(&out, 1 << 24);
        if (cut <= in.len) {
            assert_true(feed(e, str_first(in, cut), &out));
            assert_true(feed(e, str_from(in, cut), &out));
        } else {
            for (size_t i = 0; i < in.len; i++)
                assert_true(feed(e, str_of(in.ptr + i, 1), &out));
        }
        assert_true(mail_edit_end(e, &out));
        if (!str_eq(buf_str(&out), expected))
            fail_msg("cut at %zu:\n%.*s\nexpected:\n%.*s", cut, (int)out.len, out.ptr,
                     (int)expected.len, expected.ptr);
        seen = *mail_edit_seen(e);
        for (size_t i = 0; i < seen.n_from; i++) /* the copies go with the editor */
            seen.from[i] = STR_NONE;
        buf_free(&out);
        mail_edit_free(e);
    }
    return seen;
}

#define SAME(in) edits(&nothing, STR(in), STR(in), 1)

static void what_is_not_named_stays(void **state)
{
    (void)state;
    SAME("Subject: x\r\nTo: a@b.c\r\n\r\nbody\r\n.\r\n\r\nmore\r\n");
    SAME("X:  folded\r\n\t more\r\n  and more\r\nFrom: a@b.c\r\n\r\nBcc: in the body\r\n");
    SAME("Bcc: stays@without.rule\r\nReturn-Path: <x@y.z>\r\n\r\n");
    SAME("\r\nno header\r\n");
    SAME("");
}

static void fixed_up(void **state)
{
    (void)state;
    edits(&all,
          STR("From: Ann <ann@inner.example.org>\r\nBcc: secret@example.org,\r\n\tmore@x.org\r\n"
              "To: old@example.org, O <other@x.org>\r\nReturn-path : <q@r.s>\r\nSubject: hi\r\n"
              "bcc:\r\n\r\nBcc: body\r\n"),
          STR("From: Ann <ann@example.org>\r\nTo: new@example.org, O <other@x.org>\r\n"
              "Subject: hi\r\nDate: Fri, 20 Nov 2026 23:30:00 +0000\r\n"
              "Message-ID: <0102030405060708090a0b0c@mail.example.org>\r\n\r\nBcc: body\r\n"),
          1);
    edits(&all, STR("Date: then\r\nMESSAGE-ID: <a@b>\r\n\r\n"),
          STR("Date: then\r\nMESSAGE-ID: <a@b>\r\n\r\n"), 1);
}

static void header_without_end(void **state)
{
    (void)state;
    edits(&all, STR("Date: d\r\nMessage-ID: <m>\r\nthis is no field\r\nTo: body\r\n"),
          STR("Date: d\r\nMessage-ID: <m>\r\n\r\nthis is no field\r\nTo: body\r\n"), 1);
    edits(&all, STR("Date: d\r\nMessage-ID: <m>\r\n"), STR("Date: d\r\nMessage-ID: <m>\r\n"), 1);
    edits(&all, STR("From ann Sat Nov 21\r\nDate: d\r\nMessage-ID: <m>\r\n\r\nFrom me\r\n"),
          STR("Date: d\r\nMessage-ID: <m>\r\n\r\nFrom me\r\n"), 1);
    edits(&all, STR("Date: d\r\nMessage-ID: <m>"), STR("Date: d\r\nMessage-ID: <m>"), 1);
}

static void senders_are_seen(void **state)
{
    (void)state;
    struct mail_edit *e = mail_edit_new(&all);
    struct buf out;
    buf_init(&out, 1 << 16);
    assert_true(
        feed(e, STR("From: a@inner.example.org, b@x.org\r\nSender: c@x.org\r\n\r\n"), &out));
    assert_true(mail_edit_done(e));
    const struct mail_edit_seen *s = mail_edit_seen(e);
    assert_int_equal(s->n_from, 3);
    assert_true(str_eq(s->from[0], STR("a@example.org")));
    assert_true(str_eq(s->from[1], STR("b@x.org")));
    assert_true(str_eq(s->from[2], STR("c@x.org")));
    assert_int_equal(s->from_fields, 1);
    assert_false(s->from_unclear);
    mail_edit_free(e);
    buf_free(&out);
}

static void unclear_senders(void **state)
{
    static const char *const bad[] = {
        "From: ann\r\n\r\n",    "From:\r\n\r\n",          "From: <a@b.c> x\r\n\r\n",
        "From: a@b@c\r\n\r\n",  "From: a@b.c, d\r\n\r\n", "Sender: nobody\r\n\r\n",
        "From: (a@b.c\r\n\r\n", "From : \"a@b.c\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!edits(&nothing, str_c(bad[i]), str_c(bad[i]), 1).from_unclear)
            fail_msg("clear: %s", bad[i]);
    struct mail_edit_seen two = SAME("From: a@b.c\r\nfrom: d@e.f\r\n\r\n");
    assert_int_equal(two.from_fields, 2);
    assert_int_equal(two.n_from, 2);
    /* a name that is an address: whoever reads it as one must not be deceived */
    struct mail_edit_seen named = SAME("From: d@e.f <a@b.c>\r\n\r\n");
    assert_false(named.from_unclear);
    assert_int_equal(named.n_from, 2);
}

static void automatic_mail(void **state)
{
    (void)state;
    assert_true(SAME("Auto-Submitted: auto-replied (vacation)\r\n\r\n").auto_submitted);
    assert_true(SAME("auto-submitted:\r\n auto-generated; x=y\r\n\r\n").auto_submitted);
    assert_false(SAME("Auto-Submitted: No (by hand)\r\n\r\n").auto_submitted);
    assert_false(SAME("Subject: auto\r\n\r\nAuto-Submitted: auto-replied\r\n").auto_submitted);
}

/* A field just as long as is kept, one byte over, far over; in one line and in many. */
static void long_fields(void **state)
{
    (void)state;
    for (int lines = 0; lines < 2; lines++)
        for (size_t len = MAIL_EDIT_FIELD_MAX - 2; len < MAIL_EDIT_FIELD_MAX + 3; len++) {
            for (int kind = 0; kind < 2; kind++) {
                const char *name = kind ? "Bcc: " : "Sender: ";
                struct buf in;
                buf_init(&in, 1 << 20);
                buf_add(&in, str_c(name));
                while (in.len < len - 2)
                    buf_add(&in, lines && in.len % 70 == 69 && in.len + 4 < len ? STR("\r\n ")
                                                                                : STR("x"));
                in.len = len - 2;
                buf_add(&in, STR("\r\n"));
                buf_add(&in, STR(" tail\r\nDate: d\r\nMessage-ID: <m>\r\n\r\nbody\r\n"));
                str_t expected =
                    kind ? STR("Date: d\r\nMessage-ID: <m>\r\n\r\nbody\r\n") : buf_str(&in);
                struct mail_edit_seen s = edits(&all, buf_str(&in), expected, 7919);
                if (!kind)
                    assert_true(s.from_unclear);
                buf_free(&in);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_named_stays),
        cmocka_unit_test(fixed_up),
        cmocka_unit_test(header_without_end),
        cmocka_unit_test(senders_are_seen),
        cmocka_unit_test(unclear_senders),
        cmocka_unit_test(automatic_mail),
        cmocka_unit_test(long_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
