/* codec.h: base64 and hex (RFC 4648), quoted-printable (RFC 2045 6.7). Strict decoders: what is not
 * in the grammar fails. Nothing is written on failure beyond what fits the buffer; callers treat a
 * false as "no result". */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/buf.h"

bool base64_encode(struct buf *out, str_t in); /* with padding, no line breaks */
/* padding required, no white space, canonical trailing bits */
bool base64_decode(struct buf *out, str_t in);
/* RFC 4648 5 without padding, as in RFC 7515 2; canonical trailing bits */
bool base64url_decode(struct buf *out, str_t in);
bool hex_encode(struct buf *out, str_t in); /* lower case */
bool hex_decode(struct buf *out, str_t in); /* either case */
bool qp_encode(struct buf *out, str_t in);  /* CRLF kept as line break, lines at most 76 */
/* soft breaks removed, trailing white space dropped */
bool qp_decode(struct buf *out, str_t in);
/* Crockford-like base32 in lower case for identifiers: 0-9 a-z without i l o u; 5 bits a character,
 * no padding. */
bool id32_encode(struct buf *out, str_t in);
bool id32_decode(struct buf *out, str_t in, size_t want_bytes); /* either case */

#endif
