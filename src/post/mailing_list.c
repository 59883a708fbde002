/* mailing_list.c: see mailing_list.h. */
#include "post/mailing_list.h"

#include "post/directory_edit.h"

enum {
    MEMBERS_BATCH = 250, /* of STORE_BATCH_OPS; a key each, asked for before */
    BATCH_ARENA = 1 << 20,
};

static str_t table_key(str_t address, struct arena *a)
{
    return arena_fmt(a, "tab/%s/" STR_FMT, table_name(TABLE_LISTS), STR_ARG(address));
}

/* ---- making and deleting ---- */

struct wanted {
    str_t owner;
    bool verp;
};

/* The words of its row, owner=ADDRESS and verp; empty: it needs none. */
static enum rc words_make(struct edit *e, const struct wanted *w, str_t *out)
{
    struct directory_address owner = {0};
    enum rc rc = w->owner.len > 0 ? edit_address_syntax(e, w->owner, &owner) : RC_OK;
    if (rc != RC_OK)
        return rc;
    *out = w->owner.len > 0 ? arena_fmt(&e->arena, "owner=" STR_FMT "%s", STR_ARG(owner.text),
                                        w->verp ? " verp" : "")
                            : STR("verp");
    if (w->owner.len == 0 && !w->verp)
        *out = STR_NONE;
    return RC_OK;
}

static enum rc build_create(struct edit *e)
{
    struct directory_entry there;
    str_t key, value, last, words = STR_NONE;
    bool present;
    uint64_t id = 0;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK && there.kind != DIRECTORY_NONE)
        return edit_taken(e, &there);
    if (rc == RC_OK)
        rc = words_make(e, e->more, &words);
    if (rc == RC_OK)
        rc = edit_read(e, DIRECTORY_KEY_NEXT_LIST, &present, &last);
    if (rc != RC_OK)
        return rc;
    if (present && !directory_u64_decode(last, &id))
        return edit_failed(e, STORE_DAMAGED);
    id++;
    edit_require(e, DIRECTORY_KEY_NEXT_LIST, present, last);
    store_put(&e->batch, DIRECTORY_KEY_NEXT_LIST, edit_u64(e, id));
    directory_entry_encode(&(struct directory_entry){.kind = DIRECTORY_LIST, .account = id},
                           &e->value);
    store_put_new(&e->batch, key, edit_value(e));
    if (words.len > 0)
        store_put(&e->batch, table_key(e->address.text, &e->arena), words);
    edit_domain_touch(e);
    return RC_OK;
}

enum rc mailing_list_create(struct store *s, str_t address, str_t owner, bool verp, struct err *err)
{
    struct wanted w = {.owner = owner, .verp = verp};
    struct edit e = {.s = s, .err = err, .name = address, .more = &w};
    return edit_run(&e, build_create);
}

/* `name` is a list: its id. */
static enum rc list_read(struct edit *e, uint64_t *id, str_t *key, str_t *value)
{
    struct directory_entry there;
    enum rc rc = edit_address_read(e, &there, key, value);
    if (rc == RC_OK && there.kind != DIRECTORY_LIST)
        return edit_missing(e);
    *id = there.account;
    return rc;
}

static enum rc build_delete(struct edit *e)
{
    uint64_t id;
    str_t key, value;
    enum rc rc = list_read(e, &id, &key, &value);
    if (rc == RC_OK)
        rc = edit_not_catchall(e);
    if (rc != RC_OK)
        return rc;
    str_t members = directory_key_member(id, STR_NONE, STR_NONE, &e->arena);
    store_require_equal(&e->batch, key, value);
    store_delete(&e->batch, key);
    store_delete(&e->batch, table_key(e->address.text, &e->arena));
    store_delete_range(&e->batch, members, store_prefix_end(&e->arena, members));
    edit_domain_touch(e);
    return RC_OK;
}

enum rc mailing_list_delete(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .what = "list", .name = address};
    return edit_run(&e, build_delete);
}

