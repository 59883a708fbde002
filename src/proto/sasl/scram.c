/* scram.c: SCRAM, server's side (RFC 5802, 7677), with its -PLUS forms (bindings of RFC 9266 and
 * 5929). It checks everything that needs no secret: grammar, nonce, channel binding; core checks
 * the proof. The messages are kept as they came: the auth message is made of exactly those bytes.
 *
 * The verifier goes out as one more challenge, which the client answers with nothing: SMTP and POP3
 * have no room for it beside "yes" (RFC 4422 3.6, RFC 5034 4). */
#include <assert.h>
#include <stdio.h>

#include "base/err.h"
#include "proto/sasl/attributes.h"
#include "proto/sasl/sasl_internal.h"

/* Of the client's nonce: gsasl sends 24 characters, others up to 64. It comes back to us in the
 * second message, beside the binding. */
#define SCRAM_NONCE_MAX 512
static_assert(2 * 3 * SASL_NAME_MAX + SCRAM_NONCE_MAX + 64 <= SCRAM_MESSAGE_MAX);
/* the first message, its names, auth message so far; the second, its binding, the whole */
static_assert(7 * SCRAM_MESSAGE_MAX + 2048 <= SASL_ARENA_MAX);

static enum sasl_event scram_first(struct sasl *s, str_t response);
static enum sasl_event scram_final(struct sasl *s, str_t response);
static enum sasl_event scram_checked(struct sasl *s, bool ok, str_t signature);
static enum sasl_event scram_acknowledged(struct sasl *s, str_t response);

const struct sasl_family sasl_scram = {.prompt = {"", 0},
                                       .first = scram_first,
                                       .second = scram_final,
                                       .checked = scram_checked,
                                       .last = scram_acknowledged};

/* RFC 5802 6. tls-unique is none of ours: RFC 7677 4 says what is wrong with it. */
static bool choose_binding(struct sasl *s, const struct gs2 *gs2)
{
    s->scram.cbind_data = STR("");
    if (sasl_is_plus(s->mech) != (gs2->flag == 'p'))
        return false; /* RFC 5801 5.1: the name and the flag say the same */
    if (gs2->flag == 'y')
        return !s->plus_offered; /* somebody took the -PLUS names out of what we offered */
    if (gs2->flag == 'n')
        return true;
    if (str_eq(gs2->cb_name, STR("tls-exporter")))
        s->scram.cbind_data = s->binding.exporter;
    else if (str_eq(gs2->cb_name, STR("tls-server-end-point")))
        s->scram.cbind_data = s->binding.end_point;
    return s->scram.cbind_data.len > 0;
}

static bool first_names(struct sasl *s, str_t authzid, str_t username)
{
    str_t acting = STR(""), name;
    if (authzid.len > 0 && !saslname_decode(&s->vault, authzid, &acting))
        return false;
    return saslname_decode(&s->vault, username, &name) && sasl_names(s, acting, name);
}

/* client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]. A mandatory
 * extension is not the username that we look for: failure, as RFC 5802 5.1 wants. */
static enum sasl_event scram_first(struct sasl *s, str_t response)
{
    struct gs2 gs2;
    if (!scram_text(response))
        return SASL_MALFORMED;
    str_t rest = vault_dup(&s->vault, response), username, nonce;
    if (!gs2_parse(&rest, &gs2) || !choose_binding(s, &gs2))
        return SASL_MALFORMED;
    s->scram.gs2_header = gs2.header;
    s->scram.first_bare = rest;
    if (!scram_attr(&rest, 'n', &username) || rest.ptr == NULL || !scram_attr(&rest, 'r', &nonce) ||
        !scram_extensions(rest) || !scram_printable(nonce) || nonce.len > SCRAM_NONCE_MAX ||
        !first_names(s, gs2.authzid, username))
        return SASL_MALFORMED;
    s->scram.client_nonce = nonce;
    s->question.proof = SASL_PROOF_SCRAM;
    s->question.hash_bits = sasl_digest(s->mech) == DIGEST_SHA1 ? 1 : 256;
    s->state = SASL_ST_SALT;
    return SASL_NEED_SALT;
}

