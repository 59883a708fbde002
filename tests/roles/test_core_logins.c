/* test_core_logins.c: logins at a live core: every proof, what they cost, who is refused before they
 * cost anything, and what is left of a password that was taken away.
 *
 * How often something is hashed is counted here; how dear one hash is, is test_core_password's: this
 * program is linked with cheap ones. */
#include <pthread.h>
#include <stdio.h>

#include "base/digest.h"
#include "post/directory_row.h"
#include "proto/sasl/scram_keys.h"
#include "roles/core/budgets.h"
#include "roles/core/delays.h"
#include "roles/core/known.h"
#include "roles/core/password.h"
#include "roles/core_fixture.h"

#define ME      17u
#define OTHER   18u
#define SECRETS ((part_t){PART_SECRET, 0})

/* In place of password_cost.c. As many iterations as RFC 7677 4 has at least: a client checks that. */
const struct password_cost password_cost = {
    .memory_kib = 64, .passes = 1, .lanes = 1, .iterations = 4096};

static struct {
    struct core_fixture core;
    struct settings settings;
    struct store *admin, *user;
    struct store_login_answer answer;
    struct err err;
} t;

/* An account as the directory has it. */
static void add_account(const char *name, uint64_t id, const char *password)
{
    struct arena a;
    struct buf b;
    arena_init(&a, 4096);
    buf_init(&b, 512);
    directory_account_encode(str_c(name), &b);
    core_put(&t.core, (part_t){PART_DIRECTORY, 0}, directory_key_account(id, &a), buf_str(&b));
    buf_free(&b);
    arena_free(&a);
    core_add_account(&t.core, t.admin, name, id, password);
}

static int up(uint32_t cache_s)
{
    core_up(&t.core);
    t.settings = (struct settings){.auth_cache_s = cache_s, .n_relay_networks = 1};
    assert_true(netaddr_parse_net(STR("198.51.100.0/24"), &t.settings.relay_networks[0]));
    core_server_settings(t.core.cs, &t.settings);
    t.admin = core_store(&t.core, permissions_of(ROLE_COUNT));
    t.user = core_store(&t.core, permissions_of(ROLE_USER));
    add_account("me@example.org", ME, "right");
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return up(0);
}

static int setup_cache(void **state)
{
    (void)state;
    return up(120);
}

static int teardown(void **state)
{
    (void)state;
    store_close(t.user);
    store_close(t.admin);
    core_down(&t.core);
    return 0;
}

/* ---- asking ---- */

static struct store_login by_password(const char *from, const char *name, const char *password)
{
    struct store_login l = {
        .use = STORE_USE_SEND, .name = str_c(name), .password = str_c(password)};
    if (from != NULL)
        assert_true(netaddr_parse(str_c(from), &l.from));
    return l;
}

static enum rc ask(const struct store_login *l)
{
    enum rc rc = store_remote_login(t.user, l, &t.answer, &t.err);
    if (t.answer.session != NULL)
        store_close(t.answer.session);
    assert_true((rc == RC_OK) == (t.answer.session != NULL));
    return rc;
}

static enum rc try(const char *from, const char *name, const char *password)
{
    struct store_login l = by_password(from, name, password);
    return ask(&l);
}

static enum rc try_to_read(const char *name, const char *password)
{
    struct store_login l = by_password(NULL, name, password);
    l.use = STORE_USE_READ;
    return ask(&l);
}

static enum rc try_scram(const char *name, const char *password, unsigned bits)
{
    enum digest d = bits == 256 ? DIGEST_SHA256 : DIGEST_SHA1;
    uint8_t salt[16], proof[32], signature[32];
    uint32_t iterations;
    struct scram_keys keys;
    assert_int_equal(store_remote_scram(t.user, str_c(name), salt, &iterations, &t.err), RC_OK);
    assert_true(iterations >= 4096); /* RFC 7677 4 */
    assert_true(scram_derive(d, str_c(password), str_of(salt, 16), iterations, &keys));
    assert_true(scram_proof(d, &keys, STR("n=,r=,..."), proof));
    struct store_login l = {.use = STORE_USE_SEND,
                            .proof = STORE_PROOF_SCRAM,
                            .name = str_c(name),
                            .hash_bits = bits,
                            .auth_message = STR("n=,r=,..."),
                            .client_proof = str_of(proof, digest_size(d))};
    enum rc rc = ask(&l);
    if (rc == RC_OK) { /* and core has proved that it knows the password */
        assert_true(scram_signature(d, keys.server, STR("n=,r=,..."), signature));
        assert_int_equal(t.answer.signature_len, digest_size(d));
        assert_memory_equal(t.answer.signature, signature, digest_size(d));
    }
    return rc;
}

