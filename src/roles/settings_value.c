/* settings_value.c: one value read and written, by kind. See settings_table.h. */
#include "roles/settings_table.h"

#include <stdio.h>

#include "base/url.h"

enum { DNS_PORT = 53, TEXT_MAX = 512 };

#define SERVICES   "smtp, lmtp, submission, submissions"
#define ALGORITHMS "RS256, PS256, ES256, EdDSA"

static void *member(const struct settings_row *row, struct settings *s)
{
    return (char *)s + row->offset;
}

static const void *member_const(const struct settings_row *row, const struct settings *s)
{
    return (const char *)s + row->offset;
}

static bool wrong(char why[static SETTINGS_WHY], const char *what)
{
    snprintf(why, SETTINGS_WHY, "%s", what);
    return false;
}

/* ---- numbers with units ---- */

struct unit {
    char letter;
    uint64_t factor;
    const char *name;
};
static const struct unit duration_units[] = {
    {'d', 86400, "d"}, {'h', 3600, "h"}, {'m', 60, "m"}, {'s', 1, "s"}};
static const struct unit size_units[] = {
    {'g', 1 << 30, "G"}, {'m', 1 << 20, "M"}, {'k', 1 << 10, "K"}};
static const struct unit no_units[1];

static size_t units_of(enum settings_kind kind, const struct unit **units)
{
    *units = kind == SETTINGS_DURATION ? duration_units
             : kind == SETTINGS_SIZE   ? size_units
                                       : no_units;
    return kind == SETTINGS_DURATION ? 4 : kind == SETTINGS_SIZE ? 3 : 0;
}

/* "300", "5m", "50M"; the letter's case does not matter. */
static bool number_parse(enum settings_kind kind, str_t text, uint64_t *out)
{
    const struct unit *units;
    size_t n = units_of(kind, &units);
    uint64_t factor = 1;
    if (text.len > 0) {
        char last = ascii_lower(text.ptr[text.len - 1]);
        for (size_t i = 0; i < n && factor == 1; i++)
            if (units[i].letter == last)
                factor = units[i].factor;
        if (ascii_alpha(last) && n > 0 && (factor > 1 || last == 's'))
            text.len--;
    }
    return str_u64(text, UINT64_MAX, out) && !__builtin_mul_overflow(*out, factor, out);
}

/* In the largest unit that leaves a whole number. */
static void number_text(enum settings_kind kind, uint64_t v, struct buf *out)
{
    const struct unit *units;
    size_t n = units_of(kind, &units);
    for (size_t i = 0; i < n && v > 0; i++)
        if (v % units[i].factor == 0) {
            buf_addf(out, "%llu%s", (unsigned long long)(v / units[i].factor), units[i].name);
            return;
        }
    buf_addf(out, "%llu", (unsigned long long)v);
}

void settings_value_allowed(const struct settings_row *row, struct buf *out)
{
    switch (row->kind) {
    case SETTINGS_HOST: buf_add(out, STR("a host name")); return;
    case SETTINGS_PATH: buf_add(out, STR("a path")); return;
    case SETTINGS_USER: buf_add(out, STR("a user name")); return;
    case SETTINGS_DOMAIN: buf_add(out, STR("a domain name")); return;
    case SETTINGS_LISTEN: buf_add(out, STR("a list of addresses with port")); break;
    case SETTINGS_NETWORKS: buf_add(out, STR("a list of addresses or networks")); break;
    case SETTINGS_SERVERS: buf_add(out, STR("a list of addresses")); break;
    case SETTINGS_ADDRESS_4: buf_add(out, STR("an IPv4 address or none")); return;
    case SETTINGS_ADDRESS_6: buf_add(out, STR("an IPv6 address or none")); return;
    case SETTINGS_BOOL: buf_add(out, STR("yes or no")); return;
    case SETTINGS_SEPARATOR: buf_add(out, STR("one character or none")); return;
    case SETTINGS_SERVICES: buf_add(out, STR("a list of " SERVICES)); break;
    case SETTINGS_ALGORITHMS: buf_add(out, STR("a list of " ALGORITHMS)); break;
    case SETTINGS_PORTS: buf_add(out, STR("a list of ports")); break;
    case SETTINGS_URL: buf_add(out, STR("a URL")); return;
    case SETTINGS_WORD: buf_add(out, STR("a word")); return;
    case SETTINGS_TEXT: buf_add(out, STR("words")); return;
    case SETTINGS_PORT:
    case SETTINGS_NUMBER: buf_add(out, STR("a number from ")); break;
    case SETTINGS_DURATION: buf_add(out, STR("a duration (30s, 5m, 4h, 5d) from ")); break;
    case SETTINGS_SIZE: buf_add(out, STR("a size in bytes (64K, 50M, 1G) from ")); break;
    }
    if (row->list_max > 0) {
        buf_addf(out, ", at most %zu", row->list_max);
        return;
    }
    number_text(row->kind, row->min, out);
    buf_add(out, STR(" to "));
    number_text(row->kind, row->max, out);
}

