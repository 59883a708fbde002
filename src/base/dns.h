/* dns.h: what a DNS answer is, told apart all the way: absent is not the same as not known now.
 *
 * Types only, and decoding of record data; the lookups come through struct env. RFC 1035, 2308,
 * 4035. */
#ifndef BASE_DNS_H
#define BASE_DNS_H

#include "base/arena.h"
#include "base/netaddr.h"

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52
};

enum dns_status {
    DNS_OK,       /* at least one record */
    DNS_NODATA,   /* the name exists, no record of this type */
    DNS_NXDOMAIN, /* the name does not exist */
    DNS_SERVFAIL, /* not known now (SERVFAIL, REFUSED, lame …): try later */
    DNS_TIMEOUT,  /* not known now */
    DNS_BOGUS,    /* DNSSEC validation failed: try later, never use */
};

struct dns_answer {
    enum dns_status status;
    bool secure; /* validated by DNSSEC */
    uint32_t ttl_s;
    str_t canonical; /* the name after CNAMEs, without final dot, or none */
    size_t n;
    str_t *rdata; /* n records' data, names uncompressed */
};

#define DNS_ANSWER_RECORDS_MAX 100 /* more are dropped: no honest mail domain has as many */

const char *dns_status_name(enum dns_status s); /* "NXDOMAIN" … */
/* A wire-format name (uncompressed) to text without final dot; "" is the root. Advances *wire.
 * Bounded: 255 octets. */
bool dns_name(str_t *wire, char out[static 256]);
bool dns_mx(str_t rdata, uint16_t *preference, char host[static 256]); /* RFC 1035 3.3.9 */
bool dns_addr(enum dns_type type, str_t rdata, struct netaddr *out);   /* A or AAAA; port 0 */
/* character-strings joined */
bool dns_txt(str_t rdata, struct arena *a, str_t *out);

#endif
