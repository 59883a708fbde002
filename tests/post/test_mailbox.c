/* test_mailbox.c: delivery exactly once, reading, removing, over the memory engine with crashes and
 * damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "post/mailbox_row.h"
#include "store/engines.h"

enum { ACCOUNT = 5 };

struct world {
    struct env env;
    struct arena arena;
    int64_t wall;
};

static int64_t wall_ms(struct env *e)
{
    return ((struct world *)e->ctx)->wall;
}

static void world_init(struct world *w)
{
    *w = (struct world){.wall = 1700000000000};
    w->env = (struct env){.wall_ms = wall_ms, .store = store_memory_new(), .ctx = w};
    arena_init(&w->arena, 64 << 20);
    assert_non_null(w->env.store);
}

static void world_free(struct world *w)
{
    arena_free(&w->arena);
    store_close(w->env.store);
}

static queue_id_t id_of(unsigned n)
{
    return (queue_id_t){{0, 0, 0, 0, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 9}};
}

static enum store_rc deliver(struct world *w, unsigned id, str_t content, size_t piece, bool *again)
{
    struct mailbox_in *in = mailbox_in_begin(&w->env, ACCOUNT, id_of(id));
    assert_non_null(in);
    enum store_rc rc = STORE_OK;
    while (content.len > 0 && rc == STORE_OK) {
        rc = mailbox_in_write(in, str_first(content, piece));
        content = str_from(content, piece);
    }
    enum store_rc last = mailbox_in_commit(in, again);
    assert_true(rc == STORE_OK || last == rc); /* a failure sticks */
    return last;
}

static size_t list(struct world *w, struct mailbox_message **m)
{
    size_t n;
    assert_int_equal(mailbox_list(w->env.store, ACCOUNT, MAILBOX_INBOX, &w->arena, m, &n),
                     STORE_OK);
    return n;
}

static str_t pattern(struct world *w, size_t len)
{
    char *p = arena_alloc(&w->arena, len ? len : 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)('a' + (i * 7 + i / 1000) % 26);
    return str_of(p, len);
}

static void check_content(struct world *w, const struct mailbox_message *m, str_t want)
{
    assert_int_equal(m->size, want.len);
    for (uint32_t k = 0; k < m->chunks; k++) {
        str_t chunk;
        assert_int_equal(mailbox_chunk(w->env.store, ACCOUNT, m, k, &w->arena, &chunk), STORE_OK);
        assert_true(str_eq(chunk, str_first(want, chunk.len)));
        want = str_from(want, chunk.len);
    }
    assert_int_equal(want.len, 0);
    str_t none;
    assert_int_equal(mailbox_chunk(w->env.store, ACCOUNT, m, m->chunks, &w->arena, &none),
                     STORE_DAMAGED);
}

static size_t rows(struct world *w, const char *prefix)
{
    str_t p = str_c(prefix);
    struct store_scan q = {.part = MAILBOX_PART(ACCOUNT),
                           .from = p,
                           .end = store_prefix_end(&w->arena, p),
                           .keys_only = true};
    struct store_page page;
    assert_int_equal(store_scan(w->env.store, &q, &w->arena, &page), STORE_OK);
    return page.n;
}

static void test_deliver_and_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 5000, STORE_CHUNK - 1, STORE_CHUNK, STORE_CHUNK + 1, 2 * STORE_CHUNK, 300000};
    struct world w;
    struct mailbox_message *m;
    uint32_t validity;
    bool again;
    world_init(&w);
    assert_int_equal(list(&w, &m), 0);
    assert_int_equal(mailbox_uidvalidity(w.env.store, ACCOUNT, MAILBOX_INBOX, &validity), STORE_OK);
    assert_int_equal(validity, 0);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(deliver(&w, i, pattern(&w, sizes[i]), i % 2 ? 1000 : SIZE_MAX, &again),
                         STORE_OK);
        assert_false(again);
        w.wall += 1000000;
    }
    size_t n = list(&w, &m);
    assert_int_equal(n, sizeof sizes / sizeof *sizes);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(m[i].uid, i + 1);
        assert_int_equal(m[i].date_ms, 1700000000000 + (int64_t)i * 1000000);
        check_content(&w, &m[i], pattern(&w, sizes[i]));
    }
    assert_int_equal(mailbox_uidvalidity(w.env.store, ACCOUNT, MAILBOX_INBOX, &validity), STORE_OK);
    assert_int_equal(validity, 1700000000); /* of the first delivery, for ever */
    world_free(&w);
}

