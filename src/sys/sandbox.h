/* sandbox.h: what a process may still ask of the kernel, from a row of permissions. There is no way
 * back.
 *
 * Always: no new privileges, no capabilities, no core dumps, not to be traced, no execve, no fork,
 * no executable memory, no io_uring, no signals to others. Threads, memory, clocks, and work on
 * descriptors already open are allowed. Opening or looking at a path answers EACCES (libraries try
 * that and do without); everything else that is not allowed kills the process (SIGSYS), unless
 * noted. Landlock repeats what it can (files, TCP ports, signals) as far as the running kernel
 * knows it.
 *
 * Call it before the process starts its first thread: Landlock holds for the calling thread and
 * those it starts. */
#ifndef SYS_SANDBOX_H
#define SYS_SANDBOX_H

#include "base/err.h"
#include "base/str.h"

/* all regular files below dir_fd: open, create, remove; no other path where there is Landlock */
#define SANDBOX_FILES  1u
#define SANDBOX_ACCEPT 2u /* take connections from listening sockets it was given */
/* make TCP sockets and connect them, to `ports` only where the kernel has Landlock 4 (else
 * EACCES) */
#define SANDBOX_CONNECT 4u
#define SANDBOX_UDP     8u /* make UDP sockets and use them */

#define SANDBOX_PORTS_MAX 96

struct sandbox {
    unsigned may;
    int dir_fd; /* SANDBOX_FILES; else -1 */
    uint16_t ports[SANDBOX_PORTS_MAX];
    size_t n_ports; /* 0: any */
};

/* Enters it. On failure some of it may hold already: end the process. */
enum rc sandbox_enter(const struct sandbox *s, struct err *err);
/* The Landlock version of the running kernel; 0: none. */
int sandbox_landlock_version(void);

/* For the supervisor as root: keeps the capabilities in `mask` (1 << CAP_*), drops the others, now
 * and for what it executes. */
enum rc sandbox_keep_capabilities(uint64_t mask, struct err *err);

#endif
