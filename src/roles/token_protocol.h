/* token_protocol.h: what core asks courier about bearer tokens, as payloads of channel frames: core
 * has no network and reads nothing that came from one. Bounded; decoders take anything.
 *
 *     check     u32 milliseconds it may take, str16 token
 *     verdict   u8 enum rc (OK, TEMP, PERM), str16 login name, u32 seconds for which that holds */
#ifndef ROLES_TOKEN_PROTOCOL_H
#define ROLES_TOKEN_PROTOCOL_H

#include "base/buf.h"
#include "base/err.h"
#include "store/protocol.h"

enum { TOKEN_CHECK = 1, TOKEN_VERDICT = 0x81 }; /* frame types */

#define TOKEN_WAIT_MAX_MS 10000 /* a person waits for it, and one of the few workers for logins */
#define TOKEN_CHECK_MAX   (4 + 2 + STORE_BEARER_MAX)
#define TOKEN_VERDICT_MAX (1 + 2 + STORE_ADDRESS_MAX + 4)

struct token_check {
    uint32_t wait_ms; /* 1 to TOKEN_WAIT_MAX_MS */
    str_t token;      /* 1 to STORE_BEARER_MAX bytes */
};

struct token_verdict {
    enum rc rc;
    str_t name;      /* RC_OK: 1 to STORE_ADDRESS_MAX bytes, without NUL; else empty */
    uint32_t good_s; /* RC_OK */
};

bool token_check_encode(const struct token_check *q, struct buf *out);
bool token_check_decode(str_t payload, struct token_check *q); /* slices point into payload */
bool token_verdict_encode(const struct token_verdict *v, struct buf *out);
bool token_verdict_decode(str_t payload, struct token_verdict *v);

#endif
