/* convert.h: makes a message fit a next hop that takes only 7-bit lines, or no BINARYMIME: each MIME
 * part that needs it gets a Content-Transfer-Encoding, all else goes through byte for byte.
 *
 * RFC 6152 3 (8BITMIME to a server without), RFC 3030 3 (BINARYMIME likewise), RFC 2045 6 and 2049.
 * Text becomes quoted-printable, the rest base64; multipart and message/rfc822 are never encoded
 * themselves, their parts are (RFC 2045 6.4). multipart/signed and multipart/encrypted with such a
 * part cannot be converted: their bytes are signed (RFC 1847 2.1): MAIL_CONVERT_SIGNED. 8-bit bytes
 * in a header cannot either (only SMTPUTF8 carries them).
 *
 * Two passes over the same bytes: the first finds out which parts need it, the second writes. No
 * recursion: nesting is a stack of boundaries, MAIL_CONVERT_DEPTH deep; what is nested deeper, and
 * parts over MAIL_CONVERT_PARTS, are treated as one part. Memory: one header field, one line. Any
 * cuts; one owner. */
#ifndef MAIL_CONVERT_H
#define MAIL_CONVERT_H

#include "base/arena.h"
#include "base/buf.h"

#define MAIL_CONVERT_DEPTH 100
#define MAIL_CONVERT_PARTS 10000
#define MAIL_CONVERT_LINE  998 /* RFC 5321 4.5.3.1.6, without CRLF */

enum mail_convert_to {
    MAIL_CONVERT_7BIT, /* for a peer without 8BITMIME */
    MAIL_CONVERT_8BIT, /* for a peer without BINARYMIME: 8-bit bytes may stay, lines must be lines */
};
enum mail_convert_result {
    MAIL_CONVERT_OK,
    MAIL_CONVERT_SIGNED, /* 5.6.3: it would break a signature */
    MAIL_CONVERT_HEADER, /* 5.6.7: 8-bit bytes (or NUL, stray CR or LF) in a header */
    MAIL_CONVERT_MEMORY,
};

struct mail_convert;
struct mail_convert *mail_convert_new(enum mail_convert_to to); /* NULL: no memory */
void mail_convert_free(struct mail_convert *c);
/* First pass. */
void mail_convert_look(struct mail_convert *c, str_t bytes);
/* After the first pass. *needed false: the message can go as it is. */
enum mail_convert_result mail_convert_looked(struct mail_convert *c, bool *needed);
/* Second pass, from the first byte again: what goes out is added to `out` (up to four times what is
 * fed, and a field). False: no memory, or `out` is full. */
bool mail_convert_feed(struct mail_convert *c, str_t bytes, struct buf *out);
bool mail_convert_end(struct mail_convert *c, struct buf *out);
/* The second pass anew, from the first byte, whatever was fed or ended of it. */
void mail_convert_again(struct mail_convert *c);

#endif
