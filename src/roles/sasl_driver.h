/* sasl_driver.h: a login by SASL, for every protocol that has it (SMTP; POP3's USER and PASS go by
 * store_remote_login_password instead): between the engine (proto/sasl/sasl.h) and core, which alone knows
 * accounts.
 *
 *     d = sasl_driver_begin(desk, &who, mech)
 *     turn = sasl_driver_step(d, response)      response.ptr NULL: there was none yet
 *     SASL_TURN_CHALLENGE   say sasl_driver_challenge(d); step again with what comes
 *     SASL_TURN_DONE        sasl_driver_take(d, &answer): the session is the caller's
 *     else                  refused; sasl_driver_hold_ms(d): so long the refusal waits
 *     sasl_driver_end(d)
 *
 * One owner. Waits for core; of all workers that share a desk only so many do at once, so that those
 * who try passwords never keep out those who have a session. */
#ifndef ROLES_SASL_DRIVER_H
#define ROLES_SASL_DRIVER_H

#include <stdatomic.h>

#include "base/env.h"
#include "proto/sasl/sasl.h"
#include "store/remote.h"
#include "sys/tls.h"

/* Where logins are asked for. A test has its own functions. */
struct login_desk {
    struct env *env;
    enum rc (*login)(struct login_desk *desk, const struct store_login *q,
                     struct store_login_answer *out, struct err *err); /* store_remote_login */
    enum rc (*scram)(struct login_desk *desk, str_t name, uint8_t salt[static 16],
                     uint32_t *iterations, struct err *err);        /* store_remote_scram */
    void (*logout)(struct login_desk *desk, struct store *session); /* store_close */
    int waiting_max;
    _Atomic int waiting; /* workers that wait for core */
};
void login_desk_init(struct login_desk *desk, struct env *env, int waiting_max);
#define LOGIN_BUSY_HOLD_MS 5000 /* so long those over waiting_max wait for their "later" */

/* The account's name as it is stored: its domain in A-labels; what cannot be one is nobody's name
 * and stays. In the arena, or `name` itself. */
str_t login_stored_name(str_t name, struct arena *a);

/* Mechanisms to offer, as a set of 1 << enum sasl_mech; `tls` NULL: the line is not encrypted.
 * Passwords go over encrypted lines, or over none (loopback); -PLUS needs something to bind to;
 * EXTERNAL needs a certificate of the client's; tokens (if they are taken at all) go over TLS alone
 * (RFC 6750 5.2). */
unsigned sasl_driver_mechs(const struct tls_info *tls, bool loopback, bool tokens);

struct sasl_driver_who {
    enum store_use use;
    const struct netaddr *from;
    const struct tls_info *tls; /* or NULL; outlives the exchange */
    /* Where the client is, for RFC 7628 3.2; they outlive the exchange. Empty or NULL: not compared
     * with what it says. */
    str_t hostname;
    const struct netaddr *local;
};

enum sasl_turn {
    SASL_TURN_CHALLENGE,
    SASL_TURN_DONE,
    SASL_TURN_WRONG,     /* name or password: which, is not told */
    SASL_TURN_LATER,     /* core cannot say now */
    SASL_TURN_MALFORMED, /* not the protocol */
};

struct sasl_driver;
/* NULL: no memory. */
struct sasl_driver *sasl_driver_begin(struct login_desk *desk, const struct sasl_driver_who *who,
                                      enum sasl_mech mech);
enum sasl_turn sasl_driver_step(struct sasl_driver *d, str_t response);
str_t sasl_driver_challenge(const struct sasl_driver *d);
void sasl_driver_take(struct sasl_driver *d, struct store_login_answer *out);
uint32_t sasl_driver_hold_ms(const struct sasl_driver *d);
enum sasl_mech sasl_driver_mech(const struct sasl_driver *d);
/* For the log: the name as it was said ("" if none was), and why it was refused. */
str_t sasl_driver_name(const struct sasl_driver *d);
const char *sasl_driver_why(const struct sasl_driver *d);
void sasl_driver_end(struct sasl_driver *d); /* wipes secrets; NULL is nothing */

#endif
