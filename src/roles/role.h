/* role.h: what a role is given when it starts. What each may do: role_table.h (of the system),
 * core/permissions.h (of the store).
 *
 * The supervisor starts each role (a process with `serve`, a thread with `serve --single`) with one
 * control socket (SOCK_SEQPACKET) over which it passes listening sockets and the ends of channels
 * to other roles, again whenever such a peer was restarted. role_run() (roles/runtime.h) receives
 * the first set, applies the sandbox and returns; a thread of the runtime goes on listening for new
 * ones and for the request to stop. */
#ifndef ROLES_ROLE_H
#define ROLES_ROLE_H

#include "base/env.h"
#include "roles/settings.h"
#include "sys/channel.h"

enum role_id {
    ROLE_SUPERVISOR,
    ROLE_CORE,
    ROLE_RESOLVER,
    ROLE_MX,
    ROLE_USER,
    ROLE_COURIER,
    ROLE_LOCAL,
    ROLE_COUNT
};

/* ADMIN: DATA/control.sock, where the command line asks core (roles/core/admin.h). SUBMISSION: port
 * 587, STARTTLS; SUBMISSIONS: port 465, TLS at once (RFC 8314); LOCAL: the socket of `sendmail`, SMTP
 * with the user named by the kernel. A new one goes into role_table.c (whose it is), place.c (it is
 * bound), SUPERVISOR_LISTENERS_MAX; each switch over them asks for it. */
enum listener_kind {
    LISTEN_SMTP,
    LISTEN_LMTP,
    LISTEN_POP3,
    LISTEN_ADMIN,
    LISTEN_SUBMISSION,
    LISTEN_SUBMISSIONS,
    LISTEN_LOCAL,
};

struct role_listener {
    enum listener_kind kind;
    int fd; /* bound and listening; the role owns it */
};

/* What the roles share at run time. In a role's process there is one; `--single` has one for each
 * thread. */
struct role {
    enum role_id id;
    const struct settings *settings;
    /* mono, wall, random, connect (courier), dns (through resolver), store (through core) */
    struct env env;
    struct channel *core;     /* NULL where the role has none */
    struct channel *resolver; /* likewise */
    struct channel *courier;  /* core's, for bearer tokens (roles/token_protocol.h); or NULL */
    struct role_listener *listeners;
    size_t n_listeners;
    /* Certificates with their keys for the roles that serve TLS, trusted authorities for those that
     * call others; filled and kept up by the runtime from what the supervisor sends. */
    struct tls_vault *tls;
    int data_dir_fd; /* core only, else -1 */
    /* What hints can still come to when the entry point has returned: given to free_late once the
     * store is closed. NULL: nothing. */
    void (*free_late)(void *kept);
    void *kept;
    void *internal;  /* the runtime's */
};

/* Says that this role is ready (everything open and listening), then waits until the supervisor
 * asks for a stop or is gone. For core and resolver clients are served (core_serve, resolver_serve)
 * from this call on, not before. */
void role_wait_stop(struct role *r);
bool role_stopping(struct role *r);

/* The roles' entry points; each returns after role_wait_stop with its threads joined. Exit
 * status. */
int role_core(struct role *r);
int role_resolver(struct role *r);
int role_mx(struct role *r);
int role_user(struct role *r);
int role_courier(struct role *r);
int role_local(struct role *r);

/* Core's side of channels: a new client connected (called by the runtime on core's behalf; `peer`
 * says which role, with ROLE_COUNT for the command line behind DATA/control.sock). Implemented by
 * the core and resolver roles. */
void core_serve(struct role *core, int fd, enum role_id peer);
void resolver_serve(struct role *resolver, int fd, enum role_id peer);

/* The hidden subcommand `postrider role NAME`: what the supervisor executes, with the control
 * socket as descriptor 3. */
int role_main(const char *name);

#endif