static uint64_t hashes(void)
{
    return password_work_done().argon2;
}

/* Notes are written after the answer: waits for a row of PART_SECRET to come (or change). */
static bool row_exists(str_t prefix, bool wanted)
{
    for (int i = 0; i < 5000; i++) {
        struct arena a;
        struct store_page page;
        arena_init(&a, 1 << 20);
        struct store_scan q = {.part = SECRETS,
                               .from = prefix,
                               .end = store_prefix_end(&a, prefix),
                               .keys_only = true};
        assert_int_equal(store_scan(t.core.engine, &q, &a, &page), STORE_OK);
        bool there = page.n > 0;
        arena_free(&a);
        if (there == wanted)
            return true;
        usleep(1000);
    }
    return false;
}

/* ---- what a login costs, and says ---- */

static void all_failures_cost_and_say_the_same(void **state)
{
    (void)state;
    const struct {
        const char *name, *password;
        enum rc rc;
    } tries[] = {
        {"nobody@example.org", "right", RC_PERM}, {"me@example.org", "wrong", RC_PERM},
        {"me@example.org", "", RC_PERM},          {"me@example.org", "app-read", RC_PERM},
        {"locked@example.org", "right", RC_PERM}, {"", "", RC_PERM},
        {"me@example.org", "right", RC_OK},       {"me@example.org", "app-send", RC_OK},
    };
    add_account("locked@example.org", OTHER, "right");
    assert_int_equal(store_remote_set_password(t.admin, OTHER, STR_NONE, &t.err), RC_OK);
    assert_int_equal(store_remote_add_password(t.admin, ME, STR("reader"), STORE_USE_READ,
                                               STR("app-read"), &t.err),
                     RC_OK);
    assert_int_equal(store_remote_add_password(t.admin, ME, STR("sender"), STORE_USE_SEND,
                                               STR("app-send"), &t.err),
                     RC_OK);
    char words[sizeof t.err.text] = "";
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        uint64_t before = hashes();
        assert_int_equal(try(NULL, tries[i].name, tries[i].password), tries[i].rc);
        assert_int_equal(hashes(), before + 1);
        if (tries[i].rc == RC_OK)
            continue;
        if (words[0] == '\0')
            memcpy(words, t.err.text, sizeof words);
        assert_string_equal(t.err.text, words);
        assert_string_equal(t.err.status, "5.7.8");
    }
    assert_string_equal(t.answer.password_name, "sender");
    assert_string_equal(t.answer.address, "me@example.org");
    assert_int_equal(try_to_read("me@example.org", "app-read"), RC_OK);
    assert_int_equal(try_to_read("me@example.org", "app-send"), RC_PERM);
    /* a SCRAM proof: no argon2id, and the same work whoever it is */
    struct password_work w = password_work_done();
    assert_int_equal(try_scram("me@example.org", "app-send", 256), RC_OK);
    uint64_t work = password_work_done().scram - w.scram;
    const char *others[] = {"nobody@example.org", "locked@example.org", "me@example.org"};
    for (int i = 0; i < 3; i++) {
        w = password_work_done();
        assert_int_equal(try_scram(others[i], "wrong", 256), RC_PERM);
        assert_int_equal(password_work_done().scram - w.scram, work);
        assert_int_equal(password_work_done().argon2, w.argon2);
    }
}

/* ---- SCRAM ---- */

static void scram_serves_every_password(void **state)
{
    (void)state;
    assert_int_equal(
        store_remote_add_password(t.admin, ME, STR("phone"), STORE_USE_SEND, STR("other"), &t.err),
        RC_OK);
    const unsigned bits[] = {1, 256};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_scram("Me@Example.org", "right", bits[i]), RC_OK);
        assert_string_equal(t.answer.password_name, "main");
        assert_int_equal(try_scram("me@example.org", "other", bits[i]), RC_OK);
        assert_string_equal(t.answer.password_name, "phone");
        assert_int_equal(try_scram("me@example.org", "right!", bits[i]), RC_PERM);
        assert_int_equal(t.answer.signature_len, 0);
    }
}

