/* mailbox_purge.c: the end of an account's mail. See mailbox.h.
 *
 * First the door is shut: one batch takes all folders away and puts the row that keeps new ones
 * from being made. Whoever delivers requires a folder, so every batch after this one finds nobody
 * writing here. Then the rows go, a page of keys a batch. */
#include "post/mailbox_row.h"

enum {
    PURGE_ROWS = 1024, /* in one batch, so that none holds up the writer of all for long */
    PURGE_ARENA = 1 << 20,
};

static enum store_rc shut(struct store *s, part_t part, struct arena *a)
{
    struct store_batch b;
    store_batch_init(&b, part, a);
    store_delete_range(&b, STR("f/"), STR("f0"));
    store_put(&b, MAILBOX_KEY_CLOSED, STR("1"));
    return store_commit(s, &b);
}

/* One page. *more: there was one. */
static enum store_rc remove_page(struct store *s, const struct store_scan *q, struct arena *a,
                                 bool *more)
{
    struct store_page page;
    struct store_batch b;
    enum store_rc rc = store_scan(s, q, a, &page);
    *more = rc == STORE_OK && page.n > 0;
    if (!*more)
        return rc;
    str_t last = page.rows[page.n - 1].key;
    char *after = arena_cstr(a, last); /* with a NUL behind it: the first key above */
    if (after == NULL)
        return STORE_LIMIT;
    store_batch_init(&b, q->part, a);
    store_delete_range(&b, page.rows[0].key, str_of(after, last.len + 1));
    return store_commit(s, &b);
}

static enum store_rc remove_all(struct store *s, part_t part, str_t from, str_t end,
                                struct arena *a)
{
    struct store_scan q = {
        .part = part, .from = from, .end = end, .keys_only = true, .rows_max = PURGE_ROWS};
    enum store_rc rc = STORE_OK;
    for (bool more = true; rc == STORE_OK && more;) {
        arena_reset(a);
        rc = remove_page(s, &q, a, &more);
    }
    return rc;
}

enum store_rc mailbox_purge(struct store *s, uint64_t account)
{
    part_t part = MAILBOX_PART(account);
    struct arena a;
    arena_init(&a, PURGE_ARENA);
    enum store_rc rc = shut(s, part, &a);
    if (rc == STORE_OK)
        rc = remove_all(s, part, STR_NONE, STR("f/"), &a);
    if (rc == STORE_OK)
        rc = remove_all(s, part, STR("f0"), STR_NONE, &a);
    arena_free(&a);
    return rc;
}
