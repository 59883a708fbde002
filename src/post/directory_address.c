/* directory_address.c: changes of accounts and aliases. See directory.h; how a change is made:
 * directory_edit.h. */
#include "post/directory_edit.h"
#include "post/mask.h"

enum rc edit_address_syntax(struct edit *e, str_t text, struct directory_address *out)
{
    if (directory_address_parse(text, &e->arena, out))
        return RC_OK;
    return err_set(e->err, RC_PERM, "",
                   "\"" STR_FMT "\" is not a mail address; write it as in name@example.org",
                   STR_ARG(str_first(text, DIRECTORY_ADDRESS_MAX)));
}

enum rc edit_address_read(struct edit *e, struct directory_entry *out, str_t *key, str_t *value)
{
    bool present;
    enum rc rc = edit_address_syntax(e, e->name, &e->address);
    if (rc != RC_OK)
        return rc;
    e->domain_name = e->address.domain;
    rc = edit_domain_need(e);
    if (rc != RC_OK)
        return rc;
    *key = directory_key_address(e->address.domain, e->address.local, &e->arena);
    rc = edit_read(e, *key, &present, value);
    *out = (struct directory_entry){.kind = DIRECTORY_NONE};
    if (rc == RC_OK && present && !directory_entry_decode(*value, &e->arena, out))
        return edit_failed(e, STORE_DAMAGED);
    return rc;
}

enum rc edit_taken(struct edit *e, const struct directory_entry *there)
{
    const char *what = there->kind == DIRECTORY_LIST ? "a list"
                       : there->account != 0         ? "an account"
                                                     : "an alias";
    return err_set(e->err, RC_PERM, "", STR_FMT " is %s already; to replace it, remove that first",
                   STR_ARG(e->address.text), what);
}

enum rc edit_not_catchall(struct edit *e)
{
    if (!str_eq(e->domain.catchall, e->address.text))
        return RC_OK;
    return err_set(e->err, RC_PERM, "",
                   STR_FMT " is the catch-all of its domain; set another or none first",
                   STR_ARG(e->address.text));
}

static enum rc build_account_add(struct edit *e)
{
    struct directory_entry there;
    str_t key, value, last;
    bool present;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind != DIRECTORY_NONE)
        return edit_taken(e, &there);
    if (rc == RC_OK)
        rc = edit_read(e, DIRECTORY_KEY_NEXT, &present, &last);
    if (rc != RC_OK)
        return rc;
    /* The id is needed inside other values, so it cannot come from a counter op: read, and required
     * to be as read. */
    uint64_t id = 0;
    if (present && !directory_u64_decode(last, &id))
        return edit_failed(e, STORE_DAMAGED);
    e->id = ++id;
    if (present)
        store_require_equal(&e->batch, DIRECTORY_KEY_NEXT, last);
    else
        store_require_absent(&e->batch, DIRECTORY_KEY_NEXT);
    store_put(&e->batch, DIRECTORY_KEY_NEXT, edit_u64(e, id));
    directory_account_encode(e->address.text, &e->value);
    store_put_new(&e->batch, directory_key_account(id, &e->arena), edit_value(e));
    directory_entry_encode(&(struct directory_entry){.kind = DIRECTORY_ACCOUNT, .account = id},
                           &e->value);
    store_put_new(&e->batch, key, edit_value(e));
    store_put_new(&e->batch, directory_key_login(e->address.text, &e->arena), edit_u64(e, id));
    edit_domain_touch(e);
    return RC_OK;
}

enum rc directory_account_add(struct store *s, str_t address, uint64_t *id, struct err *err)
{
    struct edit e = {.s = s, .err = err, .name = address};
    enum rc rc = edit_run(&e, build_account_add);
    *id = rc == RC_OK ? e.id : 0;
    return rc;
}

/* Its masked addresses lead nowhere without it. */
static enum rc masks_remove(struct edit *e, uint64_t account)
{
    struct store_page page;
    str_t prefix = directory_key_mask(account, STR_NONE, &e->arena);
    enum rc rc = edit_scan_keys(e, prefix, MASKS_MAX + 1, &page);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < page.n; i++) {
        struct directory_address mask;
        if (!directory_address_parse(str_from(page.rows[i].key, prefix.len), &e->arena, &mask))
            return edit_failed(e, STORE_DAMAGED);
        store_delete(&e->batch, page.rows[i].key);
        store_delete(&e->batch, directory_key_address(mask.domain, mask.local, &e->arena));
    }
    return RC_OK;
}

static enum rc build_account_remove(struct edit *e)
{
    struct directory_entry there;
    str_t key, value;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK && (there.kind == DIRECTORY_LIST || there.account == 0))
        return edit_missing(e);
    if (rc == RC_OK)
        rc = edit_not_catchall(e);
    if (rc == RC_OK)
        rc = masks_remove(e, there.account);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value);
    store_delete(&e->batch, key);
    store_delete(&e->batch, directory_key_account(there.account, &e->arena));
    store_delete(&e->batch, directory_key_login(e->address.text, &e->arena));
    store_put(&e->batch, directory_key_gone(there.account, &e->arena), e->address.text);
    edit_domain_touch(e);
    return RC_OK;
}

enum rc directory_account_remove(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .what = "account", .name = address};
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
        enum rc rc = edit_address_syntax(e, e->targets[i], &t);
        if (rc != RC_OK)
            return rc;
        if (!str_eq(t.text, e->address.text))
            out->targets[out->ntargets++] = t.text;
        else if (out->account != 0)
            out->keep = true;
        else
            return err_set(e->err, RC_PERM, "", STR_FMT " cannot lead to itself", STR_ARG(t.text));
    }
    if (out->ntargets == 0) /* an account that leads to itself, as accounts do */
        out->kind = DIRECTORY_ACCOUNT;
    return RC_OK;
}

static enum rc build_alias_set(struct edit *e)
{
    struct directory_entry there, alias = {0};
    str_t key, value, mask = STR_NONE;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK)
        rc = edit_mask_row(e, &there, &mask);
    if (rc == RC_OK && there.kind == DIRECTORY_LIST)
        return edit_taken(e, &there);
    alias.account = there.account;
    if (rc == RC_OK)
        rc = alias_targets(e, &alias);
    if (rc != RC_OK)
        return rc;
    edit_require(e, key, there.kind != DIRECTORY_NONE, value);
    if (!directory_entry_encode(&alias, &e->value))
        return err_set(
            e->err, RC_PERM, "",
            "the targets together are longer than %d bytes; split them over several aliases",
            STORE_VALUE_MAX);
    store_put(&e->batch, key, edit_value(e));
    if (mask.len > 0)
        store_delete(&e->batch, mask);
    edit_domain_touch(e);
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
    str_t key, value, mask = STR_NONE;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK)
        rc = edit_mask_row(e, &there, &mask);
    if (rc == RC_OK && there.kind != DIRECTORY_ALIAS)
        return edit_missing(e);
    if (rc == RC_OK && there.account == 0)
        rc = edit_not_catchall(e);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value);
    if (there.account != 0) {
        directory_entry_encode(
            &(struct directory_entry){.kind = DIRECTORY_ACCOUNT, .account = there.account},
            &e->value);
        store_put(&e->batch, key, edit_value(e));
    } else {
        store_delete(&e->batch, key);
    }
    if (mask.len > 0)
        store_delete(&e->batch, mask);
    edit_domain_touch(e);
    return RC_OK;
}

enum rc directory_alias_remove(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .what = "alias", .name = address};
    return edit_run(&e, build_alias_remove);
}
