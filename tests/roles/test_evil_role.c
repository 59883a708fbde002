/* test_evil_role.c: a role that was taken over speaks the store protocol correctly, and lies: it
 * asks for what is not its own, in every way it can think of. It must get nothing, change nothing,
 * and not be told "done". What is not even a request is in test_core_malformed.c. */
#include "roles/evil.h"

static const enum role_id roles[] = {ROLE_MX, ROLE_USER, ROLE_COURIER, ROLE_LOCAL};

static int ask_commit(struct raw *r, const struct store_head *h, part_t part,
                      const struct store_op *ops, size_t n)
{
    struct buf b;
    buf_init(&b, CHANNEL_FRAME_MAX);
    commit_into(&b, h, part, ops, n);
    int rc = raw_ask(r, STORE_MSG_COMMIT, buf_str(&b));
    buf_free(&b);
    return rc;
}

static int ask_op(struct raw *r, const struct store_head *h, part_t part, struct store_op op)
{
    return ask_commit(r, h, part, &op, 1);
}

static int ask_get(struct raw *r, const struct store_head *h, part_t part, str_t key)
{
    struct buf b;
    buf_init(&b, 4096);
    store_get_encode(&b, h, part, &key, 1);
    int rc = raw_ask(r, STORE_MSG_GET, buf_str(&b));
    buf_free(&b);
    return rc;
}

static int ask_scan(struct raw *r, const struct store_head *h, part_t part, str_t from, str_t end,
                    bool keys_only)
{
    struct buf b;
    struct store_scan q = {.part = part, .from = from, .end = end, .keys_only = keys_only};
    buf_init(&b, 4096);
    store_scan_encode(&b, h, &q);
    int rc = raw_ask(r, STORE_MSG_SCAN, buf_str(&b));
    buf_free(&b);
    return rc;
}

/* ---- not permitted ---- */

static void nobody_reads_secrets(void **state)
{
    (void)state;
    part_t parts[] = {{PART_SECRET, 0}, {PART_NODE, 0}, USER_P(VICTIM)};
    str_t keys[] = {STR("dkim/example.org"), STR("key"), STR("b/0123456789/0000")};
    for (size_t role = 0; role < sizeof roles / sizeof *roles; role++) {
        struct permissions table = evil(roles[role]);
        struct raw r = raw_open(&core, &table);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(ask_get(&r, &plain, parts[i], keys[i]), STORE_DENIED);
            assert_int_equal(ask_scan(&r, &plain, parts[i], STR_NONE, STR_NONE, false),
                             STORE_DENIED);
            assert_int_equal(ask_scan(&r, &plain, parts[i], STR_NONE, STR_NONE, true),
                             STORE_DENIED);
            assert_int_equal(ask_op(&r, &plain, parts[i],
                                    (struct store_op){.kind = STORE_EQUAL,
                                                      .key = keys[i],
                                                      .value = STR(SECRET_WORD)}),
                             STORE_DENIED);
        }
        raw_close(&r);
    }
    struct permissions admin = evil(ROLE_COUNT);
    struct raw r = raw_open(&core, &admin);
    assert_int_equal(ask_get(&r, &plain, parts[0], keys[0]), STORE_DENIED);
    assert_int_equal(ask_scan(&r, &plain, parts[0], STR_NONE, STR_NONE, true), STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, parts[0],
               (struct store_op){.kind = STORE_PUT, .key = STR("pw/x"), .value = STR("x")}),
        STORE_DENIED);
    raw_close(&r);
}

