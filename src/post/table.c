/* table.c: see table.h. A row is `tab/NAME/KEY`; all rows of a table stand together, so whether one
 * is empty is a scan for one key. */
#include "post/table.h"

#include <pthread.h>
#include <stdlib.h>

#include "mail/domain.h"
#include "post/directory.h"
#include "post/missing.h"

enum {
    KEYS_MAX = TABLE_PARENTS + 4, /* address, domain, .domain and its parents, * */
    FIND_ARENA = 256 * 1024,      /* keys and values of one question, with room to copy */
    PAGE_ARENA = 4 << 20,
    PAGE_ROWS = 256,
};

static const char *const names[] = {
    [TABLE_TRANSPORT] = "transport",
    [TABLE_RELAY] = "relay",
    [TABLE_TLS] = "tls",
    [TABLE_HOLD_SENDER] = "hold-sender",
    [TABLE_HOLD_RECIPIENT] = "hold-recipient",
    [TABLE_HOLD_ACCOUNT] = "hold-account",
    [TABLE_SUSPEND] = "suspend",
    [TABLE_LIMIT] = "limit",
    [TABLE_SOURCE] = "source",
    [TABLE_CANONICAL_SENDER] = "canonical-sender",
    [TABLE_CANONICAL_RECIPIENT] = "canonical-recipient",
    [TABLE_MASQUERADE] = "masquerade",
    [TABLE_GRANT] = "grant",
    [TABLE_BACKUP] = "backup",
    [TABLE_LISTS] = "lists",
};
_Static_assert(sizeof names / sizeof *names == TABLES, "a name for each");

const char *table_name(enum table t)
{
    return names[t];
}

bool table_by_name(str_t name, enum table *out)
{
    for (int i = 0; i < TABLES; i++)
        if (str_ieq(name, str_c(names[i]))) {
            *out = (enum table)i;
            return true;
        }
    return false;
}

/* ---- keys ---- */

static str_t prefix_of(enum table t, struct arena *a)
{
    return arena_fmt(a, "tab/%s/", names[t]);
}

static str_t row_key(enum table t, str_t key, struct arena *a)
{
    return arena_fmt(a, "tab/%s/" STR_FMT, names[t], STR_ARG(key));
}

static str_t lower(str_t s, struct arena *a)
{
    str_t copy = arena_dup(a, s);
    str_lower((char *)(uintptr_t)copy.ptr, copy.len);
    return copy;
}

/* The parts as rows have them. False: no domain name. */
static bool split(str_t what, struct arena *a, str_t *local, str_t *domain)
{
    size_t at;
    *local = STR("");
    if (str_rfind(what, '@', &at)) {
        *local = lower(str_first(what, at), a);
        what = str_from(what, at + 1);
    }
    return domain_to_ascii(what, a, domain);
}

/* Keys to be asked for, the most particular first. */
static size_t candidates(str_t what, struct arena *a, str_t out[static KEYS_MAX])
{
    str_t local, domain;
    size_t n = 0, skip = 0, at;
    if (!split(what, a, &local, &domain))
        return 0;
    if (local.len > 0)
        out[n++] = arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain));
    if (domain.len > 0) {
        out[n++] = domain;
        for (size_t i = 0; i < domain.len; i++)
            skip += domain.ptr[i] == '.';
        skip = skip + 1 > TABLE_PARENTS ? skip + 1 - TABLE_PARENTS : 0;
        for (str_t rest = domain; rest.len > 0;) {
            if (skip == 0)
                out[n++] = arena_fmt(a, "." STR_FMT, STR_ARG(rest));
            else
                skip--;
            if (!str_find(rest, '.', &at))
                break;
            rest = str_from(rest, at + 1);
        }
    }
    out[n++] = STR("*");
    return n;
}

/* ---- looking up ---- */

struct tables {
    struct env *env;
    pthread_mutex_t lock;
    uint64_t generation[TABLES]; /* + 1, under which `empty` was found; 0: never looked at */
    bool empty[TABLES];
};

