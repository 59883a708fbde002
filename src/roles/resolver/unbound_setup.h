/* unbound_setup.h: libunbound configured from our settings, reading no file. */
#ifndef ROLES_RESOLVER_UNBOUND_SETUP_H
#define ROLES_RESOLVER_UNBOUND_SETUP_H

#include "base/err.h"
#include "roles/settings.h"

struct ub_ctx;
/* NULL and *err; ub_ctx_delete frees it. */
struct ub_ctx *unbound_setup(const struct settings *set, struct err *err);

#endif
