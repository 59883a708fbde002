/* apply.c: two passes over the ops: all preconditions against the state before, then the changes in
 * order. */
#include "store/apply.h"

static enum store_rc check_op(struct apply_tx *tx, part_t part, const struct store_op *op)
{
    char room[RECORD_KEY_MAX];
    str_t value = STR_NONE;
    bool present = false, equal = op->kind == STORE_EQUAL;
    enum store_rc rc =
        tx->get(tx, record_key(part, op->key, room), &present, equal ? &value : NULL);
    if (rc != STORE_OK)
        return rc;
    bool holds =
        equal ? present && str_eq(value, op->value) : present == (op->kind == STORE_PRESENT);
    return holds ? STORE_OK : STORE_CONFLICT;
}

static bool is_check(enum store_op_kind kind)
{
    return kind == STORE_ABSENT || kind == STORE_PRESENT || kind == STORE_EQUAL ||
           kind == STORE_PUT_NEW;
}

/* The counter's value plus delta; STORE_LIMIT if it wraps or is no counter. */
static enum store_rc count(struct apply_tx *tx, str_t raw, int64_t delta, uint64_t *number)
{
    str_t value = STR_NONE;
    bool present = false;
    enum store_rc rc = tx->get(tx, raw, &present, &value);
    if (rc != STORE_OK)
        return rc;
    uint64_t old = 0;
    if (present && !record_u64_read(value, &old))
        return STORE_LIMIT;
    bool wraps = delta >= 0 ? __builtin_add_overflow(old, (uint64_t)delta, number)
                            : __builtin_sub_overflow(old, 0 - (uint64_t)delta, number);
    return wraps ? STORE_LIMIT : STORE_OK;
}

static enum store_rc add(struct apply_tx *tx, part_t part, struct store_op *op, int64_t delta,
                         char number[static 8])
{
    char room[RECORD_KEY_MAX];
    str_t raw = record_key(part, op->key, room);
    enum store_rc rc = count(tx, raw, delta, &op->number);
    if (rc != STORE_OK)
        return rc;
    record_u64_write(op->number, number);
    return tx->put(tx, raw, str_of(number, 8));
}

static enum store_rc put_next(struct apply_tx *tx, part_t part, struct store_op *op)
{
    char number[8], key[STORE_KEY_MAX], room[RECORD_KEY_MAX];
    enum store_rc rc = add(tx, part, op, 1, number);
    if (rc != STORE_OK)
        return rc;
    if (op->prefix.len)
        memcpy(key, op->prefix.ptr, op->prefix.len);
    memcpy(key + op->prefix.len, number, sizeof number);
    return tx->put(tx, record_key(part, str_of(key, op->prefix.len + sizeof number), room),
                   op->value);
}

static enum store_rc change(struct apply_tx *tx, part_t part, struct store_op *op)
{
    char room[RECORD_KEY_MAX], end[RECORD_KEY_MAX], number[8];
    switch (op->kind) {
    case STORE_PUT:
    case STORE_PUT_NEW: return tx->put(tx, record_key(part, op->key, room), op->value);
    case STORE_DELETE: return tx->del(tx, record_key(part, op->key, room));
    case STORE_DELETE_RANGE:
        return tx->del_range(tx, part, record_key(part, op->key, room),
                             record_end(part, op->value, end));
    case STORE_ADD: return add(tx, part, op, op->delta, number);
    case STORE_PUT_NEXT: return put_next(tx, part, op);
    case STORE_ABSENT:
    case STORE_PRESENT:
    case STORE_EQUAL: break;
    }
    return STORE_OK;
}

enum store_rc apply_batch(struct apply_tx *tx, struct store_batch *b, size_t *failed, bool *dirty)
{
    *dirty = false;
    for (size_t i = 0; i < b->n; i++) {
        if (!is_check(b->ops[i].kind))
            continue;
        enum store_rc rc = check_op(tx, b->part, &b->ops[i]);
        if (rc != STORE_OK) {
            *failed = i;
            return rc;
        }
    }
    bool changed = false;
    for (size_t i = 0; i < b->n; i++) {
        enum store_rc rc = change(tx, b->part, &b->ops[i]);
        if (rc != STORE_OK) {
            *failed = i;
            /* A counter that could not be read or would wrap has changed nothing itself; a failed
             * write may have. */
            *dirty = changed || (rc != STORE_LIMIT && rc != STORE_DAMAGED);
            return rc;
        }
        changed = changed || (b->ops[i].kind != STORE_ABSENT && b->ops[i].kind != STORE_PRESENT &&
                              b->ops[i].kind != STORE_EQUAL);
    }
    return STORE_OK;
}

bool apply_only_deletes(const struct store_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->ops[i].kind != STORE_DELETE && b->ops[i].kind != STORE_DELETE_RANGE &&
            b->ops[i].kind != STORE_ABSENT && b->ops[i].kind != STORE_PRESENT &&
            b->ops[i].kind != STORE_EQUAL)
            return false;
    return true;
}
