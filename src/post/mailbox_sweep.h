/* mailbox_sweep.h: what deliveries leave behind in a mailbox, removed a page of keys at a time. For
 * local.
 *
 *     seen/ID    older than MAILBOX_MARK_MS, without dl/ID in the queue, without content b/ID: goes
 *     b/ID/n     older than MAILBOX_ABANDONED_MS, without seen/ID, without dl/ID: goes
 *
 * Safety does not hang on clocks. A delivery row never comes back once it is gone (post/queue.h),
 * so whoever has none is delivered to nobody any more: its mark has done its work. The rows of the
 * queue are looked at last, after what they are to justify was read. A mark whose content is still
 * there stays: it is what says that this content belongs to the mailbox. Content goes only in a
 * batch that requires its mark absent, and whoever is still writing it requires its chunks
 * (mailbox_in.c): one of the two fails. */
#ifndef POST_MAILBOX_SWEEP_H
#define POST_MAILBOX_SWEEP_H

#include "post/mailbox.h"

#define MAILBOX_MARK_MS      (30 * INT64_C(86400000)) /* many times what a delivery is tried */
#define MAILBOX_ABANDONED_MS INT64_C(3600000)

struct mailbox_sweep { /* one mailbox's; begin with the account alone set */
    uint64_t account;
    bool content; /* walks over b/, after seen/ */
    bool started;
    queue_id_t at;            /* the id after which it goes on */
    uint64_t marks, contents; /* removed so far */
};

/* One page of the walk. *end: that was the last. Anything but STORE_OK: nothing moved on; try
 * again. */
enum store_rc mailbox_sweep_step(struct store *s, struct mailbox_sweep *w, int64_t wall_ms,
                                 bool *end);

#endif
