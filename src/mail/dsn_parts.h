/* dsn_parts.h: the first two parts of a report; private to dsn.c. Failure is the buffer's. */
#ifndef MAIL_DSN_PARTS_H
#define MAIL_DSN_PARTS_H

#include "mail/dsn.h"

void dsn_human_write(const struct dsn *d, struct buf *out);  /* words, lines wrapped */
void dsn_status_write(const struct dsn *d, struct buf *out); /* RFC 3464 2, RFC 6533 4.1 */

#endif