static void test_exactly_once(void **state)
{
    (void)state;
    struct world w;
    struct mailbox_message *m;
    bool again;
    size_t removed;
    world_init(&w);
    str_t big = pattern(&w, 200000);
    assert_int_equal(deliver(&w, 1, big, SIZE_MAX, &again), STORE_OK);
    assert_false(again);
    assert_int_equal(deliver(&w, 1, big, SIZE_MAX, &again), STORE_OK);
    assert_true(again);
    assert_int_equal(list(&w, &m), 1);
    /* Read and removed, then delivered again: nothing comes back, not even chunks. */
    assert_int_equal(mailbox_remove(w.env.store, ACCOUNT, MAILBOX_INBOX, m, 1, &removed), STORE_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(deliver(&w, 1, big, SIZE_MAX, &again), STORE_OK);
    assert_true(again);
    assert_int_equal(list(&w, &m), 0);
    /* UIDs are not used again. (And what was written ahead is seen after this durable batch.) */
    assert_int_equal(deliver(&w, 2, big, SIZE_MAX, &again), STORE_OK);
    assert_int_equal(list(&w, &m), 1);
    assert_int_equal(m[0].uid, 2);
    assert_int_equal(rows(&w, "b/"), m[0].chunks);
    world_free(&w);
}

/* Each batch of a delivery is lost or torn in turn; the delivery is repeated after the restart. */
static void test_crash_at_every_batch(void **state)
{
    (void)state;
    for (uint64_t at = 1; at <= 8; at++)
        for (unsigned how = 0; how < 8; how++) {
            struct world w;
            struct mailbox_message *m;
            bool again;
            world_init(&w);
            str_t big = pattern(&w, 3 * STORE_CHUNK + 10), small = pattern(&w, 100);
            store_memory_crash_after(w.env.store, at, how & 1);
            enum store_rc first = deliver(&w, 1, big, SIZE_MAX, &again);
            enum store_rc second = deliver(&w, 2, small, SIZE_MAX, &again);
            store_memory_reopen(w.env.store, how);
            size_t before = list(&w, &m);
            /* what was promised is there */
            assert_true(before >= (size_t)(first == STORE_OK) + (second == STORE_OK));
            assert_int_equal(deliver(&w, 1, big, SIZE_MAX, &again), STORE_OK);
            assert_true(first != STORE_OK || again);
            assert_int_equal(deliver(&w, 2, small, SIZE_MAX, &again), STORE_OK);
            assert_true(second != STORE_OK || again);
            assert_int_equal(list(&w, &m), 2);
            for (size_t i = 0; i < 2; i++)
                check_content(&w, &m[i], m[i].size == small.len ? small : big);
            world_free(&w);
        }
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    struct world w;
    bool again;
    world_init(&w);
    assert_int_equal(deliver(&w, 1, pattern(&w, 10), SIZE_MAX, &again), STORE_OK);
    struct mailbox_in *in = mailbox_in_begin(&w.env, ACCOUNT, id_of(2));
    assert_int_equal(mailbox_in_write(in, pattern(&w, 400000)), STORE_OK);
    mailbox_in_abort(in);
    /* makes all before durable */
    assert_int_equal(deliver(&w, 3, pattern(&w, 10), SIZE_MAX, &again), STORE_OK);
    assert_int_equal(rows(&w, "b/"), 2);
    mailbox_in_abort(NULL);
    world_free(&w);
}

static void test_store_failures_are_told(void **state)
{
    (void)state;
    struct world w;
    bool again;
    world_init(&w);
    store_memory_fail(w.env.store, STORE_FULL);
    assert_int_equal(deliver(&w, 1, pattern(&w, 10), SIZE_MAX, &again), STORE_FULL);
    assert_int_equal(deliver(&w, 1, pattern(&w, 200000), SIZE_MAX, &again), STORE_FULL);
    store_memory_fail(w.env.store, STORE_OK);
    assert_int_equal(deliver(&w, 1, pattern(&w, 10), SIZE_MAX, &again), STORE_OK);
    assert_false(again);
    world_free(&w);
}

static void test_remove_many(void **state)
{
    (void)state;
    enum { N = 700 };
    struct world w;
    struct mailbox_message *m;
    bool again;
    size_t removed;
    world_init(&w);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(deliver(&w, i, pattern(&w, 50), SIZE_MAX, &again), STORE_OK);
    assert_int_equal(list(&w, &m), N);
    /* All but the first and the last. A failure on the way tells how far it came, and it can be
     * repeated. */
    store_memory_crash_after(w.env.store, 2, false);
    assert_int_equal(mailbox_remove(w.env.store, ACCOUNT, MAILBOX_INBOX, m + 1, N - 2, &removed),
                     STORE_UNKNOWN);
    assert_true(removed > 0 && removed < N - 2);
    store_memory_reopen(w.env.store, 1);
    assert_int_equal(rows(&w, "u/"), N - removed);
    assert_int_equal(mailbox_remove(w.env.store, ACCOUNT, MAILBOX_INBOX, m + 1, N - 2, &removed),
                     STORE_OK);
    assert_int_equal(removed, N - 2);
    assert_int_equal(list(&w, &m), 2);
    assert_int_equal(m[0].uid, 1);
    assert_int_equal(m[1].uid, N);
    assert_int_equal(rows(&w, "b/"), 2);
    check_content(&w, &m[1], pattern(&w, 50));
    world_free(&w);
}

static void test_damage_costs_one_message(void **state)
{
    (void)state;
    struct world w;
    struct mailbox_message *m;
    bool again;
    str_t chunk;
    size_t removed;
    world_init(&w);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(deliver(&w, i, pattern(&w, 50), SIZE_MAX, &again), STORE_OK);
    store_memory_damage(w.env.store, MAILBOX_PART(ACCOUNT),
                        mailbox_key_message(MAILBOX_INBOX, 1, &w.arena));
    store_memory_damage(w.env.store, MAILBOX_PART(ACCOUNT),
                        mailbox_key_chunk(id_of(2).b, 0, &w.arena));
    assert_int_equal(list(&w, &m), 3);
    assert_true(m[0].damaged && m[0].uid == 1);
    assert_int_equal(mailbox_chunk(w.env.store, ACCOUNT, &m[0], 0, &w.arena, &chunk),
                     STORE_DAMAGED);
    assert_false(m[1].damaged);
    assert_int_equal(mailbox_chunk(w.env.store, ACCOUNT, &m[1], 0, &w.arena, &chunk),
                     STORE_DAMAGED);
    check_content(&w, &m[2], pattern(&w, 50));
    assert_int_equal(mailbox_remove(w.env.store, ACCOUNT, MAILBOX_INBOX, m, 2, &removed), STORE_OK);
    assert_int_equal(list(&w, &m), 1);
    world_free(&w);
}

/* A chunk that is not there, or not as long as its row says, is damage as well. */
static void test_chunk_not_as_promised(void **state)
{
    (void)state;
    struct world w;
    struct mailbox_message *m;
    struct store_batch b;
    bool again;
    str_t chunk;
    world_init(&w);
    for (unsigned i = 1; i <= 2; i++)
        assert_int_equal(deliver(&w, i, pattern(&w, 50), SIZE_MAX, &again), STORE_OK);
    store_batch_init(&b, MAILBOX_PART(ACCOUNT), &w.arena);
    store_put(&b, mailbox_key_chunk(id_of(1).b, 0, &w.arena), STR("short"));
    store_delete(&b, mailbox_key_chunk(id_of(2).b, 0, &w.arena));
    assert_int_equal(store_commit(w.env.store, &b), STORE_OK);
    assert_int_equal(list(&w, &m), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(mailbox_chunk(w.env.store, ACCOUNT, &m[i], 0, &w.arena, &chunk),
                         STORE_DAMAGED);
    world_free(&w);
}

/* Core loses what was written ahead, or the sweeper takes it, while the message is still on its
 * way: then it is not delivered, and nothing of it is seen. */
static void test_lost_ahead(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct world w;
        struct mailbox_message *m;
        bool again;
        world_init(&w);
        str_t big = pattern(&w, 3 * STORE_CHUNK);
        assert_int_equal(deliver(&w, 1, pattern(&w, 10), SIZE_MAX, &again), STORE_OK);
        struct mailbox_in *in = mailbox_in_begin(&w.env, ACCOUNT, id_of(2));
        assert_int_equal(mailbox_in_write(in, str_first(big, 2 * STORE_CHUNK + 1)), STORE_OK);
        if (how < 2) { /* a chunk in the middle, or all */
            struct store_batch b;
            store_batch_init(&b, MAILBOX_PART(ACCOUNT), &w.arena);
            store_delete(&b, mailbox_key_chunk(id_of(2).b, 1, &w.arena));
            if (how == 1)
                store_delete(&b, mailbox_key_chunk(id_of(2).b, 0, &w.arena));
            assert_int_equal(store_commit(w.env.store, &b), STORE_OK);
        } else {
            store_memory_reopen(w.env.store, 0);
        }
        enum store_rc rc = mailbox_in_write(in, str_from(big, 2 * STORE_CHUNK + 1));
        bool kept = rows(&w, "b/") == 3; /* a restart may have kept both */
        enum store_rc end = mailbox_in_commit(in, &again);
        assert_true(rc == STORE_OK || rc == end);
        assert_true(kept ? end == STORE_OK : end == STORE_CONFLICT);
        assert_int_equal(list(&w, &m), kept ? 2 : 1);
        assert_int_equal(deliver(&w, 2, big, SIZE_MAX, &again), STORE_OK);
        assert_int_equal(list(&w, &m), 2);
        check_content(&w, &m[1], big);
        world_free(&w);
    }
}

/* ---- the end of an account ---- */

static void fill(struct world *w, unsigned n)
{
    bool again;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(deliver(w, i, pattern(w, i % 50 == 0 ? 70000 : 50), SIZE_MAX, &again),
                         STORE_OK);
}

static void put_neighbour(struct world *w)
{
    static const uint64_t beside[] = {ACCOUNT - 1, ACCOUNT + 1};
    for (size_t i = 0; i < 2; i++) {
        bool again;
        struct mailbox_in *in = mailbox_in_begin(&w->env, beside[i], id_of(77));
        assert_int_equal(mailbox_in_write(in, STR("theirs")), STORE_OK);
        assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
    }
}

static void only_neighbours_are_left(struct world *w)
{
    assert_int_equal(rows(w, ""), 1); /* that it is closed */
    for (uint64_t account = ACCOUNT - 1; account <= ACCOUNT + 1; account += 2) {
        struct mailbox_message *m;
        size_t n;
        assert_int_equal(mailbox_list(w->env.store, account, MAILBOX_INBOX, &w->arena, &m, &n),
                         STORE_OK);
        assert_int_equal(n, 1);
    }
}

static void test_purge(void **state)
{
    (void)state;
    struct world w;
    struct mailbox_message *m;
    bool again;
    world_init(&w);
    fill(&w, 700); /* 2,100 rows and more: some pages */
    put_neighbour(&w);
    assert_int_equal(mailbox_purge(w.env.store, ACCOUNT), STORE_OK);
    only_neighbours_are_left(&w);
    assert_int_equal(mailbox_purge(w.env.store, ACCOUNT), STORE_OK); /* again, and of nobody */
    assert_int_equal(mailbox_purge(w.env.store, ACCOUNT + 5), STORE_OK);
    /* a delivery that looked the address up before it went */
    assert_int_equal(deliver(&w, 9000, pattern(&w, 50), SIZE_MAX, &again), STORE_CONFLICT);
    assert_int_equal(deliver(&w, 9001, pattern(&w, 200000), SIZE_MAX, &again), STORE_CONFLICT);
    assert_int_equal(list(&w, &m), 0);
    only_neighbours_are_left(&w);
    world_free(&w);
}

/* One was half way in when the account went. */
static void test_purge_under_delivery(void **state)
{
    (void)state;
    struct world w;
    bool again;
    world_init(&w);
    fill(&w, 1);
    put_neighbour(&w);
    struct mailbox_in *in = mailbox_in_begin(&w.env, ACCOUNT, id_of(5));
    assert_int_equal(mailbox_in_write(in, pattern(&w, 2 * STORE_CHUNK)), STORE_OK);
    assert_int_equal(mailbox_purge(w.env.store, ACCOUNT), STORE_OK);
    assert_int_equal(mailbox_in_write(in, pattern(&w, 2 * STORE_CHUNK)), STORE_CONFLICT);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_CONFLICT);
    assert_false(again);
    only_neighbours_are_left(&w);
    world_free(&w);
}

