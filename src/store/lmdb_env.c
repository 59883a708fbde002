/* lmdb_env.c: one LMDB file: opening it, and room on the disk before it is needed.
 *
 * LMDB extends its file by writing past the end, so a full disk would show itself only in the
 * middle of a commit. We allocate ahead instead (fallocate) and keep LMDB_RESERVE more than the
 * transaction at hand can take: puts need all of it, deletes may go into it. So a put on a full
 * disk is refused before anything was written, and deletes still work; the pages they free are what
 * later puts reuse. Once there is space again, the next put restores the reserve. Where the file
 * system has no fallocate, the free space is asked for instead, which is nearly as good. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/lmdb.h"

#define LMDB_MAP_MAX (256ull << 30) /* the most a file can grow to; only address space is taken */
#define LMDB_MAP_MIN (1ull << 30)   /* below, better not to start than to fill up soon */
#define LMDB_READERS 512 /* slots: snapshots, reading threads, other processes that check */
/* for deletes on a full disk: a batch of 512 in a tree of depth 5 takes 10 MiB */
#define LMDB_RESERVE (16ull << 20)
/* the file grows by this: an allocation for every thousandth message or so */
#define LMDB_STEP        (16ull << 20)
#define LMDB_RANGE_PAGES 256 /* thought for a range delete: what it frees it does not write */
#define LMDB_SLACK_PAGES 64  /* a transaction's free list, roots, rounding */

_Static_assert(LMDB_READERS > 2 * SNAPSHOTS_MAX, "snapshots leave slots for reads");

const char *const lmdb_file_names[LMDB_FILES] = {
    [LMDB_QUEUE] = "queue.mdb", [LMDB_MAIL] = "mail.mdb"};

static const char format_key[] = "\0format", format_value[] = "postrider store 1";

static enum rc fail(struct lmdb_file *f, int rc, const char *what, struct err *err)
{
    lmdb_file_close(f);
    return err_set(err, RC_PERM, "", "store: %s: %s: %s", f->name, what, mdb_strerror(rc));
}

static int env_open(int dir_fd, const char *name, uint64_t map_size, unsigned flags, MDB_env **out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir_fd, name);
    int rc = mdb_env_create(out);
    if (rc)
        return rc;
    rc = mdb_env_set_maxreaders(*out, LMDB_READERS);
    if (!rc && map_size)
        rc = mdb_env_set_mapsize(*out, map_size);
    if (!rc)
        rc = mdb_env_open(*out, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    if (rc) {
        mdb_env_close(*out);
        *out = NULL;
    }
    return rc;
}

/* The format row: written into a new file, required in an old one. */
static int check_format(struct lmdb_file *f)
{
    MDB_val key = {sizeof format_key - 1, (void *)(uintptr_t)format_key};
    MDB_val value = {sizeof format_value - 1, (void *)(uintptr_t)format_value}, found;
    MDB_txn *txn;
    int rc = mdb_txn_begin(f->env, NULL, 0, &txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &f->dbi);
    if (!rc) {
        MDB_stat st;
        rc = mdb_get(txn, f->dbi, &key, &found);
        if (rc == MDB_NOTFOUND && mdb_stat(txn, f->dbi, &st) == 0 && st.ms_entries == 0)
            rc = mdb_put(txn, f->dbi, &key, &value, 0);
        else if (rc == 0 && !str_eq(str_of(found.mv_data, found.mv_size),
                                    str_of(value.mv_data, value.mv_size)))
            rc = MDB_VERSION_MISMATCH;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
    }
    return mdb_txn_commit(txn);
}

enum rc lmdb_file_open(struct lmdb_file *f, struct lmdb *db, const char *name, struct err *err)
{
    f->db = db;
    f->name = name;
    int rc = ENOMEM;
    for (uint64_t size = LMDB_MAP_MAX; rc == ENOMEM && size >= LMDB_MAP_MIN; size /= 2)
        rc = env_open(db->dir_fd, name, size, 0, &f->env);
    if (rc)
        return fail(f, rc, "open", err);
    int dead = 0;
    /* readers that died with their process keep pages from reuse */
    rc = mdb_reader_check(f->env, &dead);
    if (!rc)
        rc = check_format(f);
    if (rc)
        return fail(f, rc, "read", err);
    if (fsync(db->dir_fd) != 0) /* the name of a new file must survive as well */
        return fail(f, errno, "sync the directory", err);
    struct stat st;
    MDB_stat mst;
    if (mdb_env_get_fd(f->env, &f->fd) || fstat(f->fd, &st) != 0 || mdb_env_stat(f->env, &mst))
        return fail(f, errno, "stat", err);
    f->allocated = (uint64_t)st.st_size;
    f->page_size = mst.ms_psize;
    lmdb_readers_init(&f->live, f->env, f->dbi);
    atomic_store(&f->readers, &f->live);
    hints_init(&f->group.hints);
    return RC_OK;
}

