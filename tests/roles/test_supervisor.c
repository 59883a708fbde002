/* test_supervisor.c: The supervisor with real processes, users and sandboxes, and roles that do
 * little: this program is also what it executes as a role. As root, as an ordinary user, and with
 * threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/log.h"
#include "roles/role.h"
#include "roles/supervisor/supervisor.h"
#include "sys/clock.h"
#include "sys/net.h"

#define WAIT_MS 20000
enum { ASK_PID = 200, CUT_OFF };

struct answer {
    int64_t mx_pid, core_pid; /* core_pid 0: no answer from core */
    int64_t uid, fds;
};

/* ---- the roles ---- */

static bool on_request(void *user, struct channel_peer *p, uint8_t type, uint64_t id, str_t payload,
                       int fd)
{
    int64_t pid = getpid();
    struct iovec v = {.iov_base = &pid, .iov_len = sizeof pid};
    (void)user;
    (void)payload;
    assert_int_equal(fd, -1);
    if (type == CUT_OFF)
        return false;
    channel_reply(p, id, type, &v, 1, -1);
    return true;
}

static const struct channel_server_ops ops = {.request = on_request};

void core_serve(struct role *core, int fd, enum role_id peer)
{
    must(core->id == ROLE_CORE);
    must(peer == ROLE_MX || peer == ROLE_USER || peer == ROLE_COURIER || peer == ROLE_LOCAL);
    must(channel_serve(fd, &ops, NULL) != NULL);
}

void resolver_serve(struct role *resolver, int fd, enum role_id peer)
{
    must(resolver->id == ROLE_RESOLVER);
    must(peer == ROLE_COURIER);
    must(channel_serve(fd, &ops, NULL) != NULL);
}

/* One connection, one letter in, one answer out: 'q' plain, 'c' after having core end our
 * channel. */
static void serve_one(struct role *r, int fd)
{
    struct answer a = {.mx_pid = getpid(), .uid = getuid()};
    struct arena arena;
    str_t reply;
    char what = 0;
    arena_init(&arena, 4096);
    if (recv(fd, &what, 1, 0) == 1 && what == 'c')
        (void)!channel_call(r->core, CUT_OFF, NULL, 0, sys_mono_ms() + WAIT_MS, NULL, NULL, NULL,
                            NULL);
    enum rc rc = RC_CLOSED; /* core may just be dying: then again, as the store does */
    for (int i = 0; i < 20 && rc == RC_CLOSED; i++)
        rc = channel_call(r->core, ASK_PID, NULL, 0, sys_mono_ms() + WAIT_MS, &arena, NULL, &reply,
                          NULL);
    if (rc == RC_OK && reply.len == sizeof a.core_pid)
        memcpy(&a.core_pid, reply.ptr, reply.len);
    for (int i = 0; i < 100; i++)
        a.fds += fcntl(i, F_GETFD) >= 0;
    (void)!send(fd, &a, sizeof a, MSG_NOSIGNAL);
    close(fd);
    arena_free(&arena);
}

