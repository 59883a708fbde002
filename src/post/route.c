/* route.c: see route.h. A route is read word by word; the first says its kind, each further one is
 * a row of a small grammar. */
#include "post/route.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/netaddr.h"
#include "mail/domain.h"
#include "post/missing.h"

static const struct {
    const char *name;
    enum tls_policy policy;
} policies[] = {{"none", TLS_POLICY_NONE},
                {"may", TLS_POLICY_MAY},
                {"encrypt", TLS_POLICY_ENCRYPT},
                {"verify", TLS_POLICY_VERIFY}};

bool tls_policy_parse(str_t word, enum tls_policy *out)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (str_ieq(word, str_c(policies[i].name))) {
            *out = policies[i].policy;
            return true;
        }
    return false;
}

const char *tls_policy_name(enum tls_policy p)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (policies[i].policy == p)
            return policies[i].name;
    return "";
}

/* ---- words ---- */

/* The next word, without the blanks around it; false: no more. */
static bool next_word(str_t *rest, str_t *word)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != '\t')
        n++;
    *word = str_first(*rest, n);
    *rest = str_trim(str_from(*rest, n));
    return n > 0;
}

static bool wrong(struct err *err, const char *what, str_t word)
{
    enum rc rc = err_set(err, RC_PERM, "", "%s: \"" STR_FMT "\"", what, STR_ARG(word));
    return rc == RC_OK;
}

static bool host_name(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_alpha(s.ptr[i]) && !ascii_digit(s.ptr[i]) && s.ptr[i] != '-' &&
            s.ptr[i] != '.' && s.ptr[i] != '_')
            return false;
    return s.len > 0 && s.len <= DOMAIN_DNS_MAX && s.ptr[0] != '.' && s.ptr[0] != '-';
}

/* "192.0.2.1", "192.0.2.1:25", "[192.0.2.1]", "2001:db8::1", "[2001:db8::1]:25" */
static bool address(str_t word, struct netaddr *out)
{
    if (netaddr_parse_port(word, out) || netaddr_parse(word, out))
        return true;
    return word.len > 2 && word.ptr[0] == '[' && word.ptr[word.len - 1] == ']' &&
           netaddr_parse(str_of(word.ptr + 1, word.len - 2), out);
}

static bool parse_host(str_t word, struct arena *a, struct route *out, struct err *err)
{
    static const char how[] = "a route's host is a name or an address, perhaps with :PORT";
    struct netaddr addr;
    char text[NETADDR_TEXT];
    if (address(word, &addr)) {
        out->port = addr.port;
        out->host = arena_dup(a, str_c(netaddr_text(&addr, text)));
        return !a->failed || wrong(err, "out of memory", word);
    }
    str_t name = word, head;
    uint64_t port = 0;
    if (str_cut(&name, ':', &head)) {
        if (!str_u64(name, UINT16_MAX, &port) || port == 0)
            return wrong(err, "no port", name);
        name = head;
    }
    out->port = (uint16_t)port;
    if (!domain_to_ascii(name, a, &out->host) || !host_name(out->host))
        return wrong(err, how, word);
    return true;
}

static bool auth_name(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_alpha(s.ptr[i]) && !ascii_digit(s.ptr[i]) && s.ptr[i] != '-' &&
            s.ptr[i] != '.' && s.ptr[i] != '_' && s.ptr[i] != '@')
            return false;
    return s.len > 0 && s.len <= ROUTE_NAME_MAX;
}

/* What may follow the host. */
static bool parse_option(str_t word, struct route *out, struct err *err)
{
    bool smtp = out->kind == ROUTE_SMTP;
    str_t value = word, key;
    if (smtp && str_ieq(word, STR("mx"))) {
        out->use_mx = true;
    } else if (smtp && str_ieq(word, STR("implicit"))) {
        out->implicit = true;
    } else if (str_cut(&value, '=', &key) && str_ieq(key, STR("tls"))) {
        if (!tls_policy_parse(value, &out->tls))
            return wrong(err, "tls= is none, may, encrypt or verify, not", value);
        out->has_tls = true;
    } else if (smtp && value.len < word.len && str_ieq(key, STR("auth"))) {
        if (!auth_name(value))
            return wrong(err, "auth= names credentials by letters, digits and . - _ @, not", value);
        out->auth = value;
    } else {
        return wrong(err, "unknown word in a route", word);
    }
    return true;
}

