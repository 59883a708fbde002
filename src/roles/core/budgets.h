/* budgets.h: how many passwords may be tried, by where they come from and for whom; asked before
 * anything is hashed.
 *
 * Who is a stranger to an account pays from three budgets: the address (an IPv6 /64 is one, which
 * one customer has), its network (/24, /56), and the account's name (there need be no such account).
 * Where the account has logged in from before, only the budget of that account at that address is
 * asked: so neither a botnet that tries the account nor a neighbour who tries others locks its owner
 * out. From another address of a network that it knows, the network's budget is asked as well: else
 * each address of a known network would have guesses of its own.
 *
 *                     address   network   account   account at this address
 *     stranger           x         x         x
 *     known network                x                           x
 *     known address                                            x
 *
 * A login that succeeds gets back what it paid: whoever knows the password is not counted.
 *
 * A budget is a leaky bucket: so many at once, then one each so many minutes; nobody is locked out
 * for good. Fixed tables keyed by SipHash; where one is full, the bucket with the least in it goes,
 * so that flooding the tables cannot empty a full one. Not thread-safe. */
#ifndef ROLES_CORE_BUDGETS_H
#define ROLES_CORE_BUDGETS_H

#include "base/netaddr.h"

/* An address: 50 in its first day, 30 in each that follows. A person who has forgotten their password
 * tries fewer; a bot of a large botnet has some ten to give to each account anyway. */
#define BUDGETS_ADDRESS_BURST    20
#define BUDGETS_ADDRESS_EVERY_MS (48 * 60 * 1000)
/* A network: an office or a hotel with people who mistype; a rack of bots. */
#define BUDGETS_NETWORK_BURST    100
#define BUDGETS_NETWORK_EVERY_MS (6 * 60 * 1000)
/* An account, from wherever it never logged in: no password worth the name falls to 200 a day. */
#define BUDGETS_NAME_BURST    50
#define BUDGETS_NAME_EVERY_MS (10 * 60 * 1000)
/* An account at an address it knows: what a program with yesterday's password does. */
#define BUDGETS_KNOWN_BURST    30
#define BUDGETS_KNOWN_EVERY_MS (60 * 1000)

#define BUDGETS_SLOTS 8192 /* of each kind: 128 KiB */

enum budget { BUDGET_ADDRESS, BUDGET_NETWORK, BUDGET_NAME, BUDGET_KNOWN, BUDGET_KINDS };

struct budgets {
    uint8_t key[16]; /* of the hash: filled with randomness by the owner */
    struct budgets_slot {
        uint64_t who;    /* 0: free */
        int64_t full_ms; /* when the bucket will be empty again */
    } slots[BUDGET_KINDS][BUDGETS_SLOTS];
};

/* What an account knows of an address: see known.h. */
enum budgets_place { BUDGETS_STRANGE, BUDGETS_NETWORK_KNOWN, BUDGETS_ADDRESS_KNOWN };

struct budgets_try {
    struct netaddr from;
    str_t name;       /* in lower case; empty: not given */
    uint64_t account; /* unless BUDGETS_STRANGE */
    enum budgets_place place;
};

/* Takes one from each budget of the try. False: one of them is used up, *which tells; nothing was
 * taken. */
bool budgets_take(struct budgets *b, const struct budgets_try *t, int64_t now_ms,
                  enum budget *which);
void budgets_give_back(struct budgets *b, const struct budgets_try *t, int64_t now_ms);
const char *budget_name(enum budget which);

/* The network of an address, as it stands in keys: family and 3 (/24) or 7 (/56) bytes. */
#define BUDGETS_NETWORK_MAX 8
str_t budgets_network(const struct netaddr *a, char out[static BUDGETS_NETWORK_MAX]);
/* Which address of its network: the byte that makes the network a /32 or /64. */
uint8_t budgets_address(const struct netaddr *a);

#endif
