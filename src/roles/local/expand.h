/* expand.h: what an address stands for: aliases followed to accounts, to addresses elsewhere, or to
 * nothing.
 *
 * Breadth first with a list of what was seen, so a loop ends by itself; an address that leads
 * nowhere but to itself is a loop. RFC 5321 3.9 (lists and aliases), 6.3 (loops). */
#ifndef ROLES_LOCAL_EXPAND_H
#define ROLES_LOCAL_EXPAND_H

#include "post/directory.h"
#include "post/queue.h"

/* addresses one recipient may stand for, aliases on the way included: twice what one alias may
 * have */
#define EXPAND_MAX   1000
#define EXPAND_DEPTH 20 /* aliases of aliases */

enum leaf_kind { LEAF_ACCOUNT, LEAF_REMOTE, LEAF_UNKNOWN, LEAF_LOOP, LEAF_TOO_MANY };

struct leaf {
    enum leaf_kind kind;
    str_t address;  /* what is delivered to */
    str_t original; /* the recipient it came from, or empty if that is itself */
    str_t domain;   /* LEAF_REMOTE: in lower-case A-labels */
    uint64_t account;
    bool utf8;
};

struct expansion {
    struct leaf *v;
    size_t n, cap;
};

/* Adds the leaves of one recipient; each account and address once. STORE_OK, or the directory
 * cannot be read now. */
enum store_rc expand(struct directory_cache *directory, const struct queue_rcpt *rcpt,
                     struct arena *a, struct expansion *out);

#endif
