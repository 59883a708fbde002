/* check.c: walks the raw rows of both files; see check.h. */
#include "store/check.h"

#include <errno.h>

#include "store/lmdb.h"

#define TURN_ROWS  4096 /* then a new snapshot: a long one would keep freed pages from reuse */
#define TURN_BYTES (64u << 20) /* the same for big rows */

struct walk {
    const struct store_check *c;
    const char *file;
    MDB_env *env;
    MDB_dbi dbi;
    struct store_check_part sums;
    bool in_part, damaged;
    char last[RECORD_KEY_MAX + 32]; /* the last raw key seen, LMDB's limit is 511 */
    size_t last_len;
    char name[RECORD_NAME_MAX];
};

static void part_end(struct walk *w)
{
    if (w->in_part && w->c->part)
        w->c->part(w->c->user, &w->sums);
    w->in_part = false;
}

static void tell_damage(struct walk *w, part_t part, str_t key)
{
    w->damaged = true;
    if (part.kind ==
        PART_KINDS) { /* not a key of ours: shown as one of the node's, but for the word */
        record_name((part_t){PART_NODE, 0}, key, w->name);
        memcpy(w->name, "????", 4);
    } else {
        record_name(part, key, w->name);
        w->sums.damaged++;
    }
    if (w->c->damage)
        w->c->damage(w->c->user, part, key, w->name);
}

static void row(struct walk *w, str_t raw, str_t record)
{
    part_t part;
    str_t key = STR_NONE, value = STR_NONE;
    if (raw.len && raw.ptr[0] == 0)
        return; /* the engine's own: checked by opening */
    if (!record_split(raw, &part, &key)) {
        tell_damage(w, (part_t){PART_KINDS, 0}, raw);
        return;
    }
    if (!w->in_part || w->sums.part.kind != part.kind || w->sums.part.id != part.id) {
        part_end(w);
        w->sums = (struct store_check_part){.part = part};
        w->in_part = true;
    }
    w->sums.rows++;
    if (record_open(raw, record, &value))
        w->sums.bytes += key.len + value.len;
    else
        tell_damage(w, part, key);
}

/* Some rows on one snapshot, from just after the last. MDB_NOTFOUND: that was all. */
static int turn(struct walk *w, MDB_txn *txn)
{
    MDB_cursor *c;
    MDB_val k = {w->last_len, w->last}, v;
    int rc = mdb_cursor_open(txn, w->dbi, &c);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(c, &k, &v, w->last_len ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && w->last_len &&
        str_eq(str_of(k.mv_data, k.mv_size), str_of(w->last, w->last_len)))
        rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    size_t bytes = 0;
    for (int rows = 0; rc == 0 && rows < TURN_ROWS && bytes < TURN_BYTES; rows++) {
        must(k.mv_size <= sizeof w->last);
        row(w, str_of(k.mv_data, k.mv_size), str_of(v.mv_data, v.mv_size));
        memcpy(w->last, k.mv_data, k.mv_size);
        w->last_len = k.mv_size;
        bytes += k.mv_size + v.mv_size;
        rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(c);
    return rc;
}

static int walk_all(struct walk *w)
{
    int rc = 0;
    while (rc == 0) {
        MDB_txn *txn;
        rc = mdb_txn_begin(w->env, NULL, MDB_RDONLY, &txn);
        if (rc != 0)
            return rc;
        rc = turn(w, txn);
        mdb_txn_abort(txn);
    }
    part_end(w);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum store_check_rc check_file(int dir_fd, const char *file, const struct store_check *c,
                                      struct err *err)
{
    struct walk w = {.c = c, .file = file};
    int rc;
    w.env = lmdb_env_readonly(dir_fd, file, 0, &w.dbi, &rc);
    if (!w.env && (rc == EACCES || rc == EPERM ||
                   rc == EROFS)) /* a copy on a medium that takes no lock file */
        w.env = lmdb_env_readonly(dir_fd, file, MDB_NOLOCK, &w.dbi, &rc);
    if (!w.env) {
        (void)err_set(err, RC_PERM, "", "%s cannot be opened: %s", file, mdb_strerror(rc));
        return STORE_CHECK_FAILED;
    }
    rc = walk_all(&w);
    mdb_env_close(w.env);
    if (rc != 0) {
        part_t part = {PART_KINDS, 0};
        str_t key = STR_NONE;
        bool any = record_split(str_of(w.last, w.last_len), &part, &key);
        (void)err_set(err, RC_PERM, "", "%s cannot be read after %s: %s", file,
                      any ? record_name(part, key, w.name) : "its start", mdb_strerror(rc));
        return STORE_CHECK_FAILED;
    }
    return w.damaged ? STORE_CHECK_DAMAGED : STORE_CHECK_OK;
}

enum store_check_rc store_check(int dir_fd, const struct store_check *c, struct err *err)
{
    enum store_check_rc worst = STORE_CHECK_OK;
    for (int i = 0; i < LMDB_FILES; i++) {
        enum store_check_rc rc = check_file(dir_fd, lmdb_file_names[i], c, err);
        if (rc > worst)
            worst = rc;
    }
    return worst;
}
