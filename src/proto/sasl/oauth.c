/* oauth.c: OAUTHBEARER (RFC 7628) and what came before it, XOAUTH2, as Google documents it:
 *
 *     OAUTHBEARER   gs2-header 0x01 *( key "=" value 0x01 ) 0x01
 *     XOAUTH2       "user=" name 0x01 "auth=Bearer " token 0x01 0x01
 *
 * which is nearly the same. Keys that we do not know are ignored. */
#include "proto/sasl/attributes.h"
#include "proto/sasl/sasl_internal.h"

#define KVSEP '\x01'
/* longest domain name; what is longer is no host */
#define HOST_MAX 255

static enum sasl_event oauthbearer_first(struct sasl *s, str_t response);
static enum sasl_event xoauth2_first(struct sasl *s, str_t response);
static enum sasl_event token_checked(struct sasl *s, bool ok, str_t signature);
static enum sasl_event failed(struct sasl *s, str_t response);

const struct sasl_family sasl_oauthbearer = {
    .prompt = {"", 0}, .first = oauthbearer_first, .checked = token_checked, .last = failed};
const struct sasl_family sasl_xoauth2 = {
    .prompt = {"", 0}, .first = xoauth2_first, .checked = token_checked, .last = failed};

struct pairs {
    str_t auth, host, port, user; /* ptr NULL: not there */
};

/* RFC 7628 3.1: value = *(VCHAR / SP / HTAB / CR / LF). Google's user= may be UTF-8. */
static bool is_value(str_t value, bool utf8)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = (uint8_t)value.ptr[i];
        bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (!blank && (c < 0x21 || c == 0x7f || (c > 0x7f && !utf8)))
            return false;
    }
    return true;
}

static str_t *known_key(struct pairs *p, str_t key, bool with_user)
{
    const struct {
        str_t key;
        str_t *value;
    } keys[] = {{STR("auth"), &p->auth},
                {STR("host"), &p->host},
                {STR("port"), &p->port},
                {STR("user"), with_user ? &p->user : NULL}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (str_eq(key, keys[i].key))
            return keys[i].value;
    }
    return NULL;
}

/* RFC 7628 3.1: key = 1*(ALPHA). A key that means something stands once. */
static bool take_pair(struct pairs *p, str_t pair, bool with_user)
{
    str_t key, *value;
    if (!str_cut(&pair, '=', &key) || key.len == 0)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        if (!ascii_alpha(key.ptr[i]))
            return false;
    }
    value = known_key(p, key, with_user);
    if ((value != NULL && value->ptr != NULL) || !is_value(pair, value == &p->user))
        return false;
    if (value != NULL)
        *value = pair;
    return true;
}

/* *kvpair kvsep, and nothing behind. */
static bool take_pairs(struct pairs *p, str_t rest, bool with_user)
{
    str_t pair;
    *p = (struct pairs){0};
    while (str_cut(&rest, KVSEP, &pair)) {
        if (pair.len == 0)
            return rest.len == 0;
        if (!take_pair(p, pair, with_user))
            return false;
    }
    return false;
}

/* RFC 6750 2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" */
bool sasl_token_ok(str_t t)
{
    while (t.len > 1 && t.ptr[t.len - 1] == '=')
        t.len--;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && memchr("-._~+/", c, 6) == NULL)
            return false;
    }
    return t.len > 0;
}

static bool take_host(struct sasl *s, const struct pairs *p)
{
    uint64_t port = 0;
    if (p->host.len > HOST_MAX)
        return false;
    if (p->port.ptr != NULL) { /* RFC 7628 3.1: positive, without leading zeros */
        if (!str_u64(p->port, UINT16_MAX, &port) || p->port.ptr[0] == '0')
            return false;
    }
    s->question.host = p->host.ptr != NULL ? p->host : STR("");
    s->question.port = (uint16_t)port;
    return true;
}

static enum sasl_event tell_error(struct sasl *s)
{
    /* RFC 7628 3.2.2 takes the word from RFC 6750 3.1; Google's number is that of HTTP. */
    return sasl_say(s,
                    s->mech == SASL_XOAUTH2 ? STR("{\"status\":\"401\",\"schemes\":\"bearer\"}")
                                            : STR("{\"status\":\"invalid_token\"}"),
                    SASL_ST_LAST);
}

static enum sasl_event ask_token(struct sasl *s, const struct pairs *p)
{
    if (p->auth.ptr == NULL || !take_host(s, p))
        return SASL_MALFORMED;
    if (p->auth.len == 0) /* RFC 7628 4.3: a client's way to ask what we want */
        return tell_error(s);
    str_t scheme, token = p->auth;
    if (!str_cut(&token, ' ', &scheme) || !str_ieq(scheme, STR("Bearer")))
        return SASL_MALFORMED;
    while (token.len > 0 && token.ptr[0] == ' ') /* RFC 9110 11.4: 1*SP */
        token = str_from(token, 1);
    if (!sasl_token_ok(token))
        return SASL_MALFORMED;
    s->question.token = token;
    return sasl_ask(s, SASL_PROOF_TOKEN);
}

static enum sasl_event oauthbearer_first(struct sasl *s, str_t response)
{
    str_t rest = vault_dup(&s->vault, response), name = STR("");
    struct gs2 gs2;
    struct pairs p;
    if (!gs2_parse(&rest, &gs2) || gs2.flag == 'p' || rest.len == 0 || rest.ptr[0] != KVSEP ||
        !take_pairs(&p, str_from(rest, 1), false))
        return SASL_MALFORMED;
    s->question.authcid = s->question.authzid = STR("");
    if (gs2.authzid.len > 0 &&
        (!saslname_decode(&s->vault, gs2.authzid, &name) || !sasl_names(s, STR(""), name)))
        return SASL_MALFORMED;
    return ask_token(s, &p);
}

static enum sasl_event xoauth2_first(struct sasl *s, str_t response)
{
    struct pairs p;
    if (!take_pairs(&p, vault_dup(&s->vault, response), true) || p.user.ptr == NULL ||
        !sasl_names(s, STR(""), p.user))
        return SASL_MALFORMED;
    return ask_token(s, &p);
}

static enum sasl_event token_checked(struct sasl *s, bool ok, str_t signature)
{
    (void)signature;
    return ok ? SASL_DONE : tell_error(s);
}

/* RFC 7628 3.2.3 wants one 0x01 here, Google an empty line. The outcome is the same either way. */
static enum sasl_event failed(struct sasl *s, str_t response)
{
    (void)s, (void)response;
    return SASL_FAILED;
}
