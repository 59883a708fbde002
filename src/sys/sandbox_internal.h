/* sandbox_internal.h: the halves of sandbox.h. sandbox.c: privileges; sandbox_landlock.c;
 * sandbox_seccomp.c. */
#ifndef SYS_SANDBOX_INTERNAL_H
#define SYS_SANDBOX_INTERNAL_H

#include "sys/sandbox.h"

enum rc sandbox_landlock(const struct sandbox *s, struct err *err);
enum rc sandbox_seccomp(const struct sandbox *s, struct err *err);

/* The sanitizers of test builds name threads and mappings, ask whether stderr is a terminal before
 * they report, and look for leaks at the end with a tracer, which no sandbox allows: such a process
 * is not searched for leaks (sandbox_sanitizer.c). This is the only difference a test build makes. */
#ifdef POSTRIDER_SANITIZED
#define SANDBOX_SANITIZED 1
void sandbox_leak_check_off(void);
#else
#define SANDBOX_SANITIZED 0
static inline void sandbox_leak_check_off(void) {}
#endif

#endif
