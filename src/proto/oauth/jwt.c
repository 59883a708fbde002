/* jwt.c: see jwt.h. */
#include "proto/oauth/jwt.h"

#include "base/codec.h"

/* RFC 8725 3.11: other kinds of JWT are signed with the same keys and must not pass for a login:
 * logout and security event tokens, proofs of DPoP. */
static bool type_ok(const json_t *header)
{
    static const str_t types[] = {STR("JWT"), STR("at+jwt"), STR("application/at+jwt")};
    str_t type = oauth_text(header, "typ");
    if (json_object_get(header, "typ") == NULL)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_ieq(type, types[i])) /* RFC 7515 4.1.9: a media type */
            return true;
    return false;
}

static enum rc read_header(const json_t *header, unsigned algorithms, struct arena *a,
                           struct jwt *out, struct err *err)
{
    str_t kid = oauth_text(header, "kid");
    if (header == NULL)
        return err_set(err, RC_PERM, "", "its header is no JSON");
    if (!jwt_alg_find(oauth_text(header, "alg"), &out->alg) || (algorithms >> out->alg & 1) == 0)
        return err_set(err, RC_PERM, "", "its algorithm is not allowed");
    if (json_object_get(header, "crit") != NULL) /* RFC 7515 4.1.11: we know no extension */
        return err_set(err, RC_PERM, "", "it wants an extension that is not known (crit)");
    if (!type_ok(header))
        return err_set(err, RC_PERM, "", "it is no access token (typ)");
    if (json_object_get(header, "kid") != NULL && (kid.len == 0 || kid.len > JWT_KID_MAX))
        return err_set(err, RC_PERM, "", "its key has no usable name (kid)");
    out->kid = arena_dup(a, kid);
    return a->failed ? err_set(err, RC_TEMP, "", "out of memory") : RC_OK;
}

static bool decode(struct arena *a, str_t part, str_t *out)
{
    char *to = arena_alloc(a, part.len + 1);
    struct buf b = {.ptr = to, .cap = part.len, .max = part.len};
    bool good = to != NULL && part.len > 0 && base64url_decode(&b, part);
    *out = buf_str(&b);
    return good;
}

enum rc jwt_open(str_t token, unsigned algorithms, struct arena *a, struct jwt *out,
                 struct err *err)
{
    str_t header, claims, signature = token, json;
    *out = (struct jwt){0};
    if (token.len > JWT_MAX || !str_cut(&signature, '.', &header) ||
        !str_cut(&signature, '.', &claims))
        return err_set(err, RC_PERM, "", "it is no signed JWT");
    out->text = str_of(token.ptr, header.len + 1 + claims.len);
    /* a further dot is in no alphabet of base64 */
    if (!decode(a, header, &json) || !decode(a, claims, &out->claims) ||
        !decode(a, signature, &out->signature))
        return err_set(err, RC_PERM, "", "its base64url is broken");
    json_t *parsed = oauth_json(json);
    enum rc rc = read_header(parsed, algorithms, a, out, err);
    json_decref(parsed);
    return rc;
}

enum jwks_verdict jwt_verify(const struct jwt *t, const struct jwks *set)
{
    return jwks_verify(set, t->alg, t->kid, t->text, t->signature);
}

enum rc jwt_claims(const struct jwt *t, const struct oauth_rules *rules, int64_t now_s,
                   struct oauth_identity *out, struct err *err)
{
    json_t *claims = oauth_json(t->claims);
    *out = (struct oauth_identity){0};
    if (claims == NULL)
        return err_set(err, RC_PERM, "", "its claims are no JSON");
    enum rc rc = oauth_claims(claims, OAUTH_SIGNED, rules, now_s, out, err);
    json_decref(claims);
    return rc;
}
