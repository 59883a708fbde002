/* test_core_password.c: password records, what is verified for a while, budgets, and how long the
 * answer to a wrong password is held back. */
#include <stdio.h>

#include "proto/sasl/scram_keys.h"
#include "roles/core/budgets.h"
#include "roles/core/delays.h"
#include "roles/core/known.h"
#include "roles/core/password.h"
#include "roles/core/verified.h"
#include "roles/core_fixture.h"

/* ---- records ---- */

static const uint8_t salt[STORE_SCRAM_SALT] = "0123456789abcde";

static void add(struct password_record *r, const char *name, unsigned uses, const char *password)
{
    struct password *p = &r->entries[r->n++];
    *p = (struct password){.uses = uses, .made_day = 20000};
    strcpy(p->name, name);
    assert_int_equal(password_make(r, str_c(password), p), RC_OK);
}

static struct env env_of(void)
{
    struct env env;
    sys_env_init(&env);
    return env;
}

static int check(const struct password_record *r, str_t password, enum store_use use)
{
    int which;
    enum rc rc = password_check(r, password, use, &which);
    assert_true(rc == RC_OK || (rc == RC_PERM && which == -1));
    return which;
}

static void each_password_is_found_and_no_other(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r;
    password_init(&r, &env, salt);
    add(&r, "main", STORE_USES_ALL, "right");
    add(&r, "phone", STORE_USE_SEND, "other");
    add(&r, "phone twin", STORE_USE_READ, "other");
    struct password_work before = password_work_done();
    assert_int_equal(check(&r, STR("right"), STORE_USE_READ), 0);
    assert_int_equal(password_work_done().argon2, before.argon2 + 1);
    /* of two that are the same, the one that may */
    assert_int_equal(check(&r, STR("other"), STORE_USE_SEND), 1);
    assert_int_equal(check(&r, STR("other"), STORE_USE_READ), 2);
    assert_int_equal(check(&r, STR("Right"), STORE_USE_READ), -1);
    assert_int_equal(check(&r, STR("right\0"), STORE_USE_READ), -1);
    assert_int_equal(check(&r, STR_NONE, STORE_USE_READ), -1);
    assert_int_equal(password_work_done().argon2, before.argon2 + 6);
    /* the last byte counts, and so does the number of entries */
    r.entries[0].hash[PASSWORD_HASH - 1] ^= 1;
    assert_int_equal(check(&r, STR("right"), STORE_USE_READ), -1);
    r.n = 1;
    assert_int_equal(check(&r, STR("other"), STORE_USE_SEND), -1);
}

/* A client's side of RFC 5802 3, from the password. */
static int scram(const struct password_record *r, unsigned bits, const char *password,
                 const char *about, const char *claimed, uint8_t signature[32])
{
    enum digest d = bits == 256 ? DIGEST_SHA256 : DIGEST_SHA1;
    struct scram_keys keys;
    uint8_t proof[32], expected[32];
    int which;
    assert_true(scram_derive(d, str_c(password), str_of(r->scram_salt, STORE_SCRAM_SALT),
                             r->iterations, &keys));
    assert_true(scram_proof(d, &keys, str_c(about), proof));
    struct store_login l = {.use = STORE_USE_SEND,
                            .proof = STORE_PROOF_SCRAM,
                            .hash_bits = bits,
                            .auth_message = str_c(claimed),
                            .client_proof = str_of(proof, digest_size(d))};
    enum rc rc = password_check_scram(r, &l, &which, signature);
    assert_true(rc == (which >= 0 ? RC_OK : RC_PERM));
    if (rc == RC_OK) {
        assert_true(scram_signature(d, keys.server, str_c(claimed), expected));
        assert_memory_equal(expected, signature, digest_size(d));
    }
    return which;
}

static void scram_finds_the_same(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r, none;
    uint8_t signature[32];
    password_init(&r, &env, salt);
    add(&r, "main", STORE_USES_ALL, "right");
    add(&r, "phone", STORE_USE_SEND, "other");
    const unsigned bits[] = {1, 256};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(scram(&r, bits[i], "right", "m", "m", signature), 0);
        assert_int_equal(scram(&r, bits[i], "other", "m", "m", signature), 1);
        assert_int_equal(scram(&r, bits[i], "wrong", "m", "m", signature), -1);
        assert_int_equal(scram(&r, bits[i], "right", "m", "n", signature), -1);
    }
    /* one without keys, as of version 1: an attacker knows what they are then */
    r.entries[0].scram = false;
    assert_int_equal(scram(&r, 256, "right", "m", "m", signature), -1);
    /* as much work where there is nothing */
    struct password_work before = password_work_done();
    scram(&r, 256, "other", "m", "m", signature);
    uint64_t there = password_work_done().scram - before.scram;
    assert_false(password_decode(STR_NONE, &none));
    before = password_work_done();
    assert_int_equal(scram(&none, 256, "other", "m", "m", signature), -1);
    assert_int_equal(password_work_done().scram - before.scram, there);
}

