/* test_directory.c: domains, accounts, aliases over the memory engine: lookups, changes, races, the
 * cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "post/directory_row.h"
#include "store/engines.h"

struct world {
    struct store *store;
    struct arena arena;
    struct err err;
};

static struct world world_new(void)
{
    struct world w = {.store = store_memory_new()};
    assert_non_null(w.store);
    arena_init(&w.arena, 1 << 22);
    return w;
}

static void world_free(struct world *w)
{
    arena_free(&w->arena);
    store_close(w->store);
}

#define ADD_DOMAIN(w, d) \
    assert_int_equal(directory_domain_add((w)->store, STR(d), &(w)->err), RC_OK)

static uint64_t add_account(struct world *w, const char *address)
{
    uint64_t id;
    enum rc rc = directory_account_add(w->store, str_c(address), &id, &w->err);
    if (rc != RC_OK)
        fail_msg("%s", w->err.text);
    return id;
}

static void set_alias(struct world *w, const char *address, const char *target)
{
    str_t t = str_c(target);
    assert_int_equal(directory_alias_set(w->store, str_c(address), &t, 1, &w->err), RC_OK);
}

static struct directory_entry look(struct world *w, const char *local, const char *domain)
{
    struct directory_entry e;
    assert_int_equal(directory_lookup(w->store, str_c(local), str_c(domain), '+', &w->arena, &e),
                     STORE_OK);
    return e;
}

static void is_account(struct world *w, const char *local, const char *domain, uint64_t id,
                       const char *detail)
{
    struct directory_entry e = look(w, local, domain);
    assert_int_equal(e.kind, DIRECTORY_ACCOUNT);
    assert_int_equal(e.account, id);
    assert_true(str_eq(e.detail, str_c(detail)));
}

static void is_alias(struct world *w, const char *local, const char *domain, const char *target)
{
    struct directory_entry e = look(w, local, domain);
    assert_int_equal(e.kind, DIRECTORY_ALIAS);
    assert_int_equal(e.ntargets, 1);
    assert_true(str_eq(e.targets[0], str_c(target)));
}

static void is_refused(struct world *w, enum rc rc, const char *why)
{
    assert_int_equal(rc, RC_PERM);
    if (strstr(w->err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", w->err.text, why);
}

static void test_lookup(void **state)
{
    (void)state;
    struct world w = world_new();
    assert_int_equal(look(&w, "anna", "example.test").kind, DIRECTORY_NOT_OURS);
    assert_int_equal(look(&w, "postmaster", "").kind, DIRECTORY_NOT_OURS);
    ADD_DOMAIN(&w, "Example.TEST.");
    uint64_t anna = add_account(&w, "Anna@Example.test"),
             plus = add_account(&w, "a+b@example.test");
    assert_int_not_equal(anna, plus);
    is_account(&w, "anna", "example.test", anna, "");
    is_account(&w, "ANNA", "EXAMPLE.TEST", anna, "");
    is_account(&w, "anna+News+x", "example.test", anna, "news+x");
    is_account(&w, "a+b", "example.test", plus, ""); /* exact before base */
    assert_int_equal(look(&w, "a", "example.test").kind, DIRECTORY_NONE);
    assert_int_equal(look(&w, "+anna", "example.test").kind, DIRECTORY_NONE);
    assert_int_equal(look(&w, "bob", "example.test").kind, DIRECTORY_NONE);
    assert_int_equal(look(&w, "", "example.test").kind, DIRECTORY_NONE);
    assert_int_equal(look(&w, "anna", "example.org").kind, DIRECTORY_NOT_OURS);
    /* A slash in the domain must not reach another domain's rows. */
    assert_int_equal(look(&w, "anna", "example.test/x").kind, DIRECTORY_NOT_OURS);
    char longest[66];
    memset(longest, 'x', 65);
    longest[65] = '\0';
    assert_int_equal(look(&w, longest, "example.test").kind, DIRECTORY_NONE);
    assert_int_equal(look(&w, longest, "example.org").kind, DIRECTORY_NOT_OURS);
    set_alias(&w, "both@example.test", "anna@example.test");
    is_alias(&w, "Both+x", "example.test", "anna@example.test");
    struct directory_entry e;
    assert_int_equal(
        directory_lookup(w.store, STR("anna+x"), STR("example.test"), '\0', &w.arena, &e),
        STORE_OK);
    assert_int_equal(e.kind, DIRECTORY_NONE); /* separator off */
    world_free(&w);
}

