/* test_mailing_list.c: lists and masked addresses: making them, pages of members, how they are sent,
 * what goes with what. (Mail to them is in tests/scenarios/mail.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/mailing_list.h"
#include "post/mask.h"
#include "store/engines.h"

#define LIST STR("club@us.test")

static struct fake_env fe;
static struct store *s;
static struct arena a;
static struct err err;

static int setup(void **state)
{
    (void)state;
    uint64_t id;
    fake_env_init(&fe, 7);
    s = fe.env.store = store_memory_new();
    arena_init(&a, 16 << 20);
    assert_int_equal(directory_domain_add(s, STR("us.test"), &err), RC_OK);
    assert_int_equal(directory_account_add(s, STR("anna@us.test"), &id, &err), RC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(s);
    arena_free(&a);
    return 0;
}

static void refused(enum rc rc, const char *why)
{
    if (rc == RC_OK || !str_contains(str_c(err.text), str_c(why)))
        fail_msg("\"%s\"; expected: %s", rc == RC_OK ? "done" : err.text, why);
}

static uint64_t list_id(void)
{
    uint64_t id;
    assert_int_equal(mailing_list_find(s, LIST, &id), STORE_OK);
    return id;
}

static size_t add(const char *member)
{
    str_t m = str_c(member);
    size_t n;
    assert_int_equal(mailing_list_add(s, LIST, &m, 1, &n, &err), RC_OK);
    return n;
}

/* All members, by pages of `max`; how many there are. */
static size_t walk(uint64_t id, uint32_t max, size_t *pages)
{
    struct mailing_list_member *m;
    str_t after = STR_NONE, last = STR_NONE;
    size_t n, all = 0;
    bool more = true;
    for (*pages = 0; more; ++*pages) {
        assert_int_equal(mailing_list_page(s, id, after, max, &a, &m, &n, &more), STORE_OK);
        assert_true(n <= max && (n == max || !more));
        for (size_t i = 0; i < n; i++) {
            assert_true(last.len == 0 || str_cmp(last, m[i].at) < 0); /* each once */
            last = m[i].at;
        }
        all += n;
        after = last;
    }
    return all;
}

static void members(void **state)
{
    (void)state;
    enum { MANY = 1200 };
    static char text[MANY][32];
    str_t m[MANY];
    size_t n, pages;
    assert_int_equal(mailing_list_create(s, LIST, STR_NONE, false, &err), RC_OK);
    uint64_t id = list_id();
    assert_true(id > 0);
    assert_int_equal(walk(id, 400, &pages), 0);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "m%zu@d%zu.test", i, i % 30);
        m[i] = str_c(text[i]);
    }
    assert_int_equal(mailing_list_add(s, LIST, m, MANY, &n, &err), RC_OK);
    assert_int_equal(n, MANY);
    assert_int_equal(mailing_list_add(s, LIST, m, MANY, &n, &err), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(walk(id, 400, &pages), MANY);
    assert_int_equal(pages, 3);
    assert_int_equal(walk(id, 7, &pages), MANY);
    assert_int_equal(mailing_list_drop(s, LIST, m + 100, 300, &n, &err), RC_OK);
    assert_int_equal(n, 300);
    assert_int_equal(walk(id, 1000, &pages), MANY - 300);
    assert_int_equal(add("M1@D1.test"), 0); /* local parts compare without case */
    assert_int_equal(add("\"a b\"@b\xc3\xbc.test"), 1);
    assert_int_equal(mailing_list_delete(s, LIST, &err), RC_OK);
    assert_int_equal(list_id(), 0);
    assert_int_equal(walk(id, 400, &pages), 0);
    assert_int_equal(mailing_list_create(s, LIST, STR_NONE, false, &err), RC_OK);
    assert_int_not_equal(list_id(), id); /* what is on its way to the former one finds nobody */
}

