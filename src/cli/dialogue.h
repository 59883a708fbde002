/* dialogue.h: shows what is said over a connection: a struct conn around another. */
#ifndef CLI_DIALOGUE_H
#define CLI_DIALOGUE_H

#include "cli/cli.h"

/* Takes `inner`; closing the result closes it. Lines are printed as "C: …" and "S: …", control
 * characters escaped, at most 40 lines of content. NULL (and inner closed): no memory. */
struct conn *dialogue_show(struct cli *c, struct conn *inner);

#endif
