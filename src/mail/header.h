/* header.h: the header of a message as fields. RFC 5322 2.2, 3.6.8. No recursion, linear time,
 * slices into the input. */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/str.h"

struct header_field {
    str_t name;  /* without blanks before the colon */
    str_t value; /* after the colon to before the line end that ends the field; folds included */
    str_t raw;   /* the whole field with its line ends */
};

/* Takes the next field from the front of *rest. False: the header is at its end; *rest is then the
 * body (after the empty line). A line that is no field ends the header too (the body begins with
 * it). */
bool header_next(str_t *rest, struct header_field *f);
/* Bytes of header in `message`, without the empty line. */
size_t header_length(str_t message);
/* how many fields of that name (RFC 5321 6.3: Received) */
size_t header_count(str_t message, str_t name);

#endif
