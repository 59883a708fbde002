/* sasl.h: SASL (RFC 4422) as an engine, server's side: messages in, challenges and questions out.
 *
 * Knows nothing of the protocol that carries it (so far SMTP). PLAIN (RFC 4616), LOGIN (as everybody
 * does it), SCRAM-SHA-1 and SCRAM-SHA-256 with their -PLUS forms (RFC 5802, 7677; bindings
 * tls-exporter RFC 9266, tls-server-end-point RFC 5929, tls-unique never), OAUTHBEARER (RFC 7628),
 * XOAUTH2, EXTERNAL (RFC 4422 A).
 *
 * It holds no secret and knows no account: what only core knows (a salt, whether a password or a
 * proof is right) it asks for by an event, and is told the answer. So it is tested and fuzzed alone.
 *
 *     sasl_begin(s, mech, binding)
 *     ev = sasl_step(s, response)          response.ptr NULL: none yet (no initial response)
 *     loop: SASL_CHALLENGE        send sasl_challenge(s); ev = sasl_step(s, what came)
 *           SASL_NEED_SALT        ev = sasl_salt(s, salt, iterations)
 *           SASL_CHECK            ask core with sasl_question(s); ev = sasl_checked(s, ok, signature)
 *           SASL_DONE             authenticated
 *           SASL_FAILED           wrong credentials (535 5.7.8), after a check said so
 *           SASL_MALFORMED        not the protocol (501 5.5.2), or a binding that is not ours
 *                                 (also: the arena is full)
 *
 * A response is copied: the caller may reuse (and should wipe) its buffer. After DONE, FAILED and
 * MALFORMED the exchange is over: question and challenge stay readable until sasl_end, and a further
 * sasl_step is SASL_MALFORMED.
 *
 * Who: `authcid` is the name that the proof must belong to. OAUTHBEARER's a= and EXTERNAL's identity
 * are that too: a token or a certificate that is not theirs is refused by the check. `authzid` is
 * set where PLAIN or SCRAM name another one to act for: policy's matter (we refuse).
 *
 * After a failed token check (and for OAUTHBEARER's empty auth=, which asks what is needed; there is
 * no check then) the error goes out as a SASL_CHALLENGE; SASL_FAILED follows whatever the client
 * answers (RFC 7628 3.2.3).
 *
 * Names and passwords: UTF-8 without NUL, prepared here by SASLprep where that is only ASCII (others
 * are taken as they are): for ASCII it changes nothing and forbids control characters (RFC 4013
 * 2.3). Bounded by SASL_MESSAGE_MAX. One owner; no allocation outside the arena, of which an
 * exchange takes at most SASL_ARENA_MAX; secrets are wiped by sasl_end. */
#ifndef PROTO_SASL_SASL_H
#define PROTO_SASL_SASL_H

#include "base/arena.h"
#include "base/str.h"

#define SASL_MESSAGE_MAX  12288 /* RFC 4954 4.: base64 lines of this length; decoded it is less */
#define SASL_NAME_MAX     448   /* a login name, STORE_NAME_MAX */
#define SASL_PASSWORD_MAX 1024
/* A response as kept, what is made of it, and the arena's own rounding: SCRAM's auth message is the
 * longest, its parts bounded in scram.c; an OAuth token is at most one message. */
#define SASL_ARENA_MAX 32768
/* the least and our own number; RFC 7677 4 asks for 4096 */
#define SASL_SCRAM_ITERATIONS_MIN 4096

enum sasl_mech {
    SASL_PLAIN,
    SASL_LOGIN,
    SASL_SCRAM_SHA_1,
    SASL_SCRAM_SHA_1_PLUS,
    SASL_SCRAM_SHA_256,
    SASL_SCRAM_SHA_256_PLUS,
    SASL_OAUTHBEARER,
    SASL_XOAUTH2,
    SASL_EXTERNAL,
    SASL_MECHS
};
const char *sasl_mech_name(enum sasl_mech m);
bool sasl_mech_find(str_t name, enum sasl_mech *out); /* any case */
/* Names of the set (bit 1 << mech), strongest first, by blanks, for EHLO and CAPABILITY. */
str_t sasl_mech_list(unsigned set, struct arena *a);
/* Fit for an account: 1 to SASL_NAME_MAX or SASL_PASSWORD_MAX bytes of UTF-8 without control
 * characters (RFC 4013 2.3; NUL is one). What is no such name or password is MALFORMED
 * here, so an account that had one could not log in. */
bool sasl_name_ok(str_t name);
bool sasl_password_ok(str_t password);

enum sasl_event {
    SASL_CHALLENGE,
    SASL_NEED_SALT,
    SASL_CHECK,
    SASL_DONE,
    SASL_FAILED,
    SASL_MALFORMED,
};

/* What channel binding there is (both empty without TLS): slices outlive the exchange. */
struct sasl_binding {
    str_t exporter;  /* 32 bytes */
    str_t end_point; /* hash of our certificate */
};

enum sasl_proof { SASL_PROOF_PASSWORD, SASL_PROOF_SCRAM, SASL_PROOF_TOKEN, SASL_PROOF_CERTIFICATE };

struct sasl_question {
    enum sasl_proof proof;
    str_t authcid;  /* who; may be empty with TOKEN and CERTIFICATE: then the proof says who */
    str_t authzid;  /* whom they act for, if it differs; else empty */
    str_t password; /* PASSWORD */
    str_t token;    /* TOKEN: the bearer token, RFC 6750 2.1 */
    /* TOKEN: where the client believes to be, "" and 0 if it does not say; to be compared with what
     * is known better (RFC 7628 3.2) */
    str_t host;
    uint16_t port;
    unsigned hash_bits;               /* SCRAM (also for NEED_SALT): 1 or 256 */
    str_t auth_message, client_proof; /* SCRAM: RFC 5802 3 */
};

struct sasl;
/* `binding` (may be NULL: there is none) is copied, its slices are borrowed; `nonce`: random bytes,
 * for SCRAM; plus_offered: -PLUS forms were offered, so that a client that says otherwise (RFC 5802
 * 6: 'y') was lied to. */
struct sasl *sasl_begin(struct arena *a, enum sasl_mech mech, const struct sasl_binding *binding,
                        const uint8_t nonce[static 24], bool plus_offered); /* NULL: no memory */
enum sasl_event sasl_step(struct sasl *s, str_t response);
str_t sasl_challenge(const struct sasl *s);
const struct sasl_question *sasl_question(const struct sasl *s);
enum sasl_event sasl_salt(struct sasl *s, str_t salt, uint32_t iterations);
/* ok: the proof is right. `signature`: SCRAM's ServerSignature, from core; else empty. */
enum sasl_event sasl_checked(struct sasl *s, bool ok, str_t signature);
void sasl_end(struct sasl *s); /* wipes secrets; NULL is nothing */

#endif
