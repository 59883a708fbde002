/* directory_edit.c: how a change is made (directory_edit.h), and the changes of domains. See
 * directory.h. Those of addresses are in directory_address.c. */
#include "post/directory_edit.h"

#include "post/missing.h"

enum {
    EDIT_TRIES = 8, /* conflicts in a row: people type commands, they do not race that often */
    EDIT_ARENA = 512 * 1024, /* the largest row and what it was made of */
};

enum rc edit_failed(struct edit *e, enum store_rc rc)
{
    switch (rc) {
    case STORE_OK: return RC_OK;
    case STORE_CONFLICT:
        return err_set(e->err, RC_TEMP, "", "others change the same thing all the time; try again");
    case STORE_DENIED:
        return err_set(e->err, RC_PERM, "",
                       "the server does not let us change the directory; run this as the user that "
                       "owns the data folder");
    case STORE_LIMIT: return err_set(e->err, RC_PERM, "", "that is too long to be stored");
    case STORE_FULL:
        return err_set(e->err, RC_TEMP, "",
                       "the disk is full, nothing was changed; make room and try again");
    case STORE_STOPPED:
        return err_set(e->err, RC_TEMP, "",
                       "the store takes no changes since a write failed, nothing was changed; see "
                       "the log, check the disk, restart");
    case STORE_DAMAGED:
        return err_set(e->err, RC_PERM, "",
                       "a directory row is damaged; run: postrider check store");
    case STORE_EXPIRED:
    case STORE_DOWN:
        return err_set(e->err, RC_TEMP, "",
                       "the server does not answer, nothing was changed; is it running?");
    case STORE_UNKNOWN:
        return err_set(e->err, RC_TEMP, "",
                       "the server stopped before it answered; look whether it was done, and else "
                       "repeat it: that does no harm");
    }
    return err_set(e->err, RC_TEMP, "", "unknown result of the store");
}

enum rc edit_run(struct edit *e, edit_fn *build)
{
    enum rc rc = RC_TEMP;
    enum store_rc done = STORE_CONFLICT;
    arena_init(&e->arena, EDIT_ARENA);
    buf_init(&e->value, STORE_VALUE_MAX);
    for (int i = 0; i < EDIT_TRIES && done == STORE_CONFLICT; i++) {
        arena_reset(&e->arena);
        buf_clear(&e->value);
        store_batch_init(&e->batch, DIRECTORY_PART, &e->arena);
        rc = build(e);
        if (rc != RC_OK)
            break;
        done = e->arena.failed || e->value.failed ? STORE_LIMIT : store_commit(e->s, &e->batch);
        rc = edit_failed(e, done);
    }
    buf_free(&e->value);
    arena_free(&e->arena);
    return rc;
}

str_t edit_value(struct edit *e)
{
    str_t v = arena_dup(&e->arena, buf_str(&e->value));
    if (e->value.failed)
        e->arena.failed = true;
    buf_clear(&e->value);
    return v;
}

enum rc edit_missing(struct edit *e)
{
    return err_set(e->err, RC_PERM, MISSING_STATUS,
                   "there is no %s " STR_FMT "; `postrider %s list` shows all", e->what,
                   STR_ARG(str_first(e->name, DIRECTORY_DOMAIN_MAX)), e->what);
}

enum rc edit_read(struct edit *e, str_t key, bool *present, str_t *value)
{
    if (e->arena.failed)
        return edit_failed(e, STORE_LIMIT);
    return edit_failed(e, store_get1(e->s, DIRECTORY_PART, key, &e->arena, present, value));
}

str_t edit_u64(struct edit *e, uint64_t n)
{
    buf_u64(&e->value, n);
    return edit_value(e);
}

void edit_require(struct edit *e, str_t key, bool present, str_t value)
{
    if (present)
        store_require_equal(&e->batch, key, value);
    else
        store_require_absent(&e->batch, key);
}

/* ---- domains ---- */

/* Into domain_name. */
static enum rc edit_domain_syntax(struct edit *e, str_t text)
{
    if (directory_domain_parse(text, &e->arena, &e->domain_name))
        return RC_OK;
    return err_set(e->err, RC_PERM, "",
                   "\"" STR_FMT "\" is not a domain name; write it as in example.org",
                   STR_ARG(str_first(text, DIRECTORY_DOMAIN_MAX)));
}

/* Reads domain_name's row into `domain`. */
static enum rc domain_read(struct edit *e, bool *present)
{
    e->domain_key = directory_key_domain(e->domain_name, &e->arena);
    enum rc rc = edit_read(e, e->domain_key, present, &e->domain_value);
    if (rc == RC_OK && *present && !directory_domain_decode(e->domain_value, &e->domain))
        return edit_failed(e, STORE_DAMAGED);
    return rc;
}

enum rc edit_domain_need(struct edit *e)
{
    bool present;
    enum rc rc = domain_read(e, &present);
    if (rc == RC_OK && !present && e->what != NULL)
        return edit_missing(e);
    if (rc == RC_OK && !present)
        return err_set(e->err, RC_PERM, "",
                       STR_FMT
                       " is not one of our domains; add it first: postrider domain add " STR_FMT,
                       STR_ARG(e->domain_name), STR_ARG(e->domain_name));
    return rc;
}

void edit_domain_touch(struct edit *e)
{
    e->domain.edits++;
    directory_domain_encode(&e->domain, &e->value);
    store_require_equal(&e->batch, e->domain_key, e->domain_value);
    store_put(&e->batch, e->domain_key, edit_value(e));
}

