/* mx_lookup.c: see mx_lookup.h. */
#include "roles/courier/mx_lookup.h"

#include <stdlib.h>

enum { SMTP_PORT = 25, LMTP_PORT = 24 /* RFC 2033 5: never 25 */ };

/* ---- DNS with one budget of time ---- */

static void ask(struct mx_lookup *l, str_t name, enum dns_type type, struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_TIMEOUT};
    if (l->left_ms <= 0)
        return;
    int64_t start = l->env->mono_ms(l->env);
    int64_t wait = l->left_ms < MX_QUERY_MS ? l->left_ms : MX_QUERY_MS;
    l->env->dns(l->env, name, type, start + wait, l->arena, out);
    l->left_ms -= l->env->mono_ms(l->env) - start;
}

/* ---- literals ---- */

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3); without brackets too, for no domain
 * looks so. */
static bool literal(str_t s, struct netaddr *out)
{
    if (str_starts(s, STR("[")) && str_ends(s, STR("]")) && s.len >= 2)
        s = str_of(s.ptr + 1, s.len - 2);
    if (str_istarts(s, STR("IPv6:")))
        s = str_from(s, 5);
    return netaddr_parse(s, out);
}

static void one_host(struct mx_hosts *out, str_t name)
{
    struct mx_host *h = &out->host[0];
    *h = (struct mx_host){.name = name};
    out->n = 1;
    if (!literal(name, &h->literal))
        h->literal.family = NETADDR_NONE;
}

/* ---- MX ---- */

struct record {
    str_t name;
    uint16_t preference;
    uint32_t order; /* random: RFC 5321 5.1, load is spread among equals */
};

