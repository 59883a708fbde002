/* queue_fixture.h: an empty queue on the memory store, with a virtual clock. For tests of the queue. */
#ifndef TESTS_QUEUE_FIXTURE_H
#define TESTS_QUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_env.h"
#include "post/queue.h"
#include "store/engines.h"

static struct fake_env fe;
static struct arena a;

static int setup(void **state)
{
    (void)state;
    fake_env_init(&fe, 7);
    fe.env.store = store_memory_new();
    arena_init(&a, 64 << 20);
    return fe.env.store == NULL;
}

static int teardown(void **state)
{
    (void)state;
    store_close(fe.env.store);
    arena_free(&a);
    return 0;
}

#endif
