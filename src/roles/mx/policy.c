/* policy.c: what is taken, from whom, for whom.
 *
 *     recipient                         known client (relay_networks)    anybody else
 *     an address of ours                250                              250
 *     a domain of ours, no such address 550 5.1.1                        550 5.1.1
 *     postmaster, postmaster@[our IP]   250                              250
 *     any other domain or address       250, relayed                     550 5.7.1
 *     the directory does not answer     451 4.3.0                        451 4.3.0
 *
 * Nothing is accepted only to be bounced. The pair (local part, domain) that the engine parsed is
 * looked up as it is: percent, bang and quotes in a local part are characters like others, never
 * another way to write a route. A domain in U-labels is looked up, compared and queued in A-labels
 * (RFC 6531 3.2); the address itself stays as it was given. A domain that has no A-labels is no
 * domain: 553 5.1.2, and 553 5.1.8 as the sender's, for no bounce could go there. */
#include "mail/domain.h"
#include "roles/log.h"
#include "roles/mx/mx.h"

enum {
    RCPT_FIRST = 8,        /* most messages have fewer recipients */
    QUEUE_ROOM = 32 << 20, /* left in the queue: records of deliveries that fail take some */
};

/* RFC 1870 6.1, and not only for a declared size: below the reserve nothing is taken. 1.5 times:
 * chunks have keys and checksums, and a copy goes to the mailbox before the queue's is gone. */
bool mx_space_for(const struct mx *mx, uint64_t size, uint64_t reserve)
{
    const struct store_board *board = store_board(mx->env->store);
    if (board == NULL)
        return true; /* core is not there yet: the commit will tell */
    uint64_t needed;
    if (__builtin_add_overflow(size + size / 2, reserve, &needed))
        return false;
    return atomic_load(&board->writes_stopped) == 0 && atomic_load(&board->free_bytes) >= needed &&
           atomic_load(&board->free_queue_bytes) >= size + size / 2 + QUEUE_ROOM;
}

/* The path's domain as it is looked up. False: it has none. */
static bool domain_key(struct mx_session *s, const struct smtp_path *p, str_t *key)
{
    return domain_to_ascii(p->domain, smtps_transaction_arena(s->smtps), key);
}

void mx_on_mail(struct mx_session *s)
{
    const struct smtps_mail_params *p = smtps_mail_params(s->smtps);
    struct arena *a = smtps_transaction_arena(s->smtps);
    str_t key;
    /* The engine has held the size against size_max. */
    if (!mx_space_for(s->mx, p->has_size ? p->size : 0, s->mx->settings->reserve_bytes)) {
        mx_log_reject(s, "reject", 452, STR(""), "no space in the store");
        smtps_reply(s->smtps, 452, "4.3.1", "not enough space, try later");
        return;
    }
    str_t from = smtp_path_text(smtps_sender(s->smtps), a);
    if (!domain_key(s, smtps_sender(s->smtps), &key) && !a->failed) {
        mx_log_reject(s, "reject", 553, STR(""), "the sender's domain is no domain name");
        smtps_reply(s->smtps, 553, "5.1.8", "the sender's domain is no domain name");
        return;
    }
    struct mx_transaction *t = arena_alloc(a, sizeof *t);
    if (t == NULL || a->failed) {
        smtps_reply(s->smtps, 451, "4.3.0", "out of memory");
        return;
    }
    t->reverse_path = from;
    s->t = t;
    smtps_reply(s->smtps, 250, "2.1.0", "sender ok");
}

static struct queue_in_rcpt *rcpt_room(struct mx_transaction *t, struct arena *a)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : RCPT_FIRST;
        struct queue_in_rcpt *bigger = arena_array(a, cap, sizeof *bigger);
        if (bigger == NULL)
            return NULL;
        if (t->n > 0)
            memcpy(bigger, t->rcpt, t->n * sizeof *bigger);
        t->rcpt = bigger;
        t->cap = cap;
    }
    return &t->rcpt[t->n];
}

static void add_rcpt(struct mx_session *s, const struct queue_in_rcpt *r)
{
    struct queue_in_rcpt *room = rcpt_room(s->t, smtps_transaction_arena(s->smtps));
    if (room == NULL || r->address.ptr == NULL) {
        smtps_reply(s->smtps, 452, "4.5.3", "no memory for more recipients");
        return;
    }
    *room = *r;
    s->t->n++;
    smtps_reply(s->smtps, 250, "2.1.5", "recipient ok");
}

static void refuse(struct mx_session *s, int code, const char *status, str_t to, const char *why)
{
    mx_log_reject(s, code < 500 ? "defer" : "reject", code, to, why);
    smtps_reply(s->smtps, code, status, "%s", why);
}

/* Mail for a domain we do not serve. */
static void relay(struct mx_session *s, const struct smtp_path *p, struct queue_in_rcpt *r)
{
    if (!s->trusted) {
        refuse(s, 550, "5.7.1", r->address, "relaying denied");
        return;
    }
    if (p->kind == SMTP_DOMAIN_LITERAL) /* with its brackets, as in the address */
        r->domain =
            arena_fmt(smtps_transaction_arena(s->smtps), "[" STR_FMT "]", STR_ARG(p->domain));
    add_rcpt(s, r);
}

/* RFC 5321 4.5.1: postmaster must be reachable by the address literal too; other users are not
 * known by it. */
static void literal(struct mx_session *s, const struct smtp_path *p, struct queue_in_rcpt *r)
{
    if (p->literal.family == NETADDR_NONE || !netaddr_eq(&p->literal, &s->local)) {
        relay(s, p, r);
        return;
    }
    if (!str_ieq(p->local, STR("postmaster"))) {
        refuse(s, 550, "5.1.1", r->address, "no such mailbox here");
        return;
    }
    r->local = true;
    r->address = STR("postmaster");
    add_rcpt(s, r);
}

void mx_on_rcpt(struct mx_session *s)
{
    const struct smtp_path *p = smtps_recipient(s->smtps);
    struct queue_in_rcpt r = {.utf8 = p->utf8};
    r.address = smtp_path_text(p, smtps_transaction_arena(s->smtps));
    if (p->kind == SMTP_DOMAIN_LITERAL) {
        literal(s, p, &r);
        return;
    }
    if (!domain_key(s, p, &r.domain)) {
        if (smtps_transaction_arena(s->smtps)->failed)
            refuse(s, 451, "4.3.0", r.address, "out of memory");
        else
            refuse(s, 553, "5.1.2", r.address, "the domain is no domain name");
        return;
    }
    enum directory_kind kind = DIRECTORY_NONE;
    enum store_rc rc = directory_cache_kind(s->mx->directory, p->local, r.domain, &kind);
    if (rc != STORE_OK) {
        refuse(s, 451, "4.3.0", r.address, "cannot look the recipient up now, try later");
        return;
    }
    switch (kind) {
    case DIRECTORY_NONE: refuse(s, 550, "5.1.1", r.address, "no such mailbox here"); return;
    case DIRECTORY_NOT_OURS: relay(s, p, &r); return;
    case DIRECTORY_ACCOUNT:
    case DIRECTORY_ALIAS: break;
    }
    r.local = true;
    add_rcpt(s, &r);
}
