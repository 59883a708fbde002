/* sendmail_message.h: what `sendmail` was given: a message as programs write it, and for whom.
 *
 * Until the server is there nobody knows its name, so addresses without a domain ("root") stay as
 * they are here, and so do messages that wait in the user's folder (sendmail_unsent.h); with the
 * name in the server's greeting they are completed on the way out. */
#ifndef CLI_SENDMAIL_MESSAGE_H
#define CLI_SENDMAIL_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SENDMAIL_INPUT_MAX      ((size_t)256 << 20) /* over what any server takes */
#define SENDMAIL_RECIPIENTS_MAX 10000

struct sendmail_rcpt {
    str_t address; /* local@domain, or a bare local part */
    uint8_t notify;
};

struct sendmail_message {
    str_t sender;    /* likewise; empty: <> */
    str_t full_name; /* for From, where it is missing */
    struct sendmail_rcpt *rcpt;
    size_t n, cap;
    uint8_t ret; /* enum smtpc_ret */
    str_t envid;
    str_t content; /* whole lines with CRLF */
};

/* Lines as they come, into *out as SMTP has them: LF, CR and CRLF end a line (RFC 5321 2.3.8: CR and
 * LF go together only). One owner; begin with zeros. */
struct sendmail_lines {
    bool ignore_dots; /* a line with a dot alone is text; else it ends the input */
    bool ended;
    bool after_cr;
    size_t line_at; /* in *out: where the line under way begins */
};
void sendmail_lines_add(struct sendmail_lines *l, str_t bytes, struct buf *out);
void sendmail_lines_end(struct sendmail_lines *l, struct buf *out);

/* Without the "From user date" line of mailbox files (">From " too), if it begins with one. */
str_t sendmail_skip_from_line(str_t content);

/* The recipients named in `list`, an address list of RFC 5322 (as a header field or an argument has
 * it), without duplicates. False: *err names what is no address (RC_PERM) or memory (RC_TEMP). */
bool sendmail_add_recipients(struct sendmail_message *m, str_t list, unsigned notify,
                             struct arena *a, struct err *err);
/* -t: those of To, Cc and Bcc; of Resent-To, -Cc and -Bcc alone where there is one (RFC 5322
 * 3.6.6). */
bool sendmail_header_recipients(struct sendmail_message *m, unsigned notify, struct arena *a,
                                struct err *err);
/* One address in any form, as -f has it. */
bool sendmail_one_address(str_t text, struct arena *a, str_t *out);

/* A bare local part with the host's name behind it; others as they are. */
str_t sendmail_complete(str_t address, str_t host, struct arena *a);
/* The header as it is sent: a From where there is none (and no Resent-From), bare names in address
 * fields completed; with the empty line. The body is *body, of m->content. False: memory. */
bool sendmail_header(const struct sendmail_message *m, str_t host, struct arena *a, struct buf *out,
                     str_t *body);

/* As a file has it (sendmail_record.c): what stands before the content. */
#define SENDMAIL_RECORD_HEAD_MAX ((size_t)8 << 20) /* 10,000 recipients of 400 bytes, twice */
bool sendmail_record_head(const struct sendmail_message *m, struct buf *out);
/* All of a file. Slices of `text`; any bytes are safe. False: damaged, or the arena is full. */
bool sendmail_record_decode(str_t text, struct arena *a, struct sendmail_message *out);

#endif
