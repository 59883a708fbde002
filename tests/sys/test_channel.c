/* test_channel.c: Channels over real socket pairs: many calls at once, answers in any order,
 * descriptors, deadlines, a peer that dies, a peer that lies, a peer that does not read. And frames
 * cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/channel.h"
#include "sys/clock.h"
#include "sys/frame.h"
#include "sys/futex.h"

#define SOON  (sys_mono_ms() + 20000) /* a limit no honest answer reaches */
#define SHORT (sys_mono_ms() + 60)

enum { ECHO = 1, LATER, SILENT, GIVE_FD, NOTIFY, LIE, FLOOD, LARGE };

/* ---- a server that does what it is told ---- */

struct service {
    struct wake closed;
    _Atomic int requests;
    pthread_mutex_t lock;
    struct {
        struct channel_peer *peer;
        uint64_t id;
    } later[1000]; /* answered together, last first, once there are `gather` */
    int n_later, gather;
};

static void reply_later(struct service *s)
{
    struct channel_peer *p = s->later[0].peer;
    channel_cork(p);
    while (s->n_later > 0) {
        s->n_later--;
        struct iovec v = {.iov_base = &s->later[s->n_later].id, .iov_len = 8};
        channel_reply(p, s->later[s->n_later].id, LATER, &v, 1, -1);
        channel_peer_release(p);
    }
    channel_uncork(p);
}

static void *later_main(void *arg)
{
    struct service *s = arg;
    pthread_mutex_lock(&s->lock);
    reply_later(s);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void keep_for_later(struct service *s, struct channel_peer *p, uint64_t id)
{
    channel_peer_hold(p);
    pthread_mutex_lock(&s->lock);
    s->later[s->n_later].peer = p;
    s->later[s->n_later++].id = id;
    bool all = s->n_later == s->gather;
    pthread_mutex_unlock(&s->lock);
    pthread_t t;
    if (all && pthread_create(&t, NULL, later_main, s) == 0)
        pthread_join(t, NULL);
}

static void give_fd(struct channel_peer *p, uint64_t id)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "through", 7), 7);
    channel_reply(p, id, GIVE_FD, NULL, 0, fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static bool on_request(void *user, struct channel_peer *p, uint8_t type, uint64_t id, str_t payload,
                       int fd)
{
    struct service *s = user;
    struct iovec v = {.iov_base = (void *)(uintptr_t)payload.ptr, .iov_len = payload.len};
    atomic_fetch_add(&s->requests, 1);
    assert_int_equal(fd, -1);
    assert_ptr_equal(channel_peer_user(p), s);
    switch (type) {
    case ECHO: channel_reply(p, id, ECHO, &v, 1, -1); return true;
    case LATER: keep_for_later(s, p, id); return true;
    case SILENT: return true;
    case GIVE_FD: give_fd(p, id); return true;
    case NOTIFY:
        channel_reply(p, 0, NOTIFY, &v, 1, -1);
        channel_reply(p, id, NOTIFY, NULL, 0, -1);
        return true;
    case LARGE: {
        static char large[1 << 20];
        struct iovec b = {.iov_base = large, .iov_len = sizeof large};
        channel_reply(p, id, LARGE, &b, 1, -1);
        return true;
    }
    case FLOOD:
        for (int i = 0; i < 40; i++) { /* 40 MiB that nobody reads */
            static char big[1 << 20];
            struct iovec b = {.iov_base = big, .iov_len = sizeof big};
            channel_reply(p, id, FLOOD, &b, 1, -1);
        }
        return true;
    default: return false;
    }
}

static void on_closed(void *user, struct channel_peer *p)
{
    (void)p;
    wake_set(&((struct service *)user)->closed);
}

static const struct channel_server_ops ops = {.request = on_request, .closed = on_closed};

static void service_init(struct service *s)
{
    *s = (struct service){.gather = 3};
    wake_init(&s->closed);
    pthread_mutex_init(&s->lock, NULL);
}

/* A socket whose other end is served. */
static int serve(struct service *s)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    service_init(s);
    assert_non_null(channel_serve(fds[1], &ops, s));
    return fds[0];
}

static struct channel *connect_to(struct service *s)
{
    struct channel *ch = channel_new(NULL, NULL, NULL);
    channel_attach(ch, serve(s));
    return ch;
}

