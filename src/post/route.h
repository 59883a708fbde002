/* route.h: where mail goes instead of by its domain's MX, in words:
 *
 *     mx                                  by MX of the recipient's domain (the normal way)
 *     smtp HOST[:PORT] [mx] [tls=POLICY] [implicit] [auth=NAME]
 *     lmtp HOST[:PORT] [tls=POLICY]       to another store (RFC 2033), as Dovecot
 *     error STATUS TEXT…                  refused (5.x.x) or deferred (4.x.x) with this text
 *
 * HOST is a name (its A/AAAA, or its MX with `mx`) or an address. POLICY: none, may, encrypt,
 * verify. `implicit`: TLS from the first byte instead of STARTTLS (RFC 8314 3.3), as always on port
 * 465; plaintext is never fallen back to. `auth` without `tls` means tls=verify: a password goes to
 * nobody else. NAME: credentials kept by `postrider relay`, in PART_SECRET `relay/NAME`, which
 * courier reads and the command line writes. Pure parsing but for route_credentials. */
#ifndef POST_ROUTE_H
#define POST_ROUTE_H

#include "post/table.h"

/* What is asked of a destination's TLS. NONE: never (a broken peer). MAY: if offered, any
 * certificate; plaintext if not offered. ENCRYPT: or not at all. VERIFY: and the certificate must
 * be trusted for the host's name. */
enum tls_policy { TLS_POLICY_MAY, TLS_POLICY_NONE, TLS_POLICY_ENCRYPT, TLS_POLICY_VERIFY };
bool tls_policy_parse(str_t word, enum tls_policy *out);
const char *tls_policy_name(enum tls_policy p);

enum route_kind { ROUTE_MX, ROUTE_SMTP, ROUTE_LMTP, ROUTE_ERROR };

struct route {
    enum route_kind kind;
    str_t host;    /* lower case, A-labels; or an address */
    uint16_t port; /* 0: the usual one */
    bool use_mx;
    bool has_tls;
    enum tls_policy tls;
    bool implicit; /* TLS from the first byte; tls is at least ENCRYPT then */
    str_t auth;    /* name of the credentials, or empty */
    char status[12];
    str_t text; /* ROUTE_ERROR */
};
#define ROUTE_SUBMISSIONS_PORT 465 /* RFC 8314 7.3: TLS from the first byte */
#define ROUTE_NAME_MAX         64  /* bytes in the name of credentials */
/* Slices point into `words` or the arena. *err says what is wrong and how to write it. */
bool route_parse(str_t words, struct arena *a, struct route *out, struct err *err);

/* What a new message to this recipient gets as `via` (struct queue_in_rcpt): the TRANSPORT row of
 * exactly this address, else the RELAY row of the sender (if the recipient is not ours), else
 * empty. Rows of domains are looked up by courier at each attempt; but courier never sees what is
 * delivered here: for a recipient of ours the row of its domain (not "*", which is for what leaves)
 * is given too. A recipient of ours with a `via` goes out as if it were not. */
enum store_rc route_via(struct tables *t, str_t sender, str_t address, bool local, struct arena *a,
                        str_t *via);

struct route_credentials {
    str_t name, password;
};
enum store_rc route_credentials(struct store *s, str_t name, struct arena *a, bool *found,
                                struct route_credentials *out);
enum rc route_credentials_set(struct store *s, str_t name, const struct route_credentials *c,
                              struct err *err); /* c NULL: removes them */

#endif