/* ---- members ---- */

struct change {
    bool drop;
    size_t changed; /* by the batch under way */
};

static enum rc member_keys(struct edit *e, uint64_t id, str_t *keys)
{
    for (size_t i = 0; i < e->ntargets; i++) {
        struct directory_address m;
        enum rc rc = edit_address_syntax(e, e->targets[i], &m);
        if (rc != RC_OK)
            return rc;
        if (str_eq(m.text, e->address.text))
            return err_set(e->err, RC_PERM, "", STR_FMT " cannot be a member of itself",
                           STR_ARG(m.text));
        keys[i] = directory_key_member(id, m.domain, m.local, &e->arena);
    }
    return RC_OK;
}

static enum rc build_members(struct edit *e)
{
    struct change *c = e->more;
    uint64_t id;
    str_t key, value;
    str_t *keys = arena_array(&e->arena, e->ntargets, sizeof *keys);
    struct store_value *v = arena_array(&e->arena, e->ntargets, sizeof *v);
    if (keys == NULL || v == NULL)
        return edit_failed(e, STORE_LIMIT);
    enum rc rc = list_read(e, &id, &key, &value);
    if (rc == RC_OK)
        rc = member_keys(e, id, keys);
    if (rc == RC_OK && e->arena.failed)
        rc = edit_failed(e, STORE_LIMIT);
    if (rc == RC_OK)
        rc = edit_failed(e, store_get(e->s, DIRECTORY_PART, keys, e->ntargets, &e->arena, v));
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value); /* the list is still this one */
    c->changed = 0;
    for (size_t i = 0; i < e->ntargets; i++) {
        if (v[i].present != c->drop)
            continue;
        c->changed++;
        if (c->drop)
            store_delete(&e->batch, keys[i]);
        else
            store_put(&e->batch, keys[i], STR_NONE);
    }
    return RC_OK;
}

static enum rc members(struct store *s, str_t address, const str_t *m, size_t n, bool drop,
                       size_t *changed, struct err *err)
{
    *changed = 0;
    for (size_t i = 0; i < n || i == 0; i += MEMBERS_BATCH) {
        struct change c = {.drop = drop};
        struct edit e = {.s = s,
                         .err = err,
                         .what = "list",
                         .name = address,
                         .targets = m + i,
                         .ntargets = n - i < MEMBERS_BATCH ? n - i : MEMBERS_BATCH,
                         .more = &c};
        enum rc rc = edit_run(&e, build_members);
        if (rc != RC_OK)
            return rc;
        *changed += c.changed;
    }
    return RC_OK;
}

enum rc mailing_list_add(struct store *s, str_t address, const str_t *m, size_t n, size_t *changed,
                         struct err *err)
{
    return members(s, address, m, n, false, changed, err);
}

enum rc mailing_list_drop(struct store *s, str_t address, const str_t *m, size_t n, size_t *changed,
                          struct err *err)
{
    return members(s, address, m, n, true, changed, err);
}

/* ---- reading ---- */

enum store_rc mailing_list_find(struct store *s, str_t address, uint64_t *id)
{
    struct arena a;
    struct directory_address parsed;
    struct directory_entry e = {0};
    bool present = false;
    str_t value;
    arena_init(&a, BATCH_ARENA);
    enum store_rc rc = STORE_OK;
    if (directory_address_parse(address, &a, &parsed))
        rc = store_get1(s, DIRECTORY_PART, directory_key_address(parsed.domain, parsed.local, &a),
                        &a, &present, &value);
    if (rc == STORE_OK && present && !directory_entry_decode(value, &a, &e))
        rc = STORE_DAMAGED;
    *id = e.kind == DIRECTORY_LIST ? e.account : 0;
    arena_free(&a);
    return rc;
}

static bool member_of(str_t at, struct arena *a, struct mailing_list_member *out)
{
    str_t local = at;
    if (!str_cut(&local, '/', &out->domain) || local.len == 0)
        return false;
    out->at = at;
    out->address = directory_address_text(local, out->domain, a);
    return true;
}

