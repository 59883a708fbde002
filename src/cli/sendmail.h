/* sendmail.h: the command of many names: `sendmail`, `mailq`, `newaliases`, called by a link or as a
 * subcommand. sendmail(1) is its manual.
 *
 *     cmd_sendmail.c       which of them; what of a message is told to whom called
 *     sendmail_options.c   the command line
 *     sendmail_message.c   line ends, recipients, what is completed in the header
 *     sendmail_submit.c    to the server, over its Unix socket
 *     sendmail_unsent.c    what waits in the user's folder while there is no server
 *     sendmail_flush.c     sends what waits there
 *     sendmail_record.c    one of these as a file
 *     sendmail_queue.c     -bp, -q
 *     sendmail_smtp.c      -bs
 *
 * Reads no configuration to send: users may not read it, and need not. Exit codes are those of
 * sysexits(3). */
#ifndef CLI_SENDMAIL_H
#define CLI_SENDMAIL_H

#include "cli/sendmail_submit.h"
#include "cli/sendmail_unsent.h"

/* A line on stderr: "sendmail: …". */
void sendmail_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What became of a message after all that could be done in one session. */
struct sendmail_result {
    size_t taken;
    struct sendmail_message refused, later; /* the same message, each with its recipients */
    struct submit_outcome why_refused;      /* of the first */
    struct submit_outcome why_later;
};
/* Sends it; says each refusal (`about`: before it). False: memory. */
bool sendmail_send(struct submit *s, const struct sendmail_message *m, struct arena *a,
                   const char *about, struct sendmail_result *out);

/* Sends what is kept, oldest first, at most `max` of it; *left: how many still wait. `u` is open. An
 * exit code: EX_TEMPFAIL if the session ended before all was sent. */
int sendmail_flush(struct submit *s, struct unsent *u, size_t max, size_t *sent, size_t *left);

/* -q: what is kept is sent; for who may, all that waits in the queue is tried. An exit code. */
int sendmail_flush_all(struct cli *c, bool verbose);
/* -bp, mailq */
int sendmail_list(struct cli *c);

/* -bs: standard input and output are the connection. */
int sendmail_smtp(void);

#endif