static str_t encode(const struct password_record *r, struct buf *b)
{
    buf_init(b, PASSWORD_RECORD_MAX);
    assert_true(password_encode(r, b));
    return buf_str(b);
}

static void records_are_kept(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r, again;
    struct buf b, b2;
    password_init(&r, &env, salt);
    add(&r, "main", STORE_USES_ALL, "right");
    r.entries[0].used_day = 20001;
    r.locked = true;
    while (r.n < STORE_PASSWORDS_MAX) { /* the largest there is */
        r.entries[r.n] = r.entries[0];
        memset(r.entries[r.n++].name, 'n', STORE_PASSWORD_NAME_MAX);
    }
    str_t bytes = encode(&r, &b);
    assert_true(password_decode(bytes, &again));
    assert_true(str_eq(encode(&again, &b2), bytes));
    assert_true(again.locked && again.n == STORE_PASSWORDS_MAX);
    assert_int_equal(again.generation, r.generation);
    assert_int_equal(again.entries[0].used_day, 20001);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_false(password_decode(str_first(bytes, len), &again));
        assert_int_equal(again.n, 0);
    }
    b.ptr[11] = (char)0xff; /* asks for more memory than any record of ours */
    assert_false(password_decode(bytes, &again));
    assert_int_equal(again.memory_kib, password_cost.memory_kib);
    assert_int_equal(again.generation, 0);
    buf_free(&b);
    buf_free(&b2);
}

/* What is here is checked with the cost that the server has: OWASP's for argon2id, and at least RFC
 * 7677 4's for SCRAM. */
static void a_password_costs_what_it_must(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r;
    password_init(&r, &env, salt);
    assert_int_equal(r.memory_kib, 19 * 1024);
    assert_int_equal(r.passes, 2);
    assert_int_equal(r.lanes, 1);
    assert_int_equal(r.iterations, 50000);
    assert_false(password_decode(STR_NONE, &r)); /* and so much where there is none */
    assert_int_equal(r.memory_kib, 19 * 1024);
    assert_int_equal(r.passes, 2);
    assert_int_equal(r.lanes, 1);
    assert_int_equal(r.iterations, 50000);
}

static void encode_1(const struct password_record *r, struct buf *b)
{
    buf_init(b, 128);
    buf_u8(b, 1);
    buf_u32(b, r->memory_kib);
    buf_u32(b, r->passes);
    buf_u8(b, (uint8_t)r->lanes);
    buf_add(b, str_of(r->salt, PASSWORD_SALT));
    buf_add(b, str_of(r->entries[0].hash, PASSWORD_HASH));
}

/* What is kept of a login (verified.h) is kept for a generation: two records never share one. */
static void a_record_without_a_generation_gets_one(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r, one, again, other;
    struct buf b;
    password_init(&r, &env, salt);
    r.n = 1;
    encode_1(&r, &b);
    assert_true(password_decode(buf_str(&b), &one));
    assert_true(password_decode(buf_str(&b), &again));
    assert_int_not_equal(one.generation, 0);
    assert_int_equal(one.generation, again.generation);
    b.ptr[b.len - 1] ^= 1; /* another password */
    assert_true(password_decode(buf_str(&b), &other));
    assert_int_not_equal(other.generation, 0);
    assert_int_not_equal(other.generation, one.generation);
    buf_free(&b);
    /* a record of version 2 as it was written with the generation of one of version 1 */
    r.n = 0;
    add(&r, "main", STORE_USES_ALL, "right");
    r.generation = 0;
    assert_true(password_decode(encode(&r, &b), &other));
    assert_int_not_equal(other.generation, 0);
    buf_free(&b);
}

