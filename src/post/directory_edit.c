/* directory_edit.c: changes of the directory. See directory.h.
 *
 * Each change is written as a function that reads what it needs and fills a batch whose
 * preconditions are what it read. edit_run() commits the batch; if somebody else was faster
 * (STORE_CONFLICT) it all begins again from a new read. */
#include "post/directory_row.h"

enum {
    EDIT_TRIES = 8, /* conflicts in a row: people type commands, they do not race that often */
    EDIT_ARENA = 512 * 1024, /* the largest row and what it was made of */
};

struct edit {
    struct store *s;
    struct err *err;
    struct arena arena;
    struct store_batch batch;
    struct buf value; /* of the row being written */
    /* What was asked for. */
    str_t name, target;
    const str_t *targets;
    size_t ntargets;
    uint64_t id; /* out: of a new account */
    /* What was read. */
    struct directory_address address;
    str_t domain_name, domain_key, domain_value;
    struct directory_domain domain;
};

typedef enum rc edit_fn(struct edit *e);

static enum rc store_failed(struct edit *e, enum store_rc rc)
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

static enum rc edit_run(struct edit *e, edit_fn *build)
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
        rc = store_failed(e, done);
    }
    buf_free(&e->value);
    arena_free(&e->arena);
    return rc;
}

/* The value under construction as a slice of its own, so that the next row can be built. */
static str_t value_take(struct edit *e)
{
    str_t v = arena_dup(&e->arena, buf_str(&e->value));
    if (e->value.failed)
        e->arena.failed = true;
    buf_clear(&e->value);
    return v;
}

static enum rc read_row(struct edit *e, str_t key, bool *present, str_t *value)
{
    if (e->arena.failed)
        return store_failed(e, STORE_LIMIT);
    return store_failed(e, store_get1(e->s, DIRECTORY_PART, key, &e->arena, present, value));
}

/* ---- domains ---- */

static enum rc domain_syntax(struct edit *e, str_t text)
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
    enum rc rc = read_row(e, e->domain_key, present, &e->domain_value);
    if (rc == RC_OK && *present && !directory_domain_decode(e->domain_value, &e->domain))
        return store_failed(e, STORE_DAMAGED);
    return rc;
}

static enum rc domain_need(struct edit *e)
{
    bool present;
    enum rc rc = domain_read(e, &present);
    if (rc == RC_OK && !present)
        return err_set(e->err, RC_PERM, "",
                       STR_FMT
                       " is not one of our domains; add it first: postrider domain add " STR_FMT,
                       STR_ARG(e->domain_name), STR_ARG(e->domain_name));
    return rc;
}

/* The row again, one edit on: see directory_row.h. */
static void domain_touch(struct edit *e)
{
    e->domain.edits++;
    directory_domain_encode(&e->domain, &e->value);
    store_require_equal(&e->batch, e->domain_key, e->domain_value);
    store_put(&e->batch, e->domain_key, value_take(e));
}

static enum rc build_domain_add(struct edit *e)
{
    bool present, has_first;
    str_t first;
    enum rc rc = domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = domain_read(e, &present);
    if (rc != RC_OK)
        return rc;
    if (present)
        return err_set(e->err, RC_PERM, "", STR_FMT " is one of our domains already",
                       STR_ARG(e->domain_name));
    rc = read_row(e, DIRECTORY_KEY_FIRST, &has_first, &first);
    if (rc != RC_OK)
        return rc;
    e->domain = (struct directory_domain){0};
    directory_domain_encode(&e->domain, &e->value);
    store_put_new(&e->batch, e->domain_key, value_take(e));
    if (!has_first)
        store_put_new(&e->batch, DIRECTORY_KEY_FIRST, e->domain_name);
    return RC_OK;
}

enum rc directory_domain_add(struct store *s, str_t domain, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = domain};
    return edit_run(&e, build_domain_add);
}

static enum rc scan_keys(struct edit *e, str_t prefix, uint32_t rows_max, struct store_page *page)
{
    struct store_scan scan = {
        .part = DIRECTORY_PART,
        .from = prefix,
        .end = store_prefix_end(&e->arena, prefix),
        .keys_only = true,
        .rows_max = rows_max,
    };
    return store_failed(e, store_scan(e->s, &scan, &e->arena, page));
}