static enum rc build_domain_add(struct edit *e)
{
    bool present, has_first;
    str_t first;
    enum rc rc = edit_domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = domain_read(e, &present);
    if (rc != RC_OK)
        return rc;
    if (present)
        return err_set(e->err, RC_PERM, "", STR_FMT " is one of our domains already",
                       STR_ARG(e->domain_name));
    rc = edit_read(e, DIRECTORY_KEY_FIRST, &has_first, &first);
    if (rc != RC_OK)
        return rc;
    e->domain = (struct directory_domain){0};
    directory_domain_encode(&e->domain, &e->value);
    store_put_new(&e->batch, e->domain_key, edit_value(e));
    if (!has_first)
        store_put_new(&e->batch, DIRECTORY_KEY_FIRST, e->domain_name);
    return RC_OK;
}

enum rc directory_domain_add(struct store *s, str_t domain, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = domain};
    return edit_run(&e, build_domain_add);
}

enum rc edit_scan_keys(struct edit *e, str_t prefix, uint32_t rows_max, struct store_page *page)
{
    struct store_scan scan = {
        .part = DIRECTORY_PART,
        .from = prefix,
        .end = store_prefix_end(&e->arena, prefix),
        .keys_only = true,
        .rows_max = rows_max,
    };
    return edit_failed(e, store_scan(e->s, &scan, &e->arena, page));
}

/* If this domain is the one of first/domain, another takes its place: the next by name. */
static enum rc first_domain_move(struct edit *e)
{
    bool present;
    str_t first;
    struct store_page page;
    enum rc rc = edit_read(e, DIRECTORY_KEY_FIRST, &present, &first);
    if (rc != RC_OK || !present || !str_eq(first, e->domain_name))
        return rc;
    rc = edit_scan_keys(e, DIRECTORY_PREFIX_DOM, 2, &page);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, DIRECTORY_KEY_FIRST, first);
    for (size_t i = 0; i < page.n; i++) {
        if (str_eq(page.rows[i].key, e->domain_key))
            continue;
        store_require_present(&e->batch, page.rows[i].key);
        store_put(&e->batch, DIRECTORY_KEY_FIRST,
                  str_from(page.rows[i].key, DIRECTORY_PREFIX_DOM.len));
        return RC_OK;
    }
    store_delete(&e->batch, DIRECTORY_KEY_FIRST);
    return RC_OK;
}

static enum rc build_domain_remove(struct edit *e)
{
    struct store_page page;
    enum rc rc = edit_domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = edit_domain_need(e);
    if (rc == RC_OK)
        rc =
            edit_scan_keys(e, directory_key_address(e->domain_name, STR_NONE, &e->arena), 1, &page);
    if (rc != RC_OK)
        return rc;
    if (page.n > 0)
        return err_set(e->err, RC_PERM, "",
                       STR_FMT " still has addresses; remove its accounts and aliases first "
                               "(postrider account list, postrider alias list)",
                       STR_ARG(e->domain_name));
    store_require_equal(&e->batch, e->domain_key, e->domain_value);
    store_delete(&e->batch, e->domain_key);
    return first_domain_move(e);
}

enum rc directory_domain_remove(struct store *s, str_t domain, struct err *err)
{
    struct edit e = {.s = s, .err = err, .what = "domain", .name = domain};
    return edit_run(&e, build_domain_remove);
}

/* A catch-all in a domain of ours must exist, or all that it catches would be taken and then
 * bounced. A target with a detail is good if the address without it is there, whatever the separator
 * is set to. */
static enum rc target_exists(struct edit *e, const struct directory_address *t)
{
    enum { KEYS_MAX = 10 };
    str_t keys[KEYS_MAX] = {directory_key_domain(t->domain, &e->arena),
                            directory_key_address(t->domain, t->local, &e->arena)};
    size_t n = 2;
    for (size_t i = 1; i < t->local.len && n < KEYS_MAX; i++)
        if (strchr("+-_=#~.!", t->local.ptr[i]) != NULL)
            keys[n++] = directory_key_address(t->domain, str_first(t->local, i), &e->arena);
    struct store_value v[KEYS_MAX];
    if (e->arena.failed)
        return edit_failed(e, STORE_LIMIT);
    enum rc rc = edit_failed(e, store_get(e->s, DIRECTORY_PART, keys, n, &e->arena, v));
    if (rc != RC_OK || !v[0].present)
        return rc;
    for (size_t i = 1; i < n; i++)
        if (v[i].present)
            return RC_OK;
    return err_set(e->err, RC_PERM, "", STR_FMT " does not exist; add it first", STR_ARG(t->text));
}

static enum rc build_catchall(struct edit *e)
{
    struct directory_address t = {0};
    enum rc rc = edit_domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = edit_domain_need(e);
    if (rc == RC_OK && e->target.len > 0) {
        rc = edit_address_syntax(e, e->target, &t);
        if (rc == RC_OK)
            rc = target_exists(e, &t);
    }
    if (rc != RC_OK)
        return rc;
    e->domain.catchall = t.text;
    edit_domain_touch(e);
    return RC_OK;
}

enum rc directory_domain_catchall(struct store *s, str_t domain, str_t target, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = domain, .target = target};
    return edit_run(&e, build_catchall);
}
