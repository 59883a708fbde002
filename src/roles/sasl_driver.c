/* sasl_driver.c: see sasl_driver.h. What the engine asks is asked of core, until the engine wants
 * the client again. */
#include "roles/sasl_driver.h"

#include <stdlib.h>

#include "mail/domain.h"

enum {
    /* a message, its parts, SCRAM's copies of them */
    EXCHANGE_ARENA = 8 * SASL_MESSAGE_MAX,
    NONCE = 24,
};

struct sasl_driver {
    struct login_desk *desk;
    struct sasl *sasl;
    enum sasl_mech mech;
    enum store_use use;
    struct netaddr from;
    const struct tls_info *tls;
    str_t hostname;
    struct netaddr local; /* or family NONE */
    struct arena arena;
    struct store_login_answer answer; /* session: ours until it is taken */
    str_t name;
    uint32_t hold_ms;
    struct err err;
};

/* ---- the desk ---- */

static enum rc desk_login(struct login_desk *desk, const struct store_login *q,
                          struct store_login_answer *out, struct err *err)
{
    return store_remote_login(desk->env->store, q, out, err);
}

static enum rc desk_scram(struct login_desk *desk, str_t name, uint8_t salt[static 16],
                          uint32_t *iterations, struct err *err)
{
    return store_remote_scram(desk->env->store, name, salt, iterations, err);
}

static void desk_logout(struct login_desk *desk, struct store *session)
{
    (void)desk;
    store_close(session);
}

void login_desk_init(struct login_desk *desk, struct env *env, int waiting_max)
{
    *desk = (struct login_desk){.env = env,
                                .login = desk_login,
                                .scram = desk_scram,
                                .logout = desk_logout,
                                .waiting_max = waiting_max};
}

str_t login_stored_name(str_t name, struct arena *a)
{
    size_t at;
    str_t domain;
    if (!str_rfind(name, '@', &at) || !domain_to_ascii(str_from(name, at + 1), a, &domain))
        return name;
    char *copy = arena_alloc(a, at + 1 + domain.len);
    if (copy == NULL)
        return name;
    memcpy(copy, name.ptr, at + 1);
    if (domain.len > 0)
        memcpy(copy + at + 1, domain.ptr, domain.len);
    return str_of(copy, at + 1 + domain.len);
}

/* What there is on this connection. There may be none under TLS: a certificate whose signature has
 * no hash of its own (Ed25519) has no end point (RFC 5929 4.1), and TLS 1.2 without an extended
 * master secret no exporter (RFC 9266 2). */
static struct sasl_binding binding_of(const struct tls_info *tls)
{
    struct sasl_binding b = {0};
    if (tls != NULL && tls->has_exporter)
        b.exporter = str_of(tls->exporter, sizeof tls->exporter);
    if (tls != NULL)
        b.end_point = str_of(tls->end_point, tls->end_point_len);
    return b;
}

static bool can_bind(const struct sasl_binding *b)
{
    return b->exporter.len > 0 || b->end_point.len > 0;
}

unsigned sasl_driver_mechs(const struct tls_info *tls, bool loopback, bool tokens)
{
    const struct sasl_binding binding = binding_of(tls);
    unsigned set = 0;
    if (tls != NULL || loopback)
        set |=
            1u << SASL_PLAIN | 1u << SASL_LOGIN | 1u << SASL_SCRAM_SHA_1 | 1u << SASL_SCRAM_SHA_256;
    if (can_bind(&binding))
        set |= 1u << SASL_SCRAM_SHA_1_PLUS | 1u << SASL_SCRAM_SHA_256_PLUS;
    if (tls != NULL && tls->has_client_cert)
        set |= 1u << SASL_EXTERNAL;
    if (tls != NULL && tokens)
        set |= 1u << SASL_OAUTHBEARER | 1u << SASL_XOAUTH2;
    return set;
}

/* ---- the exchange ---- */

/* From one of our own addresses it is this machine, whatever we listen on (0.0.0.0 has them all): core
 * is told so, since it never refuses the machine itself. */
