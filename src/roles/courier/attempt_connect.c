/* attempt_connect.c: one address: connection, greeting, hello, TLS, AUTH, up to where messages may
 * be sent. See attempt.h.
 *
 *     connect ─▶ (TLS, if implicit) ─▶ greeting ─▶ EHLO ─▶ STARTTLS ─▶ TLS ─▶ EHLO ─▶ AUTH ─▶ open
 *                                                   └─ MAY or NONE, and nothing to AUTH ─────▶ open
 *
 * What fails under the policy ends this address; only MAY has a way back, and only from a handshake
 * that failed: a new connection in plaintext (RFC 7435 3: some protection where it can be had). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/sasl/client.h"
#include "roles/courier/attempt_internal.h"
#include "roles/courier/client_io.h"
#include "roles/courier/mx_lookup.h"
#include "roles/role_table.h"

void attempt_hang_up(struct attempt *t)
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

/* TLS is not as demanded. */
static enum tried refuse(struct attempt *t, struct err *err, const char *status, const char *what)
{
    struct err why;
    (void)err_set(&why, RC_TEMP, status, "%s; %s is demanded by %s", what,
                  tls_policy_name(t->demand.policy), t->demand.why);
    say(t, err, &why, status);
    t->policy_failed = t->demand.requiretls;
    return TRIED_REFUSED;
}

static enum smtpc_want pump(struct attempt *t)
{
    return smtpc_pump(t->smtp, t->conn, t->setup.env, SMTPC_NO_LIMIT);
}

static int64_t deadline(const struct attempt *t, int64_t ms)
{
    return t->setup.env->mono_ms(t->setup.env) + ms;
}

/* ---- connection and greeting ---- */

/* Our own sandbox: what it says is put right in the settings. */
static void explain_port(const struct attempt *t, struct err *why)
{
    const struct settings *set = t->setup.set;
    if (strstr(why->text, strerror(EACCES)) == NULL ||
        role_may_connect(ROLE_COURIER, set, t->addr.port))
        return;
    (void)err_set(why, RC_TEMP, "4.3.5",
                  "port %u is none that mail may be sent to: see relay_ports in the configuration",
                  (unsigned)t->addr.port);
}

static enum tried dial(struct attempt *t, struct err *err)
{
    struct err why = {0};
    const struct netaddr *from =
        t->addr.family == NETADDR_V6 ? &t->target.from_v6 : &t->target.from_v4;
    if (from->family != t->addr.family)
        from = NULL;
    if (from == NULL && t->target.pool) {
        (void)err_set(&why, RC_TEMP, "4.4.4", "table source has no address of this family");
        say(t, err, &why, "4.4.4");
        return TRIED_NO_WAY;
    }
    struct env *env = t->setup.env;
    if (env->connect(env, &t->addr, from, deadline(t, ATTEMPT_CONNECT_MS), &t->conn, &why) == RC_OK)
        return mx_self_connection(t->setup.set, t->conn) ? TRIED_SELF : TRIED_OPEN;
    t->conn = NULL;
    explain_port(t, &why);
    say(t, err, &why, "4.4.1");
    /* RFC 3463: unable to route */
    return strcmp(why.status, "4.4.4") == 0 ? TRIED_NO_WAY : TRIED_FAILED;
}

static enum tried engine(struct attempt *t, struct err *err)
{
    t->smtp = smtpc_new(&t->config);
    t->transactions = 0;
    if (t->smtp != NULL)
        return TRIED_OPEN;
    (void)err_set(err, RC_TEMP, "4.3.0", "out of memory");
    return TRIED_FAILED;
}

static enum tried greet(struct attempt *t, struct err *err)
{
    if (pump(t) == SMTPC_READY)
        smtpc_hello(t->smtp);
    if (pump(t) == SMTPC_READY)
        return TRIED_OPEN;
    say(t, err, smtpc_error(t->smtp), "4.4.2");
    return smtpc_replies(t->smtp) > 0 ? TRIED_REFUSED : TRIED_FAILED;
}

