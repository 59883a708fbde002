/* mailbox_sweep.c: see mailbox_sweep.h. */
#include "post/mailbox_sweep.h"

#include "post/mailbox_row.h"

enum {
    STEP_ROWS = 1000, /* keys in one page of the walk */
    /* core ties each to its content's key, and takes no more (permissions.h) */
    MARKS_PER_BATCH = 4,
    SWEEP_ARENA = 4 << 20,
};

struct one { /* an id of the page */
    queue_id_t id;
    bool needed; /* by a delivery, or by the other half of what it is */
};

struct window {
    struct store *s;
    struct mailbox_sweep *w;
    struct arena arena, page; /* `page`: of one scan */
    struct one *v;
    size_t n;
};

#define MARKS      STR("seen/")
#define CONTENT    STR("b/")
#define DELIVERIES STR("dl/")

static bool key_id(str_t key, str_t prefix, queue_id_t *id)
{
    if (!str_starts(key, prefix) || key.len < prefix.len + sizeof id->b)
        return false;
    memcpy(id->b, key.ptr + prefix.len, sizeof id->b);
    return true;
}

/* prefix || id || tail */
static str_t key_at(struct arena *a, str_t prefix, queue_id_t id, str_t tail)
{
    struct buf b;
    buf_init(&b, STORE_KEY_MAX);
    buf_add(&b, prefix);
    buf_add(&b, str_of(id.b, sizeof id.b));
    buf_add(&b, tail);
    str_t key = arena_dup(a, buf_str(&b));
    buf_free(&b);
    return key;
}

/* ---- reading ---- */

/* The next ids older than `before_ms`: ids are in the order of time. */
static enum store_rc window_read(struct window *x, str_t prefix, int64_t before_ms, bool *end)
{
    struct store_page page;
    struct store_scan q = {.part = MAILBOX_PART(x->w->account),
                           .from = prefix,
                           .end = store_prefix_end(&x->arena, prefix),
                           .keys_only = true,
                           .rows_max = STEP_ROWS};
    if (x->w->started) /* after every key of that id */
        q.from = key_at(&x->arena, prefix, x->w->at, STR("\xff"));
    enum store_rc rc = x->arena.failed ? STORE_LIMIT : store_scan(x->s, &q, &x->arena, &page);
    if (rc != STORE_OK)
        return rc;
    *end = !page.more;
    x->v = arena_array(&x->arena, page.n, sizeof *x->v);
    for (size_t i = 0; x->v != NULL && i < page.n; i++) {
        queue_id_t id;
        if (!key_id(page.rows[i].key, prefix, &id))
            continue;
        if (queue_id_ms(id) >= before_ms) {
            *end = true;
            break;
        }
        if (x->n == 0 || !queue_id_eq(x->v[x->n - 1].id, id))
            x->v[x->n++] = (struct one){.id = id};
    }
    return x->v != NULL || page.n == 0 ? STORE_OK : STORE_LIMIT;
}

static void need(struct window *x, queue_id_t id)
{
    size_t lo = 0, hi = x->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int cmp = memcmp(x->v[mid].id.b, id.b, sizeof id.b);
        if (cmp == 0) {
            x->v[mid].needed = true;
            return;
        }
        *(cmp < 0 ? &lo : &hi) = cmp < 0 ? mid + 1 : mid;
    }
}

/* All keys under the prefix, from the window's first id to its last: whom they name is needed. */
static enum store_rc need_all(struct window *x, part_t part, str_t prefix)
{
    struct store_page page = {.more = true};
    struct store_scan q = {.part = part, .keys_only = true, .rows_max = STEP_ROWS};
    q.from = key_at(&x->arena, prefix, x->v[0].id, STR_NONE);
    q.end = store_prefix_end(&x->arena, key_at(&x->arena, prefix, x->v[x->n - 1].id, STR_NONE));
    while (page.more) {
        arena_reset(&x->page);
        enum store_rc rc = x->arena.failed ? STORE_LIMIT : store_scan(x->s, &q, &x->page, &page);
        if (rc != STORE_OK)
            return rc;
        queue_id_t id;
        for (size_t i = 0; i < page.n; i++)
            if (key_id(page.rows[i].key, prefix, &id))
                need(x, id);
        if (page.n == 0)
            break;
        str_t last = page.rows[page.n - 1].key;
        q.from = str_of(arena_cstr(&x->arena, last), last.len + 1); /* with the NUL behind it */
    }
    return STORE_OK;
}

