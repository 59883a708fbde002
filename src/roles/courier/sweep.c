/* sweep.c: the sweeper of the queue: content that nothing needs, and stories that are old enough.
 * Piece by piece: a page of keys a step, so that it is never in the way for long.
 *
 *     c/ID without dl/ID, dr/ID     and m/ID: its last delivery ended and the content was left
 *                                   behind: the chunks go no m/ID: begun and never finished: chunks
 *                                   and stray deliveries go, if m/ID is absent still
 *     m/ID without dl/ID, dr/ID     and nothing happened for trace_days: m/ID and t/ID go
 *
 * What is young by its id is not looked at; ids are in the order of time, so each walk ends at the
 * first young one. Safety does not hang on clocks: a delivery row never comes back once it is gone,
 * and whoever finishes a message requires its chunks (queue_in.c). */
#include <stdlib.h>

#include "post/queue_event.h"
#include "roles/courier/courier.h"

enum {
    STEP_ROWS = 2000,    /* keys in one page of the walk */
    IDS_PER_BATCH = 100, /* range deletes in one batch */
    SWEEP_ARENA_MAX = 16 << 20,
};

struct seen { /* one message of the window */
    queue_id_t id;
    bool delivery, message;
    int64_t last_ms; /* its last event, or 0 */
};

struct window {
    struct carrier *c;
    struct arena arena;
    struct seen *v;
    size_t n;
};

static struct seen *seen_find(struct window *w, queue_id_t id)
{
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int cmp = memcmp(w->v[mid].id.b, id.b, sizeof id.b);
        if (cmp == 0)
            return &w->v[mid];
        *(cmp < 0 ? &lo : &hi) = cmp < 0 ? mid + 1 : mid;
    }
    return NULL;
}

static void mark(struct window *w, const char *kind, str_t key)
{
    queue_id_t id;
    struct seen *s = queue_key_id(key, &id) ? seen_find(w, id) : NULL;
    if (s == NULL)
        return;
    if (kind[0] == 'm')
        s->message = true;
    else if (kind[0] == 'd')
        s->delivery = true;
    /* not ours to judge: keep */
    else if (!queue_event_key_time(key, &s->last_ms))
        s->last_ms = INT64_MAX;
}

/* Looks at all keys of that kind for the window's ids. */
static enum store_rc look(struct window *w, const char *kind)
{
    struct arena a;
    arena_init(&a, SWEEP_ARENA_MAX);
    char from[STORE_KEY_MAX + 1];
    str_t first = queue_key_prefix(kind, w->v[0].id, &w->arena);
    str_t last = queue_key_prefix(kind, w->v[w->n - 1].id, &w->arena);
    struct store_scan q = {.part = QUEUE_PART, .keys_only = true};
    if (kind[0] == 'm') { /* m/ID has nothing after the id */
        first.len--;
    }
    q.from = first;
    q.end = store_prefix_end(&w->arena, last);
    struct store_page page;
    enum store_rc rc = w->arena.failed ? STORE_LIMIT : STORE_OK;
    while (rc == STORE_OK && (rc = store_scan(w->c->env->store, &q, &a, &page)) == STORE_OK) {
        for (size_t i = 0; i < page.n; i++)
            mark(w, kind, page.rows[i].key);
        if (!page.more || page.n == 0)
            break;
        str_t k = page.rows[page.n - 1].key;
        memcpy(from, k.ptr, k.len);
        from[k.len] = 0;
        q.from = str_of(from, k.len + 1);
        arena_reset(&a);
    }
    arena_free(&a);
    return rc;
}

/* ---- removing ---- */

static void range_delete(struct store_batch *b, const char *kind, queue_id_t id, struct arena *a)
{
    str_t prefix = queue_key_prefix(kind, id, a);
    store_delete_range(b, prefix, store_prefix_end(a, prefix));
}

static void batch_begin(struct window *w, struct store_batch *b)
{
    store_batch_init(b, QUEUE_PART, &w->arena);
    store_require_lease(b, &w->c->lease);
}

/* Never finished. If it is finished just now, one of the two batches fails: this one, or that. */
static enum store_rc remove_abandoned(struct window *w, queue_id_t id)
{
    struct store_batch b;
    batch_begin(w, &b);
    store_require_absent(&b, queue_key_message(id, &w->arena));
    range_delete(&b, "c", id, &w->arena);
    range_delete(&b, "dr", id, &w->arena);
    range_delete(&b, "dl", id, &w->arena);
    enum store_rc rc = store_commit(w->c->env->store, &b);
    return rc == STORE_CONFLICT ? STORE_OK : rc;
}

