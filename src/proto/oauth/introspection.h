/* introspection.h: asking a token's issuer what it is worth (RFC 7662): the body of the question and
 * what the answer says. */
#ifndef PROTO_OAUTH_INTROSPECTION_H
#define PROTO_OAUTH_INTROSPECTION_H

#include "base/buf.h"
#include "proto/oauth/oauth.h"

/* application/x-www-form-urlencoded, RFC 7662 2.1. false: no room. */
bool introspection_request(str_t token, struct buf *out);
/* "Basic …" of a client's name and secret, each encoded as RFC 6749 2.3.1 wants. */
bool introspection_basic(str_t id, str_t secret, struct buf *out);
/* RC_OK: it is active, and the rules hold. RC_PERM: not. RC_TEMP: this is no answer. */
enum rc introspection_read(str_t body, const struct oauth_rules *rules, int64_t now_s,
                           struct oauth_identity *out, struct err *err);

#endif
