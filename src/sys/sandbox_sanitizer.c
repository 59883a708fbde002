/* sandbox_sanitizer.c: in builds with sanitizers only: tells the leak checker not to run in a
 * process that is sandboxed. */
#include <stdatomic.h>

#include "sys/sandbox_internal.h"

static _Atomic int off; /* a fact about the process, asked for by the sanitizer's runtime at exit */

int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return atomic_load(&off);
}

void sandbox_leak_check_off(void)
{
    atomic_store(&off, 1);
}
