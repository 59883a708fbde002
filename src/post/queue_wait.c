/* queue_wait.c: see queue_wait.h. */
#include "post/queue_wait.h"

#include "base/cursor.h"

enum { VERSION = 1, DOMAIN_KEPT = 255 };

str_t queue_key_wait(str_t domain, struct arena *a)
{
    return arena_fmt(a, "b/" STR_FMT, STR_ARG(str_first(domain, DOMAIN_KEPT)));
}

bool queue_wait_encode(const struct queue_wait *w, struct buf *out)
{
    buf_u8(out, VERSION);
    buf_u64(out, (uint64_t)w->until_ms);
    buf_str16(out, str_first(w->site, DOMAIN_KEPT));
    buf_str16(out, str_first(w->reason, QUEUE_TEXT_MAX));
    return !out->failed;
}

bool queue_wait_decode(str_t key, str_t value, struct queue_wait *out)
{
    struct cursor c = cursor_of(value);
    if (!str_starts(key, STR("b/")) || cursor_u8(&c) != VERSION)
        return false;
    out->domain = str_from(key, 2);
    out->until_ms = (int64_t)cursor_u64(&c);
    out->site = cursor_str16(&c);
    out->reason = cursor_str16(&c);
    return cursor_end(&c);
}

enum store_rc queue_wait_read(struct env *env, str_t domain, struct arena *a, bool *found,
                              struct queue_wait *out)
{
    str_t key = queue_key_wait(domain, a), value;
    enum store_rc rc = store_get1(env->store, QUEUE_PART, key, a, found, &value);
    *found = rc == STORE_OK && *found && queue_wait_decode(key, value, out) &&
             out->until_ms > env->wall_ms(env);
    return rc == STORE_DAMAGED ? STORE_OK : rc;
}
