/* smtp_call.h: a session with any SMTP or LMTP server, up to where a message can be sent: connection,
 * greeting, hello, TLS, login. For `postrider send`.
 *
 * Straight-line code over the client engine (proto/smtp/client.h); every wait has a limit. */
#ifndef CLI_SMTP_CALL_H
#define CLI_SMTP_CALL_H

#include "cli/cli.h"
#include "proto/smtp/client.h"
#include "sys/tls.h"

#define CALL_ADDRESSES_MAX 16 /* of one name */

enum call_tls {
    CALL_TLS_TRY,      /* STARTTLS where it is offered */
    CALL_TLS_NONE,     /* never */
    CALL_TLS_STARTTLS, /* or nothing */
    CALL_TLS_IMPLICIT, /* from the first byte (RFC 8314) */
};

struct call_plan {
    str_t host;         /* as it was named: for SNI, and what the certificate is held against */
    const char *socket; /* a Unix socket, or NULL: then the addresses, tried in turn */
    struct netaddr address[CALL_ADDRESSES_MAX];
    size_t n;
    enum call_tls tls;
    bool verify;         /* the certificate: its chain and its name */
    const char *ca_file; /* whom it may come from */
    str_t tls_name;      /* instead of host; or empty */
    str_t cert_pem, key_pem;
    str_t user, password; /* user empty: no login */
    const char *mech;     /* to insist on; or NULL */
    str_t helo;
    bool lmtp;
    FILE *show; /* where the dialogue goes; or NULL */
};

/* How far it came. */
enum call_step { CALL_CONNECT, CALL_GREETING, CALL_TLS, CALL_AUTH, CALL_OPEN };

struct call {
    struct cli *c;
    const struct call_plan *plan;
    struct smtpc_config config;
    struct conn *conn, *dialogue; /* the dialogue is around it */
    struct smtpc *smtp;
    struct tls_vault *vault;
    struct tls_client *tls;
    struct tls_info info;
    struct netaddr address; /* that answered */
    char mech[32];          /* of the login */
    bool encrypted;
    enum call_step step; /* CALL_OPEN, or what failed */
    struct err err;
    int code; /* of the reply that refused, or 0 */
};

/* False: k->step, k->err and k->code say what went wrong. In any case call_close. */
bool call_open(struct call *k, struct cli *c, const struct call_plan *plan);
bool call_pump(struct call *k); /* true: the engine is ready for its next step */
void call_close(struct call *k);

#endif
