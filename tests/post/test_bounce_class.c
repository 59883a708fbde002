/* test_bounce_class.c: What kind of refusal it was, by what servers really say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "post/bounce_class.h"

static const struct row {
    int code;
    const char *status, *text;
    enum bounce_class class;
    bool hard;
} rows[] = {
    /* Gmail */
    {550, "5.1.1", "The email account that you tried to reach does not exist.", BOUNCE_UNKNOWN_USER,
     true},
    {452, "4.2.2", "The email account that you tried to reach is over quota.", BOUNCE_FULL, false},
    {550, "5.7.26", "This mail has been blocked because the sender is unauthenticated.",
     BOUNCE_AUTH, false},
    {421, "4.7.28", "Our system has detected an unusual rate of unsolicited mail", BOUNCE_RATE,
     false},
    {552, "5.3.4", "Your message exceeded Google's message size limits.", BOUNCE_TOO_BIG, false},
    {550, "5.2.1", "The email account that you tried to reach is disabled.", BOUNCE_DISABLED,
     false},
    /* Outlook.com, Exchange */
    {550, "5.7.1",
     "Unfortunately, messages from [192.0.2.1] weren't sent. You are on our block list (S3150).",
     BOUNCE_BLOCKED, false},
    {550, "5.4.1", "Recipient address rejected: Access denied.", BOUNCE_UNREACHABLE, false},
    {550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
     BOUNCE_UNKNOWN_DOMAIN, false},
    /* Yahoo */
    {554, "", "delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [0]",
     BOUNCE_UNKNOWN_USER, false},
    {553, "5.7.2", "[TSS09] All messages from 192.0.2.1 will be permanently deferred",
     BOUNCE_POLICY, false},
    /* Postfix, Exim, sendmail */
    {550, "5.1.1", "<x@y.test>: Recipient address rejected: User unknown in local recipient table",
     BOUNCE_UNKNOWN_USER, true},
    {450, "4.2.0", "<x@y.test>: Recipient address rejected: Greylisted, see http://postgrey.test",
     BOUNCE_GREYLISTED, false},
    {451, "4.7.1", "Greylisting in action, please come back later", BOUNCE_GREYLISTED, false},
    {550, "", "Unrouteable address", BOUNCE_OTHER, false},
    {550, "", "no such user here", BOUNCE_UNKNOWN_USER, false}, /* 550 alone: not believed */
    {554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
     BOUNCE_BLOCKED, false},
    {554, "5.7.1", "<x@y.test>: Relay access denied", BOUNCE_POLICY, false},
    {550, "5.7.1", "SPF check failed", BOUNCE_AUTH, false},
    {554, "5.7.1", "This message looks like spam", BOUNCE_SPAM, false},
    {452, "4.3.1", "Insufficient system storage", BOUNCE_BUSY, false},
    {421, "", "too many connections from you", BOUNCE_RATE, false},
    {421, "", "service shutting down", BOUNCE_BUSY, false},
    {530, "5.7.0", "Must issue a STARTTLS command first", BOUNCE_POLICY, false},
    {550, "5.7.10", "encryption needed", BOUNCE_TLS, false},
    {554, "5.4.6", "too many hops", BOUNCE_LOOP, false},
    /* 5.1.1 that is something else by its words */
    {550, "5.1.1", "mailbox full", BOUNCE_FULL, false},
    {550, "5.1.1", "blocked by spamhaus", BOUNCE_BLOCKED, false},
    {450, "4.1.1", "user unknown", BOUNCE_UNKNOWN_USER, false}, /* not for good */
    /* our own words */
    {0, "4.4.1", "far.test[192.0.2.1]: connection refused", BOUNCE_UNREACHABLE, false},
    {0, "4.4.1", "far.test[192.0.2.1]: Permission denied", BOUNCE_UNREACHABLE, false},
    {0, "", "far.test[192.0.2.1]: Permission denied", BOUNCE_UNREACHABLE, false},
    {0, "", "far.test[192.0.2.1]: Operation not permitted", BOUNCE_UNREACHABLE, false},
    {0, "4.3.5", "far.test[192.0.2.1]: port 26 is none that mail may be sent to: see relay_ports",
     BOUNCE_UNREACHABLE, false},
    {550, "", "permission denied", BOUNCE_POLICY, false},
    {0, "4.4.3", "the DNS does not answer for far.test", BOUNCE_DNS, false},
    {0, "5.1.2", "there is no domain far.test", BOUNCE_UNKNOWN_DOMAIN, false},
    {0, "5.1.1", "suppressed since 2026-11-01, not tried again: 550 spamhaus", BOUNCE_UNKNOWN_USER,
     false},
    {0, "4.7.5", "its certificate is for another name", BOUNCE_TLS, false},
    {0, "5.4.7", "given up", BOUNCE_EXPIRED, false},
    {0, "", "", BOUNCE_OTHER, false},
};

static void as_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        enum bounce_class got = bounce_class(r->code, str_c(r->status), str_c(r->text));
        if (got != r->class || bounce_is_hard(r->code, str_c(r->status), str_c(r->text)) != r->hard)
            fail_msg("%d %s %s: %s", r->code, r->status, r->text, bounce_class_name(got));
    }
}

static void of_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        enum bounce_class class;
    } v[] = {
        {"mx.far.test: 450 4.2.2 over quota", BOUNCE_FULL},
        {"mx.far.test: 451 4.3.2 come back", BOUNCE_BUSY},
        {"450 4.7.1 greylisted for 300 seconds", BOUNCE_GREYLISTED},
        {"mx.far.test[192.0.2.1]: connection refused", BOUNCE_UNREACHABLE},
        {"connection timed out", BOUNCE_UNREACHABLE},
        {"mx.far.test[192.0.2.1]: Permission denied", BOUNCE_UNREACHABLE},
        {"mx.far.test[192.0.2.1]: port 26 is none that mail may be sent to: see relay_ports",
         BOUNCE_UNREACHABLE},
        {"mx.far.test: 550 5.7.1 permission denied", BOUNCE_POLICY},
        {"", BOUNCE_OTHER},
        {"450 ", BOUNCE_OTHER},
        {"450", BOUNCE_OTHER},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        assert_int_equal(bounce_class_reason(str_c(v[i].reason)), v[i].class);
}

/* Any bytes, any length: nothing is read behind the end (the sanitizers watch). */
static void any_bytes(void **state)
{
    (void)state;
    uint32_t r = 7;
    for (int round = 0; round < 3000; round++) {
        char *s = malloc(40);
        assert_non_null(s);
        size_t n = (size_t)round % 40;
        for (size_t i = 0; i < n; i++) {
            r = r * 1664525 + 1013904223;
            s[i] = "45.:1 0spftlsquota\xff"[(r >> 16) % 19];
        }
        char *tight = malloc(n + 1);
        memcpy(tight, s, n);
        enum bounce_class c = bounce_class_reason(str_of(tight, n));
        assert_in_range(c, 0, BOUNCE_CLASSES - 1);
        assert_non_null(bounce_class_name(c));
        free(tight);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_said),
        cmocka_unit_test(of_a_reason),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
