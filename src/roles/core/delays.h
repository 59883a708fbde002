/* delays.h: how long the answer to a failed login is held back, by where it came from: 2 s,
 * doubling to 15 s.
 *
 * A fixed table: an address (an IPv6 one by its /64, which one customer has) falls into one slot;
 * whoever comes later takes it over. So memory is bounded and nobody is ever locked out. Loopback
 * is exempt: it is the owner, or a proxy of theirs. Not thread-safe. */
#ifndef ROLES_CORE_DELAYS_H
#define ROLES_CORE_DELAYS_H

#include "base/netaddr.h"

#define DELAYS_FIRST_MS  2000
#define DELAYS_MOST_MS   15000
#define DELAYS_FORGET_MS (5 * 60 * 1000) /* without a failure */
#define DELAYS_SLOTS     1024

struct delays {
    uint8_t key[16]; /* of the hash: filled with randomness by the owner */
    struct delays_slot {
        uint64_t who; /* hash of the address; 0: free */
        int64_t last_ms;
        unsigned failures;
    } slots[DELAYS_SLOTS];
};

/* ms to hold this answer back */
int64_t delays_failed(struct delays *d, const struct netaddr *from, int64_t now_ms);
void delays_succeeded(struct delays *d, const struct netaddr *from);

#endif
