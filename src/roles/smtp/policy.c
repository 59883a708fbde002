/* policy.c: what is taken, from whom, for whom.
 *
 *     recipient                         who may relay (smtp_in.h)        anybody else
 *     an address of ours                250                              250
 *     a domain of ours, no such address 550 5.1.1                        550 5.1.1
 *     postmaster, postmaster@[our IP]   250                              250
 *     a domain of the backup table      250, for its better MX           250, for its better MX
 *     a reverse-path of ours            returned.c                       returned.c
 *     any other domain or address       250, relayed                     550 5.7.1
 *     the directory does not answer     451 4.3.0                        451 4.3.0
 *
 * Nothing is accepted only to be bounced. The pair (local part, domain) that the engine parsed is
 * looked up as it is: percent, bang and quotes in a local part are characters like others, never
 * another way to write a route. A domain in U-labels is looked up, compared and queued in A-labels
 * (RFC 6531 3.2); the address itself stays as it was given. A domain that has no A-labels is no
 * domain: 553 5.1.2, and 553 5.1.8 as the sender's, for no bounce could go there. */
#include "mail/domain.h"
#include "post/route.h"
#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum {
    RCPT_FIRST = 8,        /* most messages have fewer recipients */
    QUEUE_ROOM = 32 << 20, /* left in the queue: records of deliveries that fail take some */
};

/* RFC 1870 6.1, and not only for a declared size: below the reserve nothing is taken. 1.5 times:
 * chunks have keys and checksums, and a copy goes to the mailbox before the queue's is gone. */
bool smtp_in_space(const struct smtp_common *c, uint64_t size, uint64_t reserve)
{
    const struct store_board *board = store_board(c->env->store);
    if (board == NULL)
        return true; /* core is not there yet: the commit will tell */
    uint64_t needed;
    if (__builtin_add_overflow(size + size / 2, reserve, &needed))
        return false;
    return atomic_load(&board->writes_stopped) == 0 && atomic_load(&board->free_bytes) >= needed &&
           atomic_load(&board->free_queue_bytes) >= size + size / 2 + QUEUE_ROOM;
}

/* The path's domain as it is looked up. False: it has none. */
static bool domain_key(struct smtp_session *s, const struct smtp_path *p, str_t *key)
{
    return domain_to_ascii(p->domain, smtps_transaction_arena(s->smtps), key);
}

void smtp_in_refuse(struct smtp_session *s, int code, const char *status, str_t to, const char *why)
{
    smtp_in_log_reject(s, code < 500 ? "defer" : "reject", code, to, why);
    smtps_reply(s->smtps, code, status, "%s", why);
}

/* True: it was answered. */
static bool login_over(struct smtp_session *s, str_t to)
{
    const struct smtp_given_up *over = &smtp_in_login_is_over;
    if (!smtp_in_login_over(s))
        return false;
    smtp_in_log_reject(s, "defer", over->code, to, over->log);
    smtps_reply(s->smtps, over->code, over->status, "%s", over->text);
    return true;
}

static void cannot_look_up(struct smtp_session *s, str_t to)
{
    if (login_over(s, to))
        return;
    if (smtps_transaction_arena(s->smtps)->failed)
        smtp_in_refuse(s, 451, "4.3.0", to, "out of memory");
    else
        smtp_in_refuse(s, 451, "4.3.0", to, "cannot look the address up now, try later");
}

/* Held by the operator's rule. `what` fits no row: *hold stays. */
static bool held(struct smtp_session *s, enum table rule, str_t what, bool *hold, str_t *reason)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    bool found;
    str_t why;
    if (*hold || what.len == 0)
        return true;
    if (table_find(s->common->tables, rule, what, a, &found, &why, NULL) != STORE_OK)
        return false;
    if (found) {
        *hold = true;
        *reason = why.len > 0 ? why : STR("held by a rule");
    }
    return true;
}

/* ---- MAIL ---- */

/* As whom: true, or it was answered. */
static bool sender_ok(struct smtp_session *s, str_t from)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    bool theirs = true;
    if (!smtp_service_logs_in(s->service))
        return true;
    if (s->login == NULL) { /* the engine has said so before */
        smtp_in_refuse(s, 530, "5.7.0", STR_NONE, "log in first");
        return false;
    }
    /* <> is for what programs send by themselves (RFC 3834 3.3); From tells whose it is. */
    if (from.len > 0 && smtp_in_is_theirs(s, from, a, &theirs) != STORE_OK) {
        cannot_look_up(s, STR_NONE);
        return false;
    }
    if (theirs)
        return true;
    if (login_over(s, from)) /* a removed account has no addresses */
        return false;
    smtp_in_log_reject(s, "reject", 553, from, "the sender is not theirs");
    smtps_reply(s->smtps, 553, "5.7.1",
                "you are logged in as %s and may not send as " STR_FMT
                ": use an address of yours, or ask your postmaster to grant it to you",
                s->login->is.address, STR_ARG(from));
    return false;
}