static void mx_cannot_read_by_testing(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_MX);
    struct raw r = raw_open(&core, &table);
    str_t m = STR("m/0123456789");
    assert_int_equal(ask_get(&r, &plain, QUEUE_P, m), STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){.kind = STORE_EQUAL, .key = m, .value = STR(SECRET_WORD)}),
        STORE_DENIED);
    assert_int_equal(ask_op(&r, &plain, QUEUE_P,
                            (struct store_op){.kind = STORE_EQUAL, .key = m, .value = STR("no")}),
                     STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P, (struct store_op){.kind = STORE_ADD, .key = m, .delta = 0}),
        STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){
                   .kind = STORE_PUT_NEXT, .key = m, .prefix = STR("c/"), .value = STR("x")}),
        STORE_DENIED);
    assert_int_equal(ask_op(&r, &plain, DIRECTORY_P,
                            (struct store_op){.kind = STORE_PRESENT, .key = STR("login/victim")}),
                     STORE_DENIED);
    assert_int_equal(ask_scan(&r, &plain, QUEUE_P, STR("m/"), STR("m0"), true), STORE_DENIED);
    assert_int_equal(ask_scan(&r, &plain, DIRECTORY_P, STR("acct/"), STR("acct0"), false),
                     STORE_DENIED);
    assert_int_equal(ask_scan(&r, &plain, DIRECTORY_P, STR("acct/"), STR("login0"), true),
                     STORE_DENIED);
    raw_close(&r);
}

static void mx_cannot_change_what_is_there(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_MX);
    struct raw r = raw_open(&core, &table);
    struct buf before;
    dump(&before);
    str_t m = STR("m/0123456789"), x = STR("x");
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P, (struct store_op){.kind = STORE_PUT, .key = m, .value = x}),
        STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P, (struct store_op){.kind = STORE_PUT_NEW, .key = m, .value = x}),
        STORE_CONFLICT);
    assert_int_equal(ask_op(&r, &plain, QUEUE_P, (struct store_op){.kind = STORE_DELETE, .key = m}),
                     STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){.kind = STORE_DELETE_RANGE, .key = STR("m/"), .value = STR("m0")}),
        STORE_DENIED);
    assert_int_equal(ask_op(&r, &plain, QUEUE_P, (struct store_op){.kind = STORE_DELETE_RANGE}),
                     STORE_DENIED);
    /* the content of a message that is there */
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){.kind = STORE_DELETE, .key = STR("c/0123456789/0000")}),
        STORE_CONFLICT);
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){.kind = STORE_DELETE_RANGE, .key = STR("c/"), .value = STR("c0")}),
        STORE_DENIED);
    /* a delivery of somebody else's mail to an address of mine */
    struct store_op ops[] = {
        {.kind = STORE_PUT_NEW, .key = STR("dl/0123456789/77"), .value = STR("me")},
        {.kind = STORE_PUT_NEW, .key = STR("dr/0123456789/77"), .value = STR("me")},
        {.kind = STORE_PUT_NEW, .key = STR("m/abcdefghij"), .value = STR("another's")}};
    assert_int_equal(ask_commit(&r, &plain, QUEUE_P, ops, 1), STORE_CONFLICT);
    assert_int_equal(ask_commit(&r, &plain, QUEUE_P, ops, 2), STORE_CONFLICT);
    assert_int_equal(ask_commit(&r, &plain, QUEUE_P, ops, 3), STORE_CONFLICT);
    /* one forbidden op takes the whole batch with it */
    struct store_op mixed[] = {{.kind = STORE_PUT_NEW, .key = STR("m/abcdefghij"), .value = x},
                               {.kind = STORE_PUT_NEW, .key = STR("t/abcdefghij"), .value = x}};
    assert_int_equal(ask_commit(&r, &plain, QUEUE_P, mixed, 2), STORE_DENIED);
    assert_unchanged(&before);
    /* and what it may, it may */
    assert_int_equal(
        ask_op(&r, &plain, QUEUE_P,
               (struct store_op){.kind = STORE_PUT_NEW, .key = STR("m/abcdefghij"), .value = x}),
        STORE_OK);
    raw_close(&r);
}

