/* outcome.c: what the verdicts of an attempt mean for the rows: one batch.
 *
 *     verdict        age               recipient              rows
 *     RC_OK          any               delivered              leaves the delivery
 *     RC_PERM        any               failed                 leaves it; a bounce is added
 *     RC_TEMP        < warn_after      deferred               stays; next_ms, reason
 *                    >= warn_after     deferred               stays; the sender is told once
 *                    >= give_up_after  failed                 as RC_PERM, 4.4.7
 *
 * The batch requires the lease (op 0, see settle.c) and the delivery row as it was read. */
#include "roles/delivery/job.h"

#include "roles/log.h"

struct split {                    /* the recipients by what became of them */
    struct queue_result *results; /* of all, in order */
    struct queue_rcpt *keep;
    size_t nkeep;
    struct dsn_recipient *fail, *wait; /* wait: as keep, for the warning */
    size_t nfail;
    str_t reason; /* of the first that is kept */
};

static str_t said(struct job *j, const struct attempt_verdict *v)
{
    if (v->code == 0)
        return v->text;
    return arena_fmt(&j->arena, "%d " STR_FMT, v->code, STR_ARG(v->text));
}

static struct dsn_recipient told(struct job *j, size_t i, const char *status, str_t diagnostic)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    return (struct dsn_recipient){
        .final = j->d.rcpt[i].address,
        .original = j->d.rcpt[i].original,
        .status = arena_dup(&j->arena, str_c(status)),
        .diagnostic = diagnostic,
        .remote_mta = v->code != 0 ? j->host : STR_NONE,
    };
}

static void keep(struct job *j, struct split *s, size_t i)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    str_t text = said(j, v);
    if (s->nkeep == 0)
        s->reason = j->host.len > 0 ? arena_fmt(&j->arena, STR_FMT ": " STR_FMT, STR_ARG(j->host),
                                                STR_ARG(text))
                                    : text;
    s->wait[s->nkeep] = told(j, i, v->status[0] == '4' ? v->status : "4.0.0", text);
    s->keep[s->nkeep++] = j->d.rcpt[i];
    s->results[i].outcome = QUEUE_DEFERRED;
}

static void fail(struct job *j, struct split *s, size_t i, bool expired)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    s->results[i].outcome = QUEUE_FAILED;
    if (expired)
        s->fail[s->nfail++] =
            told(j, i, "4.4.7",
                 arena_fmt(&j->arena, "given up after %u hours; last: " STR_FMT,
                           j->c->set->give_up_after_s / 3600, STR_ARG(said(j, v))));
    else
        s->fail[s->nfail++] = told(j, i, v->status[0] == '5' ? v->status : "5.0.0", said(j, v));
}

static bool split(struct job *j, struct split *s)
{
    size_t n = j->d.nrcpt;
    int64_t age = j->time_ms - j->d.arrived_ms;
    bool expired =
        age >= (int64_t)j->c->set->give_up_after_s * 1000 && !agenda_grace(&j->c->agenda);
    s->results = arena_array(&j->arena, n, sizeof *s->results);
    s->keep = arena_array(&j->arena, n, sizeof *s->keep);
    s->fail = arena_array(&j->arena, n, sizeof *s->fail);
    s->wait = arena_array(&j->arena, n, sizeof *s->wait);
    if (j->arena.failed)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct attempt_verdict *v = &j->verdicts[i];
        s->results[i] = (struct queue_result){.address = j->d.rcpt[i].address,
                                              .outcome = QUEUE_DELIVERED,
                                              .code = v->code,
                                              .status = str_c(v->status),
                                              .text = v->text};
        switch (v->rc) {
        case RC_OK:
            if (j->became != NULL)
                s->results[i].outcome = j->became[i];
            break;
        case RC_PERM: fail(j, s, i, false); break;
        case RC_TEMP:
        case RC_CLOSED:
            if (expired)
                fail(j, s, i, true);
            else
                keep(j, s, i);
            break;
        }
    }
    return !j->arena.failed;
}

/* The two kinds of notice. False: no memory. */
static bool notices_add(struct job *j, struct split *s, struct queue_delivery *d,
                        struct queue_event *e)
{
    struct carrier *c = j->c;
    int64_t arrived = j->d.arrived_ms;
    struct queue_bounce q = {.hostname = c->set->hostname,
                             .m = &j->m,
                             .header = j->first,
                             .give_up_ms = arrived + (int64_t)c->set->give_up_after_s * 1000};
    if (s->nfail > 0) {
        q.action = DSN_FAILED;
        q.recipients = s->fail;
        q.n = s->nfail < JOB_RESULTS_MAX ? s->nfail : JOB_RESULTS_MAX;
        if (q.n < s->nfail)
            s->fail[q.n - 1].diagnostic =
                arena_fmt(&j->arena, STR_FMT " (and %zu more addresses it stands for)",
                          STR_ARG(s->fail[q.n - 1].diagnostic), s->nfail - q.n);
        enum queue_bounce_rc rc = queue_bounce_add(c->env, &q, &j->batch, &j->arena, &e->bounce);
        e->bounced = rc == QUEUE_BOUNCE_MADE;
        j->dropped = rc == QUEUE_BOUNCE_DROPPED;
        for (size_t i = 0; j->dropped && i < j->d.nrcpt; i++)
            if (s->results[i].outcome == QUEUE_FAILED)
                s->results[i].outcome = QUEUE_DROPPED;
        if (rc == QUEUE_BOUNCE_FAILED)
            return false;
    }
    if (s->nkeep > 0 && !d->warned &&
        j->time_ms - arrived >= (int64_t)c->set->warn_after_s * 1000) {
        q.action = DSN_DELAYED;
        q.recipients = s->wait;
        q.n = s->nkeep;
        enum queue_bounce_rc rc = queue_bounce_add(c->env, &q, &j->batch, &j->arena, &e->warning);
        e->warned = rc == QUEUE_BOUNCE_MADE;
        d->warned = true;
        return rc != QUEUE_BOUNCE_FAILED;
    }
    return true;
}

