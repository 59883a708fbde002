/* domain.h: domain names in the one form they are looked up, compared and stored in: A-labels in
 * lower case, ASCII alone.
 *
 * RFC 6531 3.2: a name to be looked up is processed by IDNA2008 (RFC 5890, 5891). People write
 * U-labels in any case and in any of the widths and compositions Unicode has; UTS 46 (non-
 * transitional: ß stays ß) maps those first. Addresses keep the form they were given in; only what
 * is compared or asked of DNS goes through here. */
#ifndef MAIL_DOMAIN_H
#define MAIL_DOMAIN_H

#include "base/arena.h"
#include "base/str.h"

#define DOMAIN_MAX     255 /* octets of a name as it is given, RFC 5321 4.5.3.1.2 */
#define DOMAIN_DNS_MAX 253 /* of a name in DNS: 255 in its own form with lengths, RFC 1035 2.3.4 */

/* *out: the name in lower-case A-labels. ASCII is only lower-cased, whatever it is (its grammar is
 * the caller's matter), and an address literal "[…]" stays as it is; *out is then `domain` itself
 * where nothing changed, else in the arena. False: not UTF-8, no name by IDNA2008, too long, or the
 * arena is full. */
bool domain_to_ascii(str_t domain, struct arena *a, str_t *out);

/* For people: A-labels as U-labels; *out is `domain` itself where there are none. False: an "xn--"
 * that is no A-label, or the arena is full. */
bool domain_to_unicode(str_t domain, struct arena *a, str_t *out);

#endif
