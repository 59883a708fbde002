/* lmdb_dir.h: a temporary directory with an LMDB store in it, for tests. One at a time. */
#ifndef TESTS_STORE_LMDB_DIR_H
#define TESTS_STORE_LMDB_DIR_H

#include "store/engines.h"

struct lmdb_dir {
    char path[64];
    int fd;
    char log[4096]; /* what the engine logged, line by line */
};

bool lmdb_dir_make(struct lmdb_dir *d);
void lmdb_dir_remove(struct lmdb_dir *d);
struct store *lmdb_dir_open(struct lmdb_dir *d); /* the store in it; NULL: the reason was printed */
/* Flips a bit of every copy of `value` in both files. False: there is none. */
bool lmdb_dir_damage(struct lmdb_dir *d, str_t value);

#endif