/* If this domain is the one of first/domain, another takes its place: the next by name. */
static enum rc first_domain_move(struct edit *e)
{
    bool present;
    str_t first;
    struct store_page page;
    enum rc rc = read_row(e, DIRECTORY_KEY_FIRST, &present, &first);
    if (rc != RC_OK || !present || !str_eq(first, e->domain_name))
        return rc;
    rc = scan_keys(e, DIRECTORY_PREFIX_DOM, 2, &page);
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
    enum rc rc = domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = domain_need(e);
    if (rc == RC_OK)
        rc = scan_keys(e, directory_key_address(e->domain_name, STR_NONE, &e->arena), 1, &page);
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
    struct edit e = {.s = s, .err = err, .name = domain};
    return edit_run(&e, build_domain_remove);
}

/* ---- addresses ---- */

static enum rc address_syntax(struct edit *e, str_t text, struct directory_address *out)
{
    if (directory_address_parse(text, &e->arena, out))
        return RC_OK;
    return err_set(e->err, RC_PERM, "",
                   "\"" STR_FMT "\" is not a mail address; write it as in name@example.org",
                   STR_ARG(str_first(text, DIRECTORY_ADDRESS_MAX)));
}

/* Address, its domain (which must be ours), and its row: out->kind NONE if there is none. */
static enum rc address_read(struct edit *e, struct directory_entry *out, str_t *key, str_t *value)
{
    bool present;
    enum rc rc = address_syntax(e, e->name, &e->address);
    if (rc != RC_OK)
        return rc;
    e->domain_name = e->address.domain;
    rc = domain_need(e);
    if (rc != RC_OK)
        return rc;
    *key = directory_key_address(e->address.domain, e->address.local, &e->arena);
    rc = read_row(e, *key, &present, value);
    *out = (struct directory_entry){.kind = DIRECTORY_NONE};
    if (rc == RC_OK && present && !directory_entry_decode(*value, &e->arena, out))
        return store_failed(e, STORE_DAMAGED);
    return rc;
}

static enum rc taken(struct edit *e, const struct directory_entry *there)
{
    const char *what = there->kind == DIRECTORY_ACCOUNT ? "an account" : "an alias";
    return err_set(e->err, RC_PERM, "", STR_FMT " is %s already; to replace it, remove that first",
                   STR_ARG(e->address.text), what);
}

/* A catch-all in a domain of ours must exist, or all that it catches would be taken and then
 * bounced. A target with +detail is good if the address without it is there. */
static enum rc target_exists(struct edit *e, const struct directory_address *t)
{
    size_t plus = t->local.len;
    if (str_find(t->local, '+', &plus) && plus == 0)
        plus = t->local.len;
    str_t keys[3] = {directory_key_domain(t->domain, &e->arena),
                     directory_key_address(t->domain, t->local, &e->arena),
                     directory_key_address(t->domain, str_first(t->local, plus), &e->arena)};
    struct store_value v[3];
    if (e->arena.failed)
        return store_failed(e, STORE_LIMIT);
    enum rc rc = store_failed(e, store_get(e->s, DIRECTORY_PART, keys, 3, &e->arena, v));
    if (rc != RC_OK || !v[0].present || v[1].present || v[2].present)
        return rc;
    return err_set(e->err, RC_PERM, "", STR_FMT " does not exist; add it first", STR_ARG(t->text));
}

static enum rc build_catchall(struct edit *e)
{
    struct directory_address t = {0};
    enum rc rc = domain_syntax(e, e->name);
    if (rc == RC_OK)
        rc = domain_need(e);
    if (rc == RC_OK && e->target.len > 0) {
        rc = address_syntax(e, e->target, &t);
        if (rc == RC_OK)
            rc = target_exists(e, &t);
    }
    if (rc != RC_OK)
        return rc;
    e->domain.catchall = t.text;
    domain_touch(e);
    return RC_OK;
}

enum rc directory_domain_catchall(struct store *s, str_t domain, str_t target, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = domain, .target = target};
    return edit_run(&e, build_catchall);
}

/* Nobody may take away what the domain's catch-all leads to. */
static enum rc not_catchall(struct edit *e)
{
    if (!str_eq(e->domain.catchall, e->address.text))
        return RC_OK;
    return err_set(e->err, RC_PERM, "",
                   STR_FMT " is the catch-all of its domain; set another or none first",
                   STR_ARG(e->address.text));
}

static str_t u64_row(struct edit *e, uint64_t n)
{
    buf_u64(&e->value, n);
    return value_take(e);
}

