/* srs.c: see srs.h. SRS1 adds no time: it only passes back to who made the SRS0 address, which has
 * one. Hashes and times compare without case, for local parts lose theirs on the way. */
#include "mail/srs.h"

#include "base/digest.h"

enum {
    HASH_CHARS = 6,    /* 30 bits */
    DAYS_RANGE = 1024, /* the time is two characters of base32 */
    BATV_RANGE = 1000, /* three digits */
};

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

/* HASH_CHARS characters over parts of an address, without case. */
static bool hash(const struct srs_key *k, const char *purpose, str_t x, str_t y, str_t z,
                 char out[static HASH_CHARS])
{
    char text[3 * 512];
    size_t n = 0;
    const str_t part[] = {str_c(purpose), x, y, z};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (n + part[i].len + 1 > sizeof text)
            return false;
        if (part[i].len > 0)
            memcpy(text + n, part[i].ptr, part[i].len);
        n += part[i].len;
        text[n++] = '\0';
    }
    uint8_t mac[DIGEST_MAX];
    str_lower(text, n);
    if (!digest_hmac(DIGEST_SHA1, str_of(k->bytes, sizeof k->bytes), str_of(text, n), mac))
        return false;
    for (size_t i = 0; i < HASH_CHARS; i++)
        out[i] = base32[mac[i] & 31];
    return true;
}

static bool hash_fits(const struct srs_key *k, const char *purpose, str_t x, str_t y, str_t z,
                      str_t given)
{
    char right[HASH_CHARS], low[HASH_CHARS];
    if (given.len != HASH_CHARS || !hash(k, purpose, x, y, z, right))
        return false;
    memcpy(low, given.ptr, sizeof low);
    str_lower(low, sizeof low);
    return digest_equal(str_of(right, sizeof right), str_of(low, sizeof low));
}

static void day_text(int64_t wall_ms, char out[static 2])
{
    unsigned day = (unsigned)(wall_ms / SRS_DAY_MS % DAYS_RANGE);
    out[0] = base32[day >> 5];
    out[1] = base32[day & 31];
}

static bool day_good(int64_t wall_ms, str_t text)
{
    unsigned day = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = strchr(base32, ascii_lower(text.ptr[i]));
        if (at == NULL || *at == '\0')
            return false;
        day = day * 32 + (unsigned)(at - base32);
    }
    unsigned now = (unsigned)(wall_ms / SRS_DAY_MS % DAYS_RANGE);
    return text.len == 2 && (now + DAYS_RANGE - day) % DAYS_RANGE <= SRS_DAYS;
}

static enum srs_result made(str_t out, const struct arena *a)
{
    return a->failed || out.len > SRS_PATH_MAX ? SRS_LONG : SRS_OK;
}

/* Cuts "x=" from the front. */
static bool cut(str_t *rest, str_t *head)
{
    return str_cut(rest, '=', head) && head->len > 0;
}

/* Such a domain is to be looked up and written into a path. */
static bool is_domain(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_alpha(s.ptr[i]) && !ascii_digit(s.ptr[i]) && s.ptr[i] != '-' &&
            s.ptr[i] != '.' && (unsigned char)s.ptr[i] < 0x80)
            return false;
    return s.len > 0;
}

/* ---- SRS ---- */

/* SRS0=hash=time=domain=local of somebody else's becomes SRS1=hash=their domain==hash=…; SRS1 keeps
 * the first domain: the way back is two hops, however many there were. */
static enum srs_result forward_again(const struct srs_key *k, str_t local, str_t domain,
                                     str_t our_domain, struct arena *a, str_t *out)
{
    str_t rest = str_from(local, 5), first = domain, ignored;
    if (str_istarts(local, STR("SRS1=")) && (!cut(&rest, &ignored) || !cut(&rest, &first)))
        return SRS_NOT;
    if (str_istarts(local, STR("SRS1=")) && str_starts(rest, STR("=")))
        rest = str_from(rest, 1);
    if (rest.len == 0 || !is_domain(first)) /* no way back: it is wrapped as any other */
        return SRS_NOT;
    char h[HASH_CHARS];
    if (!hash(k, "srs1", first, rest, STR(""), h))
        return SRS_LONG;
    *out = arena_fmt(a, "SRS1=%.*s=" STR_FMT "==" STR_FMT "@" STR_FMT, HASH_CHARS, h,
                     STR_ARG(first), STR_ARG(rest), STR_ARG(our_domain));
    return made(*out, a);
}

