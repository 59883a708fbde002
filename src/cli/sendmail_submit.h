/* sendmail_submit.h: hands messages to the server over its Unix socket, several in one session.
 *
 * The kernel tells the server who we are (SO_PEERCRED); there is nothing to log in with and nothing
 * setuid. */
#ifndef CLI_SENDMAIL_SUBMIT_H
#define CLI_SENDMAIL_SUBMIT_H

#include "cli/cli.h"
#include "cli/sendmail_message.h"
#include "proto/smtp/client.h"

#define SENDMAIL_SOCKET "/run/postrider/submit.sock" /* the default of the setting submit_socket */

struct submit {
    struct cli *c;
    struct conn *conn;
    struct smtpc *smtp;
    struct smtpc_config config;
    char hostname[256]; /* ours, in EHLO */
    int64_t limit_ms;
};

/* $POSTRIDER_SOCKET, or SENDMAIL_SOCKET. */
const char *submit_socket_path(void);
/* A connected socket, or -1 and *err. */
int submit_connect(const char *path, struct err *err);
/* Connects and says hello. False: *err says why not. */
bool submit_open(struct submit *s, struct cli *c, bool verbose, struct err *err);
void submit_close(struct submit *s);

/* Sends one; for each recipient its outcome (as smtpc_verdict's) in out[i]; texts in the arena. */
struct submit_outcome {
    enum rc rc;
    int code;
    char status[12];
    str_t text;
};
void submit_message(struct submit *s, const struct sendmail_message *m, struct arena *a,
                    struct submit_outcome *out);

#endif
