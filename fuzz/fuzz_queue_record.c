/* fuzz_queue_record.c: The records of the queue: message, delivery, event, suppressed address,
 * waiting destination; and the reason of a delivery, as it is summed up. What decodes must
 * encode, and that must decode and encode to the same again. The input: u8 length of the key, the
 * key, the value. A message has no key of its own. */
#include <stdint.h>

#include "base/buf.h"
#include "post/bounce_class.h"
#include "post/queue.h"
#include "post/queue_event.h"
#include "post/queue_group.h"
#include "post/queue_suppress.h"
#include "post/queue_wait.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 8 << 20, BUF_MAX = 1 << 20 };

static void message(str_t value, struct arena *a)
{
    struct queue_message m, n;
    queue_id_t id = {{0}};
    struct buf once, twice;
    buf_init(&once, BUF_MAX);
    buf_init(&twice, BUF_MAX);
    if (queue_message_decode(value, id, a, &m)) {
        must(queue_message_encode(&m, &once));
        must(queue_message_decode(buf_str(&once), id, a, &n));
        must(queue_message_encode(&n, &twice) && str_eq(buf_str(&once), buf_str(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void delivery(str_t key, str_t value, struct arena *a)
{
    struct queue_delivery d, e;
    struct queue_due due;
    struct buf once, twice;
    buf_init(&once, BUF_MAX);
    buf_init(&twice, BUF_MAX);
    bool has_due = queue_due_decode(key, value, &due);
    if (queue_delivery_decode(key, value, a, &d)) {
        must(has_due && due.next_ms == d.next_ms && due.n == d.n && str_eq(due.domain, d.domain));
        must(str_eq(due.via, d.via) && str_eq(due.source, d.source) && due.priority == d.priority);
        must(queue_delivery_encode(&d, &once));
        must(queue_delivery_decode(key, buf_str(&once), a, &e));
        must(queue_delivery_encode(&e, &twice) && str_eq(buf_str(&once), buf_str(&twice)));
        must(str_eq(queue_key_delivery(d.id, d.n, d.local, a), key));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void event(str_t key, str_t value, struct arena *a)
{
    struct queue_event e, f;
    struct buf once, twice;
    buf_init(&once, BUF_MAX);
    buf_init(&twice, BUF_MAX);
    if (queue_event_decode(key, value, a, &e)) {
        must(queue_event_encode(&e, &once)); /* texts may be cut by this */
        must(queue_event_decode(key, buf_str(&once), a, &f));
        must(f.nresults == e.nresults && queue_event_encode(&f, &twice) &&
             str_eq(buf_str(&once), buf_str(&twice)));
        must(str_eq(queue_event_key(&e, a), key));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void suppressed(str_t key, str_t value)
{
    struct queue_suppressed s, t;
    struct buf once;
    buf_init(&once, BUF_MAX);
    if (queue_suppressed_decode(key, value, &s)) {
        must(queue_suppressed_encode(&s, &once));
        must(queue_suppressed_decode(key, buf_str(&once), &t));
        must(t.since_ms == s.since_ms && t.count == s.count && str_eq(t.address, s.address));
    }
    buf_free(&once);
}

static void waits(str_t key, str_t value)
{
    struct queue_wait w, v;
    struct buf once;
    buf_init(&once, BUF_MAX);
    if (queue_wait_decode(key, value, &w)) {
        must(queue_wait_encode(&w, &once));
        must(queue_wait_decode(key, buf_str(&once), &v));
        must(v.until_ms == w.until_ms && str_eq(v.domain, w.domain));
    }
    buf_free(&once);
}

/* What is the same for many stays the same when it is summed up again, and is of the same kind. */
static void reason(str_t text, struct arena *a)
{
    must(bounce_class_reason(text) < BOUNCE_CLASSES);
    str_t common = queue_reason_common(text, a);
    must(common.len <= text.len);
    for (size_t i = 0; i < common.len; i++)
        must(!ascii_digit(common.ptr[i]) || i < 13);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size == 0 || (size_t)data[0] + 1 > size)
        return 0;
    str_t key = str_of((const char *)data + 1, data[0]),
          value = str_of((const char *)data + 1 + data[0], size - 1 - data[0]);
    arena_init(&a, ARENA_MAX);
    message(value, &a);
    delivery(key, value, &a);
    event(key, value, &a);
    suppressed(key, value);
    waits(key, value);
    reason(value, &a);
    str_t address = queue_key_suppressed(value, &a);
    must(address.len <= STORE_KEY_MAX);
    arena_free(&a);
    return 0;
}
