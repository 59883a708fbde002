/* smtp_call.c: see smtp_call.h. */
#include "cli/smtp_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/dialogue.h"
#include "cli/sendmail_submit.h"
#include "proto/sasl/client.h"
#include "roles/courier/client_io.h"
#include "sys/net.h"

enum { CONNECT_MS = 30 * 1000, HANDSHAKE_MS = 60 * 1000, CA_FILE_MAX = 16 << 20 };

static struct conn *outer(const struct call *k)
{
    return k->dialogue != NULL ? k->dialogue : k->conn;
}

bool call_pump(struct call *k)
{
    return smtpc_pump(k->smtp, outer(k), &k->c->env, SMTPC_NO_LIMIT) == SMTPC_READY;
}

/* The engine's words for what a server said: "AUTH: 535 5.7.8 …". */
static int code_in(const char *text)
{
    const char *at = strstr(text, ": ");
    uint64_t code = 0;
    return at != NULL && str_u64(str_first(str_c(at + 2), 3), 599, &code) ? (int)code : 0;
}

static bool failed(struct call *k, enum call_step step, const struct err *err)
{
    k->step = step;
    k->err = *err;
    k->code = code_in(err->text);
    return false;
}

static int64_t from_now(const struct call *k, int64_t ms)
{
    return k->c->env.mono_ms(&k->c->env) + ms;
}

/* ---- connection ---- */

static bool dial(struct call *k)
{
    const struct call_plan *p = k->plan;
    const struct netaddr nowhere = {.family = NETADDR_NONE};
    struct err err = {0};
    struct env *env = &k->c->env;
    if (p->socket != NULL) {
        int fd = submit_connect(p->socket, &err);
        k->conn = fd >= 0 ? net_conn_new(fd, &nowhere, &nowhere) : NULL;
    }
    for (size_t i = 0; i < p->n && k->conn == NULL; i++) {
        k->address = p->address[i];
        if (env->connect(env, &p->address[i], NULL, from_now(k, CONNECT_MS), &k->conn, &err) !=
            RC_OK)
            k->conn = NULL;
    }
    if (k->conn == NULL)
        return failed(k, CALL_CONNECT, &err);
    if (p->show != NULL) {
        k->dialogue = dialogue_show(k->c, k->conn, p->show);
        if (k->dialogue == NULL)
            k->conn = NULL;
    }
    k->smtp = k->conn != NULL ? smtpc_new(&k->config) : NULL;
    if (k->smtp != NULL)
        return true;
    (void)err_set(&err, RC_TEMP, "4.3.0", "out of memory");
    return failed(k, CALL_CONNECT, &err);
}

static bool greet(struct call *k)
{
    if (call_pump(k))
        smtpc_hello(k->smtp);
    return call_pump(k) || failed(k, CALL_GREETING, smtpc_error(k->smtp));
}

/* ---- TLS ---- */

static bool read_authorities(struct call *k, struct err *err)
{
    int fd = open(k->plan->ca_file, O_RDONLY | O_CLOEXEC);
    struct buf b;
    ssize_t n = fd < 0 ? -1 : 1;
    buf_init(&b, CA_FILE_MAX);
    while (n > 0) {
        char *to = buf_room(&b, 65536);
        n = to != NULL ? read(fd, to, 65536) : -1;
        b.len += n > 0 ? (size_t)n : 0;
    }
    enum rc rc =
        n == 0 ? tls_vault_set_authorities(k->vault, buf_str(&b), err)
               : err_set(err, RC_TEMP, "4.7.5", "cannot read the trusted authorities in %.150s: %s",
                         k->plan->ca_file, strerror(errno));
    if (fd >= 0)
        close(fd);
    buf_free(&b);
    return rc == RC_OK;
}

static bool tls_ready(struct call *k, struct err *err)
{
    k->vault = tls_vault_new();
    k->tls = k->vault != NULL ? tls_client_new(k->vault) : NULL;
    if (k->tls == NULL) {
        (void)err_set(err, RC_TEMP, "4.3.0", "out of memory");
        return false;
    }
    return !k->plan->verify || read_authorities(k, err);
}