enum srs_result srs_forward(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                            str_t our_domain, struct arena *a, str_t *out)
{
    if (str_istarts(local, STR("SRS0=")) || str_istarts(local, STR("SRS1="))) {
        enum srs_result r = forward_again(k, local, domain, our_domain, a, out);
        if (r != SRS_NOT)
            return r;
    }
    char h[HASH_CHARS], day[2];
    if (!is_domain(domain))
        return SRS_NOT;
    day_text(wall_ms, day);
    if (!hash(k, "srs0", str_of(day, 2), domain, local, h))
        return SRS_LONG;
    *out = arena_fmt(a, "SRS0=%.*s=%.*s=" STR_FMT "=" STR_FMT "@" STR_FMT, HASH_CHARS, h, 2, day,
                     STR_ARG(domain), STR_ARG(local), STR_ARG(our_domain));
    return made(*out, a);
}

static bool is_atom(str_t s)
{
    bool dot = true;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.' && (dot || i + 1 == s.len))
            return false;
        dot = c == '.';
        if (!(ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 ||
              (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL)))
            return false;
    }
    return s.len > 0;
}

static str_t address(str_t local, str_t domain, struct arena *a)
{
    if (is_atom(local))
        return arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain));
    char *quoted = arena_alloc(a, 2 * local.len + 2);
    size_t n = 0;
    if (quoted == NULL)
        return STR_NONE;
    quoted[n++] = '"';
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            quoted[n++] = '\\';
        quoted[n++] = local.ptr[i];
    }
    quoted[n++] = '"';
    return arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(str_of(quoted, n)), STR_ARG(domain));
}

static enum srs_result reverse_0(const struct srs_key *k, int64_t wall_ms, str_t rest,
                                 struct arena *a, str_t *out)
{
    str_t h, day, domain;
    if (!cut(&rest, &h) || !cut(&rest, &day) || !cut(&rest, &domain) || rest.len == 0 ||
        !is_domain(domain) || !hash_fits(k, "srs0", day, domain, rest, h) ||
        !day_good(wall_ms, day))
        return SRS_WRONG;
    *out = address(rest, domain, a);
    return made(*out, a);
}

static enum srs_result reverse_1(const struct srs_key *k, str_t rest, struct arena *a, str_t *out)
{
    str_t h, first;
    if (!cut(&rest, &h) || !cut(&rest, &first) || rest.len < 2 || rest.ptr[0] != '=' ||
        !is_domain(first))
        return SRS_WRONG;
    rest = str_from(rest, 1);
    if (!hash_fits(k, "srs1", first, rest, STR(""), h))
        return SRS_WRONG;
    *out = address(arena_fmt(a, "SRS0=" STR_FMT, STR_ARG(rest)), first, a);
    return made(*out, a);
}

enum srs_result srs_reverse(const struct srs_key *k, int64_t wall_ms, str_t local, struct arena *a,
                            str_t *out)
{
    if (str_istarts(local, STR("SRS0=")))
        return reverse_0(k, wall_ms, str_from(local, 5), a, out);
    if (str_istarts(local, STR("SRS1=")))
        return reverse_1(k, str_from(local, 5), a, out);
    return SRS_NOT;
}

/* ---- BATV ---- */

enum srs_result batv_sign(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                          struct arena *a, str_t *out)
{
    char h[HASH_CHARS], day[4];
    unsigned last = (unsigned)((wall_ms / SRS_DAY_MS + BATV_DAYS) % BATV_RANGE);
    for (size_t i = 3; i-- > 0; last /= 10)
        day[i] = (char)('0' + last % 10);
    if (!hash(k, "prvs", str_of(day, 3), local, domain, h))
        return SRS_LONG;
    /* the key's number is always 0 */
    *out = arena_fmt(a, "prvs=0%.*s%.*s=" STR_FMT, 3, day, HASH_CHARS, h, STR_ARG(local));
    return a->failed || out->len + 1 + domain.len > SRS_PATH_MAX ? SRS_LONG : SRS_OK;
}

enum srs_result batv_check(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                           struct arena *a, str_t *out)
{
    enum { TAG = 4 + HASH_CHARS };
    uint64_t last;
    if (!str_istarts(local, STR("prvs=")))
        return SRS_NOT;
    str_t tag = str_first(str_from(local, 5), TAG), rest = str_from(local, 5 + TAG);
    if (tag.len != TAG || rest.len < 2 || rest.ptr[0] != '=' || tag.ptr[0] != '0' ||
        !str_u64(str_of(tag.ptr + 1, 3), BATV_RANGE, &last))
        return SRS_WRONG;
    rest = str_from(rest, 1);
    uint64_t now = (uint64_t)(wall_ms / SRS_DAY_MS) % BATV_RANGE;
    if ((last + BATV_RANGE - now) % BATV_RANGE > BATV_DAYS ||
        !hash_fits(k, "prvs", str_of(tag.ptr + 1, 3), rest, domain, str_from(tag, 4)))
        return SRS_WRONG;
    *out = arena_dup(a, rest);
    return a->failed ? SRS_LONG : SRS_OK;
}
