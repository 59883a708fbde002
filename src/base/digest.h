/* digest.h: SHA-1 and SHA-256, HMAC (RFC 2104) and PBKDF2 (RFC 8018 5.2) over libcrypto, and what
 * secrets need besides: comparing in constant time and wiping.
 *
 * For SCRAM (its keys: proto/sasl/scram_keys.h), certificates' fingerprints and tokens; not for
 * storing passwords, which is argon2id's. No state, any thread. libcrypto is initialised on first
 * use and never reads its configuration file. False only when libcrypto has no memory: then `out`
 * is zeroes, and the caller must treat it as "could not say". */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/str.h"

enum digest { DIGEST_SHA1, DIGEST_SHA256 };
#define DIGEST_MAX 32 /* bytes of the longest */

size_t digest_size(enum digest d); /* 20 or 32 */

/* Each writes digest_size(d) bytes to `out`. */
__attribute__((warn_unused_result)) bool digest_hash(enum digest d, str_t in, uint8_t *out);
__attribute__((warn_unused_result)) bool digest_hmac(enum digest d, str_t key, str_t in,
                                                     uint8_t *out);
/* PBKDF2 with HMAC, one block: RFC 5802's Hi(). At least one iteration. 4096 take about 2 ms. */
__attribute__((warn_unused_result)) bool digest_pbkdf2(enum digest d, str_t password, str_t salt,
                                                       uint32_t iterations, uint8_t *out);

/* Equal? The time taken tells the lengths, and nothing of the contents. */
bool digest_equal(str_t a, str_t b);
void digest_wipe(void *ptr, size_t len); /* zeroes that no compiler leaves out; len 0: any ptr */

#endif