static bool handshake(struct call *k)
{
    const struct call_plan *p = k->plan;
    struct err err = {0};
    struct tls_client_config config = {
        .name = p->tls_name.len > 0 ? p->tls_name : p->host,
        .verify = p->verify ? TLS_VERIFY_NAME : TLS_VERIFY_NONE,
        .cert_pem = p->cert_pem,
        .key_pem = p->key_pem,
    };
    if (!tls_ready(k, &err))
        return failed(k, CALL_TLS, &err);
    if (k->dialogue != NULL)
        k->conn = dialogue_take(k->dialogue);
    enum rc rc = tls_client_start(k->tls, &k->c->env, &k->conn, &config, from_now(k, HANDSHAKE_MS),
                                  &k->info, &err);
    if (k->dialogue != NULL)
        dialogue_give(k->dialogue, k->conn);
    if (rc != RC_OK)
        return failed(k, CALL_TLS, &err);
    k->encrypted = true;
    if (p->show != NULL)
        fprintf(p->show, "*: %s, %s, certificate %s\n", k->info.version, k->info.cipher,
                p->verify ? "verified" : "not verified");
    smtpc_tls_started(k->smtp);
    return true;
}

static bool starttls(struct call *k)
{
    bool must_have = k->plan->tls == CALL_TLS_STARTTLS;
    struct err err = {0};
    if (k->plan->tls == CALL_TLS_NONE || k->plan->tls == CALL_TLS_IMPLICIT ||
        (!must_have && !smtpc_features(k->smtp)->starttls))
        return true;
    if (!smtpc_features(k->smtp)->starttls) {
        (void)err_set(&err, RC_PERM, "5.7.10", "the server does not offer STARTTLS");
        return failed(k, CALL_TLS, &err);
    }
    smtpc_starttls(k->smtp);
    if (!call_pump(k))
        return failed(k, CALL_TLS, smtpc_error(k->smtp));
    if (smtpc_tls(k->smtp) != SMTPC_TLS_GRANTED)
        return !must_have || failed(k, CALL_TLS, smtpc_refusal(k->smtp));
    return handshake(k) && greet(k);
}

/* ---- login ---- */

static bool say_login(struct call *k, struct saslc *s)
{
    snprintf(k->mech, sizeof k->mech, "%s", saslc_mech(s));
    smtpc_auth(k->smtp, s);
    if (!call_pump(k))
        return failed(k, CALL_AUTH, smtpc_error(k->smtp));
    return smtpc_authenticated(k->smtp) || failed(k, CALL_AUTH, smtpc_refusal(k->smtp));
}

static bool login(struct call *k)
{
    const struct call_plan *p = k->plan;
    uint8_t nonce[24];
    struct err err = {0};
    struct env *env = &k->c->env;
    if (p->user.len == 0)
        return true;
    bool bearer =
        p->mech != NULL && (strcmp(p->mech, "XOAUTH2") == 0 || strcmp(p->mech, "OAUTHBEARER") == 0);
    struct sasl_credentials who = {
        .name = p->user,
        .password = bearer ? STR_NONE : p->password,
        .token = bearer ? p->password : STR_NONE,
        .allow_plain = k->encrypted || p->socket != NULL || netaddr_loopback(&k->address),
        .only = p->mech,
    };
    if (k->encrypted && k->info.has_exporter)
        who.binding.exporter = str_of(k->info.exporter, sizeof k->info.exporter);
    if (k->encrypted)
        who.binding.end_point = str_of(k->info.end_point, k->info.end_point_len);
    env->random(env, nonce, sizeof nonce);
    struct saslc *s =
        saslc_begin(&k->c->arena, str_c(smtpc_features(k->smtp)->mechanisms), &who, nonce, &err);
    if (s == NULL)
        return failed(k, CALL_AUTH, &err);
    bool ok = say_login(k, s);
    saslc_end(s);
    return ok;
}

/* ---- all of it ---- */

bool call_open(struct call *k, struct cli *c, const struct call_plan *plan)
{
    *k = (struct call){.c = c, .plan = plan};
    k->config = (struct smtpc_config){.hostname = plan->helo, .lmtp = plan->lmtp};
    if (!dial(k))
        return false;
    if (plan->tls == CALL_TLS_IMPLICIT && !handshake(k))
        return false;
    if (!greet(k) || !starttls(k) || !login(k))
        return false;
    k->step = CALL_OPEN;
    return true;
}

void call_close(struct call *k)
{
    if (k->smtp != NULL && outer(k) != NULL && smtpc_want(k->smtp) == SMTPC_READY &&
        (k->step == CALL_OPEN || k->step == CALL_AUTH)) {
        smtpc_quit(k->smtp);
        (void)call_pump(k);
    }
    smtpc_free(k->smtp);
    if (outer(k) != NULL)
        outer(k)->ops->close(outer(k));
    tls_client_free(k->tls);
    tls_vault_free(k->vault);
    k->smtp = NULL;
    k->conn = k->dialogue = NULL;
}
