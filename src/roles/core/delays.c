/* delays.c: see delays.h. */
#include "roles/core/delays.h"

#include "base/map.h"

enum { V6_NETWORK = 8, V4 = 4 }; /* bytes that count */

static bool exempt(const struct netaddr *from)
{
    return from->family == NETADDR_NONE || from->family == NETADDR_UNIX || netaddr_loopback(from);
}

static uint64_t who(const struct delays *d, const struct netaddr *from)
{
    struct netaddr a = netaddr_plain(from);
    uint64_t h = siphash24(d->key, str_of(a.bytes, a.family == NETADDR_V4 ? V4 : V6_NETWORK));
    return h != 0 ? h : 1;
}

int64_t delays_failed(struct delays *d, const struct netaddr *from, int64_t now_ms)
{
    if (exempt(from))
        return 0;
    uint64_t h = who(d, from);
    struct delays_slot *s = &d->slots[h % DELAYS_SLOTS];
    if (s->who != h || now_ms - s->last_ms > DELAYS_FORGET_MS)
        *s = (struct delays_slot){.who = h};
    s->last_ms = now_ms;
    int64_t ms = DELAYS_FIRST_MS;
    for (unsigned i = 0; i < s->failures && ms < DELAYS_MOST_MS; i++)
        ms *= 2;
    if (ms < DELAYS_MOST_MS)
        s->failures++;
    return ms < DELAYS_MOST_MS ? ms : DELAYS_MOST_MS;
}

void delays_succeeded(struct delays *d, const struct netaddr *from)
{
    if (exempt(from))
        return;
    uint64_t h = who(d, from);
    struct delays_slot *s = &d->slots[h % DELAYS_SLOTS];
    if (s->who == h)
        *s = (struct delays_slot){0};
}