static void wrong(void **state)
{
    (void)state;
    size_t n;
    str_t bad[] = {STR("x@y.test"), STR("nobody")}, self = STR("CLUB@us.test");
    uint64_t id;
    refused(mailing_list_create(s, STR("club@them.test"), STR_NONE, false, &err), "domain add");
    refused(mailing_list_create(s, STR("anna@us.test"), STR_NONE, false, &err), "an account");
    refused(mailing_list_create(s, LIST, STR("boss"), false, &err), "not a mail address");
    refused(mailing_list_add(s, LIST, bad, 1, &n, &err), "no list");
    assert_int_equal(mailing_list_create(s, LIST, STR_NONE, false, &err), RC_OK);
    refused(mailing_list_create(s, LIST, STR_NONE, false, &err), "a list already");
    refused(mailing_list_add(s, LIST, bad, 2, &n, &err), "not a mail address");
    refused(mailing_list_add(s, LIST, &self, 1, &n, &err), "itself");
    refused(directory_alias_set(s, LIST, bad, 1, &err), "a list already");
    refused(directory_account_add(s, LIST, &id, &err), "a list already");
    refused(directory_alias_remove(s, LIST, &err), "no alias");
    refused(directory_account_remove(s, LIST, &err), "no account");
    refused(mailing_list_delete(s, STR("anna@us.test"), &err), "no list");
    refused(directory_domain_remove(s, STR("us.test"), &err), "addresses");
}

static void rules_are(struct tables *t, const char *local, bool list, const char *owner, bool is,
                      bool verp)
{
    struct mailing_list_rules r;
    assert_int_equal(mailing_list_rules(t, str_c(local), STR("us.test"), list, &a, &r), STORE_OK);
    assert_int_equal(r.is, is);
    assert_int_equal(r.verp, verp);
    assert_true(str_eq(r.owner, str_c(owner)));
}

static void how_it_is_sent(void **state)
{
    (void)state;
    struct tables *t = tables_new(&fe.env);
    rules_are(t, "club", true, "postmaster@us.test", true, false);
    rules_are(t, "team", false, "", false, false);
    assert_int_equal(mailing_list_create(s, LIST, STR("Boss@us.test"), true, &err), RC_OK);
    rules_are(t, "club", true, "boss@us.test", true, true);
    assert_int_equal(table_set(s, TABLE_LISTS, STR("team@us.test"), STR("verp"), &err), RC_OK);
    rules_are(t, "team", false, "postmaster@us.test", true, true);
    assert_int_equal(table_set(s, TABLE_LISTS, STR("us.test"), STR("owner=o@us.test"), &err),
                     RC_OK);
    rules_are(t, "other", false, "", false, false); /* a domain's row makes no list of an alias */
    rules_are(t, "other", true, "o@us.test", true, false);
    assert_int_equal(mailing_list_delete(s, LIST, &err), RC_OK);
    rules_are(t, "club", true, "o@us.test", true, false);
    tables_free(t);
}

static void sender_is(const char *owner, bool verp, const char *member, char separator,
                      const char *want)
{
    struct mailing_list_rules r = {.is = true, .verp = verp, .owner = str_c(owner)};
    str_t got = mailing_list_sender(&r, str_c(member), separator, &a);
    if (!str_eq(got, str_c(want)))
        fail_msg(STR_FMT ", expected %s", STR_ARG(got), want);
}

static void verp(void **state)
{
    (void)state;
    char member[400], want[500];
    sender_is("boss@us.test", false, "m@far.test", '+', "boss@us.test");
    sender_is("boss@us.test", true, "m@far.test", '+', "boss+m=far.test@us.test");
    sender_is("boss@us.test", true, "m@far.test", '-', "boss-m=far.test@us.test");
    sender_is("boss@us.test", true, "m@far.test", '\0', "boss@us.test");
    sender_is("boss@us.test", true, "\"a b\"@far.test", '+', "\"boss+a b=far.test\"@us.test");
    /* as long as a path may be, and one more */
    for (int more = 0; more < 2; more++) {
        snprintf(member, sizeof member, "m@%.*s.%.*s.%.*s.%.*s", 63,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 63,
                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 63,
                 "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", 47 + more,
                 "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd");
        snprintf(want, sizeof want, "boss+m=%s@us.test", member + 2);
        assert_int_equal(strlen(want), 254 + (size_t)more);
        sender_is("boss@us.test", true, member, '+', more ? "boss@us.test" : want);
    }
}

