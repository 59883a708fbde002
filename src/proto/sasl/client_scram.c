/* client_scram.c: SCRAM, client's side (RFC 5802, 7677). One message of ours is computed from the
 * password: the proof; and one of the server's is foreseen: its signature, without which nothing it
 * says is success. */
#include "proto/sasl/attributes.h"
#include "proto/sasl/client_internal.h"
#include "proto/sasl/scram_keys.h"

/* RFC 5802 6: 'p' with what we bind to; 'y' where we would have, had the server offered it; 'n'
 * without a binding, and where somebody chose a mechanism without although the server offers one. */
void saslc_scram_bind(struct saslc *c, const struct sasl_binding *binding, bool plus_offered)
{
    bool exporter = binding->exporter.len > 0;
    str_t data = exporter ? binding->exporter : binding->end_point;
    c->scram.cbind_data = STR("");
    if (sasl_is_plus(c->mech)) {
        c->scram.gs2_header = exporter ? STR("p=tls-exporter,,") : STR("p=tls-server-end-point,,");
        c->scram.cbind_data = data;
    } else {
        c->scram.gs2_header = data.len > 0 && !plus_offered ? STR("y,,") : STR("n,,");
    }
}

bool saslc_scram_initial(struct saslc *c)
{
    str_t name = saslname_encode(&c->vault, c->name);
    c->scram.first_bare = VAULT_JOIN(&c->vault, STR("n="), name, STR(",r="), str_c(c->nonce));
    c->initial = VAULT_JOIN(&c->vault, c->scram.gs2_header, c->scram.first_bare);
    return name.ptr != NULL && c->scram.first_bare.ptr != NULL && c->initial.ptr != NULL;
}

struct server_first {
    str_t nonce, salt;
    uint64_t iterations;
};

/* server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions] */
static bool parse_first(struct saslc *c, str_t rest, struct server_first *out)
{
    str_t salt, count;
    if (!scram_attr(&rest, 'r', &out->nonce) || rest.ptr == NULL ||
        !scram_attr(&rest, 's', &salt) || rest.ptr == NULL || !scram_attr(&rest, 'i', &count) ||
        !scram_extensions(rest))
        return false;
    /* RFC 5802 5.1: our nonce, continued */
    return str_starts(out->nonce, str_c(c->nonce)) && out->nonce.len > strlen(c->nonce) &&
           scram_printable(out->nonce) && vault_unbase64(&c->vault, salt, &out->salt) &&
           out->salt.len > 0 && count.ptr[0] != '0' &&
           str_u64(count, SASLC_ITERATIONS_MAX, &out->iterations) &&
           out->iterations >= SASL_SCRAM_ITERATIONS_MIN;
}

/* The proof, and what the server must answer to it. */
static bool prove(struct saslc *c, const struct server_first *f, str_t auth_message, char *proof)
{
    enum digest d = sasl_digest(c->mech);
    struct scram_keys keys = {0};
    bool ok = scram_derive(d, c->password, f->salt, (uint32_t)f->iterations, &keys) &&
              scram_proof(d, &keys, auth_message, (uint8_t *)proof) &&
              scram_signature(d, keys.server, auth_message, c->scram.signature);
    digest_wipe(&keys, sizeof keys);
    return ok;
}

/* client-final-message = channel-binding "," nonce "," proof */
static bool answer_first(struct saslc *c, str_t challenge, str_t *response)
{
    struct sasl_vault *v = &c->vault;
    struct server_first f;
    str_t first = vault_dup(v, challenge);
    if (!parse_first(c, first, &f))
        return false;
    str_t cbind = vault_base64(v, VAULT_JOIN(v, c->scram.gs2_header, c->scram.cbind_data));
    str_t final = VAULT_JOIN(v, STR("c="), cbind, STR(",r="), f.nonce);
    str_t message = VAULT_JOIN(v, c->scram.first_bare, STR(","), first, STR(","), final);
    char *proof = vault_alloc(v, DIGEST_MAX);
    if (v->arena->failed || !prove(c, &f, message, proof))
        return false;
    str_t encoded = vault_base64(v, str_of(proof, digest_size(sasl_digest(c->mech))));
    *response = VAULT_JOIN(v, final, STR(",p="), encoded);
    return !v->arena->failed;
}

/* server-final-message = (server-error / verifier) ["," extensions] */
static bool verify(struct saslc *c, str_t rest)
{
    str_t encoded, said;
    c->scram.verified =
        scram_attr(&rest, 'v', &encoded) && scram_extensions(rest) &&
        vault_unbase64(&c->vault, encoded, &said) &&
        digest_equal(said, str_of(c->scram.signature, digest_size(sasl_digest(c->mech))));
    return c->scram.verified;
}

bool saslc_scram_step(struct saslc *c, str_t challenge, str_t *response)
{
    c->scram.verified = false;
    if (!scram_text(challenge))
        return false;
    if (c->steps == 1)
        return answer_first(c, challenge, response);
    if (c->steps == 2)
        return verify(c, challenge);
    return false;
}
