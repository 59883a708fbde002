/* url.c: see url.h. */
#include "base/url.h"

#include "base/netaddr.h"

enum { HOST_MAX = 253, HTTP_PORT = 80, HTTPS_PORT = 443 };

/* RFC 3986 2: visible ASCII, without what has to be written as %XX, and without a fragment. */
static bool chars_ok(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || strchr("\"<>\\^`{|}#", s.ptr[i]) != NULL)
            return false;
    return true;
}

/* The last label begins with a letter: what is all digits is somebody's way to write an address. */
static bool name_ok(str_t s)
{
    char before = '.';
    size_t dot;
    str_t last = str_rfind(s, '.', &dot) ? str_from(s, dot + 1) : s;
    if (last.len == 0 || !ascii_alpha(last.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '.')
            return false;
        if ((c == '.' || c == '-') && before == '.')
            return false;
        before = c;
    }
    return s.len > 0 && s.len <= HOST_MAX && before != '.' && before != '-';
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static bool authority(str_t s, struct url *out)
{
    struct netaddr a;
    str_t port = STR_NONE;
    size_t at;
    uint64_t n;
    bool brackets = str_starts(s, STR("["));
    if (brackets) {
        if (!str_find(s, ']', &at))
            return false;
        out->host = str_of(s.ptr + 1, at - 1);
        port = str_from(s, at + 1);
    } else {
        bool has = str_find(s, ':', &at);
        out->host = has ? str_first(s, at) : s;
        port = has ? str_from(s, at) : STR_NONE;
    }
    out->port = out->https ? HTTPS_PORT : HTTP_PORT;
    if (port.len > 0) {
        if (port.ptr[0] != ':' || !str_u64(str_from(port, 1), UINT16_MAX, &n) || n == 0)
            return false;
        out->port = (uint16_t)n;
    }
    out->literal = netaddr_parse(out->host, &a);
    if (brackets ? !out->literal || a.family != NETADDR_V6 : out->literal && a.family != NETADDR_V4)
        return false;
    out->loopback = out->literal ? netaddr_loopback(&a) : str_ieq(out->host, STR("localhost"));
    return out->literal || name_ok(out->host);
}

bool url_parse(str_t s, struct url *out)
{
    size_t end = 0;
    *out = (struct url){.https = str_istarts(s, STR("https://"))};
    if (s.len > URL_MAX || !chars_ok(s) || (!out->https && !str_istarts(s, STR("http://"))))
        return false;
    s = str_from(s, out->https ? sizeof "https://" - 1 : sizeof "http://" - 1);
    while (end < s.len && s.ptr[end] != '/' && s.ptr[end] != '?')
        end++;
    return authority(str_first(s, end), out);
}
