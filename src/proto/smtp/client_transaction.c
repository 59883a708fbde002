/* client_transaction.c: one mail transaction of the client engine, from its first command to the
 * verdict of each recipient. See client.h; how it begins is in client_begin.c.
 *
 * Two steps run over the same sequence RSET? MAIL RCPT… DATA: `write`, the next command to be
 * written, and `read`, the next to be answered. With PIPELINING write runs ahead (bounded by
 * GROUP and the output's watermark), without it they go hand in hand; the rest is the same code.
 * RFC 2920 3.1: every status of the group is looked at; if all recipients were refused and DATA
 * was granted all the same, a single dot ends it. The content is in client_send.c. */
#include "proto/smtp/client_internal.h"

/* Unanswered commands in a group: their replies must fit the socket buffers of both sides, or
 * each waits for the other. */
enum { GROUP = 256 };
/* Output at which a group goes out: 100 ordinary recipients fit in one write. */
enum { OUTPUT_WATERMARK = 32 * 1024 };

static const struct smtpc_reply no_reply = {0};

/* ---- verdicts ---- */

enum rc smtpc_class_rc(int code)
{
    return code / 100 == 2 ? RC_OK : code / 100 == 5 ? RC_PERM : RC_TEMP;
}

/* The reply just read, copied to last as long as the transaction. Without memory the text is
 * lost, the code is not. */
static struct smtpc_reply keep_reply(struct smtpc *c)
{
    struct smtpc_reply r = {.code = c->reader.code};
    memcpy(r.status, c->reader.status, sizeof r.status);
    r.text = arena_dup(&c->t.arena, smtpc_reader_text(&c->reader));
    return r;
}

void smtpc_slot_done(struct slot *s, enum rc rc, const struct smtpc_reply *r)
{
    s->state = SLOT_DONE;
    s->rc = rc;
    s->reply = *r;
}

void smtpc_decide_all(struct smtpc *c, bool accepted_only, enum rc rc)
{
    struct smtpc_reply r = keep_reply(c);
    for (size_t i = 0; i < c->t.n; i++)
        if (c->t.slots[i].state == SLOT_ACCEPTED ||
            (!accepted_only && c->t.slots[i].state == SLOT_OPEN))
            smtpc_slot_done(&c->t.slots[i], rc, &r);
}

enum rc smtpc_verdict(const struct smtpc *c, size_t i, struct smtpc_reply *reply)
{
    if (i < c->t.n && c->t.slots[i].state == SLOT_DONE) {
        *reply = c->t.slots[i].reply;
        return c->t.slots[i].rc;
    }
    *reply = no_reply;
    if (!c->dead) {
        reply->text = STR("not decided");
        return RC_TEMP;
    }
    memcpy(reply->status, c->error.status, sizeof reply->status);
    reply->text = str_c(c->error.text);
    if (c->t.ended || c->error.rc == RC_OK) /* the dot may have arrived: RFC 5321 4.5.3.2.6 */
        return RC_CLOSED;
    return c->error.rc;
}

bool smtpc_untouched(const struct smtpc *c)
{
    return c->dead && c->t.n > 0 && !c->t.touched && !c->t.ended;
}

bool smtpc_put_off(const struct smtpc *c)
{
    return c->closing || c->t.mail_put_off;
}

/* ---- the sequence of commands ---- */

size_t smtpc_next_sent(const struct transaction *t, size_t from)
{
    while (from < t->n && t->slots[from].unsent)
        from++;
    return from;
}

static struct step step_after(const struct transaction *t, struct step s)
{
    size_t from = s.kind == AWAIT_RCPT ? s.rcpt + 1 : 0;
    if (s.kind == AWAIT_RSET)
        return (struct step){AWAIT_MAIL, 0};
    if (s.kind == AWAIT_MAIL || s.kind == AWAIT_RCPT) {
        from = smtpc_next_sent(t, from);
        return from < t->n ? (struct step){AWAIT_RCPT, from} : (struct step){AWAIT_DATA, 0};
    }
    return (struct step){AWAIT_NONE, 0};
}

static void put_command(struct smtpc *c, struct step s)
{
    if (s.kind == AWAIT_RSET) {
        smtpc_put(c, STR("RSET\r\n"));
    } else if (s.kind == AWAIT_MAIL) {
        smtpc_put_mail(c);
    } else if (s.kind == AWAIT_RCPT) {
        smtpc_put_rcpt(c, s.rcpt);
    } else {
        smtpc_put(c, STR("DATA\r\n"));
    }
}

/* Nothing more to say: the sender was refused, or all that was written is answered and nobody is
 * left to send to. */
static bool pointless(const struct transaction *t)
{
    return t->mail_refused ||
           (t->write.kind == AWAIT_DATA && t->outstanding == 0 && t->accepted == 0);
}

/* In place of DATA: binary content, RFC 3030 3. */
static bool by_chunks(const struct transaction *t)
{
    return t->write.kind == AWAIT_DATA && t->envelope.body_binary;
}

