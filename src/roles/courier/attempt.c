/* attempt.c: see attempt.h. Opening: hosts in the order of their preference, each group of
 * equals resolved before any of it is tried (whether we ourselves are in it decides about all of
 * it), their addresses in order, until one greets, takes our hello, and its TLS is as demanded. */
#include <stdlib.h>

#include "mail/domain.h"
#include "roles/courier/attempt_internal.h"
#include "roles/courier/client_io.h"
#include "roles/courier/mx_lookup.h"
#include "roles/courier/next_hop.h"

/* ---- opening: over all hosts ---- */

struct search {
    struct mx_lookup lookup;
    struct mx_hosts hosts;
    str_t domain; /* in A-labels */
    struct mx_addresses found[MX_HOSTS_MAX];
    size_t addresses, sessions; /* tried, and greeted */
    bool unknown;               /* a host's addresses are not known now */
    bool self;                  /* we are among the hosts: it ends there */
    bool policy, other;         /* what failed: TLS as the message demands it; anything else */
    struct err last;
};

static bool enough(const struct search *s)
{
    return s->addresses >= ATTEMPT_ADDRESSES || s->sessions >= ATTEMPT_SESSIONS || s->self;
}

/* The addresses of hosts from..to; false if one of them is ours. */
static bool resolve_group(struct search *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct mx_addresses *f = &s->found[i];
        mx_addresses_find(&s->lookup, &s->hosts.host[i], s->hosts.port, f);
        s->unknown |= f->rc == RC_TEMP;
        for (size_t k = 0; k < f->n; k++)
            if (mx_self_address(s->lookup.set, &f->addr[k]))
                return false;
    }
    return true;
}

/* What is asked of this host's TLS. False: it cannot be had, or is not known. */
static bool find_demand(struct search *s, struct attempt *t, str_t host)
{
    const struct tls_ask ask = {.tables = t->setup.tables,
                                .route = &t->route,
                                .domain = s->domain,
                                .host = host,
                                .requiretls = t->target.requiretls,
                                .mx_secure = s->hosts.secure};
    struct err why = {0};
    enum rc rc = tls_policy_find(&ask, s->lookup.arena, &t->demand, &why);
    if (rc == RC_OK)
        return true;
    s->policy |= rc == RC_PERM;
    s->other |= rc != RC_PERM;
    s->last = why;
    return false;
}

static bool try_host(struct search *s, struct attempt *t, size_t i)
{
    const struct mx_addresses *f = &s->found[i];
    str_t host = s->hosts.host[i].name;
    if (f->n == 0 || !find_demand(s, t, host))
        return false;
    for (size_t k = 0; k < f->n && !enough(s); k++) {
        str_toc(host, t->host, sizeof t->host);
        t->addr = f->addr[k];
        enum tried tried = attempt_connect(t, &s->last);
        if (tried == TRIED_OPEN)
            return true;
        s->self = tried == TRIED_SELF;
        s->policy |= t->policy_failed;
        s->other |= !t->policy_failed && tried != TRIED_NO_WAY;
        s->sessions += tried == TRIED_REFUSED;
        s->addresses += tried == TRIED_REFUSED || tried == TRIED_FAILED;
    }
    return false;
}

static bool try_all(struct search *s, struct attempt *t)
{
    const struct mx_hosts *h = &s->hosts;
    for (size_t from = 0, to; from < h->n && !enough(s); from = to) {
        for (to = from + 1; to < h->n && h->host[to].preference == h->host[from].preference;)
            to++;
        if (!resolve_group(s, from, to)) {
            s->self = true;
            return false;
        }
        for (size_t i = from; i < to; i++)
            if (try_host(s, t, i))
                return true;
    }
    return false;
}

/* Nobody took us: why, and for how long. Permanent only if nothing was tried and nothing is
 * unknown. */
static enum rc verdict(const struct search *s, str_t domain, struct err *err)
{
    if (s->last.text[0] != '\0') {
        *err = s->last;
        /* RFC 8689 4.2.1: no host left that would do: the sender is told, not kept waiting */
        if (s->policy && !s->other && !s->unknown && !s->self)
            return err_set(err, RC_PERM,
                           strcmp(s->last.status, "4.7.30") == 0 ? "5.7.30" : "5.7.10", "%s",
                           s->last.text);
        return err->rc;
    }
    if (s->unknown)
        return err_set(err, RC_TEMP, "4.4.3",
                       STR_FMT ": the addresses of its hosts are not known now", STR_ARG(domain));
    if (s->self)
        return err_set(err, RC_PERM, "5.4.6",
                       STR_FMT ": its best host is this server, which does not know the domain",
                       STR_ARG(domain));
    return err_set(err, RC_PERM, "5.4.4", STR_FMT ": no host that takes its mail has an address",
                   STR_ARG(domain));
}

