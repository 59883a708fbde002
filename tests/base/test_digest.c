/* test_digest.c: digest.h against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/digest.h"

static void assert_hex(const uint8_t *got, size_t n, str_t want)
{
    struct buf b;
    buf_init(&b, 256);
    assert_true(hex_encode(&b, str_of(got, n)));
    assert_int_equal(b.len, want.len);
    assert_memory_equal(b.ptr, want.ptr, want.len);
    buf_free(&b);
}

static void hashes(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX];
    assert_int_equal(digest_size(DIGEST_SHA1), 20);
    assert_int_equal(digest_size(DIGEST_SHA256), 32);
    assert_true(digest_hash(DIGEST_SHA1, STR("abc"), out)); /* FIPS 180 */
    assert_hex(out, 20, STR("a9993e364706816aba3e25717850c26c9cd0d89d"));
    assert_true(digest_hash(DIGEST_SHA256, STR("abc"), out));
    assert_hex(out, 32, STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_true(digest_hash(DIGEST_SHA256, STR_NONE, out));
    assert_hex(out, 32, STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

static void hmacs(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX];
    str_t key = STR("Jefe"), in = STR("what do ya want for nothing?");
    assert_true(digest_hmac(DIGEST_SHA1, key, in, out)); /* RFC 2202 3, case 2 */
    assert_hex(out, 20, STR("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
    assert_true(digest_hmac(DIGEST_SHA256, key, in, out)); /* RFC 4231 4.3 */
    assert_hex(out, 32, STR("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    assert_true(digest_hmac(DIGEST_SHA256, STR_NONE, STR_NONE, out));
    assert_hex(out, 32, STR("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}

static void pbkdf2s(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX];
    str_t p = STR("password"), s = STR("salt");
    assert_true(digest_pbkdf2(DIGEST_SHA1, p, s, 1, out)); /* RFC 6070 2 */
    assert_hex(out, 20, STR("0c60c80f961f0e71f3a9b524af6012062fe037a6"));
    assert_true(digest_pbkdf2(DIGEST_SHA1, p, s, 4096, out));
    assert_hex(out, 20, STR("4b007901b765489abead49d926f721d065a429c1"));
    assert_true(digest_pbkdf2(DIGEST_SHA256, STR("passwd"), s, 1, out)); /* RFC 7914 11 */
    assert_hex(out, 32, STR("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"));
}

static void equal_and_wipe(void **state)
{
    (void)state;
    char secret[] = "secret";
    assert_true(digest_equal(STR(""), STR_NONE));
    assert_true(digest_equal(STR("abc"), STR("abc")));
    assert_false(digest_equal(STR("abc"), STR("abd")));
    assert_false(digest_equal(STR("abc"), STR("xbc")));
    assert_false(digest_equal(STR("abc"), STR("ab")));
    digest_wipe(secret, 5);
    assert_memory_equal(secret, "\0\0\0\0\0t", 7);
    digest_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hashes), cmocka_unit_test(hmacs),
                                       cmocka_unit_test(pbkdf2s), cmocka_unit_test(equal_and_wipe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
