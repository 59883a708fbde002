/* tls_vault.c: certificates and authorities. See tls.h.
 *
 * Both are kept as generations that never change and are counted: the lock is held only to take or
 * exchange a pointer. */
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "sys/tls_internal.h"

struct tls_vault *tls_vault_new(void)
{
    tls_setup();
    struct tls_vault *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    v->authorities = X509_STORE_new();
    if (v->authorities == NULL) {
        free(v);
        return NULL;
    }
    pthread_mutex_init(&v->lock, NULL);
    return v;
}

void tls_vault_free(struct tls_vault *v)
{
    if (v == NULL)
        return;
    tls_certs_put(v->certs);
    X509_STORE_free(v->authorities);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

bool tls_vault_ready(const struct tls_vault *v)
{
    struct tls_vault *u = (struct tls_vault *)(uintptr_t)v;
    pthread_mutex_lock(&u->lock);
    bool ready = u->certs != NULL;
    pthread_mutex_unlock(&u->lock);
    return ready;
}

/* ---- generations ---- */

struct tls_certs *tls_certs_get(struct tls_vault *v)
{
    pthread_mutex_lock(&v->lock);
    struct tls_certs *c = v->certs;
    if (c != NULL)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&v->lock);
    return c;
}

void tls_certs_put(struct tls_certs *c)
{
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (size_t i = 0; i < c->n; i++)
        tls_cert_free(&c->certs[i]);
    for (size_t i = 0; i < c->n_names; i++)
        free(c->names[i].text);
    free(c->certs);
    free(c->names);
    free(c);
}

X509_STORE *tls_authorities_get(struct tls_vault *v, uint64_t *generation)
{
    pthread_mutex_lock(&v->lock);
    X509_STORE *s = v->authorities;
    must(X509_STORE_up_ref(s) == 1);
    *generation = v->generation;
    pthread_mutex_unlock(&v->lock);
    return s;
}

/* ---- filling ---- */

static bool add_name(struct tls_certs *c, str_t name, size_t cert)
{
    if (name.len == 0 || name.len > TLS_NAME_MAX || memchr(name.ptr, '\0', name.len) != NULL)
        return true; /* no name that a client could ask for */
    struct tls_name *v = realloc(c->names, (c->n_names + 1) * sizeof *v);
    char *text = malloc(name.len + 1);
    if (v != NULL)
        c->names = v;
    if (v == NULL || text == NULL) {
        free(text);
        return false;
    }
    str_toc(name, text, name.len + 1);
    str_lower(text, name.len);
    v[c->n_names++] = (struct tls_name){text, cert};
    return true;
}

/* Its DNS names (RFC 9525 6.1: no longer its common name). */
static bool add_own_names(struct tls_certs *c, size_t cert)
{
    bool good = true;
    GENERAL_NAMES *names = X509_get_ext_d2i(c->certs[cert].leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; good && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_DNS)
            good = add_name(c,
                            str_of(ASN1_STRING_get0_data(n->d.dNSName),
                                   (size_t)ASN1_STRING_length(n->d.dNSName)),
                            cert);
    }
    GENERAL_NAMES_free(names);
    return good;
}

/* Of several certificates with one name the first counts. */
static int by_name(const void *a, const void *b)
{
    const struct tls_name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->cert > y->cert) - (x->cert < y->cert);
}

static enum rc fill(struct tls_certs *c, const struct tls_pair *pairs, size_t n, struct err *err)
{
    struct err why = {0};
    c->certs = calloc(n, sizeof *c->certs);
    if (c->certs == NULL)
        return err_set(err, RC_TEMP, "", "out of memory");
    for (size_t i = 0; i < n; i++) {
        enum rc rc = tls_pem_pair(pairs[i].chain_pem, pairs[i].key_pem, &c->certs[i], &why);
        if (rc != RC_OK)
            return err_set(err, rc, "", "certificate " STR_FMT ": %s",
                           STR_ARG(str_first(pairs[i].name, 100)), why.text);
        c->n = i + 1;
        if (!add_name(c, pairs[i].name, i) || !add_own_names(c, i))
            return err_set(err, RC_TEMP, "", "out of memory");
    }
    if (c->n_names > 0)
        qsort(c->names, c->n_names, sizeof *c->names, by_name);
    return RC_OK;
}

enum rc tls_vault_set_pairs(struct tls_vault *v, const struct tls_pair *pairs, size_t n,
                            struct err *err)
{
    struct tls_certs *fresh = n > 0 ? calloc(1, sizeof *fresh) : NULL;
    if (n > 0 && fresh == NULL)
        return err_set(err, RC_TEMP, "", "out of memory");
    if (fresh != NULL) {
        atomic_init(&fresh->refs, 1);
        enum rc rc = fill(fresh, pairs, n, err);
        if (rc != RC_OK) {
            tls_certs_put(fresh);
            return rc;
        }
    }
    pthread_mutex_lock(&v->lock);
    struct tls_certs *old = v->certs;
    v->certs = fresh;
    pthread_mutex_unlock(&v->lock);
    tls_certs_put(old);
    return RC_OK;
}

enum rc tls_vault_set_authorities(struct tls_vault *v, str_t pem, struct err *err)
{
    X509_STORE *fresh = NULL;
    enum rc rc = tls_pem_authorities(pem, &fresh, err);
    if (rc != RC_OK)
        return rc;
    pthread_mutex_lock(&v->lock);
    X509_STORE *old = v->authorities;
    v->authorities = fresh;
    v->generation++;
    pthread_mutex_unlock(&v->lock);
    X509_STORE_free(old);
    return RC_OK;
}

bool tls_vault_trust(struct tls_vault *v, void *ssl_ctx)
{
    SSL_CTX *ctx = ssl_ctx;
    uint64_t generation;
    SSL_CTX_set_cert_store(ctx, tls_authorities_get(v, &generation)); /* takes the reference */
    return SSL_CTX_set_cipher_list(ctx, TLS_SUITES_12) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, TLS_SUITES_13) == 1 &&
           SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) == 1;
}

/* ---- choosing ---- */

/* The first of its name, or NULL. */
static const struct tls_cert *find(const struct tls_certs *c, const char *name)
{
    size_t low = 0, high = c->n_names;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(c->names[mid].text, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->n_names && strcmp(c->names[low].text, name) == 0 ? &c->certs[c->names[low].cert]
                                                                     : NULL;
}

const struct tls_cert *tls_certs_choose(const struct tls_certs *c, const char *name)
{
    const struct tls_cert *found = name[0] != '\0' ? find(c, name) : NULL;
    const char *dot = strchr(name, '.');
    char wild[TLS_NAME_MAX + 2];
    if (found == NULL && dot != NULL && dot != name) { /* RFC 9525 6.3: one label, the leftmost */
        wild[0] = '*';
        str_toc(str_c(dot), wild + 1, sizeof wild - 1);
        found = find(c, wild);
    }
    return found != NULL ? found : &c->certs[0];
}
