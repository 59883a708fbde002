/* blocking.h: a thread says when it goes to sleep over an answer, so that whoever gave it its work
 * can let another thread run meanwhile. sys/server.h's workers listen; for all other threads this
 * does nothing.
 *
 * wake_wait (sys/futex.h), and with it channel_call, store_commit and queue_in say so by themselves;
 * other waits of a handler should as well. */
#ifndef BASE_BLOCKING_H
#define BASE_BLOCKING_H

#include <stddef.h>

struct blocking {
    void (*begin)(void *user);
    void (*end)(void *user);
    void *user;
};

/* Of the thread, set once by its owner: thread-local because a wait deep in a library knows nothing
 * of servers. */
extern _Thread_local const struct blocking *blocking_listener;

static inline void blocking_begin(void)
{
    if (blocking_listener != NULL)
        blocking_listener->begin(blocking_listener->user);
}

static inline void blocking_end(void)
{
    if (blocking_listener != NULL)
        blocking_listener->end(blocking_listener->user);
}

#endif
