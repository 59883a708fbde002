/* burst.c: a commit thread that ends a hundred batches of a few channels gives each channel one write, not a hundred. */
#include "roles/core/client.h"

enum { BURST_CLIENTS = 64 }; /* more take part in no burst: their replies go out one by one */

struct burst {
    bool open;
    size_t n;
    struct core_client *v[BURST_CLIENTS];
};
static _Thread_local struct burst burst;

bool burst_touch(struct core_client *c)
{
    if (!burst.open)
        return false;
    for (size_t i = burst.n; i > 0; i--)
        if (burst.v[i - 1] == c)
            return true;
    if (burst.n == BURST_CLIENTS)
        return false;
    client_hold(c);
    channel_cork(c->peer);
    burst.v[burst.n++] = c;
    return true;
}

void core_server_burst(struct core_server *cs, bool begin)
{
    (void)cs; /* an engine has one server, and this thread is the engine's */
    burst.open = begin;
    for (size_t i = 0; i < burst.n; i++) {
        client_flush_hints(burst.v[i]);
        channel_uncork(burst.v[i]->peer);
        client_release(burst.v[i]);
    }
    burst.n = 0;
}
