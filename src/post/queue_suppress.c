/* queue_suppress.c: see queue_suppress.h. */
#include "post/queue_suppress.h"

#include "base/cursor.h"
#include "mail/domain.h"
#include "post/queue_walk.h"

enum { VERSION = 1, PAGE_ROWS = 500 };

str_t queue_key_suppressed(str_t address, struct arena *a)
{
    size_t at;
    str_t domain;
    if (!str_rfind(address, '@', &at) || address.len > QUEUE_PATH_MAX ||
        !domain_to_ascii(str_from(address, at + 1), a, &domain))
        return STR_NONE;
    str_t key =
        arena_fmt(a, "s/" STR_FMT "@" STR_FMT, STR_ARG(str_first(address, at)), STR_ARG(domain));
    if (key.len == 0 || key.len > STORE_KEY_MAX)
        return STR_NONE;
    str_lower((char *)(uintptr_t)key.ptr, key.len);
    return key;
}

bool queue_suppressed_encode(const struct queue_suppressed *s, struct buf *out)
{
    buf_u8(out, VERSION);
    buf_u64(out, (uint64_t)s->since_ms);
    buf_u64(out, (uint64_t)s->last_ms);
    buf_u32(out, s->count);
    buf_str16(out, str_first(s->reason, QUEUE_TEXT_MAX));
    return !out->failed;
}

bool queue_suppressed_decode(str_t key, str_t value, struct queue_suppressed *out)
{
    struct cursor c = cursor_of(value);
    if (!str_starts(key, STR("s/")) || cursor_u8(&c) != VERSION)
        return false;
    out->address = str_from(key, 2);
    out->since_ms = (int64_t)cursor_u64(&c);
    out->last_ms = (int64_t)cursor_u64(&c);
    out->count = cursor_u32(&c);
    out->reason = cursor_str16(&c);
    return cursor_end(&c);
}

enum store_rc queue_suppressed_list(struct store *s, queue_suppressed_fn *fn, void *user)
{
    struct queue_walk w;
    enum store_rc rc;
    bool go = true;
    queue_walk_begin(&w, s, STR("s/"), PAGE_ROWS);
    while (go && queue_walk_next(&w, &rc)) {
        for (size_t i = 0; i < w.page.n && go; i++) {
            struct queue_suppressed row;
            if (!w.page.rows[i].damaged &&
                queue_suppressed_decode(w.page.rows[i].key, w.page.rows[i].value, &row))
                go = fn(user, &row);
        }
    }
    queue_walk_end(&w);
    return rc;
}

enum store_rc queue_suppressed_remove(struct store *s, str_t address, bool *removed)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, STORE_VALUE_MAX);
    *removed = false;
    str_t key = queue_key_suppressed(address, &a);
    enum store_rc rc = STORE_OK;
    if (key.len > 0) {
        store_batch_init(&b, QUEUE_PART, &a);
        store_require_present(&b, key);
        store_delete(&b, key);
        rc = store_commit(s, &b);
        *removed = rc == STORE_OK;
    }
    arena_free(&a);
    return rc == STORE_CONFLICT ? STORE_OK : rc;
}

enum store_rc queue_suppressed_clear(struct store *s)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, STORE_VALUE_MAX);
    store_batch_init(&b, QUEUE_PART, &a);
    store_delete_range(&b, STR("s/"), STR("s0"));
    enum store_rc rc = store_commit(s, &b);
    arena_free(&a);
    return rc;
}
