/* server_stress.c: how busy the server is: see server.h.
 *
 * Connections and descriptors are looked at whenever a connection comes or goes, memory at most once
 * a second: what the allocator has given out, which unlike the resident size needs no file, falls
 * when sessions end, and is what sessions and TLS need. */
#include <limits.h>
#include <malloc.h>
#include <sys/resource.h>

#include "sys/clock.h"
#include "sys/server_internal.h"

#define STRESS_BEGINS     80 /* per cent of any of the three */
#define STRESS_ENDS       60 /* per cent of all three: far enough that it does not flutter */
#define OTHER_DESCRIPTORS 32 /* channels, events, log: a process's own */
#define MEMORY_LOOK_MS    1000

void stress_init(struct server *s)
{
    struct rlimit files;
    bool known = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY;
    s->descriptors_max = known ? (size_t)files.rlim_cur : SIZE_MAX / 100;
    s->sweep_at = UINT32_MAX;
}

/* What is in use, in per cent of what there may be: of what there is most. */
static unsigned load_percent(const struct server *s)
{
    size_t n = atomic_load(&s->connections);
    size_t connections = n * 100 / (size_t)s->limits.connections_max;
    size_t descriptors = (n + s->n_listeners + OTHER_DESCRIPTORS) * 100 / s->descriptors_max;
    unsigned memory = atomic_load(&s->memory_percent);
    size_t most = connections > descriptors ? connections : descriptors;
    return most > memory ? (unsigned)most : memory;
}

void stress_look(struct server *s)
{
    bool was = atomic_load_explicit(&s->stressed, memory_order_relaxed);
    unsigned percent = load_percent(s);
    if (was && percent < STRESS_ENDS)
        atomic_store(&s->stressed, false);
    /* Who is parked already has a deadline of better times. */
    if (!was && percent >= STRESS_BEGINS && !atomic_exchange(&s->stressed, true))
        timers_sweep(s);
}

void stress_look_at_memory(struct server *s)
{
    uint64_t max = atomic_load_explicit(&s->memory_max, memory_order_relaxed);
    int64_t now = sys_mono_ms(), due = atomic_load(&s->memory_look_ms);
    if (max == 0 || now < due ||
        !atomic_compare_exchange_strong(&s->memory_look_ms, &due, now + MEMORY_LOOK_MS))
        return;
    struct mallinfo2 m = mallinfo2();
    uint64_t percent = (m.uordblks + m.hblkhd) / (max / 100 + 1);
    atomic_store(&s->memory_percent, percent < UINT_MAX ? (unsigned)percent : UINT_MAX);
    stress_look(s);
}

int64_t stress_patience(const struct server *s, int64_t ms)
{
    return server_stressed(s) && ms > SERVER_HURRY_MS ? SERVER_HURRY_MS : ms;
}

bool server_stressed(const struct server *s)
{
    return atomic_load_explicit(&s->stressed, memory_order_relaxed);
}

void server_stress_memory(struct server *s, uint64_t bytes)
{
    atomic_store(&s->memory_max, bytes);
    if (bytes == 0)
        atomic_store(&s->memory_percent, 0);
    atomic_store(&s->memory_look_ms, 0);
}