/* ---- TLS ---- */

static enum tried handshake(struct attempt *t, struct err *err)
{
    bool verify = t->demand.policy == TLS_POLICY_VERIFY;
    struct tls_client_config c = {.name = str_c(t->host),
                                  .verify = verify ? TLS_VERIFY_NAME : TLS_VERIFY_NONE};
    struct err why = {0};
    if (tls_client_start(t->setup.tls, t->setup.env, &t->conn, &c, deadline(t, ATTEMPT_TLS_MS),
                         &t->info, &why) != RC_OK) {
        t->conn = NULL;
        (void)refuse(t, err, why.status[0] != '\0' ? why.status : "4.7.0", why.text);
        /* what was cut, or took too long, can go well the next time */
        t->policy_failed &= strcmp(why.status, "4.4.2") != 0;
        return TRIED_NO_TLS;
    }
    smtpc_tls_started(t->smtp);
    snprintf(t->tls, sizeof t->tls, "%s %s %s%s", t->info.version, t->info.cipher,
             verify ? "verified" : "unverified", t->info.resumed ? " resumed" : "");
    return TRIED_OPEN;
}

/* The hello under TLS. A server that ends the connection instead has failed the handshake (TLS 1.3:
 * it may refuse us only now). */
static enum tried greet_again(struct attempt *t, struct err *err)
{
    uint64_t before = smtpc_replies(t->smtp);
    enum tried tried = greet(t, err);
    if (tried != TRIED_OPEN && smtpc_replies(t->smtp) == before &&
        smtpc_error(t->smtp)->rc == RC_CLOSED)
        return TRIED_NO_TLS;
    return tried;
}

static enum tried start_tls(struct attempt *t, struct err *err)
{
    bool must_have =
        t->demand.policy == TLS_POLICY_ENCRYPT || t->demand.policy == TLS_POLICY_VERIFY;
    if (t->demand.policy == TLS_POLICY_NONE)
        return TRIED_OPEN;
    if (t->setup.tls == NULL)
        return must_have ? refuse(t, err, "4.7.10", "this server has no TLS") : TRIED_OPEN;
    if (!smtpc_features(t->smtp)->starttls)
        return must_have ? refuse(t, err, "4.7.10", "STARTTLS is not offered") : TRIED_OPEN;
    smtpc_starttls(t->smtp);
    if (pump(t) != SMTPC_READY) {
        say(t, err, smtpc_error(t->smtp), "4.4.2");
        return TRIED_REFUSED;
    }
    if (smtpc_tls(t->smtp) != SMTPC_TLS_GRANTED)
        return must_have ? refuse(t, err, "4.7.10", smtpc_refusal(t->smtp)->text) : TRIED_OPEN;
    enum tried tried = handshake(t, err);
    return tried == TRIED_OPEN ? greet_again(t, err) : tried;
}

/* RFC 8314 3.3: TLS from the first byte. */
static enum tried start_implicit(struct attempt *t, struct err *err)
{
    if (t->setup.tls == NULL)
        return refuse(t, err, "4.7.10", "this server has no TLS");
    return handshake(t, err);
}

/* RFC 8689 4.2.1 step 5. */
static enum tried check_requiretls(struct attempt *t, struct err *err)
{
    if (!t->demand.requiretls || smtpc_features(t->smtp)->requiretls)
        return TRIED_OPEN;
    return refuse(t, err, "4.7.30", "REQUIRETLS is not offered");
}

/* ---- AUTH ---- */

/* Our own configuration does not fit the smarthost: that is what it says. */
static enum tried auth_failed(const struct attempt *t, struct err *err, const char *status,
                              const char *what)
{
    struct err why;
    (void)err_set(&why, RC_TEMP, status, "credentials \"" STR_FMT "\": %s", STR_ARG(t->route.auth),
                  what);
    say(t, err, &why, status);
    return TRIED_REFUSED;
}