static bool number_set(const struct settings_row *row, str_t text, struct settings *s,
                       char why[static SETTINGS_WHY])
{
    uint64_t v;
    if (!number_parse(row->kind, text, &v) || v < row->min || v > row->max) {
        struct buf b;
        buf_init(&b, SETTINGS_WHY - 1);
        buf_add(&b, STR("give "));
        settings_value_allowed(row, &b);
        str_toc(buf_str(&b), why, SETTINGS_WHY);
        buf_free(&b);
        return false;
    }
    if (row->size == sizeof(uint16_t))
        *(uint16_t *)member(row, s) = (uint16_t)v;
    else if (row->size == sizeof(uint32_t))
        *(uint32_t *)member(row, s) = (uint32_t)v;
    else
        *(uint64_t *)member(row, s) = v;
    return true;
}

static uint64_t number_get(const struct settings_row *row, const struct settings *s)
{
    if (row->size == sizeof(uint16_t))
        return *(const uint16_t *)member_const(row, s);
    if (row->size == sizeof(uint32_t))
        return *(const uint32_t *)member_const(row, s);
    return *(const uint64_t *)member_const(row, s);
}

/* ---- names ---- */

bool settings_host_valid(str_t s)
{
    struct netaddr addr;
    if (netaddr_parse(s, &addr))
        return true;
    if (s.len == 0 || s.len > 253)
        return false;
    char before = '.';
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
        if ((c == '.' || c == '-') && before == '.')
            return false;
        before = c;
    }
    return before != '.' && before != '-';
}

static bool user_valid(str_t s)
{
    if (s.len == 0 || s.len > 24 ||
        !(ascii_alpha(s.ptr[0]) || s.ptr[0] == '_')) /* 32 with "-resolver" cut off */
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_alpha(s.ptr[i]) && !ascii_digit(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '-')
            return false;
    return true;
}

bool settings_bool_parse(str_t s, bool *out)
{
    *out = str_ieq(s, STR("yes")) || str_ieq(s, STR("true")) || str_ieq(s, STR("on"));
    return *out || str_ieq(s, STR("no")) || str_ieq(s, STR("false")) || str_ieq(s, STR("off"));
}

static bool text_set(const struct settings_row *row, str_t text, bool valid, const char *what,
                     struct arena *a, struct settings *s, char why[static SETTINGS_WHY])
{
    if (!valid)
        return wrong(why, what);
    *(str_t *)member(row, s) = arena_dup(a, text);
    return !a->failed || wrong(why, "out of memory");
}

/* ---- addresses ---- */

size_t settings_value_count(const struct settings_row *row, const struct settings *s)
{
    return row->list_max == 0
               ? 1
               : *(const size_t *)(const void *)((const char *)s + row->count_offset);
}

static void count_set(const struct settings_row *row, struct settings *s, size_t n)
{
    *(size_t *)(void *)((char *)s + row->count_offset) = n;
}

void settings_value_clear(const struct settings_row *row, struct settings *s)
{
    if (row->list_max > 0)
        count_set(row, s, 0);
}

static bool listen_parse(str_t text, struct netaddr *out, char why[static SETTINGS_WHY])
{
    return netaddr_parse_port(text, out) ||
           wrong(why, "give an address with port, as in \"192.0.2.1:25\" or \"[2001:db8::1]:25\"");
}

/* An address, with a port after ':' (IPv6 in brackets) or after '@'. */
static bool server_parse(str_t text, struct netaddr *out, char why[static SETTINGS_WHY])
{
    str_t port = text, addr;
    uint64_t n;
    if (netaddr_parse_port(text, out))
        return true;
    if (netaddr_parse(text, out)) {
        out->port = DNS_PORT;
        return true;
    }
    if (!str_cut(&port, '@', &addr) || !netaddr_parse(addr, out) || !str_u64(port, 65535, &n) ||
        n == 0)
        return wrong(
            why, "give an address, as in \"192.0.2.53\", \"192.0.2.53:5353\" or \"2001:db8::53\"");
    out->port = (uint16_t)n;
    return true;
}

