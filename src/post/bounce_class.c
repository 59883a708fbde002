/* bounce_class.c: see bounce_class.h. The words are what the large providers and the common servers
 * say (Postfix, Exim, sendmail, Exchange, Gmail, Yahoo, Outlook.com, iCloud, GMX, mail.ru). */
#include "post/bounce_class.h"

enum { TEXT_LOOKED_AT = 1024 }; /* what is said further on adds nothing */

const char *bounce_class_name(enum bounce_class c)
{
    static const char *const names[BOUNCE_CLASSES] = {
        [BOUNCE_OTHER] = "other",
        [BOUNCE_UNKNOWN_USER] = "unknown-user",
        [BOUNCE_UNKNOWN_DOMAIN] = "unknown-domain",
        [BOUNCE_DISABLED] = "disabled",
        [BOUNCE_FULL] = "mailbox-full",
        [BOUNCE_TOO_BIG] = "too-big",
        [BOUNCE_SPAM] = "spam",
        [BOUNCE_BLOCKED] = "blocked",
        [BOUNCE_POLICY] = "policy",
        [BOUNCE_AUTH] = "auth",
        [BOUNCE_GREYLISTED] = "greylisted",
        [BOUNCE_RATE] = "rate",
        [BOUNCE_DNS] = "dns",
        [BOUNCE_TLS] = "tls",
        [BOUNCE_UNREACHABLE] = "unreachable",
        [BOUNCE_BUSY] = "busy",
        [BOUNCE_PROTOCOL] = "protocol",
        [BOUNCE_LOOP] = "loop",
        [BOUNCE_EXPIRED] = "expired",
    };
    return names[c];
}

/* ---- words ---- */

struct words {
    const char *text; /* lower case */
    enum bounce_class class;
};

/* Leave no doubt, whatever the code says. */
static const struct words certain[] = {
    {"greylist", BOUNCE_GREYLISTED},
    {"graylist", BOUNCE_GREYLISTED},
    {"grey-list", BOUNCE_GREYLISTED},
    {"gray-list", BOUNCE_GREYLISTED},
    {"over quota", BOUNCE_FULL},
    {"overquota", BOUNCE_FULL},
    {"quota exceeded", BOUNCE_FULL},
    {"exceeded quota", BOUNCE_FULL},
    {"exceeded storage", BOUNCE_FULL},
    {"out of storage", BOUNCE_FULL},
    {"mailbox full", BOUNCE_FULL},
    {"mailbox is full", BOUNCE_FULL},
    {"inbox is full", BOUNCE_FULL},
    {"insufficient system storage", BOUNCE_BUSY},
    {"spamhaus", BOUNCE_BLOCKED},
    {"blocklist", BOUNCE_BLOCKED},
    {"blacklist", BOUNCE_BLOCKED},
    {"block list", BOUNCE_BLOCKED},
    {"rbl", BOUNCE_BLOCKED},
    {"dnsbl", BOUNCE_BLOCKED},
    {"poor reputation", BOUNCE_BLOCKED},
    {"low reputation", BOUNCE_BLOCKED},
    {"bad reputation", BOUNCE_BLOCKED},
    {"dmarc", BOUNCE_AUTH},
    {"dkim", BOUNCE_AUTH},
    {"spf", BOUNCE_AUTH},
    {"unauthenticated", BOUNCE_AUTH},
    {"reverse dns", BOUNCE_AUTH},
    {"reverse hostname", BOUNCE_AUTH},
    {"ptr record", BOUNCE_AUTH},
    {"rate limit", BOUNCE_RATE},
    {"ratelimit", BOUNCE_RATE},
    {"rate-limit", BOUNCE_RATE},
    {"too many messages", BOUNCE_RATE},
    {"too many connections", BOUNCE_RATE},
    {"throttl", BOUNCE_RATE},
    {"virus", BOUNCE_SPAM},
    {"malware", BOUNCE_SPAM},
    {"mail loop", BOUNCE_LOOP},
    {"too many hops", BOUNCE_LOOP},
};

