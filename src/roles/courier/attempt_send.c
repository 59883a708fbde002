/* attempt_send.c: transactions over an open attempt. See attempt.h.
 *
 * Few and large writes: the group of commands, each chunk of the content, the last of them with
 * the final dot. Content that the peer cannot take as it is goes through attempt_convert.h. */
#include "roles/courier/attempt_convert.h"
#include "roles/courier/attempt_internal.h"
#include "roles/courier/client_io.h"

_Static_assert((int)QUEUE_NOTIFY_NEVER == (int)SMTPC_NOTIFY_NEVER &&
                   (int)QUEUE_NOTIFY_SUCCESS == (int)SMTPC_NOTIFY_SUCCESS &&
                   (int)QUEUE_NOTIFY_FAILURE == (int)SMTPC_NOTIFY_FAILURE &&
                   (int)QUEUE_NOTIFY_DELAY == (int)SMTPC_NOTIFY_DELAY,
               "the bits go over as they are");

struct sending {
    const struct queue_message *m;
    const struct queue_delivery *d;
    attempt_chunk_fn *chunk;
    enum rc (*before_dot)(void *user);
    void *user;
    struct arena *arena;
    str_t *to;
    struct attempt_verdict *verdicts;
    struct attempt_convert convert; /* of the transaction under way */
    bool converting;                /* its content is another than the stored one, or said to be */
};

static enum smtpc_want pump(struct attempt *t)
{
    return smtpc_pump(t->smtp, t->conn, t->setup.env, SMTPC_NO_LIMIT);
}

/* ---- content ---- */

/* What the engine made of the bytes before goes out first, so that the last ones leave together with
 * the dot. */
static bool send_bytes(struct attempt *t, str_t bytes)
{
    while (bytes.len > 0) {
        str_t piece = str_first(bytes, SMTPC_CONTENT_MAX);
        if (pump(t) != SMTPC_READY)
            return false;
        smtpc_content(t->smtp, piece);
        bytes = str_from(bytes, piece.len);
    }
    return smtpc_want(t->smtp) != SMTPC_DEAD && !smtpc_chunk_refused(t->smtp);
}

/* As they are, or converted. */
static bool pass_on(struct attempt *t, struct sending *s, str_t bytes, bool last)
{
    if (s->convert.c != NULL && !attempt_convert_feed(&s->convert, bytes, last, &bytes)) {
        smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "out of memory for the conversion");
        return false;
    }
    return send_bytes(t, bytes);
}

/* One chunk of the store to the engine. */
static bool send_chunk(struct attempt *t, struct sending *s, uint32_t k)
{
    str_t bytes = STR_NONE;
    arena_reset(&t->chunk);
    enum rc rc = s->chunk(s->user, k, &t->chunk, &bytes);
    if (rc == RC_OK)
        return pass_on(t, s, bytes, false);
    if (rc == RC_PERM)
        smtpc_abort(t->smtp, RC_PERM, "5.3.0", "the stored message is damaged");
    else
        smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "the stored message cannot be read now");
    return false;
}

static bool send_chunks(struct attempt *t, struct sending *s)
{
    for (uint32_t k = 0; k < s->m->chunks; k++)
        if (!send_chunk(t, s, k))
            return false;
    return s->convert.c == NULL || pass_on(t, s, STR_NONE, true);
}

static void send_content(struct attempt *t, struct sending *s)
{
    if (!send_chunks(t, s)) {
        (void)pump(t); /* a refused chunk: what is still to be answered */
        return;
    }
    if (s->before_dot != NULL && s->before_dot(s->user) != RC_OK) {
        smtpc_abort(t->smtp, RC_TEMP, "4.3.0", "given up before the message was complete");
        return;
    }
    smtpc_end(t->smtp);
    (void)pump(t);
}

/* ---- the envelope ---- */

