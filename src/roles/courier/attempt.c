/* attempt.c: see attempt.h. Opening: hosts in the order of their preference, each group of
 * equals resolved before any of it is tried (whether we ourselves are in it decides about all of
 * it), their addresses in order, until one greets and takes our hello. */
#include "roles/courier/attempt_internal.h"

#include <stdlib.h>

#include "roles/courier/client_io.h"
#include "roles/courier/mx_lookup.h"

/* ---- connecting ---- */

/* What came of one address. */
enum tried {
    TRIED_OPEN,    /* greeted, and took our hello */
    TRIED_REFUSED, /* greeted, but would not have us */
    TRIED_FAILED,  /* no connection, or no greeting */
    /* this machine has no way there (IPv6 mostly): costs nothing and does not count */
    TRIED_NO_WAY,
    TRIED_SELF, /* it was us */
};

static void hang_up(struct attempt *t)
{
    smtpc_free(t->smtp);
    if (t->conn != NULL)
        t->conn->ops->close(t->conn);
    t->smtp = NULL;
    t->conn = NULL;
}

static void say(const struct attempt *t, struct err *err, const struct err *why,
                const char *fallback)
{
    char addr[NETADDR_TEXT];
    (void)err_set(err, RC_TEMP, why->status[0] != '\0' ? why->status : fallback, "%s[%s]: %s",
                  t->host, netaddr_text(&t->addr, addr), why->text);
    err->status[0] = '4'; /* whatever one host says of itself, another may take the mail */
}

static enum tried greet(struct attempt *t, struct err *err)
{
    t->smtp = smtpc_new(&t->config);
    t->transactions = 0;
    if (t->smtp == NULL) {
        (void)err_set(err, RC_TEMP, "4.3.0", "out of memory");
        return TRIED_FAILED;
    }
    if (smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT) == SMTPC_READY)
        smtpc_hello(t->smtp);
    if (smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT) == SMTPC_READY)
        return TRIED_OPEN;
    say(t, err, smtpc_error(t->smtp), "4.4.2");
    return smtpc_replies(t->smtp) > 0 ? TRIED_REFUSED : TRIED_FAILED;
}

static enum tried connect_to(struct attempt *t, struct err *err)
{
    struct err why = {0};
    const struct netaddr *from = t->source.family == t->addr.family ? &t->source : NULL;
    int64_t until = t->env->mono_ms(t->env) + ATTEMPT_CONNECT_MS;
    enum rc rc = t->env->connect(t->env, &t->addr, from, until, &t->conn, &why);
    if (rc != RC_OK) {
        t->conn = NULL;
        say(t, err, &why, "4.4.1");
        /* RFC 3463: unable to route */
        return strcmp(why.status, "4.4.4") == 0 ? TRIED_NO_WAY : TRIED_FAILED;
    }
    return TRIED_OPEN;
}

static enum tried try_address(struct attempt *t, const struct settings *set, str_t host,
                              const struct netaddr *addr, struct err *err)
{
    str_toc(host, t->host, sizeof t->host);
    t->addr = *addr;
    t->source = addr->family == NETADDR_V6 ? set->source_v6 : set->source_v4;
    enum tried tried = connect_to(t, err);
    if (tried == TRIED_OPEN && mx_self_connection(set, t->conn))
        tried = TRIED_SELF;
    if (tried == TRIED_OPEN)
        tried = greet(t, err);
    if (tried != TRIED_OPEN)
        hang_up(t);
    return tried;
}

/* ---- opening: over all hosts ---- */

struct search {
    struct mx_lookup lookup;
    struct mx_hosts hosts;
    struct mx_addresses found[MX_HOSTS_MAX];
    size_t addresses, sessions; /* tried, and greeted */
    bool unknown;               /* a host's addresses are not known now */
    bool self;                  /* we are among the hosts: it ends there */
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

static bool try_host(struct search *s, struct attempt *t, size_t i)
{
    const struct mx_addresses *f = &s->found[i];
    for (size_t k = 0; k < f->n && !enough(s); k++) {
        switch (try_address(t, s->lookup.set, s->hosts.host[i].name, &f->addr[k], &s->last)) {
        case TRIED_OPEN: return true;
        case TRIED_REFUSED:
            s->sessions++;
            s->addresses++;
            break;
        case TRIED_FAILED: s->addresses++; break;
        case TRIED_NO_WAY: break;
        case TRIED_SELF: s->self = true; break;
        }
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

static struct attempt *attempt_new(struct env *env, const struct settings *set)
{
    struct attempt *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->env = env;
    str_toc(set->hostname, t->hostname, sizeof t->hostname);
    t->config.hostname = str_c(t->hostname);
    arena_init(&t->chunk, ATTEMPT_CHUNK_ARENA);
    return t;
}

enum rc attempt_open(struct env *env, const struct settings *set, str_t domain, struct arena *a,
                     struct attempt **out, struct err *err)
{
    struct search s = {.lookup = {env, set, a, MX_DNS_MS}};
    *out = NULL;
    enum rc rc = mx_hosts_find(&s.lookup, domain, &s.hosts, err);
    if (rc == RC_OK) {
        struct attempt *t = attempt_new(env, set);
        if (t == NULL)
            return err_set(err, RC_TEMP, "4.3.0", "out of memory");
        if (try_all(&s, t)) {
            *out = t;
            return RC_OK;
        }
        attempt_close(t);
        rc = verdict(&s, domain, err);
    }
    /* the operator's table is wrong: not the sender's fault, and soon put right */
    if (rc == RC_PERM && s.hosts.route) {
        struct err why = *err;
        rc = err_set(err, RC_TEMP, "4.3.5", "route: %s", why.text);
    }
    return rc;
}

bool attempt_reconnect(struct attempt *t)
{
    struct err ignored;
    struct smtpc *old = t->smtp;
    t->smtp = NULL;
    hang_up(t);
    if (connect_to(t, &ignored) == TRIED_OPEN && greet(t, &ignored) == TRIED_OPEN) {
        smtpc_free(old);
        return true;
    }
    hang_up(t);
    t->smtp = old;
    return false;
}

bool attempt_usable(const struct attempt *t)
{
    return t->smtp != NULL && smtpc_want(t->smtp) == SMTPC_READY && !smtpc_accepting(t->smtp);
}

str_t attempt_host(const struct attempt *t)
{
    return str_c(t->host);
}
const struct netaddr *attempt_addr(const struct attempt *t)
{
    return &t->addr;
}

void attempt_close(struct attempt *t)
{
    if (t == NULL)
        return;
    if (attempt_usable(t)) {
        smtpc_quit(t->smtp);
        (void)smtpc_pump(t->smtp, t->conn, t->env, t->env->mono_ms(t->env) + ATTEMPT_CLOSE_MS);
    }
    hang_up(t);
    arena_free(&t->chunk);
    free(t);
}