static void version_1_is_read(void **state)
{
    (void)state;
    struct env env = env_of();
    struct password_record r, old;
    struct buf b;
    password_init(&r, &env, salt);
    add(&r, "main", STORE_USES_ALL, "right");
    encode_1(&r, &b);
    assert_true(password_decode(buf_str(&b), &old));
    assert_int_equal(check(&old, STR("right"), STORE_USE_SEND), 0);
    assert_string_equal(old.entries[0].name, "main");
    assert_false(old.entries[0].scram);
    assert_false(password_decode(str_first(buf_str(&b), b.len - 1), &old));
    assert_int_equal(check(&old, STR("right"), STORE_USE_SEND), -1);
    buf_free(&b);
}

/* ---- verified a moment ago ---- */

static void what_was_verified_is_for_a_while(void **state)
{
    (void)state;
    static struct verified v = {.key = "0123456789abcdef0123456789abcde"};
    struct verified_mark m, other;
    int which;
    assert_true(verified_mark(v.key, STR("me"), 7, STR("right"), &m));
    assert_int_equal(verified_find(&v, &m, 0, &which), VERIFIED_UNKNOWN);
    verified_put(&v, &m, 3, 1000);
    assert_int_equal(verified_find(&v, &m, 999, &which), VERIFIED_RIGHT);
    assert_int_equal(which, 3);
    assert_int_equal(verified_find(&v, &m, 1000, &which), VERIFIED_UNKNOWN);
    /* another password, another generation, another account */
    assert_true(verified_mark(v.key, STR("me"), 7, STR("righu"), &other));
    assert_int_equal(verified_find(&v, &other, 0, &which), VERIFIED_UNKNOWN);
    assert_true(verified_mark(v.key, STR("me"), 8, STR("right"), &other));
    assert_int_equal(verified_find(&v, &other, 0, &which), VERIFIED_UNKNOWN);
    assert_true(verified_mark(v.key, STR("mer"), 7, STR("ight"), &other));
    assert_int_equal(verified_find(&v, &other, 0, &which), VERIFIED_UNKNOWN);
    verified_put(&v, &other, -1, 1000);
    assert_int_equal(verified_find(&v, &other, 0, &which), VERIFIED_WRONG);
    assert_int_equal(v.hits, 2);
    assert_int_equal(v.misses, 5);
}

/* ---- budgets ---- */

static struct netaddr addr(const char *text)
{
    struct netaddr a;
    assert_true(netaddr_parse(str_c(text), &a));
    return a;
}

static struct budgets_try by(const char *from, const char *name)
{
    return (struct budgets_try){.from = addr(from), .name = str_c(name)};
}

static int take_all(struct budgets *b, struct budgets_try t, int64_t now, enum budget *which)
{
    int n = 0;
    while (budgets_take(b, &t, now, which))
        n++;
    return n;
}

static void budgets_are_used_up_and_come_back(void **state)
{
    (void)state;
    static struct budgets b;
    enum budget which;
    int64_t t = 1000000;
    b = (struct budgets){.key = "0123456789abcde"};
    assert_int_equal(take_all(&b, by("192.0.2.1", "a"), t, &which), BUDGETS_ADDRESS_BURST);
    assert_int_equal(which, BUDGET_ADDRESS);
    /* refusing costs nothing: one comes back when it is time */
    assert_int_equal(take_all(&b, by("192.0.2.1", "b"), t + BUDGETS_ADDRESS_EVERY_MS - 1, &which),
                     0);
    assert_int_equal(take_all(&b, by("192.0.2.1", "b"), t + BUDGETS_ADDRESS_EVERY_MS, &which), 1);
    /* a day of guesses from one address */
    int day = BUDGETS_ADDRESS_BURST;
    b = (struct budgets){.key = "0123456789abcde"};
    for (int64_t at = 0; at < 24 * 3600 * 1000; at += 1000) {
        char name[32]; /* another account each time */
        struct budgets_try try = by("192.0.2.1", name);
        try.name = str_of(name, (size_t)snprintf(name, sizeof name, "%lld", (long long)at));
        if (at == 0)
            assert_int_equal(take_all(&b, try, t, &which), BUDGETS_ADDRESS_BURST);
        else
            day += budgets_take(&b, &try, t + at, &which);
    }
    assert_in_range(day, 40, 50);
}

static void a_network_is_more_than_its_addresses(void **state)
{
    (void)state;
    static struct budgets b;
    enum budget which = BUDGET_ADDRESS;
    int n = 0;
    for (int i = 0; i < 250; i++) {
        char from[32], name[32];
        snprintf(from, sizeof from, "2001:db8:0:%x::1", (unsigned)i); /* 250 of a /56 */
        snprintf(name, sizeof name, "n%d", i);
        struct budgets_try t = by(from, name);
        n += budgets_take(&b, &t, 1000000, &which);
    }
    assert_int_equal(n, BUDGETS_NETWORK_BURST);
    assert_int_equal(which, BUDGET_NETWORK);
    struct budgets_try next = by("2001:db8:0:100::1", "x");
    assert_true(budgets_take(&b, &next, 1000000, &which));
}

