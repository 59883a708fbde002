/* scram_keys.c: see scram_keys.h. */
#include "proto/sasl/scram_keys.h"

static bool stored_of(enum digest d, struct scram_keys *k)
{
    return digest_hash(d, str_of(k->client, digest_size(d)), k->stored);
}

bool scram_derive(enum digest d, str_t password, str_t salt, uint32_t iterations,
                  struct scram_keys *out)
{
    uint8_t salted[DIGEST_MAX];
    str_t key = str_of(salted, digest_size(d));
    bool ok = digest_pbkdf2(d, password, salt, iterations, salted) &&
              digest_hmac(d, key, STR("Client Key"), out->client) &&
              digest_hmac(d, key, STR("Server Key"), out->server) && stored_of(d, out);
    digest_wipe(salted, sizeof salted);
    return ok;
}

/* HMAC(StoredKey, AuthMessage) XOR in: makes the proof of ClientKey, and ClientKey of the proof. */
static bool cover(enum digest d, const uint8_t *stored, str_t auth_message, const uint8_t *in,
                  uint8_t *out)
{
    uint8_t sig[DIGEST_MAX];
    if (!digest_hmac(d, str_of(stored, digest_size(d)), auth_message, sig))
        return false;
    for (size_t i = 0; i < digest_size(d); i++)
        out[i] = in[i] ^ sig[i];
    digest_wipe(sig, sizeof sig);
    return true;
}

bool scram_proof(enum digest d, const struct scram_keys *k, str_t auth_message, uint8_t *proof)
{
    return cover(d, k->stored, auth_message, k->client, proof);
}

bool scram_signature(enum digest d, const uint8_t *server_key, str_t auth_message, uint8_t *out)
{
    return digest_hmac(d, str_of(server_key, digest_size(d)), auth_message, out);
}

bool scram_check(enum digest d, const uint8_t *stored_key, str_t auth_message, str_t proof)
{
    struct scram_keys k = {0};
    size_t n = digest_size(d);
    bool ok = proof.len == n &&
              cover(d, stored_key, auth_message, (const uint8_t *)proof.ptr, k.client) &&
              stored_of(d, &k) && digest_equal(str_of(k.stored, n), str_of(stored_key, n));
    digest_wipe(&k, sizeof k);
    return ok;
}
