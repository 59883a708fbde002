/* path.h: mail paths and addresses as SMTP has them. RFC 5321 4.1.2, 4.1.3, 4.5.3.1; RFC 6531 3.3.
 *
 * Parsing gives the pair (local part, domain), never a string to be parsed again. Quoted local
 * parts are unquoted; source routes are accepted and dropped; percent and bang have no meaning.
 * Domains are lower-cased (ASCII), the local part keeps its case. A mailbox without domain is
 * SMTP_PATH_OK only for <postmaster> in any case (4.1.1.3): kind is SMTP_DOMAIN_NONE. */
#ifndef PROTO_SMTP_PATH_H
#define PROTO_SMTP_PATH_H

#include "base/arena.h"
#include "base/netaddr.h"

/* octets: what a path leaves. RFC 5321 4.5.3.1.1 has 64, and asks to have no limit where possible;
 * addresses made of others (SRS, VERP, BATV) are longer. Mailboxes here have at most 64. */
#define SMTP_LOCAL_MAX  252
#define SMTP_DOMAIN_MAX 255 /* 4.5.3.1.2 */
#define SMTP_PATH_MAX   256 /* 4.5.3.1.3, with the brackets */
_Static_assert(SMTP_LOCAL_MAX + sizeof "<@d>" - 1 == SMTP_PATH_MAX, "a path with a domain");

enum smtp_domain_kind { SMTP_DOMAIN_NONE, SMTP_DOMAIN_NAME, SMTP_DOMAIN_LITERAL };

struct smtp_path {
    bool null;   /* <> */
    str_t local; /* unquoted, no CR, LF or NUL */
    /* lower case; empty for <postmaster>; for a literal its text without brackets ("192.0.2.1",
     * "IPv6:2001:db8::1"), known forms as netaddr.h writes them */
    str_t domain;
    enum smtp_domain_kind kind;
    struct netaddr literal; /* SMTP_DOMAIN_LITERAL of a known form */
    bool utf8;              /* a non-ASCII byte is in it: needs SMTPUTF8 */
};

enum smtp_path_result {
    SMTP_PATH_OK,
    SMTP_PATH_SYNTAX,
    SMTP_PATH_LOCAL_LONG,
    SMTP_PATH_DOMAIN_LONG,
    SMTP_PATH_LONG
};

/* Reads "<…>" from the front of *rest and advances it (only if SMTP_PATH_OK). Strings in the arena;
 * if that is full: SMTP_PATH_SYNTAX with a->failed set. Non-ASCII is always parsed and flagged, so
 * that the caller can say 553 5.6.7. */
enum smtp_path_result smtp_path_parse(str_t *rest, struct arena *a, struct smtp_path *out);
/* "local@domain" without brackets, all of `s`, as the command line and the directory write it;
 * never null. */
enum smtp_path_result smtp_address_parse(str_t s, struct arena *a, struct smtp_path *out);
/* local@domain with the local part quoted where it must be (RFC 5321 4.1.2: Quoted-string only if
 * needed); "" for null; a literal gets its brackets back. STR_NONE if the arena is full. */
str_t smtp_path_text(const struct smtp_path *p, struct arena *a);
bool smtp_atext(char c);         /* may stand in an atom: RFC 5322 3.2.3 */
bool smtp_domain_valid(str_t s); /* RFC 5321 Domain, or U-labels of RFC 6531 */

#endif
