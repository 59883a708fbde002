/* tls_info.c: what a handshake came to, for the log, the trace field and SASL; and what OpenSSL
 * says went wrong, in words that a postmaster reads. */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "sys/tls_internal.h"

/* RFC 9266 2: the exporter of TLS 1.3, and of 1.2 with an extended master secret. */
static void fill_exporter(SSL *ssl, struct tls_info *info)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (SSL_version(ssl) != TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
        return;
    info->has_exporter =
        SSL_export_keying_material(ssl, info->exporter, sizeof info->exporter, label,
                                   sizeof label - 1, (const unsigned char *)"", 0, 1) == 1;
}

void tls_info_fill(SSL *ssl, struct tls_info *info)
{
    int bits = SSL_get_cipher_bits(ssl, NULL);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    info->version = SSL_get_version(ssl);
    /* As the registry has it, which Received asks for (RFC 8314 4.3); OpenSSL's own names of the
     * suites of TLS 1.2 are others. */
    info->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
    info->bits = bits > 0 ? (unsigned)bits : 0;
    info->resumed = SSL_session_reused(ssl) == 1;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    if (alpn_len < sizeof info->alpn)
        str_toc(str_of(alpn, alpn_len), info->alpn, sizeof info->alpn);
    fill_exporter(ssl, info);
}

size_t tls_end_point(const X509 *cert, uint8_t out[static 64])
{
    int md_nid = NID_undef;
    unsigned len = 0;
    /* Undefined for signatures without a hash of their own, as Ed25519. */
    if (X509_get_signature_info((X509 *)(uintptr_t)cert, &md_nid, NULL, NULL, NULL) != 1 ||
        md_nid == NID_undef)
        return 0;
    const EVP_MD *md =
        md_nid == NID_md5 || md_nid == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(md_nid);
    if (md == NULL || EVP_MD_get_size(md) > 64 || X509_digest(cert, md, out, &len) != 1)
        return 0;
    return len;
}

void tls_hash(const X509 *cert, uint8_t out[static TLS_HASH_LEN])
{
    unsigned len = 0;
    must(X509_digest(cert, EVP_sha256(), out, &len) == 1 && len == TLS_HASH_LEN);
}

/* Our words for what goes wrong between mail servers every day. */
static const char *usual(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH: return "what the other side sends is not TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW: return "the other side knows no TLS 1.2 or later";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE: return "no shared cipher";
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: return "no shared signature algorithm";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "the connection was cut";
    case SSL_R_EE_KEY_TOO_SMALL: return "the key is too small";
    case SSL_R_CA_MD_TOO_WEAK: return "a signature's hash is too weak";
    case SSL_R_NO_APPLICATION_PROTOCOL: return "no shared application protocol";
    default: return NULL;
    }
}

void tls_error_text(char why[static TLS_WHY_LEN], const char *otherwise)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    const char *said = e == 0 ? otherwise : ERR_GET_LIB(e) == ERR_LIB_SSL ? usual(reason) : NULL;
    if (said != NULL)
        snprintf(why, TLS_WHY_LEN, "%s", said);
    else if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET)
        snprintf(why, TLS_WHY_LEN, "the other side refused: %s",
                 SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    else if ((said = ERR_reason_error_string(e)) != NULL)
        snprintf(why, TLS_WHY_LEN, "%s", said);
    else
        snprintf(why, TLS_WHY_LEN, "error %lx of the TLS library", e);
    ERR_clear_error();
}
