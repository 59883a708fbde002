/* outcome.c: what the verdicts of an attempt mean for the rows: one batch.
 *
 *     verdict        age               recipient              rows
 *     RC_OK          any               delivered              leaves the delivery
 *     RC_PERM        any               failed                 leaves it
 *     RC_TEMP        < warn_after      deferred               stays; next_ms, reason
 *                    >= warn_after     deferred               stays; the sender is told once
 *                    >= give_up_after  failed                 as RC_PERM, 4.4.7
 *                    >= DELIVERBY R    failed                 as RC_PERM, 5.4.7
 *
 * Who is told of which, if anybody: outcome_tell.c. Where a server says that an address does not
 * exist, that is kept (post/queue_suppress.h). The batch requires the lease (op 0, see settle.c) and
 * the delivery row as it was read. */
#include "post/bounce_class.h"
#include "roles/delivery/outcome_tell.h"

/* ---- each recipient ---- */

static void keep(struct job *j, struct split *s, size_t i)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    str_t text = outcome_said(j, v);
    if (s->nkeep == 0)
        s->reason = j->host.len > 0 ? arena_fmt(&j->arena, STR_FMT ": " STR_FMT, STR_ARG(j->host),
                                                STR_ARG(text))
                                    : text;
    s->kept[s->nkeep] = i;
    s->keep[s->nkeep++] = j->d.rcpt[i];
}

static void fail(struct job *j, struct split *s, size_t i, bool expired)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    struct fate *f = &s->fate[i];
    f->outcome = QUEUE_FAILED;
    f->given_up = expired;
    if (expired && job_too_late(j)) { /* RFC 2852 4.1.3 */
        f->status = STR("5.4.7");
        f->diagnostic =
            arena_fmt(&j->arena, "not delivered in the time its sender gave; last: " STR_FMT,
                      STR_ARG(outcome_said(j, v)));
    } else if (expired) {
        f->status = STR("4.4.7");
        f->diagnostic = arena_fmt(&j->arena, "given up after %u hours; last: " STR_FMT,
                                  j->c->set->give_up_after_s / 3600, STR_ARG(outcome_said(j, v)));
    } else {
        f->status = v->status[0] == '5' ? str_c(v->status) : STR("5.0.0");
        f->diagnostic = outcome_said(j, v);
    }
    s->nfail++;
}

static bool give_up(struct job *j)
{
    int64_t age = j->time_ms - job_born_ms(j);
    return job_too_late(j) ||
           (age >= (int64_t)j->c->set->give_up_after_s * 1000 && !agenda_young(&j->c->agenda));
}

static bool split(struct job *j, struct split *s)
{
    size_t n = j->d.nrcpt;
    bool expired = !j->partial && !j->late && give_up(j);
    j->fate = s->fate = arena_array(&j->arena, n, sizeof *s->fate);
    s->keep = arena_array(&j->arena, n, sizeof *s->keep);
    s->kept = arena_array(&j->arena, n, sizeof *s->kept);
    if (j->arena.failed)
        return false;
    for (size_t i = 0; i < n; i++) {
        s->fate[i].outcome = QUEUE_DELIVERED;
        switch (j->verdicts[i].rc) {
        case RC_OK:
            if (j->became != NULL)
                s->fate[i].outcome = j->became[i];
            break;
        case RC_PERM: fail(j, s, i, false); break;
        case RC_TEMP:
        case RC_CLOSED:
            s->fate[i].outcome = QUEUE_DEFERRED;
            if (expired)
                fail(j, s, i, true);
            else
                keep(j, s, i);
            break;
        }
    }
    return !j->arena.failed;
}

/* What trace will show; of a partial one only those that end. */
static bool results(struct job *j, const struct split *s, struct queue_event *e)
{
    e->results = arena_array(&j->arena, j->d.nrcpt, sizeof *e->results);
    if (e->results == NULL)
        return false;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        const struct attempt_verdict *v = &j->verdicts[i];
        if (j->partial && s->fate[i].outcome == QUEUE_DEFERRED)
            continue;
        e->results[e->nresults++] = (struct queue_result){.address = j->d.rcpt[i].address,
                                                          .outcome = s->fate[i].outcome,
                                                          .code = v->code,
                                                          .status = str_c(v->status),
                                                          .text = v->text};
    }
    if (e->nresults > JOB_RESULTS_MAX) {
        e->text = arena_fmt(&j->arena, "and %zu more recipients", e->nresults - JOB_RESULTS_MAX);
        e->nresults = JOB_RESULTS_MAX;
    }
    return true;
}

