/* mailbox.c: reading and removing mail. See mailbox.h. */
#include "post/mailbox.h"

#include "post/mailbox_row.h"

enum {
    LIST_MAX = 1000000, /* messages listed at once: 56 MB. More: STORE_LIMIT */
    LIST_PAGE_ROWS = 4096,
    PAGE_ARENA = 4 << 20,  /* one page of rows */
    REMOVE_MESSAGES = 128, /* in one batch: two ops each, well under STORE_BATCH_OPS */
    REMOVE_CHUNKS = 4096,  /* in one batch, so that none holds up the writer of all for long */
    REMOVE_ARENA = 128 * 1024,
};
_Static_assert(2 * REMOVE_MESSAGES <= STORE_BATCH_OPS, "a batch of removals is within the limits");

static bool list_add(struct buf *list, const struct store_row *row)
{
    struct mailbox_message m;
    if (row->damaged || !mailbox_message_decode(row->key, row->value, &m)) {
        m = (struct mailbox_message){.damaged = true};
        if (!mailbox_message_uid(row->key, &m.uid))
            return true; /* no key of ours */
    }
    return buf_add(list, str_of(&m, sizeof m));
}

enum store_rc mailbox_list(struct store *s, uint64_t account, uint32_t folder, struct arena *a,
                           struct mailbox_message **out, size_t *n)
{
    struct arena page_arena;
    struct buf list, from;
    arena_init(&page_arena, PAGE_ARENA);
    buf_init(&list, LIST_MAX * sizeof(struct mailbox_message));
    buf_init(&from, STORE_KEY_MAX + 1);
    buf_add(&from, mailbox_prefix_messages(folder, &page_arena));
    enum store_rc rc = STORE_OK;
    struct store_page page = {.more = true};
    while (rc == STORE_OK && page.more) {
        arena_reset(&page_arena);
        struct store_scan scan = {
            .part = MAILBOX_PART(account),
            .from = buf_str(&from),
            .end = store_prefix_end(&page_arena, mailbox_prefix_messages(folder, &page_arena)),
            .rows_max = LIST_PAGE_ROWS};
        rc = store_scan(s, &scan, &page_arena, &page);
        for (size_t i = 0; rc == STORE_OK && i < page.n; i++)
            if (!list_add(&list, &page.rows[i]))
                rc = STORE_LIMIT;
        if (rc == STORE_OK && page.n > 0) {
            buf_clear(&from);
            buf_add(&from, page.rows[page.n - 1].key);
            buf_addc(&from, '\0');
        }
    }
    *n = list.len / sizeof **out;
    *out = rc == STORE_OK && *n > 0 ? arena_array(a, *n, sizeof **out) : NULL;
    if (*out != NULL)
        memcpy(*out, list.ptr, list.len);
    else if (rc == STORE_OK && *n > 0)
        rc = STORE_LIMIT;
    buf_free(&from);
    buf_free(&list);
    arena_free(&page_arena);
    return rc;
}

enum store_rc mailbox_chunk(struct store *s, uint64_t account, const struct mailbox_message *m,
                            uint32_t k, struct arena *a, str_t *out)
{
    *out = STR_NONE;
    if (m->damaged || k >= m->chunks)
        return STORE_DAMAGED;
    bool present;
    str_t key = mailbox_key_chunk(m->content, k, a);
    if (a->failed)
        return STORE_LIMIT;
    enum store_rc rc = store_get1(s, MAILBOX_PART(account), key, a, &present, out);
    if (rc != STORE_OK)
        return rc;
    /* A row that promises what is not there is damage as well. */
    uint64_t want = k + 1 < m->chunks ? STORE_CHUNK : m->size - (uint64_t)k * STORE_CHUNK;
    return present && out->len == want ? STORE_OK : STORE_DAMAGED;
}

/* Fills a batch from the front of m[0..n); returns how many messages are in it. */
static size_t remove_some(struct store_batch *b, uint32_t folder, const struct mailbox_message *m,
                          size_t n)
{
    size_t i = 0;
    for (uint64_t chunks = 0; i < n && i < REMOVE_MESSAGES && chunks < REMOVE_CHUNKS; i++) {
        store_delete(b, mailbox_key_message(folder, m[i].uid, b->arena));
        /* whose content it was is not known: the sweep of `check store` finds it */
        if (m[i].damaged || m[i].chunks == 0)
            continue;
        str_t prefix = mailbox_prefix_content(m[i].content, b->arena);
        store_delete_range(b, prefix, store_prefix_end(b->arena, prefix));
        chunks += m[i].chunks;
    }
    return i;
}

enum store_rc mailbox_remove(struct store *s, uint64_t account, uint32_t folder,
                             const struct mailbox_message *m, size_t n, size_t *removed)
{
    struct arena a;
    enum store_rc rc = STORE_OK;
    arena_init(&a, REMOVE_ARENA);
    *removed = 0;
    while (rc == STORE_OK && *removed < n) {
        struct store_batch b;
        arena_reset(&a);
        store_batch_init(&b, MAILBOX_PART(account), &a);
        size_t some = remove_some(&b, folder, m + *removed, n - *removed);
        rc = a.failed ? STORE_LIMIT : store_commit(s, &b);
        if (rc == STORE_OK)
            *removed += some;
    }
    arena_free(&a);
    return rc;
}

enum store_rc mailbox_uidvalidity(struct store *s, uint64_t account, uint32_t folder, uint32_t *out)
{
    struct arena a;
    struct mailbox_folder f = {0};
    str_t value;
    bool present;
    arena_init(&a, STORE_VALUE_MAX * 2);
    enum store_rc rc =
        store_get1(s, MAILBOX_PART(account), mailbox_key_folder(folder, &a), &a, &present, &value);
    if (rc == STORE_OK && present && !mailbox_folder_decode(value, &f))
        rc = STORE_DAMAGED;
    *out = f.uidvalidity;
    arena_free(&a);
    return rc;
}
