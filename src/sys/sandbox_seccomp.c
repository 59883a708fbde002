/* sandbox_seccomp.c: the part of sandbox.h that seccomp does. Each table is a list of system calls,
 * grouped by what they are for; what stands in no table kills. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/sandbox_internal.h"

#define CALLS(...) ((const int[]){__VA_ARGS__, 0x7fffffff})
#define END        0x7fffffff

static const int *const base_calls[] = {
    /* bytes in and out of what is open */
    CALLS(SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(recvfrom),
          SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(close), SCMP_SYS(close_range),
          SCMP_SYS(dup), SCMP_SYS(dup3), SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(shutdown),
          SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
          SCMP_SYS(pipe2)),
    /* waiting */
    CALLS(SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
          SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
          SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
          SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(nanosleep),
          SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall)),
    /* threads of its own */
    CALLS(SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list),
          SCMP_SYS(set_tid_address), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
          SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
          SCMP_SYS(membarrier), SCMP_SYS(getcpu), SCMP_SYS(gettid), SCMP_SYS(exit),
          SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
          SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack)),
    /* memory, never executable: mmap and mprotect are in the rules below */
    CALLS(SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk)),
    /* clocks, randomness, itself */
    CALLS(SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
          SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
          SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo),
          SCMP_SYS(getrusage), SCMP_SYS(times)),
};

/* Attempts libraries make and can do without: no answer, no death. */
static const int eacces_calls[] = {
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(statfs),
    END,
};

static const int file_calls[] = {
    SCMP_SYS(open),         SCMP_SYS(openat),     SCMP_SYS(openat2),
    SCMP_SYS(stat),         SCMP_SYS(lstat),      SCMP_SYS(statx),
    SCMP_SYS(access),       SCMP_SYS(faccessat),  SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),     SCMP_SYS(readlinkat), SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),      SCMP_SYS(newfstatat), SCMP_SYS(getdents64),
    SCMP_SYS(unlink),       SCMP_SYS(unlinkat),   SCMP_SYS(rename),
    SCMP_SYS(renameat),     SCMP_SYS(renameat2),  SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),     SCMP_SYS(preadv),     SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),     SCMP_SYS(ftruncate),  SCMP_SYS(fallocate),
    SCMP_SYS(fsync),        SCMP_SYS(fdatasync),  SCMP_SYS(sync_file_range),
    SCMP_SYS(msync),        SCMP_SYS(flock),      SCMP_SYS(fadvise64),
    SCMP_SYS(memfd_create), SCMP_SYS(fchmod),     SCMP_SYS(mincore),
    SCMP_SYS(mlock),        SCMP_SYS(munlock),    END,
};

static const int accept_calls[] = {SCMP_SYS(accept), SCMP_SYS(accept4), END};
static const int connect_calls[] = {SCMP_SYS(connect), SCMP_SYS(bind), END};
static const int udp_calls[] = {SCMP_SYS(connect),  SCMP_SYS(bind),     SCMP_SYS(sendto),
                                SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), END};

static int allow(scmp_filter_ctx f, const int *calls, uint32_t action)
{
    int rc = 0;
    for (; *calls != END && rc == 0; calls++)
        rc = seccomp_rule_add(f, action, *calls, 0);
    return rc;
}

/* Allows a call where one argument, masked, has a value. */
static int allow_if(scmp_filter_ctx f, int call, unsigned arg, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp c = {
        .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &c);
}

#define ALL_BITS UINT64_MAX
#define INT_BITS UINT32_MAX /* the kernel looks at 32 bits of an int */

static int allow_fcntl(scmp_filter_ctx f, bool files)
{
    const int any[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, END};
    const int on_files[] = {F_GETLK,     F_SETLK,     F_SETLKW,    F_OFD_SETLK,
                            F_OFD_GETLK, F_ADD_SEALS, F_GET_SEALS, END};
    int rc = 0;
    for (const int *op = any; *op != END && rc == 0; op++)
        rc = allow_if(f, SCMP_SYS(fcntl), 1, INT_BITS, (uint64_t)*op);
    for (const int *op = on_files; files && *op != END && rc == 0; op++)
        rc = allow_if(f, SCMP_SYS(fcntl), 1, INT_BITS, (uint64_t)*op);
    return rc;
}

/* Threads by clone with CLONE_THREAD; clone3 hides its flags in memory, so the library is told it
 * does not exist. */
static int allow_threads(scmp_filter_ctx f)
{
    int rc = allow_if(f, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
    rc = rc == 0 ? seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : rc;
    /* abort() */
    return rc == 0 ? allow_if(f, SCMP_SYS(tgkill), 0, INT_BITS, (uint64_t)getpid()) : rc;
}

/* A thread may step back behind the others: core's, when they check passwords. Its own process's
 * threads alone, one at a time. */
static int allow_nice(scmp_filter_ctx f)
{
    struct scmp_arg_cmp self[] = {
        {.arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = INT_BITS, .datum_b = PRIO_PROCESS},
        {.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = INT_BITS, .datum_b = 0},
    };
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 2, self);
}