static void salts_tell_nothing(void **state)
{
    (void)state;
    uint8_t a[16], b[16], c[16], before[16], after[16];
    uint32_t n, m;
    assert_int_equal(store_remote_scram(t.user, STR("no@example.org"), a, &n, &t.err), RC_OK);
    assert_int_equal(store_remote_scram(t.user, STR("NO@example.org"), b, &m, &t.err), RC_OK);
    assert_memory_equal(a, b, 16); /* it stays the same */
    assert_int_equal(n, m);
    assert_int_equal(store_remote_scram(t.user, STR("no2@example.org"), c, &m, &t.err), RC_OK);
    assert_memory_not_equal(a, c, 16);
    assert_int_equal(store_remote_scram(t.user, STR("me@example.org"), c, &m, &t.err), RC_OK);
    assert_int_equal(n, m);
    /* also when the name comes to exist, changes its password, is locked */
    assert_int_equal(store_remote_scram(t.user, STR("new@example.org"), before, &n, &t.err), RC_OK);
    add_account("new@example.org", OTHER, "first");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_remote_scram(t.user, STR("new@example.org"), after, &n, &t.err),
                         RC_OK);
        assert_memory_equal(before, after, 16);
        assert_int_equal(
            store_remote_set_password(t.admin, OTHER, i == 0 ? STR("second") : STR_NONE, &t.err),
            RC_OK);
    }
}

/* A record of version 1, as earlier servers wrote them. */
static void put_version_1_of(uint64_t account, const char *password)
{
    struct password_record r;
    struct password p;
    struct buf b;
    char key[] = "pw/\0\0\0\0\0\0\0";
    key[10] = (char)account;
    password_init(&r, &t.core.env, (const uint8_t *)"0123456789abcdef");
    assert_int_equal(password_make(&r, str_c(password), &p), RC_OK);
    buf_init(&b, 128);
    buf_u8(&b, 1);
    buf_u32(&b, r.memory_kib);
    buf_u32(&b, r.passes);
    buf_u8(&b, (uint8_t)r.lanes);
    buf_add(&b, str_of(r.salt, PASSWORD_SALT));
    buf_add(&b, str_of(p.hash, PASSWORD_HASH));
    core_put(&t.core, SECRETS, str_of(key, 11), buf_str(&b));
    buf_free(&b);
}

static void put_version_1(const char *password)
{
    put_version_1_of(ME, password);
}

/* It has SCRAM keys now, which are made after the answer. */
static bool grown(const char *password)
{
    for (int i = 0; i < 5000; i++) {
        if (try_scram("me@example.org", password, 256) == RC_OK)
            return true;
        usleep(1000);
    }
    return false;
}

static void a_record_of_version_1_grows_at_a_login(void **state)
{
    (void)state;
    put_version_1("old");
    assert_int_equal(try_scram("me@example.org", "old", 256), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_OK);
    assert_true(grown("old"));
    assert_int_equal(try_scram("me@example.org", "old", 1), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_OK);
}

/* Keys of one password are made with the salt that those of the other will have. */
static void a_record_of_version_1_takes_another_password(void **state)
{
    (void)state;
    put_version_1("old");
    assert_int_equal(
        store_remote_add_password(t.admin, ME, STR("phone"), STORE_USE_SEND, STR("other"), &t.err),
        RC_OK);
    assert_int_equal(try_scram("me@example.org", "other", 256), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_OK);
    assert_true(grown("old"));
    assert_int_equal(try_scram("me@example.org", "other", 1), RC_OK);
}

/* ---- passwords come and go ---- */

static void passwords_are_listed_replaced_and_taken_away(void **state)
{
    (void)state;
    struct store_password_info list[STORE_PASSWORDS_MAX];
    size_t n;
    str_t phone = STR("my phone");
    assert_int_equal(
        store_remote_add_password(t.admin, ME, phone, STORE_USE_SEND, STR("one"), &t.err), RC_OK);
    assert_int_equal(
        store_remote_add_password(t.admin, ME, phone, STORE_USES_ALL, STR("two"), &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "one"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "two"), RC_OK);
    for (int i = 0; i < 5000; i++) { /* the day of use is noted after the answer */
        assert_int_equal(store_remote_list_passwords(t.admin, ME, list, &n, &t.err), RC_OK);
        if (list[1].used_ms != 0)
            break;
        usleep(1000);
    }
    assert_int_equal(n, 2);
    assert_string_equal(list[0].name, "main");
    assert_int_equal(list[0].used_ms, 0);
    assert_string_equal(list[1].name, "my phone");
    assert_int_equal(list[1].uses, STORE_USES_ALL);
    assert_true(list[1].made_ms > 0 && list[1].used_ms >= list[1].made_ms);
    assert_int_equal(store_remote_remove_password(t.admin, ME, phone, &t.err), RC_OK);
    assert_int_equal(store_remote_remove_password(t.admin, ME, phone, &t.err), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "two"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_OK);
}

