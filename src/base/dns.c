/* dns.c: see dns.h. Record data comes from strangers: every length is checked, and a name that
 * holds anything but visible ASCII, or a dot inside a label, is refused: its text would mean
 * another name than its bytes. */
#include "base/dns.h"

#include "base/cursor.h"

enum {
    NAME_MAX_OCTETS = 255,
    LABEL_MAX_OCTETS = 63
}; /* RFC 1035 3.1; also rules out compression pointers */

const char *dns_status_name(enum dns_status s)
{
    switch (s) {
    case DNS_OK: return "OK";
    case DNS_NODATA: return "NODATA";
    case DNS_NXDOMAIN: return "NXDOMAIN";
    case DNS_SERVFAIL: return "SERVFAIL";
    case DNS_TIMEOUT: return "TIMEOUT";
    case DNS_BOGUS: return "BOGUS";
    }
    return "?";
}

static bool label_ok(str_t label)
{
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '.' || c == '\\')
            return false;
    }
    return true;
}

bool dns_name(str_t *wire, char out[static 256])
{
    struct cursor c = cursor_of(*wire);
    size_t len = 0, octets = 0;
    for (;;) {
        size_t n = cursor_u8(&c);
        str_t label = cursor_bytes(&c, n);
        octets += 1 + n;
        if (c.failed || n > LABEL_MAX_OCTETS || octets > NAME_MAX_OCTETS || !label_ok(label))
            return false;
        if (n == 0)
            break;
        if (len > 0)
            out[len++] = '.';
        memcpy(out + len, label.ptr, n);
        len += n;
    }
    out[len] = '\0';
    *wire = c.rest;
    return true;
}

bool dns_mx(str_t rdata, uint16_t *preference, char host[static 256])
{
    struct cursor c = cursor_of(rdata);
    uint16_t p = cursor_u16(&c);
    if (c.failed || !dns_name(&c.rest, host) || !cursor_end(&c))
        return false;
    *preference = p;
    return true;
}

bool dns_addr(enum dns_type type, str_t rdata, struct netaddr *out)
{
    struct netaddr a = {0};
    if (type == DNS_A && rdata.len == 4)
        a.family = NETADDR_V4;
    else if (type == DNS_AAAA && rdata.len == 16)
        a.family = NETADDR_V6;
    else
        return false;
    memcpy(a.bytes, rdata.ptr, rdata.len);
    *out = a;
    return true;
}

bool dns_txt(str_t rdata, struct arena *a, str_t *out)
{
    char *text = arena_alloc(a, rdata.len);
    struct cursor c = cursor_of(rdata);
    size_t len = 0;
    if (text == NULL || rdata.len == 0) /* RFC 1035 3.3.14: one or more strings */
        return false;
    while (!cursor_end(&c)) {
        str_t part = cursor_bytes(&c, cursor_u8(&c));
        if (c.failed)
            return false;
        if (part.len > 0)
            memcpy(text + len, part.ptr, part.len);
        len += part.len;
    }
    *out = str_of(text, len);
    return true;
}
