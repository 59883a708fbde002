/* sasl_internal.h: what the files of the server's side share; tests look in here too.
 *
 *               no initial response
 *         START ──────────────────▶ (challenge) ─┐
 *           │◀───────────────────────────────────┘
 *           ├── PLAIN, EXTERNAL, tokens ──────────────▶ CHECK ──▶ DONE or FAILED
 *           ├── LOGIN: name ─▶ SECOND ── password ───▶ CHECK          (tokens: LAST ──▶ FAILED)
 *           └── SCRAM: first ─▶ SALT ─▶ SECOND ─ proof ─▶ CHECK ─▶ LAST ─ empty ─▶ DONE
 *
 * Whatever is wrong on the way is MALFORMED. */
#ifndef PROTO_SASL_SASL_INTERNAL_H
#define PROTO_SASL_SASL_INTERNAL_H

#include "base/digest.h"
#include "proto/sasl/sasl.h"
#include "proto/sasl/vault.h"

#define SASL_NONCE_BYTES 24
#define SASL_NONCE_CHARS 32 /* the same in base64, which has no comma: RFC 5802 7 <printable> */

enum sasl_state {
    SASL_ST_START,  /* waits for the client's first message */
    SASL_ST_SALT,   /* waits for sasl_salt */
    SASL_ST_SECOND, /* waits for the client's second message */
    SASL_ST_CHECK,  /* waits for sasl_checked */
    SASL_ST_LAST,   /* waits for the answer that only acknowledges */
    SASL_ST_END,
};

struct sasl {
    struct sasl_vault vault;
    enum sasl_mech mech;
    enum sasl_state state;
    struct sasl_binding binding;
    bool plus_offered;
    bool asked; /* the empty challenge went out: what comes now is the first message */
    char nonce[SASL_NONCE_CHARS + 1];
    struct sasl_question question;
    str_t challenge;
    struct { /* SCRAM */
        str_t gs2_header, cbind_data;
        str_t first_bare, client_nonce;
        str_t so_far; /* of the auth message: client-first-bare "," server-first */
    } scram;
};

/* A family of mechanisms. Each function sets `state` where the exchange goes on. */
struct sasl_family {
    str_t prompt; /* the challenge that asks for the first message */
    enum sasl_event (*first)(struct sasl *s, str_t response);
    enum sasl_event (*second)(struct sasl *s, str_t response);            /* NULL: none */
    enum sasl_event (*checked)(struct sasl *s, bool ok, str_t signature); /* NULL: plainly */
    enum sasl_event (*last)(struct sasl *s, str_t response);              /* NULL: none */
};
extern const struct sasl_family sasl_plain, sasl_login, sasl_scram, sasl_oauthbearer, sasl_xoauth2,
    sasl_external;

/* The names into the question: false if either is none. An authzid that is the authcid is dropped. */
bool sasl_names(struct sasl *s, str_t authzid, str_t authcid);
/* Asks with what is in the question. */
enum sasl_event sasl_ask(struct sasl *s, enum sasl_proof proof);
enum sasl_event sasl_say(struct sasl *s, str_t challenge, enum sasl_state next);
/* `nonce` as printable characters, with NUL. */
void sasl_printable_nonce(const uint8_t nonce[static SASL_NONCE_BYTES],
                          char out[static SASL_NONCE_CHARS + 1]);
/* SCRAM's of the mechanism; must be one. */
enum digest sasl_digest(enum sasl_mech m);
bool sasl_is_plus(enum sasl_mech m);
bool sasl_is_scram(enum sasl_mech m);
bool sasl_token_ok(str_t token); /* RFC 6750 2.1 b64token */

#endif
