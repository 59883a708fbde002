/* watch.c: see watch.h. */
#include "store/watch.h"

#include "base/cursor.h"
#include "store/record.h"

void watches_init(struct watches *w)
{
    memset(w, 0, sizeof *w);
    must(pthread_mutex_init(&w->lock, NULL) == 0);
}

void watches_free(struct watches *w)
{
    pthread_mutex_destroy(&w->lock);
}

enum store_rc watches_add(struct watches *w, part_t part, str_t prefix, store_hint_fn *fn,
                          void *user)
{
    enum store_rc rc = STORE_LIMIT;
    pthread_mutex_lock(&w->lock);
    size_t n = atomic_load_explicit(&w->n, memory_order_relaxed);
    if (n < WATCH_MAX && prefix.len <= STORE_KEY_MAX) {
        w->v[n] = (struct watch){.part = part, .prefix_len = prefix.len, .fn = fn, .user = user};
        if (prefix.len)
            memcpy(w->v[n].prefix, prefix.ptr, prefix.len);
        atomic_store_explicit(&w->n, n + 1, memory_order_release);
        rc = STORE_OK;
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static bool same_part(part_t a, part_t b)
{
    return a.kind == b.kind && a.id == b.id;
}

static bool wants(const struct watch *v, part_t part, str_t key)
{
    return same_part(v->part, part) && str_starts(key, str_of(v->prefix, v->prefix_len));
}

static void fire(struct watches *w, part_t part, str_t key, str_t value, bool deleted)
{
    size_t n = atomic_load_explicit(&w->n, memory_order_acquire);
    if (value.len > WATCH_VALUE_MAX)
        value = STR_NONE;
    for (size_t i = 0; i < n; i++)
        if (wants(&w->v[i], part, key))
            w->v[i].fn(w->v[i].user, part, key, value, deleted);
}

static void fire_put_next(struct watches *w, const struct store_batch *b, const struct store_op *op)
{
    char key[STORE_KEY_MAX], number[8];
    record_u64_write(op->number, number);
    fire(w, b->part, op->key, str_of(number, sizeof number), false);
    if (op->prefix.len)
        memcpy(key, op->prefix.ptr, op->prefix.len);
    memcpy(key + op->prefix.len, number, sizeof number);
    fire(w, b->part, str_of(key, op->prefix.len + sizeof number), op->value, false);
}

static void fire_add(struct watches *w, const struct store_batch *b, const struct store_op *op)
{
    char number[8];
    record_u64_write(op->number, number);
    fire(w, b->part, op->key, str_of(number, sizeof number), false);
}

void watches_batch(struct watches *w, const struct store_batch *b)
{
    if (atomic_load_explicit(&w->n, memory_order_acquire) == 0)
        return;
    for (size_t i = 0; i < b->n; i++) {
        const struct store_op *op = &b->ops[i];
        switch (op->kind) {
        case STORE_PUT:
        case STORE_PUT_NEW: fire(w, b->part, op->key, op->value, false); break;
        case STORE_DELETE: fire(w, b->part, op->key, STR_NONE, true); break;
        case STORE_ADD: fire_add(w, b, op); break;
        case STORE_PUT_NEXT: fire_put_next(w, b, op); break;
        case STORE_DELETE_RANGE: /* collected in a struct hints */
        case STORE_ABSENT:
        case STORE_PRESENT:
        case STORE_EQUAL: break;
        }
    }
}

void hints_init(struct hints *h)
{
    h->lost = false;
    buf_init(&h->keys, HINTS_MAX);
}

void hints_free(struct hints *h)
{
    buf_free(&h->keys);
}

void hints_add(struct hints *h, struct watches *w, part_t part, str_t key)
{
    size_t n = atomic_load_explicit(&w->n, memory_order_acquire);
    for (size_t i = 0; i < n; i++)
        if (wants(&w->v[i], part, key)) {
            size_t before = h->keys.len;
            buf_u8(&h->keys, (uint8_t)part.kind);
            buf_u64(&h->keys, part.id);
            buf_str16(&h->keys, key);
            if (h->keys.failed) {
                h->keys.len = before;
                h->keys.failed = false;
                h->lost = true;
            }
            return;
        }
}

void hints_fire(const struct hints *h, size_t from, size_t to, struct watches *w)
{
    struct cursor c = cursor_of(str_from(str_first(buf_str(&h->keys), to), from));
    while (c.rest.len) {
        uint8_t kind = cursor_u8(&c);
        uint64_t id = cursor_u64(&c);
        str_t key = cursor_str16(&c);
        must(!c.failed);
        fire(w, (part_t){(enum part_kind)kind, id}, key, STR_NONE, true);
    }
}

void hints_end(struct hints *h, size_t from, struct watches *w)
{
    size_t n = atomic_load_explicit(&w->n, memory_order_acquire);
    for (size_t i = 0; i < n && h->lost; i++)
        w->v[i].fn(w->v[i].user, w->v[i].part, STR_NONE, STR_NONE, false);
    h->lost = false;
    hints_drop(h, from);
}

void hints_drop(struct hints *h, size_t from)
{
    h->keys.len = from;
}