static void test_postmaster(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "one.test");
    ADD_DOMAIN(&w, "a.test"); /* sorts first, but is not the first */
    assert_int_equal(look(&w, "postmaster", "one.test").kind, DIRECTORY_NONE);
    uint64_t first = add_account(&w, "x@a.test"), second = add_account(&w, "a@one.test");
    is_account(&w, "postmaster", "one.test", first, "");
    is_account(&w, "PostMaster+x", "a.test", first, "x");
    is_account(&w, "postmaster", "", first, "");
    set_alias(&w, "postmaster@one.test", "a@one.test");
    is_alias(&w, "postmaster", "", "a@one.test");
    is_account(&w, "postmaster", "a.test", first, "");
    assert_int_equal(directory_account_remove(w.store, STR("x@a.test"), &w.err), RC_OK);
    is_account(&w, "postmaster", "a.test", second, "");
    world_free(&w);
}

static void test_catchall(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "one.test");
    is_refused(&w,
               directory_domain_catchall(w.store, STR("one.test"), STR("anna@one.test"), &w.err),
               "does not exist");
    uint64_t anna = add_account(&w, "anna@one.test");
    assert_int_equal(
        directory_domain_catchall(w.store, STR("one.test"), STR("anna+any@one.test"), &w.err),
        RC_OK);
    is_alias(&w, "nobody", "one.test", "anna+any@one.test");
    is_account(&w, "anna", "one.test", anna, "");
    is_account(&w, "postmaster", "one.test", anna, ""); /* before the catch-all */
    assert_int_equal(
        directory_domain_catchall(w.store, STR("one.test"), STR("anna@one.test"), &w.err), RC_OK);
    is_refused(&w, directory_account_remove(w.store, STR("anna@one.test"), &w.err), "catch-all");
    assert_int_equal(directory_domain_catchall(w.store, STR("one.test"), STR(""), &w.err), RC_OK);
    assert_int_equal(look(&w, "nobody", "one.test").kind, DIRECTORY_NONE);
    assert_int_equal(
        directory_domain_catchall(w.store, STR("one.test"), STR("me@elsewhere.test"), &w.err),
        RC_OK);
    is_alias(&w, "nobody", "one.test", "me@elsewhere.test");
    world_free(&w);
}

static void test_changes_say_what_is_wrong(void **state)
{
    (void)state;
    struct world w = world_new();
    uint64_t id;
    is_refused(&w, directory_domain_add(w.store, STR("-x.test"), &w.err), "is not a domain name");
    is_refused(&w, directory_domain_add(w.store, STR("b\xc3\xbc_.test"), &w.err),
               "is not a domain name");
    is_refused(&w, directory_account_add(w.store, STR("anna@one.test"), &id, &w.err),
               "postrider domain add one.test");
    is_refused(&w, directory_account_add(w.store, STR("anna"), &id, &w.err),
               "is not a mail address");
    ADD_DOMAIN(&w, "one.test");
    is_refused(&w, directory_domain_add(w.store, STR("ONE.test"), &w.err), "already");
    add_account(&w, "anna@one.test");
    is_refused(&w, directory_account_add(w.store, STR("ANNA@one.test"), &id, &w.err),
               "an account already");
    str_t self = STR("x@ONE.test");
    is_refused(&w, directory_alias_set(w.store, STR("x@one.test"), &self, 1, &w.err), "itself");
    is_refused(&w, directory_alias_set(w.store, STR("x@one.test"), NULL, 0, &w.err), "1 to 500");
    is_refused(&w, directory_alias_remove(w.store, STR("x@one.test"), &w.err), "no alias");
    is_refused(&w, directory_alias_remove(w.store, STR("anna@one.test"), &w.err), "no alias");
    is_refused(&w, directory_account_remove(w.store, STR("x@one.test"), &w.err), "no account");
    is_refused(&w, directory_domain_remove(w.store, STR("one.test"), &w.err),
               "still has addresses");
    is_refused(&w, directory_domain_remove(w.store, STR("two.test"), &w.err),
               "there is no domain two.test");
    assert_int_equal(directory_account_remove(w.store, STR("anna@one.test"), &w.err), RC_OK);
    assert_int_equal(directory_domain_remove(w.store, STR("one.test"), &w.err), RC_OK);
    assert_int_equal(look(&w, "anna", "one.test").kind, DIRECTORY_NOT_OURS);
    world_free(&w);
}

