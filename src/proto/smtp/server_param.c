/* server_param.c: the values of the parameters of MAIL and RCPT, each by its RFC's grammar. */
#include "proto/smtp/server_internal.h"

#include <time.h>

#include "base/utf8.h"
#include "proto/smtp/xtext.h"

enum {
    ENVID_MAX = 100,         /* RFC 3461 4.4, as written */
    ORCPT_MAX = 500,         /* 4.2 */
    SECONDS_DIGITS_MAX = 9,  /* RFC 2852 4, RFC 4865 3 */
    HEXPOINT_DIGITS_MAX = 6, /* RFC 6533 3 */
};

static enum param_result result(bool ok)
{
    return ok ? PARAM_OK : PARAM_BAD;
}

/* RFC 1870 5: 1*20DIGIT */
enum param_result smtps_param_size(struct smtps *s, str_t value)
{
    s->t.params->has_size = true;
    return result(str_u64(value, UINT64_MAX, &s->t.params->size));
}

/* RFC 6152 2; RFC 3030 3 */
enum param_result smtps_param_body(struct smtps *s, str_t value)
{
    struct smtps_mail_params *p = s->t.params;
    p->body_8bit = str_ieq(value, STR("8BITMIME"));
    p->body_binary =
        (s->config->offer & SMTPS_OFFER_BINARYMIME) && str_ieq(value, STR("BINARYMIME"));
    return result(p->body_8bit || p->body_binary || str_ieq(value, STR("7BIT")));
}

enum param_result smtps_param_smtputf8(struct smtps *s, str_t value)
{
    (void)value;
    s->t.params->smtputf8 = true; /* RFC 6531 3.4 */
    return PARAM_OK;
}

enum param_result smtps_param_requiretls(struct smtps *s, str_t value)
{
    (void)value;
    s->t.params->requiretls = true; /* RFC 8689 2 */
    return PARAM_OK;
}

/* RFC 3461 4.3 */
enum param_result smtps_param_ret(struct smtps *s, str_t value)
{
    bool full = str_ieq(value, STR("FULL"));
    s->t.params->ret = full ? SMTPS_RET_FULL : SMTPS_RET_HDRS;
    return result(full || str_ieq(value, STR("HDRS")));
}

/* "printable (graphic and white space) characters" of RFC 3461 4.2 and 4.4 */
static bool printable(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return str_ascii(s);
}

/* RFC 3461 4.4 */
enum param_result smtps_param_envid(struct smtps *s, str_t value)
{
    return result(value.len <= ENVID_MAX && xtext_decode(value, &s->t.arena, &s->t.params->envid) &&
                  printable(s->t.params->envid));
}

/* RFC 4954 5: a mailbox in xtext, or <> */
enum param_result smtps_param_auth(struct smtps *s, str_t value)
{
    struct smtp_path mailbox;
    str_t text;
    if (!xtext_decode(value, &s->t.arena, &text))
        return PARAM_BAD;
    s->t.params->auth = text;
    return result(str_eq(text, STR("<>")) ||
                  smtp_address_parse(text, &s->t.arena, &mailbox) == SMTP_PATH_OK);
}

/* RFC 2852 4: ["-" / "+"]1*9digit ";" ("N" / "R") ["T"] */
enum param_result smtps_param_by(struct smtps *s, str_t value)
{
    struct smtps_mail_params *p = s->t.params;
    str_t mode = value, number;
    uint64_t seconds;
    if (!str_cut(&mode, ';', &number))
        return PARAM_BAD;
    bool minus = str_starts(number, STR("-"));
    if (minus || str_starts(number, STR("+")))
        number = str_from(number, 1);
    if (number.len > SECONDS_DIGITS_MAX || !str_u64(number, UINT64_MAX, &seconds))
        return PARAM_BAD;
    p->by_s = minus ? -(int64_t)seconds : (int64_t)seconds;
    p->by_trace = mode.len == 2 && ascii_lower(mode.ptr[1]) == 't';
    if (mode.len != (p->by_trace ? 2 : 1))
        return PARAM_BAD;
    bool notify = ascii_lower(mode.ptr[0]) == 'n', give_back = ascii_lower(mode.ptr[0]) == 'r';
    p->by_mode = notify ? 'N' : 'R';
    if (give_back && p->by_s > 0 && p->by_s < s->config->by_min_s) { /* 4 and 2852 3 */
        smtps_fault(s, 555, "5.5.4", "the time to deliver is too short");
        return PARAM_SAID;
    }
    return result(notify || (give_back && p->by_s > 0));
}

