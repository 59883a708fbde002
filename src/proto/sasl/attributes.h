/* attributes.h: the grammar that SCRAM's messages are made of (RFC 5802 7), and the GS2 header,
 * which OAUTHBEARER begins with too. Slices into the message; no state. */
#ifndef PROTO_SASL_ATTRIBUTES_H
#define PROTO_SASL_ATTRIBUTES_H

#include "proto/sasl/vault.h"

struct gs2 {
    char flag;     /* 'n', 'y' or 'p' */
    str_t cb_name; /* with 'p' */
    str_t authzid; /* as sent: see saslname_decode; "" if none */
    str_t header;  /* all of it, with its last comma */
};
bool gs2_parse(str_t *rest, struct gs2 *out); /* cuts the header off */

/* "=2C" and "=3D" for comma and equals sign. False: something else after '=', or no memory. */
bool saslname_decode(struct sasl_vault *v, str_t raw, str_t *out);
str_t saslname_encode(struct sasl_vault *v, str_t name); /* STR_NONE: no memory */

/* Of one SCRAM message: two names in which each byte is escaped, a nonce, and room for extensions. */
#define SCRAM_MESSAGE_MAX 4096
/* At most so long, UTF-8 without NUL: what every message is. */
bool scram_text(str_t message);
/* Cuts the attribute of this letter off the front; the value is not empty. At the end *rest is
 * STR_NONE, which a trailing comma does not give. False: another stands there. */
bool scram_attr(str_t *rest, char letter, str_t *value);
/* What follows the attributes we know: optional extensions, of which we know none and which are
 * ignored. False: they are none, or one of them is 'm' or another letter that means something
 * elsewhere (RFC 5802 5.1). */
bool scram_extensions(str_t rest);
bool scram_printable(str_t nonce); /* 1*(%x21-2B / %x2D-7E) */

#endif