/* An account whose mail goes on: with a copy if its own address is among the targets. */
static void test_forward(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "one.test");
    uint64_t id = add_account(&w, "anna@one.test"), found;
    str_t away[] = {STR("b@two.test"), STR("ANNA@one.test")};
    assert_int_equal(directory_alias_set(w.store, STR("anna@one.test"), away, 2, &w.err), RC_OK);
    struct directory_entry e = look(&w, "anna", "one.test");
    assert_true(e.kind == DIRECTORY_ALIAS && e.account == id && e.keep && e.ntargets == 1);
    assert_true(str_eq(e.targets[0], STR("b@two.test")));
    assert_int_equal(directory_account_find(w.store, STR("anna@one.test"), &found), STORE_OK);
    assert_int_equal(found, id);
    is_refused(&w, directory_account_add(w.store, STR("anna@one.test"), &found, &w.err),
               "an account already");
    assert_int_equal(directory_alias_set(w.store, STR("anna@one.test"), away, 1, &w.err), RC_OK);
    e = look(&w, "anna", "one.test");
    assert_true(e.kind == DIRECTORY_ALIAS && e.account == id && !e.keep);
    assert_int_equal(directory_alias_remove(w.store, STR("anna@one.test"), &w.err), RC_OK);
    is_account(&w, "anna", "one.test", id, "");
    assert_int_equal(directory_alias_set(w.store, STR("anna@one.test"), away + 1, 1, &w.err),
                     RC_OK); /* to itself: as accounts do */
    is_account(&w, "anna", "one.test", id, "");
    assert_int_equal(directory_alias_set(w.store, STR("anna@one.test"), away, 2, &w.err), RC_OK);
    assert_int_equal(directory_account_remove(w.store, STR("anna@one.test"), &w.err), RC_OK);
    assert_int_equal(look(&w, "anna", "one.test").kind, DIRECTORY_NONE);
    world_free(&w);
}

/* The separator may be a character of names: the longest name there is, is meant. What is made of
 * others is longer than any name of ours. */
static void test_long_and_cut(void **state)
{
    (void)state;
    struct world w = world_new();
    struct directory_entry e;
    char local[300];
    ADD_DOMAIN(&w, "one.test");
    uint64_t list = add_account(&w, "list@one.test");
    uint64_t owner = add_account(&w, "list-owner@one.test");
    const struct {
        const char *local;
        uint64_t account;
        const char *detail;
    } rows[] = {{"list-owner", owner, ""},
                {"list-owner-a=b.test", owner, "a=b.test"},
                {"list-x-y", list, "x-y"},
                {"-list", 0, ""},
                {"List-OWNER-a-b-c", owner, "a-b-c"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            directory_lookup(w.store, str_c(rows[i].local), STR("one.test"), '-', &w.arena, &e),
            STORE_OK);
        assert_int_equal(e.account, rows[i].account);
        assert_true(str_eq(e.detail, str_c(rows[i].detail)));
    }
    memset(local, 'x', sizeof local);
    memcpy(local, "list+", 5);
    const struct {
        size_t len;
        enum directory_kind kind;
    } lengths[] = {{64, DIRECTORY_ACCOUNT},
                   {65, DIRECTORY_ACCOUNT},
                   {254, DIRECTORY_ACCOUNT},
                   {255, DIRECTORY_NONE}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(directory_lookup(w.store, str_of(local, lengths[i].len), STR("one.test"),
                                          '+', &w.arena, &e),
                         STORE_OK);
        assert_int_equal(e.kind, lengths[i].kind);
    }
    assert_int_equal(
        directory_lookup(w.store, str_of(local + 5, 65), STR("one.test"), '+', &w.arena, &e),
        STORE_OK);
    assert_int_equal(e.kind, DIRECTORY_NONE);
    world_free(&w);
}

