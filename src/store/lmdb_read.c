/* lmdb_read.c: read transactions, gets, scans, snapshots.
 *
 * A read transaction pins the pages of its snapshot, so none stays open: it is taken from a pool,
 * renewed (which costs no system call and no lock of LMDB), and reset when the call ends; only
 * snapshots live longer, bounded by their age. Values are checked where they are mapped, then
 * copied out. */
#include <stdlib.h>

#include "store/lmdb.h"
#include "store/page.h"

#define IDLE_MAX         64 /* read transactions kept for reuse: as many as threads read at once */
#define DAMAGE_LOG_PER_S 20 /* lines; somebody may read the same damaged row in a loop */

static MDB_val val(str_t s)
{
    return (MDB_val){s.len, (void *)(uintptr_t)s.ptr};
}
static str_t str(MDB_val v)
{
    return str_of(v.mv_data, v.mv_size);
}

void lmdb_readers_init(struct lmdb_readers *p, MDB_env *env, MDB_dbi dbi)
{
    *p = (struct lmdb_readers){.env = env, .dbi = dbi};
    must(pthread_mutex_init(&p->lock, NULL) == 0);
}

static void reader_free(struct lmdb_reader *r)
{
    if (r->cursor)
        mdb_cursor_close(r->cursor);
    if (r->txn)
        mdb_txn_abort(r->txn);
    free(r);
}

void lmdb_readers_free(struct lmdb_readers *p)
{
    if (!p->env)
        return;
    while (p->idle) {
        struct lmdb_reader *r = p->idle;
        p->idle = r->next;
        reader_free(r);
    }
    pthread_mutex_destroy(&p->lock);
}

