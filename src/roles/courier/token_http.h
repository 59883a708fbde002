/* token_http.h: one connection to the OAuth endpoint, kept open between questions; by libcurl.
 *
 * HTTPS, its certificate held against our authorities (http to this machine alone: the settings see
 * to it). The name is looked up by env->dns, so that the library never resolves anything. Nothing is
 * followed, no proxy used, nothing unpacked; an answer has TOKEN_HTTP_BODY_MAX bytes at most, and one
 * deadline holds for all of it. One thread. */
#ifndef ROLES_COURIER_TOKEN_HTTP_H
#define ROLES_COURIER_TOKEN_HTTP_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/url.h"
#include "proto/oauth/oauth.h"
#include "sys/tls.h"

#define TOKEN_HTTP_BODY_MAX   OAUTH_JSON_MAX
#define TOKEN_HTTP_HEADER_MAX 65536

struct token_http_config {
    struct env *env;
    struct tls_vault *tls;
    str_t url;               /* outlives the connection */
    const atomic_bool *stop; /* set: a question under way ends within a second */
};

struct token_http;
/* NULL and *err: no library, no memory, or it refuses an option that we rely on. */
struct token_http *token_http_new(const struct token_http_config *config, struct err *err);
void token_http_free(struct token_http *h);

/* GET, or POST of a form if `form` is not empty; `authorization` may be empty. RC_OK: it was
 * answered 200, and *body is that. RC_TEMP and *err: anything else. The slice is good until the next
 * question. */
enum rc token_http_ask(struct token_http *h, str_t form, str_t authorization, int64_t deadline_ms,
                       str_t *body, struct err *err);

#endif
