/* queue_story.c: one message's whole story, and finding messages by address. See queue_admin.h. */
#include "post/queue_admin.h"
#include "post/queue_walk.h"

enum { STORY_ROWS = 500, FIND_ROWS = 200 };

/* ---- one message ---- */

/* Keeps what the walk's page forgets: rows are decoded into the caller's arena. */
static bool delivery_keep(struct queue_story *s, const struct store_row *row, struct arena *a,
                          size_t *cap)
{
    if (s->ndeliveries == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        struct queue_delivery *v = arena_array(a, *cap, sizeof *v);
        if (v == NULL)
            return false;
        if (s->ndeliveries > 0)
            memcpy(v, s->deliveries, s->ndeliveries * sizeof *v);
        s->deliveries = v;
    }
    if (!row->damaged &&
        queue_delivery_decode(row->key, row->value, a, &s->deliveries[s->ndeliveries]))
        s->ndeliveries++;
    else
        s->ndamaged++;
    return !a->failed;
}

static bool event_keep(struct queue_story *s, const struct store_row *row, struct arena *a,
                       size_t *cap)
{
    if (s->nevents == QUEUE_STORY_EVENTS) {
        s->truncated = true;
        return true;
    }
    if (s->nevents == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        struct queue_event *v = arena_array(a, *cap, sizeof *v);
        if (v == NULL)
            return false;
        if (s->nevents > 0)
            memcpy(v, s->events, s->nevents * sizeof *v);
        s->events = v;
    }
    if (!row->damaged && queue_event_decode(row->key, row->value, a, &s->events[s->nevents]))
        s->nevents++;
    else
        s->ndamaged++;
    return !a->failed;
}

typedef bool keep_fn(struct queue_story *s, const struct store_row *row, struct arena *a,
                     size_t *cap);

static enum store_rc rows_keep(struct store *s, const char *kind, queue_id_t id, keep_fn *keep,
                               struct arena *a, size_t *cap, struct queue_story *out)
{
    struct queue_walk w;
    enum store_rc rc;
    queue_walk_begin(&w, s, queue_key_prefix(kind, id, a), STORY_ROWS);
    while (!out->truncated && queue_walk_next(&w, &rc))
        for (size_t i = 0; i < w.page.n && rc == STORE_OK; i++)
            if (!keep(out, &w.page.rows[i], a, cap))
                rc = STORE_LIMIT;
    queue_walk_end(&w);
    return rc;
}

enum store_rc queue_story_read(struct store *s, queue_id_t id, struct arena *a,
                               struct queue_story *out)
{
    *out = (struct queue_story){0};
    struct store_value v = {0};
    str_t key = queue_key_message(id, a);
    size_t cap_d = 0, cap_e = 0;
    enum store_rc rc = store_get(s, QUEUE_PART, &key, 1, a, &v);
    if (rc != STORE_OK)
        return rc;
    out->has_m = v.rc == STORE_OK && v.present && queue_message_decode(v.value, id, a, &out->m);
    out->m_damaged = !out->has_m && (v.present || v.rc != STORE_OK);
    rc = rows_keep(s, "dl", id, delivery_keep, a, &cap_d, out);
    if (rc == STORE_OK)
        rc = rows_keep(s, "dr", id, delivery_keep, a, &cap_d, out);
    if (rc == STORE_OK)
        rc = rows_keep(s, "t", id, event_keep, a, &cap_e, out);
    out->found = out->has_m || out->m_damaged || out->ndeliveries > 0 || out->nevents > 0 ||
                 out->ndamaged > 0;
    return rc;
}

/* ---- by address ---- */

struct find_page {
    struct queue_message m[FIND_ROWS];
    bool hit[FIND_ROWS];
    size_t n; /* newest first */
};

