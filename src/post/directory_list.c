/* directory_list.c: the directory row by row, for the command line. See directory.h.
 *
 * Pages of rows, each on a snapshot of its own: what changes meanwhile is shown as it was or as it
 * is. */
#include "post/directory_row.h"

enum {
    LIST_PAGE_ROWS = 256,
    LIST_ARENA = 4 << 20, /* a page of rows with all that is made of them */
};

/* false: the row is none of its kind (or damaged). */
static bool row_domain(const struct store_row *r, struct directory_row *out)
{
    struct directory_domain d;
    if (r->damaged || !directory_domain_decode(r->value, &d))
        return false;
    out->name = str_from(r->key, DIRECTORY_PREFIX_DOM.len);
    out->catchall = d.catchall;
    return true;
}

static bool row_account(const struct store_row *r, struct directory_row *out)
{
    return !r->damaged && directory_account_id(r->key, &out->account) &&
           directory_account_decode(r->value, &out->name);
}

/* An address row of that kind; others are skipped. */
static bool row_address(const struct store_row *r, enum directory_kind kind, struct arena *a,
                        struct directory_row *out, bool *skip)
{
    struct directory_entry e;
    str_t local = str_from(r->key, DIRECTORY_PREFIX_ADDR.len), domain;
    if (r->damaged || !directory_entry_decode(r->value, a, &e) || !str_cut(&local, '/', &domain))
        return false;
    *skip = e.kind != kind;
    out->account = e.account;
    out->keep = e.keep;
    out->name = directory_address_text(local, domain, a);
    out->ntargets = e.ntargets;
    out->targets = e.targets;
    return true;
}

static enum store_rc give(int what, const struct store_row *r, struct arena *a,
                          bool (*row)(void *user, const struct directory_row *r), void *user,
                          bool *stop)
{
    struct directory_row out = {0};
    bool good = false, skip = false;
    switch (what) {
    case DIRECTORY_ROW_DOMAIN:
        out.kind = DIRECTORY_ROW_DOMAIN;
        good = row_domain(r, &out);
        break;
    case DIRECTORY_ROW_ACCOUNT:
        out.kind = DIRECTORY_ROW_ACCOUNT;
        good = row_account(r, &out);
        break;
    case DIRECTORY_ROW_ALIAS:
        out.kind = DIRECTORY_ROW_ALIAS;
        good = row_address(r, DIRECTORY_ALIAS, a, &out, &skip);
        break;
    case DIRECTORY_ROW_LIST:
        out.kind = DIRECTORY_ROW_LIST;
        good = row_address(r, DIRECTORY_LIST, a, &out, &skip);
        break;
    default: return STORE_LIMIT;
    }
    if (!good)
        return STORE_DAMAGED;
    *stop = !skip && !row(user, &out);
    return STORE_OK;
}

enum store_rc directory_list(struct store *s, int what,
                             bool (*row)(void *user, const struct directory_row *r), void *user)
{
    static const str_t prefixes[] = {[DIRECTORY_ROW_DOMAIN] = {"dom/", 4},
                                     [DIRECTORY_ROW_ACCOUNT] = {"acct/", 5},
                                     [DIRECTORY_ROW_ALIAS] = {"addr/", 5},
                                     [DIRECTORY_ROW_LIST] = {"addr/", 5}};
    if (what < 0 || (size_t)what >= sizeof prefixes / sizeof *prefixes)
        return STORE_LIMIT;
    struct arena a;
    struct buf from; /* just after the last key given */
    arena_init(&a, LIST_ARENA);
    buf_init(&from, STORE_KEY_MAX + 1);
    buf_add(&from, prefixes[what]);
    enum store_rc rc = STORE_OK, damaged = STORE_OK;
    struct store_page page = {.more = true};
    for (bool stop = false; rc == STORE_OK && page.more && !stop;) {
        arena_reset(&a);
        struct store_scan scan = {.part = DIRECTORY_PART,
                                  .from = buf_str(&from),
                                  .end = store_prefix_end(&a, prefixes[what]),
                                  .rows_max = LIST_PAGE_ROWS};
        rc = store_scan(s, &scan, &a, &page);
        for (size_t i = 0; rc == STORE_OK && i < page.n && !stop; i++)
            if (give(what, &page.rows[i], &a, row, user, &stop) != STORE_OK)
                damaged = STORE_DAMAGED; /* the others are still shown */
        if (rc == STORE_OK && page.n > 0) {
            buf_clear(&from);
            buf_add(&from, page.rows[page.n - 1].key);
            buf_addc(&from, '\0');
        }
    }
    buf_free(&from);
    arena_free(&a);
    return rc != STORE_OK ? rc : damaged;
}
