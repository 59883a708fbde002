/* clock.c: see clock.h. */
#include "sys/clock.h"

#include <errno.h>
#include <sys/random.h>

#include "base/err.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    must(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t sys_mono_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
int64_t sys_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

void sys_random(void *to, size_t n)
{
    char *p = to;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        must(got > 0 || errno == EINTR); /* without randomness there is nothing safe left to do */
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

struct timespec sys_timespec(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

int sys_poll_ms(int64_t deadline_ms)
{
    const int64_t day_ms = 86400000;
    int64_t left = deadline_ms - sys_mono_ms();
    return (int)(left < 0 ? 0 : left > day_ms ? day_ms : left);
}