/* A botnet tries one account, and a neighbour of its owner tries many: the owner gets in. */
static void the_owner_is_never_locked_out(void **state)
{
    (void)state;
    static struct budgets b;
    enum budget which;
    const int64_t t = 1000000;
    struct budgets_try owner = by("192.0.2.77", "me"), abroad = by("203.0.113.5", "me");
    int n = 0;
    for (int i = 0; i < 5000; i++) {
        char from[32];
        snprintf(from, sizeof from, "10.%d.%d.1", i / 250, i % 250);
        struct budgets_try bot = by(from, "me");
        n += budgets_take(&b, &bot, t, &which);
    }
    assert_int_equal(n, BUDGETS_NAME_BURST);
    for (int i = 1; i < 255; i++) {
        char from[32], name[32];
        snprintf(from, sizeof from, "192.0.2.%d", i);
        snprintf(name, sizeof name, "somebody %d", i);
        take_all(&b, by(from, name), t, &which);
    }
    assert_false(budgets_take(&b, &owner, t, &which)); /* from where nobody knows them: later */
    assert_false(budgets_take(&b, &abroad, t, &which));
    owner.account = 17;
    owner.place =
        BUDGETS_NETWORK_KNOWN; /* from an address they never had: the network is used up */
    assert_false(budgets_take(&b, &owner, t, &which));
    assert_int_equal(which, BUDGET_NETWORK);
    owner.place = BUDGETS_ADDRESS_KNOWN;
    for (int i = 0; i < 1000; i++) {
        assert_true(budgets_take(&b, &owner, t, &which));
        budgets_give_back(&b, &owner, t);
    }
    assert_int_equal(take_all(&b, owner, t, &which), BUDGETS_KNOWN_BURST);
    assert_int_equal(take_all(&b, owner, t + BUDGETS_KNOWN_EVERY_MS, &which), 1);
}

/* The neighbours of somebody's only home try that account, and no other, from each of their addresses:
 * together they have the guesses of one network, and the home is open all the while. */
static void a_known_network_is_no_free_pass(void **state)
{
    (void)state;
    static const struct {
        const char *home, *elsewhere;
        size_t byte; /* which address of the network */
    } nets[] = {{"192.0.2.77", "192.0.3.1", 3}, {"2001:db8:1:24d::5", "2001:db8:1:300::1", 7}};
    static struct budgets b;
    enum budget which = BUDGET_KNOWN;
    const int64_t t = 1000000;
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        b = (struct budgets){.key = "0123456789abcde"};
        struct budgets_try owner = by(nets[k].home, "me"), other = owner;
        owner.account = 17;
        owner.place = BUDGETS_ADDRESS_KNOWN;
        int n = 0, first = 0;
        for (int i = 0; i < 256; i++) {
            other = owner;
            other.from.bytes[nets[k].byte] = (uint8_t)i;
            other.place = BUDGETS_NETWORK_KNOWN;
            if (budgets_address(&other.from) == budgets_address(&owner.from))
                continue;
            int got = take_all(&b, other, t, &which);
            first = i == 0 ? got : first;
            n += got;
        }
        assert_int_equal(first, BUDGETS_KNOWN_BURST); /* of one address */
        assert_int_equal(n, BUDGETS_NETWORK_BURST);
        assert_int_equal(which, BUDGET_NETWORK);
        /* what a success gives back, and time, is all that lets them on */
        assert_int_equal(take_all(&b, other, t + BUDGETS_NETWORK_EVERY_MS, &which), 1);
        other = by(nets[k].elsewhere, "me");
        assert_true(budgets_take(&b, &other, t, &which));
        /* the owner at home, who mistypes as well */
        assert_int_equal(take_all(&b, owner, t, &which), BUDGETS_KNOWN_BURST);
        assert_int_equal(which, BUDGET_KNOWN);
        assert_int_equal(take_all(&b, owner, t + BUDGETS_KNOWN_EVERY_MS, &which), 1);
    }
}

