/* scram_keys.h: the arithmetic of SCRAM (RFC 5802 3), for both sides and for whoever keeps the keys.
 *
 *     SaltedPassword  = Hi(Normalize(password), salt, i)          only while keys are made
 *     ClientKey       = HMAC(SaltedPassword, "Client Key")        the client's secret
 *     StoredKey       = H(ClientKey)                              kept by the server
 *     ServerKey       = HMAC(SaltedPassword, "Server Key")        kept by the server
 *     ClientProof     = ClientKey XOR HMAC(StoredKey, AuthMessage)
 *     ServerSignature = HMAC(ServerKey, AuthMessage)
 *
 * Any thread, no state. False: no memory in libcrypto (or, in scram_check, a wrong proof). The
 * caller wipes what it holds (digest_wipe). */
#ifndef PROTO_SASL_SCRAM_KEYS_H
#define PROTO_SASL_SCRAM_KEYS_H

#include "base/digest.h"

struct scram_keys { /* digest_size(d) bytes of each */
    uint8_t client[DIGEST_MAX], stored[DIGEST_MAX], server[DIGEST_MAX];
};

/* The password must be prepared already (sasl.h). */
bool scram_derive(enum digest d, str_t password, str_t salt, uint32_t iterations,
                  struct scram_keys *out);
bool scram_proof(enum digest d, const struct scram_keys *k, str_t auth_message, uint8_t *proof);
bool scram_signature(enum digest d, const uint8_t *server_key, str_t auth_message, uint8_t *out);
/* The server's check: is `proof` the one of StoredKey? Constant time; another length is wrong. */
bool scram_check(enum digest d, const uint8_t *stored_key, str_t auth_message, str_t proof);

#endif