static void local_cannot_touch_delivered_mail(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_LOCAL);
    struct raw r = raw_open(&core, &table);
    struct buf before;
    dump(&before);
    part_t u = USER_P(VICTIM);
    str_t body = STR("b/0123456789/0000"), x = STR("x");
    assert_int_equal(ask_get(&r, &plain, u, body), STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, u, (struct store_op){.kind = STORE_PUT, .key = body, .value = x}),
        STORE_CONFLICT);
    assert_int_equal(ask_op(&r, &plain, u, (struct store_op){.kind = STORE_DELETE, .key = body}),
                     STORE_CONFLICT);
    /* the mark that guards it: neither alone, nor together with what it guards */
    struct store_op both[] = {
        {.kind = STORE_DELETE, .key = STR("seen/0123456789")},
        {.kind = STORE_DELETE_RANGE, .key = STR("b/0123456789/"), .value = STR("b/01234567890")},
        {.kind = STORE_PUT_NEW, .key = STR("b/0123456789/\0\0\0\0"), .value = x}};
    for (size_t n = 1; n <= 3; n++)
        assert_int_equal(ask_commit(&r, &plain, u, both, n), STORE_CONFLICT);
    assert_int_equal(ask_op(&r, &plain, u,
                            (struct store_op){.kind = STORE_DELETE_RANGE,
                                              .key = STR("seen/"),
                                              .value = STR("seen0")}),
                     STORE_DENIED);
    assert_int_equal(ask_op(&r, &plain, u,
                            (struct store_op){.kind = STORE_DELETE, .key = STR("u/0001/00000001")}),
                     STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, u,
               (struct store_op){.kind = STORE_PUT, .key = STR("u/0001/00000001"), .value = x}),
        STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &plain, u,
               (struct store_op){.kind = STORE_ADD, .key = STR("uid/0001"), .delta = -1}),
        STORE_DENIED);
    assert_int_equal(ask_scan(&r, &plain, u, STR("u/"), STR("u0"), true), STORE_DENIED);
    assert_unchanged(&before);
    raw_close(&r);
}

/* ---- sessions ---- */

static int login_for(struct raw *r, enum store_use use, const char *name, const char *password,
                     struct store_head *session)
{
    struct buf b;
    struct frame f;
    struct store_login_reply reply;
    struct store_login_req q = {
        .login = {.use = use, .name = str_c(name), .password = str_c(password)}};
    buf_init(&b, 4096);
    store_login_encode(&b, &q);
    raw_send(r, STORE_MSG_LOGIN, 9, buf_str(&b));
    buf_free(&b);
    assert_true(raw_read(r, &f));
    if (f.payload.len == 1)
        return (uint8_t)f.payload.ptr[0]; /* not permitted at all */
    assert_true(store_login_reply_decode(f.payload, &reply));
    *session = (struct store_head){.has_token = reply.rc == RC_OK};
    memcpy(session->token, reply.token, STORE_TOKEN_LEN);
    return (int)reply.rc;
}

static int login(struct raw *r, const char *name, const char *password, struct store_head *session)
{
    return login_for(r, STORE_USE_READ, name, password, session);
}

