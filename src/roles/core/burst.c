/* burst.c: a commit thread that ends a hundred batches of a few channels gives each channel one
 * write, not a hundred.
 *
 * With an engine that says when it is through with a run of answers (core_server_gather), the
 * channels answered on its threads are corked until then. What is answered on a channel's own
 * reader thread, inside store_submit, goes out at once. */
#include "roles/core/client.h"

enum { BURST_CLIENTS = 64 }; /* more take part in no burst: their replies go out one by one */

struct burst {
    bool submitting;
    size_t n;
    struct core_client *v[BURST_CLIENTS];
};
static _Thread_local struct burst burst;

void burst_submit(struct store *engine, struct store_commit *c)
{
    burst.submitting = true;
    store_submit(engine, c);
    burst.submitting = false;
}

bool burst_touch(struct core_client *c)
{
    if (!c->server->gathers || burst.submitting)
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

void core_server_gather(struct core_server *cs)
{
    cs->gathers = true;
}

void core_server_flush(void)
{
    for (size_t i = 0; i < burst.n; i++) {
        client_flush_hints(burst.v[i]);
        channel_uncork(burst.v[i]->peer);
        client_release(burst.v[i]);
    }
    burst.n = 0;
}
