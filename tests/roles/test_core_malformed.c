/* test_core_malformed.c: a role that was taken over sends what no role sends: cut off, too long,
 * absurd, far too much, or noise. Core must not crash, not change, not reveal, and serve the others
 * as before. */
#include <dirent.h>

#include "roles/evil.h"

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
    struct store_login_req l = {
        .login = {.use = STORE_USE_READ, .name = STR("me"), .password = STR("bad")}};
    struct store_password_req pw = {.account = 1,
                                    .uses = STORE_USE_SEND,
                                    .name = STR("me"),
                                    .password = STR("0123456789abcdef0123456789abcdef")};
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
    case STORE_MSG_SCRAM:
    case STORE_MSG_ADD_PASSWORD:
    case STORE_MSG_REMOVE_PASSWORD:
    case STORE_MSG_LIST_PASSWORDS:
    case STORE_MSG_CERTIFICATE: store_password_encode(out, (enum store_msg)type, &pw); break;
    case STORE_MSG_REQUESTS:
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
    for (uint8_t type = STORE_MSG_HELLO; type < STORE_MSG_REQUESTS; type++) {
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
        if (type == 0 || type >= STORE_MSG_REQUESTS)
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
        send_with_fd(r.fd, 0, STR("\0\2"));
        assert_false(raw_read(&r, &f));
        raw_close(&r);
    }
    /* core's ends are closed a moment after ours */
    for (int i = 0; i < 1000 && open_fds() > before; i++)
        usleep(1000);
    assert_true(open_fds() <= before);
}

/* ---- floods ---- */

/* Each answer to HELLO takes a descriptor along. */
static void hello_is_said_once(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_MX);
    struct raw r = raw_open(&core, &table);
    struct frame f;
    raw_send(&r, STORE_MSG_HELLO, 1, STR("\0\2"));
    assert_true(raw_read(&r, &f));
    assert_true(f.fd >= 0);
    close(f.fd);
    raw_send(&r, STORE_MSG_HELLO, 2, STR("\0\2"));
    assert_false(raw_read(&r, &f));
    raw_close(&r);
}

static void a_flood_of_logins_is_told_to_come_later(void **state)
{
    (void)state;
    struct permissions table = evil(ROLE_USER);
    struct raw r = raw_open(&core, &table);
    enum { FLOOD = 4 * CORE_LOGIN_QUEUE };
    struct buf q;
    struct store_login_req l = {
        .login = {.use = STORE_USE_SEND, .name = STR("victim"), .password = STR("guess")}};
    int perm = 0, later = 0;
    buf_init(&q, 4096);
    store_login_encode(&q, &l);
    for (uint64_t i = 1; i <= FLOOD; i++)
        raw_send(&r, STORE_MSG_LOGIN, i, buf_str(&q));
    for (int i = 0; i < FLOOD; i++) {
        struct frame f;
        assert_true(raw_read(&r, &f));
        assert_int_equal(f.payload.len, 5);
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

static void too_many_channels_are_refused(void **state)
{
    (void)state;
    /* its own: setup's may still be closing */
    struct permissions table = *permissions_of(ROLE_COUNT);
    struct raw r[64];
    size_t n = 0;
    for (; n < 64; n++) {
        int sv[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
        bool served = core_server_serve(core.cs, sv[1], &table);
        r[n] = (struct raw){.fd = sv[0]};
        assert_true(frame_reader_init(&r[n].in));
        if (!served)
            break;
    }
    assert_int_equal(n, table.clients_max);
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
    for (int i = 0; i < 1500; i++) {
        /* mx and user: neither may read the word, and mx's one right is used below */
        struct permissions table = evil(noise() % 2 == 0 ? ROLE_MX : ROLE_USER);
        struct raw r = raw_open(&core, &table);
        for (int k = 0; k < 4; k++) {
            uint8_t type = (uint8_t)(1 + noise() % (STORE_MSG_REQUESTS - 1));
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
        CASE(hello_is_said_once),
        CASE(a_flood_of_logins_is_told_to_come_later),
        CASE(a_flood_of_watches_leaves_room_for_others),
        CASE(too_many_channels_are_refused),
        CASE(noise_changes_and_reveals_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
