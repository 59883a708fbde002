/* client_io.h: pumps the SMTP client engine over a connection: writes what it has, reads what it
 * waits for, and keeps its time. */
#ifndef ROLES_COURIER_CLIENT_IO_H
#define ROLES_COURIER_CLIENT_IO_H

#include "base/env.h"
#include "proto/smtp/client.h"

#define SMTPC_NO_LIMIT INT64_MAX

/* Until the engine is ready for its next step or dead. Each reply has its own time (RFC 5321
 * 4.5.3.2), and nothing goes on after limit_ms (of env's mono_ms). */
enum smtpc_want smtpc_pump(struct smtpc *c, struct conn *conn, struct env *env, int64_t limit_ms);

#endif
