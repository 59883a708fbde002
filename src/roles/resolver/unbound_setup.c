/* unbound_setup.c: see unbound_setup.h. The options are those of unbound.conf(5). */
#include "roles/resolver/unbound_setup.h"

#include <stdio.h>
#include <unbound.h>

struct option {
    const char *name, *value;
};

static const struct option options[] = {
    {"verbosity:", "0"},
    {"msg-cache-size:", "8m"}, /* the whole process stays under 64 MiB */
    {"rrset-cache-size:", "16m"},
    {"key-cache-size:", "4m"},
    {"neg-cache-size:", "1m"},
    {"infra-cache-numhosts:", "10000"},
    {"num-queries-per-thread:", "1024"}, /* RESOLVER_IN_FLIGHT and what they cause */
    {"outgoing-range:", "256"}, /* UDP ports at once: unpredictable, but within 1024 descriptors */
    {"cache-max-negative-ttl:", "900"}, /* a domain that was just registered gets its mail soon */
    {"edns-buffer-size:", "1232"},      /* DNS flag day 2020: no fragments */
    {"qname-minimisation:", "yes"},     /* RFC 9156 */
    /* a private network's names are its own servers' business, not built in */
    {"unblock-lan-zones:", "yes"},
    {"insecure-lan-zones:", "yes"},
};

/* Zones libunbound answers by itself unless told otherwise; a private network may well serve
 * them. */
static const char *const own_zones[] = {"localhost.", "test.", "invalid.", "home.arpa."};

/* The root's key-signing keys, as IANA publishes them (root-anchors.xml): KSK-2017, and KSK-2024
 * that follows it. */
static const char *const root_keys[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

static int set_options(struct ub_ctx *ub)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof options / sizeof *options && rc == 0; i++)
        rc = ub_ctx_set_option(ub, options[i].name, options[i].value);
    return rc;
}

static int set_servers(struct ub_ctx *ub, const struct settings *set)
{
    int rc = 0;
    bool loopback = false;
    for (size_t i = 0; i < set->n_dns_servers && rc == 0; i++) {
        enum { DNS_PORT = 53 };
        const struct netaddr *a = &set->dns_servers[i];
        char addr[NETADDR_TEXT], text[NETADDR_TEXT + 8];
        snprintf(text, sizeof text, "%s@%u", netaddr_text(a, addr),
                 a->port != 0 ? a->port : DNS_PORT);
        loopback |= netaddr_loopback(a);
        rc = ub_ctx_set_fwd(ub, text);
    }
    if (rc == 0 && loopback)
        rc = ub_ctx_set_option(ub, "do-not-query-localhost:", "no");
    return rc;
}

/* Without keys nothing is validated. */
static int set_keys(struct ub_ctx *ub, const struct settings *set)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof root_keys / sizeof *root_keys && rc == 0 && set->dnssec; i++)
        rc = ub_ctx_add_ta(ub, root_keys[i]);
    return rc;
}

static int remove_own_zones(struct ub_ctx *ub)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof own_zones / sizeof *own_zones && rc == 0; i++)
        rc = ub_ctx_zone_remove(ub, own_zones[i]);
    return rc;
}

struct ub_ctx *unbound_setup(const struct settings *set, struct err *err)
{
    struct ub_ctx *ub = ub_ctx_create();
    if (ub == NULL) {
        (void)err_set(err, RC_TEMP, "", "libunbound cannot start");
        return NULL;
    }
    int rc = ub_ctx_async(ub, 1); /* a thread, not a process */
    rc = rc == 0 ? set_options(ub) : rc;
    rc = rc == 0 ? set_servers(ub, set) : rc;
    rc = rc == 0 ? set_keys(ub, set) : rc;
    rc = rc == 0 ? remove_own_zones(ub) : rc; /* last: it ends the configuration */
    if (rc == 0)
        return ub;
    (void)err_set(err, RC_TEMP, "", "libunbound: %s", ub_strerror(rc));
    ub_ctx_delete(ub);
    return NULL;
}
