/* hops.h: counts the Received fields of a message while it streams by: a loop shows as too many of them (RFC 5321 6.3).
 *
 * Any cuts; after the empty line that ends the header it costs nothing. Zero-initialized is the start. */
#ifndef ROLES_MX_HOPS_H
#define ROLES_MX_HOPS_H

#include "base/str.h"

struct hops {
    uint32_t count;
    uint8_t matched;   /* bytes of "received:" that this line has matched so far */
    bool rest_of_line; /* the line is decided: skip to its end */
    bool body;
};

void hops_feed(struct hops *h, str_t content);

#endif
