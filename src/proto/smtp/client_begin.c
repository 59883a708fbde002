/* client_begin.c: how a transaction of the client engine begins: what the peer cannot take is
 * refused here, recipient by recipient, before a byte is sent. See client.h. */
#include "proto/smtp/client_internal.h"

/* Reply texts: 100 recipients with SMTPC_REPLY_TEXT each fit. */
enum { TRANSACTION_TEXT_MAX = 512 * 1024 };
enum { ALIGN_MAX = 64 };

static void transaction_reset(struct transaction *t)
{
    struct arena arena = t->arena;
    arena_reset(&arena);
    *t = (struct transaction){.arena = arena};
}

/* Our own refusal of one recipient, before anything is sent. */
static void refuse(struct smtpc *c, size_t i, const char *status, str_t text)
{
    struct smtpc_reply r = {.text = text};
    str_toc(str_c(status), r.status, sizeof r.status);
    smtpc_slot_done(&c->t.slots[i], RC_PERM, &r);
    c->t.slots[i].unsent = true;
}

static void refuse_all(struct smtpc *c, const char *status, str_t text)
{
    for (size_t i = 0; i < c->t.n; i++)
        refuse(c, i, status, text);
}

static bool address_clean(str_t s)
{
    if (s.len > SMTPC_ADDRESS_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool address_ascii(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* RFC 2852 4.1.4.1: only to a server that knows it too, and only in time. */
static bool by_fits(struct smtpc *c)
{
    const struct smtpc_envelope *e = &c->t.envelope;
    const struct smtpc_features *f = &c->features;
    if (e->by_mode != 'R')
        return true;
    if (e->by_s <= 0)
        refuse_all(c, "5.4.7", STR("delivery time expired"));
    else if (!f->deliverby)
        refuse_all(c, "5.3.3",
                   STR("the next server does not take messages with a deadline (DELIVERBY)"));
    else if (e->by_s < (int64_t)f->deliverby_min_s)
        refuse_all(c, "5.3.3",
                   STR("the next server takes longer than the message has time (DELIVERBY)"));
    else
        return true;
    return false;
}

/* What concerns the message as a whole. RFC 1870 6.1, 3030 3, 6152 3, 6531 3.5, 8689 4.2.1 */
static bool message_fits(struct smtpc *c)
{
    const struct smtpc_envelope *e = &c->t.envelope;
    const struct smtpc_features *f = &c->features;
    if (!address_clean(e->reverse_path))
        refuse_all(c, "5.1.7", STR("the sender's address cannot be sent"));
    else if (c->t.smtputf8 && !f->smtputf8)
        refuse_all(c, "5.6.7",
                   STR("the next server does not take internationalized mail (SMTPUTF8)"));
    else if (e->requiretls && e->reverse_path.len > 0 && (c->tls != SMTPC_TLS_ON || !f->requiretls))
        refuse_all(c, "5.7.30",
                   STR("the next server does not promise TLS on the whole way (REQUIRETLS)"));
    else if (e->body_binary && !(f->binarymime && f->chunking))
        refuse_all(c, "5.6.3", STR("the next server does not take binary content (BINARYMIME)"));
    else if (e->body_8bit && !e->body_binary && !f->body_8bit)
        refuse_all(c, "5.6.3", STR("the next server does not take 8-bit content (8BITMIME)"));
    else if (f->size && f->size_max > 0 && e->size > f->size_max)
        refuse_all(c, "5.3.4", STR("the message is larger than the next server takes"));
    else
        return by_fits(c);
    return false;
}

/* What concerns one recipient; asks for SMTPUTF8 if its address does. */
static void check_recipients(struct smtpc *c)
{
    for (size_t i = 0; i < c->t.n; i++) {
        str_t to = c->t.envelope.recipients[i];
        if (to.len == 0 || !address_clean(to))
            refuse(c, i, "5.1.3", STR("the address cannot be sent"));
        else if (!address_ascii(to) && !c->features.smtputf8)
            refuse(c, i, "5.6.7",
                   STR("the next server does not take internationalized addresses (SMTPUTF8)"));
        else if (!address_ascii(to))
            c->t.smtputf8 = true;
    }
}

void smtpc_begin(struct smtpc *c, const struct smtpc_envelope *e)
{
    struct transaction *t = &c->t;
    must(c->dead || (smtpc_want(c) == SMTPC_READY && !t->content && c->tls != SMTPC_TLS_GRANTED));
    transaction_reset(t);
    if (c->dead || e->n == 0)
        return;
    if (e->n > SIZE_MAX / 2 / sizeof(struct slot)) {
        smtpc_fail(c, RC_TEMP, "4.3.0", "too many recipients");
        return;
    }
    t->arena.max = e->n * sizeof(struct slot) + ALIGN_MAX + TRANSACTION_TEXT_MAX;
    t->slots = arena_array(&t->arena, e->n, sizeof(struct slot));
    if (t->slots == NULL) {
        smtpc_fail(c, RC_TEMP, "4.3.0", "out of memory");
        return;
    }
    t->n = e->n;
    t->envelope = *e;
    t->smtputf8 = e->smtputf8 || !address_ascii(e->reverse_path);
    if (!message_fits(c))
        return;
    check_recipients(c);
    if (smtpc_next_sent(t, 0) == t->n)
        return;
    t->write = t->read = (struct step){c->dirty ? AWAIT_RSET : AWAIT_MAIL, 0};
    c->dirty = true; /* until all of it went well */
    smtpc_transaction_fill(c);
}