static void a_known_network_gives_back_what_it_took(void **state)
{
    (void)state;
    static struct budgets b;
    enum budget which;
    struct budgets_try t = by("192.0.2.1", "me");
    t.account = 17;
    t.place = BUDGETS_NETWORK_KNOWN;
    b = (struct budgets){.key = "0123456789abcde"};
    for (int i = 0; i < 2 * BUDGETS_NETWORK_BURST; i++) {
        assert_true(budgets_take(&b, &t, 1000000, &which));
        budgets_give_back(&b, &t, 1000000);
    }
}

/* ---- where an account has logged in from ---- */

static enum budgets_place place(const struct buf *row, const char *from, uint32_t today)
{
    struct netaddr a = addr(from);
    return known_place(buf_str(row), &a, today);
}

static void note(struct buf *row, const char *from, uint32_t today)
{
    struct buf next;
    struct netaddr a = addr(from);
    buf_init(&next, KNOWN_ROW_MAX);
    assert_true(known_note(buf_str(row), &a, today, &next));
    buf_free(row);
    *row = next;
}

static void addresses_are_known_one_by_one(void **state)
{
    (void)state;
    struct buf row;
    char from[32];
    buf_init(&row, KNOWN_ROW_MAX);
    assert_int_equal(place(&row, "192.0.2.1", 100), BUDGETS_STRANGE);
    note(&row, "192.0.2.1", 100);
    note(&row, "192.0.2.2", 150);
    assert_int_equal(known_last_day(buf_str(&row)), 150);
    assert_int_equal(place(&row, "192.0.2.1", 150), BUDGETS_ADDRESS_KNOWN);
    assert_int_equal(place(&row, "192.0.2.2", 150), BUDGETS_ADDRESS_KNOWN);
    assert_int_equal(place(&row, "192.0.2.3", 150), BUDGETS_NETWORK_KNOWN);
    /* each for its time, and the network for that of the last */
    assert_int_equal(place(&row, "192.0.2.1", 100 + KNOWN_DAYS), BUDGETS_ADDRESS_KNOWN);
    assert_int_equal(place(&row, "192.0.2.1", 101 + KNOWN_DAYS), BUDGETS_NETWORK_KNOWN);
    assert_int_equal(place(&row, "192.0.2.1", 151 + KNOWN_DAYS), BUDGETS_STRANGE);
    /* one place each, however often */
    size_t len = row.len;
    note(&row, "192.0.2.1", 151);
    assert_int_equal(row.len, len);
    assert_int_equal(place(&row, "192.0.2.1", 101 + KNOWN_DAYS), BUDGETS_ADDRESS_KNOWN);
    /* what is too old goes */
    note(&row, "192.0.2.3", 150 + KNOWN_DAYS + 1);
    assert_int_equal(row.len, len);
    buf_free(&row);
    /* room for so many: the oldest goes */
    for (int i = 0; i <= KNOWN_ADDRESSES; i++) {
        snprintf(from, sizeof from, "2001:db8:0:1%02x::1", (unsigned)i);
        note(&row, from, 100 + (uint32_t)i);
    }
    assert_int_equal(row.len, KNOWN_ROW_MAX);
    assert_int_equal(place(&row, "2001:db8:0:100::1", 110), BUDGETS_NETWORK_KNOWN);
    assert_int_equal(place(&row, "2001:db8:0:101::2", 110), BUDGETS_ADDRESS_KNOWN);
    assert_int_equal(place(&row, from, 110), BUDGETS_ADDRESS_KNOWN);
    buf_free(&row);
}

static void rows_of_earlier_servers_know_the_network(void **state)
{
    (void)state;
    struct buf row;
    buf_init(&row, KNOWN_ROW_MAX);
    buf_u32(&row, 100);
    assert_int_equal(place(&row, "192.0.2.1", 110), BUDGETS_NETWORK_KNOWN);
    note(&row, "192.0.2.1", 110);
    assert_int_equal(place(&row, "192.0.2.1", 110), BUDGETS_ADDRESS_KNOWN);
    for (size_t len = 0; len <= row.len; len++) { /* cut anywhere: nobody, or what it had before */
        struct buf part = {.ptr = row.ptr, .len = len};
        assert_int_equal(place(&part, "192.0.2.1", 110), len == row.len ? BUDGETS_ADDRESS_KNOWN
                                                         : len == 4     ? BUDGETS_NETWORK_KNOWN
                                                                        : BUDGETS_STRANGE);
    }
    row.len--; /* a damaged one is written anew */
    note(&row, "192.0.2.2", 110);
    assert_int_equal(place(&row, "192.0.2.2", 110), BUDGETS_ADDRESS_KNOWN);
    assert_int_equal(place(&row, "192.0.2.1", 110), BUDGETS_NETWORK_KNOWN);
    buf_free(&row);
}

