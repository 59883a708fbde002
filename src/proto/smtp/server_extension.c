/* server_extension.c: the table of extensions. A row says when an extension is offered, what EHLO
 * says of it, and which parameters of MAIL and RCPT it brings with it, so that a parameter is
 * understood exactly where its keyword was offered (RFC 5321 4.1.1.11).
 *
 * The order of the rows is the order of EHLO's lines. The last row must always be offered: its line
 * ends the reply. A row with a bit of its own (enum smtps_offer) is offered by nobody before
 * roles/smtp/common.c sets the bit. */
#include "proto/smtp/server_internal.h"

#include <inttypes.h>
#include <time.h>

struct param {
    str_t keyword;
    enum param_result (*read)(struct smtps *s, str_t value);
    bool bare; /* takes no value; all others need one */
};
enum { PARAMS_MAX = 2 };

struct extension {
    str_t keyword;
    unsigned offer;                                      /* the config's bit; 0: always */
    bool (*offered)(const struct smtps *s);              /* and only if; NULL: always */
    void (*say)(const struct smtps *s, struct buf *out); /* what follows the keyword; NULL: none */
    struct param mail[PARAMS_MAX], rcpt[PARAMS_MAX];
};

static bool no_tls(const struct smtps *s)
{
    return !s->tls; /* RFC 3207 4.2 */
}
static bool under_tls(const struct smtps *s)
{
    return s->tls;
}
static bool has_mechs(const struct smtps *s)
{
    return s->mechs.len > 0;
}
static bool holds(const struct smtps *s)
{
    return s->has_wall && s->config->future_max_s > 0;
}
static bool xclient_allowed(const struct smtps *s)
{
    return s->xclient_allowed;
}

