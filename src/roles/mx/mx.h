/* mx.h: the mx role: mail from other servers (SMTP on 25, LMTP) and from the users of this machine
 * (a Unix socket) into the queue. It only sets up what roles/smtp/ does. */
#ifndef ROLES_MX_MX_H
#define ROLES_MX_MX_H

#include "roles/smtp/smtp_in.h"

struct mx {
    struct smtp_common common;
    struct smtp_service smtp, lmtp, local;
};

/* Fills *mx; everything is borrowed; vault NULL: no TLS. False: no memory. */
bool mx_init(struct mx *mx, struct env *env, const struct settings *settings,
             struct tls_vault *vault);
void mx_free(struct mx *mx);

#endif
