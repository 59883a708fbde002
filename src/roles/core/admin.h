/* admin.h: the socket of the command line. Whoever connects must be root, us, or the owner of the
 * data folder. */
#ifndef ROLES_CORE_ADMIN_H
#define ROLES_CORE_ADMIN_H

#include "roles/role.h"

/* Accepts on fd (taken) until the role is asked to stop, and hands each connection to
 * core_serve. */
struct admin;
struct admin *admin_start(struct role *core, int fd); /* NULL: no thread */
void admin_stop(struct admin *a);

#endif
