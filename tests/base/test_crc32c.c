/* test_crc32c.c: the vectors of RFC 3720 B.4; instruction and tables agree at every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"

static void check(str_t in, uint32_t want)
{
    assert_int_equal(crc32c(0, in), want);
    assert_int_equal(crc32c_portable(0, in), want);
}

static void vectors(void **state)
{
    (void)state;
    char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (char)i;
        down[i] = (char)(31 - i);
    }
    check(str_of(zeros, 32), 0x8a9136aa);
    check(str_of(ones, 32), 0x62a8ab43);
    check(str_of(up, 32), 0x46dd794e);
    check(str_of(down, 32), 0x113fdb5c);
    check(STR("\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\0\0\x04\0\0\0\0\x14\0\0\0\x18\x28\0\0"
              "\0\0\0\0\0\x02\0\0\0\0\0\0\0"),
          0xd9963a56);
    check(STR("123456789"), 0xe3069283);
    check(STR_NONE, 0);
}

static void agree_and_chain(void **state)
{
    (void)state;
    static char bytes[10000];
    uint32_t random = 7;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (char)(uint8_t)(random >> 24);
    }
    /* around one, two and three blocks of three streams, and every alignment */
    for (size_t len = 0; len < sizeof bytes - 8;
         len += len % 3072 < 20 || len % 3072 > 3050 ? 1 : 17) {
        str_t s = str_of(bytes + len % 8, len);
        uint32_t want = crc32c_portable(0, s);
        assert_int_equal(crc32c(0, s), want);
        size_t cut = len / 3;
        assert_int_equal(crc32c(crc32c(0, str_first(s, cut)), str_from(s, cut)), want);
        assert_int_equal(crc32c_portable(crc32c(0, str_first(s, cut)), str_from(s, cut)), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors),
                                       cmocka_unit_test(agree_and_chain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
