/* test_tls_names.c: certificates: which one a name gets, how they are read and replaced, how their
 * names are verified, and one of our own making. */
#include "sys/tls_rig.h"

#include <sys/stat.h>

#include "sys/tls_make.h"

static void test_names(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, b_example);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    expect_cert(c, s, "mx.a.example", a_example);
    expect_cert(c, s, "b.example", b_example);
    expect_cert(c, s, "alias.example", b_example); /* the name it was given */
    expect_cert(c, s, "x.wild.example", a_example);
    expect_cert(c, s, "unknown.example", a_example); /* the first */
    expect_cert(c, s, "192.0.2.7", a_example);       /* no name is sent */
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
    /* one label only: with the wildcard's certificate second, two labels get the first */
    v = vault_with(b_example, a_example);
    s = service(v, "smtp", NULL, true, false);
    c = tls_client_new(v);
    expect_cert(c, s, "x.wild.example", a_example);
    expect_cert(c, s, "x.y.wild.example", b_example);
    expect_cert(c, s, "wild.example", b_example);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void swap_certs(struct echo *e)
{
    struct err err = {0};
    struct tls_pair fresh = pki_pair("", b_example);
    assert_int_equal(tls_vault_set_pairs(e->arg, &fresh, 1, &err), RC_OK);
}

