/* directory_row.h: how the directory's rows look in the map; for directory*.c alone (and their fuzz
 * target).
 *
 * The rows are those named in directory.h. Values begin with a version byte (login/, next/ and
 * first/ have none); decoders take any bytes and never overrun.
 *
 * Every change of an address also raises `edits` in its domain's row and requires that row as it
 * was read. So changes within a domain are serialized, and a domain cannot go while an address
 * comes. */
#ifndef POST_DIRECTORY_ROW_H
#define POST_DIRECTORY_ROW_H

#include "base/buf.h"
#include "post/directory.h"

#define DIRECTORY_LOCAL_MAX  64  /* octets, RFC 5321 4.5.3.1.1 */
#define DIRECTORY_DOMAIN_MAX 255 /* octets, RFC 5321 4.5.3.1.2 */
/* local@domain, every character of the local part quoted */
#define DIRECTORY_ADDRESS_MAX (2 * DIRECTORY_LOCAL_MAX + 2 + 1 + DIRECTORY_DOMAIN_MAX)
/* the same for an address that was made of others (SRS, VERP): RFC 5321 4.5.3.1.3 */
#define DIRECTORY_TEXT_MAX (2 * 254 + 2 + 1 + DIRECTORY_DOMAIN_MAX)
_Static_assert(DIRECTORY_ADDRESS_MAX + 8 <= STORE_KEY_MAX, "a login key fits");

struct directory_address {
    str_t local;  /* unquoted, in lower case */
    str_t domain; /* in lower-case A-labels */
    str_t text;   /* local@domain, quoted if it must be */
};
/* Reads "local@domain" as a person writes it. false: it is no address (or the arena is full). */
bool directory_address_parse(str_t text, struct arena *a, struct directory_address *out);
/* A DNS name with at least one label, letters, digits, hyphens, or U-labels; a copy in lower-case
 * A-labels without final dot. */
bool directory_domain_parse(str_t text, struct arena *a, str_t *out);
/* local@domain, the local part quoted where it must be (RFC 5321 4.1.2). */
str_t directory_address_text(str_t local, str_t domain, struct arena *a);

/* A local part as it is, not as it is written (RFC 5321 4.1.2: quotes and backslashes); what is no
 * quoted string stays. */
str_t directory_unquoted(str_t local, struct arena *a);

str_t directory_key_domain(str_t domain, struct arena *a);
str_t directory_key_address(str_t domain, str_t local, struct arena *a);
str_t directory_key_account(uint64_t id, struct arena *a);
str_t directory_key_login(str_t address, struct arena *a);
str_t directory_key_gone(uint64_t id, struct arena *a);
str_t directory_key_mask(uint64_t account, str_t address, struct arena *a); /* empty: its prefix */
/* Members stand by domain, so that a page of them has few destinations; both empty: the prefix. */
str_t directory_key_member(uint64_t list, str_t domain, str_t local, struct arena *a);
#define DIRECTORY_KEY_FIRST     STR("first/domain")
#define DIRECTORY_KEY_NEXT      STR("next/account")
#define DIRECTORY_KEY_NEXT_LIST STR("next/list")
#define DIRECTORY_PREFIX_DOM    STR("dom/")
#define DIRECTORY_PREFIX_ADDR   STR("addr/")
#define DIRECTORY_PREFIX_ACCT   STR("acct/")
#define DIRECTORY_PREFIX_GONE   STR("gone/")
#define DIRECTORY_PREFIX_MASK   STR("mask/")
#define DIRECTORY_PREFIX_LIST   STR("list/")

struct directory_domain {
    uint64_t edits; /* changes of the domain or of addresses in it */
    str_t catchall; /* an address, or empty */
};
bool directory_domain_encode(const struct directory_domain *d, struct buf *out);
bool directory_domain_decode(str_t value, struct directory_domain *out);

/* An address row: kind, account (or list), targets of `e`. */
bool directory_entry_encode(const struct directory_entry *e, struct buf *out);
bool directory_entry_decode(str_t value, struct arena *a, struct directory_entry *out);

bool directory_account_encode(str_t name, struct buf *out);
bool directory_account_decode(str_t value, str_t *name);
bool directory_account_id(str_t key, uint64_t *id);    /* from its key */
bool directory_u64_decode(str_t value, uint64_t *out); /* exactly 8 bytes */

#endif
