/* test_store_remote.c: the client of the core role: the conformance suite through a socket to a
 * core over the memory engine, and what only a client can see: core dying, a board that changes
 * hands, hints that are not listened to, logins. */
#include <pthread.h>
#include <time.h>

#include "roles/core_fixture.h"
/* after cmocka's prerequisites */
#include "store/conformance.h"
#include "store/lmdb_dir.h"

/* ---- conformance ---- */

static struct core_fixture suite_core;

static struct store *suite_store(void)
{
    struct store *s = core_store(&suite_core, &core_any);
    uint64_t snapshot;
    /* now the socket is in use: the board is core's */
    assert_int_equal(store_snapshot_open(s, Q, &snapshot), STORE_OK);
    store_snapshot_close(s, snapshot);
    return s;
}

static struct store *suite_open(void)
{
    core_up(&suite_core);
    return suite_store();
}

static void suite_close(struct store *s)
{
    store_close(s);
    core_down(&suite_core);
}

static struct store *suite_damage(struct store *s, part_t part, str_t key, str_t value)
{
    (void)value;
    store_memory_damage(suite_core.engine, part, key);
    return s;
}

static void suite_age(struct store *s, int64_t ms)
{
    (void)s;
    store_memory_age_snapshots(suite_core.engine, ms);
}

static const struct conformance suite = {.name = "store/remote",
                                         .open = suite_open,
                                         .close = suite_close,
                                         .damage = suite_damage,
                                         .age_snapshots = suite_age};

/* The same over LMDB, whose commit threads tell when a run of answers is over. */
static struct lmdb_dir lmdb;

static void lmdb_flush(void *user, bool queue)
{
    (void)user, (void)queue;
    core_server_flush();
}

static struct store *lmdb_open(void)
{
    struct err err;
    log_quiet(true);
    sys_env_init(&suite_core.env);
    assert_true(lmdb_dir_make(&lmdb));
    suite_core.engine = lmdb_dir_open(&lmdb);
    assert_non_null(suite_core.engine);
    suite_core.cs = core_server_new(suite_core.engine, &suite_core.env, &err);
    assert_non_null(suite_core.cs);
    core_server_gather(suite_core.cs);
    store_lmdb_set_flush(suite_core.engine, lmdb_flush, NULL);
    return suite_store();
}

static void lmdb_close(struct store *s)
{
    suite_close(s);
    lmdb_dir_remove(&lmdb);
}

static void lmdb_age(struct store *s, int64_t ms)
{
    (void)s;
    store_lmdb_age_snapshots(suite_core.engine, ms);
}

static const struct conformance lmdb_suite = {.name = "store/remote over lmdb",
                                              .open = lmdb_open,
                                              .close = lmdb_close,
                                              .age_snapshots = lmdb_age};

/* ---- a store whose core comes and goes ---- */

struct remote_fixture {
    struct core_fixture core;
    struct store *s;
    struct channel *ch;
    struct arena a;
};

static void up(struct remote_fixture *f)
{
    core_up(&f->core);
    f->s = store_remote_new(&f->core.env, &f->ch);
    assert_non_null(f->s);
    arena_init(&f->a, 8 << 20);
}

static void down(struct remote_fixture *f)
{
    store_close(f->s);
    core_down(&f->core);
    arena_free(&f->a);
}

/* Returns once the new socket is in use, so that tests know which core they talk to. */
static void attach(struct remote_fixture *f)
{
    bool present;
    str_t value;
    channel_attach(f->ch, core_socket(&f->core, &core_any));
    assert_int_equal(store_get1(f->s, Q, STR("?"), &f->a, &present, &value), STORE_OK);
}

/* Core is started again over the same engine, as after a crash. */
static void restart_core(struct remote_fixture *f)
{
    struct err err;
    core_server_free(f->core.cs);
    store_memory_reopen(f->core.engine, 0);
    f->core.cs = core_server_new(f->core.engine, &f->core.env, &err);
    assert_non_null(f->core.cs);
}

static enum store_rc put(struct store *s, str_t key, str_t value)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 4096);
    store_batch_init(&b, Q, &a);
    store_put(&b, key, value);
    enum store_rc rc = store_commit(s, &b);
    arena_free(&a);
    return rc;
}

struct waiting_commit {
    struct store_commit c;
    _Atomic bool done;
};

static void waiting_done(struct store_commit *c)
{
    atomic_store(&((struct waiting_commit *)c->user)->done, true);
}

static void submit(struct store *s, struct waiting_commit *w, struct store_batch *b,
                   int64_t deadline_ms)
{
    *w = (struct waiting_commit){
        .c = {.batch = b, .done = waiting_done, .user = w, .deadline_ms = deadline_ms}};
    store_submit(s, &w->c);
}