static void *serve_main(void *arg)
{
    struct role *r = arg;
    while (!role_stopping(r)) {
        struct pollfd p = {.fd = r->listeners[0].fd, .events = POLLIN};
        int fd = poll(&p, 1, 20) == 1 ? accept4(p.fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            serve_one(r, fd);
    }
    return NULL;
}

int role_mx(struct role *r)
{
    pthread_t t;
    if (r->n_listeners != 1 || r->listeners[0].kind != LISTEN_SMTP || r->core == NULL ||
        r->resolver != NULL || r->env.dns != NULL || r->data_dir_fd != -1 || pthread_create(&t, NULL, serve_main, r) != 0)
        return 1;
    role_wait_stop(r);
    pthread_join(t, NULL);
    close(r->listeners[0].fd);
    return 0;
}

/* Refuses to start where there is a file "fail". */
int role_core(struct role *r)
{
    if (r->data_dir_fd < 0 || r->core != NULL || r->n_listeners != 1 ||
        r->listeners[0].kind != LISTEN_ADMIN)
        return 1;
    int fail = openat(r->data_dir_fd, "fail", O_RDONLY),
        made = openat(r->data_dir_fd, "made", O_CREAT | O_RDWR, 0600);
    close(r->listeners[0].fd);
    if (fail >= 0 || made < 0)
        return 5;
    close(made);
    role_wait_stop(r);
    return 0;
}

static int wait_only(struct role *r, bool good)
{
    if (!good)
        return 1;
    role_wait_stop(r);
    return 0;
}

int role_user(struct role *r)
{
    return wait_only(r, r->n_listeners == 0 && r->core != NULL && r->resolver == NULL);
}
int role_courier(struct role *r)
{
    return wait_only(r, r->core != NULL && r->resolver != NULL && r->env.dns != NULL);
}
int role_local(struct role *r)
{
    return wait_only(r, r->core != NULL && r->env.store != NULL);
}
int role_resolver(struct role *r)
{
    return wait_only(r, r->core == NULL && r->n_listeners == 0);
}

/* ---- a supervisor in a child ---- */

struct rig {
    char folder[64];
    char text[512];
    int notify;
    pid_t pid;
    struct netaddr at;
};

static struct rig *rig_of(void **state)
{
    return *state;
}

/* Below the range from which the system takes ports for connections: other tests make many at the
 * same time. */
static uint16_t free_port(void)
{
    struct netaddr at;
    uint16_t salt;
    int fd = -1;
    assert_true(netaddr_parse(STR("127.0.0.1"), &at));
    for (int i = 0; i < 100 && fd < 0; i++) {
        sys_random(&salt, sizeof salt);
        at.port = (uint16_t)(20000 + salt % 10000);
        fd = net_listen(&at, NULL);
    }
    assert_true(fd >= 0);
    close(fd);
    return at.port;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[NETADDR_TEXT];
    strcpy(r->folder, "/tmp/postrider-supervisor-XXXXXX");
    *state = r;
    if (mkdtemp(r->folder) == NULL || chmod(r->folder, 0777) != 0)
        return -1;
    assert_true(netaddr_parse(STR("127.0.0.1"), &r->at));
    r->at.port = free_port();
    snprintf(r->text, sizeof r->text,
             "hostname = \"mx.example.test\"\ndata_dir = \"%s/data\"\nlisten_smtp = "
             "{\"%s\"}\nlisten_pop3 = {}\nlisten_submission = {}\nlisten_submissions = {}\n"
             "submit_socket = none\n",
             r->folder, netaddr_text_port(&r->at, text));
    snprintf(to.sun_path, sizeof to.sun_path, "%s/notify", r->folder);
    r->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setenv("NOTIFY_SOCKET", to.sun_path, 1);
    return bind(r->notify, (struct sockaddr *)&to, sizeof to) != 0 || chmod(to.sun_path, 0777) != 0;
}

static int teardown(void **state)
{
    struct rig *r = rig_of(state);
    const char *const names[] = {"data/made", "data/fail", "data/control.sock",
                                 "data",      "notify",    ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", r->folder, names[i]);
        (void)remove(path);
    }
    close(r->notify);
    free(r);
    return 0;
}

enum how { AS_IS, AS_NOBODY, SINGLE };

static void launch(struct rig *r, enum how how)
{
    r->pid = fork();
    if (r->pid != 0)
        return;
    struct arena a;
    struct settings *set = calloc(1, sizeof *set);
    struct err err = {0};
    arena_init(&a, 1 << 20);
    log_quiet(true);
    if (how == AS_NOBODY && setresuid(65534, 65534, 65534) != 0)
        _exit(99);
    if (settings_parse(str_c(r->text), "test", &a, set, &err) != RC_OK) {
        fprintf(stderr, "%s\n", err.text);
        _exit(98);
    }
    int status = supervisor_run(set, str_c(r->text), how == SINGLE, &err);
    free(set);
    arena_free(&a);
    exit(status);
}

static bool wait_ready(struct rig *r)
{
    char got[64] = {0};
    struct pollfd p = {.fd = r->notify, .events = POLLIN};
    return poll(&p, 1, WAIT_MS) == 1 && recv(r->notify, got, sizeof got - 1, 0) > 0 &&
           strcmp(got, "READY=1") == 0;
}

static int end_status(struct rig *r)
{
    int status;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Never refused, and answered. */
static struct answer ask(struct rig *r, char what)
{
    struct sockaddr_storage s;
    struct answer a;
    socklen_t len = net_to_sockaddr(&r->at, &s);
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&s, len), 0);
        (void)!send(fd, &what, 1, MSG_NOSIGNAL);
        ssize_t n = recv(fd, &a, sizeof a, MSG_WAITALL);
        close(fd);
        if (n == (ssize_t)sizeof a)
            return a;
        /* Taken by the role that was just killed: the next connection is another's. */
    }
}

