/* fuzz_sasl_server.c: an exchange with SASL's server side. Input: a byte for the mechanism, a byte of
 * choices (is there an initial response, a binding, is -PLUS offered, is the proof right), then the
 * client's messages, with 0xff between. Checked: memory bounds, the arena's promise, what a question
 * may hold, and that nobody gets in without a check that said yes. */
#include <stdlib.h>

#include "base/err.h"
#include "base/utf8.h"
#include "proto/sasl/sasl_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NO_INITIAL = 1, BINDING = 2, PLUS_OFFERED = 4, RIGHT = 8 };

static const struct sasl_binding binding = {.exporter = {"exporterexporterexporterexporter", 32},
                                            .end_point = {"endpointendpoint", 16}};

static enum sasl_event step_exactly(struct sasl *s, str_t message)
{
    char *exact = malloc(message.len + (message.len == 0));
    must(exact != NULL);
    if (message.len > 0)
        memcpy(exact, message.ptr, message.len);
    enum sasl_event ev = sasl_step(s, str_of(exact, message.len));
    free(exact);
    return ev;
}

static void check_question(const struct sasl_question *q)
{
    must(q->authcid.len == 0 || sasl_name_ok(q->authcid));
    must(q->authzid.len == 0 || sasl_name_ok(q->authzid));
    must(q->authzid.len == 0 || !str_eq(q->authzid, q->authcid));
    switch (q->proof) {
    case SASL_PROOF_PASSWORD: must(q->authcid.len > 0 && sasl_password_ok(q->password)); break;
    case SASL_PROOF_SCRAM:
        must(q->authcid.len > 0 && q->client_proof.len == (q->hash_bits == 1 ? 20 : 32));
        must(utf8_valid(q->auth_message) && str_starts(q->auth_message, STR("n=")));
        break;
    case SASL_PROOF_TOKEN: must(q->token.len > 0 && str_ascii(q->token)); break;
    case SASL_PROOF_CERTIFICATE: break;
    }
}

/* Until the client's next message is due. */
static enum sasl_event answer(struct sasl *s, enum sasl_event ev, bool right, bool *checked)
{
    static const char zeroes[32];
    while (ev == SASL_NEED_SALT || ev == SASL_CHECK) {
        if (ev == SASL_NEED_SALT) {
            ev = sasl_salt(s, STR("salt"), 4096);
            continue;
        }
        const struct sasl_question *q = sasl_question(s);
        check_question(q);
        size_t n = q->proof != SASL_PROOF_SCRAM ? 0 : q->hash_bits == 1 ? 20 : 32;
        *checked = true;
        ev = sasl_checked(s, right, str_of(zeroes, right ? n : 0));
    }
    return ev;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned choice = data[1];
    struct arena arena;
    arena_init(&arena, SASL_ARENA_MAX);
    struct sasl *s = sasl_begin(
        &arena, (enum sasl_mech)(data[0] % SASL_MECHS), choice & BINDING ? &binding : NULL,
        (const uint8_t *)"24 bytes that are fixed.", (choice & PLUS_OFFERED) != 0);
    must(s != NULL);
    str_t rest = str_of(data + 2, size - 2), message;
    bool checked = false, more = true;
    enum sasl_event ev = SASL_CHALLENGE;
    if (choice & NO_INITIAL)
        ev = sasl_step(s, STR_NONE);
    while (more && ev == SASL_CHALLENGE) {
        more = str_cut(&rest, '\xff', &message);
        ev = step_exactly(s, more ? message : rest);
        ev = answer(s, ev, (choice & RIGHT) != 0, &checked);
        if (ev == SASL_CHALLENGE)
            must(str_ascii(sasl_challenge(s)));
    }
    must(ev != SASL_DONE || (checked && (choice & RIGHT)));
    must(!arena.failed);
    if (ev != SASL_CHALLENGE)
        must(sasl_step(s, STR("")) == SASL_MALFORMED);
    sasl_end(s);
    arena_free(&arena);
    return 0;
}
