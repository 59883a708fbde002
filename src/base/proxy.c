/* proxy.c: see proxy.h. */
#include "base/proxy.h"

#define V1_START STR("PROXY ")
#define V2_START STR("\r\n\r\n\0\r\nQUIT\n")

enum {
    V2_FIXED = 16,        /* signature, version and command, family and transport, length */
    V2_ADDRESSES_V4 = 12, /* two addresses, two ports */
    V2_ADDRESSES_V6 = 36,
    V2_ADDRESSES_UNIX = 216,
    V2_LOCAL = 0x20, /* version 2 in the high half */
    V2_PROXY = 0x21,
};

static bool read_port(str_t s, uint16_t *out)
{
    uint64_t n;
    if (!str_u64(s, UINT16_MAX, &n) || (s.len > 1 && s.ptr[0] == '0'))
        return false;
    *out = (uint16_t)n;
    return true;
}

/* 2.1: "TCP4 192.0.2.1 198.51.100.7 56324 25", one blank between, nothing behind. */
static bool v1_addresses(str_t line, struct proxy_header *out)
{
    str_t word[5];
    for (size_t i = 0; i < 4; i++)
        if (!str_cut(&line, ' ', &word[i]))
            return false;
    word[4] = line;
    enum netaddr_family family = str_eq(word[0], STR("TCP4"))   ? NETADDR_V4
                                 : str_eq(word[0], STR("TCP6")) ? NETADDR_V6
                                                                : NETADDR_NONE;
    return family != NETADDR_NONE && netaddr_parse(word[1], &out->from) &&
           netaddr_parse(word[2], &out->to) && out->from.family == family &&
           out->to.family == family && read_port(word[3], &out->from.port) &&
           read_port(word[4], &out->to.port);
}

static enum proxy_rc parse_v1(str_t bytes, struct proxy_header *out)
{
    size_t lf;
    str_t line = str_first(bytes, PROXY_V1_MAX);
    if (!str_find(line, '\n', &lf))
        return line.len < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD;
    line = str_first(line, lf);
    if (!str_ends(line, STR("\r")))
        return PROXY_BAD;
    line = str_from(str_first(line, lf - 1), V1_START.len);
    *out = (struct proxy_header){.size = lf + 1};
    /* what follows UNKNOWN is to be ignored (2.1) */
    out->local = str_eq(line, STR("UNKNOWN")) || str_starts(line, STR("UNKNOWN "));
    return out->local || v1_addresses(line, out) ? PROXY_OK : PROXY_BAD;
}

static size_t get_u16(const char *p)
{
    return (size_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

/* From, to, from's port, to's port, in network order. */
static void v2_addresses(const char *p, enum netaddr_family family, struct proxy_header *out)
{
    size_t n = family == NETADDR_V4 ? 4 : 16;
    out->from.family = out->to.family = family;
    memcpy(out->from.bytes, p, n);
    memcpy(out->to.bytes, p + n, n);
    out->from.port = (uint16_t)get_u16(p + 2 * n);
    out->to.port = (uint16_t)get_u16(p + 2 * n + 2);
}

/* The families and transports of 2.2 that can be a stream's; all others are dropped, as it asks. */
static bool v2_proxied(unsigned kind, str_t body, struct proxy_header *out)
{
    switch (kind) {
    case 0x00: out->local = true; return true;
    case 0x11:
        if (body.len >= V2_ADDRESSES_V4)
            v2_addresses(body.ptr, NETADDR_V4, out);
        return body.len >= V2_ADDRESSES_V4;
    case 0x21:
        if (body.len >= V2_ADDRESSES_V6)
            v2_addresses(body.ptr, NETADDR_V6, out);
        return body.len >= V2_ADDRESSES_V6;
    case 0x31: out->local = true; return body.len >= V2_ADDRESSES_UNIX;
    default: return false;
    }
}

static enum proxy_rc parse_v2(str_t bytes, struct proxy_header *out)
{
    if (bytes.len < V2_FIXED)
        return PROXY_MORE;
    size_t size = V2_FIXED + get_u16(bytes.ptr + 14);
    unsigned command = (uint8_t)bytes.ptr[12];
    if (size > PROXY_HEADER_MAX || (command != V2_LOCAL && command != V2_PROXY))
        return PROXY_BAD;
    if (bytes.len < size)
        return PROXY_MORE;
    /* Behind the addresses stand TLVs: none of them is for us. */
    str_t body = str_from(str_first(bytes, size), V2_FIXED);
    *out = (struct proxy_header){.size = size, .local = command == V2_LOCAL};
    if (!out->local && !v2_proxied((uint8_t)bytes.ptr[13], body, out))
        return PROXY_BAD;
    return PROXY_OK;
}

static bool may_become(str_t bytes, str_t start)
{
    return str_starts(start, str_first(bytes, start.len));
}

enum proxy_rc proxy_parse(str_t bytes, struct proxy_header *out)
{
    enum proxy_rc rc = PROXY_BAD;
    if (str_starts(bytes, V1_START))
        rc = parse_v1(bytes, out);
    else if (str_starts(bytes, V2_START))
        rc = parse_v2(bytes, out);
    else if (may_become(bytes, V1_START) || may_become(bytes, V2_START))
        rc = PROXY_MORE;
    if (rc == PROXY_OK) {
        out->from = netaddr_plain(&out->from);
        out->to = netaddr_plain(&out->to);
    }
    return rc;
}
