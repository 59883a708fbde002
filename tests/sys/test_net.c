/* test_net.c: connections out: from an address that is ours, from one that is not, and to nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "sys/clock.h"
#include "sys/net.h"

enum { LONG_MS = 20000 };

static struct netaddr addr(const char *text)
{
    struct netaddr a;
    assert_true(netaddr_parse(str_c(text), &a));
    return a;
}

static void the_source_is_ours(void **state)
{
    struct netaddr any = addr("127.0.0.1"), from = addr("127.0.0.7"), strange = addr("192.0.2.1");
    struct conn *c = NULL;
    struct err err;
    (void)state;
    int fd = net_listen(&any, &err);
    assert_true(fd >= 0);
    struct netaddr to = net_local(fd);
    assert_int_equal(net_connect(&to, &from, sys_mono_ms() + LONG_MS, &c, &err), RC_OK);
    assert_true(netaddr_eq(&c->local, &from));
    c->ops->close(c);
    /* RFC 3463: 4.3.5, and the operator is told what is wrong */
    assert_int_equal(net_connect(&to, &strange, sys_mono_ms() + LONG_MS, &c, &err), RC_TEMP);
    assert_string_equal(err.status, "4.3.5");
    assert_true(str_contains(str_c(err.text), STR("cannot send from 192.0.2.1")));
    close(fd);
    assert_int_equal(net_connect(&to, NULL, sys_mono_ms() + LONG_MS, &c, &err), RC_TEMP);
    assert_string_equal(err.status, "4.4.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_source_is_ours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