/* The sender as the queue has it; its domain must be one. False: it was answered. */
static bool sender_text(struct smtp_session *s, str_t *from)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    const struct smtp_path *p = smtps_sender(s->smtps);
    str_t key;
    *from = smtp_path_text(p, a);
    if (!domain_key(s, p, &key) && !a->failed) {
        smtp_in_refuse(s, 553, "5.1.8", STR_NONE, "the sender's domain is no domain name");
        return false;
    }
    bool ok = p->null || !smtp_service_submits(s->service) ||
              smtp_in_rewrite_sender(s->common, *from, a, from);
    if (!ok || a->failed)
        cannot_look_up(s, STR_NONE);
    return ok && !a->failed;
}

static struct smtp_transaction *begin(struct smtp_session *s, str_t from)
{
    struct smtp_transaction *t = arena_alloc(smtps_transaction_arena(s->smtps), sizeof *t);
    if (t == NULL) {
        cannot_look_up(s, STR_NONE);
        return NULL;
    }
    t->reverse_path = from;
    t->began_ms = s->common->env->wall_ms(s->common->env);
    str_t account = s->login != NULL ? str_c(s->login->is.address) : STR_NONE;
    if (!held(s, TABLE_HOLD_SENDER, from, &t->hold, &t->reason) ||
        !held(s, TABLE_HOLD_ACCOUNT, account, &t->hold, &t->reason)) {
        cannot_look_up(s, STR_NONE);
        return NULL;
    }
    if (t->hold)
        t->held_as = "held by a rule";
    return t;
}

void smtp_in_mail(struct smtp_session *s)
{
    const struct smtps_mail_params *p = smtps_mail_params(s->smtps);
    str_t from;
    /* The engine has held the size against size_max. */
    if (!smtp_in_space(s->common, p->has_size ? p->size : 0, s->common->settings->reserve_bytes)) {
        smtp_in_log_reject(s, "reject", 452, STR(""), "no space in the store");
        smtps_reply(s->smtps, 452, "4.3.1", "not enough space, try later");
        return;
    }
    if (!smtp_in_params_ok(s) || !sender_text(s, &from) || !sender_ok(s, from))
        return;
    s->t = begin(s, from);
    if (s->t != NULL)
        smtps_reply(s->smtps, 250, "2.1.0", "sender ok");
}

/* ---- RCPT ---- */

static struct queue_in_rcpt *rcpt_room(struct smtp_transaction *t, struct arena *a)
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

static void add_rcpt(struct smtp_session *s, struct queue_in_rcpt *r)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    struct queue_in_rcpt *room = rcpt_room(s->t, a);
    if (room == NULL || r->address.ptr == NULL) {
        smtps_reply(s->smtps, 452, "4.5.3", "no memory for more recipients");
        return;
    }
    smtp_in_rcpt_params(s, r);
    if (!held(s, TABLE_HOLD_RECIPIENT, r->address, &r->hold, &r->reason) ||
        route_via(s->common->tables, s->t->reverse_path, r->address, r->local, a, &r->via) !=
            STORE_OK ||
        a->failed) {
        cannot_look_up(s, r->address);
        return;
    }
    r->local = r->local && r->via.len == 0; /* by a route also what is ours leaves */
    if (!smtp_in_sign(s, r)) {
        cannot_look_up(s, r->address);
        return;
    }
    *room = *r;
    s->t->n++;
    s->t->nruled += r->hold;
    smtps_reply(s->smtps, 250, "2.1.5", "recipient ok");
}

/* Whether we are the backup MX of that domain. *yes; false: not known now. */
static bool is_backup(struct smtp_session *s, const struct queue_in_rcpt *r, bool *yes)
{
    str_t value;
    *yes = false;
    return r->domain.len == 0 ||
           table_find(s->common->tables, TABLE_BACKUP, r->domain, smtps_transaction_arena(s->smtps),
                      yes, &value, NULL) == STORE_OK;
}

/* Mail for a domain we do not serve. */
static void relay(struct smtp_session *s, const struct smtp_path *p, struct queue_in_rcpt *r)
{
    bool backup;
    if (!smtp_in_may_relay(s) && !is_backup(s, r, &backup)) {
        cannot_look_up(s, r->address);
        return;
    }
    if (!smtp_in_may_relay(s) && !backup) {
        smtp_in_refuse(s, 550, "5.7.1", r->address, "relaying denied");
        return;
    }
    if (p->kind == SMTP_DOMAIN_LITERAL) /* with its brackets, as in the address */
        r->domain =
            arena_fmt(smtps_transaction_arena(s->smtps), "[" STR_FMT "]", STR_ARG(p->domain));
    add_rcpt(s, r);
}

/* RFC 5321 4.5.1: postmaster must be reachable by the address literal too; other users are not
 * known by it. */
static void literal(struct smtp_session *s, const struct smtp_path *p, struct queue_in_rcpt *r)
{
    if (p->literal.family == NETADDR_NONE || !netaddr_eq(&p->literal, &s->local)) {
        relay(s, p, r);
        return;
    }
    if (!str_ieq(p->local, STR("postmaster"))) {
        smtp_in_refuse(s, 550, "5.1.1", r->address, "no such mailbox here");
        return;
    }
    r->local = true;
    r->address = STR("postmaster");
    add_rcpt(s, r);
}