/* ---- one target ---- */

static struct attempt *attempt_new(const struct attempt_setup *setup,
                                   const struct attempt_target *to, const struct route *route)
{
    struct attempt *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    arena_init(&t->chunk, ATTEMPT_CHUNK_ARENA);
    arena_init(&t->keep, ATTEMPT_KEEP_ARENA);
    t->setup = *setup;
    t->target = *to;
    t->target.domain = arena_dup(&t->keep, to->domain);
    t->target.via = arena_dup(&t->keep, to->via);
    t->route = *route;
    t->route.host = arena_dup(&t->keep, route->host);
    t->route.auth = arena_dup(&t->keep, route->auth);
    t->route.text = STR_NONE;
    str_toc(setup->set->hostname, t->hostname, sizeof t->hostname);
    t->config.hostname = str_c(t->hostname);
    t->config.lmtp = route->kind == ROUTE_LMTP;
    if (t->keep.failed) {
        attempt_close(t);
        return NULL;
    }
    return t;
}

/* A port of its own is a service of its own: whether it answers says nothing of another. */
static str_t site_name(const struct search *s, const struct route *route)
{
    str_t host = s->hosts.host[0].name;
    return route->port == 0
               ? host
               : arena_fmt(s->lookup.arena, STR_FMT ":%u", STR_ARG(host), (unsigned)route->port);
}

static enum rc search(struct search *s, const struct attempt_setup *setup,
                      const struct attempt_target *to, const struct route *route,
                      attempt_site_fn *site, void *user, struct attempt **out, struct err *err)
{
    enum rc rc = mx_hosts_find(&s->lookup, s->domain, route, &s->hosts, err);
    if (rc != RC_OK)
        return rc;
    if (site != NULL && !site(user, site_name(s, route)))
        return err_set(err, RC_TEMP, "4.4.0", "not to be connected to");
    struct attempt *t = attempt_new(setup, to, route);
    if (t == NULL)
        return err_set(err, RC_TEMP, "4.3.0", "out of memory");
    if (try_all(s, t)) {
        *out = t;
        return RC_OK;
    }
    attempt_close(t);
    return verdict(s, s->domain, err);
}

/* A failure of our own making is put right by the operator, not by the sender. */
static enum rc mend(const struct search *s, const struct attempt_setup *setup, struct arena *a,
                    enum rc rc, struct err *err)
{
    struct err why = *err;
    if (rc != RC_PERM || s->policy)
        return rc;
    if (s->hosts.route)
        return err_set(err, RC_TEMP, "4.3.5", "route: %s", why.text);
    if (strcmp(why.status, "5.4.6") == 0 && next_hop_backup(setup, s->domain, a))
        return err_set(err, RC_TEMP, "4.4.6",
                       STR_FMT ": this server is only a backup for it, and no better host is known",
                       STR_ARG(s->domain));
    return rc;
}

enum rc attempt_open(const struct attempt_setup *setup, const struct attempt_target *to,
                     attempt_site_fn *site, void *user, struct arena *a, struct attempt **out,
                     struct err *err)
{
    struct search s = {.lookup = {setup->env, setup->set, a, MX_DNS_MS}};
    struct route route;
    *out = NULL;
    if (!domain_to_ascii(to->domain, a, &s.domain))
        return a->failed ? err_set(err, RC_TEMP, "4.3.0", "out of memory")
                         : err_set(err, RC_PERM, "5.1.2", STR_FMT ": no valid domain name",
                                   STR_ARG(to->domain));
    enum rc rc = next_hop_find(setup, s.domain, to->via, a, &route, err);
    if (rc != RC_OK)
        return rc;
    if (route.kind == ROUTE_ERROR)
        return err_set(err, route.status[0] == '4' ? RC_TEMP : RC_PERM, route.status, STR_FMT,
                       STR_ARG(route.text));
    rc = search(&s, setup, to, &route, site, user, out, err);
    return rc == RC_OK ? rc : mend(&s, setup, a, rc, err);
}