static void test_login_row(void **state)
{
    (void)state;
    struct world w = world_new();
    bool present;
    str_t value;
    uint64_t got;
    ADD_DOMAIN(&w, "one.test");
    uint64_t id = add_account(&w, "Anna@One.test");
    assert_int_equal(
        store_get1(w.store, DIRECTORY_PART, STR("login/anna@one.test"), &w.arena, &present, &value),
        STORE_OK);
    assert_true(present && directory_u64_decode(value, &got) && got == id);
    assert_int_equal(directory_account_remove(w.store, STR("anna@one.test"), &w.err), RC_OK);
    assert_int_equal(
        store_get1(w.store, DIRECTORY_PART, STR("login/anna@one.test"), &w.arena, &present, &value),
        STORE_OK);
    assert_false(present);
    assert_int_equal(store_get1(w.store, DIRECTORY_PART, directory_key_gone(id, &w.arena), &w.arena,
                                &present, &value),
                     STORE_OK);
    assert_true(present);
    assert_int_not_equal(add_account(&w, "anna@one.test"), id); /* an id is never given again */
    world_free(&w);
}

static void test_quoted_and_utf8(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "one.test");
    uint64_t id = add_account(&w, "\"a b\\\"@c\"@one.test"),
             j = add_account(&w, "j\xc3\xb6rg@one.test");
    is_account(&w, "a b\"@c", "one.test", id, "");
    is_account(&w, "J\xc3\xb6RG", "one.test", j, "");
    static const char *const bad[] = {"a b@one.test",     "a..b@one.test", ".a@one.test",
                                      "a.@one.test",      "\"a@one.test",  "\"\"@one.test",
                                      "\"a\\\"@one.test", "@one.test",     "a@",
                                      "a@one..test",      "a@[127.0.0.1]", "\"a\n\"@one.test"};
    struct directory_address out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(directory_address_parse(str_c(bad[i]), &w.arena, &out));
    world_free(&w);
}

/* A domain in U-labels is the one in A-labels, wherever it is written. */
static void test_international_domain(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "Bücher.example");
    is_refused(&w, directory_domain_add(w.store, STR("xn--bcher-kva.example"), &w.err), "already");
    uint64_t id = add_account(&w, "Jörg@BÜCHER.example"), found;
    is_account(&w, "jörg", "xn--bcher-kva.example", id, "");
    is_account(&w, "jörg", "bücher.EXAMPLE", id, "");
    assert_int_equal(look(&w, "jörg", "b\xc3.example").kind, DIRECTORY_NOT_OURS);
    bool there;
    assert_int_equal(directory_domain_exists(w.store, STR("bücher.example"), &w.arena, &there),
                     STORE_OK);
    assert_true(there);
    assert_int_equal(directory_account_find(w.store, STR("jörg@bücher.example"), &found), STORE_OK);
    assert_int_equal(found, id);
    str_t value;
    assert_int_equal(store_get1(w.store, DIRECTORY_PART, STR("login/jörg@xn--bcher-kva.example"),
                                &w.arena, &there, &value),
                     STORE_OK);
    assert_true(there);
    set_alias(&w, "all@bücher.example", "x@straße.example");
    is_alias(&w, "all", "bücher.example", "x@xn--strae-oqa.example");
    str_t self = STR("self@xn--bcher-kva.example");
    is_refused(&w, directory_alias_set(w.store, STR("self@bücher.example"), &self, 1, &w.err),
               "itself");
    assert_int_equal(directory_domain_catchall(w.store, STR("bücher.example"),
                                               STR("jörg@bücher.example"), &w.err),
                     RC_OK);
    is_refused(&w, directory_account_remove(w.store, STR("jörg@bücher.example"), &w.err),
               "catch-all");
    assert_int_equal(directory_domain_catchall(w.store, STR("bücher.example"), STR(""), &w.err),
                     RC_OK);
    assert_int_equal(directory_account_remove(w.store, STR("jörg@bücher.example"), &w.err), RC_OK);
    assert_int_equal(directory_alias_remove(w.store, STR("all@bücher.example"), &w.err), RC_OK);
    assert_int_equal(directory_domain_remove(w.store, STR("bücher.example"), &w.err), RC_OK);
    world_free(&w);
}

