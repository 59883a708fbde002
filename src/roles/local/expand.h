/* expand.h: what an address stands for: aliases followed to accounts, to addresses elsewhere, to
 * lists, or to nothing.
 *
 * Breadth first with a list of what was seen, so a loop ends by itself; an address that leads
 * nowhere but to itself is a loop. RFC 5321 3.9 (lists and aliases), 6.3 (loops). An account that
 * forwards is followed like an alias, and keeps its copy. Reverse-paths of ours that mail comes back
 * to (post/return_path.h) are followed to whom they stand for.
 *
 * A list is a leaf: its members have their own turns (list_turn.c). Mail from <> is a report or an
 * answer of a machine: it goes to the list's owner, never to its members. */
#ifndef ROLES_LOCAL_EXPAND_H
#define ROLES_LOCAL_EXPAND_H

#include "post/directory.h"
#include "post/mailing_list.h"
#include "post/queue.h"
#include "post/return_path.h"

/* addresses one recipient may stand for, aliases on the way included: twice what one alias may
 * have */
#define EXPAND_MAX   1000
#define EXPAND_DEPTH 20 /* aliases of aliases */
/* lists in lists: their ids stand in the delivery row; nobody has more, but circles */
#define EXPAND_LISTS 8

/* What there is to ask. `tables` and `paths` may be NULL: there are none. */
struct expander {
    struct env *env;
    struct directory_cache *directory;
    struct tables *tables;
    struct return_path *paths;
    /* of the delivery whose recipients are expanded: */
    str_t sender;
    str_t lists; /* ids of the lists it came through, by commas; or empty */
};

enum leaf_kind {
    LEAF_ACCOUNT,
    LEAF_REMOTE,
    LEAF_LIST,
    LEAF_HAD_IT, /* a list that it came through */
    LEAF_UNKNOWN,
    LEAF_LOOP,
    LEAF_TOO_MANY,
    LEAF_DAMAGED /* what the directory says of it cannot be read */
};

struct leaf {
    enum leaf_kind kind;
    str_t address;    /* what is delivered to */
    str_t original;   /* the recipient it came from, or empty if that is itself */
    str_t domain;     /* LEAF_REMOTE: in lower-case A-labels */
    str_t via;        /* LEAF_REMOTE: as in struct queue_delivery */
    uint64_t account; /* LEAF_ACCOUNT; LEAF_LIST: the list's id, 0: an alias that is sent as one */
    struct mailing_list_rules rules; /* LEAF_LIST */
    str_t sender; /* LEAF_REMOTE, and LEAF_LIST's owner: as in struct queue_delivery */
    bool has_sender;
    str_t orcpt; /* as in struct queue_rcpt: the recipient's it came from */
    uint8_t notify;
    bool utf8;
    bool box; /* LEAF_ACCOUNT that forwards: as in struct queue_rcpt, should it have to wait */
};

struct expansion {
    struct leaf *v;
    size_t n, cap;
    /* Recipients that became several and asked to be told of success: they are told that they were
     * expanded, and their leaves no more (RFC 3461 5.2.7.3 c). */
    struct queue_rcpt *expanded;
    size_t nexpanded, expanded_cap;
};

/* Adds the leaves of one recipient; each account and address once. STORE_OK, or the directory
 * cannot be read now; where a row of it is damaged, the recipient is a leaf that says so. */
enum store_rc expand(const struct expander *x, const struct queue_rcpt *rcpt, struct arena *a,
                     struct expansion *out);

/* Its last '@': a quoted local part may have more. No domain: empty. */
void expand_split(str_t address, str_t *local, str_t *domain);
/* What a delivery to that domain is kept under. A domain that is no name stays as it is: courier
 * bounces it. */
str_t expand_domain(str_t domain, struct arena *a);
/* By what a list is known in struct expander's `lists`: its id, or for an alias its address. */
#define EXPAND_LIST_NAME 17
char *expand_list_name(uint64_t id, str_t address, char out[static EXPAND_LIST_NAME]);

#endif
