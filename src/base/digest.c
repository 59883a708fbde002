/* digest.c: see digest.h. The one-shot forms of libcrypto: what is digested here is short, and an
 * algorithm looked up anew each time costs about a microsecond but needs no file-scope state. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/err.h"

static const EVP_MD *algorithm(enum digest d)
{
    /* Whoever is first here decides for the whole process: no file of the system's is read, which
     * sandboxed roles could not, and which could change what we compute. Later calls return at
     * once. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    switch (d) {
    case DIGEST_SHA1: return EVP_sha1();
    case DIGEST_SHA256: return EVP_sha256();
    }
    must_failed("a digest of enum digest", __FILE__, __LINE__);
}

size_t digest_size(enum digest d)
{
    return d == DIGEST_SHA1 ? 20 : 32;
}

static bool outcome(enum digest d, bool ok, uint8_t *out)
{
    if (!ok)
        memset(out, 0, digest_size(d));
    return ok;
}

/* libcrypto takes a NULL with length 0 for "as before" in places. */
static const void *bytes(str_t s)
{
    return s.len > 0 ? s.ptr : "";
}

bool digest_hash(enum digest d, str_t in, uint8_t *out)
{
    return outcome(d, EVP_Digest(bytes(in), in.len, out, NULL, algorithm(d), NULL) == 1, out);
}

bool digest_hmac(enum digest d, str_t key, str_t in, uint8_t *out)
{
    must(key.len <= INT32_MAX);
    const EVP_MD *md = algorithm(d);
    return outcome(d, HMAC(md, bytes(key), (int)key.len, bytes(in), in.len, out, NULL) != NULL,
                   out);
}

bool digest_pbkdf2(enum digest d, str_t password, str_t salt, uint32_t iterations, uint8_t *out)
{
    must(iterations > 0 && iterations <= INT32_MAX);
    must(password.len <= INT32_MAX && salt.len <= INT32_MAX);
    int ok = PKCS5_PBKDF2_HMAC(bytes(password), (int)password.len, bytes(salt), (int)salt.len,
                               (int)iterations, algorithm(d), (int)digest_size(d), out);
    return outcome(d, ok == 1, out);
}

bool digest_equal(str_t a, str_t b)
{
    return a.len == b.len && CRYPTO_memcmp(bytes(a), bytes(b), a.len) == 0;
}

void digest_wipe(void *ptr, size_t len)
{
    if (len > 0)
        OPENSSL_cleanse(ptr, len);
}