static void wait_until(_Atomic bool *flag)
{
    for (int i = 0; i < 20000 && !atomic_load(flag); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(atomic_load(flag));
}

static void nothing_sent_is_down(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct waiting_commit w;
    struct store_batch b;
    up(&f);
    store_batch_init(&b, Q, &f.a);
    store_put(&b, STR("k"), STR("v"));
    submit(f.s, &w, &b, f.core.env.mono_ms(&f.core.env) + 30);
    wait_until(&w.done);
    assert_int_equal(w.c.rc, STORE_DOWN);
    assert_int_equal(store_memory_batches(f.core.engine), 0);
    down(&f);
}

/* A core that takes everything and answers nothing. */
static _Atomic bool mute_got_commit;
static bool mute_request(void *user, struct channel_peer *p, uint8_t type, uint64_t id,
                         str_t payload, int fd)
{
    (void)user, (void)p, (void)id, (void)payload, (void)fd;
    if (type == STORE_MSG_COMMIT)
        atomic_store(&mute_got_commit, true);
    return type != STORE_MSG_COMMIT; /* dies of it */
}
static void mute_closed(void *user, struct channel_peer *p)
{
    (void)user, (void)p;
}
static const struct channel_server_ops mute_ops = {.request = mute_request, .closed = mute_closed};

static void sent_and_no_answer_is_unknown(void **state)
{
    (void)state;
    struct remote_fixture f;
    int sv[2];
    up(&f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    assert_non_null(channel_serve(sv[1], &mute_ops, NULL));
    channel_attach(f.ch, sv[0]);
    assert_int_equal(put(f.s, STR("k"), STR("v")), STORE_UNKNOWN);
    assert_true(atomic_load(&mute_got_commit));
    /* and the next core is a core like any other */
    attach(&f);
    assert_int_equal(put(f.s, STR("k"), STR("v")), STORE_OK);
    down(&f);
}

static void goes_on_with_a_new_core(void **state)
{
    (void)state;
    struct remote_fixture f;
    bool present;
    str_t value;
    up(&f);
    for (int i = 0; i < 5; i++) {
        attach(&f);
        assert_int_equal(put(f.s, STR("k"), STR("v")), STORE_OK);
        restart_core(&f);
    }
    attach(&f);
    assert_int_equal(store_get1(f.s, Q, STR("k"), &f.a, &present, &value), STORE_OK);
    assert_true(present && str_eq(value, STR("v")));
    down(&f);
}

static void big_batches_arrive_whole(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct store_value v[40];
    str_t keys[40], values[40];
    struct store_batch b;
    up(&f);
    attach(&f);
    store_batch_init(&b, Q, &f.a);
    for (size_t i = 0; i < 40;
         i++) { /* more big values than are sent in place, small ones between them */
        size_t len = i % 3 == 0 ? 10 : 4000 + 700 * i;
        char *bytes = arena_alloc(&f.a, len);
        memset(bytes, (int)('A' + i), len);
        values[i] = str_of(bytes, len);
        keys[i] = arena_fmt(&f.a, "key%02zu", i);
        store_put(&b, keys[i], values[i]);
    }
    assert_int_equal(store_commit(f.s, &b), STORE_OK);
    assert_int_equal(store_get(f.s, Q, keys, 40, &f.a, v), STORE_OK);
    for (size_t i = 0; i < 40; i++)
        assert_true(v[i].present && str_eq(v[i].value, values[i]));
    down(&f);
}

static void too_many_keys_is_a_limit(void **state)
{
    (void)state;
    struct remote_fixture f;
    static str_t keys[STORE_GET_KEYS + 1];
    static struct store_value v[STORE_GET_KEYS + 1];
    up(&f);
    attach(&f);
    for (size_t i = 0; i <= STORE_GET_KEYS; i++)
        keys[i] = STR("k");
    assert_int_equal(store_get(f.s, Q, keys, STORE_GET_KEYS, &f.a, v), STORE_OK);
    assert_int_equal(store_get(f.s, Q, keys, STORE_GET_KEYS + 1, &f.a, v), STORE_LIMIT);
    down(&f);
}

/* ---- the board ---- */

static uint64_t generation(struct store *s)
{
    return atomic_load(&store_board(s)->generation[PART_QUEUE]);
}

static void a_board_is_there_before_anything_is_read(void **state)
{
    (void)state;
    struct remote_fixture f;
    up(&f);
    const struct store_board *board = store_board(f.s); /* may be kept */
    uint64_t none = generation(f.s);
    assert_true(atomic_load(&board->free_bytes) > 0);
    attach(&f);
    /* what was read, was read with core's board in place */
    uint64_t before = generation(f.s);
    assert_int_not_equal(before, none);
    assert_int_equal(generation(f.s), before);
    assert_int_equal(put(f.s, STR("k"), STR("v")), STORE_OK);
    assert_int_not_equal(generation(f.s), before);
    assert_ptr_equal(store_board(f.s), board);
    down(&f);
}

static void a_new_core_has_other_generations(void **state)
{
    (void)state;
    struct remote_fixture f;
    uint64_t seen[8];
    up(&f);
    for (size_t i = 0; i < 8; i++) {
        attach(&f);
        seen[i] = generation(f.s);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(seen[i], seen[k]);
        restart_core(&f);
    }
    down(&f);
}

/* ---- watches ---- */

struct heard {
    _Atomic int puts, deleted, lost;
    _Atomic bool hold;
};

static void on_hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    struct heard *h = user;
    assert_int_equal(part.kind, PART_QUEUE);
    (void)value;
    while (atomic_load(&h->hold))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (key.len == 0)
        atomic_fetch_add(&h->lost, 1);
    else if (deleted)
        atomic_fetch_add(&h->deleted, 1);
    else
        atomic_fetch_add(&h->puts, 1);
}

static void wait_count(_Atomic int *n, int least)
{
    for (int i = 0; i < 20000 && atomic_load(n) < least; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(atomic_load(n) >= least);
}

static void watches_survive_core(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct heard h = {0};
    up(&f);
    attach(&f);
    assert_int_equal(store_watch(f.s, Q, STR("d"), on_hint, &h), STORE_OK);
    assert_int_equal(put(f.s, STR("d1"), STR("v")), STORE_OK);
    assert_int_equal(put(f.s, STR("e1"), STR("v")), STORE_OK);
    wait_count(&h.puts, 1);
    assert_int_equal(atomic_load(&h.lost), 0);
    restart_core(&f);
    attach(&f);
    wait_count(&h.lost, 1); /* set again: what happened in between is not known */
    assert_int_equal(put(f.s, STR("d2"), STR("v")), STORE_OK);
    wait_count(&h.puts, 2);
    assert_int_equal(atomic_load(&h.puts), 2);
    down(&f);
}

static void a_slow_watcher_is_told_that_hints_were_lost(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct heard h = {.hold = true};
    char *big = malloc(STORE_HINT_VALUE);
    memset(big, 'x', STORE_HINT_VALUE);
    up(&f);
    attach(&f);
    assert_int_equal(store_watch(f.s, Q, STR("d"), on_hint, &h), STORE_OK);
    struct store *other = core_store(&f.core, &core_any);
    enum { PUTS = 3 * STORE_HINTS_UNACKED / STORE_HINT_VALUE };
    for (int i = 0; i < PUTS; i++) /* nobody listens: and nobody waits for them */
        assert_int_equal(put(other, STR("d1"), str_of(big, STORE_HINT_VALUE)), STORE_OK);
    assert_int_equal(atomic_load(&h.lost), 0);
    atomic_store(&h.hold, false);
    wait_count(&h.lost, 1);
    assert_true(atomic_load(&h.puts) < PUTS);
    int before = atomic_load(&h.puts);
    assert_int_equal(put(other, STR("d1"), STR("small")), STORE_OK); /* and then it goes on */
    wait_count(&h.puts, before + 1);
    store_close(other);
    down(&f);
    free(big);
}

static void watches_are_limited(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct heard h = {0};
    up(&f);
    attach(&f);
    for (int i = 0; i < STORE_WATCHES; i++)
        assert_int_equal(store_watch(f.s, Q, arena_fmt(&f.a, "w%d", i), on_hint, &h), STORE_OK);
    assert_int_equal(store_watch(f.s, Q, STR("w"), on_hint, &h), STORE_LIMIT);
    down(&f);
}

/* ---- logins ---- */

static void logins(void **state)
{
    (void)state;
    struct remote_fixture f;
    struct err err;
    struct store *session = NULL, *again = NULL;
    uint64_t account = 0;
    uint32_t hold_ms = 1;
    bool present;
    str_t value;
    up(&f);
    attach(&f);
    core_add_account(&f.core, f.s, "me@example.org", 5, "right");
    core_put(&f.core, U(5), STR("f/1"), STR("mine"));
    core_put(&f.core, U(6), STR("f/1"), STR("yours"));
    /* the same words whatever was wrong */
    struct err unknown;
    assert_int_equal(store_remote_login_password(f.s, STR("no@example.org"), STR("right"), NULL,
                                                 &account, &session, &hold_ms, &unknown),
                     RC_PERM);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR("wrong"), NULL,
                                                 &account, &session, &hold_ms, &err),
                     RC_PERM);
    assert_string_equal(err.text, unknown.text);
    assert_int_equal(hold_ms, 0); /* nobody's address */
    struct netaddr stranger = {.family = NETADDR_V4, .bytes = {192, 0, 2, 1}};
    for (uint32_t want = 2000; want <= 4000; want *= 2) {
        assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR("wrong"),
                                                     &stranger, &account, &session, &hold_ms, &err),
                         RC_PERM);
        assert_int_equal(hold_ms, want);
    }
    assert_string_equal(err.status, "5.7.8");
    assert_null(session);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR(""), NULL,
                                                 &account, &session, &hold_ms, &err),
                     RC_PERM);

    assert_int_equal(store_remote_login_password(f.s, STR("ME@example.org"), STR("right"), NULL,
                                                 &account, &session, &hold_ms, &err),
                     RC_OK);
    assert_int_equal(account, 5);
    assert_int_equal(store_get1(session, U(5), STR("f/1"), &f.a, &present, &value), STORE_OK);
    assert_true(present && str_eq(value, STR("mine")));
    assert_int_equal(store_get1(session, U(6), STR("f/1"), &f.a, &present, &value), STORE_DENIED);
    assert_int_equal(store_watch(session, U(5), STR("f/"), on_hint, NULL), STORE_DENIED);

    /* a new password is the password; none locks */
    assert_int_equal(store_remote_set_password(f.s, 5, STR("new"), &err), RC_OK);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR("right"), NULL,
                                                 &account, &again, &hold_ms, &err),
                     RC_PERM);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR("new"), NULL,
                                                 &account, &again, &hold_ms, &err),
                     RC_OK);
    store_close(again);
    assert_int_equal(store_remote_set_password(f.s, 5, STR_NONE, &err), RC_OK);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR(""), NULL,
                                                 &account, &again, &hold_ms, &err),
                     RC_PERM);
    assert_int_equal(store_remote_login_password(f.s, STR("me@example.org"), STR("new"), NULL,
                                                 &account, &again, &hold_ms, &err),
                     RC_PERM);

    /* a session ends with core */
    restart_core(&f);
    attach(&f);
    assert_int_equal(store_get1(f.s, U(5), STR("f/1"), &f.a, &present, &value), STORE_OK);
    assert_int_equal(store_get1(session, U(5), STR("f/1"), &f.a, &present, &value), STORE_DOWN);
    store_close(session);
    down(&f);
}