static struct lmdb_reader *pool_take(struct lmdb_readers *p)
{
    pthread_mutex_lock(&p->lock);
    struct lmdb_reader *r = p->idle;
    if (r) {
        p->idle = r->next;
        p->idle_n--;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

static struct lmdb_reader *reader_open(struct lmdb_readers *p)
{
    struct lmdb_reader *r = pool_take(p);
    if (r) {
        if (mdb_txn_renew(r->txn) == 0)
            return r;
    } else {
        r = calloc(1, sizeof *r);
        if (!r)
            return NULL;
        r->pool = p;
        if (mdb_txn_begin(p->env, NULL, MDB_RDONLY, &r->txn) == 0)
            return r;
    }
    reader_free(r);
    return NULL;
}

static struct lmdb_reader *read_begin(struct lmdb_file *f)
{
    struct lmdb_readers *p = atomic_load(&f->readers);
    struct lmdb_reader *r = reader_open(p);
    if (!r && p != atomic_load(&f->readers)) /* the engine stopped meanwhile */
        r = reader_open(atomic_load(&f->readers));
    return r;
}

static void read_end(struct lmdb_reader *r)
{
    struct lmdb_readers *p = r->pool;
    mdb_txn_reset(r->txn);
    pthread_mutex_lock(&p->lock);
    bool keep = p->idle_n < IDLE_MAX;
    if (keep) {
        r->next = p->idle;
        p->idle = r;
        p->idle_n++;
    }
    pthread_mutex_unlock(&p->lock);
    if (!keep)
        reader_free(r);
}

static void log_damage(struct lmdb_file *f, part_t part, str_t key)
{
    char name[RECORD_NAME_MAX];
    if (atomic_fetch_add(&f->db->damage_logged, 1) < DAMAGE_LOG_PER_S)
        lmdb_log(f->db,
                 "store: damaged value in %s: %s (checksum does not match; this value is lost, the "
                 "rest is not)",
                 f->name, record_name(part, key, name));
}

/* ---- get ---- */

static enum store_rc get_one(struct lmdb_file *f, struct lmdb_reader *r, part_t part, str_t key,
                             struct arena *a, size_t *bytes, struct store_value *out)
{
    char room[RECORD_KEY_MAX];
    str_t raw = record_key(part, key, room), value;
    MDB_val k = val(raw), found;
    *out = (struct store_value){.rc = STORE_OK};
    int rc = mdb_get(r->txn, r->pool->dbi, &k, &found);
    if (rc == MDB_NOTFOUND)
        return STORE_OK;
    if (rc != 0)
        return STORE_DAMAGED; /* the tree itself */
    out->present = true;
    if (!record_open(raw, str(found), &value)) {
        out->rc = STORE_DAMAGED;
        log_damage(f, part, key);
        return STORE_OK;
    }
    *bytes += value.len;
    if (*bytes > STORE_PAGE_MAX)
        return STORE_LIMIT;
    out->value = arena_dup(a, value);
    return a->failed ? STORE_LIMIT : STORE_OK;
}

enum store_rc lmdb_get(struct lmdb_file *f, part_t part, const str_t *keys, size_t n,
                       struct arena *a, struct store_value *out)
{
    struct lmdb_reader *r = read_begin(f);
    if (!r)
        return STORE_DOWN;
    size_t bytes = 0;
    enum store_rc rc = STORE_OK;
    for (size_t i = 0; i < n && rc == STORE_OK; i++)
        rc = get_one(f, r, part, keys[i], a, &bytes, &out[i]);
    read_end(r);
    return rc;
}

/* ---- scan ---- */

static int scan_first(MDB_cursor *c, bool backwards, str_t from, str_t end, MDB_val *k, MDB_val *v)
{
    *k = val(backwards ? end : from);
    int rc = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
    if (!backwards)
        return rc;
    return mdb_cursor_get(c, k, v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

/* One row into the page. False: enough. */
static bool scan_row(struct lmdb_file *f, const struct store_scan *q, struct page_fill *fill,
                     MDB_val k, MDB_val v)
{
    part_t part;
    str_t key = STR_NONE, value = STR_NONE;
    /* not a row of anybody's: checked by `check` */
    if (!record_split(str(k), &part, &key))
        return true;
    bool damaged = !q->keys_only && !record_open(str(k), str(v), &value);
    if (damaged)
        log_damage(f, part, key);
    return page_add(fill, key, value, damaged);
}

static enum store_rc scan_with(struct lmdb_file *f, struct lmdb_reader *r,
                               const struct store_scan *q, struct arena *a, struct store_page *out)
{
    char from_room[RECORD_KEY_MAX], end_room[RECORD_KEY_MAX];
    str_t from = record_key(q->part, q->from, from_room),
          end = record_end(q->part, q->end, end_room);
    struct page_fill fill = page_begin(q, a, out);
    int rc = r->cursor ? mdb_cursor_renew(r->txn, r->cursor)
                       : mdb_cursor_open(r->txn, r->pool->dbi, &r->cursor);
    if (rc != 0)
        return STORE_DOWN;
    MDB_val k, v = {0}, *values = q->keys_only ? NULL : &v;
    rc = scan_first(r->cursor, q->backwards, from, end, &k, values);
    while (rc == 0 && (q->backwards ? str_cmp(str(k), from) >= 0 : str_cmp(str(k), end) < 0)) {
        if (!scan_row(f, q, &fill, k, v))
            break;
        rc = mdb_cursor_get(r->cursor, &k, values, q->backwards ? MDB_PREV : MDB_NEXT);
    }
    if (a->failed)
        return STORE_LIMIT;
    return rc == 0 || rc == MDB_NOTFOUND ? STORE_OK : STORE_DAMAGED;
}

enum store_rc lmdb_scan(struct lmdb_file *f, const struct store_scan *q, struct arena *a,
                        struct store_page *out)
{
    struct lmdb_reader *r;
    enum store_rc rc;
    if (q->snapshot) {
        if (!snapshots_take(&f->db->snapshots, q->snapshot, q->part, (void **)&r))
            return STORE_EXPIRED;
        rc = scan_with(f, r, q, a, out);
        snapshots_give(&f->db->snapshots, q->snapshot);
        return rc;
    }
    r = read_begin(f);
    if (!r)
        return STORE_DOWN;
    rc = scan_with(f, r, q, a, out);
    read_end(r);
    return rc;
}

/* ---- snapshots ---- */

enum store_rc lmdb_snapshot_open(struct lmdb_file *f, part_t part, uint64_t *id)
{
    struct lmdb_reader *r = read_begin(f);
    if (!r)
        return STORE_DOWN;
    if (snapshots_add(&f->db->snapshots, part, r, id))
        return STORE_OK;
    read_end(r);
    return STORE_LIMIT;
}

void lmdb_snapshot_drop(void *reader, void *user)
{
    (void)user;
    read_end(reader);
}
