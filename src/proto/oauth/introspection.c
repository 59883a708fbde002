/* introspection.c: see introspection.h. */
#include "proto/oauth/introspection.h"

#include "base/codec.h"
#include "base/digest.h"

/* All but unreserved characters (RFC 3986 2.3) as %XX; a token has few of them. */
static void encode(struct buf *out, str_t s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            buf_addc(out, c);
            continue;
        }
        buf_addc(out, '%');
        buf_addc(out, hex[(uint8_t)c >> 4]);
        buf_addc(out, hex[(uint8_t)c & 15]);
    }
}

bool introspection_request(str_t token, struct buf *out)
{
    buf_add(out, STR("token="));
    encode(out, token);
    return buf_add(out, STR("&token_type_hint=access_token")) && !out->failed;
}

bool introspection_basic(str_t id, str_t secret, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, 3 * (id.len + secret.len) + 1);
    bool room = buf_room(&plain, 3 * (id.len + secret.len) + 1) != NULL;
    encode(&plain, id);
    buf_addc(&plain, ':');
    encode(&plain, secret);
    buf_add(out, STR("Basic "));
    bool good = room && !plain.failed && base64_encode(out, buf_str(&plain)) && !out->failed;
    if (plain.ptr != NULL)
        digest_wipe(plain.ptr, plain.cap);
    buf_free(&plain);
    return good;
}

/* RFC 7662 2.2: a refresh token is active too, and is nothing to log in with. Some say
 * access_token. */
static bool is_bearer(const json_t *answer)
{
    str_t type = oauth_text(answer, "token_type");
    return json_object_get(answer, "token_type") == NULL || str_ieq(type, STR("Bearer")) ||
           str_ieq(type, STR("access_token"));
}

enum rc introspection_read(str_t body, const struct oauth_rules *rules, int64_t now_s,
                           struct oauth_identity *out, struct err *err)
{
    json_t *answer = oauth_json(body);
    const json_t *active = json_object_get(answer, "active");
    enum rc rc;
    *out = (struct oauth_identity){0};
    if (!json_is_boolean(active))
        rc = err_set(err, RC_TEMP, "", "its answer is none to an introspection");
    else if (!json_is_true(active))
        rc = err_set(err, RC_PERM, "", "it is not active");
    else if (!is_bearer(answer))
        rc = err_set(err, RC_PERM, "", "it is no bearer token");
    else
        rc = oauth_claims(answer, OAUTH_INTROSPECTED, rules, now_s, out, err);
    json_decref(answer);
    return rc;
}
