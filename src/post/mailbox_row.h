/* mailbox_row.h: how a mailbox's rows look in the map; for mailbox*.c alone (and their fuzz
 * target).
 *
 * Values begin with a version byte; decoders take any bytes and never overrun. In a message's row
 * modseq is 0 as long as the message is as it was delivered. */
#ifndef POST_MAILBOX_ROW_H
#define POST_MAILBOX_ROW_H

#include "post/mailbox.h"

#define MAILBOX_KEY_CLOSED STR("f/-") /* no folder's: those have four bytes there */
str_t mailbox_key_folder(uint32_t folder, struct arena *a);                      /* f/ */
str_t mailbox_key_uids(uint32_t folder, struct arena *a);                        /* uid/ */
str_t mailbox_prefix_messages(uint32_t folder, struct arena *a);                 /* u/FOLDER/ */
str_t mailbox_key_message(uint32_t folder, uint64_t uid, struct arena *a);       /* u/FOLDER/UID */
str_t mailbox_prefix_content(const uint8_t content[static 10], struct arena *a); /* b/CONTENT/ */
str_t mailbox_key_chunk(const uint8_t content[static 10], uint32_t k, struct arena *a);
str_t mailbox_key_seen(queue_id_t id, struct arena *a);

struct mailbox_folder {
    uint32_t uidvalidity; /* seconds since 1970 when it was made */
    uint8_t special_use;  /* RFC 6154; 0: none */
    str_t name;
};
bool mailbox_folder_encode(const struct mailbox_folder *f, struct buf *out);
bool mailbox_folder_decode(str_t value, struct mailbox_folder *out);

/* all but the uid, which is in the key */
bool mailbox_message_encode(const struct mailbox_message *m, struct buf *out);
bool mailbox_message_decode(str_t key, str_t value, struct mailbox_message *out);
/* As much as the key tells: the uid. */
bool mailbox_message_uid(str_t key, uint64_t *uid);

#endif
