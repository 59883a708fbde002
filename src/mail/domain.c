/* domain.c: see domain.h. The Unicode tables are libidn2's; what comes out of it is checked again,
 * so that whatever the mapping makes of a strange character never becomes a dot, a slash or an "at"
 * in a name. */
#include "mail/domain.h"

#include <idn2.h>

enum { LABEL_MAX = 63 }; /* RFC 1035 2.3.4 */

static bool letter_or_digit(char c)
{
    return ascii_digit(c) || (c >= 'a' && c <= 'z');
}

/* Letters, digits and inner hyphens, in labels with one dot between them. */
static bool is_hostname(str_t s)
{
    size_t label = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.') {
            if (label == 0 || s.ptr[i - 1] == '-')
                return false;
            label = 0;
        } else if (++label > LABEL_MAX || !(letter_or_digit(c) || (c == '-' && label > 1))) {
            return false;
        }
    }
    return label > 0 && s.ptr[s.len - 1] != '-' && s.len <= DOMAIN_DNS_MAX;
}

static bool from_unicode(str_t domain, struct arena *a, str_t *out)
{
    char *labels = NULL, *u = domain.len <= DOMAIN_MAX ? arena_cstr(a, domain) : NULL;
    if (u == NULL || memchr(u, '\0', domain.len) != NULL ||
        idn2_to_ascii_8z(u, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    bool ok = is_hostname(str_c(labels));
    if (ok)
        *out = arena_dup(a, str_c(labels));
    idn2_free(labels);
    return ok && out->ptr != NULL;
}

bool domain_to_ascii(str_t domain, struct arena *a, str_t *out)
{
    bool upper = false, ascii = true;
    for (size_t i = 0; i < domain.len; i++) {
        ascii &= (unsigned char)domain.ptr[i] < 0x80;
        upper |= domain.ptr[i] >= 'A' && domain.ptr[i] <= 'Z';
    }
    *out = domain;
    if (!ascii)
        return from_unicode(domain, a, out);
    if (!upper || domain.ptr[0] == '[')
        return true;
    *out = arena_dup(a, domain);
    if (out->ptr == NULL)
        return false;
    str_lower((char *)(uintptr_t)out->ptr, out->len); /* our own copy */
    return true;
}

static bool has_alabel(str_t domain)
{
    for (size_t i = 0; i < domain.len; i++)
        if ((i == 0 || domain.ptr[i - 1] == '.') && str_istarts(str_from(domain, i), STR("xn--")))
            return true;
    return false;
}

/* libidn2 decodes without judging: only what leads back to the same A-labels is shown. */
static bool leads_back(str_t unicode, str_t domain, struct arena *a)
{
    str_t again;
    return domain_to_ascii(unicode, a, &again) && str_eq(again, domain);
}

bool domain_to_unicode(str_t domain, struct arena *a, str_t *out)
{
    *out = domain;
    if (!has_alabel(domain))
        return true;
    char *labels = NULL, *z = NULL;
    if (domain.len <= DOMAIN_MAX && domain_to_ascii(domain, a, &domain)) /* in lower case */
        z = arena_cstr(a, domain);
    if (z == NULL || memchr(z, '\0', domain.len) != NULL ||
        idn2_to_unicode_8z8z(z, &labels, IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    *out = arena_dup(a, str_c(labels));
    idn2_free(labels);
    return out->ptr != NULL && leads_back(*out, domain, a);
}
