/* test_oauth_jwt.c: signed tokens and sets of keys: what is good, and everything that must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jwt_maker.h"
#include "proto/oauth/jwt.h"

#define NOW   1700000000
#define EVERY ((1u << JWT_ALGS) - 1)
#define GOOD              \
    "{\"iss\":\"https://" \
    "id.example\",\"aud\":\"mail\",\"exp\":1700000600,\"email\":\"me@a.example\"}"

static const struct oauth_rules rules = {.issuer = STR("https://id.example"),
                                         .audience = STR("mail")};

static struct world {
    EVP_PKEY *rsa, *rsa_other, *ec, *ed, *small, *p384;
    struct jwks *set;
    struct buf token, text;
} w;

static struct jwks *parse(str_t text)
{
    struct err err;
    return jwks_parse(text, &err);
}

static int setup(void **state)
{
    (void)state;
    w.rsa = EVP_RSA_gen(2048);
    w.rsa_other = EVP_RSA_gen(2048);
    w.small = EVP_RSA_gen(1024);
    w.ec = EVP_EC_gen("P-256");
    w.p384 = EVP_EC_gen("P-384");
    w.ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    buf_init(&w.token, MAKER_TEXT);
    buf_init(&w.text, MAKER_TEXT);
    buf_add(&w.text, STR("{\"keys\":["));
    maker_jwk(&w.text, w.rsa, "r", ",\"use\":\"sig\"");
    buf_addc(&w.text, ',');
    maker_jwk(&w.text, w.ec, "e", ",\"alg\":\"ES256\"");
    buf_addc(&w.text, ',');
    maker_jwk(&w.text, w.ed, "d", ",\"key_ops\":[\"verify\"]");
    buf_add(&w.text, STR("]}"));
    w.set = parse(buf_str(&w.text));
    return w.set == NULL;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {w.rsa, w.rsa_other, w.small, w.ec, w.p384, w.ed};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        EVP_PKEY_free(keys[i]);
    jwks_free(w.set);
    buf_free(&w.token);
    buf_free(&w.text);
    return 0;
}

enum outcome { OPEN_BAD, NO_KEY, SIG_BAD, CLAIMS_BAD, FINE };

/* From a copy of exactly that size, for the sanitizer. */
static enum outcome check_with(str_t token, unsigned algorithms, const struct oauth_rules *r,
                               const struct jwks *set, struct oauth_identity *who)
{
    char *exact = malloc(token.len + (token.len == 0));
    struct arena a;
    struct jwt t;
    struct err err = {0};
    enum outcome got = OPEN_BAD;
    arena_init(&a, JWT_ARENA_MAX);
    memcpy(exact, token.ptr, token.len);
    if (jwt_open(str_of(exact, token.len), algorithms, &a, &t, &err) == RC_OK) {
        enum jwks_verdict v = jwt_verify(&t, set);
        got = v == JWKS_NO_KEY ? NO_KEY : v == JWKS_BAD ? SIG_BAD : CLAIMS_BAD;
        if (v == JWKS_GOOD && jwt_claims(&t, r, NOW, who, &err) == RC_OK)
            got = FINE;
    }
    assert_true(got == FINE || got == NO_KEY || got == SIG_BAD || err.text[0] != '\0');
    arena_free(&a);
    free(exact);
    return got;
}

static enum outcome check(str_t token)
{
    struct oauth_identity who;
    return check_with(token, EVERY, &rules, w.set, &who);
}

static const struct {
    const char *alg, *kid;
    EVP_PKEY **key;
} ways[] = {
    {"RS256", "r", &w.rsa}, {"PS256", "r", &w.rsa}, {"ES256", "e", &w.ec}, {"EdDSA", "d", &w.ed}};
enum { WAYS = sizeof ways / sizeof *ways };

static void good(void **state)
{
    (void)state;
    assert_int_equal(jwks_count(w.set), 3);
    for (size_t i = 0; i < WAYS; i++) {
        struct oauth_identity who;
        maker_token(&w.token, *ways[i].key, ways[i].alg, ways[i].kid, STR(GOOD));
        assert_int_equal(check_with(buf_str(&w.token), EVERY, &rules, w.set, &who), FINE);
        assert_string_equal(who.name, "me@a.example");
        assert_int_equal(who.expires_s, 1700000600);
        /* without the key's name all that fit are tried */
        maker_token(&w.token, *ways[i].key, ways[i].alg, NULL, STR(GOOD));
        assert_int_equal(check(buf_str(&w.token)), FINE);
        /* no longer allowed */
        enum jwt_alg alg;
        assert_true(jwt_alg_find(str_c(ways[i].alg), &alg));
        assert_int_equal(check_with(buf_str(&w.token), EVERY & ~(1u << alg), &rules, w.set, &who),
                         OPEN_BAD);
    }
}