/* By the directory: ours, or to be relayed. */
static void named(struct smtp_session *s, const struct smtp_path *p, struct queue_in_rcpt *r,
                  bool tagged)
{
    enum directory_kind kind = DIRECTORY_NONE;
    enum store_rc rc = directory_cache_kind(s->common->directory, p->local, r->domain, &kind);
    if (rc != STORE_OK) {
        smtp_in_refuse(s, 451, "4.3.0", r->address, "cannot look the recipient up now, try later");
        return;
    }
    switch (kind) {
    case DIRECTORY_NONE:
        smtp_in_refuse(s, 550, "5.1.1", r->address, "no such mailbox here");
        return;
    case DIRECTORY_NOT_OURS:
        if (r->original.len == 0) {
            relay(s, p, r);
            return;
        }
        break; /* written to an address of ours, which the operator leads there: local sends it on */
    case DIRECTORY_ACCOUNT:
    case DIRECTORY_ALIAS:
    case DIRECTORY_LIST: break;
    }
    if (!tagged && !smtp_in_bounce_ok(s, p)) {
        smtp_in_refuse(s, 550, "5.7.1", r->address,
                       "this is no bounce of mail that we sent: the tag of its sender is missing");
        return;
    }
    r->local = true;
    add_rcpt(s, r);
}

/* By the directory, once its domain is known (r->domain). What was made of a sender comes back
 * here. */
static void at_domain(struct smtp_session *s, const struct smtp_path *p, struct queue_in_rcpt *r,
                      enum smtp_in_returned returned)
{
    switch (returned) {
    case SMTP_IN_RETURNED_NOT:
    case SMTP_IN_RETURNED_TAGGED: named(s, p, r, returned == SMTP_IN_RETURNED_TAGGED); return;
    case SMTP_IN_RETURNED_FORWARD:
        r->local = true;
        add_rcpt(s, r);
        return;
    case SMTP_IN_RETURNED_WRONG:
        smtp_in_refuse(s, 550, "5.7.1", r->address, "this is not one of our forwards, or too old");
        return;
    case SMTP_IN_RETURNED_LATER: cannot_look_up(s, r->address); return;
    }
}

/* Of strangers' mail: whether the address it was written to is in a domain of ours. */
static bool original_keep(struct smtp_session *s, str_t domain, struct queue_in_rcpt *r)
{
    enum directory_kind kind;
    if (smtp_service_submits(s->service))
        return true;
    if (directory_cache_kind(s->common->directory, STR_NONE, domain, &kind) != STORE_OK)
        return false;
    if (kind != DIRECTORY_NOT_OURS)
        r->original = r->address;
    return true;
}

/* The path by the operator's tables (canonical-recipient), before it is looked up. False: it was
 * answered. */
static bool rewritten(struct smtp_session *s, const struct smtp_path **p, struct queue_in_rcpt *r)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    str_t other;
    if ((*p)->kind != SMTP_DOMAIN_NAME)
        return true;
    bool ok = smtp_in_rewrite(s->common, MAIL_EDIT_RECIPIENT, r->address, a, &other);
    if (ok && other.ptr == r->address.ptr)
        return true;
    struct smtp_path *path = arena_alloc(a, sizeof *path);
    if (!ok || path == NULL || smtp_address_parse(other, a, path) != SMTP_PATH_OK ||
        !original_keep(s, r->domain, r)) {
        cannot_look_up(s, r->address);
        return false;
    }
    r->address = smtp_path_text(path, a);
    r->utf8 = path->utf8;
    *p = path;
    return true;
}

static void no_domain(struct smtp_session *s, str_t to)
{
    if (smtps_transaction_arena(s->smtps)->failed)
        smtp_in_refuse(s, 451, "4.3.0", to, "out of memory");
    else
        smtp_in_refuse(s, 553, "5.1.2", to, "the domain is no domain name");
}

void smtp_in_rcpt(struct smtp_session *s)
{
    const struct smtp_path *p = smtps_recipient(s->smtps);
    struct queue_in_rcpt r = {.utf8 = p->utf8};
    enum smtp_in_returned returned = SMTP_IN_RETURNED_NOT;
    r.address = smtp_path_text(p, smtps_transaction_arena(s->smtps));
    if (p->kind == SMTP_DOMAIN_LITERAL) {
        literal(s, p, &r);
        return;
    }
    bool named_so = domain_key(s, p, &r.domain);
    if (named_so && p->kind == SMTP_DOMAIN_NAME)
        returned = smtp_in_returned(s, &p, &r);
    if (named_so && returned <= SMTP_IN_RETURNED_TAGGED) { /* an address that is looked up */
        if (!rewritten(s, &p, &r))
            return;
        named_so = domain_key(s, p, &r.domain);
    }
    if (named_so)
        at_domain(s, p, &r, returned);
    else
        no_domain(s, r.address);
}