/* Where the code does not say. */
static const struct words hints[] = {
    {"no such user", BOUNCE_UNKNOWN_USER},
    {"user unknown", BOUNCE_UNKNOWN_USER},
    {"unknown user", BOUNCE_UNKNOWN_USER},
    {"no such recipient", BOUNCE_UNKNOWN_USER},
    {"no such mailbox", BOUNCE_UNKNOWN_USER},
    {"no mailbox here", BOUNCE_UNKNOWN_USER},
    {"mailbox not found", BOUNCE_UNKNOWN_USER},
    {"user not found", BOUNCE_UNKNOWN_USER},
    {"recipient not found", BOUNCE_UNKNOWN_USER},
    {"does not exist", BOUNCE_UNKNOWN_USER},
    {"doesn't exist", BOUNCE_UNKNOWN_USER},
    {"unknown recipient", BOUNCE_UNKNOWN_USER},
    {"recipient unknown", BOUNCE_UNKNOWN_USER},
    {"unknown address", BOUNCE_UNKNOWN_USER},
    {"address unknown", BOUNCE_UNKNOWN_USER},
    {"unknown mailbox", BOUNCE_UNKNOWN_USER},
    {"unknown local", BOUNCE_UNKNOWN_USER},
    {"invalid recipient", BOUNCE_UNKNOWN_USER},
    {"doesn't have a", BOUNCE_UNKNOWN_USER}, /* Yahoo: "user doesn't have a yahoo.com account" */
    {"not a valid mailbox", BOUNCE_UNKNOWN_USER},
    {"mailbox unavailable", BOUNCE_UNKNOWN_USER},
    {"disabled", BOUNCE_DISABLED},
    {"inactive", BOUNCE_DISABLED},
    {"suspended", BOUNCE_DISABLED},
    {"spam", BOUNCE_SPAM},
    {"unsolicited", BOUNCE_SPAM},
    {"bulk mail", BOUNCE_SPAM},
    {"blocked", BOUNCE_BLOCKED},
    {"banned", BOUNCE_BLOCKED},
    {"reputation", BOUNCE_BLOCKED},
    {"listed", BOUNCE_BLOCKED},
    {"relay", BOUNCE_POLICY}, /* relaying denied, not permitted to relay */
    {"denied", BOUNCE_POLICY},
    {"policy", BOUNCE_POLICY},
    {"not allowed", BOUNCE_POLICY},
    {"not permitted", BOUNCE_POLICY},
    {"prohibited", BOUNCE_POLICY},
    {"authenticat", BOUNCE_AUTH},
    {"too large", BOUNCE_TOO_BIG},
    {"too big", BOUNCE_TOO_BIG},
    {"size limit", BOUNCE_TOO_BIG},
    {"exceeds fixed maximum", BOUNCE_TOO_BIG},
    {"too many", BOUNCE_RATE},
    {"tls", BOUNCE_TLS},
    {"certificate", BOUNCE_TLS},
    {"encrypt", BOUNCE_TLS},
    {"dns", BOUNCE_DNS},
    {"nxdomain", BOUNCE_UNKNOWN_DOMAIN},
    {"connection refused", BOUNCE_UNREACHABLE},
    {"timed out", BOUNCE_UNREACHABLE},
    {"no route", BOUNCE_UNREACHABLE},
    {"unreachable", BOUNCE_UNREACHABLE},
    {"connection", BOUNCE_UNREACHABLE},
    {"try again later", BOUNCE_BUSY},
    {"temporarily", BOUNCE_BUSY},
    {"busy", BOUNCE_BUSY},
    {"overloaded", BOUNCE_BUSY},
    {"shutting down", BOUNCE_BUSY},
};

/* Nobody said it: a connection that our firewall or our sandbox does not let us make. From a server
 * the same words are a refusal. */
static const struct words own[] = {
    {"permission denied", BOUNCE_UNREACHABLE},
    {"operation not permitted", BOUNCE_UNREACHABLE},
    {"relay_ports", BOUNCE_UNREACHABLE}, /* roles/courier/attempt_connect.c */
};

static bool icontains(str_t s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.len; i++) {
        size_t k = 0;
        while (k < n && ascii_lower(s.ptr[i + k]) == what[k])
            k++;
        if (k == n)
            return true;
    }
    return false;
}

/* "spf", "rbl", "dns", "tls" are words: not a part of one. */
static bool iword(str_t s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.len; i++) {
        size_t k = 0;
        while (k < n && ascii_lower(s.ptr[i + k]) == what[k])
            k++;
        if (k == n && (i == 0 || !ascii_alpha(s.ptr[i - 1])) &&
            (i + n == s.len || !ascii_alpha(s.ptr[i + n])))
            return true;
    }
    return false;
}

static bool by_words(const struct words *v, size_t n, str_t text, enum bounce_class *out)
{
    enum { SHORT = 4 };
    for (size_t i = 0; i < n; i++) {
        bool found =
            strlen(v[i].text) < SHORT ? iword(text, v[i].text) : icontains(text, v[i].text);
        if (found) {
            *out = v[i].class;
            return true;
        }
    }
    return false;
}

/* ---- codes ---- */

