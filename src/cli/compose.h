/* compose.h: makes the message that `postrider send` sends. RFC 5322, 2045 to 2049.
 *
 *     compose.c        header and text
 *     compose_file.c   attachments: a type by the name's end, base64 */
#ifndef CLI_COMPOSE_H
#define CLI_COMPOSE_H

#include "cli/cli.h"

#define COMPOSE_INPUT_MAX  ((size_t)64 << 20) /* bytes of text, and of all attachments */
#define COMPOSE_OUTPUT_MAX (3 * COMPOSE_INPUT_MAX)

struct compose {
    str_t from;        /* the envelope's address */
    str_t from_header; /* as it was given, with a name; or empty */
    const str_t *to, *cc;
    size_t nto, ncc;
    str_t subject, body;
    bool has_subject, has_body; /* given as options */
    uint64_t size;              /* > 0: a body of so many bytes is made up */
    const str_t *headers;       /* "Name: value" */
    size_t nheaders;
    const char *const *files; /* attached */
    size_t nfiles;
};

/* The whole message with CRLF line ends, in *out. Without a body it is read from `fd`: with a header
 * of its own it stays as it is (but for line ends), otherwise, and always with attachments, it is
 * the text. Date, Message-ID, From and To are added to a header that lacks them. CLI_OK or a
 * message. */
int compose_message(struct cli *c, const struct compose *m, int fd, struct buf *out);

/* "Name: value", where Name is one of RFC 5322 2.2. */
bool compose_header_ok(str_t line);

/* ---- shared by the two ---- */

bool compose_read(struct cli *c, int fd, const char *what, struct buf *out);
/* A part of a multipart message, without its boundary. False: a message was said. */
bool compose_file(struct cli *c, const char *path, struct buf *out);

#endif