/* Every bit of it, and every shorter one. */
static void tampered(void **state)
{
    (void)state;
    for (size_t i = 2; i < WAYS; i++) { /* the short ones */
        maker_token(&w.token, *ways[i].key, ways[i].alg, ways[i].kid, STR(GOOD));
        char copy[2048];
        size_t n = w.token.len;
        assert_true(n < sizeof copy);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            memcpy(copy, w.token.ptr, n);
            copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
            assert_int_not_equal(check(str_of(copy, n)), FINE);
        }
        for (size_t len = 0; len < n; len++)
            assert_int_not_equal(check(str_first(buf_str(&w.token), len)), FINE);
    }
    for (size_t i = 0; i < 2; i++) { /* of the long ones each character */
        maker_token(&w.token, *ways[i].key, ways[i].alg, ways[i].kid, STR(GOOD));
        for (size_t at = 0; at < w.token.len; at++) {
            char was = w.token.ptr[at];
            w.token.ptr[at] = was == 'A' ? 'B' : 'A';
            assert_int_not_equal(check(buf_str(&w.token)), FINE);
            w.token.ptr[at] = was;
        }
        assert_int_equal(check(buf_str(&w.token)), FINE);
    }
}

/* RFC 8725 2.1, 2.2: none; a public key as HMAC's secret; one kind's signature as another's. */
static void confused(void **state)
{
    (void)state;
    static const char *const none[] = {"none",  "None",  "NONE",  "nOnE",  "",      "HS256",
                                       "HS512", "RS384", "ES384", "rs256", "RS256 "};
    char header[256];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"r\"}", none[i]);
        buf_clear(&w.token);
        maker_text(&w.token, str_c(header), STR(GOOD));
        buf_addc(&w.token, '.');
        assert_int_equal(check(buf_str(&w.token)), OPEN_BAD);
        buf_add(&w.token, STR("AAAA"));
        assert_int_equal(check(buf_str(&w.token)), OPEN_BAD);
    }
    /* HMAC under the text of the key set, which everybody knows */
    unsigned char mac[32];
    unsigned n = sizeof mac;
    buf_clear(&w.token);
    maker_text(&w.token, STR("{\"alg\":\"HS256\",\"kid\":\"r\"}"), STR(GOOD));
    assert_non_null(HMAC(EVP_sha256(), w.text.ptr, (int)w.text.len,
                         (const unsigned char *)w.token.ptr, w.token.len, mac, &n));
    buf_addc(&w.token, '.');
    maker_base64url(&w.token, str_of(mac, n));
    assert_int_equal(check(buf_str(&w.token)), OPEN_BAD);
    /* a signature of each kind under the name of each other */
    for (size_t i = 0; i < WAYS; i++)
        for (size_t k = 0; k < WAYS; k++) {
            if (i == k)
                continue;
            snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", ways[k].alg,
                     ways[k].kid);
            buf_clear(&w.token);
            maker_text(&w.token, str_c(header), STR(GOOD));
            struct buf sig;
            buf_init(&sig, MAKER_TEXT);
            maker_sign(&sig, *ways[i].key, ways[i].alg, buf_str(&w.token));
            buf_addc(&w.token, '.');
            buf_add(&w.token, buf_str(&sig));
            buf_free(&sig);
            assert_int_equal(check(buf_str(&w.token)), SIG_BAD);
        }
    /* the right algorithm, somebody else's key; a key of another kind's name */
    maker_token(&w.token, w.rsa_other, "RS256", "r", STR(GOOD));
    assert_int_equal(check(buf_str(&w.token)), SIG_BAD);
    maker_token(&w.token, w.rsa, "RS256", "e", STR(GOOD));
    assert_int_equal(check(buf_str(&w.token)), NO_KEY);
    maker_token(&w.token, w.rsa, "RS256", "unknown", STR(GOOD));
    assert_int_equal(check(buf_str(&w.token)), NO_KEY);
}

static enum outcome check_header(const char *header)
{
    struct buf sig;
    buf_init(&sig, MAKER_TEXT);
    buf_clear(&w.token);
    maker_text(&w.token, str_c(header), STR(GOOD));
    maker_sign(&sig, w.ed, "EdDSA", buf_str(&w.token));
    buf_addc(&w.token, '.');
    buf_add(&w.token, buf_str(&sig));
    buf_free(&sig);
    return check(buf_str(&w.token));
}

