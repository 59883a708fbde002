/* tls_policy.c: see tls_policy.h. */
#include "roles/courier/tls_policy.h"

#include <stdio.h>

static enum rc demand(struct tls_demand *out, enum tls_policy policy, const char *why, str_t of)
{
    out->policy = policy;
    snprintf(out->why, sizeof out->why, "%s" STR_FMT, why, STR_ARG(str_first(of, 100)));
    return RC_OK;
}

static enum rc not_read(enum store_rc rc, struct err *err)
{
    return err_set(err, RC_TEMP, "4.3.0", "the TLS policies cannot be read now: %s",
                   store_rc_name(rc));
}

/* The row for the domain, else for the host; one for everybody ("*") comes after both. */
static enum rc from_table(const struct tls_ask *q, struct arena *a, struct tls_demand *out,
                          struct err *err)
{
    bool found, of_host;
    str_t value = STR_NONE, key = STR_NONE, host_value, host_key;
    enum store_rc rc = table_find(q->tables, TABLE_TLS, q->domain, a, &found, &value, &key);
    if (rc != STORE_OK)
        return not_read(rc, err);
    if (!found || str_eq(key, STR("*"))) {
        rc = table_find(q->tables, TABLE_TLS, q->host, a, &of_host, &host_value, &host_key);
        if (rc != STORE_OK)
            return not_read(rc, err);
        if (of_host) {
            found = true;
            value = host_value;
            key = host_key;
        }
    }
    if (!found)
        return RC_OK;
    enum tls_policy policy;
    if (!tls_policy_parse(str_trim(value), &policy))
        return err_set(err, RC_TEMP, "4.3.5",
                       "table tls: \"" STR_FMT "\" for " STR_FMT
                       " is not none, may, encrypt or verify",
                       STR_ARG(str_first(value, 40)), STR_ARG(key));
    return demand(out, policy, "table tls, ", key);
}

/* RFC 8689 4.2.1 step 2: the name of the server must come from where nobody can forge it. */
static enum rc from_message(const struct tls_ask *q, struct tls_demand *out, struct err *err)
{
    bool by_mx = q->route->kind == ROUTE_MX || q->route->use_mx;
    out->requiretls = true;
    if (by_mx && !q->mx_secure)
        return err_set(err, RC_PERM, "5.7.10",
                       STR_FMT ": the message demands TLS to a server that is certain "
                               "(REQUIRETLS), but the domain's MX records are not signed",
                       STR_ARG(q->domain));
    return demand(out, TLS_POLICY_VERIFY, "the message's REQUIRETLS", STR_NONE);
}

enum rc tls_policy_find(const struct tls_ask *q, struct arena *a, struct tls_demand *out,
                        struct err *err)
{
    *out = (struct tls_demand){.policy = TLS_POLICY_MAY};
    if (q->requiretls)
        return from_message(q, out, err);
    if (q->route->has_tls)
        return demand(out, q->route->tls, "the route to ", q->host);
    if (q->route->auth.len > 0)
        return demand(out, TLS_POLICY_VERIFY, "a route with auth= and no tls=, to ", q->host);
    return q->tables == NULL ? RC_OK : from_table(q, a, out, err);
}