static void sessions_are_where_they_were_made(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_USER);
    struct raw a = raw_open(&core, &table), b = raw_open(&core, &table);
    struct store_head mine, guess = {.has_token = true};
    core_put(&core, USER_P(OWN_ID), STR("f/0001"), STR("my own"));
    /* before login: nothing */
    assert_int_equal(ask_get(&a, &plain, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    assert_int_equal(login(&a, "me", "mine", &mine), RC_OK);
    assert_int_equal(ask_get(&a, &mine, USER_P(OWN_ID), STR("f/0001")), STORE_OK);
    /* the channel itself: still nothing */
    assert_int_equal(ask_get(&a, &plain, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    /* a token of another channel */
    assert_int_equal(ask_get(&b, &mine, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    assert_int_equal(ask_get(&a, &guess, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    guess = mine;
    guess.token[STORE_TOKEN_LEN - 1] ^= 1;
    assert_int_equal(ask_get(&a, &guess, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    assert_int_equal(ask_get(&a, &mine, USER_P(VICTIM), STR("b/0123456789/0000")), STORE_DENIED);
    assert_int_equal(ask_scan(&a, &mine, USER_P(VICTIM), STR("b/"), STR("b0"), false),
                     STORE_DENIED);
    assert_int_equal(
        ask_op(&a, &mine, USER_P(VICTIM),
               (struct store_op){.kind = STORE_DELETE, .key = STR("b/0123456789/0000")}),
        STORE_DENIED);
    assert_int_equal(ask_get(&a, &mine, (part_t){PART_SECRET, OWN_ID}, STR("pw/")), STORE_DENIED);
    assert_int_equal(
        ask_op(
            &a, &mine, USER_P(OWN_ID),
            (struct store_op){.kind = STORE_PUT, .key = STR("uid/0001"), .value = STR("00000000")}),
        STORE_DENIED);
    assert_int_equal(ask_op(&a, &mine, QUEUE_P,
                            (struct store_op){.kind = STORE_PUT_NEW,
                                              .key = STR("m/abcdefghij"),
                                              .value = STR("x")}),
                     STORE_DENIED);
    /* a session opens no session, and sets no password */
    struct buf q;
    struct store_login_req again = {
        .head = mine, .login = {.use = STORE_USE_READ, .name = STR("me"), .password = STR("mine")}};
    buf_init(&q, 4096);
    store_login_encode(&q, &again);
    assert_int_equal(raw_ask(&a, STORE_MSG_LOGIN, buf_str(&q)), RC_PERM);
    buf_clear(&q);
    store_head_encode(&q, &mine);
    buf_u64(&q, OWN_ID);
    buf_str16(&q, STR("hacked"));
    assert_int_equal(raw_ask(&a, STORE_MSG_SET_PASSWORD, buf_str(&q)), RC_PERM);
    buf_clear(&q);
    store_head_encode(&q, &mine);
    assert_int_equal(raw_ask(&a, STORE_MSG_LOGOUT, buf_str(&q)), STORE_OK);
    assert_int_equal(raw_ask(&a, STORE_MSG_LOGOUT, buf_str(&q)), STORE_EXPIRED);
    assert_int_equal(ask_get(&a, &mine, USER_P(OWN_ID), STR("f/0001")), STORE_DENIED);
    buf_free(&q);
    raw_close(&a);
    raw_close(&b);
}

static void only_the_user_role_logs_in(void **state)
{
    (void)state;
    const enum role_id others[] = {ROLE_MX, ROLE_COURIER, ROLE_LOCAL, ROLE_COUNT};
    for (size_t i = 0; i < 4; i++) {
        struct permissions table = evil(others[i]);
        struct raw r = raw_open(&core, &table);
        struct store_head session;
        assert_int_equal(login(&r, "me", "mine", &session), RC_PERM);
        assert_int_equal(login_for(&r, STORE_USE_SEND, "me", "mine", &session), RC_PERM);
        raw_close(&r);
    }
    struct permissions table = evil(ROLE_USER);
    struct raw r = raw_open(&core, &table);
    struct buf q;
    buf_init(&q, 4096);
    store_head_encode(&q, &plain);
    buf_u64(&q, VICTIM);
    buf_str16(&q, STR("hacked"));
    assert_int_equal(raw_ask(&r, STORE_MSG_SET_PASSWORD, buf_str(&q)), RC_PERM);
    /* nor gives itself a password or a certificate, nor sees which there are */
    const enum store_msg types[] = {STORE_MSG_ADD_PASSWORD, STORE_MSG_REMOVE_PASSWORD,
                                    STORE_MSG_LIST_PASSWORDS, STORE_MSG_CERTIFICATE};
    struct store_password_req wish = {.account = VICTIM,
                                      .uses = STORE_USES_ALL,
                                      .name = STR("main"),
                                      .password = STR("0123456789abcdef0123456789abcdef")};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        buf_clear(&q);
        store_password_encode(&q, types[i], &wish);
        assert_int_equal(raw_ask(&r, (uint8_t)types[i], buf_str(&q)), RC_PERM);
    }
    struct store_head session;
    assert_int_equal(login(&r, "victim", "theirs", &session), RC_OK);
    buf_free(&q);
    raw_close(&r);
}

/* A message of one's own, as a session puts it in. */
static int put_mail(struct raw *r, const struct store_head *h)
{
    const struct store_op ops[] = {
        {.kind = STORE_PUT_NEW, .key = STR("c/abcdefghij/0000"), .value = STR("content")},
        {.kind = STORE_PUT_NEW, .key = STR("m/abcdefghij"), .value = STR("x")},
        {.kind = STORE_PUT_NEW, .key = STR("dr/abcdefghij/00"), .value = STR("x")},
        {.kind = STORE_PUT_NEW, .key = STR("dl/abcdefghij/00"), .value = STR("x")}};
    return ask_commit(r, h, QUEUE_P, ops, 4);
}

/* The user role itself has neither; a session has what it was opened for. */
static void a_session_does_what_it_is_for(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_USER);
    struct raw r = raw_open(&core, &table);
    struct store_head reads, sends;
    struct buf before;
    core_put(&core, USER_P(OWN_ID), STR("f/0001"), STR("my own"));
    core_put(&core, USER_P(OWN_ID), STR("b/0123456789/0000"), STR(SECRET_WORD));
    assert_int_equal(login_for(&r, STORE_USE_READ, "me", "mine", &reads), RC_OK);
    assert_int_equal(login_for(&r, STORE_USE_SEND, "me", "mine", &sends), RC_OK);
    dump(&before);
    assert_int_equal(put_mail(&r, &plain), STORE_DENIED);
    assert_int_equal(put_mail(&r, &reads), STORE_DENIED);
    assert_int_equal(ask_get(&r, &reads, DIRECTORY_P, STR("addr/example.org/me")), STORE_DENIED);
    const str_t own[] = {STR("f/0001"), STR("b/0123456789/0000"), STR("u/0001/00000001"),
                         STR("seen/0123456789"), STR("uid/0001")};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        assert_int_equal(ask_get(&r, &sends, USER_P(OWN_ID), own[i]), STORE_DENIED);
        assert_int_equal(ask_op(&r, &sends, USER_P(OWN_ID),
                                (struct store_op){.kind = STORE_DELETE, .key = own[i]}),
                         STORE_DENIED);
    }
    assert_int_equal(ask_scan(&r, &sends, USER_P(OWN_ID), STR("b/"), STR("b0"), false),
                     STORE_DENIED);
    assert_int_equal(ask_get(&r, &sends, USER_P(VICTIM), STR("rate/h")), STORE_DENIED);
    assert_int_equal(ask_get(&r, &sends, QUEUE_P, STR("m/0123456789")), STORE_DENIED);
    assert_int_equal(ask_get(&r, &sends, QUEUE_P, STR("c/0123456789/0000")), STORE_DENIED);
    assert_int_equal(ask_get(&r, &sends, (part_t){PART_SECRET, 0}, STR("fake-salt")), STORE_DENIED);
    assert_int_equal(ask_get(&r, &sends, DIRECTORY_P, STR("login/victim")), STORE_DENIED);
    assert_int_equal(
        ask_op(&r, &sends, DIRECTORY_P,
               (struct store_op){.kind = STORE_PUT, .key = STR("tab/grant/x"), .value = STR("me")}),
        STORE_DENIED);
    /* more deliveries for a message that is there, or another's content gone */
    assert_int_equal(ask_op(&r, &sends, QUEUE_P,
                            (struct store_op){.kind = STORE_PUT_NEW,
                                              .key = STR("dr/0123456789/77"),
                                              .value = STR("me")}),
                     STORE_CONFLICT);
    assert_int_equal(
        ask_op(&r, &sends, QUEUE_P,
               (struct store_op){.kind = STORE_DELETE, .key = STR("c/0123456789/0000")}),
        STORE_CONFLICT);
    assert_unchanged(&before);
    /* and what each may, it may */
    assert_int_equal(ask_get(&r, &reads, USER_P(OWN_ID), STR("b/0123456789/0000")), STORE_OK);
    assert_int_equal(ask_get(&r, &sends, DIRECTORY_P, STR("addr/example.org/me")), STORE_OK);
    assert_int_equal(
        ask_op(&r, &sends, USER_P(OWN_ID),
               (struct store_op){.kind = STORE_ADD, .key = STR("rate/h/1"), .delta = 3}),
        STORE_OK);
    assert_int_equal(
        ask_op(&r, &sends, USER_P(OWN_ID),
               (struct store_op){.kind = STORE_ADD, .key = STR("rate/h/1"), .delta = -3}),
        STORE_DENIED);
    assert_int_equal(put_mail(&r, &sends), STORE_OK);
    raw_close(&r);
}

/* ---- snapshots of others ---- */

static uint64_t open_snapshot(struct raw *r, int *rc)
{
    struct buf q;
    struct frame f;
    buf_init(&q, 64);
    store_head_encode(&q, &plain);
    store_part_encode(&q, QUEUE_P);
    raw_send(r, STORE_MSG_SNAPSHOT_OPEN, 5, buf_str(&q));
    buf_free(&q);
    assert_true(raw_read(r, &f));
    struct cursor c = cursor_of(f.payload);
    *rc = cursor_u8(&c);
    return *rc == STORE_OK ? cursor_u64(&c) : 0;
}

static void snapshots_are_bounded_and_ones_own(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_COURIER);
    struct raw a = raw_open(&core, &table), b = raw_open(&core, &table);
    int rc, ok = 0;
    uint64_t id = 0;
    for (int i = 0; i < 500; i++) {
        uint64_t got = open_snapshot(&a, &rc);
        assert_true(rc == STORE_OK || rc == STORE_LIMIT);
        ok += rc == STORE_OK;
        id = got != 0 ? got : id;
    }
    assert_int_equal(ok, CORE_SNAPSHOTS);
    open_snapshot(&b, &rc); /* a flood is the flooder's own trouble */
    assert_int_equal(rc, STORE_OK);
    struct buf q;
    struct store_scan scan = {.part = QUEUE_P, .from = STR("m/"), .end = STR("m0"), .snapshot = id};
    buf_init(&q, 256);
    store_scan_encode(&q, &plain, &scan);
    assert_int_equal(raw_ask(&a, STORE_MSG_SCAN, buf_str(&q)), STORE_OK);
    assert_int_equal(raw_ask(&b, STORE_MSG_SCAN, buf_str(&q)), STORE_EXPIRED);
    buf_free(&q);
    raw_close(&a);
    raw_close(&b);
}

static void watches_tell_only_what_may_be_watched(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_COURIER);
    struct raw r = raw_open(&core, &table);
    struct buf q;
    const str_t prefixes[] = {STR_NONE, STR("d"), STR("m/"), STR("dl/"), STR("lease/local")};
    buf_init(&q, 4096);
    for (size_t i = 0; i < 5; i++) {
        struct store_watch_req w = {.part = QUEUE_P, .prefix = prefixes[i]};
        buf_clear(&q);
        store_watch_encode(&q, &w);
        assert_int_equal(raw_ask(&r, STORE_MSG_WATCH, buf_str(&q)), STORE_DENIED);
    }
    struct store_watch_req w = {.part = QUEUE_P, .prefix = STR("dr/")};
    buf_clear(&q);
    store_watch_encode(&q, &w);
    assert_int_equal(raw_ask(&r, STORE_MSG_WATCH, buf_str(&q)), STORE_OK);
    core_put(&core, QUEUE_P, STR("dl/secret"), STR(SECRET_WORD));
    core_put(&core, QUEUE_P, STR("dr/mine"), STR("hello"));
    struct frame f;
    struct store_hint h;
    assert_true(raw_read(&r, &f));
    assert_int_equal(f.id, 0);
    struct cursor c = cursor_of(f.payload);
    assert_true(store_hint_decode(&c, &h));
    assert_true(str_eq(h.key, STR("dr/mine")));
    assert_true(cursor_end(&c));
    buf_free(&q);
    raw_close(&r);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nobody_reads_secrets),
        CASE(mx_cannot_read_by_testing),
        CASE(mx_cannot_change_what_is_there),
        CASE(local_cannot_touch_delivered_mail),
        CASE(sessions_are_where_they_were_made),
        CASE(only_the_user_role_logs_in),
        CASE(a_session_does_what_it_is_for),
        CASE(snapshots_are_bounded_and_ones_own),
        CASE(watches_tell_only_what_may_be_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
