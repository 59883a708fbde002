/* claims.c: see oauth.h. Signed tokens and answers to introspection say the same in the same words
 * (RFC 7519 4.1, RFC 7662 2.2). */
#include "base/utf8.h"
#include "proto/oauth/oauth.h"

/* Years until 3000: what is later is no time. */
#define TIME_MAX 32503680000.0

/* RFC 7519 2: a number, perhaps with a fraction. false: it is there and none. */
static bool time_of(const json_t *claims, const char *name, int64_t otherwise, int64_t *out)
{
    const json_t *v = json_object_get(claims, name);
    *out = otherwise;
    if (v == NULL)
        return true;
    double n = json_is_number(v) ? json_number_value(v) : -1;
    if (!(n >= 0 && n <= TIME_MAX))
        return false;
    *out = (int64_t)n;
    return true;
}

static enum rc check_times(const json_t *claims, enum oauth_kind kind, int64_t now_s,
                           int64_t *expires_s, struct err *err)
{
    int64_t before;
    if (!time_of(claims, "exp", INT64_MAX, expires_s) || !time_of(claims, "nbf", 0, &before))
        return err_set(err, RC_PERM, "", "exp or nbf is no time");
    if (*expires_s == INT64_MAX && kind == OAUTH_SIGNED)
        return err_set(err, RC_PERM, "", "it has no exp");
    if (*expires_s != INT64_MAX && now_s >= *expires_s + OAUTH_SKEW_S)
        return err_set(err, RC_PERM, "", "it has expired");
    if (now_s < before - OAUTH_SKEW_S)
        return err_set(err, RC_PERM, "", "it is not good yet (nbf)");
    return RC_OK;
}

/* A string, or an array of them that holds it (RFC 7519 4.1.3). */
static bool names(const json_t *v, str_t what)
{
    size_t i;
    const json_t *one;
    if (json_is_string(v))
        return str_eq(str_of(json_string_value(v), json_string_length(v)), what);
    json_array_foreach(v, i, one)
    {
        if (json_is_string(one) &&
            str_eq(str_of(json_string_value(one), json_string_length(one)), what))
            return true;
    }
    return false;
}

static bool next_word(str_t *rest, str_t *word)
{
    while (rest->len > 0 && rest->ptr[0] == ' ')
        *rest = str_from(*rest, 1);
    if (rest->len == 0)
        return false;
    if (!str_cut(rest, ' ', word)) {
        *word = *rest;
        *rest = STR_NONE;
    }
    return true;
}

static bool has_word(str_t list, str_t what)
{
    str_t word;
    while (next_word(&list, &word))
        if (str_eq(word, what))
            return true;
    return false;
}

/* RFC 8693 4.2: words with blanks between; others write scp, some an array. */
static bool has_scope(const json_t *claims, str_t what)
{
    static const char *const called[] = {"scope", "scp"};
    for (size_t i = 0; i < sizeof called / sizeof *called; i++)
        if (has_word(oauth_text(claims, called[i]), what) ||
            (json_is_array(json_object_get(claims, called[i])) &&
             names(json_object_get(claims, called[i]), what)))
            return true;
    return false;
}

static enum rc check_for_us(const json_t *claims, const struct oauth_rules *r, struct err *err)
{
    str_t wanted = r->scope, word;
    if (r->issuer.len > 0 && !str_eq(oauth_text(claims, "iss"), r->issuer))
        return err_set(err, RC_PERM, "", "it is from another issuer (iss)");
    if (r->audience.len > 0 && !names(json_object_get(claims, "aud"), r->audience))
        return err_set(err, RC_PERM, "", "it is for somebody else (aud)");
    while (next_word(&wanted, &word))
        if (!has_scope(claims, word))
            return err_set(err, RC_PERM, "", "it is not for mail (scope)");
    return RC_OK;
}

/* Issuers that let people write any address into their account say so. Some as a string. */
static bool unverified(const json_t *claims)
{
    const json_t *v = json_object_get(claims, "email_verified");
    return v != NULL && !json_is_true(v) &&
           !str_eq(oauth_text(claims, "email_verified"), STR("true"));
}

static bool name_ok(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0 && s.len <= OAUTH_NAME_MAX && utf8_valid(s);
}

static str_t name_of(const json_t *claims, enum oauth_kind kind, str_t claim)
{
    static const char *const usual[] = {"email", "username", "preferred_username"};
    char own[64];
    if (claim.len >= sizeof own)
        return STR_NONE;
    if (claim.len > 0)
        return oauth_text(claims, str_toc(claim, own, sizeof own));
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (json_object_get(claims, usual[i]) != NULL && (i != 1 || kind == OAUTH_INTROSPECTED))
            return oauth_text(claims, usual[i]);
    return STR_NONE;
}

enum rc oauth_claims(const json_t *claims, enum oauth_kind kind, const struct oauth_rules *rules,
                     int64_t now_s, struct oauth_identity *out, struct err *err)
{
    *out = (struct oauth_identity){.expires_s = INT64_MAX};
    enum rc rc = check_times(claims, kind, now_s, &out->expires_s, err);
    rc = rc == RC_OK ? check_for_us(claims, rules, err) : rc;
    if (rc != RC_OK)
        return rc;
    if (unverified(claims))
        return err_set(err, RC_PERM, "", "its address is not verified (email_verified)");
    str_t name = name_of(claims, kind, rules->claim);
    if (!name_ok(name))
        return err_set(err, RC_PERM, "", "it names no account");
    str_toc(name, out->name, sizeof out->name);
    return RC_OK;
}
