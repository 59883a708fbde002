/* runtime.h: the life of a role around its entry point: what role.h promises it. */
#ifndef ROLES_RUNTIME_H
#define ROLES_RUNTIME_H

#include "roles/role.h"

#define ROLE_CONTROL_FD  3  /* where a role's process finds its control socket */
#define ROLE_EXIT_CONFIG 78 /* EX_CONFIG: it could not begin; trying again will not help */

/* Runs the role to its end on this thread. control is taken. With `process` it has the process for
 * itself: it enters the sandbox, and makes sure of its own end if the supervisor is gone. Exit
 * status. */
int role_run(enum role_id id, int control, bool process);

#endif
