/* attempt_send.c: one transaction over an open attempt. See attempt.h.
 *
 * Few and large writes: the group of commands, each chunk of the content, the last of them with
 * the final dot. */
#include "roles/courier/attempt_internal.h"
#include "roles/courier/client_io.h"

struct sending {
    const struct queue_message *m;
    attempt_chunk_fn *chunk;
    enum rc (*before_dot)(void *user);
    void *user;
};

/* One chunk of the store to the engine; what it made of the one before goes out first, so that
 * the last one leaves together with the dot. */
static bool send_chunk(struct attempt *t, const struct sending *s, uint32_t k)
{
    str_t bytes = STR_NONE;
    arena_reset(&t->chunk);
    enum rc rc = s->chunk(s->user, k, &t->chunk, &bytes);
    if (rc != RC_OK) {
        if (rc == RC_PERM)
            smtpc_abort(t->smtp, RC_PERM, "5.3.0", "the stored message is damaged");
        else
            smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "the stored message cannot be read now");
        return false;
    }
    while (bytes.len > 0) {
        str_t piece = str_first(bytes, SMTPC_CONTENT_MAX);
        if (smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT) != SMTPC_READY)
            return false;
        smtpc_content(t->smtp, piece);
        bytes = str_from(bytes, piece.len);
    }
    return smtpc_want(t->smtp) != SMTPC_DEAD;
}

static void send_content(struct attempt *t, const struct sending *s)
{
    for (uint32_t k = 0; k < s->m->chunks; k++)
        if (!send_chunk(t, s, k))
            return;
    if (s->before_dot != NULL && s->before_dot(s->user) != RC_OK) {
        smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "given up before the message was complete");
        return;
    }
    smtpc_end(t->smtp);
    (void)smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT);
}

static void transact(struct attempt *t, const struct smtpc_envelope *e, const struct sending *s)
{
    smtpc_begin(t->smtp, e);
    (void)smtpc_pump(t->smtp, t->conn, t->env, SMTPC_NO_LIMIT);
    if (smtpc_accepting(t->smtp))
        send_content(t, s);
}

/* The peer's status, of the class of our verdict; ours where it gave none. */
static void fill_status(struct attempt_verdict *v, const char *status)
{
    char class = v->rc == RC_OK ? '2' : v->rc == RC_PERM ? '5' : '4';
    str_toc(str_c(status[0] != '\0'    ? status
                  : v->rc == RC_CLOSED ? "4.4.2"
                                       : "4.0.0"),
            v->status, sizeof v->status);
    v->status[0] = class;
}

void attempt_send(struct attempt *t, const struct queue_message *m, const struct queue_delivery *d,
                  attempt_chunk_fn *chunk, enum rc (*before_dot)(void *user), void *user,
                  struct arena *a, struct attempt_verdict *verdicts)
{
    str_t *to = arena_array(a, d->nrcpt, sizeof *to);
    for (size_t i = 0; i < d->nrcpt; i++) {
        verdicts[i] = (struct attempt_verdict){
            .rc = RC_TEMP, .status = "4.3.0", .text = STR("out of memory")};
        if (to != NULL)
            to[i] = d->rcpt[i].address;
    }
    if (to == NULL)
        return;
    struct sending s = {m, chunk, before_dot, user};
    struct smtpc_envelope e = {.reverse_path = m->reverse_path,
                               .recipients = to,
                               .n = d->nrcpt,
                               .size = m->size,
                               .body_8bit = m->body_8bit,
                               .smtputf8 = m->smtputf8};
    transact(t, &e, &s);
    if (t->transactions > 0 && smtpc_untouched(t->smtp) && attempt_reconnect(t))
        transact(t, &e, &s);
    t->transactions++;
    for (size_t i = 0; i < d->nrcpt; i++) {
        struct smtpc_reply r;
        struct attempt_verdict *v = &verdicts[i];
        v->rc = smtpc_verdict(t->smtp, i, &r);
        v->code = r.code;
        v->text = arena_dup(a, r.text);
        fill_status(v, r.status);
    }
}
