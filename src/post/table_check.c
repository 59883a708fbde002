/* table_check.c: what each table's values must look like: table_check of table.h. */
#include "base/netaddr.h"
#include "mail/domain.h"
#include "post/directory_row.h"
#include "post/route.h"
#include "post/table.h"

static bool no(struct err *err, const char *what, str_t word)
{
    (void)err_set(err, RC_PERM, "", "\"" STR_FMT "\": %s", STR_ARG(str_first(word, 60)), what);
    return false;
}

static bool next_word(str_t *rest, str_t *word)
{
    *rest = str_trim(*rest);
    if (rest->len == 0)
        return false;
    if (!str_cut(rest, ' ', word)) {
        *word = *rest;
        *rest = STR("");
    }
    return true;
}

static bool check_route(str_t value, struct arena *a, struct err *err)
{
    struct route r;
    return route_parse(value, a, &r, err);
}

static bool check_policy(str_t value, struct err *err)
{
    enum tls_policy p;
    return tls_policy_parse(str_trim(value), &p) ||
           no(err, "a policy is none, may, encrypt or verify", value);
}

static bool limit_word(str_t word, struct table_limit *out)
{
    str_t name;
    uint64_t n;
    if (!str_cut(&word, '=', &name) || !str_u64(word, TABLE_LIMIT_MAX, &n) || n == 0)
        return false;
    uint32_t *to = str_eq(name, STR("connections"))  ? &out->connections
                   : str_eq(name, STR("per_minute")) ? &out->per_minute
                                                     : NULL;
    if (to == NULL || *to != 0)
        return false;
    *to = (uint32_t)n;
    return true;
}

bool table_limit_parse(str_t value, struct table_limit *out, struct err *err)
{
    static const char form[] = "a limit is connections=N, per_minute=N or both, N 1 to 1000000";
    str_t rest = value, word;
    *out = (struct table_limit){0};
    while (next_word(&rest, &word))
        if (!limit_word(word, out))
            return no(err, form, word);
    return out->connections > 0 || out->per_minute > 0 || no(err, form, value);
}

static bool check_source(str_t value, struct err *err)
{
    str_t rest = value, word;
    struct netaddr addr;
    size_t n = 0;
    for (; next_word(&rest, &word); n++)
        if (!netaddr_parse(word, &addr))
            return no(err, "not an IPv4 or IPv6 address", word);
    return n > 0 || no(err, "give the addresses to send from", value);
}

static bool check_addresses(str_t value, struct arena *a, struct err *err)
{
    str_t rest = value, word;
    struct directory_address address;
    size_t n = 0;
    for (; next_word(&rest, &word); n++)
        if (!directory_address_parse(word, a, &address))
            return no(err, "not an address like user@example.org", word);
    return n > 0 || no(err, "give one or more addresses", value);
}

static bool check_domain(str_t value, struct arena *a, struct err *err)
{
    str_t domain;
    return directory_domain_parse(value, a, &domain) ||
           no(err, "not a domain like example.org", value);
}

/* An address, or @domain: the local part stays. */
static bool check_canonical(str_t value, struct arena *a, struct err *err)
{
    struct directory_address address;
    value = str_trim(value);
    if (str_starts(value, STR("@")))
        return check_domain(str_from(value, 1), a, err);
    return directory_address_parse(value, a, &address) ||
           no(err, "neither an address nor @domain", value);
}

static bool check_list(str_t value, struct arena *a, struct err *err)
{
    str_t rest = value, word;
    struct directory_address address;
    while (next_word(&rest, &word)) {
        bool owner = str_starts(word, STR("owner="));
        if (owner && !directory_address_parse(str_from(word, 6), a, &address))
            return no(err, "owner= needs an address", word);
        if (!owner && !str_eq(word, STR("verp")))
            return no(err, "a list's words are owner=ADDRESS and verp", word);
    }
    return true;
}

bool table_check(enum table which, str_t value, struct err *err)
{
    enum { CHECK_ARENA = 256 * 1024 };
    struct arena a;
    struct table_limit limit;
    bool good = true;
    arena_init(&a, CHECK_ARENA);
    switch (which) {
    case TABLE_TRANSPORT:
    case TABLE_RELAY: good = check_route(value, &a, err); break;
    case TABLE_TLS: good = check_policy(value, err); break;
    case TABLE_LIMIT: good = table_limit_parse(value, &limit, err); break;
    case TABLE_SOURCE: good = check_source(value, err); break;
    case TABLE_CANONICAL_SENDER:
    case TABLE_CANONICAL_RECIPIENT: good = check_canonical(value, &a, err); break;
    case TABLE_MASQUERADE: good = check_domain(str_trim(value), &a, err); break;
    case TABLE_GRANT: good = check_addresses(value, &a, err); break;
    case TABLE_LISTS: good = check_list(value, &a, err); break;
    case TABLE_HOLD_SENDER:
    case TABLE_HOLD_RECIPIENT:
    case TABLE_HOLD_ACCOUNT:
    case TABLE_SUSPEND:
    case TABLE_BACKUP:
    case TABLES: break; /* any words: they are shown to people */
    }
    arena_free(&a);
    return good;
}
