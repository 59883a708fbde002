/* tls_make.c: see tls_make.h. The two files are written into a folder with another name, which is
 * then renamed: a crash leaves no certificate without its key. */
#include "sys/tls_make.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/netaddr.h"
#include "sys/tls_internal.h"

#define PEM_MAX       8192
#define COMMON_NAME   64 /* ub-common-name, RFC 5280 appendix A */
#define CERT_FILE     "cert.pem"
#define KEY_FILE      "key.pem"
#define BACKDATED_S   3600 /* a client's clock may be behind */
#define SERIAL_LENGTH 16

/* ---- the certificate ---- */

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    bool good = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static bool set_serial(X509 *x)
{
    uint8_t bytes[SERIAL_LENGTH];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] &= 0x7f; /* positive, RFC 5280 4.1.2.2 */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return good;
}

static bool set_names(X509 *x, const char *name)
{
    struct netaddr address;
    char common[COMMON_NAME + 1], alternative[TLS_NAME_MAX + 8];
    str_toc(str_c(name), common, sizeof common);
    snprintf(alternative, sizeof alternative, "%s:%s",
             netaddr_parse(str_c(name), &address) ? "IP" : "DNS", name);
    X509_NAME *subject = X509_get_subject_name(x);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(x, subject) == 1 &&
           add_extension(x, NID_subject_alt_name, alternative);
}

static X509 *make_cert(EVP_PKEY *key, const char *name)
{
    X509 *x = X509_new();
    bool good = x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
                X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATED_S) != NULL &&
                X509_time_adj_ex(X509_getm_notAfter(x), TLS_MAKE_DAYS, 0, NULL) != NULL &&
                X509_set_pubkey(x, key) == 1 && set_names(x, name) &&
                add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(x, NID_key_usage, "critical,digitalSignature") &&
                add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth") &&
                add_extension(x, NID_subject_key_identifier, "hash") &&
                X509_sign(x, key, EVP_sha256()) > 0;
    if (good)
        return x;
    X509_free(x);
    return NULL;
}

static bool take(BIO *b, struct buf *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    return n > 0 && buf_add(out, str_of(p, (size_t)n));
}

enum rc tls_make_pair(str_t name, struct buf *chain_pem, struct buf *key_pem, struct err *err)
{
    char z[TLS_NAME_MAX + 1];
    tls_setup();
    ERR_clear_error();
    for (size_t i = 0; i < name.len; i++) /* a comma would begin another name in the extension */
        if (!ascii_alpha(name.ptr[i]) && !ascii_digit(name.ptr[i]) &&
            memchr("-._:", name.ptr[i], 4) == NULL)
            name.len = 0;
    if (name.len == 0 || name.len > TLS_NAME_MAX || name.ptr[0] == '.')
        return err_set(err, RC_PERM, "", "a certificate needs a host name");
    str_toc(name, z, sizeof z);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key == NULL ? NULL : make_cert(key, z);
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_secmem());
    bool good = x != NULL && c != NULL && k != NULL && PEM_write_bio_X509(c, x) == 1 &&
                PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                take(c, chain_pem) && take(k, key_pem);
    BIO_free(c);
    BIO_free(k);
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good ? RC_OK : err_set(err, RC_TEMP, "", "cannot make a certificate for %s", z);
}

/* ---- the files ---- */

static bool write_file(int dir, const char *name, mode_t mode, str_t bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    bool good = fd >= 0 && fchmod(fd, mode) == 0;
    while (good && bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        good = n > 0;
        bytes = str_from(bytes, good ? (size_t)n : 0);
    }
    good = good && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

/* A folder in `dir`, made if it is not there. -1: no. */
static int open_folder(int dir, const char *name, int flags)
{
    if (mkdirat(dir, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
}

static bool write_both(int dir, const char *name, str_t chain, str_t key)
{
    char half[TLS_NAME_MAX + 8];
    snprintf(half, sizeof half, ".%s.new", name);
    int fd = open_folder(dir, half, O_NOFOLLOW); /* perhaps left by one who was killed */
    bool good = fd >= 0 && write_file(fd, CERT_FILE, 0644, chain) &&
                write_file(fd, KEY_FILE, 0600, key) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good && renameat(dir, half, dir, name) == 0 && fsync(dir) == 0;
}

static enum rc store(int dir, const char *folder, const char *name, struct err *err)
{
    struct buf chain, key;
    buf_init(&chain, PEM_MAX);
    buf_init(&key, PEM_MAX);
    enum rc rc = tls_make_pair(str_c(name), &chain, &key, err);
    if (rc == RC_OK && !write_both(dir, name, buf_str(&chain), buf_str(&key)))
        rc = err_set(err, RC_TEMP, "", "cannot write a certificate into %s/%s: %s", folder, name,
                     strerror(errno));
    if (key.ptr != NULL)
        OPENSSL_cleanse(key.ptr, key.cap);
    buf_free(&key);
    buf_free(&chain);
    return rc;
}

enum rc tls_make_store(const char *folder, str_t name, bool *made, struct err *err)
{
    char z[TLS_NAME_MAX + 1];
    struct stat st;
    *made = false;
    str_toc(name, z, sizeof z);
    if (z[0] == '\0' || z[0] == '.' || strchr(z, '/') != NULL)
        return err_set(err, RC_PERM, "", "a certificate needs a host name");
    int dir = open_folder(AT_FDCWD, folder, 0);
    if (dir < 0)
        return err_set(err, RC_TEMP, "", "cannot open the folder %s: %s", folder, strerror(errno));
    enum rc rc = RC_OK;
    if (fstatat(dir, z, &st, 0) != 0) {
        rc = store(dir, folder, z, err);
        *made = rc == RC_OK;
    }
    close(dir);
    return rc;
}