static bool row_put(struct job *j, const struct queue_delivery *d)
{
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    bool ok = queue_delivery_encode(d, &value);
    store_put(&j->batch, j->key, arena_dup(&j->arena, buf_str(&value)));
    buf_free(&value);
    return ok && !j->arena.failed;
}

static void content_delete(struct job *j)
{
    str_t prefix = queue_key_prefix("c", j->m.id, &j->arena);
    store_delete_range(&j->batch, prefix, store_prefix_end(&j->arena, prefix));
}

static struct queue_event event_of(struct job *j)
{
    return (struct queue_event){.id = j->m.id,
                                .n = j->d.n,
                                .kind = j->c->local ? QUEUE_EVENT_LOCAL : QUEUE_EVENT_ATTEMPT,
                                .time_ms = j->time_ms,
                                .serial = j->serial,
                                .host = j->host,
                                .addr = j->addr};
}

str_t outcome_event_key(struct job *j)
{
    struct queue_event e = event_of(j);
    return queue_event_key(&e, &j->arena);
}

static void more_add(struct job *j)
{
    for (size_t i = 0; i < j->nmore; i++) {
        const struct store_op *op = &j->more[i];
        if (op->kind == STORE_EQUAL)
            store_require_equal(&j->batch, op->key, op->value);
        else if (op->kind == STORE_PUT)
            store_put(&j->batch, op->key, op->value);
        else
            store_put_new(&j->batch, op->key, op->value);
    }
}

bool outcome_build(struct job *j)
{
    struct split s = {0};
    struct queue_event e = event_of(j);
    struct queue_delivery d = j->d;
    store_batch_init(&j->batch, QUEUE_PART, &j->arena);
    store_require_lease(&j->batch, &j->c->lease);
    if (!split(j, &s))
        return false;
    e.results = s.results;
    e.nresults = j->d.nrcpt;
    if (e.nresults > JOB_RESULTS_MAX) {
        e.text = arena_fmt(&j->arena, "and %zu more recipients", e.nresults - JOB_RESULTS_MAX);
        e.nresults = JOB_RESULTS_MAX;
    }
    if (j->removed) {
        e.text = STR("removed by the operator meanwhile");
        j->ends = true;
        return queue_event_add(&e, &j->batch, &j->arena);
    }
    store_require_equal(&j->batch, j->key, j->value);
    more_add(j);
    if (!notices_add(j, &s, &d, &e))
        return false;
    j->ends = s.nkeep == 0;
    j->next_ms = INT64_MAX;
    if (j->ends) {
        store_delete(&j->batch, j->key);
        if (j->m.single && j->nmore == 0)
            content_delete(j);
    } else {
        /* From the end of the attempt: a silent peer can take longer than the first wait, and RFC
         * 5321 4.5.4.1 asks for one. */
        d.attempts++;
        d.next_ms = e.next_ms = j->c->env->wall_ms(j->c->env) +
                                schedule_retry_ms(&j->c->agenda.policy, j->c->env, d.attempts);
        d.reason = s.reason;
        d.rcpt = s.keep;
        d.nrcpt = s.nkeep;
        if (!row_put(j, &d))
            return false;
        if (d.state == QUEUE_READY)
            j->next_ms = d.next_ms;
    }
    j->minimal = j->minimal && j->ends && s.nfail == 0;
    return j->minimal || queue_event_add(&e, &j->batch, &j->arena);
}

void outcome_log(const struct job *j)
{
    char id[QUEUE_ID_TEXT];
    size_t ok = 0, perm = 0, shown = 0;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        ok += j->verdicts[i].rc == RC_OK;
        perm += j->verdicts[i].rc == RC_PERM;
        /* a failure says more */
        if (j->verdicts[i].rc != RC_OK && j->verdicts[shown].rc == RC_OK)
            shown = i;
    }
    const struct attempt_verdict *v = &j->verdicts[shown];
    const char *event = ok == j->d.nrcpt ? (j->c->local ? "delivered" : "sent")
                        : perm > 0       ? "failed"
                                         : "deferred";
    log_event(j->c->role, str_c(queue_id_text(j->m.id, id)), event,
              log_str("to", j->d.rcpt[shown].address), log_u64("recipients", j->d.nrcpt),
              log_u64("ok", ok), log_u64("perm", perm), log_str("host", j->host),
              log_str("addr", j->addr), log_u64("code", v->code), log_cstr("status", v->status),
              log_str("text", v->text), log_end);
}
