/* test_evil_role.c: a role that was taken over speaks the store protocol with every lie it can think of. Core must not crash, must
 * not reveal, must not change what it should not, and must not say "done" to what it did not do. */
#include <dirent.h>
#include <stdio.h>

#include "base/buf.h"
#include "roles/core_fixture.h"

#define SECRET_WORD "TOPSECRET"
#define QUEUE_P     ((part_t){PART_QUEUE, 0})
#define DIRECTORY_P ((part_t){PART_DIRECTORY, 0})
#define USER_P(n)   ((part_t){PART_USER, (n)})
#define OWN_ID      17u
#define VICTIM      18u

static struct core_fixture core;
static const struct store_head plain;

/* Things worth stealing, in every partition. */
static int setup(void **state)
{
    (void)state;
    core_up(&core);
    struct store *admin = core_store(&core, permissions_of(ROLE_COUNT));
    core_add_account(&core, admin, "me", OWN_ID, "mine");
    core_add_account(&core, admin, "victim", VICTIM, "theirs");
    store_close(admin);
    core_put(&core, (part_t){PART_NODE, 0}, STR("key"), STR(SECRET_WORD));
    core_put(&core, (part_t){PART_SECRET, 0}, STR("dkim/example.org"), STR(SECRET_WORD));
    core_put(&core, USER_P(VICTIM), STR("b/0123456789/0000"), STR(SECRET_WORD));
    core_put(&core, USER_P(VICTIM), STR("u/0001/00000001"), STR(SECRET_WORD));
    core_put(&core, USER_P(VICTIM), STR("seen/0123456789"), STR("1"));
    core_put(&core, QUEUE_P, STR("m/0123456789"), STR(SECRET_WORD));
    core_put(&core, QUEUE_P, STR("c/0123456789/0000"), STR(SECRET_WORD));
    core_put(&core, QUEUE_P, STR("dl/0123456789/00"), STR(SECRET_WORD));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    core_down(&core);
    return 0;
}

/* Tables as they are, but with room for many connections of one test. */
static struct permissions evil(enum role_id role)
{
    struct permissions p = *permissions_of(role);
    p.clients_max = 100000;
    return p;
}

static const enum role_id roles[] = {ROLE_MX, ROLE_USER, ROLE_COURIER, ROLE_LOCAL};

/* Everything the engine holds, as one string of bytes. */
static void dump(struct buf *out)
{
    buf_init(out, 64 << 20);
    for (int kind = 0; kind < PART_KINDS; kind++)
        for (uint64_t id = 0; id < 32; id++) {
            if (id > 0 && kind != PART_USER && kind != PART_QUEUE)
                break;
            struct arena a;
            struct store_page page;
            arena_init(&a, 32 << 20);
            struct store_scan q = {.part = {(enum part_kind)kind, id}};
            assert_int_equal(store_scan(core.engine, &q, &a, &page), STORE_OK);
            assert_false(page.more);
            for (size_t i = 0; i < page.n; i++) {
                buf_u8(out, (uint8_t)kind);
                buf_u64(out, id);
                buf_str16(out, page.rows[i].key);
                buf_str32(out, page.rows[i].value);
            }
            arena_free(&a);
        }
    assert_false(out->failed);
}

static void assert_unchanged(struct buf *before)
{
    struct buf after;
    dump(&after);
    assert_true(str_eq(buf_str(before), buf_str(&after)));
    buf_free(&after);
    buf_free(before);
}

/* Core answers an honest question, still. */
static void assert_alive(void)
{
    struct arena a;
    bool present;
    str_t value;
    struct store *admin = core_store(&core, permissions_of(ROLE_COUNT));
    arena_init(&a, 65536);
    assert_int_equal(store_get1(admin, QUEUE_P, STR("m/0123456789"), &a, &present, &value),
                     STORE_OK);
    assert_true(present);
    arena_free(&a);
    store_close(admin);
}

