/* address.h: the addresses in a header field: From, To, Cc … RFC 5322 3.4, with the obsolete forms
 * of 4.4.
 *
 * Finds the addr-spec of each mailbox in an address-list: display names, comments (nested: counted,
 * not recursed into), groups, routes and quoted strings are stepped over. Broken lists give what
 * can be found. Linear time, no allocation but the address itself. */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include "base/arena.h"
#include "base/str.h"

struct mail_address {
    str_t raw;  /* where it stands in the field: may hold folds and comments */
    str_t text; /* local@domain without those, as it was written (quotes kept); in the arena */
    bool sound; /* one "@" with something on both sides, dots and atoms as they should be */
    /* Its name (or its group's) holds an "@" outside of quotes: some programs take that for the
     * address. What it would be then, as `text`; else empty. */
    str_t in_name;
};

struct mail_addresses { /* a walk; zero but for `rest` at its start */
    str_t rest;
    size_t seen;
};
#define MAIL_ADDRESSES_MAX 10000 /* of one field: more are not looked at */

/* The next one. False: no more (or the arena is full). A mailbox without "@" is given as not
 * sound. */
bool mail_address_next(struct mail_addresses *w, struct arena *a, struct mail_address *out);

#endif
