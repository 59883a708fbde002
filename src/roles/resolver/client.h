/* client.h: DNS for courier: env->dns asks the resolver role over a channel.
 *
 * The call waits, until its deadline (of CLOCK_MONOTONIC, as env->mono_ms of the system's env).
 * A resolver that was restarted in the meantime is asked again. What comes of a broken resolver
 * is DNS_SERVFAIL or DNS_TIMEOUT: not known now. Any thread may call. */
#ifndef ROLES_RESOLVER_CLIENT_H
#define ROLES_RESOLVER_CLIENT_H

#include "base/env.h"
#include "sys/channel.h"

void resolver_client_install(struct env *env, struct channel *ch);

#endif
