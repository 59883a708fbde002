/* dialogue.h: shows what is said over a connection: a struct conn around another.
 *
 * Secrets are not shown: of AUTH the mechanism alone, and no answer to its challenges (RFC 4954 4).
 * Lines are printed as "C: …" and "S: …", control characters escaped, at most 40 lines of
 * content. */
#ifndef CLI_DIALOGUE_H
#define CLI_DIALOGUE_H

#include <stdio.h>

#include "cli/cli.h"

/* Takes `inner`; closing the result closes it. NULL (and inner closed): no memory. */
struct conn *dialogue_show(struct cli *c, struct conn *inner, FILE *to);
/* For TLS in the middle of it: gives the connection inside out, and takes another one in (NULL:
 * the result can only be closed). */
struct conn *dialogue_take(struct conn *dialogue);
void dialogue_give(struct conn *dialogue, struct conn *inner);

#endif
