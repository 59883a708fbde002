/* encoded.h: text that is not ASCII in a header: encoded words of RFC 2047, parameters of RFC
 * 2231. */
#ifndef CLI_ENCODED_H
#define CLI_ENCODED_H

#include "base/buf.h"

/* The text as encoded words (utf-8, base64), folded; no line ends at its ends. */
void encoded_words(struct buf *out, str_t text);
/* Unstructured text of a field, with the blank before it and CRLF behind it: as it is if ASCII (line
 * ends become blanks), else as encoded words. */
void encoded_field(struct buf *out, str_t text);
/* "; name=value", each on a line of its own: a quoted string where that does, else utf-8 with
 * percents, in pieces if it is long (RFC 2231 3, 4). */
void encoded_parameter(struct buf *out, const char *name, str_t value);

#endif
