/* test_log.c: what strangers say cannot end a line, look like a field, or show as something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "roles/log.h"

/* The line that is written for this value. */
static str_t line_of(str_t value, char out[static 8192])
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    log_to(fds[1]);
    log_event("mx", STR("0001"), "reject", log_str("from", value), log_u64("code", 550), log_end);
    log_to(2);
    ssize_t n = read(fds[0], out, 8191);
    assert_true(n > 0);
    close(fds[0]);
    close(fds[1]);
    return str_of(out, (size_t)n);
}

static void expect(str_t value, const char *shown)
{
    char out[8192];
    str_t line = line_of(value, out);
    assert_true(str_ends(line, STR("\n")));
    assert_null(memchr(line.ptr, '\n', line.len - 1));
    assert_true(str_contains(line, str_c(shown)));
}

static void test_values(void **state)
{
    (void)state;
    expect(STR("a@b"), " from=a@b code=550");
    expect(STR(""), " from=\"\" code=550");
    expect(STR("a b"), " from=\"a b\" code=550");
    expect(STR("x\r\n2026 mx 1 accept"), " from=\"x\\x0d\\x0a2026 mx 1 accept\" code=550");
    expect(STR("a\" code=250"), " from=\"a\\x22 code=250\" code=550");
    expect(STR("\\"), " from=\\x5c code");
    expect(STR("\0\x1b[2J\x7f"), " from=\\x00\\x1b[2J\\x7f code");
    expect(STR("\xff\xc3"), " from=\\xff\\xc3 code");
    expect(STR("\xc2\x9b"), " from=\\xc2\\x9b code"); /* C1 */
    expect(STR("\xe2\x80\xaexe"),
           " from=\\xe2\\x80\\xaexe code");                    /* U+202E turns the rest around */
    expect(STR("\xe2\x80\xa8"), " from=\\xe2\\x80\\xa8 code"); /* U+2028 ends lines for some */
    expect(STR("a\xe2\x80\x8b@b"), " from=a\\xe2\\x80\\x8b@b code"); /* U+200B is not seen */
    expect(STR("j\xc3\xb6rg"), " from=j\xc3\xb6rg code");
}

static void test_long(void **state)
{
    (void)state;
    static char value[100000];
    char out[8192];
    memset(value, '\n', sizeof value);
    str_t line = line_of(str_of(value, sizeof value), out);
    assert_true(line.len <= 4096 && str_ends(line, STR("\n")));
    assert_null(memchr(line.ptr, '\n', line.len - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
