/* test_table.c: the operator's tables: which row fits, what is refused, when a change is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "post/table.h"
#include "store/engines.h"

struct world {
    struct env env;
    struct tables *tables;
    struct arena arena;
    struct err err;
};

static void world_init(struct world *w)
{
    *w = (struct world){.env.store = store_memory_new()};
    assert_non_null(w->env.store);
    w->tables = tables_new(&w->env);
    arena_init(&w->arena, 1 << 22);
}

static void world_free(struct world *w)
{
    tables_free(w->tables);
    arena_free(&w->arena);
    store_close(w->env.store);
}

static void set(struct world *w, enum table t, const char *key, const char *value)
{
    if (table_set(w->env.store, t, str_c(key), str_c(value), &w->err) != RC_OK)
        fail_msg("%s: %s", key, w->err.text);
}

/* The value that fits, or "". */
static const char *find(struct world *w, enum table t, const char *what)
{
    bool found;
    str_t value;
    assert_int_equal(table_find(w->tables, t, str_c(what), &w->arena, &found, &value, NULL),
                     STORE_OK);
    return found ? arena_cstr(&w->arena, value) : "";
}

static void the_most_particular_row_fits(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    set(&w, TABLE_HOLD_SENDER, "*", "all");
    set(&w, TABLE_HOLD_SENDER, ".example.org", "below");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@b.example.org"), "below");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@example.org"), "below");
    set(&w, TABLE_HOLD_SENDER, "Example.ORG", "domain");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@example.org"), "domain");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "example.org"), "domain");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "x.y.example.org"), "below");
    set(&w, TABLE_HOLD_SENDER, "Ann@example.org", "ann");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "aNN@EXAMPLE.org"), "ann");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "bob@example.org"), "domain");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "bob@badexample.org"), "all");
    assert_string_equal(find(&w, TABLE_TLS, "bob@example.org"), "");
    world_free(&w);
}

static void u_labels_are_the_same_domain(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    set(&w, TABLE_TLS, "bücher.example", "verify");
    assert_string_equal(find(&w, TABLE_TLS, "xn--bcher-kva.example"), "verify");
    assert_string_equal(find(&w, TABLE_TLS, "BÜCHER.example"), "verify");
    world_free(&w);
}

static void deep_names_are_bounded(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    char name[256] = "";
    for (int i = 0; i < 120; i++)
        strcat(name, "a.");
    strcat(name, "test");
    set(&w, TABLE_TLS, ".a.test", "may");
    assert_string_equal(find(&w, TABLE_TLS, name), "may");
    set(&w, TABLE_TLS, name, "encrypt");
    assert_string_equal(find(&w, TABLE_TLS, name), "encrypt");
    world_free(&w);
}

static void changes_are_seen(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@example.org"), "");
    set(&w, TABLE_HOLD_SENDER, "a@example.org", "why");
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@example.org"), "why");
    assert_int_equal(table_remove(w.env.store, TABLE_HOLD_SENDER, STR("A@example.org"), &w.err),
                     RC_OK);
    assert_string_equal(find(&w, TABLE_HOLD_SENDER, "a@example.org"), "");
    assert_int_equal(table_remove(w.env.store, TABLE_HOLD_SENDER, STR("a@example.org"), &w.err),
                     RC_PERM);
    world_free(&w);
}

static void what_is_no_key_is_refused(void **state)
{
    static const char *const bad[] = {"",           " ", "@example.org", "a@", ".a@example.org",
                                      "a b\n@c.org"};
    struct world w;
    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (table_set(w.env.store, TABLE_TLS, str_c(bad[i]), STR("may"), &w.err) != RC_PERM)
            fail_msg("taken: \"%s\"", bad[i]);
    assert_int_equal(table_set(w.env.store, TABLE_SUSPEND, STR("a.org"), STR("two\nlines"), &w.err),
                     RC_PERM);
    char big[TABLE_VALUE_MAX + 1];
    memset(big, 'x', sizeof big);
    assert_int_equal(
        table_set(w.env.store, TABLE_SUSPEND, STR("a.org"), str_of(big, sizeof big - 1), &w.err),
        RC_OK);
    assert_int_equal(
        table_set(w.env.store, TABLE_SUSPEND, STR("a.org"), str_of(big, sizeof big), &w.err),
        RC_PERM);
    world_free(&w);
}