static void live(struct rig *r, enum how how)
{
    launch(r, how);
    assert_true(wait_ready(r));
    struct answer a = ask(r, 'q');
    assert_true(a.core_pid > 0);
    if (how == SINGLE) {
        assert_int_equal(a.mx_pid, r->pid);
        assert_int_equal(a.core_pid, r->pid);
    } else {
        assert_int_not_equal(a.mx_pid, r->pid);
        assert_int_not_equal(a.core_pid, a.mx_pid);
        /* standard, control, listener, the channel to core, this connection */
        assert_int_equal(a.fds, 3 + 1 + 1 + 1 + 1);
        bool own_user = geteuid() == 0 && how == AS_IS;
        assert_int_equal(a.uid, how == AS_NOBODY ? 65534
                                : own_user       ? SUPERVISOR_UID_BASE + ROLE_MX
                                                 : geteuid());
    }
    struct answer b = ask(r, 'c'); /* a channel that core ended, and both live */
    assert_int_equal(b.core_pid, a.core_pid);
    assert_int_equal(b.mx_pid, a.mx_pid);
}

static void test_processes(void **state, enum how how)
{
    struct rig *r = rig_of(state);
    live(r, how);
    struct answer a = ask(r, 'q'), b;
    for (int i = 0; i < 3;
         i++, a = b) { /* the second and third time after a pause of 100 and 200 ms */
        assert_int_equal(kill((pid_t)a.mx_pid, SIGKILL), 0);
        b = ask(r, 'q');
        assert_int_not_equal(b.mx_pid, a.mx_pid);
        assert_int_equal(b.core_pid, a.core_pid);
    }
    assert_int_equal(kill((pid_t)a.core_pid, SIGKILL), 0);
    do
        b = ask(r, 'q');
    while (b.core_pid == a.core_pid);
    assert_true(b.core_pid > 0);
    assert_int_equal(b.mx_pid, a.mx_pid);
    assert_int_equal(kill(r->pid, SIGTERM), 0);
    assert_int_equal(end_status(r), 0);
    assert_int_not_equal(kill((pid_t)b.mx_pid, 0), 0);
    assert_int_not_equal(kill((pid_t)b.core_pid, 0), 0);
}

static void test_as_is(void **state)
{
    test_processes(state, AS_IS);
}

static void test_as_nobody(void **state)
{
    if (geteuid() != 0)
        skip();
    test_processes(state, AS_NOBODY);
}

static void test_single(void **state)
{
    struct rig *r = rig_of(state);
    live(r, SINGLE);
    assert_int_equal(kill(r->pid, SIGINT), 0);
    assert_int_equal(end_status(r), 0);
}

static void test_owner(void **state)
{
    struct rig *r = rig_of(state);
    char path[128];
    struct stat st;
    launch(r, AS_IS);
    assert_true(wait_ready(r));
    snprintf(path, sizeof path, "%s/data", r->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(st.st_uid, geteuid() == 0 ? SUPERVISOR_UID_BASE + ROLE_CORE : geteuid());
    snprintf(path, sizeof path, "%s/data/control.sock", r->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    pid_t first = r->pid;
    launch(r, AS_IS); /* a second one on the same folder (and port) */
    assert_int_not_equal(end_status(r), 0);
    r->pid = first;
    assert_true(ask(r, 'q').core_pid > 0); /* does no harm */
    assert_int_equal(kill(r->pid, SIGTERM), 0);
    assert_int_equal(end_status(r), 0);
}

/* The supervisor is killed: all others end by themselves. */
static void test_orphans(void **state)
{
    struct rig *r = rig_of(state);
    launch(r, AS_IS);
    assert_true(wait_ready(r));
    struct answer a = ask(r, 'q');
    assert_int_equal(kill(r->pid, SIGKILL), 0);
    assert_int_equal(end_status(r), -SIGKILL);
    while (kill((pid_t)a.mx_pid, 0) == 0 || kill((pid_t)a.core_pid, 0) == 0)
        usleep(10000);
}

static void test_cannot_start(void **state)
{
    struct rig *r = rig_of(state);
    char path[128];
    snprintf(path, sizeof path, "%s/data", r->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/data/fail", r->folder);
    close(open(path, O_CREAT | O_RDWR, 0600));
    launch(r, AS_IS);
    assert_int_equal(end_status(r), 5);
    launch(r, SINGLE);
    assert_int_equal(end_status(r), 5);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "role") == 0)
        return role_main(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_as_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_as_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_single, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
