/* lmdb_tx.c: the calls apply.h wants, on a write transaction of LMDB. */
#include <errno.h>

#include "store/lmdb.h"

static struct lmdb_tx *tx_of(struct apply_tx *tx)
{
    return (struct lmdb_tx *)(void *)tx;
}

static MDB_val val(str_t s)
{
    return (MDB_val){s.len, (void *)(uintptr_t)s.ptr};
}
static str_t str(MDB_val v)
{
    return str_of(v.mv_data, v.mv_size);
}

enum store_rc lmdb_rc(int rc)
{
    switch (rc) {
    case 0: return STORE_OK;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
    case ENOSPC:
    case EDQUOT:
    case ENOMEM: return STORE_FULL;
    default: return STORE_STOPPED;
    }
}

static enum store_rc result(struct lmdb_tx *t, int rc)
{
    if (rc != 0)
        t->f->last_error = rc;
    return lmdb_rc(rc);
}

static enum store_rc tx_get(struct apply_tx *tx, str_t raw, bool *present, str_t *value)
{
    struct lmdb_tx *t = tx_of(tx);
    MDB_val key = val(raw), found;
    int rc = mdb_get(t->txn, t->f->dbi, &key, &found);
    *present = rc == 0;
    if (rc == MDB_NOTFOUND)
        return STORE_OK;
    if (rc != 0)
        return result(t, rc);
    return !value || record_open(raw, str(found), value) ? STORE_OK : STORE_DAMAGED;
}

static enum store_rc tx_put(struct apply_tx *tx, str_t raw, str_t value)
{
    struct lmdb_tx *t = tx_of(tx);
    MDB_val key = val(raw), room = {value.len + RECORD_SUM, NULL};
    /* written straight into the page */
    int rc = mdb_put(t->txn, t->f->dbi, &key, &room, MDB_RESERVE);
    if (rc != 0)
        return result(t, rc);
    char *to = room.mv_data;
    if (value.len)
        memcpy(to, value.ptr, value.len);
    record_sum_write(record_sum(raw, value), to + value.len);
    return STORE_OK;
}

static enum store_rc tx_del(struct apply_tx *tx, str_t raw)
{
    struct lmdb_tx *t = tx_of(tx);
    MDB_val key = val(raw);
    int rc = mdb_del(t->txn, t->f->dbi, &key, NULL);
    return rc == MDB_NOTFOUND ? STORE_OK : result(t, rc);
}

static int del_here(struct lmdb_tx *t, MDB_cursor *c, MDB_val raw)
{
    part_t part;
    str_t key;
    if (record_split(str(raw), &part, &key))
        hints_add(&t->f->group.hints, &t->f->db->watches, part, key);
    return mdb_cursor_del(c, 0);
}

static enum store_rc tx_del_range(struct apply_tx *tx, part_t part, str_t from, str_t end)
{
    (void)part;
    struct lmdb_tx *t = tx_of(tx);
    MDB_cursor *c;
    MDB_val key = val(from);
    int rc = mdb_cursor_open(t->txn, t->f->dbi, &c);
    if (rc != 0)
        return result(t, rc);
    rc = mdb_cursor_get(c, &key, NULL, MDB_SET_RANGE);
    while (rc == 0 && str_cmp(str(key), end) < 0) {
        rc = del_here(t, c, key);
        /* after a delete: the one that took its place */
        if (rc == 0)
            rc = mdb_cursor_get(c, &key, NULL, MDB_NEXT);
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? STORE_OK : result(t, rc);
}

struct lmdb_tx lmdb_tx_of(struct lmdb_file *f, MDB_txn *txn)
{
    return (struct lmdb_tx){.tx = {tx_get, tx_put, tx_del, tx_del_range}, .f = f, .txn = txn};
}