static void values_have_their_forms(void **state)
{
    static const struct {
        enum table t;
        const char *good, *bad;
    } rows[] = {
        {TABLE_TRANSPORT, "smtp 192.0.2.1:2525 tls=verify", "smtp"},
        {TABLE_RELAY, "smtp relay.example.org:587 auth=main tls=encrypt", "pigeon x"},
        {TABLE_TLS, "verify", "perhaps"},
        {TABLE_LIMIT, "connections=2 per_minute=60", "connections=0"},
        {TABLE_SOURCE, "192.0.2.1 2001:db8::1", "192.0.2"},
        {TABLE_CANONICAL_SENDER, "ann@example.org", "ann"},
        {TABLE_CANONICAL_RECIPIENT, "@example.org", "@"},
        {TABLE_MASQUERADE, "example.org", "not a domain"},
        {TABLE_GRANT, "ann@example.org bob@example.org", "ann@example.org bob"},
        {TABLE_LISTS, "owner=ann@example.org verp", "owner=nobody"},
    };
    struct world w;
    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set(&w, rows[i].t, "a.example.org", rows[i].good);
        assert_int_equal(
            table_set(w.env.store, rows[i].t, STR("a.example.org"), str_c(rows[i].bad), &w.err),
            RC_PERM);
    }
    world_free(&w);
}

static bool count(void *user, str_t key, str_t value)
{
    (void)value;
    assert_true(str_starts(key, STR("d")));
    return ++*(int *)user < 700;
}

static void listing_goes_through_pages(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    set(&w, TABLE_SUSPEND, "zzz.org", "of another table");
    for (int i = 0; i < 600; i++) {
        char key[32];
        snprintf(key, sizeof key, "d%d.org", i);
        set(&w, TABLE_SOURCE, key, "192.0.2.1");
    }
    int n = 0;
    assert_int_equal(table_list(w.env.store, TABLE_SOURCE, count, &n), STORE_OK);
    assert_int_equal(n, 600);
    world_free(&w);
}

static void limits(void **state)
{
    static const struct {
        const char *value;
        uint32_t connections, per_minute;
    } good[] = {
        {"connections=1", 1, 0},
        {"per_minute=1000000", 0, 1000000},
        {" per_minute=60  connections=1000000 ", 1000000, 60},
    };
    static const char *const bad[] = {
        "",
        " ",
        "connections",
        "connections=",
        "connections=0",
        "per_minute=1000001",
        "connections=-1",
        "connections=2x",
        "Connections=2",
        "messages=2",
        "connections=1 none",
        "connections=1 connections=2",
        "per_minute=4294967297",
        "connections=0 per_minute=2",
    };
    struct table_limit l;
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(table_limit_parse(str_c(good[i].value), &l, &err));
        assert_int_equal(l.connections, good[i].connections);
        assert_int_equal(l.per_minute, good[i].per_minute);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = '\0';
        if (table_limit_parse(str_c(bad[i]), &l, &err) || strstr(err.text, "a limit is") == NULL)
            fail_msg("taken: \"%s\" (%s)", bad[i], err.text);
    }
}

static void tables_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < TABLES; i++) {
        enum table t;
        assert_true(table_by_name(str_c(table_name((enum table)i)), &t));
        assert_int_equal(t, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_particular_row_fits),
        cmocka_unit_test(u_labels_are_the_same_domain),
        cmocka_unit_test(deep_names_are_bounded),
        cmocka_unit_test(changes_are_seen),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(values_have_their_forms),
        cmocka_unit_test(listing_goes_through_pages),
        cmocka_unit_test(limits),
        cmocka_unit_test(tables_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
