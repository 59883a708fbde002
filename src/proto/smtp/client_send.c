/* client_send.c: content of the client engine: after DATA stuffed up to a dot, or in chunks by BDAT.
 * See client.h.
 *
 * RFC 3030 2: each chunk is answered; after a refusal nothing more of the message is sent, what is
 * still to be answered is read and thrown away, and RSET comes before anything else. */
#include "proto/smtp/client_internal.h"

bool smtpc_accepting(const struct smtpc *c)
{
    return c->t.content && !c->dead;
}

bool smtpc_chunk_refused(const struct smtpc *c)
{
    return c->t.chunk_refused;
}

/* ---- DATA ---- */

static bool stuffed(struct smtpc *c, enum smtpc_stuff got)
{
    if (got == SMTPC_STUFF_BARE)
        smtpc_fail(c, RC_PERM, "5.6.0",
                   "the message has a bare CR, a bare LF or a NUL, which mail cannot carry");
    else if (got == SMTPC_STUFF_FULL)
        smtpc_fail(c, RC_TEMP, "4.3.0", "more content than the output holds");
    return got == SMTPC_STUFF_OK;
}

/* ---- BDAT ---- */

static void chunk_put(struct smtpc *c, str_t bytes)
{
    size_t ahead = c->features.pipelining ? SMTPC_CHUNKS_AHEAD : 1;
    if (bytes.len == 0)
        return;
    smtpc_putf(c, "BDAT %zu\r\n", bytes.len);
    smtpc_put(c, bytes);
    c->t.chunks++;
    c->await = c->t.chunks >= ahead ? AWAIT_CHUNK : AWAIT_NONE;
}

/* What the end is answered with, once all chunks are. */
static void await_end(struct smtpc *c)
{
    if (!c->t.ended)
        c->await = AWAIT_NONE;
    else
        c->await = c->t.chunk_refused ? AWAIT_VOID : AWAIT_BODY;
}

void smtpc_chunk_reply(struct smtpc *c, int code)
{
    struct transaction *t = &c->t;
    t->chunks--;
    if (code / 100 != 2 && !t->chunk_refused) {
        t->chunk_refused = true;
        t->content = false;
        smtpc_decide_all(c, true, smtpc_class_rc(code));
        /* RFC 2033 4.2: nobody knows how many replies a BDAT LAST for nobody has */
        if (t->ended && c->config->lmtp)
            smtpc_fail(c, RC_TEMP, "4.5.0", "a chunk was refused after the last was sent");
    }
    if (t->chunks == 0)
        await_end(c);
    else
        c->await = t->ended || t->chunk_refused ? AWAIT_CHUNK : AWAIT_NONE;
}

/* ---- both ---- */

void smtpc_content(struct smtpc *c, str_t bytes)
{
    if (c->dead || c->t.chunk_refused)
        return;
    must(c->t.content && bytes.len <= SMTPC_CONTENT_MAX);
    if (c->t.envelope.body_binary)
        chunk_put(c, bytes);
    else
        (void)stuffed(c, smtpc_stuff(&c->t.line, bytes, &c->out));
}

void smtpc_end(struct smtpc *c)
{
    struct transaction *t = &c->t;
    if (c->dead || t->chunk_refused)
        return;
    must(t->content);
    if (t->envelope.body_binary)
        smtpc_put(c, STR("BDAT 0 LAST\r\n"));
    else if (!stuffed(c, smtpc_stuff_end(t->line, &c->out)))
        return;
    t->content = false;
    t->ended = true;
    c->await = t->chunks > 0 ? AWAIT_CHUNK : AWAIT_BODY;
}
