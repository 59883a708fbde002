/* token_ask.h: bearer tokens are checked by courier, which may talk to the network: core asks it over
 * a channel (roles/token_protocol.h), and keeps what was good for a while (token_cache.h). It believes
 * courier: whoever has taken that role over can log in as anybody, where an OAuth endpoint is
 * configured. */
#ifndef ROLES_CORE_TOKEN_ASK_H
#define ROLES_CORE_TOKEN_ASK_H

#include "roles/core/server.h"
#include "roles/settings.h"
#include "sys/channel.h"

/* Asked at once. Each holds one of the places of who waits for a login (48 at the user role), and
 * while the endpoint is slow others must find one; then "later". */
#define TOKEN_ASK_MAX 24

struct token_ask;
/* All borrowed. NULL: no memory. */
struct token_ask *token_ask_new(struct env *env, const struct settings *set,
                                struct channel *courier);
/* For core_server_token_check; `user` is the struct token_ask. */
core_token_check token_ask_check;
void token_ask_free(struct token_ask *t); /* after core_server_free: nothing is under way then */

#endif