static enum store_rc remove_finished(struct window *w, bool story, int64_t story_before_ms)
{
    struct store_batch b;
    enum store_rc rc = STORE_OK;
    size_t in_batch = 0;
    batch_begin(w, &b);
    for (size_t i = 0; i < w->n && rc == STORE_OK; i++) {
        struct seen *s = &w->v[i];
        if (s->delivery || !s->message || (story && s->last_ms >= story_before_ms))
            continue;
        range_delete(&b, "c", s->id, &w->arena);
        if (story) {
            range_delete(&b, "t", s->id, &w->arena);
            store_delete(&b, queue_key_message(s->id, &w->arena));
        }
        if (++in_batch == IDS_PER_BATCH) {
            rc = store_commit(w->c->env->store, &b);
            batch_begin(w, &b);
            in_batch = 0;
        }
    }
    return rc == STORE_OK && in_batch > 0 ? store_commit(w->c->env->store, &b) : rc;
}

static enum store_rc sweep_content(struct window *w)
{
    /* m first: a message that is finished between two looks has no deliveries in the earlier ones
     * and must not count as one whose deliveries have ended. dl before dr: a delivery turns from dl
     * into dr, never back. */
    enum store_rc rc = look(w, "m");
    if (rc == STORE_OK)
        rc = look(w, "dl");
    if (rc == STORE_OK)
        rc = look(w, "dr");
    for (size_t i = 0; i < w->n && rc == STORE_OK; i++)
        if (!w->v[i].message)
            rc = remove_abandoned(w, w->v[i].id);
    return rc == STORE_OK ? remove_finished(w, false, 0) : rc;
}

static enum store_rc sweep_stories(struct window *w, int64_t before_ms)
{
    for (size_t i = 0; i < w->n; i++)
        w->v[i].message = true;
    enum store_rc rc = look(w, "dl");
    if (rc == STORE_OK)
        rc = look(w, "dr");
    if (rc == STORE_OK)
        rc = look(w, "t");
    return rc == STORE_OK ? remove_finished(w, true, before_ms) : rc;
}

/* ---- the walk ---- */

/* The next ids older than `before_ms`. *end: there are no more after these. */
static enum store_rc window_read(struct window *w, struct sweep *s, int64_t before_ms, bool *end)
{
    const char *kind = s->messages ? "m/" : "c/";
    char from[16];
    size_t len = 2;
    memcpy(from, kind, 2);
    if (s->started) {
        memcpy(from + 2, s->at, sizeof(queue_id_t));
        /* after every key of that id: '/' is below */
        memset(from + 2 + sizeof(queue_id_t), 0xff, 1);
        len += sizeof(queue_id_t) + 1;
    }
    struct store_scan q = {.part = QUEUE_PART,
                           .keys_only = true,
                           .rows_max = STEP_ROWS,
                           .from = str_of(from, len),
                           .end = s->messages ? STR("m0") : STR("c0")};
    struct store_page page;
    enum store_rc rc = store_scan(w->c->env->store, &q, &w->arena, &page);
    if (rc != STORE_OK)
        return rc;
    *end = !page.more;
    w->v = arena_array(&w->arena, page.n, sizeof *w->v);
    if (w->v == NULL)
        return STORE_LIMIT;
    for (size_t i = 0; i < page.n; i++) {
        queue_id_t id;
        if (!queue_key_id(page.rows[i].key, &id))
            continue;
        if (queue_id_ms(id) >= before_ms) {
            *end = true;
            break;
        }
        if (w->n == 0 || !queue_id_eq(w->v[w->n - 1].id, id))
            w->v[w->n++] = (struct seen){.id = id};
    }
    return STORE_OK;
}

static bool walk_ended(struct courier *c)
{
    struct sweep *s = &c->sweep;
    s->started = false;
    s->messages = !s->messages;
    if (s->messages)
        return true;
    s->next_ms = c->carrier.env->mono_ms(c->carrier.env) + SWEEP_ROUND_MS;
    return false;
}

bool sweep_step(struct courier *c)
{
    struct window w = {.c = &c->carrier};
    struct sweep *s = &c->sweep;
    int64_t now = c->carrier.env->wall_ms(c->carrier.env);
    int64_t before = s->messages ? now - (int64_t)c->carrier.set->trace_days * 86400000
                                 : now - SWEEP_ABANDONED_MS;
    bool end = true;
    arena_init(&w.arena, SWEEP_ARENA_MAX);
    enum store_rc rc = window_read(&w, s, before, &end);
    if (rc == STORE_OK && w.n > 0)
        rc = s->messages ? sweep_stories(&w, before) : sweep_content(&w);
    if (rc == STORE_OK && w.n > 0) {
        memcpy(s->at, w.v[w.n - 1].id.b, sizeof(queue_id_t));
        s->started = true;
    }
    arena_free(&w.arena);
    if (rc != STORE_OK)
        return false;
    return end ? walk_ended(c) : true;
}
