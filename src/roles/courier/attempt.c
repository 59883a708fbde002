/* attempt.c: see attempt.h. Opening: hosts in the order of their preference, each group of equals resolved before any of it is
 * tried (whether we ourselves are in it decides about all of it), their addresses in order, until one greets and takes our hello. */
#include "roles/courier/attempt.h"

#include <stdlib.h>

#include "roles/courier/client_io.h"
#include "roles/courier/mx_lookup.h"

enum { CHUNK_ARENA_MAX = 4 << 20 }; /* one chunk at a time and what fetching it takes */

struct attempt {
    struct env *env;
    struct smtpc_config config;
    struct netaddr source;
    struct conn *conn;
    struct smtpc *smtp;
    char host[256], hostname[256];
    struct netaddr addr;
    struct arena chunk;
    uint64_t transactions; /* on this connection */
};

/* ---- connecting ---- */

/* What came of one address. */
enum tried {
    TRIED_OPEN,    /* greeted, and took our hello */
    TRIED_REFUSED, /* greeted, but would not have us */
    TRIED_FAILED,  /* no connection, or no greeting */
    TRIED_NO_WAY,  /* this machine has no way to addresses of that family */
    TRIED_SELF,    /* it was us */
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
        return strcmp(why.status, "4.4.4") == 0 ? TRIED_NO_WAY
                                                : TRIED_FAILED; /* RFC 3463: unable to route */
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
    bool no_way[3];             /* by enum netaddr_family */
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
        if (s->no_way[f->addr[k].family])
            continue;
        switch (try_address(t, s->lookup.set, s->hosts.host[i].name, &f->addr[k], &s->last)) {
        case TRIED_OPEN: return true;
        case TRIED_REFUSED:
            s->sessions++;
            s->addresses++;
            break;
        case TRIED_FAILED: s->addresses++; break;
        case TRIED_NO_WAY: s->no_way[f->addr[k].family] = true; break;
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

/* Nobody took us: why, and for how long. Permanent only if nothing was tried and nothing is unknown. */
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
    arena_init(&t->chunk, CHUNK_ARENA_MAX);
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
    if (rc == RC_PERM &&
        s.hosts
            .route) { /* the operator's table is wrong: not the sender's fault, and soon put right */
        struct err why = *err;
        rc = err_set(err, RC_TEMP, "4.3.5", "route: %s", why.text);
    }
    return rc;
}

/* The same address again. If that fails the old engine stays: it has the reason. */
static bool reconnect(struct attempt *t)
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

/* ---- sending ---- */

struct sending {
    const struct queue_message *m;
    attempt_chunk_fn *chunk;
    enum rc (*before_dot)(void *user);
    void *user;
};

/* One chunk of the store to the engine; what it made of the one before goes out first, so that the last one leaves together with
 * the dot. */
static bool send_chunk(struct attempt *t, const struct sending *s, uint32_t k)
{
    str_t bytes = STR_NONE;
    arena_reset(&t->chunk);
    enum rc rc = s->chunk(s->user, k, &t->chunk, &bytes);
    if (rc != RC_OK) {
        if (rc == RC_PERM)
            smtpc_abort(t->smtp, RC_PERM, "5.3.0", "the stored message is damaged");
        else
            smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "the stored message cannot be read now");
        return false;
    }
    while (bytes.len > 0) {
        str_t piece = str_first(bytes, SMTPC_CONTENT_MAX);
        if (smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT) != SMTPC_READY)
            return false;
        smtpc_content(t->smtp, piece);
        bytes = str_from(bytes, piece.len);
    }
    return smtpc_want(t->smtp) != SMTPC_DEAD;
}

static void send_content(struct attempt *t, const struct sending *s)
{
    for (uint32_t k = 0; k < s->m->chunks; k++)
        if (!send_chunk(t, s, k))
            return;
    if (s->before_dot != NULL && s->before_dot(s->user) != RC_OK) {
        smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "given up before the message was complete");
        return;
    }
    smtpc_end(t->smtp);
    (void)smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT);
}

static void transact(struct attempt *t, const struct smtpc_envelope *e, const struct sending *s)
{
    smtpc_begin(t->smtp, e);
    (void)smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT);
    if (smtpc_accepting(t->smtp))
        send_content(t, s);
}

/* The peer's status, of the class of our verdict; ours where it gave none. */
static void fill_status(struct attempt_verdict *v, const char *status)
{
    char class = v->rc == RC_OK ? '2' : v->rc == RC_PERM ? '5' : '4';
    str_toc(str_c(status[0] != '\0'    ? status
                  : v->rc == RC_CLOSED ? "4.4.2"
                                       : "4.0.0"),
            v->status, sizeof v->status);
    v->status[0] = class;
}

void attempt_send(struct attempt *t, const struct queue_message *m, const struct queue_delivery *d,
                  attempt_chunk_fn *chunk, enum rc (*before_dot)(void *user), void *user,
                  struct arena *a, struct attempt_verdict *verdicts)
{
    str_t *to = arena_array(a, d->nrcpt, sizeof *to);
    for (size_t i = 0; i < d->nrcpt; i++) {
        verdicts[i] = (struct attempt_verdict){
            .rc = RC_TEMP, .status = "4.3.0", .text = STR("out of memory")};
        if (to != NULL)
            to[i] = d->rcpt[i].address;
    }
    if (to == NULL)
        return;
    struct sending s = {m, chunk, before_dot, user};
    struct smtpc_envelope e = {.reverse_path = m->reverse_path,
                               .recipients = to,
                               .n = d->nrcpt,
                               .size = m->size,
                               .body_8bit = m->body_8bit,
                               .smtputf8 = m->smtputf8};
    transact(t, &e, &s);
    if (t->transactions > 0 && smtpc_untouched(t->smtp) && reconnect(t))
        transact(t, &e, &s);
    t->transactions++;
    for (size_t i = 0; i < d->nrcpt; i++) {
        struct smtpc_reply r;
        struct attempt_verdict *v = &verdicts[i];
        v->rc = smtpc_verdict(t->smtp, i, &r);
        v->code = r.code;
        v->text = arena_dup(a, r.text);
        fill_status(v, r.status);
    }
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