static bool session_lives(struct store *session)
{
    struct arena a;
    bool present;
    str_t value;
    arena_init(&a, 4096);
    enum store_rc rc =
        store_get1(session, (part_t){PART_USER, ME}, STR("f/x"), &a, &present, &value);
    arena_free(&a);
    assert_true(rc == STORE_OK || rc == STORE_DENIED);
    return rc == STORE_OK;
}

/* Whoever has come in by a password is out when it is taken away; nobody else is. */
static void sessions_end_with_what_they_came_by(void **state)
{
    (void)state;
    struct store *mine, *others;
    struct store_login l = by_password(NULL, "me@example.org", "right");
    l.use = STORE_USE_READ;
    add_account("other@example.org", OTHER, "theirs");
    struct store_login o = by_password(NULL, "other@example.org", "theirs");
    o.use = STORE_USE_READ;
    assert_int_equal(store_remote_login(t.user, &o, &t.answer, &t.err), RC_OK);
    others = t.answer.session;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            store_remote_add_password(t.admin, ME, STR("app"), STORE_USES_ALL, STR("app"), &t.err),
            RC_OK);
        assert_int_equal(store_remote_login(t.user, &l, &t.answer, &t.err), RC_OK);
        mine = t.answer.session;
        assert_true(session_lives(mine));
        if (i == 0)
            assert_int_equal(store_remote_set_password(t.admin, ME, STR("right"), &t.err), RC_OK);
        else if (i == 1)
            assert_int_equal(store_remote_remove_password(t.admin, ME, STR("app"), &t.err), RC_OK);
        else
            assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
        assert_false(session_lives(mine));
        store_close(mine);
    }
    part_t theirs = {PART_USER, OTHER};
    struct arena a;
    bool present;
    str_t value;
    arena_init(&a, 4096);
    assert_int_equal(store_get1(others, theirs, STR("f/x"), &a, &present, &value), STORE_OK);
    arena_free(&a);
    store_close(others);
}

static void there_is_always_room_for_the_main_password(void **state)
{
    (void)state;
    struct password_record r;
    struct buf b;
    char key[] = "pw/\0\0\0\0\0\0\0\x11";
    password_init(&r, &t.core.env, (const uint8_t *)"0123456789abcdef");
    for (; r.n < STORE_PASSWORDS_MAX - 2; r.n++) {
        r.entries[r.n] = (struct password){.uses = STORE_USE_SEND};
        snprintf(r.entries[r.n].name, sizeof r.entries[r.n].name, "app %zu", r.n);
    }
    buf_init(&b, PASSWORD_RECORD_MAX);
    assert_true(password_encode(&r, &b));
    core_put(&t.core, SECRETS, str_of(key, 11), buf_str(&b));
    buf_free(&b);
    const enum rc expected[] = {RC_OK, RC_PERM};
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_remote_add_password(t.admin, ME, i == 0 ? STR("one") : STR("two"),
                                                   STORE_USE_SEND, STR("x"), &t.err),
                         expected[i]);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR("again"), &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "again"), RC_OK);
}

static void a_locked_account_keeps_its_passwords_for_later(void **state)
{
    (void)state;
    assert_int_equal(
        store_remote_add_password(t.admin, ME, STR("phone"), STORE_USE_SEND, STR("app"), &t.err),
        RC_OK);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "app"), RC_PERM);
    assert_int_equal(try_scram("me@example.org", "app", 256), RC_PERM);
    assert_int_equal(store_remote_add_password(t.admin, ME, STR("back door"), STORE_USE_SEND,
                                               STR("app2"), &t.err),
                     RC_PERM);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR("new"), &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "new"), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "app"), RC_OK);
}

static void a_removed_account_leaves_nothing(void **state)
{
    (void)state;
    const uint8_t mine[32] = "mine", theirs[32] = "theirs";
    struct arena a;
    struct store_batch b;
    add_account("other@example.org", OTHER, "x");
    assert_int_equal(store_remote_certificate(t.admin, ME, mine, false, &t.err), RC_OK);
    assert_int_equal(store_remote_certificate(t.admin, OTHER, theirs, false, &t.err), RC_OK);
    assert_int_equal(try("192.0.2.1", "me@example.org", "right"), RC_OK);
    assert_true(row_exists(STR("known/"), true));
    arena_init(&a, 4096);
    store_batch_init(&b, (part_t){PART_DIRECTORY, 0}, &a);
    store_delete(&b, directory_key_account(ME, &a));
    store_delete(&b, STR("login/me@example.org"));
    assert_int_equal(store_commit(t.core.engine, &b), STORE_OK);
    arena_free(&a);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
    assert_true(row_exists(STR("pw/\0\0\0\0\0\0\0\x11"), false));
    assert_true(row_exists(STR("known/"), false));
    assert_true(row_exists(STR("cert/mine"), false));
    assert_true(row_exists(STR("cert/theirs"), true));
}

