/* hops.h: looks at the header of a message while it streams by, for the signs of a loop (RFC 5321
 * 6.3): how many Received fields there are, and the Delivered-To fields (RFC 9228). What was
 * delivered before to an address it is for now would be bounced by the local role; as anybody can
 * write such a field, and anybody's address as the sender, it is refused here instead. It also sees
 * whether a program made the message (Auto-Submitted, RFC 3834 5).
 *
 * Any cuts; after the empty line that ends the header it costs nothing. Zero-initialized is the
 * start. */
#ifndef ROLES_SMTP_HOPS_H
#define ROLES_SMTP_HOPS_H

#include "base/str.h"

#define HOPS_NAME_MAX 14 /* "auto-submitted", the longest name that counts */
/* over an address of 64 quoted and 255 octets; what is longer is none of ours */
#define HOPS_VALUE_MAX 512

enum hops_at { HOPS_LINE, HOPS_NAME, HOPS_VALUE, HOPS_SKIP };

struct hops {
    uint32_t count; /* of Received */
    enum hops_at at;
    bool body;
    bool auto_submitted; /* there was such a field, other than "no" */
    bool delivered;      /* the field under way is a Delivered-To */
    bool automatic;      /* the field under way is an Auto-Submitted */
    bool blank;          /* blanks since the last byte that was kept */
    uint8_t name_len;
    uint16_t len;
    char name[HOPS_NAME_MAX];
    char value[HOPS_VALUE_MAX]; /* unfolded, runs of blanks as one */
};

/* Takes from the front of *content. True: a Delivered-To field is complete, hops_is asks for its
 * value until the next call; call again with the rest. False: all was taken. */
bool hops_next(struct hops *h, str_t *content);
bool hops_end(struct hops *h); /* the same, at the end of a message without a body */
/* Of content as BINARYMIME has it, where the engine looks at no byte (RFC 3030 3): the header must be
 * lines all the same (RFC 2045 2.10), as every reader of it takes a bare CR or LF for what it likes.
 * Any cuts. Zero-initialized is the start. */
struct hops_lines {
    bool over; /* the header has ended */
    bool cr;   /* the last byte: a LF must follow */
    bool text; /* on this line */
};
/* False: a CR, LF or NUL that is no part of a line's end. */
bool hops_lines(struct hops_lines *l, str_t content);
/* Whether that value is this address, as the local role compares: in any case. */
bool hops_is(const struct hops *h, str_t address);

#endif