/* fstat() is a newfstatat of no path; of a path it is refused. */
static int allow_fstat(scmp_filter_ctx f)
{
    struct scmp_arg_cmp path = {
        .arg = 3, .op = SCMP_CMP_MASKED_EQ, .datum_a = AT_EMPTY_PATH, .datum_b = 0};
    int rc = allow_if(f, SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
    return rc == 0
               ? seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 1, &path)
               : rc;
}

static int allow_rules(scmp_filter_ctx f, const struct sandbox *s)
{
    bool files = (s->may & SANDBOX_FILES) != 0;
    int rc = allow_if(f, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
    rc = rc == 0 ? allow_if(f, SCMP_SYS(mprotect), 2, PROT_EXEC, 0) : rc;
    rc = rc == 0 ? allow_threads(f) : rc;
    rc = rc == 0 && files ? allow_nice(f) : rc;
    rc = rc == 0 ? allow_fcntl(f, files) : rc;
    rc = rc == 0 ? allow_if(f, SCMP_SYS(socketpair), 0, INT_BITS, AF_UNIX) : rc;
    rc = rc == 0 ? allow_if(f, SCMP_SYS(prlimit64), 2, ALL_BITS, 0) : rc; /* asking only */
    /* send(): no address */
    if (rc == 0 && !(s->may & SANDBOX_UDP))
        rc = allow_if(f, SCMP_SYS(sendto), 4, ALL_BITS, 0);
    rc = rc == 0 && !files ? allow_fstat(f) : rc;
    rc = rc == 0 ? allow_if(f, SCMP_SYS(ioctl), 1, INT_BITS, FIONREAD) : rc;
    rc = rc == 0 ? allow_if(f, SCMP_SYS(ioctl), 1, INT_BITS, FIONBIO) : rc;
    if (rc == 0 && SANDBOX_SANITIZED) /* a report asks whether it writes to a terminal */
        rc = allow_if(f, SCMP_SYS(ioctl), 1, INT_BITS, TCGETS);
    if (rc == 0 && SANDBOX_SANITIZED)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 0);
    else if (rc == 0)
        rc = allow_if(f, SCMP_SYS(prctl), 0, INT_BITS, PR_SET_NAME);
    return rc;
}

/* Sockets of the kinds the row names, IPv4 and IPv6 only. */
static int allow_sockets(scmp_filter_ctx f, unsigned may)
{
    const int families[] = {AF_INET, AF_INET6};
    int rc = 0;
    for (size_t i = 0; i < 2; i++) {
        struct scmp_arg_cmp c[2] = {
            {.arg = 0,
             .op = SCMP_CMP_MASKED_EQ,
             .datum_a = INT_BITS,
             .datum_b = (uint64_t)families[i]},
            {.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xf},
        };
        c[1].datum_b = SOCK_STREAM;
        if (rc == 0 && (may & SANDBOX_CONNECT))
            rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, c);
        c[1].datum_b = SOCK_DGRAM;
        if (rc == 0 && (may & SANDBOX_UDP))
            rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, c);
    }
    return rc;
}

static int fill(scmp_filter_ctx f, const struct sandbox *s)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof base_calls / sizeof *base_calls && rc == 0; i++)
        rc = allow(f, base_calls[i], SCMP_ACT_ALLOW);
    rc = rc == 0 ? allow_rules(f, s) : rc;
    bool files = (s->may & SANDBOX_FILES) != 0;
    if (rc == 0)
        rc = allow(f, files ? file_calls : eacces_calls,
                   files ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES));
    if (rc == 0 && (s->may & SANDBOX_ACCEPT))
        rc = allow(f, accept_calls, SCMP_ACT_ALLOW);
    if (rc == 0 && (s->may & SANDBOX_CONNECT))
        rc = allow(f, connect_calls, SCMP_ACT_ALLOW);
    if (rc == 0 && (s->may & SANDBOX_UDP))
        rc = allow(f, udp_calls, SCMP_ACT_ALLOW);
    return rc == 0 ? allow_sockets(f, s->may) : rc;
}

enum rc sandbox_seccomp(const struct sandbox *s, struct err *err)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (f == NULL)
        return err_set(err, RC_PERM, "", "sandbox: seccomp: out of memory");
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    /* a binary search instead of a list, where known */
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    rc = rc == 0 ? fill(f, s) : rc;
    rc = rc == 0 ? seccomp_load(f) : rc;
    seccomp_release(f);
    if (rc != 0)
        return err_set(err, RC_PERM, "", "sandbox: seccomp: %s", strerror(-rc));
    return RC_OK;
}