static enum tried exchange(struct attempt *t, const struct route_credentials *who, struct arena *a,
                           struct err *err)
{
    uint8_t nonce[24];
    struct err why = {0};
    struct env *env = t->setup.env;
    bool encrypted = smtpc_tls(t->smtp) == SMTPC_TLS_ON;
    struct sasl_credentials c = {
        .name = who->name, .password = who->password, .allow_plain = encrypted};
    if (encrypted && t->info.has_exporter)
        c.binding.exporter = str_of(t->info.exporter, sizeof t->info.exporter);
    if (encrypted)
        c.binding.end_point = str_of(t->info.end_point, t->info.end_point_len);
    env->random(env, nonce, sizeof nonce);
    struct saslc *s = saslc_begin(a, str_c(smtpc_features(t->smtp)->mechanisms), &c, nonce, &why);
    if (s == NULL)
        return auth_failed(t, err, "4.7.8", why.text);
    smtpc_auth(t->smtp, s);
    enum tried tried = TRIED_OPEN;
    if (pump(t) != SMTPC_READY) {
        say(t, err, smtpc_error(t->smtp), "4.4.2");
        tried = TRIED_REFUSED;
    } else if (!smtpc_authenticated(t->smtp)) {
        tried = auth_failed(t, err, "4.7.8", smtpc_refusal(t->smtp)->text);
    }
    saslc_end(s);
    return tried;
}

static enum tried authenticate(struct attempt *t, struct err *err)
{
    enum { AUTH_ARENA = 256 * 1024 };
    struct route_credentials who = {0};
    struct arena a;
    bool found = false;
    enum tried tried;
    if (t->route.auth.len == 0)
        return TRIED_OPEN;
    arena_init(&a, AUTH_ARENA);
    enum store_rc rc = route_credentials(t->setup.env->store, t->route.auth, &a, &found, &who);
    if (rc != STORE_OK)
        tried = auth_failed(t, err, "4.3.0", store_rc_name(rc));
    else if (!found)
        tried = auth_failed(t, err, "4.3.5", "there are none of this name; see postrider relay");
    else
        tried = exchange(t, &who, &a, err);
    if (who.password.len > 0)
        explicit_bzero((char *)(uintptr_t)who.password.ptr, who.password.len);
    arena_free(&a);
    return tried;
}

/* ---- all of it ---- */

static enum tried open_once(struct attempt *t, bool plaintext, struct err *err)
{
    snprintf(t->tls, sizeof t->tls, "plaintext");
    t->policy_failed = false;
    enum tried tried = dial(t, err);
    if (tried == TRIED_OPEN)
        tried = engine(t, err);
    if (tried == TRIED_OPEN && t->route.implicit)
        tried = start_implicit(t, err);
    if (tried == TRIED_OPEN)
        tried = greet(t, err);
    if (tried == TRIED_OPEN && !t->route.implicit && !plaintext)
        tried = start_tls(t, err);
    if (tried == TRIED_OPEN)
        tried = check_requiretls(t, err);
    if (tried == TRIED_OPEN)
        tried = authenticate(t, err);
    if (tried != TRIED_OPEN)
        attempt_hang_up(t);
    return tried;
}

enum tried attempt_connect(struct attempt *t, struct err *err)
{
    enum tried tried = open_once(t, false, err);
    if (tried != TRIED_NO_TLS)
        return tried;
    if (t->demand.policy != TLS_POLICY_MAY || t->route.implicit)
        return TRIED_REFUSED;
    return open_once(t, true, err);
}

bool attempt_reconnect(struct attempt *t)
{
    struct err why = {0};
    attempt_quit(t);
    struct smtpc *old = t->smtp;
    t->smtp = NULL;
    attempt_hang_up(t);
    if (attempt_connect(t, &why) == TRIED_OPEN) {
        smtpc_free(old);
        return true;
    }
    t->smtp = old;
    smtpc_abort(old, RC_TEMP, why.status, why.text); /* unless it is dead already */
    return false;
}
