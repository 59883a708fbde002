/* next_hop.c: see next_hop.h. */
#include "roles/courier/next_hop.h"

#include "base/map.h"

static enum rc not_read(enum table t, enum store_rc rc, struct err *err)
{
    return err_set(err, RC_TEMP, "4.3.0", "table %s cannot be read now: %s", table_name(t),
                   store_rc_name(rc));
}

/* ---- the way ---- */

static enum rc parse(str_t words, struct arena *a, struct route *out, struct err *err)
{
    struct err why;
    if (route_parse(words, a, out, &why))
        return RC_OK;
    return err_set(err, RC_TEMP, "4.3.5", "route \"" STR_FMT "\": %s",
                   STR_ARG(str_first(words, 80)), why.text);
}

static const struct settings_route *settings_route_for(const struct settings *set, str_t domain)
{
    const struct settings_route *smarthost = NULL;
    for (size_t i = 0; i < set->n_routes; i++) {
        if (str_ieq(set->routes[i].domain, domain))
            return &set->routes[i];
        if (str_eq(set->routes[i].domain, STR("*")) && smarthost == NULL)
            smarthost = &set->routes[i];
    }
    return smarthost;
}

enum rc next_hop_find(const struct attempt_setup *s, str_t domain, str_t via, struct arena *a,
                      struct route *out, struct err *err)
{
    bool found = false;
    str_t words;
    *out = (struct route){.kind = ROUTE_MX};
    if (via.len > 0)
        return parse(via, a, out, err);
    if (s->tables != NULL) {
        enum store_rc rc = table_find(s->tables, TABLE_TRANSPORT, domain, a, &found, &words, NULL);
        if (rc != STORE_OK)
            return not_read(TABLE_TRANSPORT, rc, err);
    }
    if (found)
        return parse(words, a, out, err);
    const struct settings_route *r = settings_route_for(s->set, domain);
    if (r != NULL)
        *out = (struct route){.kind = ROUTE_SMTP,
                              .host = r->host,
                              .port = r->port,
                              .use_mx = r->use_mx,
                              .implicit = r->port == ROUTE_SUBMISSIONS_PORT,
                              .has_tls = r->port == ROUTE_SUBMISSIONS_PORT,
                              .tls = r->port == ROUTE_SUBMISSIONS_PORT ? TLS_POLICY_ENCRYPT
                                                                       : TLS_POLICY_MAY};
    return RC_OK;
}

bool next_hop_backup(const struct attempt_setup *s, str_t domain, struct arena *a)
{
    bool found = false;
    str_t value;
    /* what cannot be read now counts as a row: the other way is a bounce */
    return s->tables != NULL &&
           (table_find(s->tables, TABLE_BACKUP, domain, a, &found, &value, NULL) != STORE_OK ||
            found);
}

/* ---- the address we send from ---- */

/* The k-th of those of one family, modulo how many there are; false: none. */
static bool pick(str_t words, enum netaddr_family family, uint64_t k, struct netaddr *out)
{
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (str_t rest = words, word; rest.len > 0;) {
            word = rest;
            if (!str_cut(&rest, ' ', &word))
                rest = STR_NONE;
            struct netaddr a;
            if (!netaddr_parse(str_trim(word), &a) || a.family != family)
                continue;
            if (pass == 0)
                n++;
            else if (at++ == k % n)
                *out = a;
        }
        if (n == 0)
            return false;
    }
    return true;
}

enum rc next_hop_source(const struct attempt_setup *s, str_t sender, str_t domain, struct arena *a,
                        struct attempt_target *out, struct err *err)
{
    static const uint8_t key[16]; /* spreads over a handful: nothing to be guessed */
    bool found = false;
    str_t words = STR_NONE;
    out->pool = false;
    out->from_v4 = s->set->source_v4;
    out->from_v6 = s->set->source_v6;
    if (s->tables == NULL || sender.len == 0)
        return RC_OK;
    enum store_rc rc = table_find(s->tables, TABLE_SOURCE, sender, a, &found, &words, NULL);
    if (rc != STORE_OK)
        return not_read(TABLE_SOURCE, rc, err);
    if (!found)
        return RC_OK;
    uint64_t k = siphash24(key, domain);
    out->from_v4 = out->from_v6 = (struct netaddr){.family = NETADDR_NONE};
    out->pool = true;
    bool v4 = pick(words, NETADDR_V4, k, &out->from_v4);
    bool v6 = pick(words, NETADDR_V6, k, &out->from_v6);
    if (!v4 && !v6)
        return err_set(err, RC_TEMP, "4.3.5", "table source: no address in \"" STR_FMT "\"",
                       STR_ARG(str_first(words, 80)));
    return RC_OK;
}
