/* origin.c: addresses at this host's own name. A bare name ("root", as cron and programs write it)
 * comes in as root@HOSTNAME; where the host's name is none of the domains served here, the first
 * domain of the store is meant: there are the mailboxes, and there a bounce finds somebody. */
#include "post/directory.h"
#include "roles/smtp/smtp_in.h"

static bool at_host(const struct smtp_common *c, str_t address, size_t *at)
{
    return str_rfind(address, '@', at) &&
           str_ieq(str_from(address, *at + 1), c->settings->hostname);
}

bool smtp_in_origin(struct smtp_common *c, str_t *address, struct arena *a)
{
    enum directory_kind kind;
    size_t at;
    str_t domain;
    if (!at_host(c, *address, &at))
        return true;
    if (directory_cache_kind(c->directory, STR("postmaster"), c->settings->hostname, &kind) !=
        STORE_OK)
        return false;
    if (kind != DIRECTORY_NOT_OURS)
        return true;
    if (directory_first_domain(c->env->store, a, &domain) != STORE_OK)
        return false;
    if (domain.len > 0)
        *address =
            arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(str_first(*address, at)), STR_ARG(domain));
    return !a->failed;
}