static struct netaddr origin_of(const struct sasl_driver_who *who)
{
    static const struct netaddr loopback = {.family = NETADDR_V4, .bytes = {127, 0, 0, 1}};
    return who->local != NULL && netaddr_eq(who->from, who->local) ? loopback : *who->from;
}

struct sasl_driver *sasl_driver_begin(struct login_desk *desk, const struct sasl_driver_who *who,
                                      enum sasl_mech mech)
{
    struct sasl_driver *d = calloc(1, sizeof *d);
    uint8_t nonce[NONCE];
    const struct sasl_binding binding = binding_of(who->tls);
    if (d == NULL)
        return NULL;
    d->desk = desk;
    d->mech = mech;
    d->use = who->use;
    d->from = origin_of(who);
    d->tls = who->tls;
    d->hostname = who->hostname;
    if (who->local != NULL)
        d->local = *who->local;
    arena_init(&d->arena, EXCHANGE_ARENA);
    desk->env->random(desk->env, nonce, sizeof nonce);
    d->sasl = sasl_begin(&d->arena, mech, &binding, nonce, can_bind(&binding));
    if (d->sasl == NULL) {
        sasl_driver_end(d);
        return NULL;
    }
    return d;
}

void sasl_driver_end(struct sasl_driver *d)
{
    if (d == NULL)
        return;
    if (d->answer.session != NULL)
        d->desk->logout(d->desk, d->answer.session);
    sasl_end(d->sasl);
    arena_free(&d->arena);
    explicit_bzero(&d->answer, sizeof d->answer);
    free(d);
}

/* A place among those who may wait for core. */
static bool desk_enter(struct sasl_driver *d)
{
    if (atomic_fetch_add(&d->desk->waiting, 1) < d->desk->waiting_max)
        return true;
    atomic_fetch_sub(&d->desk->waiting, 1);
    d->hold_ms = LOGIN_BUSY_HOLD_MS;
    (void)err_set(&d->err, RC_TEMP, "4.7.0", "too many logins at once");
    return false;
}

static void desk_leave(struct sasl_driver *d)
{
    atomic_fetch_sub(&d->desk->waiting, 1);
}

static str_t asked_name(struct sasl_driver *d, const struct sasl_question *q)
{
    d->name = q->authcid;
    return login_stored_name(q->authcid, &d->arena);
}

static enum rc ask_salt(struct sasl_driver *d, enum sasl_event *ev)
{
    uint8_t *salt = arena_alloc(&d->arena, 16);
    uint32_t iterations = 0;
    str_t name = asked_name(d, sasl_question(d->sasl));
    if (salt == NULL || !desk_enter(d))
        return RC_TEMP;
    enum rc rc = d->desk->scram(d->desk, name, salt, &iterations, &d->err);
    desk_leave(d);
    if (rc == RC_OK)
        *ev = sasl_salt(d->sasl, str_of(salt, 16), iterations);
    return rc == RC_OK ? RC_OK : RC_TEMP;
}

/* Acting for somebody else is nobody's right here. What the client says of itself twice is fine. */
static bool acts_for_another(struct sasl_driver *d, const struct sasl_question *q, str_t name)
{
    return q->authzid.len > 0 && !str_ieq(login_stored_name(q->authzid, &d->arena), name);
}

static struct store_login login_of(struct sasl_driver *d, const struct sasl_question *q, str_t name)
{
    struct store_login l = {
        .use = d->use,
        .from = d->from,
        .name = name,
        .password = q->password,
        .hash_bits = q->hash_bits,
        .auth_message = q->auth_message,
        .client_proof = q->client_proof,
    };
    switch (q->proof) {
    case SASL_PROOF_PASSWORD: l.proof = STORE_PROOF_PASSWORD; break;
    case SASL_PROOF_SCRAM: l.proof = STORE_PROOF_SCRAM; break;
    case SASL_PROOF_TOKEN:
        l.proof = STORE_PROOF_TOKEN;
        l.password = q->token;
        break;
    case SASL_PROOF_CERTIFICATE:
        l.proof = STORE_PROOF_CERTIFICATE;
        if (d->tls != NULL && d->tls->has_client_cert)
            l.cert_sha256 = str_of(d->tls->client_cert, sizeof d->tls->client_cert);
        break;
    }
    return l;
}

