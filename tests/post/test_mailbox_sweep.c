/* test_mailbox_sweep.c: marks that have done their work and content that never became a message go;
 * everything else stays, also when the two meet at the worst moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/mailbox_row.h"
#include "post/mailbox_sweep.h"
#include "store/engines.h"

enum { ACCOUNT = 3, DAY_MS = 86400000 };

static struct fake_env fe;
static struct arena a;

static int setup(void **state)
{
    (void)state;
    fake_env_init(&fe, 1);
    fe.env.store = store_memory_new();
    arena_init(&a, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(fe.env.store);
    arena_free(&a);
    return 0;
}

static str_t text(size_t len)
{
    char *p = arena_alloc(&a, len);
    memset(p, 'x', len);
    return str_of(p, len);
}

static void deliver(queue_id_t id, size_t len)
{
    bool again;
    struct mailbox_in *in = mailbox_in_begin(&fe.env, ACCOUNT, id);
    assert_int_equal(mailbox_in_write(in, text(len)), STORE_OK);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
    assert_false(again);
}

/* Some of it written, then the delivery failed and could not even tidy up. */
static void abandon(queue_id_t id, size_t chunks)
{
    struct mailbox_in *in = mailbox_in_begin(&fe.env, ACCOUNT, id);
    assert_int_equal(mailbox_in_write(in, text(chunks * STORE_CHUNK + 1)), STORE_OK);
    store_memory_fail(fe.env.store, STORE_FULL);
    mailbox_in_abort(in);
    store_memory_fail(fe.env.store, STORE_OK);
}

static void queue_row(queue_id_t id, bool put)
{
    struct store_batch b;
    store_batch_init(&b, QUEUE_PART, &a);
    str_t key = queue_key_delivery(id, 7, true, &a);
    if (put)
        store_put(&b, key, STR("held"));
    else
        store_delete(&b, key);
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
}

/* Its owner reads and removes all mail. */
static void read_all(void)
{
    struct mailbox_message *m;
    size_t n, removed;
    assert_int_equal(mailbox_list(fe.env.store, ACCOUNT, MAILBOX_INBOX, &a, &m, &n), STORE_OK);
    assert_int_equal(mailbox_remove(fe.env.store, ACCOUNT, MAILBOX_INBOX, m, n, &removed),
                     STORE_OK);
    assert_int_equal(n, removed);
}

static struct mailbox_sweep sweep(void)
{
    struct mailbox_sweep w = {.account = ACCOUNT};
    bool end = false;
    for (int i = 0; !end; i++) {
        assert_in_range(i, 0, 1000);
        assert_int_equal(mailbox_sweep_step(fe.env.store, &w, fe.env.wall_ms(&fe.env), &end),
                         STORE_OK);
    }
    struct store_batch b; /* what was lazy is seen after a durable one */
    store_batch_init(&b, MAILBOX_PART(ACCOUNT), &a);
    store_put(&b, STR("modseq"), STR("12345678"));
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
    return w;
}

static size_t rows(str_t prefix)
{
    struct store_scan q = {.part = MAILBOX_PART(ACCOUNT),
                           .from = prefix,
                           .end = store_prefix_end(&a, prefix),
                           .keys_only = true};
    struct store_page page;
    assert_int_equal(store_scan(fe.env.store, &q, &a, &page), STORE_OK);
    assert_false(page.more);
    return page.n;
}

static size_t marks(void)
{
    return rows(STR("seen/"));
}
static size_t chunks_of(queue_id_t id)
{
    return rows(mailbox_prefix_content(id.b, &a));
}
static bool marked(queue_id_t id)
{
    return rows(mailbox_key_seen(id, &a)) == 1;
}

static void test_marks(void **state)
{
    (void)state;
    queue_id_t gone = queue_id_new(&fe.env), held = queue_id_new(&fe.env), kept;
    deliver(gone, 10);
    deliver(held, 10);
    queue_row(held, true); /* another recipient of the same message waits, or it is held */
    read_all();
    kept = queue_id_new(&fe.env);
    deliver(kept, 10); /* never read */
    fake_env_pass(&fe, MAILBOX_MARK_MS - DAY_MS);
    assert_int_equal(sweep().marks, 0);
    assert_int_equal(marks(), 3);
    fake_env_pass(&fe, 2 * DAY_MS);
    queue_id_t young = queue_id_new(&fe.env);
    deliver(young, 10);
    struct mailbox_sweep w = sweep();
    assert_int_equal(w.marks, 1);
    assert_int_equal(w.contents, 0);
    assert_false(marked(gone));
    assert_true(marked(held) && marked(kept) && marked(young));
    assert_int_equal(chunks_of(kept), 1);
    /* released at last: it had been delivered, and is not again */
    bool again;
    struct mailbox_in *in = mailbox_in_begin(&fe.env, ACCOUNT, held);
    assert_int_equal(mailbox_in_write(in, text(10)), STORE_OK);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
    assert_true(again);
    queue_row(held, false);
    assert_int_equal(sweep().marks, 1);
    assert_false(marked(held));
    read_all();
    fake_env_pass(&fe, MAILBOX_MARK_MS);
    assert_int_equal(sweep().marks, 1); /* the other is exactly as old, not older */
    fake_env_pass(&fe, 1);
    assert_int_equal(sweep().marks, 1);
    assert_int_equal(marks(), 0);
}