/* ---- the cache ---- */

static void a_password_is_hashed_once_in_a_while(void **state)
{
    (void)state;
    struct core_login_counts c;
    assert_int_equal(try("192.0.2.1", "me@example.org", "right"), RC_OK);
    uint64_t before = hashes();
    for (int i = 0; i < 20; i++)
        assert_int_equal(try("192.0.2.1", "ME@example.org", "right"), RC_OK);
    assert_int_equal(try_to_read("me@example.org", "right"), RC_OK); /* from elsewhere too */
    assert_int_equal(hashes(), before);
    core_server_login_counts(t.core.cs, &c);
    assert_int_equal(c.cache_hits, 21);
    assert_int_equal(c.cache_misses, 1);
    assert_int_equal(c.logins, 22);
    /* a wrong one is wrong again at no cost, and is held back as ever */
    assert_int_equal(try("192.0.2.1", "me@example.org", "wrong"), RC_PERM);
    assert_int_equal(t.answer.hold_ms, DELAYS_FIRST_MS);
    before = hashes();
    for (int i = 0; i < 3 * BUDGETS_KNOWN_BURST; i++)
        assert_int_equal(try("192.0.2.1", "me@example.org", "wrong"), RC_PERM);
    assert_int_equal(t.answer.hold_ms, DELAYS_MOST_MS);
    assert_int_equal(hashes(), before);
    assert_int_equal(try("192.0.2.1", "me@example.org", "right"), RC_OK);
}

static void a_change_of_passwords_is_seen_at_once(void **state)
{
    (void)state;
    assert_int_equal(
        store_remote_add_password(t.admin, ME, STR("phone"), STORE_USE_SEND, STR("app"), &t.err),
        RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "app"), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "app"), RC_OK);
    assert_int_equal(try_to_read("me@example.org", "app"), RC_PERM); /* not for this use */
    assert_int_equal(try(NULL, "me@example.org", "later"), RC_PERM);
    assert_int_equal(store_remote_remove_password(t.admin, ME, STR("phone"), &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "app"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_OK);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR("later"), &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "right"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "later"), RC_OK);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "later"), RC_PERM);
}

/* A record of version 1 has no generation of its own: what was verified against one of them is good for
 * that record alone. Two are put where the name's record is, one after the other, as when a name goes
 * over to another account. */
static void records_of_version_1_are_not_taken_for_each_other(void **state)
{
    (void)state;
    uint64_t before;
    put_version_1("old");
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_OK);
    assert_int_equal(try(NULL, "me@example.org", "new"), RC_PERM);
    assert_true(grown("old"));
    put_version_1("old"); /* with another salt */
    before = hashes();
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_OK);
    assert_int_equal(hashes(), before + 1);
    assert_true(grown("old"));
    put_version_1("new");
    assert_int_equal(try(NULL, "me@example.org", "old"), RC_PERM);
    assert_int_equal(try(NULL, "me@example.org", "new"), RC_OK);
}

/* Wrong ones cost once, whether there is such a name or not: else the second try would tell. */
static void a_wrong_password_costs_once_for_every_name(void **state)
{
    (void)state;
    const char *names[] = {"me@example.org", "nobody@example.org", "old@example.org"};
    add_account("old@example.org", OTHER, "x");
    put_version_1_of(OTHER, "old");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t before = hashes();
        for (int k = 0; k < 3; k++)
            assert_int_equal(try("192.0.2.1", names[i], "wrong"), RC_PERM);
        assert_int_equal(hashes(), before + 1);
    }
    /* and nothing of it is left when there is one */
    add_account("nobody@example.org", 19, "wrong");
    assert_int_equal(try("192.0.2.1", "nobody@example.org", "wrong"), RC_OK);
}

/* ---- budgets ---- */