/* ---- targets ---- */

enum rc attempt_target_of(const struct attempt_setup *s, const struct queue_message *m,
                          const struct queue_delivery *d, struct arena *a,
                          struct attempt_target *out, struct err *err)
{
    str_t sender = d->has_sender ? d->sender : m->reverse_path;
    *out = (struct attempt_target){.domain = d->domain,
                                   .via = d->via,
                                   /* RFC 8689 5: a bounce is not lost for want of it */
                                   .requiretls = m->requiretls && sender.len > 0};
    return next_hop_source(s, sender, d->domain, a, out, err);
}

static bool addr_same(const struct netaddr *a, const struct netaddr *b)
{
    return a->family == b->family && (a->family == NETADDR_NONE || netaddr_eq(a, b));
}

static bool same_but_tls(const struct attempt_target *a, const struct attempt_target *b)
{
    return str_ieq(a->domain, b->domain) && str_eq(a->via, b->via) && a->pool == b->pool &&
           addr_same(&a->from_v4, &b->from_v4) && addr_same(&a->from_v6, &b->from_v6);
}

bool attempt_target_same(const struct attempt_target *a, const struct attempt_target *b)
{
    return a->requiretls == b->requiretls && same_but_tls(a, b);
}

static bool route_same(const struct route *a, const struct route *b)
{
    return a->kind == b->kind && a->port == b->port && a->use_mx == b->use_mx &&
           a->has_tls == b->has_tls && a->tls == b->tls && a->implicit == b->implicit &&
           str_eq(a->host, b->host) && str_eq(a->auth, b->auth);
}

/* The operator may have changed the tables since: nothing goes the former way, nor over a session
 * that was made for less of TLS. */
static bool way_holds(const struct attempt *t)
{
    enum { TABLES_ARENA = 64 * 1024 };
    struct tls_ask ask = {.tables = t->setup.tables, .route = &t->route, .host = str_c(t->host)};
    struct tls_demand demand;
    struct route route;
    struct err why;
    struct arena a;
    arena_init(&a, TABLES_ARENA);
    bool holds = domain_to_ascii(t->target.domain, &a, &ask.domain) &&
                 next_hop_find(&t->setup, ask.domain, t->target.via, &a, &route, &why) == RC_OK &&
                 route_same(&route, &t->route) &&
                 (t->target.requiretls || (tls_policy_find(&ask, &a, &demand, &why) == RC_OK &&
                                           demand.policy == t->demand.policy));
    arena_free(&a);
    return holds;
}

bool attempt_fits(const struct attempt *t, const struct attempt_target *to)
{
    /* who is good enough for REQUIRETLS is good enough for all */
    return same_but_tls(&t->target, to) && (t->target.requiretls || !to->requiretls) &&
           way_holds(t);
}

/* ---- an open one ---- */

bool attempt_usable(const struct attempt *t)
{
    if (t->smtp == NULL || smtpc_want(t->smtp) != SMTPC_READY || smtpc_accepting(t->smtp))
        return false;
    uint32_t max = smtpc_features(t->smtp)->mail_max; /* RFC 9422 4.1 */
    return max == 0 || t->transactions < max;
}

bool attempt_put_off(const struct attempt *t)
{
    return t->smtp != NULL && smtpc_put_off(t->smtp);
}

str_t attempt_tls(const struct attempt *t)
{
    return str_c(t->tls);
}

str_t attempt_host(const struct attempt *t)
{
    return str_c(t->host);
}
const struct netaddr *attempt_addr(const struct attempt *t)
{
    return &t->addr;
}

void attempt_quit(struct attempt *t)
{
    struct env *env = t->setup.env;
    if (t->smtp == NULL || smtpc_want(t->smtp) != SMTPC_READY || smtpc_accepting(t->smtp))
        return;
    smtpc_quit(t->smtp);
    (void)smtpc_pump(t->smtp, t->conn, env, env->mono_ms(env) + ATTEMPT_CLOSE_MS);
}

void attempt_close(struct attempt *t)
{
    if (t == NULL)
        return;
    attempt_quit(t);
    attempt_hang_up(t);
    arena_free(&t->chunk);
    arena_free(&t->keep);
    free(t);
}