/* ---- masked addresses ---- */

struct seen {
    size_t n;
    char address[100], note[100];
    int64_t made_ms;
};

static bool see(void *user, const struct mask *m)
{
    struct seen *x = user;
    x->n++;
    str_toc(m->address, x->address, sizeof x->address);
    str_toc(m->note, x->note, sizeof x->note);
    x->made_ms = m->made_ms;
    return true;
}

static size_t listed(uint64_t account, struct seen *x)
{
    *x = (struct seen){0};
    assert_int_equal(mask_list(s, account, see, x), STORE_OK);
    return x->n;
}

static void masks(void **state)
{
    (void)state;
    struct seen x;
    struct directory_entry e;
    str_t address, local;
    assert_int_equal(mask_add(&fe.env, STR("Anna@us.test"), STR("a shop"), &a, &address, &err),
                     RC_OK);
    assert_int_equal(listed(0, &x), 1);
    assert_string_equal(x.note, "a shop");
    assert_int_equal(x.made_ms, fe.wall);
    assert_true(str_eq(address, str_c(x.address)));
    assert_true(str_cut(&address, '@', &local));
    assert_int_equal(directory_lookup(s, local, STR("us.test"), '+', &a, &e), STORE_OK);
    assert_true(e.kind == DIRECTORY_ALIAS && e.ntargets == 1 &&
                str_eq(e.targets[0], STR("anna@us.test")));
    assert_int_equal(listed(1, &x), 1);
    assert_int_equal(listed(2, &x), 0);
    refused(mask_add(&fe.env, STR("bert@us.test"), STR_NONE, &a, &address, &err), "no account");
    refused(mask_add(&fe.env, STR("anna@us.test"), STR("two\nlines"), &a, &address, &err), "line");
    refused(mask_remove(s, STR("anna@us.test"), &err), "no mask ");
    str_t other = STR("anna@us.test");
    assert_int_equal(directory_alias_set(s, STR("plain@us.test"), &other, 1, &err), RC_OK);
    refused(mask_remove(s, STR("plain@us.test"), &err), "no mask ");
    listed(0, &x);
    assert_int_equal(mask_remove(s, str_c(x.address), &err), RC_OK);
    assert_int_equal(directory_lookup(s, local, STR("us.test"), '+', &a, &e), STORE_OK);
    assert_int_equal(e.kind, DIRECTORY_NONE);
    assert_int_equal(listed(0, &x), 0);
}

static size_t keys(const char *prefix)
{
    struct store_page p;
    struct store_scan q = {.part = DIRECTORY_PART,
                           .from = str_c(prefix),
                           .end = store_prefix_end(&a, str_c(prefix)),
                           .keys_only = true};
    assert_int_equal(store_scan(s, &q, &a, &p), STORE_OK);
    return p.n;
}

/* With the account its masks go; a mask that became something else is no mask any more. */
static void masks_go_along(void **state)
{
    (void)state;
    struct seen x;
    str_t address, target = STR("x@far.test");
    for (int i = 0; i < MASKS_MAX; i++)
        assert_int_equal(mask_add(&fe.env, STR("anna@us.test"), STR_NONE, &a, &address, &err),
                         RC_OK);
    refused(mask_add(&fe.env, STR("anna@us.test"), STR_NONE, &a, &target, &err), "already");
    target = STR("x@far.test");
    assert_int_equal(directory_alias_set(s, address, &target, 1, &err), RC_OK);
    assert_int_equal(listed(0, &x), MASKS_MAX - 1);
    assert_int_equal(directory_alias_remove(s, str_c(x.address), &err), RC_OK);
    assert_int_equal(listed(0, &x), MASKS_MAX - 2);
    assert_int_equal(directory_account_remove(s, STR("anna@us.test"), &err), RC_OK);
    assert_int_equal(listed(0, &x), 0);
    assert_int_equal(keys("addr/"), 1); /* that one */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(members), T(wrong), T(how_it_is_sent),
                                       T(verp),    T(masks), T(masks_go_along)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
