/* compose.h: makes the message that `postrider send` sends. RFC 5322. */
#ifndef CLI_COMPOSE_H
#define CLI_COMPOSE_H

#include "cli/cli.h"

#define COMPOSE_INPUT_MAX ((size_t)64 << 20) /* bytes read from standard input */

struct compose {
    str_t from;
    const str_t *to;
    size_t nto;
    str_t subject, body;
    bool has_subject, has_body; /* given as options */
};

/* The whole message with CRLF line ends, in *out. Without --body it is read from `fd`: with a
 * header of its own it stays as it is (but for line ends), otherwise it is the body. Date,
 * Message-ID, From and To are added to a header that lacks them. CLI_OK or a message. */
int compose_message(struct cli *c, const struct compose *m, int fd, struct buf *out);

#endif
