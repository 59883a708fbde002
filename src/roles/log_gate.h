/* log_gate.h: how many lines strangers can make us write. What anybody on the network can cause at
 * will (refusals, wrong logins, connections that come and go) passes a gate before it is logged;
 * what costs them something (mail accepted, a login) does not.
 *
 * An address (an IPv6 /64 is one) may cause LOG_GATE_BURST lines and then one every
 * LOG_GATE_EVERY_MS; all together LOG_GATE_BURST_ALL and LOG_GATE_PER_S_ALL: at some 250 bytes a
 * line less than 2 GB a day under any attack. Lines left out are counted and named in the next one
 * of that address. A fixed table; thread-safe. */
#ifndef ROLES_LOG_GATE_H
#define ROLES_LOG_GATE_H

#include <pthread.h>

#include "base/netaddr.h"

/* a morning of a badly kept mailing list, or somebody who tries things out */
#define LOG_GATE_BURST     200
#define LOG_GATE_EVERY_MS  1000
#define LOG_GATE_BURST_ALL 2000
#define LOG_GATE_PER_S_ALL 60
#define LOG_GATE_SLOTS     1024

struct log_gate {
    uint8_t key[16]; /* of the hash: random */
    pthread_mutex_t lock;
    int64_t all_ms; /* tokens of all: as a time, see log_gate.c */
    struct log_gate_slot {
        uint64_t who; /* 0: free */
        int64_t ms;
        uint64_t left_out;
    } slots[LOG_GATE_SLOTS];
};

void log_gate_init(struct log_gate *g, const uint8_t key[static 16]);
void log_gate_free(struct log_gate *g);
/* True: log it, and *left_out, the lines of this address that were not since the last one that
 * was. */
bool log_gate_pass(struct log_gate *g, const struct netaddr *from, int64_t now_ms,
                   uint64_t *left_out);

#endif
