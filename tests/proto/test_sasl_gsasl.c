/* test_sasl_gsasl.c: SASL against GNU SASL (libgsasl 2), which nobody here wrote, both ways: its
 * clients against our server, our client against its servers. The library is opened at run time;
 * without it these tests are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "sasl_harness.h"

/* From gsasl.h, whose numbers are its ABI. */
enum { GSASL_OK = 0, GSASL_NEEDS_MORE = 1, GSASL_NO_CALLBACK = 51 };
enum property {
    GSASL_AUTHID = 1,
    GSASL_AUTHZID = 2,
    GSASL_PASSWORD = 3,
    GSASL_SCRAM_ITER = 15,
    GSASL_CB_TLS_EXPORTER = 25,
};
struct gsasl {
    void *library, *context;
    int (*init)(void **context);
    void (*done)(void *context);
    int (*client_start)(void *context, const char *mech, void **session);
    int (*server_start)(void *context, const char *mech, void **session);
    int (*step)(void *session, const char *in, size_t in_len, char **out, size_t *out_len);
    int (*property_set)(void *session, int property, const char *value);
    void (*callback_set)(void *context, int (*)(void *context, void *session, int property));
    void (*finish)(void *session);
    void (*free)(void *p);
};

static struct gsasl lib;
static struct arena arena;

static void entry(const char *name, void *pointer_to_function)
{
    void *f = dlsym(lib.library, name);
    must(f != NULL);
    memcpy(pointer_to_function, &f, sizeof f);
}

/* Its PLAIN server forgets what was set and asks. */
static int asked(void *context, void *session, int property)
{
    (void)context;
    if (property != GSASL_PASSWORD)
        return GSASL_NO_CALLBACK;
    return lib.property_set(session, property, the_account.password.ptr);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)2 * SASL_ARENA_MAX);
    lib.library = dlopen("libgsasl.so.18", RTLD_NOW);
    if (lib.library == NULL)
        return 0;
    entry("gsasl_init", &lib.init);
    entry("gsasl_done", &lib.done);
    entry("gsasl_client_start", &lib.client_start);
    entry("gsasl_server_start", &lib.server_start);
    entry("gsasl_step", &lib.step);
    entry("gsasl_property_set", &lib.property_set);
    entry("gsasl_callback_set", &lib.callback_set);
    entry("gsasl_finish", &lib.finish);
    entry("gsasl_free", &lib.free);
    int rc = lib.init(&lib.context);
    if (rc == GSASL_OK)
        lib.callback_set(lib.context, asked);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    if (lib.library != NULL)
        lib.done(lib.context);
    return 0;
}

/* What gsasl says to this; *rc as it gives it. In the arena. */
static str_t gsasl_says(void *session, str_t in, int *rc)
{
    char *out = NULL;
    size_t len = 0;
    *rc = lib.step(session, in.len > 0 ? in.ptr : NULL, in.len, &out, &len);
    str_t said = arena_dup(&arena, str_of(out, len));
    if (out != NULL)
        lib.free(out);
    return said;
}

static void set(void *session, enum property p, const char *value)
{
    assert_int_equal(lib.property_set(session, (int)p, value), GSASL_OK);
}

static void bind(void *session, const char *mech)
{
    if (str_ends(str_c(mech), STR("PLUS"))) /* in base64; 32 bytes of 'k' */
        set(session, GSASL_CB_TLS_EXPORTER, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=");
}

static struct sasl_binding binding = {.exporter = {"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32}};

/* Does our server let gsasl's client in? */
static bool their_client(const char *mech, const char *name, const char *password)
{
    enum sasl_mech m;
    void *client;
    int rc = GSASL_NEEDS_MORE;
    must(sasl_mech_find(str_c(mech), &m));
    arena_reset(&arena);
    struct sasl *s = sasl_begin(&arena, m, &binding, server_nonce, true);
    assert_int_equal(lib.client_start(lib.context, mech, &client), GSASL_OK);
    set(client, GSASL_AUTHID, name);
    set(client, GSASL_PASSWORD, password);
    bind(client, mech);
    enum sasl_event ev = sasl_step(s, STR_NONE); /* an empty challenge, or LOGIN's */
    for (int i = 0; ev == SASL_CHALLENGE && (rc == GSASL_NEEDS_MORE || i == 0); i++) {
        assert_true(i < 5);
        str_t said = gsasl_says(client, sasl_challenge(s), &rc);
        assert_true(rc == GSASL_OK || rc == GSASL_NEEDS_MORE);
        ev = settle(s, sasl_step(s, said), &the_account);
    }
    bool theirs_ok = rc == GSASL_OK || m == SASL_PLAIN || m == SASL_LOGIN || m == SASL_EXTERNAL;
    lib.finish(client);
    sasl_end(s);
    if (ev == SASL_DONE)
        assert_true(theirs_ok);
    else
        assert_int_equal(ev, SASL_FAILED);
    return ev == SASL_DONE;
}

/* Does our client get into gsasl's server? */
static bool their_server(const char *mech, const char *name, const char *password)
{
    void *server;
    int rc;
    struct err err;
    str_t r = STR("");
    struct sasl_credentials cred = {.name = str_c(name),
                                    .password = str_c(password),
                                    .allow_plain = true,
                                    .only = mech,
                                    .binding = binding};
    arena_reset(&arena);
    assert_int_equal(lib.server_start(lib.context, mech, &server), GSASL_OK);
    set(server, GSASL_PASSWORD, the_account.password.ptr);
    set(server, GSASL_SCRAM_ITER, "4096");
    bind(server, mech);
    struct saslc *c = saslc_begin(&arena, str_c(mech), &cred, client_nonce, &err);
    assert_non_null(c);
    bool ok = true;
    if (!saslc_initial(c, &r))
        r = STR("");
    for (int i = 0; ok; i++) {
        assert_true(i < 5);
        str_t challenge = gsasl_says(server, r, &rc);
        if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
            break;
        if (rc == GSASL_OK && challenge.len == 0)
            break;
        ok = saslc_step(c, challenge, &r);
        if (rc == GSASL_OK)
            break;
    }
    assert_true(ok);
    if (rc == GSASL_OK)
        assert_true(saslc_succeeded(c));
    lib.finish(server);
    saslc_end(c);
    return rc == GSASL_OK;
}

static const char *const mechs[] = {
    "PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"};

static void clients(void **state)
{
    (void)state;
    if (lib.library == NULL)
        skip();
    const char *name = the_account.name.ptr, *password = the_account.password.ptr;
    for (size_t i = 0; i < sizeof mechs / sizeof mechs[0]; i++) {
        assert_true(their_client(mechs[i], name, password));
        assert_false(their_client(mechs[i], name, "wrong"));
        assert_false(their_client(mechs[i], "some,body=", password));
    }
    assert_true(their_client("EXTERNAL", name, password));
}

static void servers(void **state)
{
    (void)state;
    if (lib.library == NULL)
        skip();
    const char *name = the_account.name.ptr, *password = the_account.password.ptr;
    for (size_t i = 0; i < sizeof mechs / sizeof mechs[0]; i++) {
        assert_true(their_server(mechs[i], name, password));
        assert_true(their_server(mechs[i], "some,body=", password)); /* it has no list of names */
        assert_false(their_server(mechs[i], name, "wrong"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clients), cmocka_unit_test(servers)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
