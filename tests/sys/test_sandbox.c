/* test_sandbox.c: Every row of the role table, entered in a child, which then tries one thing:
 * done, refused with EACCES, or killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/role_table.h"
#include "sys/net.h"

enum { KILLED = 1000 };

static int dir_fd, listener_fd, tcp_fd;
/* somebody listens there; the settings name it, as a DNS server's and as a route's */
static uint16_t port;

/* ---- things to try; each gives 0 or an errno ---- */

static int result(long rc)
{
    return rc < 0 ? errno : 0;
}

static int try_nothing(void)
{
    return 0;
}

static int try_exec(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    return result(execve("/bin/true", argv, NULL));
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int try_vfork(void)
{
    return result(syscall(SYS_clone, SIGCHLD | 0x4100 /* VFORK, VM */, NULL, NULL, NULL, 0));
}

static void *thread_main(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t t;
    void *got = NULL, *given = &dir_fd;
    int rc = pthread_create(&t, NULL, thread_main, given);
    return rc != 0 ? rc : pthread_join(t, &got) != 0 || got != given;
}

static int try_open_passwd(void)
{
    return result(open("/etc/passwd", O_RDONLY));
}
static int try_open_proc(void)
{
    return result(open("/proc/self/status", O_RDONLY));
}
static int try_open_above(void)
{
    return result(openat(dir_fd, "../../etc/passwd", O_RDONLY));
}
static int try_stat(void)
{
    struct stat st;
    return result(fstatat(AT_FDCWD, "/etc/passwd", &st, 0));
}

static int try_data(void)
{
    int fd = openat(dir_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    bool good = pwrite(fd, "x", 1, 0) == 1 && ftruncate(fd, 100) == 0 && fdatasync(fd) == 0;
    void *map = mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0);
    good = good && map != MAP_FAILED && ((char *)map)[0] == 'x' && unlinkat(dir_fd, "file", 0) == 0;
    return good ? 0 : EIO;
}

static int try_data_exec(void)
{
    int fd = openat(dir_fd, "program", O_RDWR | O_CREAT, 0700);
    return fd < 0 ? errno
                  : result(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED
                               ? -1
                               : 0);
}

static int try_chmod(void)
{
    return result(chmod("/etc/passwd", 0644));
}
static int try_mkdir(void)
{
    return result(mkdirat(dir_fd, "folder", 0700));
}
static int try_symlink(void)
{
    return result(symlinkat("/etc/passwd", dir_fd, "link"));
}
static int try_socket_tcp(void)
{
    return result(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}
static int try_socket_udp(void)
{
    return result(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
}
static int try_socket_unix(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int try_socket_raw(void)
{
    return result(socket(AF_INET, SOCK_RAW, 1));
}
static int try_socket_netlink(void)
{
    return result(socket(AF_NETLINK, SOCK_DGRAM, 0));
}
static int try_listen(void)
{
    return result(listen(tcp_fd, 1));
}

static int try_connect_to(uint16_t to)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int rc = connect(tcp_fd, (struct sockaddr *)&a, sizeof a);
    return rc < 0 && errno == ECONNREFUSED ? 0 : result(rc);
}

static int try_connect(void)
{
    return try_connect_to(port);
}
static int try_connect_smtp(void)
{
    return try_connect_to(2525);
}
static int try_connect_other(void)
{
    return try_connect_to(22);
}

static int try_bind(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return result(bind(tcp_fd, (struct sockaddr *)&a, sizeof a));
}

static int try_bind_port(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(4321), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return result(bind(tcp_fd, (struct sockaddr *)&a, sizeof a));
}

static int try_accept(void)
{
    int rc = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
    return rc < 0 && errno == EAGAIN ? 0 : result(rc);
}

static int try_sendto(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int rc = (int)sendto(tcp_fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a);
    return rc < 0 && errno == EPIPE ? 0 : result(rc);
}

static int try_exec_memory(void)
{
    return result(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                          MAP_FAILED
                      ? -1
                      : 0);
}

static int try_make_exec(void)
{
    void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mprotect(m, 4096, PROT_READ | PROT_EXEC));
}

static int try_kill(void)
{
    return result(kill(getppid(), 0));
}
static int try_tgkill(void)
{
    return result(syscall(SYS_tgkill, 1, 1, 0));
}
static int try_ptrace(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int try_io_uring(void)
{
    return result(syscall(425, 1, NULL));
}
static int try_setuid(void)
{
    return result(syscall(SYS_setresuid, 0, 0, 0));
}
static int try_unshare(void)
{
    return result(syscall(SYS_unshare, 0x10000000));
}
static int try_bpf(void)
{
    return result(syscall(SYS_bpf, 0, NULL, 0));
}
static int try_seccomp(void)
{
    return result(syscall(SYS_seccomp, 0, 0, NULL));
}
static int try_raise_limit(void)
{
    struct rlimit l = {100, 100};
    return result(setrlimit(RLIMIT_NOFILE, &l));
}
static int try_push_key(void)
{
    return result(ioctl(0, TIOCSTI, "x"));
}
static int try_abort(void)
{
    abort();
}

/* ---- what is expected of each ---- */

#define R(id) (1u << ROLE_##id)
#define ALL   (R(CORE) | R(RESOLVER) | R(MX) | R(USER) | R(COURIER) | R(LOCAL))

static const struct attempt {
    const char *name;
    int (*run)(void);
    unsigned may;  /* roles for which it works */
    int otherwise; /* for the others */
} attempts[] = {
    {"nothing", try_nothing, ALL, 0},
    {"thread", try_thread, ALL, 0},
    {"execve", try_exec, 0, KILLED},
    {"fork", try_fork, 0, KILLED},
    {"vfork", try_vfork, 0, KILLED},
    {"open /etc/passwd", try_open_passwd, 0, EACCES},
    {"open /proc/self/status", try_open_proc, 0, EACCES},
    {"open above the data folder", try_open_above, 0, EACCES},
    {"data file", try_data, R(CORE), EACCES},
    {"chmod", try_chmod, 0, KILLED},
    {"mkdir", try_mkdir, 0, KILLED},
    {"symlink", try_symlink, 0, KILLED},
    {"TCP socket", try_socket_tcp, R(COURIER) | R(RESOLVER), KILLED},
    {"UDP socket", try_socket_udp, R(RESOLVER), KILLED},
    {"Unix socket", try_socket_unix, 0, KILLED},
    {"raw socket", try_socket_raw, 0, KILLED},
    {"netlink socket", try_socket_netlink, 0, KILLED},
    {"listen", try_listen, 0, KILLED},
    {"accept", try_accept, R(MX) | R(USER) | R(CORE), KILLED},
    {"connect to a configured port", try_connect, R(COURIER) | R(RESOLVER), KILLED},
    {"bind any port", try_bind, R(COURIER) | R(RESOLVER), KILLED},
    {"sendto an address", try_sendto, R(RESOLVER), KILLED},
    {"executable memory", try_exec_memory, 0, KILLED},
    {"memory made executable", try_make_exec, 0, KILLED},
    {"kill", try_kill, 0, KILLED},
    {"tgkill another", try_tgkill, 0, KILLED},
    {"ptrace", try_ptrace, 0, KILLED},
    {"io_uring", try_io_uring, 0, KILLED},
    {"setresuid", try_setuid, 0, KILLED},
    {"unshare", try_unshare, 0, KILLED},
    {"bpf", try_bpf, 0, KILLED},
    {"seccomp", try_seccomp, 0, KILLED},
    {"setrlimit", try_raise_limit, 0, KILLED},
    {"terminal injection", try_push_key, 0, KILLED},
};

static struct sandbox sandbox_of(enum role_id id)
{
    struct settings set = {.smtp_client_port = 2525, .n_dns_servers = 1, .n_routes = 1};
    set.dns_servers[0].port = port;
    set.routes[0].port = port;
    return role_sandbox(id, &set, dir_fd);
}

/* In a child, in the sandbox of the role: 0, an errno, or KILLED. */
static int attempt_in(enum role_id id, int (*run)(void))
{
    tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = {0};
        struct sandbox s = sandbox_of(id);
        signal(SIGSYS, SIG_DFL);
        if (sandbox_enter(&s, &err) != RC_OK) {
            fprintf(stderr, "%s\n", err.text);
            _exit(255);
        }
        _exit(run());
    }
    int status;
    close(tcp_fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return KILLED;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_rows(void **state)
{
    (void)state;
    int wrong = 0;
    for (int id = ROLE_SUPERVISOR + 1; id < ROLE_COUNT; id++)
        for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
            const struct attempt *a = &attempts[i];
            int want = a->may >> id & 1 ? 0 : a->otherwise;
            int got = attempt_in((enum role_id)id, a->run);
            if (want == EACCES && role_table[id].data_dir && sandbox_landlock_version() == 0)
                continue; /* core without Landlock: the file system's permissions alone */
            if (got != want) {
                print_error("%s: %s: expected %d, got %d\n", role_table[id].name, a->name, want,
                            got);
                wrong++;
            }
        }
    assert_int_equal(wrong, 0);
}

static void test_core_files(void **state)
{
    (void)state;
    assert_int_equal(attempt_in(ROLE_CORE, try_data_exec), KILLED);
    assert_int_equal(attempt_in(ROLE_MX, try_stat), EACCES);
    /* a broken belief still ends as such */
    assert_int_equal(attempt_in(ROLE_MX, try_abort), -SIGABRT);
}

static void test_ports(void **state)
{
    (void)state;
    if (sandbox_landlock_version() < 4)
        skip();
    assert_int_equal(attempt_in(ROLE_COURIER, try_connect_smtp), 0);
    assert_int_equal(attempt_in(ROLE_RESOLVER, try_connect_smtp), EACCES);
    assert_int_equal(attempt_in(ROLE_COURIER, try_connect_other), EACCES);
    assert_int_equal(attempt_in(ROLE_RESOLVER, try_connect_other), EACCES);
    assert_int_equal(attempt_in(ROLE_COURIER, try_bind_port), EACCES);
}

/* What the kernel says about a sandboxed process. */
static void test_status(void **state)
{
    (void)state;
    int go[2], there[2];
    assert_true(pipe(go) == 0 && pipe(there) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox s = sandbox_of(ROLE_MX);
        char c = 'x';
        if (sandbox_enter(&s, NULL) != RC_OK || write(there[1], &c, 1) != 1)
            _exit(255);
        _exit(read(go[0], &c, 1) == 1 ? 0 : 255);
    }
    char path[64], line[256], c;
    int found = 0, status;
    assert_int_equal(read(there[0], &c, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        found += strcmp(line, "NoNewPrivs:\t1\n") == 0;
        found += strcmp(line, "Seccomp:\t2\n") == 0;
        found += strcmp(line, "CapEff:\t0000000000000000\n") == 0;
        found += strcmp(line, "CapPrm:\t0000000000000000\n") == 0;
    }
    fclose(f);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(found, 4);
}

static int keep_folder(void **state)
{
    static char path[] = "/tmp/postrider-sandbox-XXXXXX";
    struct netaddr any;
    *state = mkdtemp(path);
    dir_fd = open(path, O_RDONLY | O_DIRECTORY);
    listener_fd = netaddr_parse(STR("127.0.0.1"), &any) ? net_listen(&any, NULL) : -1;
    port = net_local(listener_fd).port;
    (void)fcntl(listener_fd, F_SETFL, O_NONBLOCK);
    return dir_fd < 0 || listener_fd < 0;
}

static int remove_folder(void **state)
{
    (void)unlinkat(dir_fd, "file", 0);
    (void)unlinkat(dir_fd, "program", 0);
    return rmdir(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_core_files),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, keep_folder, remove_folder);
}
