/* store.c: what every implementation shares: the batch builder, limits checked in one place, the
 * blocking commit, leases. */
#include "store/store.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/blocking.h"
#include "store/record.h"

const char *store_rc_name(enum store_rc rc)
{
    switch (rc) {
    case STORE_OK: return "ok";
    case STORE_CONFLICT: return "conflict";
    case STORE_DENIED: return "denied";
    case STORE_LIMIT: return "limit";
    case STORE_FULL: return "full";
    case STORE_STOPPED: return "stopped";
    case STORE_DAMAGED: return "damaged";
    case STORE_EXPIRED: return "expired";
    case STORE_DOWN: return "down";
    case STORE_UNKNOWN: return "unknown";
    }
    return "invalid";
}

/* ---- batches ---- */

void store_batch_init(struct store_batch *b, part_t part, struct arena *a)
{
    *b = (struct store_batch){.part = part, .arena = a};
}

#define BATCH_FIRST_OPS 8 /* ops allocated at first: most batches have fewer */

static bool batch_grow(struct store_batch *b)
{
    size_t cap = b->cap ? b->cap * 2 : BATCH_FIRST_OPS;
    struct store_op *ops = arena_array(b->arena, cap, sizeof *ops);
    if (!ops)
        return false;
    if (b->n)
        memcpy(ops, b->ops, b->n * sizeof *ops);
    b->ops = ops;
    b->cap = cap;
    return true;
}

static size_t batch_add(struct store_batch *b, struct store_op op)
{
    if (b->failed || b->n == STORE_BATCH_OPS || (b->n == b->cap && !batch_grow(b))) {
        b->failed = true;
        return 0;
    }
    b->bytes += op.key.len + op.value.len + op.prefix.len;
    b->ops[b->n] = op;
    return b->n++;
}

void store_require_absent(struct store_batch *b, str_t key)
{
    batch_add(b, (struct store_op){.kind = STORE_ABSENT, .key = key});
}

void store_require_present(struct store_batch *b, str_t key)
{
    batch_add(b, (struct store_op){.kind = STORE_PRESENT, .key = key});
}

void store_require_equal(struct store_batch *b, str_t key, str_t value)
{
    batch_add(b, (struct store_op){.kind = STORE_EQUAL, .key = key, .value = value});
}

void store_put(struct store_batch *b, str_t key, str_t value)
{
    batch_add(b, (struct store_op){.kind = STORE_PUT, .key = key, .value = value});
}

void store_put_new(struct store_batch *b, str_t key, str_t value)
{
    batch_add(b, (struct store_op){.kind = STORE_PUT_NEW, .key = key, .value = value});
}

void store_delete(struct store_batch *b, str_t key)
{
    batch_add(b, (struct store_op){.kind = STORE_DELETE, .key = key});
}

void store_delete_range(struct store_batch *b, str_t from, str_t end)
{
    batch_add(b, (struct store_op){.kind = STORE_DELETE_RANGE, .key = from, .value = end});
}

size_t store_add(struct store_batch *b, str_t key, int64_t delta)
{
    return batch_add(b, (struct store_op){.kind = STORE_ADD, .key = key, .delta = delta});
}

size_t store_put_next(struct store_batch *b, str_t counter, str_t prefix, str_t value)
{
    return batch_add(b,
                     (struct store_op){
                         .kind = STORE_PUT_NEXT, .key = counter, .prefix = prefix, .value = value});
}

static bool key_valid(str_t key)
{
    return key.len >= 1 && key.len <= STORE_KEY_MAX;
}

static bool op_valid(const struct store_op *op)
{
    switch (op->kind) {
    case STORE_ABSENT:
    case STORE_PRESENT:
    case STORE_DELETE:
    case STORE_ADD: return key_valid(op->key);
    case STORE_EQUAL:
    case STORE_PUT:
    case STORE_PUT_NEW: return key_valid(op->key) && op->value.len <= STORE_VALUE_MAX;
    case STORE_DELETE_RANGE: return op->key.len <= STORE_KEY_MAX && op->value.len <= STORE_KEY_MAX;
    case STORE_PUT_NEXT:
        return key_valid(op->key) && op->prefix.len + 8 <= STORE_KEY_MAX &&
               op->value.len <= STORE_VALUE_MAX;
    }
    return false; /* a kind that does not exist, from another process */
}

bool store_batch_valid(const struct store_batch *b)
{
    if (b->failed || b->n > STORE_BATCH_OPS || !record_part_valid(b->part))
        return false;
    size_t bytes = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct store_op *op = &b->ops[i];
        if (!op_valid(op))
            return false;
        bytes += op->key.len + op->value.len + op->prefix.len;
    }
    return bytes <= STORE_BATCH_MAX;
}

