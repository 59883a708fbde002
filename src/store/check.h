/* check.h: reads everything an LMDB store holds and names what is damaged.
 *
 * Opens the files for reading only: beside a running server or without one, but not in the process
 * that has the store open (LMDB's locks are per process). Holds no snapshot for long, so it does
 * not make the files of a busy server grow; what changes meanwhile is seen before or after the
 * change. Memory use is small whatever the size. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "store/store.h"

enum [[nodiscard]] store_check_rc{
    STORE_CHECK_OK,      /* every value of every partition was read and is as it was written */
    STORE_CHECK_DAMAGED, /* the `damage` calls named what is not */
    STORE_CHECK_FAILED,  /* could not be read to the end: *err says why and how far it came */
};

struct store_check_part {
    part_t part;
    uint64_t rows, bytes, damaged; /* bytes of keys and values, without the damaged */
};

struct store_check {
    /* after the last row of each partition; may be NULL */
    void (*part)(void *user, const struct store_check_part *p);
    /* A damaged row: `key` exactly, `name` for people ("user/17 b/\x00…"). The key itself may be
     * what is damaged: `part` and `key` are then what it looks like now. An unknown partition has
     * part.kind == PART_KINDS. May be NULL. */
    void (*damage)(void *user, part_t part, str_t key, const char *name);
    void *user;
};

enum store_check_rc store_check(int dir_fd, const struct store_check *c, struct err *err);

#endif
