/* token_check.h: bearer tokens (RFC 6750) that core asks courier about, checked at the endpoint of
 * the settings: by asking their issuer (RFC 7662), or by its keys (RFC 7517).
 *
 *     token_check.c        core's channel, the queue, a few threads
 *     token_introspect.c   the issuer is asked about each
 *     token_jwt.c          its keys are kept for a while
 *     token_http.c         HTTPS, by libcurl (curl_library.c)
 *     proto/oauth          what tokens and answers say
 *
 * Whoever has taken courier over could vouch for anybody here: no endpoint, no danger. An endpoint
 * that fails three times in a row is left alone for a while, so that logins with tokens are refused
 * at once instead of holding up those with passwords. */
#ifndef ROLES_COURIER_TOKEN_CHECK_H
#define ROLES_COURIER_TOKEN_CHECK_H

#include "base/env.h"
#include "roles/settings.h"
#include "sys/tls.h"

#define TOKEN_THREADS 4
#define TOKEN_QUEUE   32 /* waiting for one of them; core asks for less at once (token_ask.h) */

/* Loads what is needed, before the sandbox is entered. Nothing without an endpoint in the
 * settings. What fails here is said when it is needed. */
void token_check_prepare(const struct settings *set);
/* Our secret at the endpoint, in a sealed file that stays the caller's; again when it has changed. */
void token_check_secret(int fd);
/* False: no memory or threads. True without an endpoint, when it does nothing. */
bool token_check_start(struct env *env, const struct settings *set, struct tls_vault *tls);
/* A channel to core: fd is taken. Before the start its questions are answered "later". */
void token_check_serve(int fd);
void token_check_stop(void); /* what waits is answered "later" */

#endif