/* ---- commits ---- */

void store_submit(struct store *s, struct store_commit *c)
{
    c->failed_op = 0;
    if (store_batch_valid(c->batch)) {
        s->ops->submit(s, c);
        return;
    }
    c->rc = STORE_LIMIT;
    c->done(c);
}

struct waiter {
    struct store_commit commit;
    _Atomic uint32_t done;
};

static void waiter_done(struct store_commit *c)
{
    struct waiter *w = c->user;
    /* From the store on, *w may be gone: the wake may then reach nobody, which is harmless. */
    atomic_store_explicit(&w->done, 1, memory_order_release);
    syscall(SYS_futex, &w->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

enum store_rc store_commit(struct store *s, struct store_batch *b)
{
    struct waiter w = {.commit = {.batch = b, .done = waiter_done}};
    w.commit.user = &w;
    store_submit(s, &w.commit);
    if (!atomic_load_explicit(&w.done, memory_order_acquire)) {
        blocking_begin();
        while (!atomic_load_explicit(&w.done, memory_order_acquire))
            syscall(SYS_futex, &w.done, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        blocking_end();
    }
    return w.commit.rc;
}

/* ---- reads ---- */

enum store_rc store_get(struct store *s, part_t part, const str_t *keys, size_t n, struct arena *a,
                        struct store_value *out)
{
    if (!record_part_valid(part))
        return STORE_LIMIT;
    for (size_t i = 0; i < n; i++)
        if (!key_valid(keys[i]))
            return STORE_LIMIT;
    return s->ops->get(s, part, keys, n, a, out);
}

enum store_rc store_get1(struct store *s, part_t part, str_t key, struct arena *a, bool *present,
                         str_t *value)
{
    struct store_value v = {0};
    *present = false;
    *value = STR_NONE;
    enum store_rc rc = store_get(s, part, &key, 1, a, &v);
    if (rc != STORE_OK)
        return rc;
    *present = v.present;
    *value = v.value;
    return v.rc;
}

enum store_rc store_scan(struct store *s, const struct store_scan *q, struct arena *a,
                         struct store_page *out)
{
    *out = (struct store_page){0};
    if (!record_part_valid(q->part) || q->from.len > STORE_KEY_MAX || q->end.len > STORE_KEY_MAX)
        return STORE_LIMIT;
    return s->ops->scan(s, q, a, out);
}

enum store_rc store_snapshot_open(struct store *s, part_t part, uint64_t *id)
{
    return record_part_valid(part) ? s->ops->snapshot_open(s, part, id) : STORE_LIMIT;
}

void store_snapshot_close(struct store *s, uint64_t id)
{
    s->ops->snapshot_close(s, id);
}

enum store_rc store_watch(struct store *s, part_t part, str_t prefix, store_hint_fn *fn, void *user)
{
    if (!record_part_valid(part) || prefix.len > STORE_KEY_MAX)
        return STORE_LIMIT;
    return s->ops->watch(s, part, prefix, fn, user);
}

const struct store_board *store_board(struct store *s)
{
    return s->ops->board(s);
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

str_t store_prefix_end(struct arena *a, str_t prefix)
{
    while (prefix.len && (unsigned char)prefix.ptr[prefix.len - 1] == 0xff)
        prefix.len--;
    if (prefix.len == 0)
        return STR_NONE;
    char *end = arena_alloc(a, prefix.len);
    if (!end)
        return STR_NONE;
    memcpy(end, prefix.ptr, prefix.len);
    end[prefix.len - 1] = (char)((unsigned char)end[prefix.len - 1] + 1);
    return str_of(end, prefix.len);
}

/* ---- leases ---- */

enum store_rc store_lease_take(struct store *s, part_t part, str_t key, struct store_lease *out)
{
    struct arena a;
    arena_init(&a, 4096);
    struct store_batch b;
    store_batch_init(&b, part, &a);
    size_t at = store_add(&b, key, 1);
    enum store_rc rc = store_commit(s, &b);
    *out = (struct store_lease){.part = part, .key = key};
    if (rc == STORE_OK)
        record_u64_write(b.ops[at].number, out->epoch);
    arena_free(&a);
    return rc;
}

void store_require_lease(struct store_batch *b, const struct store_lease *l)
{
    store_require_equal(b, l->key, str_of(l->epoch, sizeof l->epoch));
}
