/* lmdb_inbox.c: how batches reach the commit thread: many submitters push, one thread takes all; no
 * lock, and a system call only if the thread sleeps. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store/lmdb.h"

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void lmdb_inbox_wake(struct lmdb_file *f)
{
    atomic_fetch_add(&f->wake, 1);
    futex(&f->wake, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void lmdb_submit(struct lmdb_file *f, struct store_commit *c)
{
    struct store_commit *old = atomic_load(&f->inbox);
    do
        c->engine[0] = old;
    while (!atomic_compare_exchange_weak(&f->inbox, &old, c));
    if (atomic_load(&f->asleep))
        lmdb_inbox_wake(f);
}

void lmdb_inbox_sleep(struct lmdb_file *f, int64_t timeout_ms) /* negative: for ever */
{
    uint32_t seen = atomic_load(&f->wake);
    atomic_store(&f->asleep, 1);
    if (!atomic_load(&f->inbox) && !atomic_load(&f->closing)) {
        struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
        futex(&f->wake, FUTEX_WAIT_PRIVATE, seen, timeout_ms < 0 ? NULL : &t);
    }
    atomic_store(&f->asleep, 0);
}

struct store_commit *lmdb_inbox_take(struct lmdb_file *f) /* oldest first */
{
    struct store_commit *c = atomic_exchange(&f->inbox, NULL), *first = NULL;
    while (c) {
        struct store_commit *next = c->engine[0];
        c->engine[0] = first;
        first = c;
        c = next;
    }
    return first;
}
