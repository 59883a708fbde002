/* conformance_together.c: several at once: watches, the board, many threads. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/conformance.h"

/* ---- watches ---- */

#define HINTS 4096

struct hint_log {
    pthread_mutex_t lock;
    size_t n;
    struct {
        char key[64];
        size_t value_len;
        char value[32];
        bool deleted;
    } v[HINTS];
};

static void take_hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    struct hint_log *l = user;
    (void)part;
    if (key.len == 0)
        return; /* "hints were lost": the remote client says so once at its start */
    pthread_mutex_lock(&l->lock);
    if (l->n < HINTS) {
        str_toc(key, l->v[l->n].key, sizeof l->v[0].key);
        str_toc(value, l->v[l->n].value, sizeof l->v[0].value);
        l->v[l->n].value_len = value.len;
        l->v[l->n++].deleted = deleted;
    }
    pthread_mutex_unlock(&l->lock);
}

/* A hint may come a moment after the commit's answer where a channel lies between. */
static size_t hints_after(struct hint_log *l, size_t at_least)
{
    size_t n = 0;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&l->lock);
        n = l->n;
        pthread_mutex_unlock(&l->lock);
        if (n >= at_least)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return n;
}

static struct hint_log *log_new(void)
{
    static struct hint_log logs[20]; /* hints may come until the store is closed */
    static size_t next;
    struct hint_log *l = &logs[next++ % 20];
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

static void test_watch(void **state)
{
    struct fixture *f = *state;
    struct hint_log *l = log_new();
    assert_int_equal(store_watch(f->s, Q, STR("d/"), take_hint, l), STORE_OK);
    struct store_batch b = fixture_batch(f, Q);
    store_put(&b, STR("c/1"), STR("not watched"));
    store_put(&b, STR("d/1"), STR("one"));
    store_put_new(&b, STR("d/2"), fixture_fill(f, 4097, 'x'));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_put(f, U(0), "d/3", "another partition");
    b = fixture_batch(f, Q);
    store_require_absent(&b, STR("d/1"));
    store_put(&b, STR("d/4"), STR("does not happen"));
    assert_int_equal(store_commit(f->s, &b), STORE_CONFLICT);
    b = fixture_batch(f, Q);
    store_delete(&b, STR("d/1"));
    store_put_next(&b, STR("n"), STR("d/"), STR("numbered"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(hints_after(l, 4), 4);
    assert_string_equal(l->v[0].key, "d/1");
    assert_string_equal(l->v[0].value, "one");
    assert_false(l->v[0].deleted);
    assert_string_equal(l->v[1].key, "d/2");
    assert_int_equal(l->v[1].value_len, 0); /* over 4 KiB */
    assert_string_equal(l->v[2].key, "d/1");
    assert_true(l->v[2].deleted);
    assert_string_equal(l->v[3].value, "numbered");
}

static void test_watch_range_delete(void **state)
{
    struct fixture *f = *state;
    struct hint_log *l = log_new();
    fixture_put(f, Q, "d/1", "1");
    fixture_put(f, Q, "d/2", "2");
    fixture_put(f, Q, "e/1", "3");
    assert_int_equal(store_watch(f->s, Q, STR("d/"), take_hint, l), STORE_OK);
    struct store_batch b = fixture_batch(f, Q);
    store_delete_range(&b, STR_NONE, STR_NONE);
    store_put(&b, STR("d/1"), STR("again"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    assert_int_equal(hints_after(l, 3), 3);
    assert_true(l->v[0].deleted && l->v[1].deleted && !l->v[2].deleted);
    assert_string_equal(l->v[2].value, "again");
}

static void test_watch_lazy(void **state)
{
    struct fixture *f = *state;
    struct hint_log *l = log_new();
    assert_int_equal(store_watch(f->s, Q, STR_NONE, take_hint, l), STORE_OK);
    struct store_batch b = fixture_batch(f, Q);
    b.lazy = true;
    store_put(&b, STR("x"), STR("lazy"));
    assert_int_equal(store_commit(f->s, &b), STORE_OK);
    fixture_put(f, Q, "y", "durable");
    assert_int_equal(hints_after(l, 2), 2); /* each once */
    assert_string_equal(l->v[0].key, "x");
    assert_string_equal(l->v[1].key, "y");
}

static void test_watches_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct hint_log *l = log_new();
    for (int i = 0; i < 16; i++)
        assert_int_equal(store_watch(f->s, Q, STR("a"), take_hint, l), STORE_OK);
    assert_int_equal(store_watch(f->s, Q, STR("a"), take_hint, l), STORE_LIMIT);
    fixture_put(f, Q, "a", "");
    assert_int_equal(hints_after(l, 16), 16);
}

static void test_board(void **state)
{
    struct fixture *f = *state;
    const struct store_board *board = store_board(f->s);
    uint64_t directory = atomic_load(&board->generation[PART_DIRECTORY]);
    uint64_t queue = atomic_load(&board->generation[PART_QUEUE]);
    fixture_put(f, Q, "a", "1");
    assert_true(atomic_load(&board->generation[PART_DIRECTORY]) == directory);
    assert_true(atomic_load(&board->generation[PART_QUEUE]) > queue);
    fixture_put(f, D, "a", "1");
    assert_true(atomic_load(&board->generation[PART_DIRECTORY]) > directory);
    assert_true(atomic_load(&board->free_bytes) > 0);
    assert_int_equal(atomic_load(&board->writes_stopped), 0);
}

/* ---- many at once ---- */

#define THREADS 16
#define ROUNDS  60

struct worker {
    struct store *s;
    int id;
    uint64_t conflicts, seen[ROUNDS];
};

static void *count_up(void *arg)
{
    struct worker *w = arg;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < ROUNDS; i++) {
        struct store_batch b;
        char key[32];
        snprintf(key, sizeof key, "own/%d/%d", w->id, i);
        store_batch_init(&b, Q, &a);
        b.lazy = i % 3 == 0;
        size_t at = store_add(&b, STR("total"), 1);
        store_put_next(&b, STR("uid"), STR("u/"), STR("row"));
        store_put_new(&b, str_c(key), STR("mine"));
        assert_int_equal(store_commit(w->s, &b), STORE_OK);
        w->seen[i] = b.ops[at].number;
        arena_reset(&a);
    }
    arena_free(&a);
    return NULL;
}

static void run_threads(struct fixture *f, struct worker *w, void *(*fn)(void *))
{
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.s = f->s, .id = i};
        assert_int_equal(pthread_create(&t[i], NULL, fn, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void test_threads_count(void **state)
{
    struct fixture *f = *state;
    static struct worker w[THREADS];
    static bool given[THREADS * ROUNDS + 1];
    memset(given, 0, sizeof given);
    run_threads(f, w, count_up);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < ROUNDS; k++) { /* every number once, and rising for each thread */
            assert_in_range(w[i].seen[k], 1, THREADS * ROUNDS);
            assert_false(given[w[i].seen[k]]);
            given[w[i].seen[k]] = true;
            assert_true(k == 0 || w[i].seen[k] > w[i].seen[k - 1]);
        }
    fixture_put(f, Q, "last", "durable");
    struct store_page page;
    struct store_scan q = {.part = Q, .from = STR("u/"), .end = STR("u0"), .keys_only = true};
    assert_int_equal(store_scan(f->s, &q, &f->a, &page), STORE_OK);
    assert_int_equal(page.n, THREADS * ROUNDS);
}

/* Compare and set: read the row, require it as read, write it one higher. No step may be lost. */
static void *compare_and_set(void *arg)
{
    struct worker *w = arg;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < ROUNDS / 10;) {
        bool present;
        str_t old;
        assert_int_equal(store_get1(w->s, D, STR("row"), &a, &present, &old), STORE_OK);
        uint64_t n = 0;
        if (present)
            assert_true(str_u64(old, UINT64_MAX, &n));
        struct store_batch b;
        store_batch_init(&b, D, &a);
        if (present)
            store_require_equal(&b, STR("row"), old);
        else
            store_require_absent(&b, STR("row"));
        store_put(&b, STR("row"), arena_fmt(&a, "%llu", (unsigned long long)n + 1));
        enum store_rc rc = store_commit(w->s, &b);
        assert_true(rc == STORE_OK || rc == STORE_CONFLICT);
        if (rc == STORE_OK)
            i++;
        else
            w->conflicts++;
        arena_reset(&a);
    }
    arena_free(&a);
    return NULL;
}

static void test_threads_compare_and_set(void **state)
{
    struct fixture *f = *state;
    static struct worker w[THREADS];
    run_threads(f, w, compare_and_set);
    char want[16];
    snprintf(want, sizeof want, "%d", THREADS * (ROUNDS / 10));
    fixture_expect(f, D, "row", want);
}

/* Two rows that a writer always changes together: a reader must never see one without the other. */
static void *read_pairs(void *arg)
{
    struct worker *w = arg;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < ROUNDS; i++) {
        if (w->id == 0) {
            struct store_batch b;
            store_batch_init(&b, U(9), &a);
            str_t v = arena_fmt(&a, "%d", i);
            store_put(&b, STR("left"), v);
            store_put(&b, STR("right"), v);
            assert_int_equal(store_commit(w->s, &b), STORE_OK);
        } else {
            str_t keys[] = {STR("left"), STR("right")};
            struct store_value v[2];
            struct store_page page;
            assert_int_equal(store_get(w->s, U(9), keys, 2, &a, v), STORE_OK);
            assert_true(str_eq(v[0].value, v[1].value));
            assert_int_equal(store_scan(w->s, &(struct store_scan){.part = U(9)}, &a, &page),
                             STORE_OK);
            assert_true(page.n == 0 ||
                        (page.n == 2 && str_eq(page.rows[0].value, page.rows[1].value)));
        }
        arena_reset(&a);
    }
    arena_free(&a);
    return NULL;
}

static void test_threads_see_whole_batches(void **state)
{
    static struct worker w[THREADS];
    run_threads(*state, w, read_pairs);
}

/* What one thread submits without waiting is done in its order. */
struct pipelined {
    struct store_commit c;
    struct store_batch b;
    _Atomic int done;
};

static void pipelined_done(struct store_commit *c)
{
    struct pipelined *p = c->user;
    atomic_store(&p->done, 1);
}

static void test_submissions_keep_their_order(void **state)
{
    struct fixture *f = *state;
    static struct pipelined p[64];
    for (int i = 0; i < 64; i++) {
        p[i].b = fixture_batch(f, Q);
        p[i].b.lazy = i % 2 == 0;
        atomic_store(&p[i].done, 0);
        if (i)
            store_require_equal(&p[i].b, STR("turn"), arena_fmt(&f->a, "%d", i - 1));
        store_put(&p[i].b, STR("turn"), arena_fmt(&f->a, "%d", i));
        p[i].c = (struct store_commit){.batch = &p[i].b, .done = pipelined_done, .user = &p[i]};
        store_submit(f->s, &p[i].c);
    }
    for (int i = 0; i < 64; i++) {
        while (!atomic_load(&p[i].done))
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        assert_int_equal(p[i].c.rc, STORE_OK);
    }
    fixture_expect(f, Q, "turn", "63");
}

const struct CMUnitTest conformance_together[] = {
    CASE(test_watch),
    CASE(test_watch_range_delete),
    CASE(test_watch_lazy),
    CASE(test_watches_are_bounded),
    CASE(test_board),
    CASE(test_threads_count),
    CASE(test_threads_compare_and_set),
    CASE(test_threads_see_whole_batches),
    CASE(test_submissions_keep_their_order),
};
const size_t conformance_together_n = sizeof conformance_together / sizeof conformance_together[0];
