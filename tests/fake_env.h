/* fake_env.h: an env with a virtual clock and random numbers that are the same in every run. A copy of
 * the env has the same clock. */
#ifndef TESTS_FAKE_ENV_H
#define TESTS_FAKE_ENV_H

#include "base/env.h"

struct fake_env {
    struct env env; /* first */
    int64_t mono, wall;
    uint64_t seed;
};

static inline int64_t fake_mono(struct env *e)
{
    return ((struct fake_env *)e->ctx)->mono;
}
static inline int64_t fake_wall(struct env *e)
{
    return ((struct fake_env *)e->ctx)->wall;
}
static inline void fake_random(struct env *e, void *to, size_t n)
{
    struct fake_env *f = e->ctx;
    for (size_t i = 0; i < n; i++) {
        f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)to)[i] = (uint8_t)(f->seed >> 56);
    }
}
static inline void fake_env_init(struct fake_env *f, uint64_t seed)
{
    *f = (struct fake_env){.mono = 1000000, .wall = 1795000000000, .seed = seed};
    f->env.ctx = f;
    f->env.mono_ms = fake_mono;
    f->env.wall_ms = fake_wall;
    f->env.random = fake_random;
}
static inline void fake_env_pass(struct fake_env *f, int64_t ms)
{
    f->mono += ms;
    f->wall += ms;
}

#endif