static void end(struct channel *ch, struct service *s)
{
    channel_free(ch);
    assert_true(wake_wait(&s->closed, SOON));
}

static enum rc call(struct channel *ch, uint8_t type, str_t what, int64_t deadline_ms,
                    struct arena *a, str_t *reply)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)what.ptr, .iov_len = what.len};
    return channel_call(ch, type, &v, 1, deadline_ms, a, NULL, reply, NULL);
}

/* ---- tests ---- */

static void test_echo(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    struct arena a;
    arena_init(&a, 1 << 20);
    uint8_t type;
    str_t reply;
    int fd;
    struct iovec v[3] = {{.iov_base = (char[]){"ab"}, .iov_len = 2},
                         {.iov_base = NULL, .iov_len = 0},
                         {.iov_base = (char[]){"cd"}, .iov_len = 2}};
    assert_int_equal(channel_call(ch, ECHO, v, 3, SOON, &a, &type, &reply, &fd), RC_OK);
    assert_int_equal(type, ECHO);
    assert_true(str_eq(reply, STR("abcd")));
    assert_int_equal(fd, -1);
    assert_int_equal(channel_call(ch, ECHO, NULL, 0, SOON, &a, &type, &reply, NULL), RC_OK);
    assert_int_equal(reply.len, 0);
    assert_true(channel_connected(ch));
    arena_free(&a);
    end(ch, &s);
}

static void *many_main(void *arg)
{
    struct channel *ch = arg;
    char *out = malloc(CHANNEL_FRAME_MAX);
    unsigned seed = (unsigned)(uintptr_t)out;
    for (int i = 0; i < 120; i++) {
        size_t n = (size_t)rand_r(&seed) % (i % 20 == 0 ? CHANNEL_FRAME_MAX - FRAME_HEADER : 5000);
        memset(out, rand_r(&seed), n);
        struct arena a;
        arena_init(&a, CHANNEL_FRAME_MAX);
        str_t reply;
        assert_int_equal(call(ch, ECHO, str_of(out, n), SOON, &a, &reply), RC_OK);
        assert_true(str_eq(reply, str_of(out, n)));
        arena_free(&a);
    }
    free(out);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    pthread_t t[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, many_main, ch), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(s.requests, 8 * 120);
    end(ch, &s);
}

struct async {
    struct channel_call c;
    struct wake done;
    char copy[16];
    int times;
};

static void async_done(struct channel_call *c)
{
    struct async *a = (void *)c;
    a->times++;
    if (c->rc == RC_OK && c->reply.len <= sizeof a->copy && c->reply.len > 0)
        memcpy(a->copy, c->reply.ptr, c->reply.len);
    wake_set(&a->done);
}

static void async_send(struct channel *ch, struct async *a, uint8_t type, str_t what,
                       int64_t deadline_ms)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)what.ptr, .iov_len = what.len};
    *a = (struct async){.c = {.done = async_done, .deadline_ms = deadline_ms}};
    wake_init(&a->done);
    channel_send(ch, type, &v, 1, &a->c);
}

static void test_any_order(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    struct async a[300], echo;
    s.gather = 300;
    for (int i = 0; i < 299; i++)
        async_send(ch, &a[i], LATER, STR("x"), SOON);
    async_send(ch, &echo, ECHO, STR("now"), SOON); /* overtakes them all */
    assert_true(wake_wait(&echo.done, SOON));
    assert_memory_equal(echo.copy, "now", 3);
    assert_false(wake_is_set(&a[0].done));
    async_send(ch, &a[299], LATER, STR("x"), SOON);
    for (int i = 0; i < 300; i++) {
        assert_true(wake_wait(&a[i].done, SOON));
        assert_int_equal(a[i].c.rc, RC_OK);
        assert_int_equal(a[i].c.reply_type, LATER);
        /* each its own */
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(a[i].copy, a[j].copy, 8);
    }
    end(ch, &s);
    for (int i = 0; i < 300; i++)
        assert_int_equal(a[i].times, 1);
}

