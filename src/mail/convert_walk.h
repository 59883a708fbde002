/* convert_walk.h: the structure of a MIME message as it streams by, for convert.c: which bytes are a
 * part's header, which its content, which stand between parts. RFC 2045 5, 2046 5.1, 5.2.1.
 *
 * Told by calls, in the order of the message; all text given, put together again, is the message
 * byte for byte. Entities are numbered from 0 as their headers begin, the same in every walk over
 * the same bytes. The line end before a delimiter is the delimiter's (RFC 2046 5.1.1). */
#ifndef MAIL_CONVERT_WALK_H
#define MAIL_CONVERT_WALK_H

#include "base/buf.h"
#include "mail/convert.h"

#define WALK_BOUNDARY_MAX 255   /* RFC 2046 5.1.1 allows 70; some forget that */
#define WALK_LINE_MAX     1024  /* of a line looked at as one: a delimiter is no longer */
#define WALK_FIELD_MAX    65536 /* of a header field looked at as one */

enum walk_encoding { WALK_7BIT, WALK_8BIT, WALK_BINARY, WALK_QP, WALK_BASE64, WALK_OTHER };
enum walk_type { WALK_TEXT, WALK_MULTIPART, WALK_MESSAGE, WALK_DATA };

struct walk_entity {
    uint32_t number;
    bool message;        /* its header is a whole message's: the first, or within message/rfc822 */
    bool mime;           /* has MIME-Version or Content-Type */
    bool sealed;         /* within multipart/signed or multipart/encrypted */
    enum walk_type type; /* from header_end on */
    enum walk_encoding encoding;
};

struct walk_ops {
    /* a whole field with its line ends, or (name empty) a further piece of a very long one */
    void (*field)(void *user, const struct walk_entity *e, str_t name, str_t raw);
    /* blank: the empty line, or "" where the body begins without one */
    void (*header_end)(void *user, const struct walk_entity *e, str_t blank);
    /* of a leaf; for a multipart what stands before, between and after its parts */
    void (*content)(void *user, const struct walk_entity *e, str_t text);
    void (*delimiter)(void *user, str_t line);
    void (*entity_end)(void *user,
                       const struct walk_entity *e); /* of a leaf: its content is over */
};

struct walk_level { /* a multipart under way */
    struct walk_entity entity;
    size_t boundary_len;
    char boundary[WALK_BOUNDARY_MAX];
};

struct walk {
    const struct walk_ops *ops;
    void *user;
    struct walk_entity entity; /* the one under way: its header, or its content */
    bool in_header, mid_line, held_crlf, ended;
    uint32_t entities;
    struct buf line, field;
    bool field_long;
    str_t boundary; /* of the header under way, in `boundary_room` */
    char boundary_room[WALK_BOUNDARY_MAX];
    size_t depth, cap;
    struct walk_level *levels;
    bool failed; /* no memory */
};

void walk_init(struct walk *w, const struct walk_ops *ops, void *user);
void walk_free(struct walk *w);
void walk_feed(struct walk *w, str_t bytes);
void walk_end(struct walk *w);

#endif