static void headers(void **state)
{
    (void)state;
    char long_kid[JWT_KID_MAX + 64], kid[JWT_KID_MAX + 2];
    memset(kid, 'k', sizeof kid - 1);
    kid[sizeof kid - 1] = '\0';
    snprintf(long_kid, sizeof long_kid, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
    const struct {
        const char *text;
        enum outcome want;
    } v[] = {
        {"{\"alg\":\"EdDSA\"}", FINE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwt\"}", FINE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/AT+JWT\"}", FINE},
        {"{\"alg\":\"EdDSA\",\"jku\":\"https://evil.example/keys\",\"jwk\":{\"kty\":\"oct\"}}",
         FINE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"logout+jwt\"}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"typ\":\"dpop+jwt\"}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"typ\":1}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"crit\":[\"b64\"],\"b64\":false}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"crit\":[]}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"kid\":7}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"kid\":\"\"}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\",\"kid\":\"d\\u0000\"}", OPEN_BAD},
        {long_kid, OPEN_BAD},
        {"{\"alg\":\"none\",\"alg\":\"EdDSA\"}", OPEN_BAD},
        {"{\"alg\":[\"EdDSA\"]}", OPEN_BAD},
        {"{\"ALG\":\"EdDSA\"}", OPEN_BAD},
        {"[\"EdDSA\"]", OPEN_BAD},
        {"\"EdDSA\"", OPEN_BAD},
        {"{}", OPEN_BAD},
        {"{\"alg\":\"EdDSA\"} x", OPEN_BAD},
        {"", OPEN_BAD},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        if (check_header(v[i].text) != v[i].want)
            fail_msg("%s", v[i].text);
}

static enum outcome check_claims(const char *claims, const struct oauth_rules *r,
                                 struct oauth_identity *who)
{
    maker_token(&w.token, w.ed, "EdDSA", "d", str_c(claims));
    return check_with(buf_str(&w.token), EVERY, r, w.set, who);
}

#define BASE "{\"iss\":\"https://id.example\",\"aud\":\"mail\",\"email\":\"me@a.example\""
#define MAIL ",\"email\":\"me@a.example\"}"
#define FOR  "{\"iss\":\"https://id.example\",\"exp\":1700000600,"

static void claims(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum outcome want;
    } v[] = {
        /* exp: RFC 7519 4.1.4, and 60 seconds of others' clocks */
        {BASE ",\"exp\":1699999941}", FINE},
        {BASE ",\"exp\":1699999940}", CLAIMS_BAD},
        {BASE ",\"exp\":1700000000.75}", FINE},
        {BASE "}", CLAIMS_BAD},
        {BASE ",\"exp\":\"1700000600\"}", CLAIMS_BAD},
        {BASE ",\"exp\":-1}", CLAIMS_BAD},
        {BASE ",\"exp\":1e300}", CLAIMS_BAD},
        {BASE ",\"exp\":1e999}", CLAIMS_BAD},
        {BASE ",\"exp\":99999999999999999999}", CLAIMS_BAD},
        {BASE ",\"exp\":null}", CLAIMS_BAD},
        {BASE ",\"exp\":1,\"exp\":1700000600}", CLAIMS_BAD},
        /* nbf */
        {BASE ",\"exp\":1700000600,\"nbf\":1700000060}", FINE},
        {BASE ",\"exp\":1700000600,\"nbf\":1700000061}", CLAIMS_BAD},
        {BASE ",\"exp\":1700000600,\"nbf\":\"x\"}", CLAIMS_BAD},
        /* aud, iss */
        {FOR "\"aud\":[\"x\",\"mail\"]" MAIL, FINE},
        {FOR "\"aud\":[]" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":[[\"mail\"]]" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":{\"mail\":\"mail\"}" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"Mail\"" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"mail2\"" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"mai\"" MAIL, CLAIMS_BAD},
        {FOR "\"azp\":\"mail\"" MAIL, CLAIMS_BAD},
        {"{\"iss\":\"https://id.example/\",\"exp\":1700000600,\"aud\":\"mail\"" MAIL, CLAIMS_BAD},
        {"{\"iss\":[\"https://id.example\"],\"exp\":1700000600,\"aud\":\"mail\"" MAIL, CLAIMS_BAD},
        {"{\"exp\":1700000600,\"aud\":\"mail\"" MAIL, CLAIMS_BAD},
        /* who */
        {FOR "\"aud\":\"mail\",\"email_verified\":true" MAIL, FINE},
        {FOR "\"aud\":\"mail\",\"email_verified\":\"true\"" MAIL, FINE},
        {FOR "\"aud\":\"mail\",\"email_verified\":false" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email_verified\":\"false\"" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email_verified\":null" MAIL, CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"preferred_username\":\"me@a.example\"}", FINE},
        {FOR "\"aud\":\"mail\",\"username\":\"me@a.example\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"sub\":\"me@a.example\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email\":[\"me@a.example\"]}", CLAIMS_BAD},
        /* a broken email does not make room for the next claim */
        {FOR "\"aud\":\"mail\",\"email\":7,\"preferred_username\":\"me@a.example\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email\":\"\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email\":\"me@a.example\\u0000x\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email\":\"me@a.example\\r\\nx\"}", CLAIMS_BAD},
        {FOR "\"aud\":\"mail\",\"email\":\"me @a.example\"}", CLAIMS_BAD},
        {"null", CLAIMS_BAD},
        {"[]", CLAIMS_BAD},
        {"{", CLAIMS_BAD},
        {"\xff", CLAIMS_BAD},
    };
    struct oauth_identity who;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        if (check_claims(v[i].text, &rules, &who) != v[i].want)
            fail_msg("%s", v[i].text);
}

static void rules_of_others(void **state)
{
    (void)state;
    struct oauth_identity who;
    const char *text =
        FOR "\"aud\":\"mail\",\"upn\":\"Me@A.example\",\"scope\":\"openid  mail.send x\"}";
    struct oauth_rules r = rules;
    r.claim = STR("upn");
    assert_int_equal(check_claims(text, &r, &who), FINE);
    assert_string_equal(who.name, "Me@A.example");
    r.claim = STR("email"); /* only that one */
    assert_int_equal(
        check_claims(FOR "\"aud\":\"mail\",\"preferred_username\":\"me@a.example\"}", &r, &who),
        CLAIMS_BAD);
    r.claim = STR("upn");
    r.scope = STR("mail.send");
    assert_int_equal(check_claims(text, &r, &who), FINE);
    r.scope = STR("mail.send openid");
    assert_int_equal(check_claims(text, &r, &who), FINE);
    r.scope = STR("mail");
    assert_int_equal(check_claims(text, &r, &who), CLAIMS_BAD);
    r.scope = STR("x mail");
    assert_int_equal(check_claims(text, &r, &who), CLAIMS_BAD);
    text = FOR "\"aud\":\"mail\",\"upn\":\"me@a.example\",\"scp\":[\"mail\"]}";
    assert_int_equal(check_claims(text, &r, &who), CLAIMS_BAD);
    r.scope = STR("mail");
    assert_int_equal(check_claims(text, &r, &who), FINE);
}

static void bounds(void **state)
{
    (void)state;
    /* nested: at the limit, over it, and so deep that a parser that calls itself would fall */
    static const size_t depths[] = {OAUTH_DEPTH_MAX - 1, OAUTH_DEPTH_MAX, 2000};
    for (size_t i = 0; i < 3; i++) {
        struct buf c;
        struct oauth_identity who;
        buf_init(&c, MAKER_TEXT);
        buf_add(&c, STR(FOR "\"aud\":\"mail\",\"x\":"));
        for (size_t k = 0; k < depths[i]; k++)
            buf_addc(&c, '[');
        for (size_t k = 0; k < depths[i]; k++)
            buf_addc(&c, ']');
        buf_add(&c, STR(MAIL));
        buf_addc(&c, '\0');
        assert_int_equal(check_claims(c.ptr, &rules, &who), i == 0 ? FINE : CLAIMS_BAD);
        buf_free(&c);
    }
    /* what looks like depth in a string is none */
    struct oauth_identity who;
    assert_int_equal(
        check_claims(FOR "\"aud\":\"mail\",\"x\":\"\\\"[[[[[[[[[[[[[[[[[[[[[\"" MAIL, &rules, &who),
        FINE);
    /* long */
    for (int over = 0; over < 2; over++) {
        struct buf c;
        buf_init(&c, MAKER_TEXT);
        buf_add(&c, STR(FOR "\"aud\":\"mail\",\"x\":\""));
        maker_token(&w.token, w.ed, "EdDSA", "d", STR(""));
        size_t frame = w.token.len;
        while ((c.len + sizeof("\"" MAIL) - 1) * 4 / 3 + frame < JWT_MAX - 4u)
            buf_addc(&c, 'x');
        for (int k = 0; k < 8 * over; k++)
            buf_addc(&c, 'x');
        buf_add(&c, STR("\"" MAIL));
        maker_token(&w.token, w.ed, "EdDSA", "d", buf_str(&c));
        assert_int_equal(w.token.len > JWT_MAX, over);
        assert_int_equal(check(buf_str(&w.token)), over ? OPEN_BAD : FINE);
        buf_free(&c);
    }
    /* an address of 320 is taken, of 321 not */
    for (size_t len = OAUTH_NAME_MAX; len <= OAUTH_NAME_MAX + 1; len++) {
        char text[1024];
        snprintf(text, sizeof text, FOR "\"aud\":\"mail\",\"email\":\"%0*d\"}", (int)len, 0);
        assert_int_equal(check_claims(text, &rules, &who),
                         len == OAUTH_NAME_MAX ? FINE : CLAIMS_BAD);
    }
    static const str_t odd[] = {STR("."),    STR(".."),      STR("..."),      STR("a.b"),
                                STR("a.b."), STR("a.b.c.d"), STR("e30.e30."), STR("e30=.e30.AAAA")};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(check(odd[i]), OPEN_BAD);
}

/* ---- sets of keys ---- */

static size_t set_of(const char *text)
{
    struct jwks *set = parse(str_c(text));
    size_t n = set != NULL ? jwks_count(set) : 0;
    jwks_free(set);
    return n;
}

static size_t one_key(const EVP_PKEY *key, const char *more)
{
    struct buf b;
    buf_init(&b, MAKER_TEXT);
    buf_add(&b, STR("{\"keys\":["));
    maker_jwk(&b, key, "k", more);
    buf_add(&b, STR("]}"));
    buf_addc(&b, '\0');
    size_t n = set_of(b.ptr);
    buf_free(&b);
    return n;
}

static void sets(void **state)
{
    (void)state;
    assert_int_equal(one_key(w.rsa, ""), 1);
    assert_int_equal(one_key(w.rsa, ",\"use\":\"enc\""), 0);
    assert_int_equal(one_key(w.rsa, ",\"use\":1"), 0);
    assert_int_equal(one_key(w.rsa, ",\"alg\":\"RSA-OAEP\""), 0);
    assert_int_equal(one_key(w.rsa, ",\"alg\":\"ES256\""), 0);
    assert_int_equal(one_key(w.rsa, ",\"alg\":\"HS256\""), 0);
    assert_int_equal(one_key(w.rsa, ",\"key_ops\":[\"sign\"]"), 0);
    assert_int_equal(one_key(w.small, ""), 0);
    assert_int_equal(one_key(w.p384, ""), 0);
    static const char *const none[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1,null,\"x\",[]]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"alg\":\"HS256\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        /* not on the curve */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(set_of(none[i]), 0);
    /* more than are used; and a key that is used has a name of its own */
    struct buf b;
    buf_init(&b, MAKER_TEXT);
    buf_add(&b, STR("{\"keys\":["));
    for (int i = 0; i < JWKS_KEYS_MAX + 1; i++) {
        if (i > 0)
            buf_addc(&b, ',');
        maker_jwk(&b, w.ed, "k", "");
    }
    buf_add(&b, STR("]}"));
    buf_addc(&b, '\0');
    assert_false(b.failed);
    assert_int_equal(set_of(b.ptr), JWKS_KEYS_MAX);
    buf_free(&b);
}

/* A key with "alg" serves that one alone. */
static void one_algorithm(void **state)
{
    (void)state;
    struct oauth_identity who;
    struct buf b;
    buf_init(&b, MAKER_TEXT);
    buf_add(&b, STR("{\"keys\":["));
    maker_jwk(&b, w.rsa, "r", ",\"alg\":\"PS256\"");
    buf_add(&b, STR("]}"));
    struct jwks *set = parse(buf_str(&b));
    assert_non_null(set);
    maker_token(&w.token, w.rsa, "RS256", "r", STR(GOOD));
    assert_int_equal(check_with(buf_str(&w.token), EVERY, &rules, set, &who), NO_KEY);
    maker_token(&w.token, w.rsa, "PS256", "r", STR(GOOD));
    assert_int_equal(check_with(buf_str(&w.token), EVERY, &rules, set, &who), FINE);
    jwks_free(set);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),    cmocka_unit_test(tampered), cmocka_unit_test(confused),
        cmocka_unit_test(headers), cmocka_unit_test(claims),   cmocka_unit_test(rules_of_others),
        cmocka_unit_test(bounds),  cmocka_unit_test(sets),     cmocka_unit_test(one_algorithm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
