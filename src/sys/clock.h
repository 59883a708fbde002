/* clock.h: time and randomness from the system. Thread-safe, never fail. */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

int64_t sys_mono_ms(void);                /* CLOCK_MONOTONIC */
int64_t sys_wall_ms(void);                /* since 1970 UTC */
void sys_random(void *to, size_t n);      /* getrandom(2) */
struct timespec sys_timespec(int64_t ms); /* of an absolute time or a span, not negative */
/* Milliseconds from now to a deadline for poll(2): 0 if it has passed, at most a day (ask again
 * then). */
int sys_poll_ms(int64_t deadline_ms);

#endif
