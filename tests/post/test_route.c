/* test_route.c: routes in words, which one a new message gets, and credentials for smarthosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "post/route.h"
#include "store/engines.h"

static struct arena arena;

static const char *shown(const struct route *r)
{
    static const char *const kinds[] = {"mx", "smtp", "lmtp", "error"};
    static char text[512];
    snprintf(text, sizeof text, "%s " STR_FMT ":%u%s%s%s%s auth=" STR_FMT " %s " STR_FMT,
             kinds[r->kind], STR_ARG(r->host), r->port, r->use_mx ? " mx" : "",
             r->has_tls ? " tls=" : "", r->has_tls ? tls_policy_name(r->tls) : "",
             r->implicit ? " implicit" : "", STR_ARG(r->auth), r->status, STR_ARG(r->text));
    return text;
}

/* NULL: refused. */
static const struct {
    const char *words, *want;
} routes[] = {
    {"mx", "mx :0 auth=  "},
    {"  MX\t", "mx :0 auth=  "},
    {"mx hub", NULL},
    {"", NULL},
    {"smpt hub", NULL},
    {"smtp", NULL},
    {"smtp Hub.Example", "smtp hub.example:0 auth=  "},
    {"smtp hub.example:587 mx tls=verify auth=me@hub",
     "smtp hub.example:587 mx tls=verify auth=me@hub  "},
    {"smtp hub.example TLS=Encrypt", "smtp hub.example:0 tls=encrypt auth=  "},
    {"smtp b\xc3\xbc"
     "cher.example",
     "smtp xn--bcher-kva.example:0 auth=  "},
    {"smtp 192.0.2.1", "smtp 192.0.2.1:0 auth=  "},
    {"smtp 192.0.2.1:26", "smtp 192.0.2.1:26 auth=  "},
    {"smtp [192.0.2.1]", "smtp 192.0.2.1:0 auth=  "},
    {"smtp 2001:db8::1", "smtp 2001:db8::1:0 auth=  "},
    {"smtp [2001:db8::1]:26", "smtp 2001:db8::1:26 auth=  "},
    {"smtp hub.example:465", "smtp hub.example:465 tls=encrypt implicit auth=  "},
    {"smtp hub.example implicit tls=verify", "smtp hub.example:0 tls=verify implicit auth=  "},
    {"smtp hub.example:465 tls=may", "smtp hub.example:465 tls=encrypt implicit auth=  "},
    /* a password: to that server and no other, unless the operator says less */
    {"smtp hub.example:465 auth=corp", "smtp hub.example:465 tls=verify implicit auth=corp  "},
    {"smtp hub.example:465 auth=corp tls=encrypt",
     "smtp hub.example:465 tls=encrypt implicit auth=corp  "},
    {"smtp hub.example:465 tls=none", NULL},
    {"smtp hub.example:0", NULL},
    {"smtp hub.example:65536", NULL},
    {"smtp hub.example:", NULL},
    {"smtp :25", NULL},
    {"smtp hub_1.example", "smtp hub_1.example:0 auth=  "},
    {"smtp hub;rm", NULL},
    {"smtp -hub", NULL},
    {"smtp hub.example tls=maybe", NULL},
    {"smtp hub.example auth=", NULL},
    {"smtp hub.example auth=a/b", NULL},
    {"smtp hub.example what", NULL},
    {"lmtp 127.0.0.1:24", "lmtp 127.0.0.1:24 auth=  "},
    {"lmtp dovecot.example tls=none", "lmtp dovecot.example:0 tls=none auth=  "},
    {"lmtp dovecot.example mx", NULL},
    {"lmtp dovecot.example auth=me", NULL},
    {"lmtp dovecot.example:465", "lmtp dovecot.example:465 auth=  "},
    {"error 5.1.1 nobody of this name", "error :0 auth= 5.1.1 nobody of this name"},
    {"error 4.2.1   later, please ", "error :0 auth= 4.2.1 later, please"},
    {"error 2.0.0 fine", NULL},
    {"error 5.1 x", NULL},
    {"error 5.1000.1 x", NULL},
    {"error 5.1.1", NULL},
    {"error 5.1.1 a\x01", NULL},
    {"error", NULL},
};

static void words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct route r;
        struct err err = {0};
        arena_init(&arena, 1 << 16);
        bool ok = route_parse(str_c(routes[i].words), &arena, &r, &err);
        if (ok != (routes[i].want != NULL) || (ok && strcmp(shown(&r), routes[i].want) != 0))
            fail_msg("\"%s\": got %s (%s)", routes[i].words, ok ? shown(&r) : "refused", err.text);
        assert_true(ok || err.text[0] != '\0');
        arena_free(&arena);
    }
}