/* ---- requests to tell lies with ---- */

static void commit_into(struct buf *out, const struct store_head *h, part_t part,
                        const struct store_op *ops, size_t n)
{
    struct store_batch b = {.part = part, .n = n, .ops = (struct store_op *)(uintptr_t)ops};
    struct iovec iov[STORE_COMMIT_IOV];
    size_t size = store_commit_size(&b);
    char *fields = malloc(size);
    int niov = store_commit_encode(&b, h, fields, size, iov);
    buf_clear(out);
    for (int i = 0; i < niov; i++)
        buf_add(out, str_of(iov[i].iov_base, iov[i].iov_len));
    free(fields);
}

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

/* One well-formed request of each type. */
static void sample(uint8_t type, struct buf *out)
{
    struct store_op ops[] = {
        {.kind = STORE_PUT_NEW, .key = STR("m/abcdefghij"), .value = STR("v")},
        {.kind = STORE_EQUAL, .key = STR("m/abcdefghij"), .value = STR("v")},
        {.kind = STORE_ADD, .key = STR("n"), .delta = 1},
        {.kind = STORE_PUT_NEXT, .key = STR("n"), .prefix = STR("p"), .value = STR("v")},
        {.kind = STORE_DELETE_RANGE, .key = STR("a"), .value = STR("b")},
    };
    str_t keys[] = {STR("dom/a"), STR("addr/b")};
    struct store_scan q = {.part = QUEUE_P, .from = STR("a"), .end = STR("b")};
    struct store_watch_req w = {.part = QUEUE_P, .prefix = STR("dr/")};
    struct store_login_req l = {.name = STR("me"), .password = STR("bad")};
    buf_clear(out);
    switch ((enum store_msg)type) {
    case STORE_MSG_HELLO: buf_u16(out, STORE_PROTOCOL_VERSION); break;
    case STORE_MSG_COMMIT: commit_into(out, &plain, QUEUE_P, ops, 5); break;
    case STORE_MSG_GET: store_get_encode(out, &plain, DIRECTORY_P, keys, 2); break;
    case STORE_MSG_SCAN: store_scan_encode(out, &plain, &q); break;
    case STORE_MSG_SNAPSHOT_OPEN:
        store_head_encode(out, &plain);
        store_part_encode(out, QUEUE_P);
        break;
    case STORE_MSG_SNAPSHOT_CLOSE:
        store_head_encode(out, &plain);
        buf_u64(out, 1);
        break;
    case STORE_MSG_WATCH: store_watch_encode(out, &w); break;
    case STORE_MSG_HINT_ACK: buf_u32(out, 0); break;
    case STORE_MSG_LOGIN: store_login_encode(out, &l); break;
    case STORE_MSG_LOGOUT: {
        struct store_head h = {.has_token = true};
        store_head_encode(out, &h);
        break;
    }
    case STORE_MSG_SET_PASSWORD:
        store_head_encode(out, &plain);
        buf_u64(out, 1);
        buf_str16(out, STR("pw"));
        break;
    case STORE_MSG_HINTS:
    case STORE_MSG_REPLY: break;
    }
}

/* ---- malformed ---- */

static void truncated_and_too_long_requests_end_the_channel(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_MX);
    struct buf before, request;
    dump(&before);
    buf_init(&request, 65536);
    for (uint8_t type = STORE_MSG_HELLO; type <= STORE_MSG_SET_PASSWORD; type++) {
        sample(type, &request);
        size_t whole = request.len;
        for (size_t len = 0; len < whole; len++) {
            struct raw r = raw_open(&core, &table);
            assert_int_equal(raw_ask(&r, type, str_first(buf_str(&request), len)), RAW_HUNG_UP);
            raw_close(&r);
        }
        buf_addc(&request, 'x');
        struct raw r = raw_open(&core, &table);
        assert_int_equal(raw_ask(&r, type, buf_str(&request)), RAW_HUNG_UP);
        raw_close(&r);
    }
    buf_free(&request);
    assert_alive();
    assert_unchanged(&before);
}

