/* oauth.h: what a bearer token (RFC 6750) must say to be good here, and for whom; and JSON as tokens
 * and their issuers send it: strict and bounded.
 *
 *     jwt.h             tokens that are signed and carry their claims (RFC 7519)
 *     jwks.h            the keys they are signed with (RFC 7517)
 *     introspection.h   tokens that their issuer is asked about (RFC 7662)
 *
 * No sockets, no clock. Any thread. Errors are sentences for the operator's log; a client learns
 * nothing of them. */
#ifndef PROTO_OAUTH_OAUTH_H
#define PROTO_OAUTH_OAUTH_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

#define OAUTH_NAME_MAX  320   /* of a login: an address, RFC 5321 4.5.3.1 */
#define OAUTH_JSON_MAX  65536 /* of one document: sets of keys with certificates reach 20 KiB */
#define OAUTH_DEPTH_MAX 16    /* its nesting: claims of groups and roles have 4 */
#define OAUTH_SKEW_S    60 /* clocks differ; RFC 7519 4.1.4: "usually no more than a few minutes" */

struct oauth_rules { /* what is empty is not asked for */
    str_t issuer;    /* iss, as it is */
    str_t audience;  /* aud is or holds it */
    str_t scope;     /* words that must all be in scope (or scp) */
    str_t claim;     /* which claim names the account; empty: email, then preferred_username, and
                      * of an answer to an introspection username before that one */
};

struct oauth_identity {
    char name[OAUTH_NAME_MAX + 1];
    int64_t expires_s; /* since 1970; INT64_MAX: it was not said */
};

/* An object, whole: no name twice, no text behind it. NULL: it is none. Free with json_decref. */
json_t *oauth_json(str_t text);
/* A member that is a string without NUL; STR_NONE: there is none (of this kind). */
str_t oauth_text(const json_t *object, const char *name);

enum oauth_kind { OAUTH_SIGNED, OAUTH_INTROSPECTED };

/* Claims against the rules at this time: exp (that a signed one must have), nbf, iss, aud, scope;
 * and the name. RC_OK, or RC_PERM and *err. */
enum rc oauth_claims(const json_t *claims, enum oauth_kind kind, const struct oauth_rules *rules,
                     int64_t now_s, struct oauth_identity *out, struct err *err);

#endif