static void say_size(const struct smtps *s, struct buf *out)
{
    buf_addf(out, " %" PRIu64, s->config->size_max);
}
static void say_mechs(const struct smtps *s, struct buf *out)
{
    buf_addc(out, ' ');
    buf_add(out, s->mechs);
}
static void say_by_min(const struct smtps *s, struct buf *out)
{
    if (s->config->by_min_s > 0) /* RFC 2852 2: none where there is no fixed minimum */
        buf_addf(out, " %" PRIu32, s->config->by_min_s);
}
/* RFC 4865 3: the longest interval, and the date it leads to */
static void say_hold_max(const struct smtps *s, struct buf *out)
{
    time_t last = (time_t)(smtps_wall_ms(s) / 1000 + s->config->future_max_s);
    char date[32] = "";
    struct tm tm;
    if (gmtime_r(&last, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_addf(out, " %" PRIu32 " %s", s->config->future_max_s, date);
}
static void say_attributes(const struct smtps *s, struct buf *out)
{
    (void)s;
    buf_add(out, STR(" NAME ADDR PORT HELO DESTADDR DESTPORT"));
}

static void say_limits(const struct smtps *s, struct buf *out)
{
    buf_addf(out, " MAILMAX=%" PRIu32 " RCPTMAX=%" PRIu32, s->config->messages_max,
             s->config->recipients_max);
}

static const struct extension extensions[] = {
    {STR("PIPELINING"), .offer = 0},                                                  /* RFC 2920 */
    {STR("SIZE"), .say = say_size, .mail = {{STR("SIZE"), smtps_param_size, false}}}, /* 1870 */
    {STR("8BITMIME"), .mail = {{STR("BODY"), smtps_param_body, false}}},              /* 6152 */
    {STR("ENHANCEDSTATUSCODES"), .offer = 0},                                         /* 2034 */
    {STR("CHUNKING"), .offer = 0},                                                    /* 3030 */
    {STR("SMTPUTF8"), .mail = {{STR("SMTPUTF8"), smtps_param_smtputf8, true}}},       /* 6531 */
    {STR("BINARYMIME"), .offer = SMTPS_OFFER_BINARYMIME}, /* 3030 3: a value of BODY */
    {STR("DSN"),                                          /* 3461 */
     SMTPS_OFFER_DSN,
     .mail = {{STR("RET"), smtps_param_ret, false}, {STR("ENVID"), smtps_param_envid, false}},
     .rcpt = {{STR("NOTIFY"), smtps_param_notify, false},
              {STR("ORCPT"), smtps_param_orcpt, false}}},
    {STR("STARTTLS"), SMTPS_OFFER_STARTTLS, .offered = no_tls}, /* 3207 */
    {STR("AUTH"),                                               /* 4954 */
     SMTPS_OFFER_AUTH, .offered = has_mechs, .say = say_mechs,
     .mail = {{STR("AUTH"), smtps_param_auth, false}}},
    {STR("REQUIRETLS"), /* 8689 */
     SMTPS_OFFER_REQUIRETLS, .offered = under_tls,
     .mail = {{STR("REQUIRETLS"), smtps_param_requiretls, true}}},
    {STR("DELIVERBY"), /* 2852 */
     SMTPS_OFFER_DELIVERBY, .say = say_by_min, .mail = {{STR("BY"), smtps_param_by, false}}},
    {STR("FUTURERELEASE"), /* 4865 */
     SMTPS_OFFER_FUTURERELEASE, .offered = holds, .say = say_hold_max,
     .mail = {{STR("HOLDFOR"), smtps_param_holdfor, false},
              {STR("HOLDUNTIL"), smtps_param_holduntil, false}}},
    {STR("MT-PRIORITY"), /* 6710 */
     SMTPS_OFFER_MT_PRIORITY, .mail = {{STR("MT-PRIORITY"), smtps_param_mt_priority, false}}},
    {STR("LIMITS"), SMTPS_OFFER_LIMITS, .say = say_limits}, /* 9422 */
    {STR("ETRN"), .offer = SMTPS_OFFER_ETRN},               /* 1985 */
    {STR("VRFY"), .offer = SMTPS_OFFER_VRFY},               /* 5321 3.5.2 */
    {STR("EXPN"), .offer = SMTPS_OFFER_VRFY},
    {STR("XCLIENT"), SMTPS_OFFER_XCLIENT, .offered = xclient_allowed, .say = say_attributes},
    {STR("HELP"), .offer = 0}, /* 5321 4.1.1.8 */
};
enum { EXTENSIONS = sizeof extensions / sizeof *extensions };
_Static_assert(EXTENSIONS *PARAMS_MAX <= 64, "a bit for each parameter: take_params");

static bool is_offered(const struct smtps *s, const struct extension *e)
{
    return (e->offer == 0 || (s->config->offer & e->offer)) &&
           (e->offered == NULL || e->offered(s));
}

/* No enhanced codes in replies to hellos: RFC 2034 3. */
void smtps_say_extensions(struct smtps *s)
{
    buf_addf(&s->out, "250-" STR_FMT "\r\n", STR_ARG(s->config->hostname));
    for (size_t i = 0; i < EXTENSIONS; i++) {
        const struct extension *e = &extensions[i];
        if (!is_offered(s, e))
            continue;
        buf_add(&s->out, i + 1 < EXTENSIONS ? STR("250-") : STR("250 "));
        buf_add(&s->out, e->keyword);
        if (e->say != NULL)
            e->say(s, &s->out);
        buf_add(&s->out, STR("\r\n"));
    }
}

/* Takes one "KEYWORD[=VALUE]" from the front. The values' syntax is each keyword's own. */
static bool take_param(str_t *rest, str_t *keyword, str_t *value, bool *has_value)
{
    *rest = str_trim(*rest);
    if (rest->len == 0)
        return false;
    str_t word = *rest;
    if (!str_cut(rest, ' ', &word))
        *rest = STR("");
    *value = word;
    *has_value = str_cut(value, '=', keyword);
    if (!*has_value)
        *keyword = word;
    return true;
}

/* The parameter and the bit by which it is known to be there already. */
static const struct param *find_param(const struct smtps *s, bool mail, str_t keyword,
                                      unsigned *bit)
{
    for (unsigned i = 0; i < EXTENSIONS; i++) {
        const struct param *p = mail ? extensions[i].mail : extensions[i].rcpt;
        for (unsigned k = 0; k < PARAMS_MAX && p[k].read != NULL; k++) {
            *bit = i * PARAMS_MAX + k;
            if (str_ieq(p[k].keyword, keyword))
                return is_offered(s, &extensions[i]) ? &p[k] : NULL;
        }
    }
    return NULL;
}

static bool take_params(struct smtps *s, bool mail, str_t rest)
{
    str_t keyword, value;
    bool has_value;
    uint64_t seen = 0;
    while (take_param(&rest, &keyword, &value, &has_value)) {
        unsigned bit = 0;
        const struct param *p = s->esmtp ? find_param(s, mail, keyword, &bit) : NULL;
        if (p == NULL) { /* RFC 5321 4.1.1.11 */
            smtps_fault(s, 555, "5.5.4", "parameter not offered");
            return false;
        }
        bool form = p->bare ? !has_value : has_value && value.len > 0;
        enum param_result r =
            form && !(seen & (UINT64_C(1) << bit)) ? p->read(s, value) : PARAM_BAD;
        if (r == PARAM_BAD && s->t.arena.failed)
            smtps_say(s, 452, "4.5.3", "no memory for more");
        else if (r == PARAM_BAD)
            smtps_fault(s, 501, "5.5.4", "parameter given twice or with a bad value");
        if (r != PARAM_OK)
            return false;
        seen |= UINT64_C(1) << bit;
    }
    return true;
}

bool smtps_take_mail_params(struct smtps *s, str_t rest)
{
    if (!take_params(s, true, rest))
        return false;
    const struct smtps_mail_params *p = s->t.params;
    if (p->size > s->config->size_max) { /* RFC 1870 6.1 */
        smtps_fault(s, 552, "5.3.4", "message too big");
        return false;
    }
    int64_t held_ms =
        p->hold_until_ms > 0 ? p->hold_until_ms - smtps_wall_ms(s) : p->hold_for_s * 1000;
    if (p->by_mode != 0 && held_ms > 0 && held_ms > p->by_s * 1000) { /* RFC 4865 5.2.2 */
        smtps_fault(s, 501, "5.5.4", "held longer than it may take");
        return false;
    }
    return true;
}

bool smtps_take_rcpt_params(struct smtps *s, str_t rest)
{
    s->t.rcpt_params = NULL;
    return take_params(s, false, rest);
}