static void test_contents(void **state)
{
    (void)state;
    queue_id_t whole = queue_id_new(&fe.env), left = queue_id_new(&fe.env), trying;
    deliver(whole, 3 * STORE_CHUNK);
    abandon(left, 3);
    trying = queue_id_new(&fe.env);
    abandon(trying, 2);
    queue_row(trying, true); /* it will be tried again */
    deliver(queue_id_new(&fe.env), 10);
    assert_int_equal(chunks_of(left), 3);
    fake_env_pass(&fe, MAILBOX_ABANDONED_MS - 1000);
    assert_int_equal(sweep().contents, 0);
    fake_env_pass(&fe, 2000);
    queue_id_t young = queue_id_new(&fe.env);
    abandon(young, 2);
    struct mailbox_sweep w = sweep();
    assert_int_equal(w.contents, 1);
    assert_int_equal(w.marks, 0);
    assert_int_equal(chunks_of(left), 0);
    assert_int_equal(chunks_of(whole), 3);
    assert_int_equal(chunks_of(trying), 2);
    assert_int_equal(chunks_of(young), 2);
    queue_row(trying, false);
    assert_int_equal(sweep().contents, 1);
    assert_int_equal(chunks_of(trying), 0);
}

/* A clock that jumps ten years ahead and back costs nobody a mail, nor makes one come twice. */
static void test_clock_jumps(void **state)
{
    (void)state;
    queue_id_t mail = queue_id_new(&fe.env), waits = queue_id_new(&fe.env);
    deliver(mail, 2 * STORE_CHUNK);
    deliver(waits, 10);
    queue_row(waits, true);
    abandon(waits, 2);
    int64_t now = fe.wall;
    fe.wall += 3650 * (int64_t)DAY_MS;
    assert_int_equal(sweep().marks, 0);
    fe.wall = now + 2 * MAILBOX_ABANDONED_MS;
    assert_int_equal(sweep().contents, 0);
    assert_int_equal(chunks_of(mail), 2);
    assert_true(marked(mail) && marked(waits));
    fe.wall = 0;
    (void)sweep();
    assert_true(marked(mail) && marked(waits));
}

/* More than a page of both, with content that spreads over pages. */
static void test_pages(void **state)
{
    (void)state;
    enum { N = 2500 };
    queue_id_t large = queue_id_new(&fe.env);
    abandon(large, 12);
    for (int i = 0; i < N; i++) {
        deliver(queue_id_new(&fe.env), 10);
        if (i == N / 2)
            read_all();
        fake_env_pass(&fe, 1);
    }
    deliver(queue_id_new(&fe.env), 10);
    fake_env_pass(&fe, MAILBOX_MARK_MS + DAY_MS);
    struct mailbox_sweep w = sweep();
    assert_int_equal(w.marks, N / 2 + 1);
    assert_int_equal(w.contents, 1);
    struct mailbox_message *m;
    size_t n;
    assert_int_equal(mailbox_list(fe.env.store, ACCOUNT, MAILBOX_INBOX, &a, &m, &n), STORE_OK);
    assert_int_equal(n, N / 2);
    assert_int_equal(chunks_of(large), 0);
}

/* Keys that are nobody's do not hold it up. */
static void test_rubbish(void **state)
{
    (void)state;
    struct store_batch b;
    store_batch_init(&b, MAILBOX_PART(ACCOUNT), &a);
    store_put(&b, STR("seen/"), STR("x"));
    store_put(&b, STR("seen/abc"), STR("x"));
    store_put(&b, STR("b/abc"), STR("x"));
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
    (void)sweep();
    assert_int_equal(marks(), 2);
}

/* ---- the worst moment: something happens between what the sweep reads and what it removes ---- */

struct meddler {
    struct store store; /* first */
    struct store_ops ops;
    struct store *inner;
    int scans;
    void (*at_scan)(int n);
};
static struct meddler meddler;
static queue_id_t subject;

static enum store_rc meddling_scan(struct store *s, const struct store_scan *q, struct arena *arena,
                                   struct store_page *out)
{
    (void)s;
    enum store_rc rc = store_scan(meddler.inner, q, arena, out);
    meddler.at_scan(meddler.scans++);
    return rc;
}

static void inner_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    store_submit(meddler.inner, c);
}

static struct mailbox_sweep meddled_sweep(bool content, void (*at_scan)(int n))
{
    struct mailbox_sweep w = {.account = ACCOUNT, .content = content};
    bool end;
    meddler =
        (struct meddler){.ops = *fe.env.store->ops, .inner = fe.env.store, .at_scan = at_scan};
    meddler.ops.scan = meddling_scan;
    meddler.ops.submit = inner_submit;
    meddler.store.ops = &meddler.ops;
    assert_int_equal(mailbox_sweep_step(&meddler.store, &w, fe.env.wall_ms(&fe.env), &end),
                     STORE_OK);
    return w;
}

static int meddle_after;

/* The delivery that was still going on ends: message in the mailbox, row out of the queue. */
static void delivery_ends(int n)
{
    if (n == meddle_after) {
        deliver(subject, 3 * STORE_CHUNK);
        queue_row(subject, false);
    }
}

static void test_delivery_ends_meanwhile(void **state)
{
    (void)state;
    for (meddle_after = 0; meddle_after < 3; meddle_after++) {
        subject = queue_id_new(&fe.env);
        deliver(queue_id_new(&fe.env), 10);
        abandon(subject, 2);
        queue_row(subject, true);
        deliver(queue_id_new(&fe.env), 10);
        fake_env_pass(&fe, 2 * MAILBOX_ABANDONED_MS);
        assert_int_equal(meddled_sweep(true, delivery_ends).contents, 0);
        assert_int_equal(sweep().contents, 0);
        assert_int_equal(chunks_of(subject), 3);
        assert_true(marked(subject));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delivery_ends_meanwhile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
