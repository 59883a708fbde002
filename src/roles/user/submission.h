/* submission.h: mail from people's programs (RFC 6409): ports 587 (STARTTLS) and 465 (TLS at once,
 * RFC 8314). It only sets up what roles/smtp/ does. */
#ifndef ROLES_USER_SUBMISSION_H
#define ROLES_USER_SUBMISSION_H

#include "roles/smtp/smtp_in.h"

struct role;

struct submission {
    struct smtp_common common;
    struct smtp_service starttls, implicit; /* 587, 465 */
    struct server *server;
};

/* Fills *m; everything is borrowed; vault NULL: no TLS. False: no memory. */
bool submission_init(struct submission *m, struct env *env, const struct settings *settings,
                     struct tls_vault *vault);
/* Serves the role's listeners of that kind from now on. */
bool submission_start(struct submission *m, struct role *r);
void submission_stop(struct submission *m); /* harmless if it was not started */
void submission_free(struct submission *m);

#endif
