/* lmdb_dir.c: see lmdb_dir.h. */
#include "store/lmdb_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"queue.mdb", "mail.mdb", "queue.mdb-lock", "mail.mdb-lock"};

bool lmdb_dir_make(struct lmdb_dir *d)
{
    const char *tmp = getenv("TMPDIR");
    memset(d, 0, sizeof *d);
    snprintf(d->path, sizeof d->path, "%.40s/store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(d->path))
        return false;
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->fd >= 0;
}

void lmdb_dir_remove(struct lmdb_dir *d)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlinkat(d->fd, names[i], 0);
    close(d->fd);
    rmdir(d->path);
}

static void keep_log(void *user, const char *line)
{
    struct lmdb_dir *d = user;
    size_t n = strlen(d->log);
    snprintf(d->log + n, sizeof d->log - n, "%s\n", line);
}

struct store *lmdb_dir_open(struct lmdb_dir *d)
{
    struct err err = {0};
    struct store *s = store_lmdb_open(d->fd, keep_log, d, &err);
    if (!s)
        fprintf(stderr, "%s\n", err.text);
    return s;
}

static bool damage_file(struct lmdb_dir *d, const char *name, str_t value)
{
    int fd = openat(d->fd, name, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    size_t size = (size_t)st.st_size;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *at = p;
    bool found = false;
    close(fd);
    if (p == MAP_FAILED)
        return false;
    while ((at = memmem(at, size - (size_t)(at - p), value.ptr, value.len)) != NULL) {
        at[value.len / 2] ^= 0x10;
        at += value.len;
        found = true;
    }
    munmap(p, size);
    return found;
}

bool lmdb_dir_damage(struct lmdb_dir *d, str_t value)
{
    bool queue = damage_file(d, "queue.mdb", value), mail = damage_file(d, "mail.mdb", value);
    return queue || mail;
}
