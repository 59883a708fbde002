/* login.h: the words in which passwords and logins are spoken of, by those who ask core
 * (store/remote.h), by core (roles/core/logins.c), and on the way between (store/protocol.h). */
#ifndef STORE_LOGIN_H
#define STORE_LOGIN_H

#include "base/netaddr.h"

/* What a session is for; a password may be good for one of them alone. */
enum store_use { STORE_USE_READ = 1, STORE_USE_SEND = 2 };
#define STORE_USES_ALL (STORE_USE_READ | STORE_USE_SEND)

enum store_proof { /* the numbers are those of enum sasl_proof */
                   STORE_PROOF_PASSWORD,
                   STORE_PROOF_SCRAM,
                   STORE_PROOF_TOKEN,
                   STORE_PROOF_CERTIFICATE, /* its SHA-256 was registered by the account's owner */
};

struct store_login {
    enum store_use use;
    enum store_proof proof;
    struct netaddr from; /* the client: for delays and budgets */
    str_t name;          /* who; may be empty with TOKEN and CERTIFICATE */
    str_t password;      /* or the token */
    unsigned hash_bits;  /* SCRAM: 1 (SHA-1) or 256 */
    str_t auth_message, client_proof;
    str_t cert_sha256;
};

#define STORE_SCRAM_SALT 16 /* bytes */

/* The password that `account password` sets; the others have names of their owners' choice. */
#define STORE_PASSWORD_MAIN     STR("main")
#define STORE_PASSWORDS_MAX     32 /* of one account: all are compared with at each login */
#define STORE_PASSWORD_NAME_MAX 64

struct store_password_info {
    char name[STORE_PASSWORD_NAME_MAX + 1];
    unsigned uses;            /* of enum store_use */
    int64_t made_ms, used_ms; /* wall clock, kept to the day; used_ms 0: never */
};

#endif
