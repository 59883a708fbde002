/* directory_account.c: accounts by address and one after the other, and what is left of removed
 * ones. See directory.h. */
#include "post/directory_row.h"

enum {
    /* the largest row, an alias with all its targets, and its decoding */
    ACCOUNT_ARENA = 512 * 1024
};

static enum store_rc find(struct store *s, const struct directory_address *address, struct arena *a,
                          uint64_t *id)
{
    bool present;
    str_t value;
    struct directory_entry e = {0};
    str_t key = directory_key_address(address->domain, address->local, a);
    enum store_rc rc =
        a->failed ? STORE_LIMIT : store_get1(s, DIRECTORY_PART, key, a, &present, &value);
    if (rc == STORE_OK && present && !directory_entry_decode(value, a, &e))
        return STORE_DAMAGED;
    *id = e.kind == DIRECTORY_LIST ? 0 : e.account;
    return rc;
}

enum store_rc directory_account_find(struct store *s, str_t address, uint64_t *id)
{
    struct arena a;
    struct directory_address parsed;
    *id = 0;
    arena_init(&a, ACCOUNT_ARENA);
    enum store_rc rc = STORE_OK;
    if (directory_address_parse(address, &a, &parsed))
        rc = find(s, &parsed, &a, id);
    arena_free(&a);
    return rc;
}

/* The id in the first key prefix || id from `from` on; 0: none. */
static enum store_rc next_id(struct store *s, str_t prefix, str_t from, struct arena *a,
                             uint64_t *id)
{
    struct store_page page;
    struct store_scan scan = {.part = DIRECTORY_PART,
                              .from = from,
                              .end = store_prefix_end(a, prefix),
                              .keys_only = true,
                              .rows_max = 1};
    enum store_rc rc = a->failed ? STORE_LIMIT : store_scan(s, &scan, a, &page);
    if (rc == STORE_OK && page.n == 1 &&
        !directory_u64_decode(str_from(page.rows[0].key, prefix.len), id))
        return STORE_DAMAGED;
    return rc;
}

enum store_rc directory_account_next(struct store *s, uint64_t after, uint64_t *id)
{
    struct arena a;
    *id = 0;
    if (after == UINT64_MAX)
        return STORE_OK;
    arena_init(&a, ACCOUNT_ARENA);
    str_t from = directory_key_account(after + 1, &a);
    enum store_rc rc = next_id(s, DIRECTORY_PREFIX_ACCT, from, &a, id);
    arena_free(&a);
    return rc;
}

enum store_rc directory_gone_next(struct store *s, uint64_t *id)
{
    struct arena a;
    *id = 0;
    arena_init(&a, ACCOUNT_ARENA);
    enum store_rc rc = next_id(s, DIRECTORY_PREFIX_GONE, DIRECTORY_PREFIX_GONE, &a, id);
    arena_free(&a);
    return rc;
}

enum store_rc directory_gone_forget(struct store *s, uint64_t id)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, ACCOUNT_ARENA);
    store_batch_init(&b, DIRECTORY_PART, &a);
    store_delete(&b, directory_key_gone(id, &a));
    enum store_rc rc = a.failed ? STORE_LIMIT : store_commit(s, &b);
    arena_free(&a);
    return rc;
}
