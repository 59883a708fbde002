/* sendmail_unsent.h: messages that could not be handed in wait in their user's own folder:
 * $XDG_STATE_HOME/postrider/unsent, or ~/.local/state/postrider/unsent (0700).
 *
 * One file a message (0600), named by the time, so that names sort by age: written under another
 * name, synced, renamed, the folder synced: when unsent_keep says so, it is on the disk. It goes
 * after the server's 250, and not before. A lock file keeps two senders apart.
 *
 *     TIME-RANDOM            waits
 *     TIME-RANDOM.refused    the server will not have it: kept for the user to see
 *     TIME-RANDOM.damaged    cannot be read any more
 *     new-RANDOM             being written, or left by a crash */
#ifndef CLI_SENDMAIL_UNSENT_H
#define CLI_SENDMAIL_UNSENT_H

#include "cli/cli.h"
#include "cli/sendmail_message.h"

#define UNSENT_NAME 64 /* of a file: 13 digits, 16 of chance, ".refused" */
#define UNSENT_PATH 4096

struct unsent {
    int dir_fd;  /* -1: closed */
    int lock_fd; /* likewise */
    char path[UNSENT_PATH];
};

/* Opens the folder; makes it if `make`. False: there is none (and *err says why it cannot be made,
 * with an errno's words). */
bool unsent_open(struct unsent *u, bool make, struct err *err);
void unsent_close(struct unsent *u);
/* No one else sends from it as long as this is open. False: somebody does. */
bool unsent_lock(struct unsent *u);

enum unsent_kept { UNSENT_KEPT, UNSENT_CANNOT_MAKE, UNSENT_CANNOT_WRITE };
/* Writes a message, or (name[0] not NUL) what is left of the one of that name over it. *name is then
 * its name. */
enum unsent_kept unsent_keep(struct unsent *u, struct env *env, const struct sendmail_message *m,
                             char name[static UNSENT_NAME], struct err *err);
enum unsent_got {
    UNSENT_GOT,
    UNSENT_GONE,    /* somebody else's work */
    UNSENT_DAMAGED, /* and is called so now */
    UNSENT_CANNOT_READ,
};
/* Reads one. Strings in `text`, which the caller has initialized and frees. */
enum unsent_got unsent_read(struct unsent *u, const char *name, struct arena *a, struct buf *text,
                            struct sendmail_message *out);
bool unsent_remove(struct unsent *u, const char *name);
/* The server has refused it for good. */
bool unsent_refused(struct unsent *u, const char *name);

/* The names of what waits, oldest first, at most `max` of them, in the arena; and how many were
 * refused or are damaged. */
size_t unsent_list(struct unsent *u, struct arena *a, size_t max, char ***names, size_t *set_aside);

#endif