static void test_reload(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(a_example, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    /* one that shakes hands meanwhile keeps the certificate it began with: b would not verify */
    struct echo e = {.accepted = swap_certs, .arg = v};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    expect_cert(c, s, "mx.a.example", b_example);
    /* what is broken changes nothing */
    struct tls_pair bad[] = {pki_pair("good", a_example), pki_pair("bad", a_example)};
    bad[1].key_pem = str_c(b_example->key_pem);
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_string_equal(err.text, "certificate bad: the key is not that of the certificate");
    bad[1].key_pem = STR("nonsense");
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_non_null(strstr(err.text, "no private key"));
    bad[1] = (struct tls_pair){STR("bad"), STR("nonsense"), str_c(b_example->key_pem)};
    assert_int_equal(tls_vault_set_pairs(v, bad, 2, &err), RC_PERM);
    assert_non_null(strstr(err.text, "no certificate"));
    expect_cert(c, s, "mx.a.example", b_example);
    assert_true(tls_vault_ready(v));
    assert_int_equal(tls_vault_set_pairs(v, NULL, 0, &err), RC_OK);
    assert_false(tls_vault_ready(v));
    assert_null(tls_accept(s, -1));
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_pem_oddities(void **state)
{
    (void)state;
    struct err err = {0};
    struct tls_vault *v = tls_vault_new();
    /* a key under a passphrase: said, not asked for */
    char locked[4096];
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(b, a_example->key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    pki_pem(locked, sizeof locked, b);
    struct tls_pair p = pki_pair("x", a_example);
    p.key_pem = str_c(locked);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_non_null(strstr(err.text, "passphrase"));
    /* a chain cut in the middle of its second certificate */
    char chain[8192];
    snprintf(chain, sizeof chain, "%s%s", a_example->cert_pem, ca->cert_pem);
    p = pki_pair("x", a_example);
    p.chain_pem = str_c(chain);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_OK);
    p.chain_pem.len -= 100;
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_non_null(strstr(err.text, "broken"));
    /* too weak */
    struct pki *weak = pki_make(ca, &(struct pki_want){.names = "DNS:weak", .rsa_bits = 1024});
    p = pki_pair("x", weak);
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_PERM);
    assert_string_equal(err.text, "certificate x: it cannot be used: the key is too small");
    pki_free(weak);
    /* authorities: none is fine, half of one is not */
    assert_int_equal(tls_vault_set_authorities(v, STR_NONE, &err), RC_OK);
    assert_int_equal(tls_vault_set_authorities(v, str_first(str_c(ca->cert_pem), 200), &err),
                     RC_PERM);
    tls_vault_free(v);
}

static void expect_refused(const struct pki *cert, const char *name, const char *text)
{
    struct tls_vault *v = vault_with(cert, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks(name, TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0}, e2 = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_TEMP);
    assert_string_equal(err.status, "4.7.5");
    assert_string_equal(err.text, text);
    assert_non_null(strstr(e.why, "the other side refused"));
    /* opportunistic: taken all the same */
    config.verify = TLS_VERIFY_NONE;
    assert_int_equal(meet(c, s, &config, &info, &e2, &err), RC_OK);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static char *day(int days)
{
    static char text[32];
    time_t t = time(NULL) + (time_t)days * 86400;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%d", &tm);
    return text;
}

static void test_verification(void **state)
{
    (void)state;
    char text[256];
    snprintf(text, sizeof text, "TLS: certificate expired on %s", day(-2));
    expect_refused(old, "mx.a.example", text);
    snprintf(text, sizeof text, "TLS: certificate is not valid before %s", day(2));
    expect_refused(early, "mx.a.example", text);
    expect_refused(a_example, "c.example",
                   "TLS: certificate is for mx.a.example,*.wild.example, not c.example");
    expect_refused(a_example, "wild.example",
                   "TLS: certificate is for mx.a.example,*.wild.example, not wild.example");
    expect_refused(a_example, "192.0.2.7",
                   "TLS: certificate is for mx.a.example,*.wild.example, not 192.0.2.7");
    expect_refused(plain_ip, "mx.a.example", "TLS: certificate is for no name, not mx.a.example");
    expect_refused(other_ca, "mx.a.example", "TLS: certificate is self-signed");
    struct pki *foreign = pki_make(other_ca, &(struct pki_want){.names = "DNS:mx.a.example"});
    expect_refused(foreign, "mx.a.example", "TLS: certificate is from an unknown authority");
    pki_free(foreign);
    /* names an attacker chose do not reach a log as they are */
    struct pki *odd = pki_make(ca, &(struct pki_want){.names = "DNS:a b\x01"});
    expect_refused(odd, "mx.a.example", "TLS: certificate is for a?b?, not mx.a.example");
    pki_free(odd);
}

static void test_address_verified(void **state)
{
    (void)state;
    struct tls_vault *v = vault_with(plain_ip, NULL);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("192.0.2.7", TLS_VERIFY_NAME);
    struct err err = {0};
    struct tls_info info;
    struct echo e = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    assert_string_equal(e.info.server_name, "");
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
}

static void test_make(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_tls.XXXXXX", path[128];
    struct err err = {0};
    struct stat st;
    bool made;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tls", folder);
    assert_int_equal(tls_make_store(path, STR("mx.a.example"), &made, &err), RC_OK);
    assert_true(made);
    assert_int_equal(tls_make_store(path, STR("mx.a.example"), &made, &err), RC_OK);
    assert_false(made);
    assert_int_equal(tls_make_store(path, STR("../x"), &made, &err), RC_PERM);
    snprintf(path, sizeof path, "%s/tls/mx.a.example/key.pem", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    snprintf(path, sizeof path, "%s/tls/mx.a.example/cert.pem", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/tls/mx.a.example", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/tls", folder);
    assert_int_equal(rmdir(path), 0); /* nothing else was left */
    rmdir(folder);

    struct buf chain, key;
    buf_init(&chain, 8192);
    buf_init(&key, 8192);
    assert_int_equal(tls_make_pair(STR("a,DNS:b"), &chain, &key, &err), RC_PERM);
    assert_int_equal(tls_make_pair(STR("mx.a.example"), &chain, &key, &err), RC_OK);
    struct tls_vault *v = vault_with(NULL, NULL);
    struct tls_pair p = {STR(""), buf_str(&chain), buf_str(&key)};
    assert_int_equal(tls_vault_set_pairs(v, &p, 1, &err), RC_OK);
    /* who trusts it knows its name */
    assert_int_equal(tls_vault_set_authorities(v, buf_str(&chain), &err), RC_OK);
    struct tls_service *s = service(v, "smtp", NULL, true, false);
    struct tls_client *c = tls_client_new(v);
    struct tls_client_config config = asks("mx.a.example", TLS_VERIFY_NAME);
    struct tls_info info;
    struct echo e = {0};
    assert_int_equal(meet(c, s, &config, &info, &e, &err), RC_OK);
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
    buf_free(&chain);
    buf_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_pem_oddities),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_address_verified),
        cmocka_unit_test(test_make),
    };
    signal(SIGPIPE, SIG_IGN); /* the raw clients write as OpenSSL does */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
