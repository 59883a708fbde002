/* role_table.h: what each role is given and what it may do: the one table.
 *
 * sys/sandbox.h enforces `may`; the supervisor hands out nothing but what the row names.
 * doc/SECURITY.md prints this table. */
#ifndef ROLES_ROLE_TABLE_H
#define ROLES_ROLE_TABLE_H

#include "roles/role.h"
#include "sys/sandbox.h"

#define ROLE_TLS_PAIRS       1u /* certificates with their private keys: it serves TLS */
#define ROLE_TLS_AUTHORITIES 2u /* who others' certificates are trusted for: it calls others */

struct role_row {
    const char *name;    /* of the process, in the log, of the system user: USER-name */
    unsigned may;        /* SANDBOX_* */
    unsigned listeners;  /* 1 << enum listener_kind */
    /* is a client of that role; resolver/role_resolver.c and core/permissions.c say whom they take */
    bool core, resolver;
    bool courier;        /* likewise, if the settings have an OAuth endpoint */
    bool data_dir;
    unsigned tls; /* ROLE_TLS_* that it is given; 0: it has no struct tls_vault */
    /* in which order roles are stopped: the front first, so that nothing new comes in, core last */
    int stop_stage;
};

#define ROLE_STOP_STAGES 3

extern const struct role_row role_table[ROLE_COUNT];
bool role_by_name(const char *name, enum role_id *id);

/* Fills the sandbox of a role: its row, and the TCP ports its settings need (a table of
 * SANDBOX_PORTS_MAX). */
struct sandbox role_sandbox(enum role_id id, const struct settings *set, int data_dir_fd);
/* Whether it may connect to that TCP port. */
bool role_may_connect(enum role_id id, const struct settings *set, uint16_t port);

#endif