void smtpc_transaction_fill(struct smtpc *c)
{
    struct transaction *t = &c->t;
    size_t ahead = c->features.pipelining ? GROUP : 1;
    if (pointless(t))
        t->write.kind = AWAIT_NONE;
    while (t->write.kind != AWAIT_NONE && !by_chunks(t) && t->outstanding < ahead &&
           c->out.len < OUTPUT_WATERMARK && !c->dead) {
        put_command(c, t->write);
        t->outstanding++;
        t->write = step_after(t, t->write);
    }
    if (by_chunks(t) && t->outstanding == 0) { /* nothing to be asked for: BDAT may begin */
        t->write.kind = t->read.kind = AWAIT_NONE;
        t->content = true;
    }
    c->await = t->outstanding > 0 ? t->read.kind : AWAIT_NONE;
}

/* ---- replies ---- */

static void mail_reply(struct smtpc *c, int code)
{
    if (code / 100 == 2)
        return;
    /* What follows in the group is refused too, for want of a sender: its words count for
     * nothing. */
    c->t.mail_refused = true;
    c->t.mail_put_off = code / 100 == 4;
    smtpc_decide_all(c, false, smtpc_class_rc(code));
}

/* RFC 5321 4.5.3.1.10: 552 from a server that took some recipients means "too many", which is
 * not for ever. */
static bool too_many(const struct smtpc *c, int code)
{
    const char *status = c->reader.status;
    return code == 552 && c->t.accepted > 0 && (status[0] == '\0' || strcmp(status, "5.5.3") == 0);
}

static void rcpt_reply(struct smtpc *c, size_t i, int code)
{
    struct slot *s = &c->t.slots[i];
    if (c->t.mail_refused)
        return;
    if (code / 100 == 2) {
        s->state = SLOT_ACCEPTED;
        c->t.accepted++;
        return;
    }
    struct smtpc_reply r = keep_reply(c);
    smtpc_slot_done(s, too_many(c, code) ? RC_TEMP : smtpc_class_rc(code), &r);
}

static void data_reply(struct smtpc *c, int code)
{
    if (code / 100 == 2) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "unexpected reply %d to DATA", code);
    } else if (code / 100 != 3) {
        smtpc_decide_all(c, true, smtpc_class_rc(code));
    } else if (c->t.accepted > 0) {
        c->t.content = true;
        /* RFC 2033 4.2: must not happen, and nobody knows how many replies would follow the dot */
    } else if (c->config->lmtp) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "DATA was granted for no recipient");
    } else { /* RFC 2920 3.1: granted though nobody is to get it */
        smtpc_put(c, STR(".\r\n"));
        c->await = AWAIT_VOID;
    }
}

/* After the final dot: one reply, or in LMTP one for each accepted recipient in their order (RFC
 * 2033 4.2). */
static void body_reply(struct smtpc *c, int code)
{
    struct transaction *t = &c->t;
    bool failed = code / 100 != 2;
    if (!c->config->lmtp) {
        smtpc_decide_all(c, true, smtpc_class_rc(code));
        c->await = AWAIT_NONE;
        c->dirty = failed;
        return;
    }
    while (t->slots[t->body_at].state != SLOT_ACCEPTED)
        t->body_at++;
    struct smtpc_reply r = keep_reply(c);
    smtpc_slot_done(&t->slots[t->body_at], smtpc_class_rc(code), &r);
    if (--t->accepted == 0) {
        c->await = AWAIT_NONE;
        c->dirty = failed;
    }
}

void smtpc_transaction_reply(struct smtpc *c, int code)
{
    struct transaction *t = &c->t;
    struct step s = t->read;
    if (code / 100 == 3 && c->await != AWAIT_DATA) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "unexpected reply %d", code);
        return;
    }
    if (c->await == AWAIT_CHUNK) {
        smtpc_chunk_reply(c, code);
        return;
    }
    if (c->await == AWAIT_BODY) {
        body_reply(c, code);
        return;
    }
    if (c->await == AWAIT_VOID) {
        c->await = AWAIT_NONE;
        return;
    }
    if (c->await == AWAIT_RSET && code / 100 != 2) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "RSET was refused with %d", code);
        return;
    }
    must(s.kind == c->await);
    t->touched |= s.kind != AWAIT_RSET;
    t->outstanding--;
    t->read = step_after(t, s);
    c->await = AWAIT_NONE;
    if (s.kind == AWAIT_MAIL)
        mail_reply(c, code);
    else if (s.kind == AWAIT_RCPT)
        rcpt_reply(c, s.rcpt, code);
    else if (s.kind == AWAIT_DATA)
        data_reply(c, code);
    if (!c->dead && c->await == AWAIT_NONE && !t->content)
        smtpc_transaction_fill(c);
}

void smtpc_transaction_lost(struct smtpc *c)
{
    if (c->t.n > 0 && c->t.slots != NULL)
        smtpc_decide_all(c, false, RC_TEMP);
}