struct tables *tables_new(struct env *env)
{
    struct tables *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->env = env;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void tables_free(struct tables *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Of the directory now, + 1; 0: not known (no board). Read before the rows: what changes after it
 * raises it. */
static uint64_t generation_now(struct tables *t)
{
    const struct store_board *b = store_board(t->env->store);
    return b == NULL ? 0 : atomic_load(&b->generation[PART_DIRECTORY]) + 1;
}

static bool known_empty(struct tables *t, enum table which, uint64_t now)
{
    pthread_mutex_lock(&t->lock);
    bool empty = now != 0 && t->generation[which] == now && t->empty[which];
    pthread_mutex_unlock(&t->lock);
    return empty;
}

/* Looks whether there is any row, unless that is known. */
static enum store_rc look_empty(struct tables *t, enum table which, uint64_t now, struct arena *a)
{
    pthread_mutex_lock(&t->lock);
    bool known = now != 0 && t->generation[which] == now;
    pthread_mutex_unlock(&t->lock);
    if (known)
        return STORE_OK;
    str_t from = prefix_of(which, a);
    struct store_page page;
    const struct store_scan q = {.part = DIRECTORY_PART,
                                 .from = from,
                                 .end = store_prefix_end(a, from),
                                 .keys_only = true,
                                 .rows_max = 1};
    enum store_rc rc = a->failed ? STORE_LIMIT : store_scan(t->env->store, &q, a, &page);
    if (rc != STORE_OK)
        return rc;
    pthread_mutex_lock(&t->lock);
    t->generation[which] = now;
    t->empty[which] = page.n == 0;
    pthread_mutex_unlock(&t->lock);
    return STORE_OK;
}

static enum store_rc ask(struct tables *t, enum table which, const str_t *key, size_t n,
                         struct arena *scratch, struct arena *a, bool *found, str_t *value,
                         str_t *fitted)
{
    str_t row[KEYS_MAX];
    struct store_value v[KEYS_MAX];
    for (size_t i = 0; i < n; i++)
        row[i] = row_key(which, key[i], scratch);
    if (scratch->failed)
        return STORE_LIMIT;
    enum store_rc rc = store_get(t->env->store, DIRECTORY_PART, row, n, scratch, v);
    for (size_t i = 0; rc == STORE_OK && i < n && !*found; i++) {
        if (v[i].rc != STORE_OK)
            return v[i].rc;
        if (!v[i].present)
            continue;
        *found = true;
        *value = arena_dup(a, v[i].value);
        if (fitted != NULL)
            *fitted = arena_dup(a, key[i]);
    }
    return rc == STORE_OK && a->failed ? STORE_LIMIT : rc;
}

enum store_rc table_find(struct tables *t, enum table which, str_t what, struct arena *a,
                         bool *found, str_t *value, str_t *key)
{
    uint64_t now = generation_now(t);
    *found = false;
    if (known_empty(t, which, now))
        return STORE_OK;
    struct arena scratch;
    str_t keys[KEYS_MAX];
    arena_init(&scratch, FIND_ARENA);
    enum store_rc rc = look_empty(t, which, now, &scratch);
    if (rc == STORE_OK && !known_empty(t, which, now)) {
        size_t n = candidates(what, &scratch, keys);
        if (n > 0)
            rc = ask(t, which, keys, n, &scratch, a, found, value, key);
    }
    arena_free(&scratch);
    return rc;
}

/* ---- changing ---- */

static bool printable(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* A key as rows have it: "*", ".domain", domain, local@domain. */
static bool key_made(str_t key, struct arena *a, str_t *out, struct err *err)
{
    str_t local, domain;
    key = str_trim(key);
    bool below = str_starts(key, STR("."));
    *out = key;
    if (str_eq(key, STR("*")))
        return true;
    size_t at;
    bool good = key.len > 0 && key.len <= TABLE_KEY_MAX && printable(key) &&
                !(below && str_find(key, '@', &at)) &&
                split(below ? str_from(key, 1) : key, a, &local, &domain) && domain.len > 0;
    if (good && str_rfind(key, '@', &at))
        good = at > 0;
    if (good)
        *out = below           ? arena_fmt(a, "." STR_FMT, STR_ARG(domain))
               : local.len > 0 ? arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain))
                               : domain;
    if (good && !a->failed && out->len <= TABLE_KEY_MAX)
        return true;
    (void)err_set(err, RC_PERM, "",
                  "%.80s is no key: give an address (user@example.org), a domain (example.org), "
                  ".example.org for all below it, or *",
                  key.len > 0 ? arena_fmt(a, STR_FMT, STR_ARG(key)).ptr : "\"\"");
    return false;
}

static enum rc told(enum store_rc rc, struct err *err)
{
    if (rc == STORE_OK)
        return RC_OK;
    return err_set(err, RC_TEMP, "", "the store did not take it: %s", store_rc_name(rc));
}

enum rc table_set(struct store *s, enum table which, str_t key, str_t value, struct err *err)
{
    struct arena a;
    struct store_batch b;
    str_t made;
    arena_init(&a, FIND_ARENA);
    enum rc rc = RC_PERM;
    if (value.len > TABLE_VALUE_MAX || !printable(value))
        rc = err_set(err, RC_PERM, "", "a value is one line of at most %d bytes", TABLE_VALUE_MAX);
    else if (table_check(which, value, err) && key_made(key, &a, &made, err)) {
        store_batch_init(&b, DIRECTORY_PART, &a);
        store_put(&b, row_key(which, made, &a), value);
        rc = told(store_commit(s, &b), err);
    }
    arena_free(&a);
    return rc;
}

enum rc table_remove(struct store *s, enum table which, str_t key, struct err *err)
{
    struct arena a;
    struct store_batch b;
    str_t made;
    arena_init(&a, FIND_ARENA);
    enum rc rc = RC_PERM;
    if (key_made(key, &a, &made, err)) {
        str_t row = row_key(which, made, &a);
        store_batch_init(&b, DIRECTORY_PART, &a);
        store_require_present(&b, row);
        store_delete(&b, row);
        enum store_rc done = store_commit(s, &b);
        rc = done == STORE_CONFLICT ? err_set(err, RC_PERM, MISSING_STATUS, "table %s has no row " STR_FMT,
                                              names[which], STR_ARG(str_first(made, 100)))
                                    : told(done, err);
    }
    arena_free(&a);
    return rc;
}

enum store_rc table_list(struct store *s, enum table which, table_row_fn *fn, void *user)
{
    struct arena names_arena, a;
    arena_init(&names_arena, FIND_ARENA);
    arena_init(&a, PAGE_ARENA);
    str_t prefix = prefix_of(which, &names_arena);
    str_t end = store_prefix_end(&names_arena, prefix);
    char last[STORE_KEY_MAX + 1];
    struct store_scan q = {
        .part = DIRECTORY_PART, .from = prefix, .end = end, .rows_max = PAGE_ROWS};
    struct store_page page = {.more = true};
    enum store_rc rc = names_arena.failed ? STORE_LIMIT : STORE_OK;
    while (rc == STORE_OK && page.more) {
        arena_reset(&a);
        rc = store_scan(s, &q, &a, &page);
        for (size_t i = 0; rc == STORE_OK && i < page.n; i++)
            if (!page.rows[i].damaged &&
                !fn(user, str_from(page.rows[i].key, prefix.len), page.rows[i].value)) {
                page.more = false;
                break;
            }
        if (rc == STORE_OK && page.more && page.n > 0) {
            str_t k = page.rows[page.n - 1].key; /* go on just after it */
            memcpy(last, k.ptr, k.len);
            last[k.len] = '\0';
            q.from = str_of(last, k.len + 1);
        }
    }
    arena_free(&a);
    arena_free(&names_arena);
    return rc;
}
