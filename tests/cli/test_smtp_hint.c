/* test_smtp_hint.c: what is said about a refusal fits it, and nothing is said where nothing is
 * known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/smtp_hint.h"

static void says(struct smtp_refusal r, const char *expected)
{
    const char *hint = smtp_hint(&r);
    if (expected == NULL) {
        assert_null(hint);
        return;
    }
    assert_non_null(hint);
    assert_non_null(strstr(hint, expected));
}

static void hints(void **state)
{
    (void)state;
    says((struct smtp_refusal){.step = CALL_CONNECT, .text = STR("Connection refused")}, "port");
    says((struct smtp_refusal){.step = CALL_CONNECT, .text = STR("out of memory")}, NULL);
    says((struct smtp_refusal){.step = CALL_AUTH, .code = 535}, "password is wrong");
    says((struct smtp_refusal){.step = CALL_AUTH}, "before TLS");
    says((struct smtp_refusal){.step = CALL_AUTH, .encrypted = true}, "587");
    says((struct smtp_refusal){.step = CALL_OPEN, .code = 530, .text = STR("log in")}, "--auth");
    says((struct smtp_refusal){.step = CALL_OPEN, .code = 530, .logged_in = true}, NULL);
    says(
        (struct smtp_refusal){
            .step = CALL_OPEN, .code = 550, .status = STR("5.7.1"), .text = STR("Relaying denied")},
        "--auth");
    says((struct smtp_refusal){.step = CALL_OPEN,
                               .code = 550,
                               .status = STR("5.7.1"),
                               .text = STR("Relay access denied"),
                               .logged_in = true},
         "account");
    says((struct smtp_refusal){.step = CALL_OPEN, .code = 554, .text = STR("relay not permitted")},
         "--auth");
    says((struct smtp_refusal){.step = CALL_OPEN, .code = 451, .status = STR("4.3.0")}, NULL);
    says((struct smtp_refusal){.step = CALL_OPEN, .text = STR("connection lost")}, NULL);
}

static void meanings(void **state)
{
    struct smtp_refusal r = {.step = CALL_OPEN, .code = 550, .status = STR("5.1.1")};
    (void)state;
    assert_true(str_contains(smtp_hint_meaning(&r), STR("no such address")));
    r.status = STR("5.0.0");
    assert_true(smtp_hint_meaning(&r).len == 0);
    r.status = STR_NONE;
    assert_true(smtp_hint_meaning(&r).len == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hints), cmocka_unit_test(meanings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
