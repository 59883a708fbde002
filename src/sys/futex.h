/* futex.h: one thread waits for one event of another, at the price of one system call each (none if
 * the event came first).
 *
 * struct wake may live on the waiter's stack: wake_set touches its memory only up to the moment the
 * waiter can see the event; the system call after that takes the address alone, and a stray wake-up
 * there is harmless to anybody. */
#ifndef SYS_FUTEX_H
#define SYS_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/blocking.h"
#include "sys/clock.h"

struct wake {
    _Atomic uint32_t state; /* 0: nothing yet, 1: set, 2: nothing yet and somebody sleeps */
};

static inline void wake_init(struct wake *w)
{
    atomic_init(&w->state, 0);
}

static inline void wake_set(struct wake *w)
{
    if (atomic_exchange_explicit(&w->state, 1, memory_order_acq_rel) == 2)
        syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline bool wake_is_set(struct wake *w)
{
    return atomic_load_explicit(&w->state, memory_order_acquire) == 1;
}

/* True: set. False: the deadline (CLOCK_MONOTONIC ms; INT64_MAX: none) passed first. One waiter
 * only. */
static inline bool wake_wait(struct wake *w, int64_t deadline_ms)
{
    uint32_t none = 0;
    if (!atomic_compare_exchange_strong(&w->state, &none, 2) && none == 1)
        return true;
    struct timespec until = sys_timespec(deadline_ms);
    struct timespec *limit = deadline_ms == INT64_MAX ? NULL : &until;
    blocking_begin();
    while (!wake_is_set(w))
        if (syscall(SYS_futex, &w->state, FUTEX_WAIT_BITSET_PRIVATE, 2, limit, NULL,
                    FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT)
            break;
    blocking_end();
    return wake_is_set(w);
}

#endif