void lmdb_file_close(struct lmdb_file *f)
{
    if (atomic_load(&f->readers)) {
        lmdb_readers_free(&f->live);
        lmdb_readers_free(&f->after);
        hints_free(&f->group.hints);
        atomic_store(&f->readers, NULL);
    }
    if (f->after.env)
        mdb_env_close(f->after.env);
    if (f->env)
        mdb_env_close(f->env);
    f->env = NULL;
}

/* Every environment has to open the tree once: that sets up how keys compare. */
static int open_tree(MDB_env *env, MDB_dbi *dbi)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, dbi);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

MDB_env *lmdb_env_readonly(int dir_fd, const char *name, unsigned flags, MDB_dbi *dbi, int *rc)
{
    MDB_env *env = NULL;
    *rc = env_open(dir_fd, name, 0, MDB_RDONLY | flags, &env);
    if (env)
        *rc = open_tree(env, dbi);
    if (env && *rc != 0) {
        mdb_env_close(env);
        env = NULL;
    }
    return env;
}

/* ---- room ---- */

size_t lmdb_pages_for(const struct lmdb_file *f, const struct store_batch *b, MDB_txn *txn)
{
    MDB_stat st = {0};
    /* the path is copied, a page may split */
    size_t per_op = mdb_stat(txn, f->dbi, &st) == 0 ? st.ms_depth + 2 : 8;
    size_t pages = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct store_op *op = &b->ops[i];
        switch (op->kind) {
        case STORE_ABSENT:
        case STORE_PRESENT:
        case STORE_EQUAL: break;
        case STORE_DELETE_RANGE: pages += LMDB_RANGE_PAGES; break;
        case STORE_PUT_NEXT:
            pages += per_op;
            __attribute__((fallthrough)); /* the counter, and what a put takes */
        case STORE_PUT:
        case STORE_PUT_NEW: pages += op->value.len / f->page_size + 1; __attribute__((fallthrough));
        case STORE_DELETE:
        case STORE_ADD: pages += per_op; break;
        }
    }
    return pages;
}

static bool free_space(const struct lmdb_file *f, uint64_t need)
{
    struct statvfs v;
    return fstatvfs(f->fd, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize >= need;
}

/* Allocates up to `end`, in whole steps if that works. */
static bool allocate(struct lmdb_file *f, uint64_t end)
{
    uint64_t ends[2] = {(end + LMDB_STEP - 1) / LMDB_STEP * LMDB_STEP, end};
    for (int i = 0; i < 2; i++) {
        if (fallocate(f->fd, 0, (off_t)f->allocated, (off_t)(ends[i] - f->allocated)) == 0) {
            f->allocated = ends[i];
            return true;
        }
        if (errno == EOPNOTSUPP || errno == ENOSYS) {
            f->no_fallocate = true;
            return false;
        }
    }
    return false;
}

/* Free pages inside the file. Asked only when the disk is full, and then at most once a second. */
static uint64_t count_free_pages(struct lmdb_file *f)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val key, list;
    uint64_t pages = 0;
    if (mdb_txn_begin(f->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    if (mdb_cursor_open(txn, 0, &c) ==
        0) { /* LMDB's own tree of freed pages: each row is a count, then the pages */
        while (mdb_cursor_get(c, &key, &list, MDB_NEXT) == 0 && list.mv_size >= sizeof(size_t)) {
            size_t n;
            memcpy(&n, list.mv_data, sizeof n);
            pages += n;
        }
        mdb_cursor_close(c);
    }
    mdb_txn_abort(txn);
    return pages;
}

static bool free_inside(struct lmdb_file *f, size_t pages)
{
    int64_t now = lmdb_now_ms();
    if (f->free_counted_ms == 0 || now - f->free_counted_ms > 1000) {
        f->free_pages = count_free_pages(f);
        f->free_counted_ms = now;
    }
    /* Some are too scattered for a long value, some still wait for a reader: a wide margin. If LMDB
     * has to write past the end all the same, the commit fails before its sync and nothing
     * happened. */
    return f->free_pages >= 4 * pages + LMDB_RESERVE / f->page_size;
}

bool lmdb_room(struct lmdb_file *f, size_t pages, bool deletes)
{
    MDB_envinfo info;
    if (mdb_env_info(f->env, &info))
        return false;
    uint64_t need = (info.me_last_pgno + 1 + pages + LMDB_SLACK_PAGES) * f->page_size;
    uint64_t want = need + LMDB_RESERVE;
    if (want <= f->allocated || deletes)
        return true;
    if (want <= info.me_mapsize) {
        if (!f->no_fallocate && allocate(f, want)) {
            /* whoever lets mail in must not learn of it half a second later */
            lmdb_refresh_free(f->db);
            return true;
        }
        if (f->no_fallocate && free_space(f, LMDB_RESERVE + pages * f->page_size))
            return true;
    }
    return free_inside(f, pages);
}

bool lmdb_disk_full(const struct lmdb_file *f)
{
    return !free_space(f, LMDB_STEP);
}
