/* mailbox.h: an account's mail, in PART_USER of that account. IMAP's rules are in the schema from
 * the first day (RFC 9051 2.3.1).
 *
 *     f/FOLDER             a folder (u32 id; 1 is INBOX): name, uidvalidity, special use
 *     f/-                  the account was removed: nothing gets in here any more. Stays for ever,
 *                          as its id is used once
 *     uid/FOLDER           counter: the last UID given
 *     u/FOLDER/UID         a message in a folder (u64 uid): content id, size, chunks, internal
 *                          date, flags, modseq
 *     modseq               counter of the account; unused (and every message's 0) until IMAP
 *                          changes flags
 *     b/CONTENT/n          content chunk n (content id: 10 bytes, the delivery's queue id or a new
 *                          one)
 *     seen/QUEUEID         this queue message was delivered here: makes local delivery exactly once
 *     rate/…               how much the account sent (roles/smtp/limits.c)
 *
 * Delivery is one durable batch (lazy ones before it for content over a chunk): requires seen/
 * absent, puts it, the index row with the next UID, and the last chunk. STORE_CONFLICT on seen/ is
 * success: it is already there. Reading a message asks for chunks one by one, so memory does not
 * grow with the message.
 *
 * A mark (seen/) stays as long as its content does: it is what tells content that belongs to the
 * mailbox from what was written ahead and never finished, and core lets local change only the
 * latter. What both leave behind is swept: mailbox_sweep.h. */
#ifndef POST_MAILBOX_H
#define POST_MAILBOX_H

#include "base/buf.h"
#include "base/env.h"
#include "post/queue.h"

#define MAILBOX_INBOX         1u
#define MAILBOX_PART(account) ((part_t){PART_USER, (account)})

struct mailbox_message {
    uint64_t uid;
    uint64_t size; /* bytes, with CRLF line ends */
    uint32_t chunks;
    int64_t date_ms; /* internal date */
    uint32_t flags;  /* bit set of \Seen … for IMAP; 0 now */
    uint8_t content[10];
    /* Its row is lost: only the uid is known, nothing can be read, but it can be removed. */
    bool damaged;
};

/* A message on its way into an account's INBOX. `id` is the queue id that makes it exactly once. As
 * queue_in: write, then commit. */
struct mailbox_in;
struct mailbox_in *mailbox_in_begin(struct env *env, uint64_t account, queue_id_t id);
enum store_rc mailbox_in_write(struct mailbox_in *in, str_t bytes);
/* STORE_OK: it is there, durably (*again true: it had been already). STORE_CONFLICT: a chunk
 * written ahead was lost with core: begin anew. Frees the mailbox_in. */
enum store_rc mailbox_in_commit(struct mailbox_in *in, bool *again);
/* After the last write, if other work can be done meanwhile: begins what mailbox_in_commit then
 * waits for. */
void mailbox_in_submit(struct mailbox_in *in);
void mailbox_in_abort(struct mailbox_in *in);

/* Every message of a folder in UID order. */
enum store_rc mailbox_list(struct store *s, uint64_t account, uint32_t folder, struct arena *a,
                           struct mailbox_message **out, size_t *n);
/* One chunk of the content, 0 <= k < m->chunks. STORE_DAMAGED is possible: that message is lost,
 * say so. */
enum store_rc mailbox_chunk(struct store *s, uint64_t account, const struct mailbox_message *m,
                            uint32_t k, struct arena *a, str_t *out);
/* Removes messages (index row and content); in batches, each durable; the ones removed before a
 * failure stay removed. */
enum store_rc mailbox_remove(struct store *s, uint64_t account, uint32_t folder,
                             const struct mailbox_message *m, size_t n, size_t *removed);
/* Removes all of an account that the directory has given up, in durable batches of a bounded size;
 * may be repeated at any time, and must be until it was STORE_OK once. From its first batch on no
 * delivery gets in: what was on its way ends as STORE_CONFLICT. */
enum store_rc mailbox_purge(struct store *s, uint64_t account);

/* The folder's uidvalidity, made with the folder: with the UID it makes the UIDL that never
 * changes. 0: there is no such folder (INBOX comes with the first message). */
enum store_rc mailbox_uidvalidity(struct store *s, uint64_t account, uint32_t folder,
                                  uint32_t *out);

#endif