static int by_preference(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    if (x->preference != y->preference)
        return x->preference < y->preference ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool listed(const struct mx_hosts *out, str_t name)
{
    for (size_t i = 0; i < out->n; i++)
        if (str_ieq(out->host[i].name, name))
            return true;
    return false;
}

/* Decodes; leaves "." out. SIZE_MAX: no memory. */
static size_t decode_records(struct mx_lookup *l, const struct dns_answer *a, struct record *rec,
                             size_t *nulls)
{
    size_t n = 0;
    *nulls = 0;
    for (size_t i = 0; i < a->n; i++) {
        char host[256];
        if (!dns_mx(a->rdata[i], &rec[n].preference, host))
            continue;
        if (host[0] == '\0') {
            ++*nulls;
            continue;
        }
        l->env->random(l->env, &rec[n].order, sizeof rec[n].order);
        rec[n].name = arena_dup(l->arena, str_c(host));
        if (rec[n++].name.ptr == NULL)
            return SIZE_MAX;
    }
    return n;
}

/* RFC 5321 5.1: if we are among them, we are not to send to ourselves nor to any less preferred. */
static void keep_better_than_us(struct mx_lookup *l, const struct record *rec, size_t n,
                                struct mx_hosts *out)
{
    uint32_t ours = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        if (str_ieq(rec[i].name, l->set->hostname) && rec[i].preference < ours)
            ours = rec[i].preference;
    for (size_t i = 0; i < n; i++) {
        if (rec[i].preference >= ours)
            out->self = true;
        else if (out->n < MX_HOSTS_MAX && !listed(out, rec[i].name))
            out->host[out->n++] =
                (struct mx_host){.name = rec[i].name, .preference = rec[i].preference};
    }
}

static enum rc only_us(str_t domain, struct err *err)
{
    return err_set(err, RC_PERM, "5.4.6",
                   STR_FMT ": its best MX is this server, which does not know the domain",
                   STR_ARG(domain));
}

static enum rc from_records(struct mx_lookup *l, str_t domain, const struct dns_answer *a,
                            struct mx_hosts *out, struct err *err)
{
    size_t nulls, n = SIZE_MAX;
    struct record *rec = arena_array(l->arena, a->n, sizeof *rec);
    if (rec != NULL)
        n = decode_records(l, a, rec, &nulls);
    if (n == SIZE_MAX)
        return err_set(err, RC_TEMP, "4.3.0", "out of memory");
    if (n == 0 && nulls > 0) /* RFC 7505 3 */
        return err_set(err, RC_PERM, "5.1.10", STR_FMT ": the domain takes no mail (null MX)",
                       STR_ARG(domain));
    if (n == 0)
        return err_set(err, RC_TEMP, "4.4.3", STR_FMT ": its MX records cannot be read",
                       STR_ARG(domain));
    qsort(rec, n, sizeof *rec, by_preference);
    keep_better_than_us(l, rec, n, out);
    return out->n > 0 ? RC_OK : only_us(domain, err);
}

static enum rc look_up(struct mx_lookup *l, str_t domain, struct mx_hosts *out, struct err *err)
{
    struct dns_answer a;
    ask(l, domain, DNS_MX, &a);
    out->secure = a.secure;
    switch (a.status) {
    case DNS_OK: return from_records(l, domain, &a, out, err);
    case DNS_NODATA: /* RFC 5321 5.1: implicit MX, preference 0 */
        one_host(out, domain);
        return str_ieq(domain, l->set->hostname) ? only_us(domain, err) : RC_OK;
    case DNS_NXDOMAIN:
        return err_set(err, RC_PERM, "5.1.2", STR_FMT ": the domain does not exist (NXDOMAIN)",
                       STR_ARG(domain));
    case DNS_SERVFAIL:
    case DNS_TIMEOUT:
    case DNS_BOGUS: break;
    }
    return err_set(err, RC_TEMP, "4.4.3", STR_FMT ": MX lookup failed (%s)", STR_ARG(domain),
                   dns_status_name(a.status));
}

static uint16_t port_of(const struct mx_lookup *l, const struct route *route)
{
    if (route->port != 0)
        return route->port;
    if (route->kind == ROUTE_LMTP)
        return LMTP_PORT;
    if (route->implicit)
        return ROUTE_SUBMISSIONS_PORT;
    if (route->kind == ROUTE_SMTP || l->set->smtp_client_port == 0)
        return SMTP_PORT;
    return l->set->smtp_client_port;
}

enum rc mx_hosts_find(struct mx_lookup *l, str_t domain, const struct route *route,
                      struct mx_hosts *out, struct err *err)
{
    struct netaddr addr;
    *out = (struct mx_hosts){.route = route->kind != ROUTE_MX, .port = port_of(l, route)};
    str_t name = out->route ? route->host : domain;
    if (literal(name, &addr) || (out->route && !route->use_mx)) {
        one_host(out, name);
        return RC_OK;
    }
    return look_up(l, name, out, err);
}

/* ---- addresses ---- */

struct family {
    struct netaddr addr[MX_ADDRESSES_MAX];
    size_t n;
    enum dns_status status;
};

static void find_family(struct mx_lookup *l, str_t name, enum dns_type type, struct family *f)
{
    struct dns_answer a;
    ask(l, name, type, &a);
    f->status = a.status;
    f->n = 0;
    if (a.status != DNS_OK)
        return;
    uint32_t start = 0;
    l->env->random(l->env, &start, sizeof start); /* any of many may be first */
    for (size_t i = 0; i < a.n && f->n < MX_ADDRESSES_MAX; i++)
        if (dns_addr(type, a.rdata[(start + i) % a.n], &f->addr[f->n]))
            f->n++;
}

static bool absent(const struct family *f)
{
    return f->status == DNS_NODATA || f->status == DNS_NXDOMAIN;
}

void mx_addresses_find(struct mx_lookup *l, const struct mx_host *h, uint16_t port,
                       struct mx_addresses *out)
{
    *out = (struct mx_addresses){.rc = RC_OK};
    if (h->literal.family != NETADDR_NONE) {
        out->addr[0] = h->literal;
        out->addr[0].port = port;
        out->n = 1;
        return;
    }
    struct family v6, v4;
    find_family(l, h->name, DNS_A, &v4);
    find_family(l, h->name, DNS_AAAA, &v6);
    for (size_t i = 0; i < MX_ADDRESSES_MAX; i++) {
        if (i < v6.n)
            out->addr[out->n++] = v6.addr[i];
        if (i < v4.n)
            out->addr[out->n++] = v4.addr[i];
    }
    for (size_t i = 0; i < out->n; i++)
        out->addr[i].port = port;
    if (out->n == 0)
        out->rc = absent(&v6) && absent(&v4) ? RC_PERM : RC_TEMP;
}

/* ---- ourselves ---- */

static bool wildcard(const struct netaddr *a)
{
    static const uint8_t zero[16];
    return a->family != NETADDR_NONE &&
           memcmp(a->bytes, zero, a->family == NETADDR_V4 ? 4 : 16) == 0;
}

/* A listener on the wildcard takes connections of its family; on [::], of both. */
static bool takes(const struct netaddr *listener, const struct netaddr *a)
{
    return wildcard(listener) && (listener->family == a->family || listener->family == NETADDR_V6);
}

bool mx_self_address(const struct settings *set, const struct netaddr *a)
{
    for (size_t i = 0; i < set->n_listen_smtp; i++) {
        const struct netaddr *l = &set->listen_smtp[i];
        if (l->port == a->port &&
            (netaddr_eq(l, a) || (takes(l, a) && (netaddr_loopback(a) || wildcard(a)))))
            return true;
    }
    return false;
}

bool mx_self_connection(const struct settings *set, const struct conn *c)
{
    if (c->peer.family == NETADDR_NONE || !netaddr_eq(&c->peer, &c->local))
        return false;
    for (size_t i = 0; i < set->n_listen_smtp; i++)
        if (set->listen_smtp[i].port == c->peer.port && takes(&set->listen_smtp[i], &c->peer))
            return true;
    return false;
}