/* ---- many at once, through one channel ---- */

enum { THREADS = 8, EACH = 200 };

static void *adder(void *arg)
{
    struct store *s = arg;
    for (int i = 0; i < EACH; i++) {
        struct arena a;
        struct store_batch b;
        arena_init(&a, 4096);
        store_batch_init(&b, Q, &a);
        store_add(&b, STR("counter"), 1);
        assert_int_equal(store_commit(s, &b), STORE_OK);
        arena_free(&a);
    }
    return NULL;
}

static void many_threads_share_a_channel(void **state)
{
    (void)state;
    struct remote_fixture f;
    pthread_t t[THREADS];
    struct store_batch b;
    up(&f);
    attach(&f);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, adder, f.s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    store_batch_init(&b, Q, &f.a);
    size_t at = store_add(&b, STR("counter"), 0);
    assert_int_equal(store_commit(f.s, &b), STORE_OK);
    assert_int_equal(b.ops[at].number, THREADS * EACH);
    down(&f);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(nothing_sent_is_down),
        cmocka_unit_test(sent_and_no_answer_is_unknown),
        cmocka_unit_test(goes_on_with_a_new_core),
        cmocka_unit_test(big_batches_arrive_whole),
        cmocka_unit_test(too_many_keys_is_a_limit),
        cmocka_unit_test(a_board_is_there_before_anything_is_read),
        cmocka_unit_test(a_new_core_has_other_generations),
        cmocka_unit_test(watches_survive_core),
        cmocka_unit_test(a_slow_watcher_is_told_that_hints_were_lost),
        cmocka_unit_test(watches_are_limited),
        cmocka_unit_test(logins),
        cmocka_unit_test(many_threads_share_a_channel),
    };
    int failed = conformance_run(&suite) + conformance_run(&lmdb_suite);
    return failed + cmocka_run_group_tests_name("store/remote", own, NULL, NULL);
}