static void expect_hangup(uint8_t type, const struct buf *request)
{
    struct permissions table = evil(ROLE_COUNT); /* whoever it is */
    struct raw r = raw_open(&core, &table);
    assert_int_equal(raw_ask(&r, type, buf_str(request)), RAW_HUNG_UP);
    raw_close(&r);
}

static void absurd_counts_and_lengths_end_the_channel(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 65536);
    for (int n = 1; n <= 65535; n += 9362) { /* counts that the bytes do not bear out */
        buf_clear(&b);
        store_head_encode(&b, &plain);
        store_part_encode(&b, QUEUE_P);
        buf_u8(&b, 0);
        buf_u16(&b, (uint16_t)n);
        expect_hangup(STORE_MSG_COMMIT, &b);
        buf_clear(&b);
        store_head_encode(&b, &plain);
        store_part_encode(&b, QUEUE_P);
        buf_u16(&b, (uint16_t)n);
        expect_hangup(STORE_MSG_GET, &b);
    }
    const uint32_t lengths[] = {STORE_VALUE_MAX + 1, 0x7fffffff, 0x80000000, 0xfffffff0,
                                0xffffffff};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        buf_clear(&b);
        store_head_encode(&b, &plain);
        store_part_encode(&b, QUEUE_P);
        buf_u8(&b, 0);
        buf_u16(&b, 1);
        buf_u8(&b, STORE_PUT);
        buf_str16(&b, STR("k"));
        buf_u32(&b, lengths[i]);
        buf_add(&b, STR("short"));
        expect_hangup(STORE_MSG_COMMIT, &b);
    }
    buf_clear(&b); /* a kind of op, a kind of partition, flags, that there are not */
    store_head_encode(&b, &plain);
    store_part_encode(&b, QUEUE_P);
    buf_u8(&b, 0);
    buf_u16(&b, 1);
    buf_u8(&b, STORE_PUT_NEXT + 1);
    buf_str16(&b, STR("k"));
    expect_hangup(STORE_MSG_COMMIT, &b);
    buf_clear(&b);
    store_head_encode(&b, &plain);
    buf_u8(&b, PART_KINDS);
    buf_u64(&b, 0);
    expect_hangup(STORE_MSG_SNAPSHOT_OPEN, &b);
    buf_clear(&b);
    buf_u8(&b, 2);
    buf_u32(&b, 0);
    store_part_encode(&b, QUEUE_P);
    expect_hangup(STORE_MSG_SNAPSHOT_OPEN, &b);
    buf_clear(&b);
    buf_u32(&b, 1); /* acknowledges what was never sent */
    expect_hangup(STORE_MSG_HINT_ACK, &b);
    buf_clear(&b);
    buf_u16(&b, STORE_PROTOCOL_VERSION + 1);
    expect_hangup(STORE_MSG_HELLO, &b);
    buf_clear(&b);
    for (int type = 0; type < 256; type++)
        if (type == 0 || type > STORE_MSG_SET_PASSWORD)
            expect_hangup((uint8_t)type, &b);
    buf_free(&b);
    assert_alive();
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void send_with_fd(int sock, int fd, str_t payload)
{
    char header[FRAME_HEADER];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    frame_header(header, STORE_MSG_HELLO, 7, payload.len, true);
    struct iovec iov[2] = {{header, sizeof header}, {(void *)(uintptr_t)payload.ptr, payload.len}};
    struct msghdr m = {.msg_iov = iov,
                       .msg_iovlen = 2,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_true(sendmsg(sock, &m, MSG_NOSIGNAL) > 0);
}

static void descriptors_are_not_taken(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_MX);
    size_t before = open_fds();
    for (int i = 0; i < 50; i++) {
        struct raw r = raw_open(&core, &table);
        struct frame f;
        send_with_fd(r.fd, 0, STR("\0\1"));
        assert_false(raw_read(&r, &f));
        raw_close(&r);
    }
    /* core's ends are closed a moment after ours */
    for (int i = 0; i < 1000 && open_fds() > before; i++)
        usleep(1000);
    assert_true(open_fds() <= before);
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
    assert_int_equal(ask_op(&r, &plain, u,
                            (struct store_op){.kind = STORE_DELETE, .key = STR("seen/0123456789")}),
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

static int login(struct raw *r, const char *name, const char *password, struct store_head *session)
{
    struct buf b;
    struct frame f;
    struct store_login_req q = {.name = str_c(name), .password = str_c(password)};
    buf_init(&b, 4096);
    store_login_encode(&b, &q);
    raw_send(r, STORE_MSG_LOGIN, 9, buf_str(&b));
    buf_free(&b);
    assert_true(raw_read(r, &f));
    struct cursor c = cursor_of(f.payload);
    uint8_t rc = cursor_u8(&c);
    if (rc != RC_OK)
        return rc;
    cursor_u64(&c);
    *session = (struct store_head){.has_token = true};
    memcpy(session->token, cursor_bytes(&c, STORE_TOKEN_LEN).ptr, STORE_TOKEN_LEN);
    assert_true(cursor_end(&c));
    return rc;
}

static void sessions_are_where_they_were_made(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_USER);
    struct raw a = raw_open(&core, &table), b = raw_open(&core, &table);
    struct store_head mine, guess = {.has_token = true};
    core_put(&core, USER_P(OWN_ID), STR("f/0001"), STR("my own"));
    assert_int_equal(ask_get(&a, &plain, USER_P(OWN_ID), STR("f/0001")),
                     STORE_DENIED); /* before login: nothing */
    assert_int_equal(login(&a, "me", "mine", &mine), RC_OK);
    assert_int_equal(ask_get(&a, &mine, USER_P(OWN_ID), STR("f/0001")), STORE_OK);
    assert_int_equal(ask_get(&a, &plain, USER_P(OWN_ID), STR("f/0001")),
                     STORE_DENIED); /* the channel itself: still nothing */
    assert_int_equal(ask_get(&b, &mine, USER_P(OWN_ID), STR("f/0001")),
                     STORE_DENIED); /* a token of another channel */
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
    struct store_login_req again = {.head = mine, .name = STR("me"), .password = STR("mine")};
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
    buf_free(&q);
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

/* ---- floods ---- */

static void a_flood_of_logins_is_told_to_come_later(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_USER);
    struct raw r = raw_open(&core, &table);
    enum { FLOOD = 4 * CORE_LOGIN_QUEUE };
    struct buf q;
    struct store_login_req l = {.name = STR("victim"), .password = STR("guess")};
    int perm = 0, later = 0;
    buf_init(&q, 4096);
    store_login_encode(&q, &l);
    for (uint64_t i = 1; i <= FLOOD; i++)
        raw_send(&r, STORE_MSG_LOGIN, i, buf_str(&q));
    for (int i = 0; i < FLOOD; i++) {
        struct frame f;
        assert_true(raw_read(&r, &f));
        assert_int_equal(f.payload.len, 1);
        perm += f.payload.ptr[0] == RC_PERM;
        later += f.payload.ptr[0] == RC_TEMP;
    }
    assert_int_equal(perm + later, FLOOD);
    assert_true(later > 0 && perm > 0);
    buf_free(&q);
    raw_close(&r);
}

static void a_flood_of_watches_leaves_room_for_others(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_COURIER);
    struct raw r = raw_open(&core, &table);
    struct buf q;
    buf_init(&q, 4096);
    for (int i = 0; i < 2000; i++) {
        char prefix[32];
        int n = snprintf(prefix, sizeof prefix, "dr/%d", i);
        struct store_watch_req w = {.watch = (uint8_t)(i % STORE_WATCHES),
                                    .part = QUEUE_P,
                                    .prefix = str_of(prefix, (size_t)n)};
        buf_clear(&q);
        store_watch_encode(&q, &w);
        assert_int_equal(raw_ask(&r, STORE_MSG_WATCH, buf_str(&q)), STORE_OK);
    }
    struct permissions other = evil(ROLE_LOCAL);
    struct raw l = raw_open(&core, &other);
    struct store_watch_req w = {.part = QUEUE_P, .prefix = STR("dl/")};
    buf_clear(&q);
    store_watch_encode(&q, &w);
    assert_int_equal(raw_ask(&l, STORE_MSG_WATCH, buf_str(&q)), STORE_OK);
    buf_free(&q);
    raw_close(&l);
    raw_close(&r);
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

static void too_many_channels_are_refused(void **state)
{
    (void)state;
    struct raw r[64];
    size_t n = 0;
    for (; n < 64; n++) {
        int sv[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
        bool served = core_server_serve(core.cs, sv[1], permissions_of(ROLE_COUNT));
        r[n] = (struct raw){.fd = sv[0]};
        assert_true(frame_reader_init(&r[n].in));
        if (!served)
            break;
    }
    assert_int_equal(n, permissions_of(ROLE_COUNT)->clients_max);
    struct frame f;
    assert_false(raw_read(&r[n], &f)); /* closed */
    for (size_t i = 0; i <= n; i++)
        raw_close(&r[i]);
}

/* ---- noise ---- */

static uint64_t noise_state = 88172645463325252u;
static uint64_t noise(void) /* xorshift64: the same each run */
{
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state;
}

/* Damages a well-formed request in some places. */
static void spoil(struct buf *b)
{
    for (uint64_t n = noise() % 4; n > 0 && b->len > 0; n--)
        b->ptr[noise() % b->len] = (char)noise();
    if (noise() % 8 == 0)
        b->len = noise() % (b->len + 1);
}

/* Any role at all: what it received must not hold the word. */
static bool read_some(struct raw *r)
{
    struct frame f;
    if (!raw_read(r, &f))
        return false;
    assert_false(str_contains(f.payload, STR(SECRET_WORD)));
    return true;
}

static void noise_changes_and_reveals_nothing(void **state)
{
    (void)state;
    struct buf before, b;
    dump(&before);
    buf_init(&b, 65536);
    for (int i = 0; i < 6000; i++) {
        /* mx and user: neither may read the word, and mx's one right is used below */
        struct permissions table = evil(noise() % 2 == 0 ? ROLE_MX : ROLE_USER);
        struct raw r = raw_open(&core, &table);
        for (int k = 0; k < 4; k++) {
            uint8_t type = (uint8_t)(1 + noise() % STORE_MSG_SET_PASSWORD);
            if (type == STORE_MSG_LOGIN) /* each costs a hash */
                continue;
            sample(type, &b);
            spoil(&b);
            raw_send(&r, type, 1 + noise() % 100, buf_str(&b));
            if (!read_some(&r))
                break;
        }
        raw_close(&r);
    }
    buf_free(&b);
    assert_alive();
    assert_unchanged(&before);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(truncated_and_too_long_requests_end_the_channel),
        CASE(absurd_counts_and_lengths_end_the_channel),
        CASE(descriptors_are_not_taken),
        CASE(nobody_reads_secrets),
        CASE(mx_cannot_read_by_testing),
        CASE(mx_cannot_change_what_is_there),
        CASE(local_cannot_touch_delivered_mail),
        CASE(sessions_are_where_they_were_made),
        CASE(only_the_user_role_logs_in),
        CASE(snapshots_are_bounded_and_ones_own),
        CASE(a_flood_of_logins_is_told_to_come_later),
        CASE(a_flood_of_watches_leaves_room_for_others),
        CASE(watches_tell_only_what_may_be_watched),
        CASE(too_many_channels_are_refused),
        CASE(noise_changes_and_reveals_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
