/* send_options.h: the command line of `postrider send`, and what follows from it for the
 * connection. */
#ifndef CLI_SEND_OPTIONS_H
#define CLI_SEND_OPTIONS_H

#include "cli/compose.h"
#include "cli/smtp_call.h"

#define SEND_LIST_MAX 1000 /* recipients, headers, attachments: of each */

struct send_options {
    struct compose message;
    str_t *to, *cc, *bcc, *headers; /* to, cc: addresses alone, as the envelope has them */
    const char **files;
    size_t nbcc;
    const char *server; /* HOST, HOST:PORT, a path; NULL: that of the configuration */
    const char *tls;
    bool verify, no_verify;
    const char *ca_file, *tls_name, *cert, *key;
    const char *user, *mech;
    bool password_stdin;
    const char *helo;
    bool lmtp, verbose;
    uint8_t notify;
    enum smtpc_ret ret;
    str_t envid;
};

/* False: said on stderr. */
bool send_options_parse(struct cli *c, int argc, char **argv, struct send_options *o);
/* Where to, and how: looks names up, reads the files named. CLI_OK or a message. */
int send_plan(struct cli *c, struct send_options *o, struct call_plan *p);
/* Asks for the password at the terminal, or reads the first line of standard input, no further. */
int send_password(struct cli *c, const struct send_options *o, struct call_plan *p);

#endif