/* RFC 8314 3.3: what begins with TLS has no plaintext to fall back to. */
static bool settle_implicit(struct route *out, struct err *err)
{
    out->implicit |= out->kind == ROUTE_SMTP && out->port == ROUTE_SUBMISSIONS_PORT;
    if (!out->implicit)
        return true;
    if (out->has_tls && out->tls == TLS_POLICY_NONE)
        return wrong(err, "TLS from the first byte (port 465, implicit) contradicts",
                     STR("tls=none"));
    if (!out->has_tls && out->auth.len > 0)
        out->tls = TLS_POLICY_VERIFY; /* a password goes to nobody else: route.h */
    else if (out->tls != TLS_POLICY_VERIFY)
        out->tls = TLS_POLICY_ENCRYPT;
    out->has_tls = true;
    return true;
}

static bool parse_hop(str_t rest, struct arena *a, struct route *out, struct err *err)
{
    str_t word;
    if (!next_word(&rest, &word))
        return wrong(err, "a host is missing after",
                     out->kind == ROUTE_LMTP ? STR("lmtp") : STR("smtp"));
    if (!parse_host(word, a, out, err))
        return false;
    while (next_word(&rest, &word))
        if (!parse_option(word, out, err))
            return false;
    return settle_implicit(out, err);
}

/* "5.1.1": class 4 or 5, subject and detail of 1 to 3 digits (RFC 3463 2). */
static bool status_valid(str_t s)
{
    str_t class, subject;
    uint64_t n;
    return str_cut(&s, '.', &class) && str_cut(&s, '.', &subject) &&
           (str_eq(class, STR("4")) || str_eq(class, STR("5"))) && subject.len <= 3 && s.len <= 3 &&
           str_u64(subject, 999, &n) && str_u64(s, 999, &n);
}

static bool parse_error(str_t rest, struct route *out, struct err *err)
{
    str_t word;
    if (!next_word(&rest, &word) || !status_valid(word))
        return wrong(err, "error needs a status such as 5.1.1 or 4.7.1, not", word);
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.ptr[i] < 0x20 || rest.ptr[i] == 0x7f)
            return wrong(err, "control characters in the text of", word);
    if (rest.len == 0)
        return wrong(err, "error needs a text for people after", word);
    str_toc(word, out->status, sizeof out->status);
    out->text = rest;
    return true;
}

bool route_parse(str_t words, struct arena *a, struct route *out, struct err *err)
{
    str_t word, more;
    *out = (struct route){.kind = ROUTE_MX};
    if (!next_word(&words, &word))
        return wrong(err, "a route is mx, smtp, lmtp or error, not", STR(""));
    if (str_ieq(word, STR("mx")))
        return !next_word(&words, &more) || wrong(err, "nothing follows mx, but here", more);
    if (str_ieq(word, STR("smtp")))
        out->kind = ROUTE_SMTP;
    else if (str_ieq(word, STR("lmtp")))
        out->kind = ROUTE_LMTP;
    else if (str_ieq(word, STR("error")))
        out->kind = ROUTE_ERROR;
    else
        return wrong(err, "a route is mx, smtp, lmtp or error, not", word);
    return out->kind == ROUTE_ERROR ? parse_error(words, out, err) : parse_hop(words, a, out, err);
}

/* ---- tables ---- */