/* server-first-message = nonce "," salt "," iteration-count */
enum sasl_event sasl_salt(struct sasl *s, str_t salt, uint32_t iterations)
{
    must(s->state == SASL_ST_SALT);
    must(salt.len > 0 && salt.len <= DIGEST_MAX && iterations > 0);
    char number[16];
    snprintf(number, sizeof number, "%u", iterations);
    str_t encoded = vault_base64(&s->vault, salt);
    str_t first = s->scram.first_bare;
    if (encoded.ptr != NULL)
        s->scram.so_far =
            VAULT_JOIN(&s->vault, first, STR(",r="), s->scram.client_nonce, str_c(s->nonce),
                       STR(",s="), encoded, STR(",i="), str_c(number));
    if (s->scram.so_far.ptr == NULL) {
        s->state = SASL_ST_END;
        return SASL_MALFORMED;
    }
    return sasl_say(s, str_from(s->scram.so_far, first.len + 1), SASL_ST_SECOND);
}

/* c= is the header of the first message again, and the binding (RFC 5802 6: always validated). */
static bool binding_matches(struct sasl *s, str_t encoded)
{
    str_t said, header = s->scram.gs2_header, data = s->scram.cbind_data;
    if (!vault_unbase64(&s->vault, encoded, &said) || said.len != header.len + data.len)
        return false;
    bool same_header = digest_equal(str_first(said, header.len), header);
    bool same_data = digest_equal(str_from(said, header.len), data);
    return same_header && same_data;
}

/* RFC 5802 5.1: the nonce of both, as it went out. */
static bool nonce_matches(const struct sasl *s, str_t said)
{
    str_t client = s->scram.client_nonce, ours = str_c(s->nonce);
    return said.len == client.len + ours.len && str_starts(said, client) &&
           digest_equal(str_from(said, client.len), ours);
}

static bool take_proof(struct sasl *s, str_t attr)
{
    return str_starts(attr, STR("p=")) &&
           vault_unbase64(&s->vault, str_from(attr, 2), &s->question.client_proof) &&
           s->question.client_proof.len == digest_size(sasl_digest(s->mech));
}

/* client-final-message = channel-binding "," nonce ["," extensions] "," proof */
static enum sasl_event scram_final(struct sasl *s, str_t response)
{
    size_t at;
    if (!scram_text(response))
        return SASL_MALFORMED;
    str_t all = vault_dup(&s->vault, response), cbind, nonce;
    if (!str_rfind(all, ',', &at) || !take_proof(s, str_from(all, at + 1)))
        return SASL_MALFORMED;
    str_t without_proof = str_first(all, at), rest = without_proof;
    if (!scram_attr(&rest, 'c', &cbind) || rest.ptr == NULL || !scram_attr(&rest, 'r', &nonce) ||
        !scram_extensions(rest) || !binding_matches(s, cbind) || !nonce_matches(s, nonce))
        return SASL_MALFORMED;
    s->question.auth_message = VAULT_JOIN(&s->vault, s->scram.so_far, STR(","), without_proof);
    if (s->question.auth_message.ptr == NULL)
        return SASL_MALFORMED;
    return sasl_ask(s, SASL_PROOF_SCRAM);
}

/* server-final-message = verifier. For a wrong proof the outcome alone says so, which RFC 5802 5.1
 * ("e") leaves to us. */
static enum sasl_event scram_checked(struct sasl *s, bool ok, str_t signature)
{
    if (!ok)
        return SASL_FAILED;
    must(signature.len == digest_size(sasl_digest(s->mech)));
    str_t encoded = vault_base64(&s->vault, signature);
    if (encoded.ptr == NULL)
        return SASL_MALFORMED;
    return sasl_say(s, VAULT_JOIN(&s->vault, STR("v="), encoded), SASL_ST_LAST);
}

static enum sasl_event scram_acknowledged(struct sasl *s, str_t response)
{
    (void)s;
    return response.len == 0 ? SASL_DONE : SASL_MALFORMED;
}