/* ---- removing ---- */

/* Lazy: what a crash brings back is swept next time. A conflict: it is needed after all. */
static enum store_rc commit(struct window *x, struct store_batch *b, uint64_t n, uint64_t *count)
{
    b->lazy = true;
    enum store_rc rc = x->arena.failed ? STORE_LIMIT : store_commit(x->s, b);
    *count += rc == STORE_OK ? n : 0;
    return rc == STORE_CONFLICT ? STORE_OK : rc;
}

static enum store_rc remove_marks(struct window *x)
{
    enum store_rc rc = STORE_OK;
    struct store_batch b;
    store_batch_init(&b, MAILBOX_PART(x->w->account), &x->arena);
    for (size_t i = 0; i < x->n && rc == STORE_OK; i++) {
        if (!x->v[i].needed)
            store_delete(&b, mailbox_key_seen(x->v[i].id, &x->arena));
        if (b.n == MARKS_PER_BATCH || (b.n > 0 && i + 1 == x->n)) {
            rc = commit(x, &b, b.n, &x->w->marks);
            store_batch_init(&b, MAILBOX_PART(x->w->account), &x->arena);
        }
    }
    return rc;
}

static enum store_rc remove_contents(struct window *x)
{
    enum store_rc rc = STORE_OK;
    for (size_t i = 0; i < x->n && rc == STORE_OK; i++) {
        if (x->v[i].needed)
            continue;
        struct store_batch b;
        str_t prefix = mailbox_prefix_content(x->v[i].id.b, &x->arena);
        store_batch_init(&b, MAILBOX_PART(x->w->account), &x->arena);
        store_require_absent(&b, mailbox_key_seen(x->v[i].id, &x->arena));
        store_delete_range(&b, prefix, store_prefix_end(&x->arena, prefix));
        rc = commit(x, &b, 1, &x->w->contents);
    }
    return rc;
}

/* ---- the walk ---- */

static enum store_rc window_sweep(struct window *x)
{
    bool content = x->w->content;
    enum store_rc rc = need_all(x, MAILBOX_PART(x->w->account), content ? MARKS : CONTENT);
    if (rc == STORE_OK)
        rc = need_all(x, QUEUE_PART, DELIVERIES);
    if (rc != STORE_OK)
        return rc;
    return content ? remove_contents(x) : remove_marks(x);
}

enum store_rc mailbox_sweep_step(struct store *s, struct mailbox_sweep *w, int64_t wall_ms,
                                 bool *end)
{
    struct window x = {.s = s, .w = w};
    bool last = true;
    *end = false;
    arena_init(&x.arena, SWEEP_ARENA);
    arena_init(&x.page, SWEEP_ARENA);
    int64_t age = w->content ? MAILBOX_ABANDONED_MS : MAILBOX_MARK_MS;
    enum store_rc rc = window_read(&x, w->content ? CONTENT : MARKS, wall_ms - age, &last);
    if (rc == STORE_OK && x.n > 0) {
        rc = window_sweep(&x);
        w->at = rc == STORE_OK ? x.v[x.n - 1].id : w->at;
        w->started |= rc == STORE_OK;
    }
    arena_free(&x.page);
    arena_free(&x.arena);
    if (rc == STORE_OK && (last || x.n == 0)) { /* a page without ids: somebody's rubbish */
        *end = w->content;
        w->content = true;
        w->started = false;
    }
    return rc;
}
