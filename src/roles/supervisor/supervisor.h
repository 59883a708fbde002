/* supervisor.h: starts the roles and keeps them running.
 *
 * It binds the ports, opens the data folder, starts each role with the descriptors the role table
 * gives it, and starts again what dies (at once; with growing pauses if it keeps dying). Listening
 * sockets stay open here, so that clients wait in the backlog meanwhile. It reads no byte that came
 * from the network.
 *
 * As root each role runs as a user of its own: the system user USER-ROLE (USER is the setting
 * `user`), or where there is none the number SUPERVISOR_UID_BASE + the role's; the data folder
 * belongs to core's. Otherwise all run as the one who started it. */
#ifndef ROLES_SUPERVISOR_H
#define ROLES_SUPERVISOR_H

#include "base/err.h"
#include "roles/settings.h"

/* 0x70000000 is where the numbers of systemd's containers end: nobody hands out what follows.
 * Fixed, so that the data folder keeps its owner from start to start. */
#define SUPERVISOR_UID_BASE (0x70000000u + 0x5052u)

/* Runs until SIGTERM or SIGINT, then stops everything in order. `settings_text` is what the roles
 * parse for themselves. With `single` all roles are threads of this process, without sandbox. Exit
 * status; *err says why it could not start. */
int supervisor_run(const struct settings *set, str_t settings_text, bool single, struct err *err);

#endif