static void guesses_run_out_before_they_are_hashed(void **state)
{
    (void)state;
    char guess[32];
    assert_int_equal(try("192.0.2.77", "me@example.org", "right"), RC_OK);
    assert_true(row_exists(STR("known/"), true));
    uint64_t before = hashes();
    for (int i = 0; i < BUDGETS_ADDRESS_BURST; i++) {
        snprintf(guess, sizeof guess, "guess %d", i);
        assert_int_equal(try("203.0.113.1", "nobody@example.org", guess), RC_PERM);
        assert_true(t.answer.hold_ms >= DELAYS_FIRST_MS);
    }
    assert_int_equal(hashes(), before + BUDGETS_ADDRESS_BURST);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(try("203.0.113.1", "me@example.org", "right"), RC_TEMP);
        assert_int_equal(t.answer.hold_ms, DELAYS_MOST_MS);
    }
    assert_int_equal(hashes(), before + BUDGETS_ADDRESS_BURST);
    /* others, and the owner where they are known */
    assert_int_equal(try("203.0.113.2", "me@example.org", "right"), RC_OK);
    assert_int_equal(try("192.0.2.78", "me@example.org", "right"), RC_OK);
    /* a network the operator trusts is held back and never refused */
    for (int i = 0; i <= BUDGETS_ADDRESS_BURST; i++)
        assert_int_equal(try("198.51.100.9", "nobody@example.org", "x"), RC_PERM);
    assert_int_equal(t.answer.hold_ms, DELAYS_MOST_MS);
    assert_int_equal(try("127.0.0.1", "nobody@example.org", "x"), RC_PERM);
    assert_int_equal(t.answer.hold_ms, 0);
}

/* Whether this address has come to be noted for the account, which is after the answer. */
static bool is_noted(const char *from)
{
    struct netaddr a;
    char key[8 + 6 + BUDGETS_NETWORK_MAX] = "known/\0\0\0\0\0\0\0\x11",
                     network[BUDGETS_NETWORK_MAX];
    assert_true(netaddr_parse(str_c(from), &a));
    str_t net = budgets_network(&a, network);
    memcpy(key + 14, net.ptr, net.len);
    for (int i = 0; i < 5000; i++) {
        struct arena arena;
        bool present;
        str_t row;
        arena_init(&arena, 4096);
        assert_int_equal(
            store_get1(t.core.engine, SECRETS, str_of(key, 14 + net.len), &arena, &present, &row),
            STORE_OK);
        uint32_t today = (uint32_t)(t.core.env.wall_ms(&t.core.env) / (24 * 3600 * 1000));
        enum budgets_place place = known_place(present ? row : STR_NONE, &a, today);
        arena_free(&arena);
        if (place == BUDGETS_ADDRESS_KNOWN)
            return true;
        usleep(1000);
    }
    return false;
}

/* Guesses from fresh addresses of a network that the account knows; how many of them are hashed. */
static int guess_nearby(const char *net, int first, int last)
{
    uint64_t before = hashes();
    for (int i = first; i <= last; i++)
        for (int k = 0; k < 3; k++) {
            char from[32], guess[32];
            snprintf(from, sizeof from, "%s%d", net, i);
            snprintf(guess, sizeof guess, "guess %d of %d", k, i);
            assert_true(try(from, "me@example.org", guess) != RC_OK);
        }
    return (int)(hashes() - before);
}

static void a_known_network_has_the_guesses_of_one(void **state)
{
    (void)state;
    assert_int_equal(try("192.0.2.77", "me@example.org", "right"), RC_OK);
    assert_true(is_noted("192.0.2.77"));
    assert_int_equal(guess_nearby("192.0.2.", 100, 180), BUDGETS_NETWORK_BURST);
    /* the right one too, from where it never came from: nothing is hashed for it */
    uint64_t before = hashes();
    assert_int_equal(try("192.0.2.200", "me@example.org", "right"), RC_TEMP);
    assert_int_equal(hashes(), before);
    assert_int_equal(try("192.0.2.200", "nobody@example.org", "right"), RC_TEMP);
    assert_int_equal(hashes(), before);
    /* at home, where others of this house have guessed as well */
    assert_int_equal(try("192.0.2.77", "me@example.org", "mistyped"), RC_PERM);
    assert_int_equal(try("192.0.2.77", "me@example.org", "right"), RC_OK);
    /* and elsewhere */
    assert_int_equal(try("192.0.3.1", "me@example.org", "right"), RC_OK);
}

/* A second place in a network that is known already is noted on the same day. */
static void each_address_of_a_network_is_noted(void **state)
{
    (void)state;
    const char *homes[] = {"192.0.2.77", "192.0.2.78", "2001:db8:0:101::1", "2001:db8:0:102::1"};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        assert_int_equal(try(homes[i], "me@example.org", "right"), RC_OK);
        assert_true(is_noted(homes[i]));
    }
    (void)guess_nearby("192.0.2.", 100, 180);
    assert_int_equal(try("192.0.2.79", "me@example.org", "right"), RC_TEMP);
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        assert_int_equal(try(homes[i], "me@example.org", "right"), RC_OK);
}