static void test_accounts_one_by_one(void **state)
{
    (void)state;
    struct world w = world_new();
    uint64_t id, gone;
    assert_int_equal(directory_account_next(w.store, 0, &id), STORE_OK);
    assert_int_equal(id, 0);
    ADD_DOMAIN(&w, "one.test");
    uint64_t a = add_account(&w, "a@one.test"), b = add_account(&w, "b@one.test"),
             c = add_account(&w, "c@one.test");
    set_alias(&w, "x@one.test", "a@one.test");
    assert_int_equal(directory_account_find(w.store, STR("B@One.Test"), &id), STORE_OK);
    assert_int_equal(id, b);
    static const char *const none[] = {"x@one.test", "d@one.test", "b@two.test", "b", ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(directory_account_find(w.store, str_c(none[i]), &id), STORE_OK);
        assert_int_equal(id, 0);
    }
    assert_int_equal(directory_gone_next(w.store, &gone), STORE_OK);
    assert_int_equal(gone, 0);
    assert_int_equal(directory_account_remove(w.store, STR("b@one.test"), &w.err), RC_OK);
    uint64_t want[] = {a, c, 0};
    for (size_t i = 0, after = 0; i < 3; i++, after = id) {
        assert_int_equal(directory_account_next(w.store, after, &id), STORE_OK);
        assert_int_equal(id, want[i]);
    }
    assert_int_equal(directory_account_next(w.store, UINT64_MAX, &id), STORE_OK);
    assert_int_equal(id, 0);
    /* what is left of b is known until it is forgotten, also when that is done twice */
    assert_int_equal(directory_account_remove(w.store, STR("c@one.test"), &w.err), RC_OK);
    uint64_t left[] = {b, b, c, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(directory_gone_next(w.store, &gone), STORE_OK);
        assert_int_equal(gone, left[i]);
        if (i > 0)
            assert_int_equal(directory_gone_forget(w.store, gone), STORE_OK);
    }
    world_free(&w);
}

struct seen {
    char text[512];
    size_t n, stop_after;
};

static bool on_row(void *user, const struct directory_row *r)
{
    struct seen *s = user;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, STR_FMT ">" STR_FMT "%zu ", STR_ARG(r->name),
             STR_ARG(r->catchall), r->ntargets);
    return ++s->n != s->stop_after;
}

static void test_list(void **state)
{
    (void)state;
    struct world w = world_new();
    ADD_DOMAIN(&w, "two.test");
    ADD_DOMAIN(&w, "one.test");
    add_account(&w, "b@two.test");
    add_account(&w, "a@two.test");
    set_alias(&w, "\"x y\"@one.test", "a@two.test");
    assert_int_equal(directory_domain_catchall(w.store, STR("one.test"), STR("a@two.test"), &w.err),
                     RC_OK);
    struct seen s = {0};
    assert_int_equal(directory_list(w.store, DIRECTORY_ROW_DOMAIN, on_row, &s), STORE_OK);
    assert_int_equal(directory_list(w.store, DIRECTORY_ROW_ACCOUNT, on_row, &s), STORE_OK);
    assert_int_equal(directory_list(w.store, DIRECTORY_ROW_ALIAS, on_row, &s), STORE_OK);
    assert_string_equal(
        s.text, "one.test>a@two.test0 two.test>0 b@two.test>0 a@two.test>0 \"x y\"@one.test>1 ");
    for (int i = 0; i < 600; i++) {
        char name[32];
        snprintf(name, sizeof name, "u%d@one.test", i);
        add_account(&w, name);
    }
    s = (struct seen){0};
    assert_int_equal(directory_list(w.store, DIRECTORY_ROW_ACCOUNT, on_row, &s), STORE_OK);
    assert_int_equal(s.n, 602);
    s = (struct seen){.stop_after = 3};
    assert_int_equal(directory_list(w.store, DIRECTORY_ROW_ACCOUNT, on_row, &s), STORE_OK);
    assert_int_equal(s.n, 3);
    world_free(&w);
}