/* Somebody with a thousand networks empties no bucket by filling the tables. */
static void a_full_bucket_stays_in_a_flood(void **state)
{
    (void)state;
    static struct budgets b;
    enum budget which;
    assert_int_equal(take_all(&b, by("192.0.2.1", "me"), 1000000, &which), BUDGETS_ADDRESS_BURST);
    for (unsigned i = 0; i < 8 * BUDGETS_SLOTS; i++) {
        char from[32], name[32];
        snprintf(from, sizeof from, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
        snprintf(name, sizeof name, "n%u", i);
        struct budgets_try t = by(from, name);
        (void)budgets_take(&b, &t, 1000000, &which);
    }
    struct budgets_try again = by("192.0.2.1", "else");
    assert_false(budgets_take(&b, &again, 1000000, &which));
    assert_int_equal(which, BUDGET_ADDRESS);
}

/* ---- delays ---- */

static void delays_grow_and_are_forgotten(void **state)
{
    (void)state;
    static struct delays d = {.key = "0123456789abcde"};
    struct netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
    const int64_t expected[] = {2000, 4000, 8000, 15000, 15000, 15000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(delays_failed(&d, &a, 1000), expected[i]);
    assert_int_equal(delays_failed(&d, &b, 1000), 2000); /* each its own */
    delays_succeeded(&d, &a);
    assert_int_equal(delays_failed(&d, &a, 1000), 2000);
    assert_int_equal(delays_failed(&d, &a, 1000 + DELAYS_FORGET_MS), 4000);
    assert_int_equal(delays_failed(&d, &a, 1001 + 2 * DELAYS_FORGET_MS), 2000);
}

static void one_ipv6_customer_is_one(void **state)
{
    (void)state;
    static struct delays d;
    struct netaddr a = addr("2001:db8::1"), b = addr("2001:db8::ffff:2"),
                   c = addr("2001:db8:0:1::1");
    assert_int_equal(delays_failed(&d, &a, 0), 2000);
    assert_int_equal(delays_failed(&d, &b, 0), 4000);
    assert_int_equal(delays_failed(&d, &c, 0), 2000);
    /* an IPv4 address, however it is written, is not one customer of the IPv6 network ::/64 */
    struct netaddr v4 = addr("192.0.2.1"), mapped = addr("::ffff:192.0.2.1"),
                   other = addr("::ffff:192.0.2.2");
    assert_int_equal(delays_failed(&d, &v4, 0), 2000);
    assert_int_equal(delays_failed(&d, &mapped, 0), 4000);
    assert_int_equal(delays_failed(&d, &other, 0), 2000);
}

static void the_owner_is_never_held_back(void **state)
{
    (void)state;
    static struct delays d;
    struct netaddr v4 = addr("127.0.0.1"), v6 = addr("::1"), none = {.family = NETADDR_NONE};
    for (int i = 0; i < 10; i++) {
        assert_int_equal(delays_failed(&d, &v4, 0), 0);
        assert_int_equal(delays_failed(&d, &v6, 0), 0);
        assert_int_equal(delays_failed(&d, &none, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_password_is_found_and_no_other),
        cmocka_unit_test(scram_finds_the_same),
        cmocka_unit_test(records_are_kept),
        cmocka_unit_test(version_1_is_read),
        cmocka_unit_test(a_record_without_a_generation_gets_one),
        cmocka_unit_test(a_password_costs_what_it_must),
        cmocka_unit_test(what_was_verified_is_for_a_while),
        cmocka_unit_test(budgets_are_used_up_and_come_back),
        cmocka_unit_test(a_network_is_more_than_its_addresses),
        cmocka_unit_test(the_owner_is_never_locked_out),
        cmocka_unit_test(a_known_network_is_no_free_pass),
        cmocka_unit_test(a_known_network_gives_back_what_it_took),
        cmocka_unit_test(addresses_are_known_one_by_one),
        cmocka_unit_test(rows_of_earlier_servers_know_the_network),
        cmocka_unit_test(a_full_bucket_stays_in_a_flood),
        cmocka_unit_test(delays_grow_and_are_forgotten),
        cmocka_unit_test(one_ipv6_customer_is_one),
        cmocka_unit_test(the_owner_is_never_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
