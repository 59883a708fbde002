/* fuzz_jwt.c: what an OAuth endpoint and its clients send. The first byte says what the rest is: a
 * signed token, a set of keys, claims, an answer to an introspection. Checked: memory bounds; that no
 * token without a known key's signature is good; that who is named has a usable name. */
#include <stdlib.h>

#include "base/utf8.h"
#include "proto/oauth/introspection.h"
#include "proto/oauth/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000000

/* Nobody knows the other half of these. */
static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d\",\"x\":"
                           "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"EC\","
                           "\"crv\":\"P-256\",\"kid\":\"e\","
                           "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
                           "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static const struct oauth_rules rules = {
    .issuer = STR("i"), .audience = STR("a"), .scope = STR("s t")};
static const struct oauth_rules any;

static void check_identity(const struct oauth_identity *who)
{
    str_t name = str_c(who->name);
    must(name.len > 0 && name.len <= OAUTH_NAME_MAX && utf8_valid(name));
    for (size_t i = 0; i < name.len; i++)
        must((uint8_t)name.ptr[i] > ' ');
    must(who->expires_s > NOW - OAUTH_SKEW_S);
}

static void fuzz_token(str_t in)
{
    static struct jwks *set;
    struct arena a;
    struct jwt t;
    struct err err = {0};
    if (set == NULL)
        must((set = jwks_parse(str_c(keys), &err)) != NULL && jwks_count(set) == 2);
    arena_init(&a, JWT_ARENA_MAX);
    if (jwt_open(in, (1u << JWT_ALGS) - 1, &a, &t, &err) == RC_OK) {
        must(t.kid.len <= JWT_KID_MAX && t.text.len < in.len);
        must(jwt_verify(&t, set) != JWKS_GOOD);
        struct oauth_identity who;
        if (jwt_claims(&t, &rules, NOW, &who, &err) == RC_OK)
            check_identity(&who);
    } else {
        must(err.text[0] != '\0');
    }
    arena_free(&a);
}

static void fuzz_claims(str_t in, enum oauth_kind kind, const struct oauth_rules *r)
{
    struct oauth_identity who;
    struct err err;
    json_t *claims = oauth_json(in);
    if (claims != NULL && oauth_claims(claims, kind, r, NOW, &who, &err) == RC_OK)
        check_identity(&who);
    json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    struct oauth_identity who;
    if (size == 0)
        return 0;
    char *exact = malloc(size);
    must(exact != NULL);
    memcpy(exact, data + 1, size - 1);
    str_t in = str_of(exact, size - 1);
    switch (data[0] % 5) {
    case 0: fuzz_token(in); break;
    case 1: jwks_free(jwks_parse(in, &err)); break;
    case 2: fuzz_claims(in, OAUTH_SIGNED, &rules); break;
    case 3: fuzz_claims(in, OAUTH_INTROSPECTED, &any); break;
    case 4:
        if (introspection_read(in, &any, NOW, &who, &err) == RC_OK)
            check_identity(&who);
        break;
    }
    free(exact);
    return 0;
}