/* Every batch of a purge lost or torn in turn: the next one ends it. */
static void test_purge_crash(void **state)
{
    (void)state;
    bool finished = false;
    for (uint64_t at = 1; !finished; at++) {
        for (int torn = 0; torn < 2; torn++) {
            struct world w;
            world_init(&w);
            fill(&w, 700);
            put_neighbour(&w);
            store_memory_crash_after(w.env.store, at, torn);
            enum store_rc rc = mailbox_purge(w.env.store, ACCOUNT);
            finished = rc == STORE_OK;
            assert_true(finished || rc == STORE_UNKNOWN || rc == STORE_DOWN);
            assert_true(at < 20);
            store_memory_reopen(w.env.store, at);
            bool again;
            if (at > 1) /* shut from the first batch on */
                assert_int_equal(deliver(&w, 9000, pattern(&w, 50), SIZE_MAX, &again),
                                 STORE_CONFLICT);
            assert_int_equal(mailbox_purge(w.env.store, ACCOUNT), STORE_OK);
            only_neighbours_are_left(&w);
            world_free(&w);
        }
    }
}

static void test_records(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    buf_init(&b, 4096);
    struct mailbox_message m = {.uid = 9,
                                .size = STORE_CHUNK + 1,
                                .chunks = 2,
                                .date_ms = -5,
                                .flags = 3,
                                .content = "123456789"},
                           back;
    assert_true(mailbox_message_encode(&m, &b));
    str_t key = mailbox_key_message(MAILBOX_INBOX, 9, &w.arena);
    assert_true(mailbox_message_decode(key, buf_str(&b), &back));
    assert_true(back.uid == 9 && back.size == m.size && back.chunks == 2 && back.date_ms == -5 &&
                back.flags == 3);
    assert_memory_equal(back.content, m.content, sizeof m.content);
    for (size_t i = 0; i < b.len; i++) /* cut anywhere: refused */
        assert_false(mailbox_message_decode(key, str_first(buf_str(&b), i), &back));
    b.ptr[0] = 2; /* a version we do not know */
    assert_false(mailbox_message_decode(key, buf_str(&b), &back));
    buf_clear(&b);
    m.chunks = 3; /* contradicts the size */
    assert_true(mailbox_message_encode(&m, &b));
    assert_false(mailbox_message_decode(key, buf_str(&b), &back));
    buf_free(&b);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deliver_and_read),
        cmocka_unit_test(test_exactly_once),
        cmocka_unit_test(test_crash_at_every_batch),
        cmocka_unit_test(test_abort_leaves_nothing),
        cmocka_unit_test(test_store_failures_are_told),
        cmocka_unit_test(test_remove_many),
        cmocka_unit_test(test_damage_costs_one_message),
        cmocka_unit_test(test_chunk_not_as_promised),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_lost_ahead),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_purge_under_delivery),
        cmocka_unit_test(test_purge_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
