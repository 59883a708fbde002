/* field.h: writing header fields and wrapped text that hold what strangers said. RFC 5322 2.1.1,
 * 2.2.3.
 *
 * Whatever the input, what is written here has no bare CR or LF, no control byte, no line over 998
 * characters, and folds at 78 where there is a place to fold; so a field ends where we end it.
 * Bytes that cannot stay become '?'. Failure is the buffer's (`failed` sticks there). Private to
 * the mail layer. */
#ifndef MAIL_FIELD_H
#define MAIL_FIELD_H

#include "base/buf.h"

#define FIELD_FOLD_AT  78  /* RFC 5322 2.1.1: should */
#define FIELD_LINE_MAX 998 /* RFC 5322 2.1.1: must */
#define FIELD_WORD_MAX 256 /* a longer word of free text is broken up */
#define FIELD_NAME_MAX 255 /* a domain or literal: RFC 5321 4.5.3.1.2 */
/* an address: far over RFC 5321 4.5.3.1.3, and with its field name under the line's limit */
#define FIELD_ADDRESS_MAX 900

/* Lines under way: a header field, or a wrapped paragraph. */
struct field {
    struct buf *out;
    str_t indent;  /* begins each further line */
    size_t column; /* bytes in this line so far */
    bool fresh;    /* nothing in this line but the indent */
};

void field_begin(struct field *f, struct buf *out, str_t name); /* "Name:" */
void field_paragraph(struct field *f, struct buf *out, str_t indent);
/* A blank (begun with a fold where the line would be too long: unfolding gives the same), then
 * `unit` in one piece: clean already, at most FIELD_ADDRESS_MAX. */
void field_add(struct field *f, str_t unit);
/* anything: cleaned, folded between words */
void field_text(struct field *f, str_t text, bool utf8);
void field_end(struct field *f);
void field_write(struct buf *out, str_t name, str_t unit); /* a whole field of one clean unit */

/* Room for a cleaned copy. The functions return a slice of it. */
struct field_clean {
    char bytes[FIELD_ADDRESS_MAX + 16];
    size_t len;
};
/* domain, literal, protocol, id: atom-like; "unknown" if empty */
str_t field_clean_name(struct field_clean *c, str_t in);
/* quotes balanced, no bare specials */
str_t field_clean_address(struct field_clean *c, str_t in, bool utf8);
/* The 7-bit form of RFC 6533 3 (utf-8-addr-xtext): "b\x{FC}cher@example.test". */
str_t field_clean_address_7bit(struct field_clean *c, str_t in);

#endif
