/* url.h: the address of a service that is asked over HTTP (RFC 3986, 9110 4.2): only what an
 * operator writes into the settings, so it is strict rather than complete: a scheme, a host, perhaps
 * a port, a path; no user name, no fragment. */
#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/str.h"

#define URL_MAX 1024

struct url {
    bool https;    /* else http */
    str_t host;    /* a name in letters, digits, hyphens and dots, or an address without brackets */
    uint16_t port; /* 443 or 80 unless given */
    bool literal;  /* the host is an address */
    bool loopback; /* 127.0.0.0/8, ::1 or localhost: no network is in between */
};

/* Slices point into s. */
bool url_parse(str_t s, struct url *out);

#endif