static void test_fd(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    int fd;
    char got[8] = {0};
    assert_int_equal(channel_call(ch, GIVE_FD, NULL, 0, SOON, NULL, NULL, NULL, &fd), RC_OK);
    assert_int_equal(read(fd, got, 7), 7);
    assert_string_equal(got, "through");
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    end(ch, &s);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = channel_new(NULL, NULL, NULL);
    struct async a, b;
    str_t reply;
    assert_false(channel_connected(ch));
    assert_int_equal(call(ch, ECHO, STR("x"), SHORT, NULL, &reply), RC_TEMP); /* nobody there */
    async_send(ch, &a, ECHO, STR("x"), SHORT);
    assert_true(wake_wait(&a.done, SOON));
    assert_int_equal(a.c.rc, RC_TEMP);
    channel_attach(ch, serve(&s));
    assert_int_equal(call(ch, SILENT, STR("x"), SHORT, NULL, &reply), RC_CLOSED); /* no answer */
    async_send(ch, &b, SILENT, STR("x"), SHORT);
    assert_true(wake_wait(&b.done, SOON));
    assert_int_equal(b.c.rc, RC_CLOSED);
    /* the channel is as good as before */
    assert_int_equal(call(ch, ECHO, STR("x"), SOON, NULL, &reply), RC_OK);
    end(ch, &s);
}

static void test_late_answer(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    struct arena arena;
    arena_init(&arena, 4096);
    str_t reply;
    assert_int_equal(call(ch, LATER, STR("x"), SHORT, NULL, &reply), RC_CLOSED);
    struct async a, b;
    async_send(ch, &a, LATER, STR("x"), SOON); /* takes the slot that was given up */
    /* the third: now all are answered, the late one too */
    async_send(ch, &b, LATER, STR("x"), SOON);
    assert_true(wake_wait(&a.done, SOON) && wake_wait(&b.done, SOON));
    assert_int_equal(a.times, 1);
    assert_int_equal(call(ch, ECHO, STR("fine"), SOON, &arena, &reply), RC_OK);
    assert_true(str_eq(reply, STR("fine")));
    arena_free(&arena);
    end(ch, &s);
    assert_int_equal(a.times, 1);
}

static _Atomic int attached;
static struct channel *attached_channel;
static struct async attached_call;

static void on_attached(void *user)
{
    (void)user;
    if (attached_channel != NULL)
        async_send(attached_channel, &attached_call, ECHO, STR("first"), SOON);
    atomic_fetch_add(&attached, 1);
}

static void *call_main(void *arg)
{
    struct arena a;
    arena_init(&a, 4096);
    str_t reply;
    assert_int_equal(call(arg, ECHO, STR("waited"), SOON, &a, &reply), RC_OK);
    assert_true(str_eq(reply, STR("waited")));
    arena_free(&a);
    return NULL;
}

static void test_peer_dies(void **state)
{
    (void)state;
    struct service s1, s2;
    struct channel *ch = channel_new(NULL, on_attached, NULL);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    atomic_store(&attached, 0);
    channel_attach(ch, fds[0]);
    struct async a;
    async_send(ch, &a, ECHO, STR("lost"), SOON);
    char got[64];
    assert_true(read(fds[1], got, sizeof got) > 0);
    close(fds[1]); /* dead, with the request */
    assert_true(wake_wait(&a.done, SOON));
    assert_int_equal(a.c.rc, RC_CLOSED);
    assert_int_equal(a.times, 1);

    pthread_t t[4]; /* these wait for the next socket */
    attached_channel = ch;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, call_main, ch);
    channel_attach(ch, serve(&s1));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_true(wake_wait(&attached_call.done, SOON));
    assert_memory_equal(attached_call.copy, "first", 5);
    assert_int_equal(attached, 2);

    channel_attach(ch, serve(&s2)); /* replaced while alive */
    assert_true(wake_wait(&s1.closed, SOON));
    call_main(ch);
    assert_int_equal(attached, 3);
    attached_channel = NULL;
    end(ch, &s2);
}

/* A socket whose other end is closed already: what greets it fails, what waits goes on waiting for
 * the next. */
