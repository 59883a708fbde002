/* env.c: see env.h. */
#include "sys/env.h"

#include "sys/clock.h"
#include "sys/net.h"

static int64_t env_mono(struct env *e)
{
    (void)e;
    return sys_mono_ms();
}

static int64_t env_wall(struct env *e)
{
    (void)e;
    return sys_wall_ms();
}

static void env_random(struct env *e, void *to, size_t n)
{
    (void)e;
    sys_random(to, n);
}

static enum rc env_connect(struct env *e, const struct netaddr *to, const struct netaddr *from,
                           int64_t deadline_ms, struct conn **out, struct err *err)
{
    (void)e;
    return net_connect(to, from, deadline_ms, out, err);
}

void sys_env_init(struct env *e)
{
    *e = (struct env){
        .mono_ms = env_mono, .wall_ms = env_wall, .random = env_random, .connect = env_connect};
}
