/* client_hello.c: the greeting and EHLO of the client engine, and what they say of the peer. See
 * client.h. */
#include "proto/smtp/client_internal.h"

void smtpc_greeting(struct smtpc *c, int code)
{
    c->await = AWAIT_NONE;
    if (code / 100 != 2) { /* RFC 5321 3.1: 554, no SMTP service here */
        smtpc_fail_by_reply(c, "greeting");
        return;
    }
    str_t name = smtpc_reader_text(&c->reader);
    size_t at;
    if (str_find(name, ' ', &at))
        name = str_first(name, at);
    str_toc(name, c->peer_name, sizeof c->peer_name);
}

static void say_hello(struct smtpc *c, str_t verb, enum smtpc_await await)
{
    smtpc_put(c, verb);
    smtpc_put(c, STR(" "));
    smtpc_put(c, c->config->hostname);
    smtpc_put(c, STR("\r\n"));
    c->await = await;
}

void smtpc_hello(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && c->tls != SMTPC_TLS_GRANTED);
    c->features = (struct smtpc_features){.esmtp = true};
    say_hello(c, c->config->lmtp ? STR("LHLO") : STR("EHLO"), AWAIT_EHLO);
}

void smtpc_hello_reply(struct smtpc *c, int code)
{
    bool ehlo = c->await == AWAIT_EHLO;
    c->await = AWAIT_NONE;
    if (code / 100 == 2)
        return;
    c->features = (struct smtpc_features){0};
    if (ehlo && code / 100 == 5 && !c->config->lmtp) /* RFC 5321 3.2: not known there: fall back */
        say_hello(c, STR("HELO"), AWAIT_HELO);
    else
        smtpc_fail_by_reply(c, ehlo ? "EHLO" : "HELO");
}

/* ---- keywords with parameters ---- */

/* RFC 1870 3: none, or 0: no fixed maximum */
static void feature_size(struct smtpc_features *f, str_t param)
{
    if (!str_u64(param, UINT64_MAX, &f->size_max))
        f->size_max = 0;
}

/* RFC 2852 2: the fixed minimum by-time, or nothing */
static void feature_deliverby(struct smtpc_features *f, str_t param)
{
    uint64_t min;
    if (str_u64(param, 999999999, &min))
        f->deliverby_min_s = (uint32_t)min;
}

/* Also from two lines: old servers say "AUTH=PLAIN" as well. */
static void feature_auth(struct smtpc_features *f, str_t param)
{
    size_t len = strlen(f->mechanisms);
    while (param.len > 0) {
        str_t word = param;
        if (str_cut(&param, ' ', &word))
            param = str_trim(param);
        else
            param = STR_NONE;
        if (word.len == 0 || len + word.len + 2 > sizeof f->mechanisms)
            continue;
        if (len > 0)
            f->mechanisms[len++] = ' ';
        memcpy(f->mechanisms + len, word.ptr, word.len);
        len += word.len;
        f->mechanisms[len] = '\0';
    }
}

/* RFC 9422 3: NAME[=VALUE] by blanks. A value that is none counts as not given; what is no limit at
 * all makes all of it count as not given. */
static bool limits_valid(str_t s)
{
    bool name = true;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        bool word = ascii_alpha(ch) || ascii_digit(ch) || ch == '-' || ch == '_';
        if (ch == ' ')
            name = true;
        else if (ch == '=' && name && i > 0 && s.ptr[i - 1] != ' ')
            name = false;
        else if (name ? !word : (unsigned char)ch < 0x21 || ch == ';' || (unsigned char)ch > 0x7e)
            return false;
    }
    return true;
}

static void feature_limits(struct smtpc_features *f, str_t param)
{
    enum { VALUE_MAX = 999999 }; /* six digits, not zero */
    const struct {
        str_t name;
        uint32_t *to;
    } known[] = {{STR("MAILMAX"), &f->mail_max}, {STR("RCPTMAX"), &f->rcpt_max}};
    if (!limits_valid(param))
        return;
    for (bool more = true; more;) {
        str_t word = param, name;
        uint64_t n;
        more = str_cut(&param, ' ', &word);
        if (!str_cut(&word, '=', &name) || word.len > 6 || !str_u64(word, VALUE_MAX, &n) || n == 0)
            continue;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (str_ieq(name, known[i].name))
                *known[i].to = (uint32_t)n;
    }
}

/* ---- the table ---- */

typedef void take_fn(struct smtpc_features *f, str_t param);
#define AT(member) offsetof(struct smtpc_features, member)

static const struct keyword {
    str_t word;
    size_t at; /* its bool */
    take_fn *take;
} keywords[] = {
    {STR("PIPELINING"), AT(pipelining), NULL}, {STR("8BITMIME"), AT(body_8bit), NULL},
    {STR("SMTPUTF8"), AT(smtputf8), NULL},     {STR("ENHANCEDSTATUSCODES"), AT(enhanced), NULL},
    {STR("CHUNKING"), AT(chunking), NULL},     {STR("BINARYMIME"), AT(binarymime), NULL},
    {STR("STARTTLS"), AT(starttls), NULL},     {STR("DSN"), AT(dsn), NULL},
    {STR("REQUIRETLS"), AT(requiretls), NULL}, {STR("MT-PRIORITY"), AT(mt_priority), NULL},
    {STR("SIZE"), AT(size), feature_size},     {STR("DELIVERBY"), AT(deliverby), feature_deliverby},
    {STR("AUTH"), AT(auth), feature_auth},     {STR("LIMITS"), SIZE_MAX, feature_limits},
};

/* A keyword, perhaps with parameters. RFC 5321 4.1.1.1 */
void smtpc_feature(struct smtpc *c, str_t line)
{
    struct smtpc_features *f = &c->features;
    str_t param = str_trim(line), word = param;
    if (str_istarts(param, STR("AUTH="))) { /* before RFC 2554 some wrote it so */
        word = STR("AUTH");
        param = str_from(param, 5);
    } else if (!str_cut(&param, ' ', &word)) {
        param = STR_NONE;
    }
    param = str_trim(param);
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        const struct keyword *k = &keywords[i];
        if (!str_ieq(word, k->word))
            continue;
        if (k->at != SIZE_MAX)
            *(bool *)((char *)f + k->at) = true;
        if (k->take != NULL)
            k->take(f, param);
        return;
    }
}
