/* edit.h: changes the header of a message while it streams by: what a submission server does to the
 * mail of its own people (RFC 6409 8), and the operator's address rewriting.
 *
 *     Bcc removed (RFC 5322 3.6.3), Return-Path removed (RFC 5321 4.4), Date and Message-ID added
 *     where missing (RFC 6409 8.1 to 8.3), addresses in From, Sender, Reply-To, To, Cc (and their
 *     Resent- forms) replaced.
 *
 * Everything else goes through byte for byte: signatures over other fields and the body stay good.
 * A message whose header does not end with an empty line gets one before its body. One field is
 * kept in memory at a time, MAIL_EDIT_FIELD_MAX of it; a longer one goes through as it is. Any cuts.
 * Not thread-safe: one owner. */
#ifndef MAIL_EDIT_H
#define MAIL_EDIT_H

#include "base/arena.h"
#include "base/buf.h"

#define MAIL_EDIT_FIELD_MAX 65536
#define MAIL_EDIT_FROMS_MAX 100 /* addresses in From and Sender that are kept */

enum mail_edit_side { MAIL_EDIT_SENDER, MAIL_EDIT_RECIPIENT };

struct mail_edit_rules {
    bool remove_bcc;  /* and Return-Path */
    bool add_missing; /* Date, Message-ID */
    str_t hostname;   /* of the Message-ID; borrowed */
    int64_t wall_ms;
    uint8_t unique[12]; /* of the Message-ID */
    /* Another address in the place of this one (local@domain), or STR_NONE: it stays. SENDER: From,
     * Sender, Reply-To; RECIPIENT: To, Cc, Bcc. NULL: none is replaced. */
    str_t (*address)(void *user, enum mail_edit_side side, str_t address, struct arena *a);
    void *user;
};

struct mail_edit;
struct mail_edit *mail_edit_new(const struct mail_edit_rules *rules); /* copied; NULL: no memory */
void mail_edit_free(struct mail_edit *e);
/* Takes content. What goes on is: first what was added to `out`, then the slice returned (of `in`:
 * the body, not copied). False in *ok: no memory, or `out` is full. */
str_t mail_edit_feed(struct mail_edit *e, str_t in, struct buf *out, bool *ok);
/* The content is complete: what was held back is added to `out`. */
bool mail_edit_end(struct mail_edit *e, struct buf *out);

/* What was seen in the header so far; after mail_edit_done all of it. */
bool mail_edit_done(const struct mail_edit *e);
struct mail_edit_seen {
    /* local@domain as written, of From and Sender, after rewriting */
    str_t from[MAIL_EDIT_FROMS_MAX];
    size_t n_from;
    size_t from_fields; /* RFC 5322 3.6: exactly one */
    /* an address there could not be understood, was one too many, or the field too long: whoever
     * checks senders must refuse */
    bool from_unclear;
    bool auto_submitted; /* Auto-Submitted other than "no" (RFC 3834 5) */
};
const struct mail_edit_seen *mail_edit_seen(const struct mail_edit *e);

#endif
