/* params.c: the ESMTP parameters of MAIL and RCPT, as the queue keeps them. The engine has parsed
 * them; here they are held against each other, and against who asks. */
#include <stdio.h>

#include "roles/smtp/smtp_in.h"

bool smtp_in_params_ok(struct smtp_session *s)
{
    const struct smtps_mail_params *p = smtps_mail_params(s->smtps);
    /* RFC 2852 4: a time that has passed makes no sense with R */
    if (p->by_mode == 'R' && p->by_s <= 0) {
        smtp_in_refuse(s, 501, "5.5.4", STR_NONE, "deliver-by time has passed already");
        return false;
    }
    /* RFC 4865 4: only who submits may hold mail back here */
    if ((p->hold_for_s > 0 || p->hold_until_ms > 0) && !smtp_service_submits(s->service)) {
        smtp_in_refuse(s, 555, "5.5.4", STR_NONE, "no mail is kept for later here");
        return false;
    }
    return true;
}

/* RFC 6710: who is unknown to us has no say in what comes first. Less than usual anybody may ask
 * for. */
static int8_t priority(const struct smtp_session *s, int8_t asked)
{
    return asked < 0 || smtp_in_may_relay(s) ? asked : 0;
}

static void deliver_by(const struct smtps_mail_params *p, int64_t began_ms, struct queue_message *m)
{
    if (p->by_mode == 0)
        return;
    m->by = p->by_mode == 'R' ? QUEUE_BY_RETURN : QUEUE_BY_NOTIFY;
    m->by_trace = p->by_trace;
    m->deliver_by_ms = began_ms + p->by_s * 1000; /* at most 9 digits: RFC 2852 4 */
}

static enum queue_ret ret(const struct smtps_mail_params *p)
{
    switch (p->ret) {
    case SMTPS_RET_ANY: return QUEUE_RET_ANY;
    case SMTPS_RET_FULL: return QUEUE_RET_FULL;
    case SMTPS_RET_HDRS: return QUEUE_RET_HDRS;
    }
    return QUEUE_RET_ANY;
}

void smtp_in_message_params(struct smtp_session *s, struct queue_message *m)
{
    const struct smtps_mail_params *p = smtps_mail_params(s->smtps);
    m->body_8bit = p->body_8bit;
    m->body_binary = p->body_binary;
    m->smtputf8 = p->smtputf8;
    m->requiretls = p->requiretls;
    m->ret = ret(p);
    m->envelope_id = p->envid;
    m->priority = priority(s, p->priority);
    deliver_by(p, s->t->began_ms, m);
    if (p->hold_until_ms > 0)
        m->release_ms = p->hold_until_ms;
    else if (p->hold_for_s > 0)
        m->release_ms = s->t->began_ms + p->hold_for_s * 1000;
}

void smtp_in_rcpt_params(struct smtp_session *s, struct queue_in_rcpt *r)
{
    const struct smtps_rcpt_params *p = smtps_rcpt_params(s->smtps);
    r->notify =
        (uint8_t)((p->never ? QUEUE_NOTIFY_NEVER : 0) | (p->success ? QUEUE_NOTIFY_SUCCESS : 0) |
                  (p->failure ? QUEUE_NOTIFY_FAILURE : 0) | (p->delay ? QUEUE_NOTIFY_DELAY : 0));
    if (p->orcpt.len > 0) /* the engine's is gone with the event */
        r->orcpt = arena_dup(smtps_transaction_arena(s->smtps), p->orcpt);
}

/* The network whose owner is one customer: as the server counts connections. */
static struct netaddr network(const struct netaddr *peer, unsigned *bits)
{
    struct netaddr net = netaddr_plain(peer);
    size_t keep = net.family == NETADDR_V6 ? 7 : 3;
    *bits = (unsigned)keep * 8;
    net.port = 0;
    memset(net.bytes + keep, 0, sizeof net.bytes - keep);
    return net;
}

str_t smtp_in_source(const struct smtp_session *s, char out[static SMTP_SOURCE_TEXT])
{
    char text[NETADDR_TEXT];
    unsigned bits;
    int n;
    if (s->login != NULL) {
        n = snprintf(out, SMTP_SOURCE_TEXT, "a/%llu", (unsigned long long)s->login->is.account);
    } else if (s->peer.family == NETADDR_UNIX) {
        n = snprintf(out, SMTP_SOURCE_TEXT, "u/%u", (unsigned)netaddr_uid(&s->peer));
    } else {
        struct netaddr net = network(&s->peer, &bits);
        n = snprintf(out, SMTP_SOURCE_TEXT, "n/%s/%u", netaddr_text(&net, text), bits);
    }
    return str_of(out, (size_t)n);
}
