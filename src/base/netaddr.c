/* netaddr.c: see netaddr.h. The C library knows the text forms: its inet_pton takes no short, octal
 * or scoped forms, and its inet_ntop shortens as RFC 5952 4 asks. */
#include "base/netaddr.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {
    [10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96, RFC 4291 2.5.5.2 */

static bool is_mapped(const struct netaddr *a)
{
    return a->family == NETADDR_V6 && memcmp(a->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

struct netaddr netaddr_plain(const struct netaddr *a)
{
    if (!is_mapped(a))
        return *a;
    struct netaddr v4 = {.family = NETADDR_V4, .port = a->port};
    memcpy(v4.bytes, a->bytes + sizeof mapped_prefix, 4);
    return v4;
}

static size_t size_of(const struct netaddr *a)
{
    return a->family == NETADDR_V6 ? 16 : 4;
}

bool netaddr_parse(str_t s, struct netaddr *out)
{
    char text[INET6_ADDRSTRLEN];
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    str_toc(s, text, sizeof text);
    struct netaddr a = {0};
    if (inet_pton(AF_INET, text, a.bytes) == 1)
        a.family = NETADDR_V4;
    else if (inet_pton(AF_INET6, text, a.bytes) == 1)
        a.family = NETADDR_V6;
    else
        return false;
    *out = a;
    return true;
}

bool netaddr_parse_port(str_t s, struct netaddr *out)
{
    size_t colon;
    uint64_t port;
    struct netaddr a;
    if (!str_rfind(s, ':', &colon) || !str_u64(str_from(s, colon + 1), UINT16_MAX, &port))
        return false;
    str_t host = str_first(s, colon);
    bool brackets = str_starts(host, STR("[")) && str_ends(host, STR("]"));
    if (brackets)
        host = str_of(host.ptr + 1, host.len - 2);
    if (!netaddr_parse(host, &a) || brackets != (a.family == NETADDR_V6))
        return false;
    a.port = (uint16_t)port;
    *out = a;
    return true;
}

bool netaddr_parse_net(str_t s, struct netaddr_net *out)
{
    str_t host = s, bits = s;
    bool prefix = str_cut(&bits, '/', &host);
    struct netaddr a;
    if (!netaddr_parse(host, &a))
        return false;
    uint64_t n = size_of(&a) * 8;
    if (prefix && !str_u64(bits, n, &n))
        return false;
    *out = (struct netaddr_net){a, (unsigned)n};
    return true;
}

bool netaddr_in(const struct netaddr_net *net, const struct netaddr *a)
{
    struct netaddr addr = netaddr_plain(a), base = net->addr;
    unsigned bits = net->bits;
    if (is_mapped(&base) && bits >= 96) {
        base = netaddr_plain(&base);
        bits -= 96;
    }
    if (addr.family != base.family || bits > size_of(&addr) * 8 ||
        (addr.family != NETADDR_V4 && addr.family != NETADDR_V6))
        return false;
    unsigned whole = bits / 8, left = bits % 8;
    return memcmp(addr.bytes, base.bytes, whole) == 0 &&
           (left == 0 || (addr.bytes[whole] ^ base.bytes[whole]) >> (8 - left) == 0);
}

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b)
{
    struct netaddr x = netaddr_plain(a), y = netaddr_plain(b);
    return x.family == y.family &&
           (x.family == NETADDR_NONE || memcmp(x.bytes, y.bytes, size_of(&x)) == 0);
}

bool netaddr_loopback(const struct netaddr *a)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    struct netaddr x = netaddr_plain(a);
    return (x.family == NETADDR_V4 && x.bytes[0] == 127) ||
           (x.family == NETADDR_V6 && memcmp(x.bytes, v6_loopback, 16) == 0);
}

/* By hand: written for every message, and inet_ntop would go through printf. */
static char *put_byte(char *p, unsigned v)
{
    if (v >= 100)
        *p++ = (char)('0' + v / 100);
    if (v >= 10)
        *p++ = (char)('0' + v / 10 % 10);
    *p++ = (char)('0' + v % 10);
    return p;
}

static char *put_v4(char *p, const uint8_t bytes[static 4])
{
    for (size_t i = 0; i < 4; i++) {
        p = put_byte(p, bytes[i]);
        *p++ = i < 3 ? '.' : '\0';
    }
    return p - 1;
}

uint32_t netaddr_uid(const struct netaddr *a)
{
    return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
           a->bytes[3];
}

struct netaddr netaddr_of_uid(uint32_t uid)
{
    struct netaddr a = {.family = NETADDR_UNIX};
    for (size_t i = 0; i < 4; i++)
        a.bytes[i] = (uint8_t)(uid >> (24 - 8 * i));
    return a;
}

char *netaddr_text(const struct netaddr *a, char out[static NETADDR_TEXT])
{
    switch (a->family) {
    case NETADDR_V4: put_v4(out, a->bytes); return out;
    case NETADDR_V6:
        if (inet_ntop(AF_INET6, a->bytes, out, NETADDR_TEXT) != NULL)
            return out;
        break;
    case NETADDR_UNIX: snprintf(out, NETADDR_TEXT, "uid=%u", (unsigned)netaddr_uid(a)); return out;
    case NETADDR_NONE: break;
    }
    snprintf(out, NETADDR_TEXT, "none");
    return out;
}

char *netaddr_text_port(const struct netaddr *a, char out[static NETADDR_TEXT])
{
    char host[NETADDR_TEXT];
    netaddr_text(a, host);
    if (a->family == NETADDR_V6)
        snprintf(out, NETADDR_TEXT, "[%.46s]:%u", host, (unsigned)a->port);
    else if (a->family == NETADDR_UNIX)
        memcpy(out, host, sizeof host);
    else
        snprintf(out, NETADDR_TEXT, "%.46s:%u", host, (unsigned)a->port);
    return out;
}

char *netaddr_literal(const struct netaddr *a, char out[static NETADDR_TEXT])
{
    char host[NETADDR_TEXT];
    if (a->family == NETADDR_V4) {
        out[0] = '[';
        memcpy(put_v4(out + 1, a->bytes), "]", 2);
        return out;
    }
    netaddr_text(a, host);
    snprintf(out, NETADDR_TEXT, a->family == NETADDR_V6 ? "[IPv6:%.46s]" : "[%.46s]", host);
    return out;
}