static enum rc build_account_add(struct edit *e)
{
    struct directory_entry there;
    str_t key, value, last;
    bool present;
    enum rc rc = address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind != DIRECTORY_NONE)
        return taken(e, &there);
    if (rc == RC_OK)
        rc = read_row(e, DIRECTORY_KEY_NEXT, &present, &last);
    if (rc != RC_OK)
        return rc;
    /* The id is needed inside other values, so it cannot come from a counter op: read, and required
     * to be as read. */
    uint64_t id = 0;
    if (present && !directory_u64_decode(last, &id))
        return store_failed(e, STORE_DAMAGED);
    e->id = ++id;
    if (present)
        store_require_equal(&e->batch, DIRECTORY_KEY_NEXT, last);
    else
        store_require_absent(&e->batch, DIRECTORY_KEY_NEXT);
    store_put(&e->batch, DIRECTORY_KEY_NEXT, u64_row(e, id));
    directory_account_encode(e->address.text, &e->value);
    store_put_new(&e->batch, directory_key_account(id, &e->arena), value_take(e));
    directory_entry_encode(&(struct directory_entry){.kind = DIRECTORY_ACCOUNT, .account = id},
                           &e->value);
    store_put_new(&e->batch, key, value_take(e));
    store_put_new(&e->batch, directory_key_login(e->address.text, &e->arena), u64_row(e, id));
    domain_touch(e);
    return RC_OK;
}

enum rc directory_account_add(struct store *s, str_t address, uint64_t *id, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = address};
    enum rc rc = edit_run(&e, build_account_add);
    *id = rc == RC_OK ? e.id : 0;
    return rc;
}

static enum rc build_account_remove(struct edit *e)
{
    struct directory_entry there;
    str_t key, value;
    enum rc rc = address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind != DIRECTORY_ACCOUNT)
        return err_set(e->err, RC_PERM, "",
                       "there is no account " STR_FMT "; postrider account list shows all",
                       STR_ARG(e->address.text));
    if (rc == RC_OK)
        rc = not_catchall(e);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value);
    store_delete(&e->batch, key);
    store_delete(&e->batch, directory_key_account(there.account, &e->arena));
    store_delete(&e->batch, directory_key_login(e->address.text, &e->arena));
    store_put(&e->batch, directory_key_gone(there.account, &e->arena), e->address.text);
    domain_touch(e);
    return RC_OK;
}

enum rc directory_account_remove(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = address};
    return edit_run(&e, build_account_remove);
}

static enum rc alias_targets(struct edit *e, struct directory_entry *out)
{
    if (e->ntargets == 0 || e->ntargets > DIRECTORY_TARGETS_MAX)
        return err_set(
            e->err, RC_PERM, "",
            "an alias needs 1 to %d targets, these are %zu; to remove it: postrider alias remove",
            DIRECTORY_TARGETS_MAX, e->ntargets);
    out->kind = DIRECTORY_ALIAS;
    out->targets = arena_array(&e->arena, e->ntargets, sizeof *out->targets);
    for (size_t i = 0; out->targets != NULL && i < e->ntargets; i++) {
        struct directory_address t;
        enum rc rc = address_syntax(e, e->targets[i], &t);
        if (rc != RC_OK)
            return rc;
        if (str_eq(t.text, e->address.text))
            return err_set(e->err, RC_PERM, "", STR_FMT " cannot lead to itself", STR_ARG(t.text));
        out->targets[out->ntargets++] = t.text;
    }
    return RC_OK;
}

static enum rc build_alias_set(struct edit *e)
{
    struct directory_entry there, alias = {.kind = DIRECTORY_ALIAS};
    str_t key, value;
    enum rc rc = address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind == DIRECTORY_ACCOUNT)
        return taken(e, &there);
    if (rc == RC_OK)
        rc = alias_targets(e, &alias);
    if (rc != RC_OK)
        return rc;
    if (there.kind == DIRECTORY_NONE)
        store_require_absent(&e->batch, key);
    else
        store_require_equal(&e->batch, key, value);
    if (!directory_entry_encode(&alias, &e->value))
        return err_set(
            e->err, RC_PERM, "",
            "the targets together are longer than %d bytes; split them over several aliases",
            STORE_VALUE_MAX);
    store_put(&e->batch, key, value_take(e));
    domain_touch(e);
    return RC_OK;
}

enum rc directory_alias_set(struct store *s, str_t address, const str_t *targets, size_t n,
                            struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = address, .targets = targets, .ntargets = n};
    return edit_run(&e, build_alias_set);
}

static enum rc build_alias_remove(struct edit *e)
{
    struct directory_entry there;
    str_t key, value;
    enum rc rc = address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind != DIRECTORY_ALIAS)
        return err_set(e->err, RC_PERM, "",
                       "there is no alias " STR_FMT "; postrider alias list shows all",
                       STR_ARG(e->address.text));
    if (rc == RC_OK)
        rc = not_catchall(e);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value);
    store_delete(&e->batch, key);
    domain_touch(e);
    return RC_OK;
}

enum rc directory_alias_remove(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = address};
    return edit_run(&e, build_alias_remove);
}
