/* extra.c: XCLIENT for filters and proxies, ETRN for those whose mail we keep, VRFY and EXPN if the
 * operator wants them. */
#include <stdlib.h>

#include "mail/domain.h"
#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum { EXTRA_ARENA = 256 * 1024 }; /* an alias with all its targets */

/* ---- XCLIENT, as Postfix documents it ---- */

static bool take_address(str_t addr, str_t port, struct netaddr *out)
{
    uint64_t n = 0;
    if (addr.ptr == NULL)
        return true;
    if (addr.len == 0) { /* [UNAVAILABLE]: somebody, and nobody we trust */
        *out = (struct netaddr){0};
        return true;
    }
    if (!netaddr_parse(addr, out) || (port.len > 0 && !str_u64(port, UINT16_MAX, &n)))
        return false;
    out->port = (uint16_t)n;
    return true;
}

void smtp_in_xclient(struct smtp_session *s)
{
    const struct smtps_xclient *x = smtps_xclient(s->smtps);
    struct netaddr peer = s->peer, local = s->local;
    char number[SMTP_SESSION_TEXT], from[NETADDR_TEXT], as[NETADDR_TEXT];
    if (!take_address(x->addr, x->port, &peer) || !take_address(x->destaddr, x->destport, &local)) {
        smtps_reply(s->smtps, 501, "5.5.4", "XCLIENT needs an address");
        return;
    }
    log_event(s->common->role, str_c(smtp_session_text(s, number)), "xclient",
              log_cstr("client", netaddr_text_port(&s->peer, from)),
              log_cstr("as", netaddr_text_port(&peer, as)), log_str("name", x->name), log_end);
    smtp_in_logout(s);
    free(s->client_name); /* a name belongs to its address: without one there is none */
    s->client_name = x->name.len > 0 ? strndup(x->name.ptr, x->name.len) : NULL;
    if (x->helo.ptr != NULL) {
        free(s->helo);
        s->helo = x->helo.len > 0 ? strndup(x->helo.ptr, x->helo.len) : NULL;
    }
    s->peer = peer;
    s->local = local;
    s->trusted = smtp_in_trusted(s->service, &peer);
    smtps_reply(s->smtps, 220, "", STR_FMT " ESMTP", STR_ARG(s->common->settings->hostname));
    smtp_in_offer_auth(s);
}

/* ---- ETRN: RFC 1985 ---- */

/* A row for courier, which watches them: see post/queue.h. */
static enum store_rc ask_for(struct smtp_session *s, str_t domain)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, EXTRA_ARENA);
    store_batch_init(&b, QUEUE_PART, &a);
    b.lazy = true; /* lost in a power cut it is asked for again */
    store_put(&b, arena_fmt(&a, "etrn/" STR_FMT, STR_ARG(domain)), STR_NONE);
    enum store_rc rc = a.failed ? STORE_LIMIT : store_commit(s->common->env->store, &b);
    arena_free(&a);
    return rc;
}

void smtp_in_etrn(struct smtp_session *s)
{
    str_t node = smtps_argument(s->smtps), domain;
    struct arena a;
    /* "@domain" also means what is below it (5.2); "#queue" is a server's own matter */
    if (str_starts(node, STR("@")))
        node = str_from(node, 1);
    if (!s->trusted) {
        smtp_in_log_reject(s, "reject", 459, node, "ETRN is not for this client");
        smtps_reply(s->smtps, 459, "4.7.1", "you may not ask for that mail");
        return;
    }
    arena_init(&a, EXTRA_ARENA);
    if (!smtp_domain_valid(node) || !domain_to_ascii(node, &a, &domain))
        smtps_reply(s->smtps, 501, "5.5.4", "a domain is needed");
    else if (ask_for(s, domain) != STORE_OK)
        smtps_reply(s->smtps, 458, "4.3.0", "cannot begin now, try later");
    else
        smtps_reply(s->smtps, 250, "2.0.0", "mail for " STR_FMT " is tried now", STR_ARG(domain));
    arena_free(&a);
}

/* ---- VRFY and EXPN: RFC 5321 3.5 ---- */

static void say_entry(struct smtp_session *s, const struct directory_entry *e, str_t address)
{
    switch (e->kind) {
    case DIRECTORY_NOT_OURS:
        smtps_reply(s->smtps, 252, "2.1.5", "not of this server; mail may be taken for it");
        return;
    case DIRECTORY_NONE: smtps_reply(s->smtps, 550, "5.1.1", "no such mailbox here"); return;
    case DIRECTORY_ACCOUNT:
        smtps_reply(s->smtps, 250, "2.1.5", "<" STR_FMT ">", STR_ARG(address));
        return;
    case DIRECTORY_LIST:
        if (smtps_is_expn(s->smtps))
            smtps_reply(s->smtps, 252, "2.1.5", "a mailing list");
        else
            smtps_reply(s->smtps, 250, "2.1.5", "<" STR_FMT ">", STR_ARG(address));
        return;
    case DIRECTORY_ALIAS:
        if (!smtps_is_expn(s->smtps))
            smtps_reply(s->smtps, 250, "2.1.5", "<" STR_FMT ">", STR_ARG(address));
        else if (e->ntargets == 1)
            smtps_reply(s->smtps, 250, "2.1.5", "<" STR_FMT ">", STR_ARG(e->targets[0]));
        else
            smtps_reply(s->smtps, 252, "2.1.5", "a list of %zu addresses", e->ntargets);
        return;
    }
}

void smtp_in_vrfy(struct smtp_session *s)
{
    str_t text = str_trim(smtps_argument(s->smtps));
    struct arena a;
    struct smtp_path p;
    struct directory_entry e;
    arena_init(&a, EXTRA_ARENA);
    bool path = str_starts(text, STR("<"));
    enum smtp_path_result got =
        path ? smtp_path_parse(&text, &a, &p) : smtp_address_parse(text, &a, &p);
    if (got != SMTP_PATH_OK || p.null || p.kind != SMTP_DOMAIN_NAME)
        smtps_reply(s->smtps, 501, "5.1.3", "a whole address is needed");
    else if (directory_cache_lookup(s->common->directory, p.local, p.domain, &a, &e) != STORE_OK)
        smtps_reply(s->smtps, 451, "4.3.0", "cannot look it up now, try later");
    else
        say_entry(s, &e, smtp_path_text(&p, &a));
    arena_free(&a);
}