static void test_dead_socket(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = channel_new(NULL, on_attached, NULL);
    struct async a;
    attached_channel = ch;
    async_send(ch, &a, ECHO, STR("waits"), SOON);
    for (int i = 0; i < 3; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        close(fds[1]);
        atomic_store(&attached, 0);
        channel_attach(ch, fds[0]);
        while (atomic_load(&attached) == 0)
            usleep(100);
        assert_true(wake_wait(&attached_call.done, SOON));
        assert_int_not_equal(attached_call.c.rc, RC_OK);
    }
    assert_false(wake_is_set(&a.done));
    channel_attach(ch, serve(&s));
    assert_true(wake_wait(&a.done, SOON));
    assert_int_equal(a.c.rc, RC_OK);
    assert_memory_equal(a.copy, "waits", 5);
    attached_channel = NULL;
    end(ch, &s);
}

static struct wake noticed;

static void on_notice(void *user, uint8_t type, str_t payload, int fd)
{
    assert_string_equal(user, "user");
    assert_int_equal(type, NOTIFY);
    assert_true(str_eq(payload, STR("hint")));
    assert_int_equal(fd, -1);
    wake_set(&noticed);
}

static void test_notice(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = channel_new(on_notice, NULL, (char[]){"user"});
    channel_attach(ch, serve(&s));
    wake_init(&noticed);
    assert_int_equal(call(ch, NOTIFY, STR("hint"), SOON, NULL, NULL), RC_OK);
    assert_true(wake_is_set(&noticed)); /* sent before the answer */
    end(ch, &s);
}

static void test_too_large(void **state)
{
    (void)state;
    struct service s;
    struct channel *ch = connect_to(&s);
    char *big = calloc(1, CHANNEL_FRAME_MAX);
    str_t r;
    assert_int_equal(
        call(ch, ECHO, str_of(big, CHANNEL_FRAME_MAX - FRAME_HEADER + 1), SOON, NULL, &r), RC_PERM);
    assert_int_equal(call(ch, ECHO, str_of(big, CHANNEL_FRAME_MAX - FRAME_HEADER), SOON, NULL, &r),
                     RC_OK);
    free(big);
    end(ch, &s);
}