static void names_of_policies(void **state)
{
    (void)state;
    for (int p = TLS_POLICY_MAY; p <= TLS_POLICY_VERIFY; p++) {
        enum tls_policy back = TLS_POLICY_NONE;
        assert_true(tls_policy_parse(str_c(tls_policy_name((enum tls_policy)p)), &back));
        assert_int_equal(back, p);
    }
    enum tls_policy p;
    assert_false(tls_policy_parse(STR("dane"), &p) || tls_policy_parse(STR(""), &p));
}

/* ---- via ---- */

static struct env env;
static struct tables *tables;

static const char *via(const char *sender, const char *to, bool local)
{
    str_t v;
    assert_int_equal(route_via(tables, str_c(sender), str_c(to), local, &arena, &v), STORE_OK);
    return v.len == 0 ? "" : arena_cstr(&arena, v);
}

static void set(enum table t, const char *key, const char *value)
{
    struct err err;
    if (table_set(env.store, t, str_c(key), str_c(value), &err) != RC_OK)
        fail_msg("%s", err.text);
}

static void via_by_address_and_sender(void **state)
{
    (void)state;
    env.store = store_memory_new();
    tables = tables_new(&env);
    arena_init(&arena, 1 << 20);
    assert_string_equal(via("a@us.test", "b@x.test", false), "");
    set(TABLE_TRANSPORT, "b@x.test", "smtp b.test");
    set(TABLE_TRANSPORT, "x.test", "smtp x-hub.test");
    set(TABLE_TRANSPORT, "*", "smtp all.test");
    set(TABLE_RELAY, "us.test", "smtp our-hub.test");
    set(TABLE_RELAY, "boss@us.test", "smtp boss-hub.test");
    /* an address of its own; rows of domains are courier's */
    assert_string_equal(via("a@us.test", "B@X.test", false), "smtp b.test");
    assert_string_equal(via("a@us.test", "c@x.test", false), "smtp our-hub.test");
    assert_string_equal(via("boss@us.test", "c@y.test", false), "smtp boss-hub.test");
    assert_string_equal(via("c@else.test", "c@y.test", false), "");
    assert_string_equal(via("", "c@y.test", false), ""); /* a bounce */
    /* ours: only what was said of it */
    assert_string_equal(via("a@us.test", "c@ours.test", true), "");
    set(TABLE_TRANSPORT, "ours.test", "lmtp 127.0.0.1:24");
    assert_string_equal(via("a@us.test", "c@ours.test", true), "lmtp 127.0.0.1:24");
    set(TABLE_TRANSPORT, "c@ours.test", "error 4.2.1 moving");
    assert_string_equal(via("a@us.test", "c@ours.test", true), "error 4.2.1 moving");
    arena_free(&arena);
    tables_free(tables);
    store_close(env.store);
}

/* ---- credentials ---- */

static void credentials(void **state)
{
    struct store *s = store_memory_new();
    struct err err;
    struct route_credentials c = {STR("me"), STR("pass\0word")}, got;
    bool found;
    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(route_credentials_set(s, STR("hub"), &c, &err), RC_OK);
    assert_int_equal(route_credentials(s, STR("hub"), &arena, &found, &got), STORE_OK);
    assert_true(found && str_eq(got.name, c.name) && str_eq(got.password, c.password));
    assert_int_equal(route_credentials(s, STR("hu"), &arena, &found, &got), STORE_OK);
    assert_false(found);
    assert_int_equal(route_credentials(s, STR("hub/x"), &arena, &found, &got), STORE_OK);
    assert_false(found);
    /* what is refused */
    c.password = STR("");
    assert_int_equal(route_credentials_set(s, STR("hub"), &c, &err), RC_PERM);
    c.password = STR("x");
    assert_int_equal(route_credentials_set(s, STR("a/b"), &c, &err), RC_PERM);
    assert_int_equal(route_credentials_set(s, STR(""), &c, &err), RC_PERM);
    char name[ROUTE_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    assert_int_equal(route_credentials_set(s, str_of(name, ROUTE_NAME_MAX), &c, &err), RC_OK);
    assert_int_equal(route_credentials_set(s, str_of(name, sizeof name), &c, &err), RC_PERM);
    assert_int_equal(route_credentials_set(s, STR("hub"), NULL, &err), RC_OK);
    assert_int_equal(route_credentials(s, STR("hub"), &arena, &found, &got), STORE_OK);
    assert_false(found);
    /* a row that is none */
    struct store_batch b;
    store_batch_init(&b, (part_t){PART_SECRET, 0}, &arena);
    store_put(&b, STR("relay/bad"), STR("\x01\x00\x05me"));
    assert_int_equal(store_commit(s, &b), STORE_OK);
    assert_int_equal(route_credentials(s, STR("bad"), &arena, &found, &got), STORE_DAMAGED);
    assert_false(found);
    arena_free(&arena);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(names_of_policies),
        cmocka_unit_test(via_by_address_and_sender),
        cmocka_unit_test(credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
