/* bounce_class.h: what kind of refusal it was, from what a server said: reply code, enhanced status
 * and words.
 *
 * Enhanced status codes (RFC 3463) say it best but are often missing, or plainly wrong for what the
 * words say (5.7.1 for everything, 5.1.1 for a full mailbox); so words that leave no doubt go before
 * the code, and the code before words that hint. Pure: a table, no state. */
#ifndef POST_BOUNCE_CLASS_H
#define POST_BOUNCE_CLASS_H

#include "base/str.h"

enum bounce_class {
    BOUNCE_OTHER,
    BOUNCE_UNKNOWN_USER,   /* no such mailbox */
    BOUNCE_UNKNOWN_DOMAIN, /* no such domain, or it takes no mail */
    BOUNCE_DISABLED,       /* the mailbox is there but takes nothing */
    BOUNCE_FULL,           /* mailbox full, over quota */
    BOUNCE_TOO_BIG,
    BOUNCE_SPAM,       /* this message looks like spam, or a virus, to them */
    BOUNCE_BLOCKED,    /* our address or name is on a list of theirs */
    BOUNCE_POLICY,     /* any other rule of theirs */
    BOUNCE_AUTH,       /* SPF, DKIM, DMARC, reverse DNS, or our credentials */
    BOUNCE_GREYLISTED, /* come back later, on principle */
    BOUNCE_RATE,       /* too much at once */
    BOUNCE_DNS,        /* the name service did not answer, or not usefully */
    BOUNCE_TLS,
    BOUNCE_UNREACHABLE, /* no connection, or it broke */
    BOUNCE_BUSY,        /* their system has no room or no time */
    BOUNCE_PROTOCOL,    /* what we said, or the content, they cannot take */
    BOUNCE_LOOP,
    BOUNCE_EXPIRED, /* the time for it has run out */
    BOUNCE_CLASSES
};
/* "unknown-user" … */
const char *bounce_class_name(enum bounce_class c);

/* `code` 0: nobody said it, `text` is our own. `status` may be empty, `text` is what came after code
 * and status. */
enum bounce_class bounce_class(int code, str_t status, str_t text);

/* The address itself is wrong for good, on the word of its own server: not to be tried again. */
bool bounce_is_hard(int code, str_t status, str_t text);

/* The same for a row's reason, "HOST: 550 text" or our own words: as queue_delivery.reason has it. */
enum bounce_class bounce_class_reason(str_t reason);

#endif