/* Proxies and we ourselves are everybody: never refused, however much fails there. */
static void who_is_everybody_is_never_refused(void **state)
{
    (void)state;
    assert_true(netaddr_parse_net(STR("203.0.113.0/28"), &t.settings.proxy_networks[0]));
    assert_true(netaddr_parse_net(STR("203.0.113.16/28"), &t.settings.xclient_networks[0]));
    assert_true(netaddr_parse_port(STR("203.0.113.32:587"), &t.settings.listen_submission[0]));
    assert_true(netaddr_parse_port(STR("203.0.113.33:24"), &t.settings.listen_lmtp[0]));
    t.settings.n_proxy_networks = t.settings.n_xclient_networks = 1;
    t.settings.n_listen_submission = t.settings.n_listen_lmtp = 1;
    core_server_settings(t.core.cs, &t.settings);
    const struct {
        const char *from;
        enum rc rc;
    } who[] = {{"203.0.113.5", RC_PERM},  {"203.0.113.20", RC_PERM}, {"203.0.113.32", RC_PERM},
               {"203.0.113.33", RC_PERM}, {"198.51.100.9", RC_PERM}, {"127.0.0.2", RC_PERM},
               {"::1", RC_PERM},          {"192.0.2.34", RC_TEMP}};
    for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
        for (int k = 0; k < BUDGETS_ADDRESS_BURST; k++)
            assert_int_equal(try(who[i].from, "nobody@example.org", "x"), RC_PERM);
        assert_int_equal(try(who[i].from, "me@example.org", "x"), who[i].rc);
        assert_int_equal(try(who[i].from, "me@example.org", "right"),
                         who[i].rc == RC_PERM ? RC_OK : RC_TEMP);
    }
}

/* Names that do not exist have the same budgets as others, and the same words. */
static void budgets_tell_nobody_apart(void **state)
{
    (void)state;
    const char *names[] = {"me@example.org", "nobody@example.org"};
    int got[2] = {0};
    char words[sizeof t.err.text];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < BUDGETS_NAME_BURST + 10; i++) { /* of a botnet */
            char from[32];
            snprintf(from, sizeof from, "10.%d.%d.1", k, i);
            got[k] += try(from, names[k], "x") == RC_PERM;
        }
        assert_int_equal(t.answer.hold_ms, DELAYS_MOST_MS);
        if (k == 0)
            memcpy(words, t.err.text, sizeof words);
        assert_string_equal(t.err.text, words);
    }
    assert_int_equal(got[0], BUDGETS_NAME_BURST);
    assert_int_equal(got[1], BUDGETS_NAME_BURST);
}

static void success_costs_no_budget(void **state)
{
    (void)state;
    assert_int_equal(try("203.0.113.1", "me@example.org", "right"), RC_OK);
    for (int i = 0; i < BUDGETS_KNOWN_BURST + 5; i++)
        assert_int_equal(try("203.0.113.1", "me@example.org", "right"), RC_OK);
}

/* ---- certificates, tokens ---- */

static enum rc try_certificate(const uint8_t sha256[32], const char *name)
{
    struct store_login l = {.use = STORE_USE_SEND,
                            .proof = STORE_PROOF_CERTIFICATE,
                            .name = str_c(name),
                            .cert_sha256 = str_of(sha256, 32)};
    return ask(&l);
}

static void a_certificate_is_its_account(void **state)
{
    (void)state;
    const uint8_t cert[32] = "certificate", unknown[32] = "another";
    add_account("other@example.org", OTHER, "x");
    assert_int_equal(try_certificate(cert, ""), RC_PERM);
    assert_int_equal(store_remote_certificate(t.admin, ME, cert, false, &t.err), RC_OK);
    assert_int_equal(store_remote_certificate(t.admin, ME, cert, false, &t.err), RC_OK);
    assert_int_equal(store_remote_certificate(t.admin, OTHER, cert, false, &t.err), RC_PERM);
    assert_int_equal(store_remote_certificate(t.admin, OTHER, cert, true, &t.err), RC_PERM);
    assert_int_equal(try_certificate(cert, ""), RC_OK);
    assert_int_equal(t.answer.account, ME);
    assert_string_equal(t.answer.address, "me@example.org");
    assert_int_equal(try_certificate(cert, "Me@example.org"), RC_OK);
    assert_int_equal(try_certificate(cert, "other@example.org"), RC_PERM);
    assert_int_equal(try_certificate(cert, "nobody@example.org"), RC_PERM);
    assert_int_equal(try_certificate(unknown, "me@example.org"), RC_PERM);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
    assert_int_equal(try_certificate(cert, ""), RC_PERM);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR("x"), &t.err), RC_OK);
    assert_int_equal(try_certificate(cert, ""), RC_OK);
    assert_int_equal(store_remote_certificate(t.admin, ME, cert, true, &t.err), RC_OK);
    assert_int_equal(store_remote_certificate(t.admin, ME, cert, true, &t.err), RC_PERM);
    assert_int_equal(try_certificate(cert, ""), RC_PERM);
}