/* RFC 7628 3.2: where a client with a token says to be must be here, or its message was made for
 * another server. A host is our own name, the one it named in TLS, or the address it reached. */
static bool is_here(const struct sasl_driver *d, const struct sasl_question *q)
{
    struct netaddr literal;
    bool known = d->hostname.len > 0 || d->local.family != NETADDR_NONE;
    bool named =
        str_ieq(q->host, d->hostname) || (d->tls != NULL && d->tls->server_name[0] != '\0' &&
                                          str_ieq(q->host, str_c(d->tls->server_name)));
    bool reached = netaddr_parse(q->host, &literal) && netaddr_eq(&literal, &d->local);
    if (q->host.len > 0 && known && !named && !reached)
        return false;
    return q->port == 0 || d->local.port == 0 || q->port == d->local.port;
}

static enum rc ask_check(struct sasl_driver *d, enum sasl_event *ev)
{
    const struct sasl_question *q = sasl_question(d->sasl);
    str_t name = asked_name(d, q);
    struct store_login l = login_of(d, q, name);
    if (q->proof == SASL_PROOF_TOKEN && !is_here(d, q)) {
        (void)err_set(&d->err, RC_PERM, "5.7.8", "its message is for " STR_FMT ":%u, not for here",
                      STR_ARG(str_first(q->host, 100)), q->port);
        *ev = sasl_checked(d->sasl, false, STR_NONE);
        return RC_OK;
    }
    if (!desk_enter(d))
        return RC_TEMP;
    enum rc rc = d->desk->login(d->desk, &l, &d->answer, &d->err);
    desk_leave(d);
    if (rc != RC_OK)
        d->hold_ms = d->answer.hold_ms;
    if (rc != RC_OK && rc != RC_PERM)
        return RC_TEMP;
    bool ok = rc == RC_OK;
    /* EXTERNAL may say only whom it wants to be: then core has found who they are. */
    str_t own = name.len > 0 ? name : str_c(d->answer.address);
    if (ok && acts_for_another(d, q, own)) {
        (void)err_set(&d->err, RC_PERM, "5.7.8", "acting for another account");
        d->desk->logout(d->desk, d->answer.session);
        d->answer.session = NULL;
        ok = false;
    }
    *ev = sasl_checked(d->sasl, ok, str_of(d->answer.signature, d->answer.signature_len));
    return RC_OK;
}

enum sasl_turn sasl_driver_step(struct sasl_driver *d, str_t response)
{
    enum sasl_event ev = sasl_step(d->sasl, response);
    for (;;) {
        switch (ev) {
        case SASL_CHALLENGE: return SASL_TURN_CHALLENGE;
        case SASL_NEED_SALT:
            if (ask_salt(d, &ev) != RC_OK)
                return SASL_TURN_LATER;
            break;
        case SASL_CHECK:
            if (ask_check(d, &ev) != RC_OK)
                return SASL_TURN_LATER;
            break;
        case SASL_DONE: return d->answer.session != NULL ? SASL_TURN_DONE : SASL_TURN_WRONG;
        case SASL_FAILED: return SASL_TURN_WRONG;
        case SASL_MALFORMED:
            (void)err_set(&d->err, RC_PERM, "5.5.2", "not the mechanism's protocol");
            return SASL_TURN_MALFORMED;
        }
    }
}

str_t sasl_driver_challenge(const struct sasl_driver *d)
{
    return sasl_challenge(d->sasl);
}

void sasl_driver_take(struct sasl_driver *d, struct store_login_answer *out)
{
    *out = d->answer;
    d->answer.session = NULL;
}

uint32_t sasl_driver_hold_ms(const struct sasl_driver *d)
{
    return d->hold_ms;
}

enum sasl_mech sasl_driver_mech(const struct sasl_driver *d)
{
    return d->mech;
}

str_t sasl_driver_name(const struct sasl_driver *d)
{
    return d->name;
}

const char *sasl_driver_why(const struct sasl_driver *d)
{
    return d->err.text;
}
