/* common.c: what the services of a role share, and what each kind of them offers. See smtp_in.h. */
#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum {
    MESSAGES_MAX = 1000,       /* in one session */
    JUNK_MAX = 50,             /* commands without work in a row */
    SESSION_S = 1800,          /* without mail: who has some sends it within half an hour */
    DIRECTORY_ENTRIES = 65536, /* addresses the cache holds */
    LOGINS_WAITING_MAX = 48,   /* of the user role's workers: the others go on with their mail */
    FUTURE_MAX_S = 30 * 86400, /* RFC 4865 4: mail for later than a month is a calendar's */
};

bool smtp_common_init(struct smtp_common *c, const char *role, struct env *env,
                      const struct settings *settings)
{
    *c = (struct smtp_common){.env = env, .settings = settings, .role = role};
    uint8_t key[16];
    env->random(env, &c->next_session, sizeof c->next_session);
    env->random(env, key, sizeof key);
    log_gate_init(&c->gate, key);
    login_desk_init(&c->desk, env, LOGINS_WAITING_MAX);
    c->directory = directory_cache_new(env, settings->subaddress_separator, DIRECTORY_ENTRIES);
    c->tables = tables_new(env);
    return_path_init(&c->paths, c->directory, settings->srs, settings->batv, settings->srs_domain);
    c->rates = smtp_in_rates_new();
    return c->directory != NULL && c->tables != NULL && c->rates != NULL;
}

void smtp_common_free(struct smtp_common *c)
{
    return_path_free(&c->paths);
    directory_cache_free(c->directory);
    tables_free(c->tables);
    smtp_in_rates_free(c->rates);
    log_gate_free(&c->gate);
}

bool smtp_service_logs_in(const struct smtp_service *v)
{
    return v->kind == SMTP_IN_SUBMISSION || v->kind == SMTP_IN_SUBMISSIONS;
}

bool smtp_service_submits(const struct smtp_service *v)
{
    return smtp_service_logs_in(v) || v->kind == SMTP_IN_LOCAL;
}

static unsigned offer_of(const struct smtp_service *v)
{
    const struct settings *set = v->common->settings;
    unsigned offer = SMTPS_OFFER_DSN | SMTPS_OFFER_BINARYMIME | SMTPS_OFFER_REQUIRETLS |
                     SMTPS_OFFER_DELIVERBY | SMTPS_OFFER_MT_PRIORITY | SMTPS_OFFER_LIMITS;
    if (v->tls != NULL && v->kind != SMTP_IN_SUBMISSIONS)
        offer |= SMTPS_OFFER_STARTTLS;
    if (smtp_service_logs_in(v))
        offer |= SMTPS_OFFER_AUTH;
    if (smtp_service_submits(v)) /* RFC 4865 3: not between servers */
        offer |= SMTPS_OFFER_FUTURERELEASE;
    if (v->kind == SMTP_IN_MX)
        offer |= SMTPS_OFFER_ETRN;
    if (v->kind != SMTP_IN_LOCAL && set->n_xclient_networks > 0)
        offer |= SMTPS_OFFER_XCLIENT;
    if (set->vrfy)
        offer |= SMTPS_OFFER_VRFY;
    return offer;
}

/* As tls_no_tickets calls them, and the log. */
static const char *kind_name(enum smtp_kind kind)
{
    switch (kind) {
    case SMTP_IN_MX: return "smtp";
    case SMTP_IN_LMTP: return "lmtp";
    case SMTP_IN_SUBMISSION: return "submission";
    case SMTP_IN_SUBMISSIONS: return "submissions";
    case SMTP_IN_LOCAL: return "local";
    }
    must_failed("a kind of service", __FILE__, __LINE__);
}

static struct tls_service *tls_of(const struct smtp_service *v, struct tls_vault *vault)
{
    const char *name = kind_name(v->kind); /* tickets are told apart by it */
    if (vault == NULL || v->kind == SMTP_IN_LOCAL)
        return NULL;
    if (!tls_vault_ready(vault))
        log_event(v->common->role, STR_NONE, "no-certificate", log_cstr("service", name),
                  log_cstr("hint", "TLS begins when there is one: postrider check config"),
                  log_end);
    /* A browser that was talked into calling us names another protocol (RFC 7301 3.2). */
    const struct tls_service_config c = {
        .name = name,
        .alpn = "smtp",
        .tickets = settings_tickets(v->common->settings, name),
        /* RFC 8314 4.2: asked for only where one may be good for a login */
        .ask_client_cert = smtp_service_logs_in(v) && v->common->settings->client_certificates,
    };
    return tls_service_new(vault, &c);
}

void smtp_service_init(struct smtp_service *v, enum smtp_kind kind, struct smtp_common *common,
                       struct tls_vault *vault)
{
    const struct settings *set = common->settings;
    *v = (struct smtp_service){.common = common, .kind = kind};
    v->tls = tls_of(v, vault);
    v->config = (struct smtps_config){
        .hostname = set->hostname,
        .lmtp = kind == SMTP_IN_LMTP,
        .size_max = set->message_size_max,
        .recipients_max = set->recipients_max,
        .messages_max = MESSAGES_MAX,
        .errors_soft = set->errors_soft,
        .errors_hard = set->errors_hard,
        .junk_max = JUNK_MAX,
        .idle_s = set->idle_s,
        .data_floor_bps = set->data_floor_bps,
        .session_s = SESSION_S,
        .offer = offer_of(v),
        .auth_needed = smtp_service_logs_in(v),
        .future_max_s = FUTURE_MAX_S,
    };
    v->vault = vault;
    v->plain = v->config;
    v->plain.offer &= ~(unsigned)SMTPS_OFFER_STARTTLS;
}

const struct smtps_config *smtp_service_config(const struct smtp_service *v)
{
    return v->tls == NULL || tls_vault_ready(v->vault) ? &v->config : &v->plain;
}

void smtp_service_free(struct smtp_service *v)
{
    tls_service_free(v->tls);
    v->tls = NULL;
}