static enum rc try_token(const char *name, const char *token)
{
    struct store_login l = {.use = STORE_USE_SEND,
                            .proof = STORE_PROOF_TOKEN,
                            .name = str_c(name),
                            .password = str_c(token)};
    return ask(&l);
}

/* Answers on a thread of its own, later, as somebody does who asks a server far away. */
struct ticket {
    void *ticket;
    enum rc rc;
    char name[64];
};

static void *answer_later(void *arg)
{
    struct ticket *k = arg;
    usleep(20000);
    core_token_done(k->ticket, k->rc, str_c(k->name));
    free(k);
    return NULL;
}

static void check_token(void *user, const struct core_token *what, void *ticket)
{
    struct ticket *k = calloc(1, sizeof *k);
    pthread_t thread;
    (void)user;
    k->ticket = ticket;
    k->rc = str_starts(what->token, STR("for ")) ? RC_OK
            : str_eq(what->token, STR("later"))  ? RC_TEMP
                                                 : RC_PERM;
    str_t name = k->rc == RC_OK ? str_from(what->token, 4) : STR_NONE;
    memcpy(k->name, name.len > 0 ? name.ptr : "", name.len);
    assert_int_equal(pthread_create(&thread, NULL, answer_later, k), 0);
    pthread_detach(thread);
}

static void tokens_are_somebody_elses_matter(void **state)
{
    (void)state;
    assert_int_equal(try_token("me@example.org", "for me@example.org"), RC_PERM);
    core_server_token_check(t.core.cs, check_token, NULL);
    assert_int_equal(try_token("me@example.org", "for me@example.org"), RC_OK);
    assert_string_equal(t.answer.password_name, "token");
    assert_int_equal(try_token("", "for Me@example.org"), RC_OK);
    assert_int_equal(t.answer.account, ME);
    assert_int_equal(try_token("", "for nobody@example.org"), RC_PERM);
    assert_int_equal(try_token("", "for "), RC_PERM);
    assert_int_equal(try_token("nobody@example.org", "for me@example.org"), RC_PERM);
    assert_int_equal(try_token("me@example.org", "bad"), RC_PERM);
    assert_int_equal(try_token("me@example.org", "later"), RC_TEMP);
    assert_int_equal(store_remote_set_password(t.admin, ME, STR_NONE, &t.err), RC_OK);
    assert_int_equal(try_token("me@example.org", "for me@example.org"), RC_PERM);
}

int main(void)
{
#define CASE(f)   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CACHED(f) cmocka_unit_test_setup_teardown(f, setup_cache, teardown)
    const struct CMUnitTest tests[] = {
        CASE(all_failures_cost_and_say_the_same),
        CASE(scram_serves_every_password),
        CASE(salts_tell_nothing),
        CASE(a_record_of_version_1_grows_at_a_login),
        CASE(a_record_of_version_1_takes_another_password),
        CASE(passwords_are_listed_replaced_and_taken_away),
        CASE(sessions_end_with_what_they_came_by),
        CASE(there_is_always_room_for_the_main_password),
        CASE(a_locked_account_keeps_its_passwords_for_later),
        CASE(a_removed_account_leaves_nothing),
        CACHED(a_password_is_hashed_once_in_a_while),
        CACHED(a_change_of_passwords_is_seen_at_once),
        CACHED(records_of_version_1_are_not_taken_for_each_other),
        CACHED(a_wrong_password_costs_once_for_every_name),
        CASE(guesses_run_out_before_they_are_hashed),
        CASE(a_known_network_has_the_guesses_of_one),
        CASE(each_address_of_a_network_is_noted),
        CASE(who_is_everybody_is_never_refused),
        CASE(budgets_tell_nobody_apart),
        CASE(success_costs_no_budget),
        CASE(a_certificate_is_its_account),
        CASE(tokens_are_somebody_elses_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
