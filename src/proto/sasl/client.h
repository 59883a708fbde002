/* client.h: SASL's client side as an engine: for AUTH at a smarthost, and for `postrider send`.
 *
 * Picks the strongest mechanism that the server offers and the credentials allow: the -PLUS forms of
 * SCRAM-SHA-256 and SCRAM-SHA-1 where there is a binding, then those without, then PLAIN, LOGIN
 * (those two under TLS only, which the caller tells), OAUTHBEARER/XOAUTH2 with a token (likewise).
 * EXTERNAL only if `only` says so. With SCRAM the server's signature is verified: success without it
 * is failure (RFC 5802 3); and a server that offers no -PLUS while we have a binding is told so
 * ('y'): one that did offer it then knows that somebody is between us (RFC 5802 6).
 *
 *     c = saslc_begin(…)
 *     AUTH saslc_mech(c), with what saslc_initial(c, &r) gives, if it does
 *     on 334: saslc_step(c, challenge, &r): send r; false: send "*"
 *     on 235: authenticated if saslc_succeeded(c)
 *     saslc_end(c)
 *
 * Where the initial response is too long for the command line, leave it out: the server then asks by
 * an empty challenge, which saslc_step answers with it (RFC 4954 4). Responses live until saslc_end,
 * which wipes them; the credentials are copied, but for the binding. An exchange takes at most
 * SASL_ARENA_MAX of the arena. One owner. */
#ifndef PROTO_SASL_CLIENT_H
#define PROTO_SASL_CLIENT_H

#include "base/err.h"
#include "proto/sasl/sasl.h"

struct sasl_credentials {
    str_t name, password;
    str_t token;      /* OAuth bearer, or empty */
    bool allow_plain; /* the line is encrypted (or loopback) */
    const char *only; /* a mechanism's name to insist on, or NULL */
    struct sasl_binding binding;
};

struct saslc;
/* The work that a server may ask for: about half a second of it. More is refused (RFC 5802 9). */
#define SASLC_ITERATIONS_MAX 1000000
/* `offered`: names by blanks as in EHLO. NULL: RC_TEMP no memory, RC_PERM a name, password or token
 * that is none, or no mechanism fits (*err says which were offered). */
struct saslc *saslc_begin(struct arena *a, str_t offered, const struct sasl_credentials *c,
                          const uint8_t nonce[static 24], struct err *err);
const char *saslc_mech(const struct saslc *c);
bool saslc_initial(struct saslc *c, str_t *response); /* false: this mechanism has none */
/* The server's challenge (decoded). False: it is not the protocol, or the server is not who it
 * should be: cancel with `*`. */
bool saslc_step(struct saslc *c, str_t challenge, str_t *response);
/* The server said yes. False: it did so without proving itself. */
bool saslc_succeeded(const struct saslc *c);
void saslc_end(struct saslc *c);

#endif