static bool address_parse(const struct settings_row *row, str_t text, struct netaddr *out,
                          char why[static SETTINGS_WHY])
{
    enum netaddr_family want = row->kind == SETTINGS_ADDRESS_4 ? NETADDR_V4 : NETADDR_V6;
    *out = (struct netaddr){.family = NETADDR_NONE};
    if (str_ieq(text, STR("none")))
        return true;
    if (netaddr_parse(text, out) && out->family == want)
        return true;
    return wrong(why, want == NETADDR_V4 ? "give an IPv4 address, as in \"192.0.2.1\", or none"
                                         : "give an IPv6 address, as in \"2001:db8::1\", or none");
}

static bool one_of(const str_t *names, size_t n, str_t text, str_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(text, names[i])) {
            *out = names[i];
            return true;
        }
    return false;
}

static bool service_parse(str_t text, str_t *out, char why[static SETTINGS_WHY])
{
    static const str_t names[] = {STR("smtp"), STR("lmtp"), STR("submission"), STR("submissions")};
    if (str_ieq(text, STR("pop3")))
        return wrong(why, "POP3 is spoken without TLS: give some of " SERVICES);
    return one_of(names, sizeof names / sizeof *names, text, out) ||
           wrong(why, "give one of " SERVICES);
}

static bool algorithm_parse(str_t text, str_t *out, char why[static SETTINGS_WHY])
{
    static const str_t names[] = {STR("RS256"), STR("PS256"), STR("ES256"), STR("EdDSA")};
    return one_of(names, sizeof names / sizeof *names, text, out) ||
           wrong(why, "give one of " ALGORITHMS);
}

/* Tokens and secrets go there: over no network in the clear. */
static bool url_valid(str_t text)
{
    struct url u;
    return text.len == 0 || (url_parse(text, &u) && (u.https || u.loopback));
}

static bool words_valid(str_t text, char least)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < least || text.ptr[i] >= 0x7f)
            return false;
    return text.len <= TEXT_MAX;
}

static bool port_parse(str_t text, uint16_t *out, char why[static SETTINGS_WHY])
{
    uint64_t n;
    if (!str_u64(text, UINT16_MAX, &n) || n == 0)
        return wrong(why, "give ports, numbers from 1 to 65535");
    *out = (uint16_t)n;
    return true;
}

bool settings_tickets(const struct settings *s, const char *service)
{
    for (size_t i = 0; i < s->n_tls_no_tickets; i++)
        if (str_eq(s->tls_no_tickets[i], str_c(service)))
            return false;
    return true;
}

static bool list_add(const struct settings_row *row, str_t text, struct settings *s,
                     char why[static SETTINGS_WHY])
{
    size_t n = settings_value_count(row, s);
    if (n == row->list_max) {
        snprintf(why, SETTINGS_WHY, "there are more than %zu", row->list_max);
        return false;
    }
    bool good;
    if (row->kind == SETTINGS_NETWORKS)
        good =
            netaddr_parse_net(text, (struct netaddr_net *)member(row, s) + n) ||
            wrong(why, "give an address or a network, as in \"192.0.2.0/24\" or \"2001:db8::/32\"");
    else if (row->kind == SETTINGS_SERVICES)
        good = service_parse(text, (str_t *)member(row, s) + n, why);
    else if (row->kind == SETTINGS_ALGORITHMS)
        good = algorithm_parse(text, (str_t *)member(row, s) + n, why);
    else if (row->kind == SETTINGS_PORTS)
        good = port_parse(text, (uint16_t *)member(row, s) + n, why);
    else if (row->kind == SETTINGS_SERVERS)
        good = server_parse(text, (struct netaddr *)member(row, s) + n, why);
    else
        good = listen_parse(text, (struct netaddr *)member(row, s) + n, why);
    if (good)
        count_set(row, s, n + 1);
    return good;
}

/* ---- all kinds ---- */

static bool separator_set(const struct settings_row *row, str_t text, struct settings *s,
                          char why[static SETTINGS_WHY])
{
    char c = str_ieq(text, STR("none")) || text.len == 0 ? '\0' : text.ptr[0];
    if (c != '\0' && (text.len != 1 || strchr("+-_=#~.!", c) == NULL))
        return wrong(why, "give one of + - _ = # ~ . ! or none");
    *(char *)member(row, s) = c;
    return true;
}