/* RFC 3463, RFC 7505, RFC 7372, RFC 5248: subject and detail. */
static const struct {
    const char *detail;
    enum bounce_class class;
} details[] = {
    {"1.1", BOUNCE_UNKNOWN_USER},
    {"1.6", BOUNCE_UNKNOWN_USER},
    {"1.2", BOUNCE_UNKNOWN_DOMAIN},
    {"1.10", BOUNCE_UNKNOWN_DOMAIN},
    {"1.8", BOUNCE_AUTH},
    {"2.1", BOUNCE_DISABLED},
    {"2.2", BOUNCE_FULL},
    {"2.3", BOUNCE_TOO_BIG},
    {"3.1", BOUNCE_BUSY},
    {"3.2", BOUNCE_BUSY},
    {"3.4", BOUNCE_TOO_BIG},
    {"4.1", BOUNCE_UNREACHABLE},
    {"4.2", BOUNCE_UNREACHABLE},
    {"4.3", BOUNCE_DNS},
    {"4.4", BOUNCE_DNS},
    {"4.5", BOUNCE_BUSY},
    {"4.6", BOUNCE_LOOP},
    {"4.7", BOUNCE_EXPIRED},
    {"5.3", BOUNCE_POLICY},
    {"7.8", BOUNCE_AUTH},
    {"7.9", BOUNCE_AUTH},
    {"7.10", BOUNCE_TLS},
    {"7.11", BOUNCE_TLS},
    {"7.20", BOUNCE_AUTH},
    {"7.21", BOUNCE_AUTH},
    {"7.22", BOUNCE_AUTH},
    {"7.23", BOUNCE_AUTH},
    {"7.24", BOUNCE_AUTH},
    {"7.25", BOUNCE_AUTH},
    {"7.26", BOUNCE_AUTH},
    {"7.27", BOUNCE_AUTH},
    {"7.28", BOUNCE_RATE},
    {"7.30", BOUNCE_TLS},
};

static bool by_detail(str_t status, enum bounce_class *out)
{
    str_t rest = status, first;
    if (!str_cut(&rest, '.', &first))
        return false;
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        if (str_eq(rest, str_c(details[i].detail))) {
            *out = details[i].class;
            return true;
        }
    }
    return false;
}

static bool by_subject(str_t status, enum bounce_class *out)
{
    if (status.len < 3 || status.ptr[1] != '.')
        return false;
    switch (status.ptr[2]) {
    case '5':
    case '6': *out = BOUNCE_PROTOCOL; return true;
    case '7': *out = BOUNCE_POLICY; return true;
    default: return false;
    }
}

/* RFC 5321 4.2.3. */
static enum bounce_class by_code(int code)
{
    switch (code) {
    case 421: return BOUNCE_BUSY;
    case 451: return BOUNCE_BUSY;
    case 452: return BOUNCE_BUSY;
    case 552: return BOUNCE_TOO_BIG;
    case 523: return BOUNCE_TOO_BIG;
    case 530:
    case 534:
    case 535:
    case 538: return BOUNCE_AUTH;
    case 556: return BOUNCE_UNKNOWN_DOMAIN;
    case 500:
    case 501:
    case 502:
    case 503:
    case 504:
    case 555: return BOUNCE_PROTOCOL;
    default: return BOUNCE_OTHER;
    }
}

#define WORDS(v) (v), sizeof(v) / sizeof *(v)

enum bounce_class bounce_class(int code, str_t status, str_t text)
{
    enum bounce_class class;
    text = str_first(text, TEXT_LOOKED_AT);
    if (code != 0 ? by_words(WORDS(certain), text, &class) : by_words(WORDS(own), text, &class))
        return class;
    if (by_detail(status, &class) || by_words(WORDS(hints), text, &class) ||
        by_subject(status, &class))
        return class;
    return by_code(code);
}

/* Only the plain word of the server of that address: a 5xx with 5.1.1 or 5.1.6, and words that do
 * not say something else. Too many say 550 alone, or 5.7.1, for what is over tomorrow. */
bool bounce_is_hard(int code, str_t status, str_t text)
{
    return code >= 500 && code <= 599 &&
           (str_eq(status, STR("5.1.1")) || str_eq(status, STR("5.1.6"))) &&
           bounce_class(code, status, text) == BOUNCE_UNKNOWN_USER;
}

/* "HOST: 550 5.1.1 text", where the host and the status may be missing. */
enum bounce_class bounce_class_reason(str_t reason)
{
    str_t rest = reason, word, status = STR_NONE;
    uint64_t code = 0;
    size_t at;
    while (str_find(rest, ' ', &at)) {
        word = str_first(rest, at);
        if (word.len == 3 && str_u64(word, 599, &code) && code >= 400)
            break;
        code = 0;
        rest = str_from(rest, at + 1);
        if (!str_ends(word, STR(":"))) /* only a host may stand before it */
            break;
    }
    if (code == 0)
        return bounce_class(0, status, reason);
    rest = str_from(rest, at + 1);
    if (str_find(rest, ' ', &at) && at >= 5 && (rest.ptr[0] == '4' || rest.ptr[0] == '5') &&
        rest.ptr[1] == '.') {
        status = str_first(rest, at);
        rest = str_from(rest, at + 1);
    }
    return bounce_class((int)code, status, rest);
}
