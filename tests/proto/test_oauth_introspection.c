/* test_oauth_introspection.c: the question about a token, and what answers are worth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/oauth/introspection.h"

#define NOW 1700000000

static void question(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    assert_true(introspection_request(STR("aB1-._~+/="), &b));
    assert_true(str_eq(buf_str(&b), STR("token=aB1-._~%2B%2F%3D&token_type_hint=access_token")));
    buf_clear(&b);
    assert_true(introspection_request(STR("x&active=true\r\n\xff"), &b));
    assert_true(
        str_eq(buf_str(&b), STR("token=x%26active%3Dtrue%0D%0A%FF&token_type_hint=access_token")));
    buf_clear(&b);
    assert_true(introspection_basic(STR("s6BhdRkqt3"), STR("7Fjfp0ZBr1KtDRbnfVdmIw"), &b));
    assert_true(str_eq(buf_str(&b), /* RFC 6749 4.1.3 has this one */
                       STR("Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3")));
    buf_clear(&b);
    assert_true(introspection_basic(STR("a:b"), STR("c d"), &b));
    assert_true(str_eq(buf_str(&b), STR("Basic YSUzQWI6YyUyMGQ=")));
    buf_free(&b);
    buf_init(&b, 30);
    assert_false(introspection_request(STR("abc"), &b));
    buf_free(&b);
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum rc want;
        const char *name;
    } v[] = {
        {"{\"active\":true,\"username\":\"me@a.example\"}", RC_OK, "me@a.example"},
        {"{\"active\":true,\"email\":\"me@a.example\",\"username\":\"uid7\"}", RC_OK,
         "me@a.example"},
        {"{\"active\":true,\"username\":\"me\",\"preferred_username\":\"x\"}", RC_OK, "me"},
        {"{\"active\":true,\"username\":\"me\",\"exp\":1700000001,\"token_type\":\"bearer\"}",
         RC_OK, "me"},
        {"{\"active\":false}", RC_PERM, NULL},
        {"{\"active\":false,\"username\":\"me@a.example\"}", RC_PERM, NULL},
        {"{\"active\":true}", RC_PERM, NULL},
        {"{\"active\":true,\"username\":\"me\",\"exp\":1699999940}", RC_PERM, NULL},
        {"{\"active\":true,\"username\":\"me\",\"nbf\":1700000061}", RC_PERM, NULL},
        {"{\"active\":true,\"username\":\"me\",\"token_type\":\"refresh_token\"}", RC_PERM, NULL},
        {"{\"active\":true,\"username\":\"me\",\"token_type\":\"DPoP\"}", RC_PERM, NULL},
        {"{\"active\":true,\"email\":\"me@a.example\",\"email_verified\":false}", RC_PERM, NULL},
        /* no answers: nobody has said that the token is wrong */
        {"{\"active\":\"true\",\"username\":\"me\"}", RC_TEMP, NULL},
        {"{\"active\":1,\"username\":\"me\"}", RC_TEMP, NULL},
        {"{\"username\":\"me\"}", RC_TEMP, NULL},
        {"{\"active\":true,\"active\":true,\"username\":\"me\"}", RC_TEMP, NULL},
        {"[{\"active\":true}]", RC_TEMP, NULL},
        {"true", RC_TEMP, NULL},
        {"<html>", RC_TEMP, NULL},
        {"", RC_TEMP, NULL},
    };
    const struct oauth_rules any = {0};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct oauth_identity who;
        struct err err = {0};
        enum rc rc = introspection_read(str_c(v[i].text), &any, NOW, &who, &err);
        if (rc != v[i].want)
            fail_msg("%s: %s", v[i].text, rc_name(rc));
        assert_true(rc == RC_OK || err.text[0] != '\0');
        assert_string_equal(who.name, rc == RC_OK ? v[i].name : "");
    }
}

static void rules(void **state)
{
    (void)state;
    const struct oauth_rules r = {
        .issuer = STR("https://id.example"), .audience = STR("mail"), .scope = STR("mail.send")};
    static const struct {
        const char *text;
        enum rc want;
    } v[] = {
        {"\"iss\":\"https://id.example\",\"aud\":[\"mail\"],\"scope\":\"a mail.send\"}", RC_OK},
        {"\"iss\":\"https://id.example\",\"aud\":[\"mail\"],\"scope\":\"a\"}", RC_PERM},
        {"\"iss\":\"https://id.example\",\"aud\":[\"mail\"]}", RC_PERM},
        {"\"iss\":\"https://id.example\",\"scope\":\"mail.send\"}", RC_PERM},
        {"\"aud\":\"mail\",\"scope\":\"mail.send\"}", RC_PERM},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        char text[512] = "{\"active\":true,\"username\":\"me\",";
        struct oauth_identity who;
        struct err err;
        strcat(text, v[i].text);
        assert_int_equal(introspection_read(str_c(text), &r, NOW, &who, &err), v[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(question), cmocka_unit_test(answers),
                                       cmocka_unit_test(rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