static struct find_page *page_decode(const struct store_page *p, str_t address, struct arena *a)
{
    struct find_page *f = arena_alloc(a, sizeof *f);
    for (size_t i = 0; f != NULL && i < p->n; i++) {
        queue_id_t id;
        if (p->rows[i].damaged || !queue_key_id(p->rows[i].key, &id) ||
            !queue_message_decode(p->rows[i].value, id, a, &f->m[f->n]))
            continue;
        f->hit[f->n] = str_ieq(f->m[f->n].reverse_path, address);
        f->n++;
    }
    return f;
}

static bool delivery_names(const struct store_row *row, str_t address, struct arena *a)
{
    struct queue_delivery d;
    if (row->damaged || !queue_delivery_decode(row->key, row->value, a, &d))
        return false;
    for (size_t i = 0; i < d.nrcpt; i++)
        if (str_ieq(d.rcpt[i].address, address) || str_ieq(d.rcpt[i].original, address))
            return true;
    return false;
}

static bool event_names(const struct store_row *row, str_t address, struct arena *a)
{
    struct queue_event e;
    if (row->damaged || !queue_event_decode(row->key, row->value, a, &e))
        return false;
    for (size_t i = 0; i < e.nresults; i++)
        if (str_ieq(e.results[i].address, address))
            return true;
    return false;
}

static void page_mark(struct find_page *f, const struct store_row *row, str_t address,
                      struct arena *a)
{
    queue_id_t id;
    if (!queue_key_id(row->key, &id))
        return;
    size_t lo = 0, hi = f->n;
    while (lo < hi) { /* newest first: descending */
        size_t mid = (lo + hi) / 2;
        int cmp = memcmp(f->m[mid].id.b, id.b, sizeof id.b);
        if (cmp == 0) {
            f->hit[mid] = f->hit[mid] || (row->key.ptr[0] == 't' ? event_names(row, address, a)
                                                                 : delivery_names(row, address, a));
            return;
        }
        *(cmp > 0 ? &lo : &hi) = cmp > 0 ? mid + 1 : mid;
    }
}

/* Rows of one kind between the page's oldest and newest message. */
static enum store_rc page_look(struct store *s, const char *kind, struct find_page *f,
                               str_t address, struct arena *a)
{
    struct queue_walk w;
    enum store_rc rc;
    str_t newest = queue_key_prefix(kind, f->m[0].id, a);
    queue_walk_begin(&w, s, queue_key_prefix(kind, f->m[f->n - 1].id, a), 0);
    str_t end = store_prefix_end(a, newest);
    memcpy(w.end, end.ptr, end.len);
    w.scan.end.len = end.len;
    while (queue_walk_next(&w, &rc))
        for (size_t i = 0; i < w.page.n; i++)
            page_mark(f, &w.page.rows[i], address, &w.arena);
    queue_walk_end(&w);
    return rc;
}

enum store_rc queue_find(struct store *s, str_t address, size_t look_max, queue_found_fn *fn,
                         void *user, bool *cut)
{
    struct queue_walk w;
    enum store_rc rc;
    size_t looked = 0;
    bool go = true;
    *cut = false;
    queue_walk_begin(&w, s, STR("m/"), FIND_ROWS);
    w.scan.backwards = true;
    while (go && queue_walk_next(&w, &rc)) {
        struct find_page *f = page_decode(&w.page, address, &w.arena);
        if (f == NULL)
            rc = STORE_LIMIT;
        static const char *const kinds[] = {"t", "dr", "dl"};
        for (size_t k = 0; k < 3 && rc == STORE_OK && f->n > 0; k++)
            rc = page_look(s, kinds[k], f, address, &w.arena);
        if (rc != STORE_OK)
            break;
        for (size_t i = 0; i < f->n && go; i++)
            if (f->hit[i])
                go = fn(user, &f->m[i]);
        looked += w.page.n;
        if (looked >= look_max && !w.done) {
            *cut = true;
            break;
        }
    }
    queue_walk_end(&w);
    return rc;
}
