/* sasl_harness.h: what core is for SASL, in a few lines: one account and its secrets. Answers the
 * server engine's questions as core would. */
#ifndef TESTS_SASL_HARNESS_H
#define TESTS_SASL_HARNESS_H

#include "base/codec.h"
#include "base/err.h"
#include "proto/sasl/client_internal.h"
#include "proto/sasl/sasl_internal.h"
#include "proto/sasl/scram_keys.h"

struct account {
    str_t name, password, token, salt;
    uint32_t iterations;
};

static const struct account the_account = {
    .name = {"tim@example.org", 15},
    .password = {"tanstaaftanstaaf", 16},
    .token = {"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", 42},
    .salt = {"0123456789abcdef", 16},
    .iterations = 4096,
};
/* Of a TLS connection, both sides the same. */
static const struct sasl_binding the_binding = {
    .exporter = {"exporterexporterexporterexporter", 32},
    .end_point = {"certificatehashcertificatehash..", 32},
};
static const uint8_t server_nonce[24] = "server nonce, 24 bytes..";
static const uint8_t client_nonce[24] = "client nonce, 24 bytes..";

static inline bool check_scram(const struct account *a, const struct sasl_question *q,
                               uint8_t *signature)
{
    struct scram_keys k;
    enum digest d = q->hash_bits == 1 ? DIGEST_SHA1 : DIGEST_SHA256;
    must(scram_derive(d, a->password, a->salt, a->iterations, &k));
    must(scram_signature(d, k.server, q->auth_message, signature));
    return str_eq(q->authcid, a->name) &&
           scram_check(d, k.stored, q->auth_message, q->client_proof);
}

static inline bool check(const struct account *a, const struct sasl_question *q, uint8_t *signature)
{
    bool anybody = q->authcid.len == 0;
    if (q->authzid.len > 0)
        return false;
    switch (q->proof) {
    case SASL_PROOF_PASSWORD:
        return str_eq(q->authcid, a->name) && str_eq(q->password, a->password);
    case SASL_PROOF_SCRAM: return check_scram(a, q, signature);
    case SASL_PROOF_TOKEN:
        return (anybody || str_eq(q->authcid, a->name)) && str_eq(q->token, a->token);
    case SASL_PROOF_CERTIFICATE: return anybody || str_eq(q->authcid, a->name);
    }
    return false;
}

/* Until it is the client's turn, or over. */
static inline enum sasl_event settle(struct sasl *s, enum sasl_event ev, const struct account *a)
{
    uint8_t signature[DIGEST_MAX];
    const struct sasl_question *q = sasl_question(s);
    while (ev == SASL_NEED_SALT || ev == SASL_CHECK) {
        if (ev == SASL_NEED_SALT) {
            ev = sasl_salt(s, a->salt, a->iterations);
        } else {
            bool ok = check(a, q, signature), scram = q->proof == SASL_PROOF_SCRAM;
            size_t n = q->hash_bits == 1 ? 20 : 32;
            ev = sasl_checked(s, ok, ok && scram ? str_of(signature, n) : STR(""));
        }
    }
    return ev;
}

/* As in arena.c: the test looks at the bytes themselves. */
struct arena_block {
    struct arena_block *next;
    size_t size, used;
    _Alignas(16) char data[];
};

static inline bool anywhere(const struct arena *a, str_t secret)
{
    for (const struct arena_block *b = a->blocks; b != NULL; b = b->next) {
        if (str_contains(str_of(b->data, b->used), secret))
            return true;
    }
    return false;
}

#endif
