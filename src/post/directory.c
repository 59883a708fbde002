/* directory.c: lookups. See directory.h.
 *
 * Everything an ordinary lookup may need is asked for in one multi-get: the domain, the exact
 * address, the address without detail (cut at each separator, if there are several: the separator
 * may be a character of names). The catch-all is given as an alias with one target, so that
 * it needs no further question here. Only <postmaster> without a row of its own, or without a
 * domain, costs one more. */
#include "post/directory.h"

#include "mail/domain.h"
#include "post/directory_row.h"

enum {
    LOCAL_MAX = 254, /* octets asked for: what RFC 5321 4.5.3.1.3 leaves of a path */
    CUTS_MAX = 4,    /* separators looked at, from the left */
    KEYS_MAX = 2 + CUTS_MAX,
};

struct question {
    str_t local, domain; /* lower case; the domain in A-labels */
    size_t cut[CUTS_MAX], ncuts;
};

static str_t lowered(str_t s, struct arena *a)
{
    str_t copy = arena_dup(a, s);
    if (copy.ptr != NULL)
        str_lower((char *)copy.ptr, copy.len); /* our own copy */
    return copy;
}

static void split_detail(struct question *q, char separator)
{
    q->ncuts = 0;
    for (size_t i = 1; separator != '\0' && i < q->local.len && q->ncuts < CUTS_MAX; i++)
        if (q->local.ptr[i] == separator && i <= DIRECTORY_LOCAL_MAX)
            q->cut[q->ncuts++] = i;
}

/* RFC 5321 4.5.1: postmaster is there whatever the rows say. */
static bool is_postmaster(const struct question *q)
{
    str_t name = q->ncuts > 0 ? str_first(q->local, q->cut[0]) : q->local;
    return str_eq(name, STR("postmaster"));
}

/* The account that was made first: ids only grow, and their keys sort as they do. */
static enum store_rc first_account(struct store *s, struct directory_entry *out)
{
    enum store_rc rc = directory_account_next(s, 0, &out->account);
    if (rc == STORE_OK && out->account != 0)
        out->kind = DIRECTORY_ACCOUNT;
    return rc;
}

/* An address row that was read. RC other than OK: it cannot be trusted. */
static enum store_rc take_row(const struct store_value *v, struct arena *a,
                              struct directory_entry *out)
{
    if (v->rc != STORE_OK)
        return v->rc;
    return directory_entry_decode(v->value, a, out) ? STORE_OK : STORE_DAMAGED;
}

static enum store_rc take_catchall(const struct question *q, str_t catchall, struct arena *a,
                                   struct directory_entry *out)
{
    /* The catch-all's own address, if it does not exist, must not lead to itself for ever. */
    if (catchall.len == 0 || str_ieq(catchall, directory_address_text(q->local, q->domain, a)))
        return STORE_OK;
    out->targets = arena_array(a, 1, sizeof *out->targets);
    if (out->targets == NULL)
        return STORE_LIMIT;
    out->targets[0] = catchall;
    out->ntargets = 1;
    out->kind = DIRECTORY_ALIAS;
    return STORE_OK;
}

static enum store_rc answer(struct store *s, const struct question *q, struct arena *a,
                            struct directory_entry *out)
{
    str_t keys[KEYS_MAX] = {directory_key_domain(q->domain, a)};
    /* What has no room in a row has none; with a detail it may be longer: VERP, BATV. */
    bool may_be = q->local.len <= DIRECTORY_LOCAL_MAX;
    size_t n = 1;
    if (may_be)
        keys[n++] = directory_key_address(q->domain, q->local, a);
    size_t first_cut = n;
    for (size_t i = q->ncuts; i-- > 0;)
        keys[n++] = directory_key_address(q->domain, str_first(q->local, q->cut[i]), a);
    if (a->failed)
        return STORE_LIMIT;
    struct store_value v[KEYS_MAX];
    enum store_rc rc = store_get(s, DIRECTORY_PART, keys, n, a, v);
    if (rc != STORE_OK)
        return rc;
    struct directory_domain domain;
    if (v[0].rc != STORE_OK)
        return v[0].rc;
    if (!v[0].present)
        return STORE_OK;
    if (!directory_domain_decode(v[0].value, &domain))
        return STORE_DAMAGED;
    out->kind = DIRECTORY_NONE;
    for (size_t i = 1; i < n; i++) {
        if (!v[i].present && v[i].rc == STORE_OK)
            continue;
        rc = take_row(&v[i], a, out);
        if (i >= first_cut)
            out->detail = str_from(q->local, q->cut[q->ncuts - 1 - (i - first_cut)] + 1);
        return rc;
    }
    if (is_postmaster(q)) {
        out->detail = q->ncuts > 0 ? str_from(q->local, q->cut[0] + 1) : STR_NONE;
        rc = first_account(s, out);
        if (rc != STORE_OK || out->kind == DIRECTORY_ACCOUNT)
            return rc;
    }
    return take_catchall(q, domain.catchall, a, out);
}

enum store_rc directory_lookup(struct store *s, str_t local, str_t domain, char separator,
                               struct arena *a, struct directory_entry *out)
{
    *out = (struct directory_entry){.kind = DIRECTORY_NOT_OURS};
    if (domain.len > DIRECTORY_DOMAIN_MAX || !domain_to_ascii(domain, a, &domain))
        return a->failed ? STORE_LIMIT : STORE_OK;
    if (domain.len == 0) {
        enum store_rc rc = directory_first_domain(s, a, &domain);
        if (rc != STORE_OK || domain.len == 0)
            return rc;
    }
    if (local.len == 0 || local.len > LOCAL_MAX) {
        bool ours;
        enum store_rc rc = directory_domain_exists(s, domain, a, &ours);
        out->kind = ours ? DIRECTORY_NONE : DIRECTORY_NOT_OURS;
        return rc;
    }
    struct question q = {.local = lowered(local, a), .domain = domain};
    split_detail(&q, separator);
    return answer(s, &q, a, out);
}

enum store_rc directory_domain_exists(struct store *s, str_t domain, struct arena *a, bool *yes)
{
    *yes = false;
    if (domain.len == 0 || domain.len > DIRECTORY_DOMAIN_MAX ||
        !domain_to_ascii(domain, a, &domain))
        return a->failed ? STORE_LIMIT : STORE_OK;
    str_t key = directory_key_domain(domain, a);
    str_t value;
    return a->failed ? STORE_LIMIT : store_get1(s, DIRECTORY_PART, key, a, yes, &value);
}

enum store_rc directory_first_domain(struct store *s, struct arena *a, str_t *domain)
{
    bool present;
    enum store_rc rc = store_get1(s, DIRECTORY_PART, DIRECTORY_KEY_FIRST, a, &present, domain);
    if (rc != STORE_OK || !present)
        *domain = STR_NONE;
    return rc;
}
