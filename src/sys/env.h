/* env.h: the world outside as struct env has it: the system's clock, randomness and network. */
#ifndef SYS_ENV_H
#define SYS_ENV_H

#include "base/env.h"

/* Fills mono_ms, wall_ms, random and connect, all thread-safe; dns and store are NULL. */
void sys_env_init(struct env *e);

#endif
