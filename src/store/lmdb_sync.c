/* lmdb_sync.c: which system call of a commit failed.
 *
 * mdb_txn_commit writes the pages, syncs, then writes the meta page through a descriptor that syncs
 * each write; a failure of any of them is just an errno. The difference is what we promise: pages
 * that could not be written (a full disk) left nothing behind and the next commit may work; after a
 * failed sync nothing about the file is certain any more. So this fdatasync takes the place of the
 * C library's for the whole program, LMDB included, and counts. Should it ever not stand there
 * (LMDB linked another way), no call is counted in a commit that worked, and the engine trusts no
 * failure. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/lmdb.h"

static _Thread_local struct lmdb_syncs syncs; /* the commit thread's own */

int fdatasync(int fd)
{
    int rc = (int)syscall(SYS_fdatasync, fd);
    syncs.calls++;
    if (rc != 0)
        syncs.failed = true;
    return rc;
}

void lmdb_sync_begin(void)
{
    syncs = (struct lmdb_syncs){0};
}

struct lmdb_syncs lmdb_sync_end(void)
{
    return syncs;
}