static void test_large_alias(void **state)
{
    (void)state;
    struct world w = world_new();
    static str_t t[DIRECTORY_TARGETS_MAX + 1];
    ADD_DOMAIN(&w, "one.test");
    for (size_t i = 0; i <= DIRECTORY_TARGETS_MAX; i++)
        t[i] = arena_fmt(&w.arena, "user%zu@elsewhere.test", i);
    is_refused(
        &w, directory_alias_set(w.store, STR("all@one.test"), t, DIRECTORY_TARGETS_MAX + 1, &w.err),
        "1 to 500");
    assert_int_equal(
        directory_alias_set(w.store, STR("all@one.test"), t, DIRECTORY_TARGETS_MAX, &w.err), RC_OK);
    struct directory_entry e = look(&w, "all", "one.test");
    assert_int_equal(e.ntargets, DIRECTORY_TARGETS_MAX);
    assert_true(str_eq(e.targets[499], STR("user499@elsewhere.test")));
    for (size_t i = 0; i < DIRECTORY_TARGETS_MAX; i++) {
        char domain[200];
        memset(domain, 'x', sizeof domain);
        for (size_t k = 50; k < sizeof domain; k += 50)
            domain[k] = '.';
        t[i] = arena_fmt(&w.arena, "%zu@" STR_FMT, i, STR_ARG(str_of(domain, sizeof domain)));
    }
    is_refused(&w,
               directory_alias_set(w.store, STR("all@one.test"), t, DIRECTORY_TARGETS_MAX, &w.err),
               "split them");
    world_free(&w);
}

/* Every batch lost or torn in turn: the same change made again ends well, and rows agree. */
static void test_crash(void **state)
{
    (void)state;
    for (uint64_t at = 1; at <= 3; at++)
        for (int torn = 0; torn < 2; torn++) {
            struct world w = world_new();
            uint64_t id;
            store_memory_crash_after(w.store, at, torn);
            for (int round = 0; round < 2; round++) {
                (void)directory_domain_add(w.store, STR("one.test"), &w.err);
                (void)directory_account_add(w.store, STR("a@one.test"), &id, &w.err);
                (void)directory_account_add(w.store, STR("b@one.test"), &id, &w.err);
                if (round == 0)
                    store_memory_reopen(w.store, 7);
            }
            struct directory_entry a = look(&w, "a", "one.test"), b = look(&w, "b", "one.test");
            assert_int_equal(a.kind, DIRECTORY_ACCOUNT);
            assert_int_equal(b.kind, DIRECTORY_ACCOUNT);
            assert_int_not_equal(a.account, b.account);
            world_free(&w);
        }
}

/* A store that lets somebody else make a change just before the first commit goes through. */
struct racing {
    struct store store; /* first */
    struct store_ops ops;
    struct store *inner;
    void (*other)(struct store *s);
};

static void racing_submit(struct store *s, struct store_commit *c)
{
    struct racing *r = (struct racing *)(void *)s;
    void (*other)(struct store *) = r->other;
    r->other = NULL;
    if (other != NULL)
        other(r->inner);
    store_submit(r->inner, c);
}

static enum store_rc racing_get(struct store *s, part_t part, const str_t *keys, size_t n,
                                struct arena *a, struct store_value *out)
{
    return store_get(((struct racing *)(void *)s)->inner, part, keys, n, a, out);
}

static enum store_rc racing_scan(struct store *s, const struct store_scan *q, struct arena *a,
                                 struct store_page *out)
{
    return store_scan(((struct racing *)(void *)s)->inner, q, a, out);
}

static struct store *racing(struct racing *r, struct store *inner, void (*other)(struct store *s))
{
    *r = (struct racing){.ops = {.submit = racing_submit, .get = racing_get, .scan = racing_scan},
                         .inner = inner,
                         .other = other};
    r->store.ops = &r->ops;
    return &r->store;
}

static void other_adds_x(struct store *s)
{
    uint64_t id;
    assert_int_equal(directory_account_add(s, STR("x@one.test"), &id, NULL), RC_OK);
}

static void other_removes_domain(struct store *s)
{
    assert_int_equal(directory_domain_remove(s, STR("one.test"), NULL), RC_OK);
}