bool settings_value_parse(const struct settings_row *row, str_t text, struct arena *a,
                          struct settings *s, char why[static SETTINGS_WHY])
{
    switch (row->kind) {
    case SETTINGS_HOST:
        return text_set(row, text, settings_host_valid(text),
                        "give a host name, as in \"mail.example.org\"", a, s, why);
    case SETTINGS_PATH:
        return text_set(row, text, text.len > 0 || row->preset[0] == '\0',
                        "give the path of a folder", a, s, why);
    case SETTINGS_DOMAIN:
        return text_set(row, text, text.len == 0 || settings_host_valid(text),
                        "give a domain name, as in \"example.org\"", a, s, why);
    case SETTINGS_USER:
        return text_set(row, text, user_valid(text),
                        "give a user name of at most 24 letters, digits, _ and -", a, s, why);
    case SETTINGS_URL:
        return text_set(row, text, url_valid(text),
                        "give a URL, as in \"https://id.example.org/keys\"; http is for this "
                        "machine alone",
                        a, s, why);
    case SETTINGS_WORD:
        return text_set(row, text, words_valid(text, '!'), "give visible ASCII without blanks", a,
                        s, why);
    case SETTINGS_TEXT:
        return text_set(row, text, words_valid(text, ' '), "give visible ASCII", a, s, why);
    case SETTINGS_LISTEN:
    case SETTINGS_NETWORKS:
    case SETTINGS_SERVICES:
    case SETTINGS_ALGORITHMS:
    case SETTINGS_PORTS:
    case SETTINGS_SERVERS: return list_add(row, text, s, why);
    case SETTINGS_ADDRESS_4:
    case SETTINGS_ADDRESS_6: return address_parse(row, text, member(row, s), why);
    case SETTINGS_BOOL:
        return settings_bool_parse(text, member(row, s)) || wrong(why, "give yes or no");
    case SETTINGS_SEPARATOR: return separator_set(row, text, s, why);
    case SETTINGS_PORT:
    case SETTINGS_NUMBER:
    case SETTINGS_DURATION:
    case SETTINGS_SIZE: return number_set(row, text, s, why);
    }
    return wrong(why, "of no known kind");
}

static void address_text(const struct netaddr *addr, bool port, struct buf *out)
{
    char text[NETADDR_TEXT];
    if (addr->family == NETADDR_NONE)
        buf_add(out, STR("none"));
    else
        buf_add(out, str_c(port ? netaddr_text_port(addr, text) : netaddr_text(addr, text)));
}

bool settings_value_text(const struct settings_row *row, const struct settings *s, size_t i,
                         struct buf *out)
{
    const void *at = member_const(row, s);
    switch (row->kind) {
    case SETTINGS_HOST:
    case SETTINGS_PATH:
    case SETTINGS_DOMAIN:
    case SETTINGS_URL:
    case SETTINGS_WORD:
    case SETTINGS_TEXT:
    case SETTINGS_USER: return buf_add(out, *(const str_t *)at);
    case SETTINGS_ALGORITHMS:
    case SETTINGS_SERVICES: return buf_add(out, ((const str_t *)at)[i]);
    case SETTINGS_PORTS: return buf_addf(out, "%u", ((const uint16_t *)at)[i]);
    case SETTINGS_LISTEN:
    case SETTINGS_SERVERS: address_text((const struct netaddr *)at + i, true, out); break;
    case SETTINGS_NETWORKS: {
        const struct netaddr_net *net = (const struct netaddr_net *)at + i;
        address_text(&net->addr, false, out);
        return buf_addf(out, "/%u", net->bits);
    }
    case SETTINGS_ADDRESS_4:
    case SETTINGS_ADDRESS_6: address_text(at, false, out); break;
    case SETTINGS_BOOL: return buf_add(out, *(const bool *)at ? STR("yes") : STR("no"));
    case SETTINGS_SEPARATOR:
        return *(const char *)at == '\0' ? buf_add(out, STR("none"))
                                         : buf_addc(out, *(const char *)at);
    case SETTINGS_PORT:
    case SETTINGS_NUMBER:
    case SETTINGS_DURATION:
    case SETTINGS_SIZE: number_text(row->kind, number_get(row, s), out); break;
    }
    return !out->failed;
}

bool settings_value_preset(const struct settings_row *row, struct arena *a, struct settings *s)
{
    char why[SETTINGS_WHY];
    str_t rest = str_c(row->preset), one;
    settings_value_clear(row, s);
    while (rest.len > 0) {
        if (!str_cut(&rest, ' ', &one)) {
            one = rest;
            rest = STR_NONE;
        }
        if (!settings_value_parse(row, one, a, s, why))
            return false;
    }
    return true;
}