/* Each of these bytes ends the channel, and only that. */
static void expect_end(str_t bytes, int with_fds)
{
    struct service s;
    int fd = serve(&s);
    union {
        char bytes[64];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec v = {.iov_base = (void *)(uintptr_t)bytes.ptr, .iov_len = bytes.len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (with_fds > 0) {
        int own[4] = {0, 0, 0, 0};
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE((size_t)with_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_len = CMSG_LEN((size_t)with_fds * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(c), own, (size_t)with_fds * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &m, 0), (ssize_t)bytes.len);
    assert_true(wake_wait(&s.closed, SOON));
    assert_int_equal(s.requests, 0);
    close(fd);
}

static void test_lies(void **state)
{
    (void)state;
    expect_end(STR("\0\0\0\x0b\1\1\0\0\0\0\0\0\0\0\0\1"), 0);       /* length 11 */
    expect_end(STR("\xff\xff\xff\xff\1\1\0\0\0\0\0\0\0\0\0\1"), 0); /* 4 GiB */
    expect_end(STR("\0\x20\x10\1\1\1\0\0\0\0\0\0\0\0\0\1"), 0);     /* FRAME_MAX + 1 */
    expect_end(STR("\0\0\0\x0c\2\1\0\0\0\0\0\0\0\0\0\1"), 0);       /* version 2 */
    expect_end(STR("\0\0\0\x0c\1\1\0\2\0\0\0\0\0\0\0\1"), 0);       /* two descriptors */
    expect_end(STR("\0\0\0\x0c\1\1\0\1\0\0\0\0\0\0\0\1"), 0);       /* one announced, none sent */
    expect_end(STR("\0\0\0\x0c\1\1\0\1\0\0\0\0\0\0\0\1"), 2);       /* one announced, two sent */
    expect_end(STR("\0\0\0\x0c\1\1\0\1\0\0\0\0\0\0\0\1"), 3);       /* one announced, three sent */
}

static void test_does_not_read(void **state)
{
    (void)state;
    struct service s;
    int fd = serve(&s);
    char frame[FRAME_HEADER];
    frame_header(frame, FLOOD, 1, 0, false);
    assert_int_equal(write(fd, frame, sizeof frame), (ssize_t)sizeof frame);
    assert_true(wake_wait(&s.closed, SOON)); /* cut off, and the service's thread never waited */
    close(fd);
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct service s;
    int fd = serve(&s);
    char frame[FRAME_HEADER], *big = calloc(1, 1 << 20);
    frame_header(frame, ECHO, 7, 1 << 20, false);
    for (int i = 0; i < 8; i++) { /* 8 MiB of answers wait for us */
        assert_int_equal(write(fd, frame, sizeof frame), (ssize_t)sizeof frame);
        for (size_t at = 0; at < 1 << 20;)
            at += (size_t)write(fd, big + at, (1 << 20) - at);
    }
    free(big);
    struct frame_reader r;
    struct frame f;
    assert_true(frame_reader_init(&r));
    for (int n = 0; n < 8;) {
        assert_int_equal(frame_fill(&r, fd), FRAME_OK);
        enum frame_rc rc;
        while ((rc = frame_next(&r, &f)) == FRAME_OK) {
            assert_int_equal(f.payload.len, 1 << 20);
            assert_int_equal(f.id, 7);
            n++;
        }
        assert_int_equal(rc, FRAME_MORE);
    }
    frame_reader_free(&r);
    close(fd);
    assert_true(wake_wait(&s.closed, SOON));
}

/* Many ask for much at once: who takes it, however slowly, gets all of it, and no more waits for it
 * than it takes. */
static void test_asks_faster_than_it_reads(void **state)
{
    (void)state;
    enum { ASKED = 64 };
    struct service s;
    int fd = serve(&s);
    char frame[FRAME_HEADER];
    for (uint64_t i = 1; i <= ASKED; i++) {
        frame_header(frame, LARGE, i, 0, false);
        assert_int_equal(write(fd, frame, sizeof frame), (ssize_t)sizeof frame);
    }
    struct frame_reader r;
    struct frame f;
    assert_true(frame_reader_init(&r));
    for (uint64_t n = 0; n < ASKED;) {
        assert_int_equal(frame_fill(&r, fd), FRAME_OK);
        while (frame_next(&r, &f) == FRAME_OK) {
            assert_int_equal(f.payload.len, 1 << 20);
            assert_int_equal(f.id, ++n);
            assert_true(atomic_load(&s.requests) <= (int)n + 16); /* 16 MiB is where it would end */
        }
    }
    frame_reader_free(&r);
    close(fd);
    assert_true(wake_wait(&s.closed, SOON));
}

/* A stream of frames, cut in two at every byte, gives the same frames. */
static void test_split(void **state)
{
    (void)state;
    struct buf stream;
    buf_init(&stream, 1 << 20);
    for (size_t i = 0; i < 5; i++) {
        char header[FRAME_HEADER];
        frame_header(header, (uint8_t)i, i + 1, i * 7, false);
        buf_add(&stream, str_of(header, sizeof header));
        for (size_t j = 0; j < i * 7; j++)
            buf_addc(&stream, (char)('a' + i));
    }
    for (size_t cut = 0; cut <= stream.len; cut++) {
        struct frame_reader r;
        struct frame f;
        assert_true(frame_reader_init(&r));
        size_t seen = 0, from = 0;
        for (int part = 0; part < 2; part++) {
            size_t to = part == 0 ? cut : stream.len, room;
            char *p = frame_room(&r, &room);
            assert_true(room >= to - from);
            memcpy(p, stream.ptr + from, to - from);
            frame_added(&r, to - from);
            from = to;
            enum frame_rc rc;
            while ((rc = frame_next(&r, &f)) == FRAME_OK) {
                assert_int_equal(f.type, seen);
                assert_int_equal(f.id, seen + 1);
                assert_int_equal(f.payload.len, seen * 7);
                assert_true(f.payload.len == 0 ||
                            f.payload.ptr[f.payload.len - 1] == (char)('a' + seen));
                seen++;
            }
            assert_int_equal(rc, FRAME_MORE);
        }
        assert_int_equal(seen, 5);
        frame_reader_free(&r);
    }
    buf_free(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_any_order),   cmocka_unit_test(test_fd),
        cmocka_unit_test(test_deadlines),   cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_peer_dies),   cmocka_unit_test(test_dead_socket),
        cmocka_unit_test(test_notice),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_lies),        cmocka_unit_test(test_does_not_read),
        cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_asks_faster_than_it_reads),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