static void test_races(void **state)
{
    (void)state;
    struct world w = world_new();
    struct racing r;
    uint64_t id;
    ADD_DOMAIN(&w, "one.test");
    /* An address comes while its domain goes. */
    is_refused(&w,
               directory_domain_remove(racing(&r, w.store, other_adds_x), STR("one.test"), &w.err),
               "still has addresses");
    /* Two make the same. */
    assert_int_equal(directory_account_remove(w.store, STR("x@one.test"), &w.err), RC_OK);
    is_refused(
        &w,
        directory_account_add(racing(&r, w.store, other_adds_x), STR("x@one.test"), &id, &w.err),
        "already");
    /* Two make different ones: both are there, with ids of their own. */
    assert_int_equal(directory_account_remove(w.store, STR("x@one.test"), &w.err), RC_OK);
    assert_int_equal(
        directory_account_add(racing(&r, w.store, other_adds_x), STR("y@one.test"), &id, &w.err),
        RC_OK);
    assert_int_not_equal(look(&w, "x", "one.test").account, look(&w, "y", "one.test").account);
    assert_int_equal(look(&w, "x", "one.test").kind, DIRECTORY_ACCOUNT);
    /* The domain goes while an address comes. */
    assert_int_equal(directory_account_remove(w.store, STR("x@one.test"), &w.err), RC_OK);
    assert_int_equal(directory_account_remove(w.store, STR("y@one.test"), &w.err), RC_OK);
    is_refused(&w,
               directory_account_add(racing(&r, w.store, other_removes_domain), STR("z@one.test"),
                                     &id, &w.err),
               "not one of our domains");
    world_free(&w);
}

static void random_fixed(struct env *e, void *to, size_t n)
{
    (void)e;
    memset(to, 42, n);
}

static enum directory_kind cached(struct directory_cache *c, const char *local, const char *domain)
{
    enum directory_kind kind;
    assert_int_equal(directory_cache_kind(c, str_c(local), str_c(domain), &kind), STORE_OK);
    return kind;
}

static void test_cache(void **state)
{
    (void)state;
    struct world w = world_new();
    struct env env = {.random = random_fixed, .store = w.store};
    struct directory_cache *c = directory_cache_new(&env, '+', 64);
    assert_int_equal(cached(c, "anna", "one.test"), DIRECTORY_NOT_OURS);
    ADD_DOMAIN(&w, "one.test");
    assert_int_equal(cached(c, "anna", "one.test"), DIRECTORY_NONE);
    add_account(&w, "anna@one.test");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cached(c, "Anna", "ONE.test"), DIRECTORY_ACCOUNT);
        assert_int_equal(cached(c, "anna+x", "one.test"), DIRECTORY_ACCOUNT);
        assert_int_equal(cached(c, "bob", "one.test"), DIRECTORY_NONE);
        assert_int_equal(cached(c, "postmaster", ""), DIRECTORY_ACCOUNT);
    }
    /* Many addresses that do not exist do not push out one that does: it is answered from the cache
     * even when the store could not. Damage shows who asked the store. */
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "no%d", i);
        assert_int_equal(cached(c, name, "one.test"), DIRECTORY_NONE);
    }
    store_memory_damage(w.store, DIRECTORY_PART, STR("dom/one.test"));
    assert_int_equal(cached(c, "anna", "one.test"), DIRECTORY_ACCOUNT);
    enum directory_kind kind;
    assert_int_equal(directory_cache_kind(c, STR("never-asked"), STR("one.test"), &kind),
                     STORE_DAMAGED);
    directory_cache_free(c);
    world_free(&w);
}

static void test_damage(void **state)
{
    (void)state;
    struct world w = world_new();
    struct directory_entry e;
    ADD_DOMAIN(&w, "one.test");
    add_account(&w, "a@one.test");
    add_account(&w, "b@one.test");
    store_memory_damage(w.store, DIRECTORY_PART, STR("addr/one.test/a"));
    assert_int_equal(directory_lookup(w.store, STR("a"), STR("one.test"), '+', &w.arena, &e),
                     STORE_DAMAGED);
    assert_int_equal(directory_lookup(w.store, STR("a+x"), STR("one.test"), '+', &w.arena, &e),
                     STORE_DAMAGED);
    assert_int_equal(look(&w, "b", "one.test").kind, DIRECTORY_ACCOUNT);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_postmaster),
        cmocka_unit_test(test_catchall),
        cmocka_unit_test(test_changes_say_what_is_wrong),
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_long_and_cut),
        cmocka_unit_test(test_login_row),
        cmocka_unit_test(test_quoted_and_utf8),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_large_alias),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_races),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_international_domain),
        cmocka_unit_test(test_accounts_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