static int64_t seconds_left(const struct attempt *t, const struct queue_message *m)
{
    int64_t ms = m->deliver_by_ms - t->setup.env->wall_ms(t->setup.env);
    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

/* RFC 2852 4.1.4.2: where the next server does not know deadlines, it is asked to tell of delays. */
static unsigned notify_of(const struct queue_message *m, const struct queue_rcpt *r,
                          const struct smtpc_features *f)
{
    if (m->by != QUEUE_BY_NOTIFY || f->deliverby || (r->notify & QUEUE_NOTIFY_NEVER))
        return r->notify;
    return r->notify == 0 ? QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY
                          : (unsigned)(r->notify | QUEUE_NOTIFY_DELAY);
}

static const struct smtpc_dsn *dsn_of(const struct attempt *t, const struct sending *s, size_t from,
                                      size_t n)
{
    const struct smtpc_features *f = smtpc_features(t->smtp);
    struct smtpc_dsn *dsn = f->dsn ? arena_array(s->arena, n, sizeof *dsn) : NULL;
    for (size_t i = 0; dsn != NULL && i < n; i++) {
        const struct queue_rcpt *r = &s->d->rcpt[from + i];
        dsn[i] = (struct smtpc_dsn){.notify = (uint8_t)notify_of(s->m, r, f), .orcpt = r->orcpt};
    }
    return dsn;
}

static enum smtpc_ret ret_of(enum queue_ret ret)
{
    switch (ret) {
    case QUEUE_RET_ANY: return SMTPC_RET_NONE;
    case QUEUE_RET_FULL: return SMTPC_RET_FULL;
    case QUEUE_RET_HDRS: return SMTPC_RET_HDRS;
    }
    return SMTPC_RET_NONE;
}

static char by_of(enum queue_by by)
{
    switch (by) {
    case QUEUE_BY_NONE: return 0;
    case QUEUE_BY_NOTIFY: return 'N';
    case QUEUE_BY_RETURN: return 'R';
    }
    return 0;
}

static struct smtpc_envelope envelope_of(const struct attempt *t, const struct sending *s,
                                         size_t from, size_t n)
{
    const struct queue_message *m = s->m;
    bool as_8bit = s->convert.to == MAIL_CONVERT_8BIT;
    return (struct smtpc_envelope){.reverse_path =
                                       s->d->has_sender ? s->d->sender : m->reverse_path,
                                   .recipients = s->to + from,
                                   .n = n,
                                   .size = s->convert.size > 0 ? s->convert.size : m->size,
                                   .body_8bit = s->converting ? as_8bit : m->body_8bit,
                                   .body_binary = !s->converting && m->body_binary,
                                   .smtputf8 = m->smtputf8,
                                   .requiretls = m->requiretls,
                                   .auth_null = smtpc_authenticated(t->smtp),
                                   .dsn = dsn_of(t, s, from, n),
                                   .envid = s->d->list ? STR_NONE : m->envelope_id,
                                   .ret = ret_of(s->d->list ? QUEUE_RET_ANY : m->ret),
                                   .by_mode = by_of(m->by),
                                   .by_trace = m->by_trace,
                                   .by_s = m->by != QUEUE_BY_NONE ? seconds_left(t, m) : 0,
                                   .priority = m->priority};
}

/* ---- verdicts ---- */

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

static void fill_verdicts(const struct attempt *t, const struct sending *s, size_t from, size_t n)
{
    const struct smtpc_features *f = smtpc_features(t->smtp);
    for (size_t i = 0; i < n; i++) {
        struct smtpc_reply r;
        struct attempt_verdict *v = &s->verdicts[from + i];
        v->rc = smtpc_verdict(t->smtp, i, &r);
        v->code = r.code;
        v->text = arena_dup(s->arena, r.text);
        v->dsn = v->rc == RC_OK && f->dsn;
        v->by = v->rc == RC_OK && f->deliverby && s->m->by != QUEUE_BY_NONE;
        v->in_store = v->rc == RC_OK && t->config.lmtp;
        fill_status(v, r.status);
    }
}

/* ---- transactions ---- */

/* The content as this peer can take it. False: it cannot; the verdicts are filled. */
static bool prepare(struct attempt *t, struct sending *s, size_t from, size_t n)
{
    const struct attempt_content content = {s->m, s->chunk, s->user, &t->chunk};
    const struct smtpc_features *f = smtpc_features(t->smtp);
    struct err err;
    enum mail_convert_to to;
    s->convert.size = 0;
    s->converting = attempt_convert_wanted(s->m, f, &to);
    if (!s->converting || smtpc_want(t->smtp) == SMTPC_DEAD)
        return true;
    enum rc rc = attempt_convert_begin(&s->convert, to, &content, f->size, &err);
    for (size_t i = 0; rc != RC_OK && i < n; i++) {
        struct attempt_verdict *v = &s->verdicts[from + i];
        *v = (struct attempt_verdict){.rc = rc, .text = arena_dup(s->arena, str_c(err.text))};
        fill_status(v, err.status);
    }
    return rc == RC_OK;
}

/* False: nothing was said; the verdicts are filled. */
static bool transact(struct attempt *t, struct sending *s, size_t from, size_t n)
{
    if (!prepare(t, s, from, n))
        return false;
    struct smtpc_envelope e = envelope_of(t, s, from, n);
    smtpc_begin(t->smtp, &e);
    (void)pump(t);
    if (smtpc_accepting(t->smtp))
        send_content(t, s);
    attempt_convert_end(&s->convert);
    return true;
}

/* Recipients from, from + 1 …: as many as the peer takes at once. How many these were. */
static size_t send_group(struct attempt *t, struct sending *s, size_t from)
{
    uint32_t max = smtpc_features(t->smtp)->rcpt_max;
    size_t n = s->d->nrcpt - from;
    if (max != 0 && n > max)
        n = max;
    bool said = transact(t, s, from, n);
    if (said && t->transactions > 0 && smtpc_untouched(t->smtp) && attempt_reconnect(t))
        said = transact(t, s, from, n);
    t->transactions += said;
    if (said)
        fill_verdicts(t, s, from, n);
    return n;
}

void attempt_send(struct attempt *t, const struct queue_message *m, const struct queue_delivery *d,
                  attempt_chunk_fn *chunk, enum rc (*before_dot)(void *user), void *user,
                  struct arena *a, struct attempt_verdict *verdicts)
{
    struct sending s = {.m = m,
                        .d = d,
                        .chunk = chunk,
                        .before_dot = before_dot,
                        .user = user,
                        .arena = a,
                        .verdicts = verdicts};
    s.to = arena_array(a, d->nrcpt, sizeof *s.to);
    for (size_t i = 0; i < d->nrcpt; i++) {
        verdicts[i] = (struct attempt_verdict){
            .rc = RC_TEMP, .status = "4.3.0", .text = STR("out of memory")};
        if (s.to != NULL)
            s.to[i] = d->rcpt[i].address;
    }
    if (s.to == NULL)
        return;
    for (size_t from = 0; from < d->nrcpt;) {
        /* RFC 9422 4.1: no more of them in this session */
        if (from > 0 && !attempt_usable(t) && smtpc_want(t->smtp) == SMTPC_READY)
            (void)attempt_reconnect(t);
        from += send_group(t, &s, from);
    }
}
