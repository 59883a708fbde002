/* tls_verify.c: whether a server is who we called (RFC 9525), and if not, why, as a postmaster would
 * say it. The text is written while OpenSSL walks the chain: later the certificates are gone. */
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/netaddr.h"
#include "sys/tls_internal.h"

#define NAMES_SHOWN 3

/* What a name may show of itself in a log or a bounce. */
static void add_visible(struct tls_verdict *v, str_t s)
{
    size_t at = strlen(v->text);
    for (size_t i = 0; i < s.len && at + 1 < sizeof v->text; i++)
        v->text[at++] = s.ptr[i] > ' ' && s.ptr[i] < 0x7f ? s.ptr[i] : '?';
    v->text[at] = '\0';
}

static void say_wrong_name(struct tls_verdict *v, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int shown = 0, more = 0;
    snprintf(v->text, sizeof v->text, "certificate is for ");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_DNS || shown == NAMES_SHOWN) {
            more += n->type == GEN_DNS;
            continue;
        }
        if (shown++ > 0)
            add_visible(v, STR(","));
        add_visible(v, str_first(str_of(ASN1_STRING_get0_data(n->d.dNSName),
                                        (size_t)ASN1_STRING_length(n->d.dNSName)),
                                 40));
    }
    GENERAL_NAMES_free(names);
    size_t at = strlen(v->text);
    snprintf(v->text + at, sizeof v->text - at, "%s%s, not ", shown == 0 ? "no name" : "",
             more > 0 ? " and others" : "");
    add_visible(v, str_first(str_c(v->name), 60));
}

static void say_when(struct tls_verdict *v, const char *what, const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) == 1)
        snprintf(v->text, sizeof v->text, "certificate %s %04d-%02d-%02d", what, tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday);
    else
        snprintf(v->text, sizeof v->text, "certificate has no valid dates");
}

static void say(struct tls_verdict *v, X509_STORE_CTX *ctx)
{
    const X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        if (cert != NULL) {
            say_wrong_name(v, cert);
            return;
        }
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        if (cert != NULL) {
            say_when(v, "expired on", X509_get0_notAfter(cert));
            return;
        }
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        if (cert != NULL) {
            say_when(v, "is not valid before", X509_get0_notBefore(cert));
            return;
        }
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        snprintf(v->text, sizeof v->text, "certificate is self-signed");
        return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(v->text, sizeof v->text, "certificate is from an unknown authority");
        return;
    default: break;
    }
    snprintf(v->text, sizeof v->text, "certificate: %s", X509_verify_cert_error_string(error));
}

static int on_verify(int good, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verdict *v = SSL_get_ex_data(ssl, 1);
    if (!good && v != NULL && v->text[0] == '\0')
        say(v, ctx);
    return good;
}

bool tls_verify_begin(SSL *ssl, X509_STORE *store, str_t name, struct tls_verdict *v)
{
    struct netaddr address;
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    /* RFC 9525 6.3, 6.4: DNS names alone, a wildcard is a whole label. */
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    bool good = netaddr_parse(name, &address)
                    ? X509_VERIFY_PARAM_set1_ip(p, address.bytes,
                                                address.family == NETADDR_V4 ? 4 : 16) == 1
                    : name.len > 0 && X509_VERIFY_PARAM_set1_host(p, name.ptr, name.len) == 1;
    must(SSL_set_ex_data(ssl, 1, v) == 1);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
    return good && SSL_set1_verify_cert_store(ssl, store) == 1;
}
