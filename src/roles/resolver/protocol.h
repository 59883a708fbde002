/* protocol.h: what courier asks the resolver, as payloads of channel frames. Bounded;
 * decoders take anything.
 *
 *     query   u16 type, u32 milliseconds it may take, str16 name
 *     answer  u8 status, u8 secure, u32 ttl, str16 canonical name, u16 n, n times str16 record data
 */
#ifndef ROLES_RESOLVER_PROTOCOL_H
#define ROLES_RESOLVER_PROTOCOL_H

#include "base/buf.h"
#include "base/dns.h"

enum { RESOLVER_QUERY = 1, RESOLVER_ANSWER = 2 }; /* frame types */

#define RESOLVER_NAME_MAX   255         /* RFC 1035 3.1; as text it is shorter than on the wire */
#define RESOLVER_WAIT_MAX   (60 * 1000) /* no caller may hold a place longer */
#define RESOLVER_ANSWER_MAX 65536       /* a DNS message has no more; records over it are dropped */

struct resolver_query {
    enum dns_type type;
    uint32_t wait_ms; /* 1 to RESOLVER_WAIT_MAX */
    str_t name;       /* 1 to RESOLVER_NAME_MAX bytes, visible ASCII */
};

bool resolver_name_ok(str_t name);
bool resolver_query_encode(const struct resolver_query *q, struct buf *out);
bool resolver_query_decode(str_t payload, struct resolver_query *q); /* name points into payload */
/* Records that would exceed the bounds are left out. */
bool resolver_answer_encode(const struct dns_answer *a, struct buf *out);
/* Copies to the arena. */
bool resolver_answer_decode(str_t payload, struct arena *a, struct dns_answer *out);

#endif