/* RFC 4865 3: future-release-integer; 4.2 7) and 9) */
enum param_result smtps_param_holdfor(struct smtps *s, str_t value)
{
    struct smtps_mail_params *p = s->t.params;
    uint64_t seconds;
    if (p->hold_until_ms != 0 || value.len > SECONDS_DIGITS_MAX || value.ptr[0] == '0' ||
        !str_u64(value, s->config->future_max_s, &seconds))
        return PARAM_BAD;
    p->hold_for_s = (int64_t)seconds;
    return PARAM_OK;
}

static bool take_number(str_t *s, size_t digits, int least, int most, int *out)
{
    uint64_t n;
    if (s->len < digits || !str_u64(str_first(*s, digits), (uint64_t)most, &n) || (int)n < least)
        return false;
    *s = str_from(*s, digits);
    *out = (int)n;
    return true;
}

static bool take_char(str_t *s, char c)
{
    if (s->len == 0 || ascii_lower(s->ptr[0]) != c)
        return false;
    *s = str_from(*s, 1);
    return true;
}

static bool month_has(const struct tm *tm)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return tm->tm_mday <= days[tm->tm_mon] - (tm->tm_mon == 1 && !leap ? 1 : 0);
}

/* "2030-01-31T23:59:59Z", RFC 3339 5.6 in UTC; a fraction of the second is dropped. */
static bool parse_date(str_t v, int64_t *ms)
{
    struct tm tm = {0};
    if (!take_number(&v, 4, 1970, 9999, &tm.tm_year) || !take_char(&v, '-') ||
        !take_number(&v, 2, 1, 12, &tm.tm_mon) || !take_char(&v, '-') ||
        !take_number(&v, 2, 1, 31, &tm.tm_mday) || !take_char(&v, 't') ||
        !take_number(&v, 2, 0, 23, &tm.tm_hour) || !take_char(&v, ':') ||
        !take_number(&v, 2, 0, 59, &tm.tm_min) || !take_char(&v, ':') ||
        !take_number(&v, 2, 0, 60, &tm.tm_sec))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (take_char(&v, '.')) {
        size_t n = 0;
        while (n < v.len && ascii_digit(v.ptr[n]))
            n++;
        if (n == 0)
            return false;
        v = str_from(v, n);
    }
    if (!take_char(&v, 'z') || v.len > 0 || !month_has(&tm))
        return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

/* RFC 4865 3; 4.2 8) and 9) */
enum param_result smtps_param_holduntil(struct smtps *s, str_t value)
{
    struct smtps_mail_params *p = s->t.params;
    /* the date in EHLO was cut to whole seconds and is a promise */
    int64_t most = (smtps_wall_ms(s) / 1000 + s->config->future_max_s) * 1000;
    return result(p->hold_for_s == 0 && parse_date(value, &p->hold_until_ms) &&
                  p->hold_until_ms <= most);
}

/* RFC 6710 7 */
enum param_result smtps_param_mt_priority(struct smtps *s, str_t value)
{
    struct smtps_mail_params *p = s->t.params;
    bool minus = value.ptr[0] == '-';
    if (minus)
        value = str_from(value, 1);
    if (value.len != 1 || !ascii_digit(value.ptr[0]) || (minus && value.ptr[0] == '0'))
        return PARAM_BAD;
    int n = value.ptr[0] - '0';
    p->priority = (int8_t)(minus ? -n : n);
    p->has_priority = true;
    return PARAM_OK;
}

static struct smtps_rcpt_params *rcpt_params(struct smtps *s)
{
    if (s->t.rcpt_params == NULL)
        s->t.rcpt_params = arena_alloc(&s->t.arena, sizeof *s->t.rcpt_params);
    if (s->t.rcpt_params != NULL && s->t.rcpt_params->orcpt.ptr == NULL)
        s->t.rcpt_params->orcpt = STR("");
    return s->t.rcpt_params;
}

/* RFC 3461 4.1: NEVER alone, or a list */
enum param_result smtps_param_notify(struct smtps *s, str_t value)
{
    struct smtps_rcpt_params *p = rcpt_params(s);
    if (p == NULL)
        return PARAM_BAD;
    p->never = str_ieq(value, STR("NEVER"));
    for (bool more = !p->never; more;) {
        str_t word = value;
        more = str_cut(&value, ',', &word);
        if (str_ieq(word, STR("SUCCESS")))
            p->success = true;
        else if (str_ieq(word, STR("FAILURE")))
            p->failure = true;
        else if (str_ieq(word, STR("DELAY")))
            p->delay = true;
        else
            return PARAM_BAD;
    }
    return PARAM_OK;
}

static size_t put_utf8(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* EmbeddedUnicodeChar, "\x{FC}". What prints nothing in a report is no part of an address. */
static bool take_embedded(str_t *rest, uint32_t *c)
{
    str_t hex;
    if (!str_starts(*rest, STR("\\x{")))
        return false;
    *rest = str_from(*rest, 3);
    if (!str_cut(rest, '}', &hex) || hex.len < 2 || hex.len > HEXPOINT_DIGITS_MAX)
        return false;
    *c = 0;
    for (size_t i = 0; i < hex.len; i++) {
        char d = hex.ptr[i];
        if (!ascii_digit(d) && (d < 'A' || d > 'F'))
            return false;
        *c = *c << 4 | (uint32_t)(ascii_digit(d) ? d - '0' : d - 'A' + 10);
    }
    return *c >= 0x20 && (*c < 0x7f || *c > 0x9f) && (*c < 0xd800 || *c > 0xdfff) && *c <= 0x10ffff;
}

/* RFC 6533 3, utf-8-enc-addr, to the native form. Non-ASCII bytes only under SMTPUTF8. */
static bool decode_utf8_address(struct smtps *s, str_t in, str_t *out)
{
    char *to = arena_alloc(&s->t.arena, in.len + 1);
    size_t n = 0;
    if (to == NULL)
        return false;
    while (in.len > 0) {
        uint32_t c;
        if (in.ptr[0] == '\\') {
            if (!take_embedded(&in, &c))
                return false;
        } else if (!utf8_next(&in, &c) || c <= ' ' || c == '+' || c == '=' ||
                   (c >= 0x7f && (!s->t.params->smtputf8 || c < 0xa0))) {
            return false;
        }
        n += put_utf8(c, to + n);
    }
    *out = str_of(to, n);
    return true;
}

static bool is_atom(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!smtp_atext(s.ptr[i]))
            return false;
    return s.len > 0;
}

/* RFC 3461 4.2, RFC 6533 3 */
enum param_result smtps_param_orcpt(struct smtps *s, str_t value)
{
    str_t type, address = value, decoded;
    if (value.len > ORCPT_MAX || !str_cut(&address, ';', &type) || !is_atom(type) ||
        address.len == 0)
        return PARAM_BAD;
    if (str_ieq(type, STR("utf-8"))) {
        if (!decode_utf8_address(s, address, &decoded))
            return PARAM_BAD;
    } else if (!xtext_decode(address, &s->t.arena, &decoded) || !printable(decoded)) {
        return PARAM_BAD;
    }
    struct smtps_rcpt_params *p = rcpt_params(s);
    char *to = arena_alloc(&s->t.arena, type.len + 1 + decoded.len);
    if (p == NULL || to == NULL)
        return PARAM_BAD;
    memcpy(to, type.ptr, type.len);
    to[type.len] = ';';
    memcpy(to + type.len + 1, decoded.ptr, decoded.len);
    p->orcpt = str_of(to, type.len + 1 + decoded.len);
    return PARAM_OK;
}