/* The first key behind that member. */
static str_t from_after(str_t prefix, str_t after, struct arena *a)
{
    char *key = arena_alloc(a, prefix.len + after.len + 1);
    if (key == NULL || after.len == 0)
        return prefix;
    memcpy(key, prefix.ptr, prefix.len);
    memcpy(key + prefix.len, after.ptr, after.len);
    key[prefix.len + after.len] = '\0';
    return str_of(key, prefix.len + after.len + 1);
}

enum store_rc mailing_list_page(struct store *s, uint64_t id, str_t after, uint32_t max,
                                struct arena *a, struct mailing_list_member **out, size_t *n,
                                bool *more)
{
    struct store_page page;
    str_t prefix = directory_key_member(id, STR_NONE, STR_NONE, a);
    struct store_scan q = {.part = DIRECTORY_PART,
                           .from = from_after(prefix, after, a),
                           .end = store_prefix_end(a, prefix),
                           .keys_only = true,
                           .rows_max = max};
    enum store_rc rc = a->failed ? STORE_LIMIT : store_scan(s, &q, a, &page);
    *n = 0;
    *more = false;
    if (rc != STORE_OK)
        return rc;
    *out = arena_array(a, page.n, sizeof **out);
    if (*out == NULL && page.n > 0)
        return STORE_LIMIT;
    for (size_t i = 0; i < page.n; i++)
        if (member_of(str_from(page.rows[i].key, prefix.len), a, &(*out)[*n]))
            ++*n;
    *more = page.more;
    return a->failed ? STORE_LIMIT : STORE_OK;
}

/* ---- how it is sent ---- */

static bool next_word(str_t *rest, str_t *word)
{
    *rest = str_trim(*rest);
    if (rest->len == 0)
        return false;
    if (!str_cut(rest, ' ', word)) {
        *word = *rest;
        *rest = STR_NONE;
    }
    return true;
}

enum store_rc mailing_list_rules(struct tables *t, str_t local, str_t domain, bool list,
                                 struct arena *a, struct mailing_list_rules *out)
{
    bool found = false;
    str_t words = STR_NONE, key, word;
    size_t at;
    *out = (struct mailing_list_rules){.is = list};
    str_t address = directory_address_text(local, domain, a);
    enum store_rc rc = a->failed   ? STORE_LIMIT
                       : t == NULL ? STORE_OK
                                   : table_find(t, TABLE_LISTS, address, a, &found, &words, &key);
    if (rc != STORE_OK)
        return rc;
    if (found && !list && !str_rfind(key, '@', &at))
        found = false; /* a row of a whole domain says how its lists are sent; it makes none */
    out->is = list || found;
    while (found && next_word(&words, &word)) {
        out->verp = out->verp || str_eq(word, STR("verp"));
        if (str_starts(word, STR("owner=")))
            out->owner = str_from(word, 6);
    }
    if (out->is && out->owner.len == 0)
        out->owner = arena_fmt(a, "postmaster@" STR_FMT, STR_ARG(domain));
    return a->failed ? STORE_LIMIT : STORE_OK;
}

str_t mailing_list_sender(const struct mailing_list_rules *r, str_t member, char separator,
                          struct arena *a)
{
    enum { PATH_MAX_OCTETS = 254 }; /* RFC 5321 4.5.3.1.3, without brackets */
    struct directory_address owner, to;
    if (!r->verp || separator == '\0' || !directory_address_parse(r->owner, a, &owner) ||
        !directory_address_parse(member, a, &to))
        return r->owner;
    str_t local = arena_fmt(a, STR_FMT "%c" STR_FMT "=" STR_FMT, STR_ARG(owner.local), separator,
                            STR_ARG(to.local), STR_ARG(to.domain));
    str_t sender = directory_address_text(local, owner.domain, a);
    return a->failed || sender.len == 0 || sender.len > PATH_MAX_OCTETS ? r->owner : sender;
}