/* ---- addresses that do not exist ---- */

static void suppress_put(struct job *j, size_t i, str_t key)
{
    const struct attempt_verdict *v = &j->verdicts[i];
    struct queue_suppressed row, former;
    struct buf value;
    row = (struct queue_suppressed){.since_ms = j->time_ms, .last_ms = j->time_ms, .count = 1};
    row.reason = arena_fmt(&j->arena, STR_FMT ": %d %s " STR_FMT, STR_ARG(j->host), v->code,
                           v->status, STR_ARG(v->text));
    if (suppress_find(j->c->suppress, j->d.rcpt[i].address, &j->arena, &former)) {
        row.since_ms = former.since_ms;
        row.count = former.count + (former.count < UINT32_MAX);
    }
    buf_init(&value, STORE_VALUE_MAX);
    if (queue_suppressed_encode(&row, &value))
        store_put(&j->batch, key, arena_dup(&j->arena, buf_str(&value)));
    buf_free(&value);
}

/* On the word of the address's own server; and mail that gets through proves the contrary. What is
 * kept of reports is nothing: their recipients are whoever wrote to us. */
static void suppress_rows(struct job *j, const struct split *s)
{
    if (j->c->suppress == NULL || j->m.bounce)
        return;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        const struct attempt_verdict *v = &j->verdicts[i];
        struct queue_suppressed row;
        str_t address = j->d.rcpt[i].address;
        bool hard = v->rc == RC_PERM && bounce_is_hard(v->code, str_c(v->status), v->text);
        bool good = s->fate[i].outcome == QUEUE_DELIVERED &&
                    suppress_find(j->c->suppress, address, &j->arena, &row);
        str_t key = hard || good ? queue_key_suppressed(address, &j->arena) : STR_NONE;
        if (key.len > 0 && good)
            store_delete(&j->batch, key);
        else if (key.len > 0 && !j->brief)
            suppress_put(j, i, key);
    }
}

/* ---- the batch ---- */

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
                                .text = j->tls,
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

/* What waits: when again. From the end of the attempt: a silent peer can take longer than the first
 * wait, and RFC 5321 4.5.4.1 asks for one. */
static void wait_on(struct job *j, const struct split *s, struct queue_delivery *d)
{
    int64_t now = j->c->env->wall_ms(j->c->env);
    d->rcpt = s->keep;
    d->nrcpt = s->nkeep;
    /* RFC 2852: then it comes up, whatever it waits for */
    bool by = j->m.by == QUEUE_BY_RETURN || (j->m.by == QUEUE_BY_NOTIFY && !d->by_told);
    d->deliver_by_ms = by ? j->m.deliver_by_ms : 0;
    if (j->partial || j->late)
        return;
    d->attempts++;
    d->next_ms =
        j->again ? now : now + schedule_retry_ms(&j->c->agenda.policy, j->c->env, d->attempts);
    d->asked = j->again;
    d->reason = s->reason;
}

bool outcome_build(struct job *j)
{
    struct split s = {0};
    struct queue_event e = event_of(j);
    struct queue_delivery d = j->d;
    store_batch_init(&j->batch, QUEUE_PART, &j->arena);
    store_require_lease(&j->batch, &j->c->lease);
    j->bounced = j->warned = j->told = j->dropped = false;
    if (!split(j, &s))
        return false;
    if (j->removed) {
        if (!results(j, &s, &e))
            return false;
        e.text = STR("removed by the operator meanwhile");
        j->ends = true;
        return queue_event_add(&e, &j->batch, &j->arena);
    }
    store_require_equal(&j->batch, j->key, j->value);
    more_add(j);
    if (!outcome_tell(j, &s, &d, &e) || !results(j, &s, &e))
        return false;
    j->bounced = e.bounced;
    j->bounce = e.bounce;
    j->warned = e.warned;
    j->warning = e.warning;
    suppress_rows(j, &s);
    j->ends = s.nkeep == 0;
    j->next_ms = INT64_MAX;
    if (j->ends) {
        store_delete(&j->batch, j->key);
        if (j->m.single && j->nmore == 0)
            content_delete(j);
    } else {
        wait_on(j, &s, &d);
        e.next_ms = d.next_ms;
        if (!row_put(j, &d))
            return false;
        if (d.state == QUEUE_READY)
            j->next_ms = d.next_ms;
    }
    j->plain = j->ends && s.nfail == 0 && !e.bounced && !j->told && j->nmore == 0;
    j->minimal = j->minimal && j->plain;
    return j->minimal || queue_event_add(&e, &j->batch, &j->arena);
}