enum store_rc route_via(struct tables *t, str_t sender, str_t address_of, bool local,
                        struct arena *a, str_t *via)
{
    bool found;
    str_t value, key;
    size_t at;
    *via = STR_NONE;
    enum store_rc rc = table_find(t, TABLE_TRANSPORT, address_of, a, &found, &value, &key);
    if (rc != STORE_OK)
        return rc;
    if (found && (str_rfind(key, '@', &at) || (local && !str_eq(key, STR("*"))))) {
        *via = value;
        return STORE_OK;
    }
    if (local || sender.len == 0)
        return STORE_OK;
    rc = table_find(t, TABLE_RELAY, sender, a, &found, &value, NULL);
    if (rc == STORE_OK && found)
        *via = value;
    return rc;
}

/* ---- credentials: PART_SECRET, relay/NAME: version, name, password ---- */

#define SECRET_PART ((part_t){PART_SECRET, 0})
enum { CREDENTIALS_VERSION = 1, CREDENTIALS_MAX = 4096, CREDENTIALS_ARENA = 65536 };

static str_t credentials_key(str_t name, struct arena *a)
{
    return auth_name(name) ? arena_fmt(a, "relay/" STR_FMT, STR_ARG(name)) : STR_NONE;
}

enum store_rc route_credentials(struct store *s, str_t name, struct arena *a, bool *found,
                                struct route_credentials *out)
{
    str_t value, key = credentials_key(name, a);
    *found = false;
    if (key.len == 0)
        return a->failed ? STORE_LIMIT : STORE_OK;
    enum store_rc rc = store_get1(s, SECRET_PART, key, a, found, &value);
    if (rc != STORE_OK || !*found)
        return rc;
    struct cursor c = cursor_of(value);
    bool known = cursor_u8(&c) == CREDENTIALS_VERSION;
    out->name = cursor_str16(&c);
    out->password = cursor_str16(&c);
    *found = known && cursor_end(&c);
    return *found ? STORE_OK : STORE_DAMAGED;
}

static bool credentials_encode(const struct route_credentials *c, struct buf *out)
{
    buf_u8(out, CREDENTIALS_VERSION);
    buf_str16(out, c->name);
    return buf_str16(out, c->password) && !out->failed;
}

static enum rc credentials_commit(struct store *s, str_t key, const struct route_credentials *c,
                                  struct arena *a, struct err *err)
{
    struct store_batch b;
    struct buf value;
    buf_init(&value, CREDENTIALS_MAX);
    store_batch_init(&b, SECRET_PART, a);
    if (c == NULL) {
        store_require_present(&b, key);
        store_delete(&b, key);
    } else if (credentials_encode(c, &value)) {
        store_put(&b, key, buf_str(&value));
    } else {
        b.failed = true;
    }
    enum store_rc rc = store_commit(s, &b);
    if (value.ptr != NULL)
        explicit_bzero(value.ptr, value.cap); /* it held a password */
    buf_free(&value);
    if (rc == STORE_OK)
        return RC_OK;
    if (rc == STORE_CONFLICT)
        return err_set(err, RC_PERM, MISSING_STATUS,
                       "no name and password are kept under this word");
    return err_set(err, RC_TEMP, "", "the credentials were not saved: %s", store_rc_name(rc));
}

enum rc route_credentials_set(struct store *s, str_t name, const struct route_credentials *c,
                              struct err *err)
{
    struct arena a;
    arena_init(&a, CREDENTIALS_ARENA);
    str_t key = credentials_key(name, &a);
    enum rc rc;
    if (key.len == 0)
        rc = err_set(err, RC_PERM, "",
                     "\"" STR_FMT "\": a name of letters, digits and . - _ @, at most %d bytes",
                     STR_ARG(name), ROUTE_NAME_MAX);
    else if (c != NULL && (c->name.len == 0 || c->password.len == 0 ||
                           c->name.len + c->password.len > CREDENTIALS_MAX / 2))
        rc = err_set(err, RC_PERM, "", "a name and a password are needed, %d bytes at most",
                     CREDENTIALS_MAX / 2);
    else
        rc = credentials_commit(s, key, c, &a, err);
    arena_free(&a);
    return rc;
}
